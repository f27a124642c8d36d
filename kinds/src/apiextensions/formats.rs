//! Formats of values in schemas: which are known, and so enforced. Of the others clients are warned.

use super::schema_walk;
use crate::custom::is_checked_format;
use api::Value;

/// Whether a format means something for a type ("" for a schema without one).
pub fn is_known(ty: &str, format: &str) -> bool {
    match ty {
        "" | "string" => is_checked_format(format),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    }
}

/// The unknown formats in the schemas, in order.
pub fn unknown<'v>(schemas: impl Iterator<Item = &'v Value>) -> Vec<&'v str> {
    let mut found = Vec::new();
    for schema in schemas {
        schema_walk::each(schema, &mut |s| {
            let format = s.str_at(&["format"]);
            if !format.is_empty() && !is_known(s.str_at(&["type"]), format) {
                found.push(format);
            }
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn formats_belong_to_types() {
        let schema = tree!({"properties": {"a": {"type": "string", "format": "date-time"}, "b": {"type": "integer",
            "format": "int8"}, "c": {"format": "nonsense"}, "d": {"type": "object", "format": "uri"}}});
        assert_eq!(unknown(std::iter::once(&schema)), ["int8", "nonsense", "uri"]);
    }
}
