//! What every version of a definition has: a schema, subresources, columns of tables, fields to select by.

use super::internal_spec::{Parts, Version, set_fields, shown_schema};
use super::rule_expressions;
use super::schema_rules::{self, Demands};
use super::schema_walk::set;
use super::{defaults, field_path, structural};
use crate::validation;
use api::{Fault, Path, Value};
use std::collections::HashSet;

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] =
    ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const MAX_SELECTABLE: usize = 8;
const MAX_WARNING: usize = 256;
/// What the root of a schema may say when there is a status subresource.
const ROOT_FIELDS: [&str; 22] = [
    "Description",
    "Type",
    "Format",
    "Title",
    "Maximum",
    "ExclusiveMaximum",
    "Minimum",
    "ExclusiveMinimum",
    "MaxLength",
    "MinLength",
    "Pattern",
    "MaxItems",
    "MinItems",
    "UniqueItems",
    "MultipleOf",
    "Required",
    "Items",
    "Properties",
    "ExternalDocs",
    "Example",
    "XPreserveUnknownFields",
    "XValidations",
];

/// Faults of a version. `at`: its own path.
pub fn faults(version: &Version<'_>, has_status: bool, demands: Demands, at: &Path) -> Vec<Fault> {
    let parts = &version.parts;
    let mut faults = warning_faults(version.value, &at.child("deprecationWarning"));
    faults.extend(schema_faults(parts.schema(), has_status, demands, &at.child("schema")));
    faults.extend(subresource_faults(parts.subresources, &at.child("subresources")));
    faults.extend(columns_faults(parts.columns, &at.child("additionalPrinterColumns")));
    let why_none = "may only be set when `version.schema.openAPIV3Schema` is not included";
    faults.extend(selectable_faults(parts, why_none, &at.child("selectableFields")));
    faults
}

fn warning_faults(version: &Value, at: &Path) -> Vec<Fault> {
    let Some(warning) = version.get("deprecationWarning").and_then(Value::as_str) else { return Vec::new() };
    let fault = |text: String| Fault::invalid(at, warning, text);
    if !version.bool_at(&["deprecated"]) {
        return vec![fault("can only be set for deprecated versions".to_owned())];
    }
    let mut faults = Vec::new();
    if warning.len() > MAX_WARNING {
        faults.push(fault(format!("must be <= {MAX_WARNING} characters long")));
    }
    if warning.is_empty() {
        faults.push(fault("must not be an empty string".to_owned()));
    }
    let unprintable = |c: char| c.is_control() || (c.is_whitespace() && c != ' ');
    if let Some((i, _)) = warning.char_indices().find(|(_, c)| unprintable(*c)) {
        let text = format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {i}"
        );
        faults.push(fault(text));
    }
    faults
}

/// Faults of a schema; `at` is the path of what holds it.
pub fn schema_faults(schema: Option<&Value>, has_status: bool, demands: Demands, at: &Path) -> Vec<Fault> {
    let Some(schema) = schema else { return Vec::new() };
    let path = at.child("openAPIV3Schema");
    let mut faults = if has_status { root_faults(schema, &path) } else { Vec::new() };
    if schema.bool_at(&["nullable"]) {
        faults.push(Fault::forbidden(path.child("nullable"), "nullable cannot be true at the root"));
    }
    let structural = structural::faults(schema, &path);
    if structural.as_ref().is_ok_and(Vec::is_empty) {
        faults.extend(defaults::faults(schema, demands.pruned_defaults, &path));
    }
    faults.extend(structural.clone().unwrap_or_default());
    let own = schema_rules::faults(schema, demands, &path);
    if own.is_empty() && structural.as_ref().is_ok_and(Vec::is_empty) {
        faults.extend(rule_expressions::faults(schema, &path));
    }
    faults.extend(own);
    if let Err(text) = structural
        && faults.is_empty()
    {
        faults.push(Fault::invalid(path, "", text));
    }
    faults
}

/// What the root may say when there is a status subresource: the first field that it may not is told.
fn root_faults(schema: &Value, at: &Path) -> Vec<Fault> {
    for field in set_fields(schema) {
        let ty = schema.str_at(&["type"]);
        if field == "Type" && ty != "object" {
            let text = "only \"object\" is allowed as the type at the root of the schema if the status subresource is \
                        enabled";
            return vec![Fault::invalid(at.child("type"), ty, text)];
        }
        if !ROOT_FIELDS.contains(&field) {
            let text = format!(
                "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
                ROOT_FIELDS.join(" ")
            );
            return vec![Fault::invalid(at, shown_schema(schema), text)];
        }
    }
    Vec::new()
}

/// Faults of `status` and `scale`.
pub fn subresource_faults(subresources: Option<&Value>, at: &Path) -> Vec<Fault> {
    let Some(scale) = subresources.and_then(|s| set(s, "scale")) else { return Vec::new() };
    let wanted: [(&str, &[&str], &str); 2] = [
        ("specReplicasPath", &[".spec."], "should be a json path under .spec"),
        ("statusReplicasPath", &[".status."], "should be a json path under .status"),
    ];
    let mut faults = Vec::new();
    for (field, roots, text) in wanted {
        let path = at.child("scale").child(field);
        faults.extend(match scale.str_at(&[field]) {
            "" => vec![Fault::required(path, "")],
            value => under_faults(value, roots, text, &path),
        });
    }
    let selector = scale.str_at(&["labelSelectorPath"]);
    if !selector.is_empty() {
        let text = "should be a json path under either .spec or .status";
        let path = at.child("scale").child("labelSelectorPath");
        faults.extend(under_faults(selector, &[".spec.", ".status."], text, &path));
    }
    faults
}

fn under_faults(value: &str, roots: &[&str], text: &str, at: &Path) -> Vec<Fault> {
    let faults: Vec<Fault> = simple_path_fault(value, at).into_iter().collect();
    if faults.is_empty() && !roots.iter().any(|root| value.starts_with(root)) {
        return vec![Fault::invalid(at, value, text)];
    }
    faults
}

fn simple_path_fault(value: &str, at: &Path) -> Option<Fault> {
    (!value.starts_with('.')).then(|| Fault::invalid(at, value, "must be a simple json path starting with ."))
}

/// Faults of the columns of tables.
pub fn columns_faults(columns: &[Value], at: &Path) -> Vec<Fault> {
    let all = columns.iter().enumerate();
    all.flat_map(|(i, column)| column_faults(column, &at.index(i))).collect()
}

fn column_faults(column: &Value, at: &Path) -> Vec<Fault> {
    let text = |field: &str| column.str_at(&[field]);
    let mut faults = validation::required(text("name"), &at.child("name"));
    let types = format!("must be one of {}", COLUMN_TYPES.join(","));
    match text("type") {
        "" => faults.push(Fault::required(at.child("type"), types)),
        ty if !COLUMN_TYPES.contains(&ty) => faults.push(Fault::invalid(at.child("type"), ty, types)),
        _ => {}
    }
    let format = text("format");
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        let formats = format!("must be one of {}", COLUMN_FORMATS.join(","));
        faults.push(Fault::invalid(at.child("format"), format, formats));
    }
    let path = at.child("JSONPath");
    match text("jsonPath") {
        "" => faults.push(Fault::required(path, "")),
        value => faults.extend(simple_path_fault(value, &path)),
    }
    faults
}

/// Faults of fields to select by; `why_none` is said when there is no schema to find them in.
pub fn selectable_faults(parts: &Parts<'_>, why_none: &str, at: &Path) -> Vec<Fault> {
    if parts.selectable.is_empty() {
        return Vec::new();
    }
    let Some(schema) = parts.schema() else { return vec![Fault::invalid(at, "", why_none)] };
    let mut faults = Vec::new();
    let mut seen = HashSet::new();
    for (i, field) in parts.selectable.iter().enumerate() {
        let (text, path) = (field.str_at(&["jsonPath"]), at.index(i).child("jsonPath"));
        if text.is_empty() {
            faults.push(Fault::required(path, ""));
            continue;
        }
        let (place, found) = match field_path::resolve(text, schema, false) {
            Ok(found) => found,
            Err(why) => {
                faults.push(Fault::invalid(path, text, format!("is an invalid path: {why}")));
                continue;
            }
        };
        if place.as_str() == "metadata" || place.as_str().starts_with("metadata.") {
            faults.push(Fault::invalid(&path, text, "must not point to fields in metadata"));
        }
        if !matches!(found.str_at(&["type"]), "string" | "boolean" | "integer") {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with \
                          formats are allowed.";
            faults.push(Fault::invalid(&path, text, detail));
        }
        if !seen.insert(place.as_str().to_owned()) {
            faults.push(Fault::duplicate(path, text));
        }
    }
    if seen.len() > MAX_SELECTABLE {
        faults.push(Fault::too_many(at, seen.len(), MAX_SELECTABLE));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn texts(faults: Vec<Fault>) -> Vec<String> {
        faults.iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn columns_have_a_name_a_type_and_a_path() {
        let columns = tree!([{"name": "", "type": "weird", "jsonPath": "spec.a", "format": "odd"}]);
        assert_eq!(
            texts(columns_faults(columns.as_list().unwrap(), &Path::new("c"))),
            [
                "c[0].name: Required value",
                "c[0].type: Invalid value: \"weird\": must be one of boolean,date,integer,number,string",
                "c[0].format: Invalid value: \"odd\": must be one of byte,date,date-time,double,float,int32,int64,password",
                "c[0].JSONPath: Invalid value: \"spec.a\": must be a simple json path starting with .",
            ]
        );
    }

    #[test]
    fn scale_finds_its_numbers_in_spec_and_status() {
        let subresources = tree!({"scale": {"specReplicasPath": ".replicas", "statusReplicasPath": ""}});
        assert_eq!(
            texts(subresource_faults(Some(&subresources), &Path::new("s"))),
            [
                "s.scale.specReplicasPath: Invalid value: \".replicas\": should be a json path under .spec",
                "s.scale.statusReplicasPath: Required value",
            ]
        );
    }

    #[test]
    fn selectable_fields_are_scalars_and_named_once() {
        let validation =
            tree!({"openAPIV3Schema": {"properties": {"a": {"type": "string"}, "o": {"type": "object"}}}});
        let fields = tree!([{"jsonPath": ".a"}, {"jsonPath": ".a"}, {"jsonPath": ".o"}, {"jsonPath": ".x"}]);
        let parts = Parts {
            validation: Some(&validation),
            selectable: fields.as_list().unwrap(),
            ..Parts::default()
        };
        let found = texts(selectable_faults(&parts, "", &Path::new("f")));
        assert_eq!(found[0], "f[1].jsonPath: Duplicate value: \".a\"");
        assert!(found[1].starts_with("f[2].jsonPath: Invalid value: \".o\": must point to a field of type"));
        assert_eq!(
            found[2],
            "f[3].jsonPath: Invalid value: \".x\": is an invalid path: does not refer to a valid field"
        );
    }

    #[test]
    fn the_root_says_little_when_there_is_a_status() {
        assert!(root_faults(&tree!({"type": "object", "properties": {}}), &Path::new("s")).is_empty());
        let found = texts(root_faults(&tree!({"type": "object", "maxProperties": 1}), &Path::new("s")));
        assert!(found[0].contains("\"MaxProperties\":1"));
        assert!(found[0].contains("only [Description Type Format"));
    }
}
