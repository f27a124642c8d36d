//! A type of the schema table as a definition of OpenAPI.

use super::{Flavor, facts};
use crate::describe::{Description, Descriptions};
use api::schema::{Field, ListKind, Other, Presence, Scalar, Shape, Type, TypeId};
use api::{Map, Schema, Value, tree};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const EXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";

/// Writes definitions of one schema in one flavor.
pub struct Writer<'a> {
    pub schema: &'a Schema,
    pub flavor: Flavor,
    pub descriptions: &'a Descriptions,
}

impl Writer<'_> {
    /// The definition of a type. `kinds` are the group, version and kind it is served as.
    pub fn definition(&self, id: TypeId, kinds: &[(String, String, String)]) -> Value {
        let ty = self.schema.get(id);
        let nothing = Description::default();
        let known = self.descriptions.get(&ty.name).unwrap_or(&nothing);
        let mut out = Map::new();
        describe(&mut out, &known.text);
        if !ty.fields.is_empty() {
            let fields =
                ty.fields.iter().map(|f| (f.name.clone(), self.property(ty, f, known.field(&f.name))));
            out.insert("properties", Value::Map(fields.collect()));
        }
        let required: Vec<&str> = ty.fields.iter().filter(|f| f.required).map(|f| f.name.as_str()).collect();
        if !required.is_empty() {
            out.insert("required", required);
        }
        out.insert("type", "object");
        if !kinds.is_empty() {
            out.insert("x-kubernetes-group-version-kind", kinds.iter().map(gvk).collect::<Vec<_>>());
        }
        if ty.atomic {
            out.insert("x-kubernetes-map-type", "atomic");
        }
        if let Some(union) = union(&ty.name) {
            out.insert("x-kubernetes-unions", union);
        }
        out.into()
    }

    fn property(&self, ty: &Type, field: &Field, description: &str) -> Value {
        let mut out = self.shape(ty, field, &field.shape);
        let own = facts::own_description(&ty.name, &field.name);
        let mut text = if description.is_empty() { own } else { description }.to_owned();
        if let Some(values) = facts::enum_values(&ty.name, &field.name) {
            let lines: Vec<String> = values.clone().map(|v| format!(" - `{v:?}`")).collect();
            text += &format!("\n\nPossible enum values:\n{}", lines.join("\n"));
            let list: Vec<&str> = values.collect();
            match out.get_mut("items").and_then(Value::as_map_mut) {
                Some(items) => items.insert("enum", list),
                None => out.insert("enum", list),
            };
        }
        extend(&mut out, ty, field);
        for (extension, value) in facts::extensions(&ty.name, &field.name) {
            out.insert(extension, value);
        }
        if self.flavor == Flavor::V3 {
            complete_v3(&mut out, default(ty, field), !text.is_empty());
        }
        describe(&mut out, &text);
        out.into()
    }

    fn shape(&self, ty: &Type, field: &Field, shape: &Shape) -> Map {
        let mut out = Map::new();
        match shape {
            Shape::Any => return self.reference(any(ty, field)),
            Shape::Scalar(scalar) => return self.scalar(*scalar),
            Shape::Struct(id) => return self.reference(self.schema.get(*id).name.to_string()),
            Shape::StructOr(id, other) => {
                let suffix = match other {
                    Other::Bool => "OrBool",
                    Other::List => "OrArray",
                    Other::StrList => "OrStringArray",
                };
                return self.reference(format!("{}{suffix}", self.schema.get(*id).name));
            }
            Shape::List(item) => {
                out.insert("items", self.shape(ty, field, item));
                out.insert("type", "array");
            }
            Shape::Map(item) => {
                out.insert("additionalProperties", self.shape(ty, field, item));
                out.insert("type", "object");
            }
        }
        out
    }

    fn scalar(&self, scalar: Scalar) -> Map {
        let (ty, format) = match scalar {
            Scalar::Str => ("string", ""),
            Scalar::Bool => ("boolean", ""),
            Scalar::Int32 => ("integer", "int32"),
            Scalar::Int64 => ("integer", "int64"),
            Scalar::Double => ("number", "double"),
            Scalar::Bytes => ("string", "byte"),
            other => return self.reference(special_name(other)),
        };
        typed(ty, format)
    }

    fn reference(&self, definition: String) -> Map {
        Map::from_pairs(vec![("$ref".into(), self.flavor.reference(&definition).into())])
    }

    /// The definition of a type that is no struct; `None` when the name is none of these.
    pub fn special(&self, definition: &str) -> Option<Value> {
        let v2 = self.flavor == Flavor::V2;
        let mut out = match definition.rsplit_once('.')?.1 {
            "Quantity" if v2 => typed("string", ""),
            "Quantity" => one_of("string", "number"),
            "IntOrString" if v2 => typed("string", "int-or-string"),
            "IntOrString" => {
                let mut out = one_of("integer", "string");
                out.insert("format", "int-or-string");
                out
            }
            "Time" | "MicroTime" => typed("string", "date-time"),
            "Duration" => typed("string", ""),
            "FieldsV1" | "RawExtension" | "Patch" => typed("object", ""),
            "JSON" | "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray" => {
                Map::new()
            }
            _ => return None,
        };
        describe(&mut out, self.descriptions.get(definition).map_or("", |d| &d.text));
        Some(out.into())
    }
}

/// A reference may not have neighbours in OpenAPI 3; and defaults are only said there.
fn complete_v3(out: &mut Map, default: Option<Value>, is_described: bool) {
    let has_neighbours = is_described || default.is_some() || out.len() > 1;
    if has_neighbours && let Some(reference) = out.remove("$ref") {
        out.insert("allOf", tree!([{ "$ref": reference }]));
    }
    if let Some(default) = default {
        out.insert("default", default);
    }
}

/// The definition of a scalar that has one.
fn special_name(scalar: Scalar) -> String {
    match scalar {
        Scalar::Quantity => "io.k8s.apimachinery.pkg.api.resource.Quantity".to_owned(),
        Scalar::IntOrString => "io.k8s.apimachinery.pkg.util.intstr.IntOrString".to_owned(),
        Scalar::Time => format!("{META}.Time"),
        Scalar::MicroTime => format!("{META}.MicroTime"),
        _ => format!("{META}.Duration"),
    }
}

/// The definition of a value of any form.
fn any(ty: &Type, field: &Field) -> String {
    if field.name == "fieldsV1" {
        format!("{META}.FieldsV1")
    } else if ty.name.starts_with(EXTENSIONS) {
        format!("{EXTENSIONS}.JSON")
    } else {
        "io.k8s.apimachinery.pkg.runtime.RawExtension".to_owned()
    }
}

fn typed(ty: &str, format: &str) -> Map {
    let mut out = Map::new();
    if !format.is_empty() {
        out.insert("format", format);
    }
    out.insert("type", ty);
    out
}

fn one_of(a: &str, b: &str) -> Map {
    Map::from_pairs(vec![("oneOf".into(), tree!([{"type": a}, {"type": b}]))])
}

fn describe(out: &mut Map, text: &str) {
    if !text.is_empty() {
        out.insert("description", text);
    }
}

fn gvk((group, version, kind): &(String, String, String)) -> Value {
    tree!({"group": group.as_str(), "kind": kind.as_str(), "version": version.as_str()})
}

fn union(definition: &str) -> Option<Value> {
    let (discriminator, fields) = facts::union(definition)?;
    let upper = |field: &str| field[..1].to_uppercase() + &field[1..];
    let fields: Map = fields.iter().map(|field| (*field, upper(field))).collect();
    let mut union = Map::new();
    if !discriminator.is_empty() {
        union.insert("discriminator", discriminator);
    }
    union.insert("fields-to-discriminateBy", fields);
    Some(Value::List(vec![union.into()]))
}

/// How apply and strategic merge treat a field.
fn extend(out: &mut Map, ty: &Type, field: &Field) {
    let is_items = field.name == "items" && ty.name.ends_with("List");
    if matches!(field.shape, Shape::List(_)) && !is_items && !field.wrapped {
        match &field.list {
            ListKind::Atomic => out.insert("x-kubernetes-list-type", "atomic"),
            ListKind::Set => out.insert("x-kubernetes-list-type", "set"),
            ListKind::Map(keys) => {
                out.insert("x-kubernetes-list-map-keys", keys.iter().map(Value::from).collect::<Vec<_>>());
                out.insert("x-kubernetes-list-type", "map")
            }
        };
    }
    if field.atomic {
        out.insert("x-kubernetes-map-type", "atomic");
    }
    if !field.patch_merge_key.is_empty() {
        out.insert("x-kubernetes-patch-merge-key", &field.patch_merge_key);
    }
    let strategy = match (field.patch_merge, field.patch_retain_keys) {
        (true, true) => "merge,retainKeys",
        (true, false) => "merge",
        (false, true) => "retainKeys",
        (false, false) => return,
    };
    out.insert("x-kubernetes-patch-strategy", strategy);
}

/// The default that OpenAPI 3 says: the real one, or the zero of what cannot be absent in Go.
fn default(ty: &Type, field: &Field) -> Option<Value> {
    if field.default.is_some() {
        return field.default.clone();
    }
    let always = field.presence == Presence::Always || facts::defaults_to_zero(&ty.name, &field.name);
    match &field.shape {
        Shape::Struct(_) if !matches!(field.presence, Presence::Pointer | Presence::AlwaysPointer) => {
            Some(Value::map())
        }
        Shape::Scalar(Scalar::Str) if always => Some("".into()),
        Shape::Scalar(Scalar::Bool) if always => Some(false.into()),
        Shape::Scalar(Scalar::Int32 | Scalar::Int64) if always => Some(0_i64.into()),
        _ => None,
    }
}
