//! The pod's spec as upstream's server holds it in memory, which clients see in two places: faults that print a whole
//! struct, and the diff in the refusal of an update. Names and order of fields are those of the in-memory types;
//! fields that hold nothing are printed too.
//!
//! `internal_layout.txt` has one type a line: its name, then fields as `Name=json:CODE` (`=json` where it is not the
//! name with a small first letter; `+Type` for the fields of another type, `+meta` for those of `metadata`).
//! Codes: `s` text, `b` bool, `i` number, `q` quantity, `n` null when missing; `S`, `P` and `L` with a type: struct,
//! struct or null, list or null.

use super::set;
use crate::unified_diff::unified_diff;
use api::{Map, Value};
use std::collections::HashMap;
use std::sync::LazyLock;

static LAYOUT: LazyLock<HashMap<&'static str, Vec<Part>>> =
    LazyLock::new(|| include_str!("internal_layout.txt").lines().filter_map(parse_line).collect());

/// One token of a layout.
enum Part {
    Field { go: &'static str, json: String, code: &'static str },
    Embedded(&'static str),
}

fn parse_line(line: &'static str) -> Option<(&'static str, Vec<Part>)> {
    let (name, fields) = line.split_once(' ')?;
    Some((name, fields.split(' ').map(parse_part).collect()))
}

fn parse_part(token: &'static str) -> Part {
    if let Some(name) = token.strip_prefix('+') {
        return Part::Embedded(name);
    }
    let (names, code) = token.split_once(':').unwrap_or((token, "n"));
    match names.split_once('=') {
        Some((go, json)) => Part::Field { go, json: json.to_owned(), code },
        None => {
            let json = names.chars().take(1).map(|c| c.to_ascii_lowercase()).chain(names.chars().skip(1));
            Part::Field { go: names, json: json.collect(), code }
        }
    }
}

/// A value of a type as the in-memory type prints it; `null` for nothing.
pub fn form(value: Option<&Value>, ty: &str) -> Value {
    value.filter(|v| !v.is_null()).map_or(Value::Null, |value| of_struct(value, ty))
}

fn of_struct(value: &Value, ty: &str) -> Value {
    let mut out = Map::new();
    write_fields(value, ty, &mut out);
    Value::Map(out)
}

fn write_fields(value: &Value, ty: &str, out: &mut Map) {
    for part in LAYOUT.get(ty).into_iter().flatten() {
        match part {
            Part::Embedded("meta") => {
                for (key, field) in value.map_at(&["metadata"]).into_iter().flat_map(Map::iter) {
                    out.insert(key.clone(), field.clone());
                }
            }
            Part::Embedded(other) => write_fields(value, other, out),
            Part::Field { go, json, code } => {
                out.insert(*go, of_field(set(value, json), code));
            }
        }
    }
}

fn of_field(value: Option<&Value>, code: &str) -> Value {
    let (kind, ty) = code.split_at_checked(1).unwrap_or((code, ""));
    match (kind, value) {
        ("S", value) => of_struct(value.unwrap_or(&Value::Null), ty),
        ("P", value) => form(value, ty),
        ("L", Some(Value::List(list))) => Value::List(list.iter().map(|v| of_struct(v, ty)).collect()),
        (_, Some(value)) => value.clone(),
        ("s", None) => "".into(),
        ("b", None) => false.into(),
        ("i", None) => Value::Int(0),
        ("q", None) => "0".into(),
        _ => Value::Null,
    }
}

/// A pod's spec in memory: what is shared with the host stands in the security context there.
fn spec_form(spec: &Value) -> Value {
    let mut moved = spec.clone();
    for field in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"] {
        if let Some(value) = set(spec, field) {
            moved.set(&["securityContext", field], value.clone());
        }
    }
    of_struct(&moved, "PodSpec")
}

/// The difference of two specs as upstream's refusal shows it.
pub fn spec_diff(old: &Value, new: &Value) -> String {
    unified_diff(&pretty(&spec_form(old)), &pretty(&spec_form(new)))
}

/// The difference of two values of a type.
pub fn diff(old: &Value, new: &Value, ty: &str) -> String {
    unified_diff(&pretty(&of_struct(old, ty)), &pretty(&of_struct(new, ty)))
}

/// JSON on many lines, indented by one blank.
pub fn pretty(value: &Value) -> String {
    let by_two = String::from_utf8(api::json::to_pretty(value)).unwrap_or_default();
    let halved = by_two.lines().map(|line| {
        let text = line.trim_start_matches(' ');
        format!("{}{text}", " ".repeat((line.len() - text.len()) / 2))
    });
    halved.collect::<Vec<String>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_security_context_prints_all_its_fields() {
        let context = tree!({"privileged": true, "runAsUser": -1, "allowPrivilegeEscalation": false, "procMount": "Odd"});
        assert_eq!(
            api::json::to_string(&form(Some(&context), "SecurityContext")),
            "{\"Capabilities\":null,\"Privileged\":true,\"SELinuxOptions\":null,\"WindowsOptions\":null,\
             \"RunAsUser\":-1,\"RunAsGroup\":null,\"RunAsNonRoot\":null,\"ReadOnlyRootFilesystem\":null,\
             \"AllowPrivilegeEscalation\":false,\"ProcMount\":\"Odd\",\"SeccompProfile\":null,\
             \"AppArmorProfile\":null}"
        );
    }

    #[test]
    fn a_changed_command_shows_in_its_surroundings() {
        let spec = |command: Value| tree!({"volumes": [], "containers": [{"name": "c", "image": "i:2", "command": command}], "securityContext": {}});
        let mut old = spec(Value::Null);
        old.unset(&["volumes"]);
        let mut new = spec(tree!(["x"]));
        new.unset(&["volumes"]);
        let want = "@@ -5,7 +5,9 @@\n   {\n    \"Name\": \"c\",\n    \"Image\": \"i:2\",\n-   \"Command\": null,\n+   \
                    \"Command\": [\n+    \"x\"\n+   ],\n    \"Args\": null,\n    \"WorkingDir\": \"\",\n    \"Ports\": null,\n";
        assert_eq!(spec_diff(&old, &new), want);
    }
}
