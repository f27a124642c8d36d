//! Types and fields joined from two sources: presence and order, and the protobuf messages.

use anyhow::{Context, bail};
use serde_json::Value;
use std::collections::BTreeMap;

/// One struct type with what the table will say of it.
#[derive(Default)]
pub struct Type {
    pub name: String,
    pub fields: Vec<Field>,
    pub atomic: bool,
    /// `group/version` of the kind this type is; `*` for those that every group has.
    pub kinds: Vec<String>,
}

/// One field.
#[derive(Default)]
pub struct Field {
    pub name: String,
    pub presence: String,
    pub proto: Vec<u32>,
    pub embedded: String,
    pub go_type: String,
    /// In the table's notation: `s`, `[s`, `%q`, `api.core.v1.Container`, …
    pub shape: String,
    /// Everything else, as the table writes it: `req`, `list=set`, `key=name`, …
    pub notes: Vec<String>,
}

/// Types by their OpenAPI name.
pub type Types = BTreeMap<String, Type>;

/// Reads `presence.tsv`: shapes are still missing.
pub fn parse_presence(text: &str) -> anyhow::Result<Vec<Type>> {
    let mut types: Vec<Type> = Vec::new();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let Some(row) = line.strip_prefix('\t') else {
            types.push(Type { name: line.to_owned(), ..Type::default() });
            continue;
        };
        let mut cells = row.split('\t').map(str::to_owned);
        let mut cell = || cells.next().unwrap_or_default();
        let (name, presence, numbers) = (cell(), cell(), cell());
        let field = Field {
            name,
            presence,
            proto: parse_numbers(&numbers)?,
            embedded: cell(),
            go_type: cell(),
            ..Field::default()
        };
        types.last_mut().context("a field before any type")?.fields.push(field);
    }
    Ok(types)
}

fn parse_numbers(text: &str) -> anyhow::Result<Vec<u32>> {
    if text == "-" {
        return Ok(Vec::new());
    }
    text.split('.').map(|n| n.parse().with_context(|| format!("protobuf number {n}"))).collect()
}

/// Gives each field its shape from the protobuf messages.
pub fn join(presence: &[Type], messages: &Value) -> anyhow::Result<Types> {
    let mut types = Types::new();
    for ty in presence.iter().filter(|t| !t.name.contains("JSONSchemaPropsOr")) {
        let mut done = Type { name: ty.name.clone(), ..Type::default() };
        for field in &ty.fields {
            done.fields.push(shaped(&ty.name, field, messages)?);
        }
        types.insert(ty.name.clone(), done);
    }
    Ok(types)
}

fn shaped(owner: &str, field: &Field, messages: &Value) -> anyhow::Result<Field> {
    let mut out = Field {
        name: field.name.clone(),
        presence: field.presence.clone(),
        proto: field.proto.clone(),
        embedded: field.embedded.clone(),
        go_type: field.go_type.clone(),
        ..Field::default()
    };
    let mut message = message_name(owner);
    let mut found = None;
    for number in &field.proto {
        found = find(messages, &message, *number);
        let fact = found.with_context(|| format!("{message} has no field {number} ({})", field.name))?;
        message = fact["type"].as_str().unwrap_or_default().to_owned();
    }
    out.shape = match found {
        None => "s".to_owned(),
        Some(fact) => shape_of(fact, &mut out, messages)?,
    };
    Ok(out)
}

fn shape_of(fact: &Value, field: &mut Field, messages: &Value) -> anyhow::Result<String> {
    if let Some(value) = fact["map"][1].as_str() {
        return Ok(format!("%{}", item_shape(value, messages)?));
    }
    let name = fact["type"].as_str().context("a field without a type")?;
    let item = item_shape(name, messages)?;
    if fact["repeated"] == true {
        return Ok(format!("[{item}"));
    }
    if item.starts_with('[') {
        field.notes.push("wrap".to_owned());
        field.proto.push(1);
    }
    Ok(item)
}

/// The shape of a protobuf type; lists in a message of their own (`Verbs`, `ExtraValue`) become lists.
fn item_shape(name: &str, messages: &Value) -> anyhow::Result<String> {
    let last = name.rsplit('.').next().unwrap_or(name);
    let shape = match last {
        "string" => "s",
        "bool" => "b",
        "int32" => "i",
        "int64" => "l",
        "double" => "d",
        "bytes" => "y",
        "Quantity" => "q",
        "IntOrString" => "o",
        "Time" => "t",
        "MicroTime" => "m",
        "Duration" => "u",
        "RawExtension" | "FieldsV1" | "JSON" => "*",
        _ => "",
    };
    if !shape.is_empty() {
        return Ok(shape.to_owned());
    }
    if let Some((ty, other)) = name.rsplit_once("Or").filter(|(ty, _)| ty.ends_with("JSONSchemaProps")) {
        let sign = match other {
            "Bool" => 'b',
            "Array" => 'l',
            "StringArray" => 's',
            _ => bail!("no shape for {name}"),
        };
        return Ok(format!("?{sign}{}", short(&definition_name(ty))));
    }
    let fields = messages[name].as_array().with_context(|| format!("no message {name}"))?;
    if matches!(last, "Verbs" | "ExtraValue") {
        let item = fields.first().and_then(|f| f["type"].as_str()).context("a wrapper without items")?;
        return Ok(format!("[{}", item_shape(item, messages)?));
    }
    Ok(short(&definition_name(name)))
}

fn find<'a>(messages: &'a Value, message: &str, number: u32) -> Option<&'a Value> {
    messages[message].as_array()?.iter().find(|f| f["number"] == number)
}

/// `io.k8s.api.core.v1.Pod` → `k8s.io.api.core.v1.Pod`.
fn message_name(definition: &str) -> String {
    definition.replacen("io.k8s.", "k8s.io.", 1).replace('-', "_")
}

fn definition_name(message: &str) -> String {
    let name = message.replacen("k8s.io.", "io.k8s.", 1);
    name.replace("apiextensions_apiserver", "apiextensions-apiserver")
        .replace("kube_aggregator", "kube-aggregator")
}

/// A type's name as the table refers to it, without the prefix that all share.
pub fn short(definition: &str) -> String {
    definition.strip_prefix("io.k8s.").unwrap_or(definition).to_owned()
}
