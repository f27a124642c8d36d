//! Parameters of operations: what may stand in a query or a path.

use super::Flavor;
use crate::describe::Descriptions;
use api::schema::{self, Scalar, Shape};
use api::{Map, Value, json, tree};
use base64::{Engine, engine::general_purpose::URL_SAFE};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Path,
    Query,
}

/// A parameter of a path or a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    pub name: String,
    pub place: Place,
    /// `string`, `integer` or `boolean`.
    pub ty: &'static str,
    pub description: String,
}

/// What is said of parameters that the descriptions of the API do not cover.
const TEXTS: &[(&str, &str)] = &[
    ("allowWatchBookmarks", "Asks a watch for events of type BOOKMARK, which tell how far it has come."),
    ("continue", "The token of the page before, to get the next one of a list."),
    ("fieldManager", "Who makes the change, at most 128 printable characters; server-side apply needs it."),
    ("fieldSelector", "Only objects whose fields match."),
    ("fieldValidation", "What becomes of unknown and duplicate fields of the body: Ignore, Warn or Strict."),
    ("force", "Server-side apply takes over fields that others manage."),
    ("labelSelector", "Only objects whose labels match."),
    ("limit", "At most so many objects in one answer; the answer's `continue` leads to the next ones."),
    ("namespace", "The namespace of the object."),
    ("pretty", "Indented output when 'true'; without it for browsers, curl and wget only."),
    ("resourceVersion", "The version of the data that is read, or from which a watch begins."),
    ("resourceVersionMatch", "How resourceVersion is meant: Exact or NotOlderThan."),
    ("sendInitialEvents", "A watch begins with what is there, and marks the end of that by a bookmark."),
    ("timeoutSeconds", "The list or watch ends after so many seconds."),
    ("watch", "Answers with a stream of changes instead of a list."),
];

impl Parameter {
    pub fn new(name: &str, place: Place, ty: &'static str, description: &str) -> Self {
        Parameter { name: name.to_owned(), place, ty, description: description.to_owned() }
    }

    pub fn pretty() -> Self {
        Parameter::new("pretty", Place::Query, "string", text("pretty"))
    }

    pub fn namespace() -> Self {
        Parameter::new("namespace", Place::Path, "string", text("namespace"))
    }

    pub fn object_name(kind: &str) -> Self {
        Parameter::new("name", Place::Path, "string", &format!("name of the {kind}"))
    }

    /// The rest of the path behind a proxy.
    pub fn rest_of_path() -> Self {
        Parameter::new("path", Place::Path, "string", "path to the resource")
    }

    /// As JSON. Required only in paths.
    pub fn value(&self, flavor: Flavor) -> Value {
        let mut out = Map::new();
        if flavor == Flavor::V2 {
            out.insert("uniqueItems", true);
            out.insert("type", self.ty);
        }
        if !self.description.is_empty() {
            out.insert("description", self.description.as_str());
        }
        out.insert("name", self.name.as_str());
        out.insert("in", if self.place == Place::Path { "path" } else { "query" });
        if self.place == Place::Path {
            out.insert("required", true);
        }
        if flavor == Flavor::V3 {
            out.insert("schema", tree!({"type": self.ty, "uniqueItems": true}));
        }
        out.into()
    }
}

fn text(name: &str) -> &'static str {
    TEXTS.iter().find(|(n, _)| *n == name).map_or("", |(_, text)| text)
}

/// The query parameters of an options type of the schema, by its definition: its plain fields.
pub fn of_options(definition: &str, descriptions: &Descriptions) -> Vec<Parameter> {
    let schema = schema::builtin();
    let Some(id) = schema.find(definition) else { return Vec::new() };
    let fields = schema.get(id).fields.iter();
    let fields = fields.filter(|f| !matches!(f.name.as_str(), "kind" | "apiVersion"));
    fields
        .filter_map(|field| {
            let ty = query_type(&field.shape)?;
            let own = descriptions.field(definition, &field.name);
            let of_delete = descriptions.field(&meta("DeleteOptions"), &field.name);
            let known = if own.is_empty() { of_delete } else { own };
            let description = if known.is_empty() { text(&field.name) } else { known };
            Some(Parameter::new(&field.name, Place::Query, ty, description))
        })
        .collect()
}

fn query_type(shape: &Shape) -> Option<&'static str> {
    Some(match shape {
        Shape::Scalar(Scalar::Str) => "string",
        Shape::Scalar(Scalar::Bool) => "boolean",
        Shape::Scalar(Scalar::Int32 | Scalar::Int64) => "integer",
        Shape::List(item) => return query_type(item),
        _ => return None,
    })
}

/// The definition of a type of meta/v1.
pub fn meta(name: &str) -> String {
    format!("{META}.{name}")
}

/// The name under which a parameter of version 2 is shared: its own with a hash (FNV-1) of what it says.
pub fn shared_name(name: &str, value: &Value) -> String {
    let text = json::to_string(value).replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e");
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte));
    format!("{name}-{}", URL_SAFE.encode(&hash.to_be_bytes()[..6]))
}

/// True for the parameters that version 2 writes out everywhere: names of objects differ by kind, and old clients look
/// for the other two in the operation itself.
pub fn is_own(name: &str) -> bool {
    matches!(name, "name" | "fieldValidation" | "dryRun")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_names_are_those_of_the_original() {
        let body = tree!({
            "name": "body", "in": "body", "schema": {"$ref": Flavor::V2.reference(&meta("DeleteOptions"))},
        });
        assert_eq!(shared_name("body", &body), "body-2Y1dVQaQ");
        let options = of_options(&meta("DeleteOptions"), &Descriptions::all());
        let grace = options.iter().find(|p| p.name == "gracePeriodSeconds").unwrap();
        assert_eq!(shared_name(&grace.name, &grace.value(Flavor::V2)), "gracePeriodSeconds--K5HaBOS");
    }

    #[test]
    fn options_become_parameters() {
        let names = |definition: &str| -> Vec<String> {
            of_options(definition, &Descriptions::default()).into_iter().map(|p| p.name).collect()
        };
        assert!(!names(&meta("DeleteOptions")).contains(&"preconditions".to_owned()));
        assert!(names(&meta("PatchOptions")).contains(&"fieldValidation".to_owned()));
        assert!(names("io.k8s.api.core.v1.PodLogOptions").contains(&"tailLines".to_owned()));
        assert!(names("io.k8s.NoSuch").is_empty());
    }
}
