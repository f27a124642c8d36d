//! How upstream's in-memory types print: in faults that show a whole struct (`roleRef: Invalid value: {"APIGroup":…}`)
//! clients see Go's names of the fields, all of them, in the order of the schema, with zero values where nothing is set.

use api::schema::{Field, Presence, Scalar, Schema, Shape, TypeId};
use api::{Map, Value};

/// Words that Go writes in capitals when they start a name, longest first.
const INITIALISMS: [&str; 24] = [
    "iscsi", "cidrs", "https", "cidr", "http", "json", "uuid", "api", "aws", "cel", "cpu", "csi", "dns",
    "gce", "ips", "nfs", "pid", "rbd", "tls", "tty", "ttl", "uid", "url", "ip",
];
/// Names that no rule gives.
const EXCEPTIONS: [(&str, &str); 8] = [
    ("fsType", "FSType"),
    ("fsGroup", "FSGroup"),
    ("fsGroupPolicy", "FSGroupPolicy"),
    ("fsGroupChangePolicy", "FSGroupChangePolicy"),
    ("seLinuxMount", "SELinuxMount"),
    ("seLinuxOptions", "SELinuxOptions"),
    ("id", "ID"),
    ("os", "OS"),
];
const META: &str = "io.k8s.apimachinery.";

/// A value of a type, named by its OpenAPI definition, as upstream's in-memory type prints it; `null` for nothing.
/// Types of apimachinery print as they do on the wire.
pub fn internal_form(value: Option<&Value>, definition: &str) -> Value {
    let schema = api::schema::builtin();
    match (value, schema.find(definition)) {
        (None, _) => Value::Null,
        (Some(value), None) => value.clone(),
        (Some(value), Some(ty)) => of_struct(value, schema, ty),
    }
}

/// The Go name of a field: `apiGroup` → `APIGroup`.
fn go_name(name: &str) -> String {
    if let Some((_, go)) = EXCEPTIONS.iter().find(|(json, _)| *json == name) {
        return (*go).to_owned();
    }
    let word = INITIALISMS.iter().find(|word| {
        name.strip_prefix(**word)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_uppercase()))
    });
    match word {
        Some(word) => {
            let capitals = if word.ends_with("rs") || *word == "ips" {
                format!("{}s", word[..word.len() - 1].to_uppercase())
            } else {
                word.to_uppercase()
            };
            format!("{capitals}{}", &name[word.len()..])
        }
        None => {
            let mut chars = name.chars();
            chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect()
        }
    }
}

fn of_struct(value: &Value, schema: &Schema, id: TypeId) -> Value {
    let ty = schema.get(id);
    if ty.name.starts_with(META) {
        return value.clone();
    }
    let mut out = Map::with_capacity(ty.fields.len());
    for field in &ty.fields {
        let inner = value.get(&field.name).filter(|v| !v.is_null());
        if is_embedded_meta(field, schema) {
            for (key, meta) in inner.and_then(Value::as_map).into_iter().flat_map(Map::iter) {
                out.insert(key.clone(), meta.clone());
            }
            continue;
        }
        let printed = match inner {
            Some(inner) => of_shape(inner, schema, &field.shape),
            None => zero(field, schema),
        };
        out.insert(go_name(&field.name), printed);
    }
    Value::Map(out)
}

/// `metadata` is embedded in Go, so its fields stand beside the others.
fn is_embedded_meta(field: &Field, schema: &Schema) -> bool {
    match &field.shape {
        Shape::Struct(id) => schema.get(*id).name.ends_with(".ObjectMeta"),
        _ => false,
    }
}

fn of_shape(value: &Value, schema: &Schema, shape: &Shape) -> Value {
    match (shape, value) {
        (Shape::Struct(id), _) => of_struct(value, schema, *id),
        (Shape::List(item), Value::List(list)) => {
            Value::List(list.iter().map(|v| of_shape(v, schema, item)).collect())
        }
        (Shape::Map(item), Value::Map(map)) => {
            Value::Map(map.iter().map(|(k, v)| (k.clone(), of_shape(v, schema, item))).collect())
        }
        _ => value.clone(),
    }
}

fn zero(field: &Field, schema: &Schema) -> Value {
    if matches!(field.presence, Presence::Pointer | Presence::AlwaysPointer) {
        return Value::Null;
    }
    match &field.shape {
        Shape::Struct(id) => of_struct(&Value::Null, schema, *id),
        Shape::Scalar(Scalar::Str) => "".into(),
        Shape::Scalar(Scalar::Bool) => false.into(),
        Shape::Scalar(Scalar::Int32 | Scalar::Int64 | Scalar::Double | Scalar::IntOrString) => Value::Int(0),
        Shape::Scalar(Scalar::Quantity) => "0".into(),
        Shape::Scalar(Scalar::Duration) => "0s".into(),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_gos() {
        for (json, go) in [
            ("apiGroup", "APIGroup"),
            ("cel", "CEL"),
            ("cidrs", "CIDRs"),
            ("ipBlock", "IPBlock"),
            ("deviceClassName", "DeviceClassName"),
            ("fsGroupPolicy", "FSGroupPolicy"),
            ("ipam", "Ipam"),
            ("urlPath", "URLPath"),
        ] {
            assert_eq!(go_name(json), go);
        }
    }

    #[test]
    fn an_unknown_type_prints_as_it_is_and_nothing_as_null() {
        let value = api::tree!({"a": 1});
        assert_eq!(internal_form(Some(&value), "no.such.Type"), value);
        assert_eq!(internal_form(None, "no.such.Type"), Value::Null);
    }
}
