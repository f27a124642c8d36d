//! Nodes to trees, as if through JSON.

use super::Error;
use super::compose::{Kind, Node, compose};
use super::resolve::{Meaning, go_float32, is_timestamp, resolve, through_json};
use crate::{Map, Str, Value, quote};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const LONG_TAG: &str = "tag:yaml.org,2002:";

/// The first document of a text, null when there is none. Of equal keys the last one wins.
pub fn parse(text: &[u8]) -> Result<Value, Error> {
    parse_tracking_duplicates(text).map(|(value, _)| value)
}

/// Like `parse`, and what strict reading finds: `line 7: key "k" already set in map`.
pub fn parse_tracking_duplicates(text: &[u8]) -> Result<(Value, Vec<String>), Error> {
    let Some(node) = compose(text)? else { return Ok((Value::Null, Vec::new())) };
    let mut converter = Converter::default();
    let value = converter.value(&node)?;
    Ok((value, converter.duplicates))
}

#[derive(Default)]
struct Converter {
    duplicates: Vec<String>,
    /// Nodes decoded, and those of them inside of aliases: documents that blow up are refused.
    decoded: u64,
    by_alias: u64,
    alias_depth: u32,
}

impl Converter {
    fn value(&mut self, node: &Node) -> Result<Value, Error> {
        self.count()?;
        match &node.kind {
            Kind::Scalar { text, tag, implicit } => scalar(text, tag, *implicit),
            Kind::List(items) => {
                let items: Result<Vec<Value>, Error> = items.iter().map(|item| self.value(item)).collect();
                Ok(Value::List(items?))
            }
            Kind::Map(_) => {
                let mut map = Map::new();
                self.fill(node, &mut map)?;
                map.sort();
                Ok(Value::Map(map))
            }
            Kind::Alias(target) => {
                self.alias_depth += 1;
                let value = self.value(target);
                self.alias_depth -= 1;
                value
            }
            Kind::Circle(name) => Err(circle(name)),
        }
    }

    fn count(&mut self) -> Result<(), Error> {
        self.decoded += 1;
        self.by_alias += u64::from(self.alias_depth > 0);
        // Up to 400,000 nodes nearly all may come by aliases, from 4,000,000 on a tenth.
        let percent = match self.decoded {
            0..=400_000 => 99,
            4_000_000.. => 10,
            some => 99 - 89 * (some - 400_000) / 3_600_000,
        };
        if self.by_alias > 100 && self.decoded > 1000 && self.by_alias * 100 > self.decoded * percent {
            return Err(Error::new("document contains excessive aliasing"));
        }
        Ok(())
    }

    /// The entries of a map node into a map, merges in their place.
    fn fill(&mut self, node: &Node, map: &mut Map) -> Result<(), Error> {
        let Kind::Map(pairs) = &node.kind else { return Err(want_map()) };
        // Many keys are gathered first: one look-up each would take a map of unsorted keys too long.
        let mut entries: Vec<(Str, Value)> = std::mem::take(map).into_iter().collect();
        let mut seen: std::collections::HashSet<Str> = entries.iter().map(|(k, _)| k.clone()).collect();
        for (key, value) in pairs {
            if is_merge(key) {
                let mut merged = Map::from_pairs(std::mem::take(&mut entries));
                self.merge(value, &mut merged)?;
                entries = merged.into_iter().collect();
                seen = entries.iter().map(|(k, _)| k.clone()).collect();
                continue;
            }
            let (name, shown) = self.key(key)?;
            let value_line = value.line + 1;
            let value = self.value(value)?;
            if !seen.insert(name.clone()) {
                self.duplicates.push(format!("line {value_line}: key {shown} already set in map"));
            }
            entries.push((name, value));
        }
        *map = Map::from_pairs(entries);
        Ok(())
    }

    fn merge(&mut self, node: &Node, map: &mut Map) -> Result<(), Error> {
        match &node.kind {
            Kind::Map(_) => self.fill(node, map),
            Kind::Alias(target) => {
                self.count()?;
                self.alias_depth += 1;
                let done = self.fill(target, map);
                self.alias_depth -= 1;
                done
            }
            // Earlier maps win over later ones.
            Kind::List(items) => items.iter().rev().try_for_each(|item| match &item.kind {
                Kind::List(_) | Kind::Scalar { .. } => Err(want_map()),
                _ => self.merge(item, map),
            }),
            Kind::Circle(name) => Err(circle(name)),
            Kind::Scalar { .. } => Err(want_map()),
        }
    }

    /// A key as text, and as Go shows it.
    fn key(&mut self, node: &Node) -> Result<(Str, String), Error> {
        self.count()?;
        let (text, tag, implicit) = match &node.kind {
            Kind::Scalar { text, tag, implicit } => (text, tag, *implicit),
            Kind::Alias(target) => return self.key(target),
            Kind::Circle(name) => return Err(circle(name)),
            Kind::List(_) | Kind::Map(_) => return Err(Error::new("invalid map key")),
        };
        match meaning(text, tag, implicit)? {
            Meaning::Null => {
                Err(Error("unsupported map key of type: %!s(<nil>), key: <nil>, value: <nil>".to_owned()))
            }
            Meaning::Float(float) => Ok((go_float32(float).into(), go_float32(float))),
            Meaning::Bool(bool) => Ok((bool.to_string().into(), bool.to_string())),
            Meaning::Int(int) => Ok((int.to_string().into(), int.to_string())),
            Meaning::Uint(int) => {
                Err(Error(format!("unsupported map key of type: uint64, key: {int:#x}, value: <nil>")))
            }
            Meaning::Timestamp | Meaning::Merge | Meaning::Str => Ok((text.into(), quote(text))),
        }
    }
}

fn circle(name: &str) -> Error {
    Error::new(format_args!("anchor '{name}' value contains itself"))
}

fn want_map() -> Error {
    Error::new("map merge requires map or sequence of maps as the value")
}

fn is_merge(node: &Node) -> bool {
    matches!(&node.kind, Kind::Scalar { text, tag, implicit }
        if text == "<<" && (*implicit || tag.strip_prefix(LONG_TAG) == Some("merge")))
}

/// What a scalar means, its tag respected.
fn meaning(text: &str, tag: &str, implicit: bool) -> Result<Meaning, Error> {
    let short = tag.strip_prefix(LONG_TAG);
    match short {
        None if tag.is_empty() && implicit => return Ok(resolve(text)),
        None | Some("str" | "binary") => return Ok(Meaning::Str),
        Some("bool" | "int" | "float" | "null" | "timestamp") => {}
        Some(_) => return Ok(Meaning::Str),
    }
    let short = short.unwrap_or_default();
    let found = match resolve(text) {
        // Only untagged scalars and those tagged so are looked at as timestamps.
        Meaning::Timestamp if short != "timestamp" => Meaning::Str,
        _ if short == "timestamp" && is_timestamp(text) => Meaning::Timestamp,
        other => other,
    };
    match (found, short) {
        #[allow(clippy::cast_precision_loss)]
        (Meaning::Int(int), "float") => Ok(Meaning::Float(int as f64)),
        _ if found.tag().strip_prefix("!!") == Some(short) => Ok(found),
        _ => Err(Error::new(format_args!("cannot decode {} `{text}` as a !!{short}", found.tag()))),
    }
}

fn scalar(text: &str, tag: &str, implicit: bool) -> Result<Value, Error> {
    if tag.strip_prefix(LONG_TAG) == Some("binary") {
        let bytes = STANDARD
            .decode(text.replace(['\n', '\r'], ""))
            .map_err(|_| Error::new("!!binary value contains invalid base64 data"))?;
        return Ok(String::from_utf8_lossy(&bytes).into_owned().into());
    }
    Ok(match meaning(text, tag, implicit)? {
        Meaning::Null => Value::Null,
        Meaning::Bool(bool) => Value::Bool(bool),
        Meaning::Int(int) => Value::Int(int),
        #[allow(clippy::cast_precision_loss)]
        Meaning::Uint(int) => Value::Float(int as f64),
        Meaning::Float(float) => through_json(float).ok_or_else(|| {
            let name = if float.is_nan() {
                "NaN"
            } else if float > 0.0 {
                "+Inf"
            } else {
                "-Inf"
            };
            Error(format!("json: unsupported value: {name}"))
        })?,
        Meaning::Timestamp | Meaning::Merge | Meaning::Str => Value::from(text),
    })
}
