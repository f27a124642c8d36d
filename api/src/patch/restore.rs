//! What is wrong with the outcome of a strategic merge patch, in the words of upstream's way back from trees to Go
//! values, which differ from those of decoding JSON.

use crate::schema::{Scalar, Shape, TypeId};
use crate::{Schema, Value};

/// Why a patched object cannot be one of its type: `cannot restore slice from map`. Nothing when its shape fits;
/// texts inside of strings (times, quantities) are left to decoding.
pub fn misfit(schema: &Schema, ty: TypeId, object: &Value) -> Option<String> {
    struct_misfit(schema, ty, object)
}

fn shape_misfit(schema: &Schema, shape: &Shape, go_type: &str, value: &Value) -> Option<String> {
    if value.is_null() {
        return None;
    }
    match (shape, value) {
        (Shape::Any | Shape::StructOr(..), _) => None,
        (Shape::Struct(ty), value) => struct_misfit(schema, *ty, value),
        (Shape::List(items), Value::List(list)) => {
            list.iter().find_map(|item| shape_misfit(schema, items, go_type, item))
        }
        (Shape::List(_), other) => Some(format!("cannot restore slice from {}", go_kind(other))),
        (Shape::Map(values), Value::Map(map)) => {
            map.values().find_map(|value| shape_misfit(schema, values, go_type, value))
        }
        (Shape::Map(_), other) => Some(format!("cannot restore map from {}", go_kind(other))),
        (Shape::Scalar(scalar), value) => scalar_misfit(*scalar, go_type, value),
    }
}

fn struct_misfit(schema: &Schema, ty: TypeId, value: &Value) -> Option<String> {
    let Value::Map(map) = value else {
        return Some(format!("cannot restore struct from: {}", go_kind(value)));
    };
    schema.get(ty).fields.iter().find_map(|field| {
        let value = map.get(&field.name)?;
        shape_misfit(schema, &field.shape, &field.go_type, value)
    })
}

fn scalar_misfit(scalar: Scalar, go_type: &str, value: &Value) -> Option<String> {
    let kind = match scalar {
        Scalar::Str => "string",
        Scalar::Bool => "bool",
        Scalar::Int32 => "int32",
        Scalar::Int64 => "int64",
        Scalar::Double => "float64",
        Scalar::Bytes => match value {
            Value::Str(_) | Value::List(_) => return None,
            other => return Some(format!("cannot restore slice from {}", go_kind(other))),
        },
        Scalar::Quantity | Scalar::IntOrString | Scalar::Time | Scalar::MicroTime | Scalar::Duration => {
            return None;
        }
    };
    let named = if go_type.is_empty() { kind } else { go_type };
    match (scalar, value) {
        (Scalar::Str, Value::Str(_))
        | (Scalar::Bool, Value::Bool(_))
        | (Scalar::Int32 | Scalar::Int64 | Scalar::Double, Value::Int(_))
        | (Scalar::Double, Value::Float(_)) => None,
        (Scalar::Int32 | Scalar::Int64, Value::Float(f)) if f.fract() == 0.0 => None,
        (Scalar::Int32 | Scalar::Int64, Value::Float(_)) => {
            Some(format!("cannot convert float64 to {named}"))
        }
        (Scalar::Str, Value::Int(_)) => Some(format!("cannot convert int64 to {named}")),
        _ => Some(format!("unrecognized type: {kind}")),
    }
}

fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::Str(_) => "string",
        Value::List(_) => "slice",
        Value::Map(_) => "map",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{schema, tree};

    #[test]
    fn wrong_shapes_are_told_as_upstream_does() {
        let ty = schema::builtin_type("", "v1", "PodTemplate").unwrap();
        let text = |spec: Value| misfit(schema::builtin(), ty, &tree!({"template": {"spec": spec}}));
        assert_eq!(text(tree!({"containers": {"name": "c"}})).unwrap(), "cannot restore slice from map");
        assert_eq!(text(tree!(["x"])).unwrap(), "cannot restore struct from: slice");
        assert_eq!(text(tree!({"nodeSelector": "x"})).unwrap(), "cannot restore map from string");
        assert_eq!(text(tree!({"hostname": 5})).unwrap(), "cannot convert int64 to string");
        assert_eq!(text(tree!({"hostname": true})).unwrap(), "unrecognized type: string");
        assert_eq!(text(tree!({"priority": "high"})).unwrap(), "unrecognized type: int32");
        assert_eq!(text(tree!({"containers": [{"name": "c", "image": "i"}], "priority": 1.0})), None);
    }
}
