//! Descriptions of types and fields, compressed at build time and unpacked when asked for.
//!
//! A look-up keeps the texts of the definitions that were asked for and drops the rest of their package; whole
//! documents unpack everything for as long as they are being made.

use flate2::read::DeflateDecoder;
use std::collections::HashMap;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

/// Package name and its compressed definitions; the layout is described in `build.rs`.
static PACKAGES: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/packages.rs"));

/// The texts of one definition.
#[derive(Debug, Default, PartialEq)]
pub struct Description {
    pub text: String,
    /// Field name and description.
    pub fields: Vec<(String, String)>,
}

impl Description {
    /// The description of a field; "" when there is none.
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(field, _)| field == name).map_or("", |(_, text)| text)
    }
}

/// Descriptions of all definitions of some packages, by definition name.
#[derive(Default)]
pub struct Descriptions(HashMap<String, Description>);

impl Descriptions {
    /// Unpacks everything.
    pub fn all() -> Self {
        Descriptions(PACKAGES.iter().flat_map(|(_, packed)| unpack(packed)).collect())
    }

    pub fn get(&self, definition: &str) -> Option<&Description> {
        self.0.get(definition)
    }

    /// The description of a field of a definition; "" when there is none.
    pub fn field(&self, definition: &str, field: &str) -> &str {
        self.get(definition).map_or("", |d| d.field(field))
    }
}

static ASKED: Mutex<Option<HashMap<&'static str, &'static Description>>> = Mutex::new(None);

/// The documentation of a field in the API: OpenAPI definition name, field name. `None` when it is not known.
pub fn describe(definition: &str, field: &str) -> Option<&'static str> {
    let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    let asked = asked.get_or_insert_with(HashMap::new);
    let known = match asked.get(definition) {
        Some(known) => *known,
        None => {
            let found: &'static Description = Box::leak(Box::new(look_up(definition).unwrap_or_default()));
            asked.insert(definition.to_owned().leak(), found);
            found
        }
    };
    let text = known.field(field);
    if text.is_empty() { None } else { Some(text) }
}

fn look_up(definition: &str) -> Option<Description> {
    let (package, _) = definition.rsplit_once('.')?;
    let (_, packed) = PACKAGES.iter().find(|(name, _)| *name == package)?;
    unpack(packed).into_iter().find(|(name, _)| name == definition).map(|(_, description)| description)
}

/// The definitions of a package; none when it is damaged, which the tests rule out.
fn unpack(packed: &[u8]) -> Vec<(String, Description)> {
    let mut text = String::new();
    if DeflateDecoder::new(packed).read_to_string(&mut text).is_err() {
        return Vec::new();
    }
    text.split('\x1e').filter_map(definition).collect()
}

fn definition(text: &str) -> Option<(String, Description)> {
    let mut parts = text.split('\x1f').map(str::to_owned);
    let name = parts.next()?;
    let mut description = Description { text: parts.next()?, fields: Vec::new() };
    while let (Some(field), Some(text)) = (parts.next(), parts.next()) {
        description.fields.push((field, text));
    }
    Some((name, description))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_served_kinds_are_described() {
        let pod = "io.k8s.api.core.v1.PodSpec";
        assert!(describe(pod, "containers").unwrap().starts_with("List of containers"));
        assert!(
            describe("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "name")
                .unwrap()
                .starts_with("Name must")
        );
        assert_eq!(describe(pod, "nosuch"), None);
        assert_eq!(describe("io.k8s.api.core.v1.NoSuch", "name"), None);
        assert_eq!(describe("nothing", ""), None);
    }

    #[test]
    fn every_package_unpacks() {
        for (name, packed) in PACKAGES {
            let definitions = unpack(packed);
            assert!(!definitions.is_empty(), "{name}");
            assert!(definitions.iter().all(|(definition, _)| definition.starts_with(name)), "{name}");
        }
        assert!(Descriptions::all().0.len() > 500);
    }

    #[test]
    fn the_packages_are_small() {
        let bytes: usize = PACKAGES.iter().map(|(_, packed)| packed.len()).sum();
        assert!(bytes < 400 * 1024, "{bytes}");
    }
}
