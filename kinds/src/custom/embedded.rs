//! `metadata` of custom objects and of resources embedded in them: read as `ObjectMeta`, whatever else the object is.

use super::{Additional, Props};
use api::schema::{TypeId, builtin, decode};
use api::{Fault, Path, Value, names};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

fn object_meta() -> Option<TypeId> {
    builtin().find(OBJECT_META)
}

/// Reads an object's `metadata`, if it has any; gives the paths of fields that `ObjectMeta` does not know.
/// The error is that of the JSON decoder.
pub fn read_metadata(object: &mut Value, prefix: &str) -> Result<Vec<String>, String> {
    let (Some(ty), Some(meta)) = (object_meta(), object.get_mut("metadata")) else { return Ok(Vec::new()) };
    let decoded = decode(builtin(), ty, meta.clone(), true).map_err(|e| e.to_string())?;
    *meta = decoded.value;
    let path = |fault: String| {
        let name = fault.strip_prefix("unknown field \"").and_then(|f| f.strip_suffix('"'))?;
        Some(format!("{prefix}metadata.{name}"))
    };
    Ok(decoded.strict.into_iter().filter_map(path).collect())
}

/// As `read_metadata`, dropping what cannot be read: for objects that were stored by somebody else.
pub fn repair_metadata(object: &mut Value) {
    if read_metadata(object, "").is_ok() {
        return;
    }
    let Some(meta) = object.get_mut("metadata") else { return };
    let fields = std::mem::take(meta);
    *meta = Value::map();
    for (key, value) in fields.as_map().into_iter().flat_map(|m| m.iter()) {
        let mut single = Value::map();
        single.set(&["metadata", key], value.clone());
        if read_metadata(&mut single, "").is_ok() {
            object.set(&["metadata", key], value.clone());
        }
    }
    // Every field can be read alone, so all can together.
    let _ = read_metadata(object, "");
}

/// Reads the metadata of all embedded resources; gives the paths of unknown fields. The error is upstream's text.
pub fn read_embedded(value: &mut Value, props: &Props) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    read_inner(value, props, &Path::default(), false, &mut unknown)?;
    unknown.sort();
    Ok(unknown)
}

fn read_inner(
    value: &mut Value,
    props: &Props,
    at: &Path,
    embedded: bool,
    unknown: &mut Vec<String>,
) -> Result<(), String> {
    if embedded && value.as_map().is_some() {
        check_type_meta(value, at)?;
        let shown = value.get("metadata").cloned();
        match read_metadata(value, &format!("{}.", at.as_str())) {
            Ok(paths) => unknown.extend(paths),
            Err(why) => {
                let fault = Fault::invalid(at.child("metadata"), shown.unwrap_or_default(), why);
                return Err(fault.to_string());
            }
        }
    }
    match value {
        Value::Map(map) => {
            for (key, value) in map.iter_mut() {
                match (props.property(key), &props.additional) {
                    (Some(inner), _) => {
                        read_inner(value, inner, &at.child(key), inner.embedded_resource, unknown)?;
                    }
                    (None, Additional::Of(inner)) => {
                        read_inner(value, inner, &at.key(key), inner.embedded_resource, unknown)?;
                    }
                    _ => {}
                }
            }
        }
        Value::List(items) => {
            let Some(inner) = props.items.as_deref() else { return Ok(()) };
            for (i, item) in items.iter_mut().enumerate() {
                read_inner(item, inner, &at.index(i), inner.embedded_resource, unknown)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn check_type_meta(value: &Value, at: &Path) -> Result<(), String> {
    for field in ["apiVersion", "kind"] {
        if let Some(other) = value.get(field).filter(|v| v.as_str().is_none()) {
            return Err(Fault::invalid(at.child(field), other.clone(), "must be a string").to_string());
        }
    }
    Ok(())
}

/// The faults of embedded resources: they say what they are, and have valid metadata.
pub fn validate(value: &Value, props: &Props) -> Vec<Fault> {
    let mut faults = Vec::new();
    validate_inner(value, props, &Path::default(), &mut faults);
    faults
}

fn validate_inner(value: &Value, props: &Props, at: &Path, faults: &mut Vec<Fault>) {
    match value {
        Value::Map(map) => {
            if props.embedded_resource {
                validate_resource(value, at, faults);
            }
            for (key, value) in map.iter() {
                match (props.property(key), &props.additional) {
                    (Some(inner), _) => validate_inner(value, inner, &at.child(key), faults),
                    (None, Additional::Of(inner)) => validate_inner(value, inner, &at.key(key), faults),
                    _ => {}
                }
            }
        }
        Value::List(items) => {
            let Some(inner) = props.items.as_deref() else { return };
            for (i, item) in items.iter().enumerate() {
                validate_inner(item, inner, &at.index(i), faults);
            }
        }
        _ => {}
    }
}

fn validate_resource(value: &Value, at: &Path, faults: &mut Vec<Fault>) {
    for field in ["apiVersion", "kind"] {
        match value.get(field) {
            None => faults.push(Fault::required(at.child(field), "")),
            Some(Value::Str(text)) if text.is_empty() => {
                faults.push(Fault::invalid(at.child(field), "", "must not be empty"));
            }
            Some(Value::Str(text)) => faults.extend(type_fault(field, text, at)),
            Some(other) => faults.push(Fault::invalid(at.child(field), other.clone(), "must be a string")),
        }
    }
    if value.get("metadata").is_some() {
        faults.extend(metadata_faults(value, &at.child("metadata")));
    }
}

fn type_fault(field: &str, text: &str, at: &Path) -> Option<Fault> {
    if field == "apiVersion" {
        let unexpected = text.matches('/').count() > 1;
        return unexpected.then(|| {
            Fault::invalid(at.child(field), text, format!("unexpected GroupVersion string: {text}"))
        });
    }
    let wrong = names::is_dns1035_label(&text.to_lowercase());
    let detail = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
    (!wrong.is_empty()).then(|| Fault::invalid(at.child(field), text, detail))
}

/// The ordinary rules of metadata; names may be anything that a path can carry.
fn metadata_faults(value: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let name = value.str_at(&["metadata", "name"]);
    if !name.is_empty() {
        let wrong = names::is_path_segment_name(name);
        faults.extend(wrong.into_iter().map(|text| Fault::invalid(at.child("name"), name, text)));
    }
    let namespace = value.str_at(&["metadata", "namespace"]);
    if !namespace.is_empty() {
        let wrong = names::is_dns1123_label(namespace);
        faults.extend(wrong.into_iter().map(|text| Fault::invalid(at.child("namespace"), namespace, text)));
    }
    let at = at.child("labels");
    for (key, label) in value.map_at(&["metadata", "labels"]).into_iter().flat_map(|m| m.iter()) {
        let label = label.as_str().unwrap_or_default();
        faults.extend(
            names::is_qualified_name(key).into_iter().map(|text| Fault::invalid(&at, key.as_str(), text)),
        );
        faults.extend(names::is_label_value(label).into_iter().map(|text| Fault::invalid(&at, label, text)));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts;
    use api::tree;

    fn props() -> Props {
        Props::read(&tree!({"type": "object", "properties": {"t": {"type": "object",
            "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}}}))
    }

    #[test]
    fn embedded_metadata_is_read_and_its_unknown_fields_are_named() {
        let mut object = tree!({"t": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "bogus": 1}, "any": 1}});
        assert_eq!(read_embedded(&mut object, &props()).unwrap(), ["t.metadata.bogus"]);
        assert_eq!(object.at(&["t", "metadata"]), Some(&tree!({"name": "x"})));
        let mut object = tree!({"t": {"apiVersion": 1}});
        let why = read_embedded(&mut object, &props()).unwrap_err();
        assert_eq!(why, "t.apiVersion: Invalid value: 1: must be a string");
    }

    #[test]
    fn embedded_resources_say_what_they_are() {
        let faults = |object: Value| texts(&validate(&object, &props()));
        assert_eq!(faults(tree!({"t": {}})), ["t.apiVersion: Required value", "t.kind: Required value"]);
        assert_eq!(
            faults(tree!({"t": {"apiVersion": "a/b/c", "kind": "", "metadata": {"name": "a/b"}}})),
            [
                "t.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
                "t.kind: Invalid value: \"\": must not be empty",
                "t.metadata.name: Invalid value: \"a/b\": may not contain '/'"
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_of_stored_metadata_is_dropped() {
        let mut object = tree!({"metadata": {"name": "x", "labels": 5, "annotations": {"a": "b"}}});
        repair_metadata(&mut object);
        assert_eq!(object.get("metadata"), Some(&tree!({"name": "x", "annotations": {"a": "b"}})));
    }
}
