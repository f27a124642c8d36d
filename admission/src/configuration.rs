//! How plugins read their configuration: the part of the file of `--admission-control-config-file` that is theirs, an
//! object of a kind of its own. Strict, as upstream's decoders are.

use api::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The shape of an object: its fields, each with the shape of what it holds (or of each item of its list).
pub struct Shape(pub &'static [(&'static str, Shape)]);

impl Shape {
    /// Anything.
    pub const ANY: Shape = Shape(&[]);
}

/// Checks kind, version (`group/version`) and that there are no unknown fields.
pub fn check(value: &Value, kind: &str, versions: &[&str], shape: &Shape) -> Result<(), String> {
    let (given_kind, given) = (value.str_at(&["kind"]), value.str_at(&["apiVersion"]));
    for (field, text) in [("Kind", given_kind), ("apiVersion", given)] {
        if text.is_empty() {
            return Err(format!("Object '{field}' is missing in '{}'", api::json::to_string(value)));
        }
    }
    if given_kind != kind || !versions.contains(&given) {
        let (kind, version) = (api::quote(given_kind), api::quote(given));
        return Err(format!("no kind {kind} is registered for version {version}"));
    }
    let mut unknown = Vec::new();
    for (field, inner) in value.as_map().into_iter().flat_map(api::Map::iter) {
        if !matches!(field.as_str(), "kind" | "apiVersion") {
            find_unknown(field, inner, shape, "", &mut unknown);
        }
    }
    if unknown.is_empty() { Ok(()) } else { Err(format!("strict decoding error: {}", unknown.join(", "))) }
}

fn find_unknown(field: &str, value: &Value, shape: &Shape, at: &str, unknown: &mut Vec<String>) {
    let path = if at.is_empty() { field.to_owned() } else { format!("{at}.{field}") };
    let Some((_, inner)) = shape.0.iter().find(|(name, _)| *name == field) else {
        unknown.push(format!("unknown field {}", api::quote(&path)));
        return;
    };
    if inner.0.is_empty() {
        return;
    }
    match value {
        Value::Map(map) => {
            map.iter().for_each(|(field, value)| find_unknown(field, value, inner, &path, unknown));
        }
        Value::List(list) => {
            for (at, item) in list.iter().enumerate() {
                let place = format!("{path}[{at}]");
                let fields = item.as_map().into_iter().flat_map(api::Map::iter);
                fields.for_each(|(field, value)| find_unknown(field, value, inner, &place, unknown));
            }
        }
        _ => {}
    }
}

const ADMISSION: Shape = Shape(&[(
    "plugins",
    Shape(&[("name", Shape::ANY), ("path", Shape::ANY), ("configuration", Shape::ANY)]),
)]);
/// Plugins whose configuration once was the whole file, and by which field it is known.
const LEGACY: [(&str, &str); 2] =
    [("ImagePolicyWebhook", "imagePolicy"), ("PodNodeSelector", "podNodeSelectorPluginConfig")];

/// The configurations in an AdmissionConfiguration, by plugin: they stand in it, or in files that it names.
pub fn plugins(
    path: &str,
    read: fn(&str) -> Result<Vec<u8>, String>,
) -> Result<BTreeMap<String, Value>, String> {
    let unreadable =
        |why| format!("unable to read admission control configuration from {} [{why}]", api::quote(path));
    let file = parse(&read(path).map_err(unreadable)?)?;
    if LEGACY.iter().any(|(_, field)| file.get(field).is_some()) {
        return Ok(LEGACY.iter().map(|(name, _)| ((*name).to_owned(), file.clone())).collect());
    }
    let versions = ["apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1"];
    check(&file, "AdmissionConfiguration", &versions, &ADMISSION)?;
    let mut found = BTreeMap::new();
    for plugin in file.list_at(&["plugins"]) {
        let inline = plugin.get("configuration").filter(|inline| !inline.is_null());
        let configuration = match (inline, plugin.str_at(&["path"])) {
            (Some(inline), _) => inline.clone(),
            (None, "") => continue,
            (None, named) => parse(&read(&beside(path, named))?)?,
        };
        let name = plugin.str_at(&["name"]).to_owned();
        found.entry(name).or_insert(configuration);
    }
    found.retain(|_, configuration| !configuration.is_null());
    Ok(found)
}

/// A file that is named in another one.
pub fn beside(path: &str, named: &str) -> String {
    let relative = Path::new(path).parent().unwrap_or(Path::new(""));
    relative.join(named).to_string_lossy().into_owned()
}

fn parse(text: &[u8]) -> Result<Value, String> {
    api::yaml::parse(text).map_err(|why| why.to_string())
}

/// Faults in one text, as Go joins errors: alone, or in brackets.
pub fn join(faults: &[String]) -> String {
    match faults {
        [one] => one.clone(),
        _ => format!("[{}]", faults.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn what_a_configuration_should_not_say_is_told() {
        const SHAPE: Shape = Shape(&[("limits", Shape(&[("qps", Shape::ANY)])), ("any", Shape::ANY)]);
        let of = |value: Value| check(&value, "Configuration", &["example.com/v1"], &SHAPE);
        let right = tree!({"kind": "Configuration", "apiVersion": "example.com/v1", "limits": [{"qps": 1}], "any": {"x": 1}});
        assert_eq!(of(right.clone()), Ok(()));
        let mut wrong = right.clone();
        wrong.set(&["limits"], tree!([{"qps": 1}, {"burst": 2}]));
        assert_eq!(of(wrong).unwrap_err(), "strict decoding error: unknown field \"limits[1].burst\"");
        let mut other = right;
        other.set(&["apiVersion"], "example.com/v2");
        assert!(of(other).unwrap_err().starts_with("no kind \"Configuration\" is registered"));
        assert!(of(tree!({})).is_err());
    }

    #[test]
    fn configurations_stand_in_the_file_or_in_files_beside_it() {
        fn read(path: &str) -> Result<Vec<u8>, String> {
            match path {
                "/etc/admission.yaml" => Ok(b"kind: AdmissionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nplugins:\n- {name: A, path: a.yaml}\n- {name: B, configuration: {x: 1}}\n- {name: A, configuration: {}}\n- {name: C}\n".to_vec()),
                "/etc/a.yaml" => Ok(b"z: 2".to_vec()),
                "/etc/old.yaml" => Ok(b"imagePolicy: {}".to_vec()),
                "/etc/other.yaml" => Ok(b"kind: Other\napiVersion: v1\n".to_vec()),
                _ => Err(format!("open {path}: no such file or directory")),
            }
        }
        let found = plugins("/etc/admission.yaml", read).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found["A"].i64_at(&["z"]), found["B"].i64_at(&["x"])), (Some(2), Some(1)));
        assert!(plugins("/etc/old.yaml", read).unwrap().contains_key("PodNodeSelector"));
        assert!(plugins("/etc/other.yaml", read).is_err());
        assert_eq!(
            plugins("/etc/none", read).unwrap_err(),
            "unable to read admission control configuration from \"/etc/none\" [open /etc/none: no such file or directory]"
        );
    }
}
