//! The built-in types, read at first use from `table.tsv`, which `cargo xtask generate` writes.
//!
//! A line without a leading tab begins a type: name without `io.k8s.`, flags (`a`: merged as one value), then the
//! `group/version`s whose kind it is (`*`: every one). Lines with a leading tab are its fields: JSON name, shape,
//! presence code, protobuf numbers, then notes (`req`, `list=name`, `merge`, `key=name`, `def=1`, …).
//! Shapes are letters for scalars, `*` for any JSON, `[` list of, `%` map of, `?x` a struct or something else, and
//! names of structs.

use super::{Field, ListKind, Other, Presence, Scalar, Schema, Shape, Type, TypeId};
use crate::{Str, json};
use std::collections::HashMap;
use std::sync::LazyLock;

static TABLE: &str = include_str!("table.tsv");

/// The schema and the kinds that its types are.
#[derive(Default)]
struct Builtin {
    schema: Schema,
    /// By kind: group, version, type.
    kinds: HashMap<&'static str, Vec<(&'static str, &'static str, TypeId)>>,
    everywhere: HashMap<&'static str, TypeId>,
}

static BUILTIN: LazyLock<Builtin> = LazyLock::new(|| read(TABLE));

/// The built-in types.
pub fn builtin() -> &'static Schema {
    &BUILTIN.schema
}

/// The type of a built-in kind. Options and `WatchEvent` exist in every group and version.
pub fn builtin_type(group: &str, version: &str, kind: &str) -> Option<TypeId> {
    let own = BUILTIN.kinds.get(kind).into_iter().flatten();
    let own = own.filter(|(g, v, _)| *g == group && *v == version).map(|(_, _, ty)| *ty).next();
    own.or_else(|| BUILTIN.everywhere.get(kind).copied())
}

/// All built-in kinds as group, version, kind and type; without those that exist everywhere. In no order.
pub fn gvk_types() -> impl Iterator<Item = (&'static str, &'static str, &'static str, TypeId)> {
    BUILTIN.kinds.iter().flat_map(|(kind, places)| places.iter().map(|(g, v, ty)| (*g, *v, *kind, *ty)))
}

/// A schema written as the table is: for files that configure the server.
pub fn of_table(text: &'static str) -> Schema {
    read(text).schema
}

fn read(text: &'static str) -> Builtin {
    let mut builtin = Builtin::default();
    let mut current: Option<(TypeId, Type)> = None;
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        if let Some(row) = line.strip_prefix('\t') {
            if let Some((_, ty)) = &mut current {
                ty.fields.push(field(row, &mut builtin.schema));
            }
            continue;
        }
        if let Some((id, ty)) = current.take() {
            builtin.schema.define(id, ty);
        }
        current = Some(begin_type(line, &mut builtin));
    }
    if let Some((id, ty)) = current {
        builtin.schema.define(id, ty);
    }
    builtin.schema.shrink();
    builtin
}

fn begin_type(line: &'static str, builtin: &mut Builtin) -> (TypeId, Type) {
    let mut cells = line.split('\t');
    let (name, flags) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
    let kind = name.rsplit('.').next().unwrap_or_default();
    let full = format!("io.k8s.{name}");
    let id = builtin.schema.declare(&full);
    for place in cells {
        match place.split_once('/') {
            Some((group, version)) => builtin.kinds.entry(kind).or_default().push((group, version, id)),
            None => drop(builtin.everywhere.insert(kind, id)),
        }
    }
    (id, Type { name: full.into(), atomic: flags.contains('a'), ..Type::default() })
}

fn field(row: &'static str, schema: &mut Schema) -> Field {
    let mut cells = row.split('\t');
    let mut cell = || cells.next().unwrap_or_default();
    let mut field = Field::new(cell(), shape(cell(), schema));
    field.presence = presence(cell());
    field.proto = cell().split('.').filter_map(|n| n.parse().ok()).collect();
    for note in cells {
        annotate(&mut field, note);
    }
    field
}

fn presence(code: &str) -> Presence {
    match code {
        "e" => Presence::OmitEmpty,
        "z" => Presence::OmitZero,
        "a" => Presence::Always,
        "n" => Presence::AlwaysPointer,
        _ => Presence::Pointer,
    }
}

fn annotate(field: &mut Field, note: &'static str) {
    let (key, value) = note.split_once('=').unwrap_or((note, ""));
    match key {
        "req" => field.required = true,
        "atomic" => field.atomic = true,
        "merge" => field.patch_merge = true,
        "retain" => field.patch_retain_keys = true,
        "wrap" => field.wrapped = true,
        "key" => field.patch_merge_key = value.into(),
        "in" => field.embedded = value.into(),
        "go" => field.go_type = value.into(),
        "def" => field.default = json::parse(value.as_bytes()).ok(),
        "list" if value == "set" => field.list = ListKind::Set,
        "list" => field.list = ListKind::Map(value.split(',').map(Str::from).collect()),
        _ => {}
    }
}

fn shape(text: &str, schema: &mut Schema) -> Shape {
    if let Some(item) = text.strip_prefix('[') {
        return Shape::List(Box::new(shape(item, schema)));
    }
    if let Some(item) = text.strip_prefix('%') {
        return Shape::Map(Box::new(shape(item, schema)));
    }
    for (sign, other) in [("?b", Other::Bool), ("?l", Other::List), ("?s", Other::StrList)] {
        if let Some(name) = text.strip_prefix(sign) {
            return Shape::StructOr(schema.declare(&format!("io.k8s.{name}")), other);
        }
    }
    let scalar = match text {
        "*" => return Shape::Any,
        "s" => Scalar::Str,
        "b" => Scalar::Bool,
        "i" => Scalar::Int32,
        "l" => Scalar::Int64,
        "d" => Scalar::Double,
        "y" => Scalar::Bytes,
        "q" => Scalar::Quantity,
        "o" => Scalar::IntOrString,
        "t" => Scalar::Time,
        "m" => Scalar::MicroTime,
        "u" => Scalar::Duration,
        name => return Shape::Struct(schema.declare(&format!("io.k8s.{name}"))),
    };
    Shape::Scalar(scalar)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    #[test]
    fn every_type_that_is_referred_to_is_defined() {
        let defined = TABLE.lines().filter(|l| !l.starts_with(['\t', '#'])).count();
        assert_eq!(builtin().types().count(), defined);
        assert!(defined > 900);
    }

    #[test]
    fn kinds_lead_to_their_types() {
        let id = builtin_type("", "v1", "Pod").unwrap();
        let pod = builtin().get(id);
        assert_eq!(pod.name, "io.k8s.api.core.v1.Pod");
        let fields: Vec<&str> = pod.fields.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(fields, ["kind", "apiVersion", "metadata", "spec", "status"]);
        assert_eq!(builtin_type("apps", "v1", "DeleteOptions"), builtin_type("", "v1", "DeleteOptions"));
        assert_eq!(builtin_type("apps", "v1", "Pod"), None);
        for kind in ["PodList", "List", "Status", "APIGroup", "Binding", "PodExecOptions"] {
            assert!(builtin_type("", "v1", kind).is_some(), "{kind}");
        }
        assert!(builtin_type("apiextensions.k8s.io", "v1", "CustomResourceDefinitionList").is_some());
        assert!(builtin_type("apiregistration.k8s.io", "v1", "APIService").is_some());
        assert!(builtin_type("admission.k8s.io", "v1", "AdmissionReview").is_some());
    }

    #[test]
    fn fields_carry_their_notes() {
        let spec = builtin().get(builtin().find("io.k8s.api.core.v1.PodSpec").unwrap());
        let containers = spec.field("containers").unwrap();
        assert!(containers.required && containers.patch_merge && containers.patch_merge_key == "name");
        assert_eq!(containers.list, ListKind::Map(vec!["name".into()]));
        assert!(
            spec.field("volumes").unwrap().patch_retain_keys && spec.field("nodeSelector").unwrap().atomic
        );
        let port = builtin().get(builtin().find("io.k8s.api.core.v1.ContainerPort").unwrap());
        let protocol = port.field("protocol").unwrap();
        assert_eq!(protocol.default, Some(Value::from("TCP")));
        assert_eq!((protocol.go_type.as_str(), port.go_name()), ("v1.Protocol", "v1.ContainerPort"));
        let volume = builtin().get(builtin().find("io.k8s.api.core.v1.Volume").unwrap());
        let host_path = volume.field("hostPath").unwrap();
        assert_eq!((host_path.proto.as_slice(), host_path.embedded.as_str()), (&[2, 1][..], "VolumeSource"));
    }
}
