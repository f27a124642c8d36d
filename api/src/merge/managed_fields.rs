//! `metadata.managedFields`: who set which fields, through what operation, in which version of the API.

use super::field_set::FieldSet;
use crate::{Map, Str, Value, json, names};
use std::fmt::Write;

/// What made an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    Apply,
    Update,
}

/// Who owns an entry. Appliers are told apart by name and subresource, updaters by version as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub manager: Str,
    pub operation: Operation,
    /// "" for appliers.
    pub api_version: Str,
    pub subresource: Str,
}

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Managed {
    pub owner: Owner,
    /// The version that the fields are named in.
    pub api_version: Str,
    pub fields: FieldSet,
    /// RFC 3339; an entry that came about without a change has none.
    pub time: Option<Str>,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        }
    }
}

impl Owner {
    /// The owner of an operation; a manager without a name is `unknown`.
    pub fn new(manager: &str, operation: Operation, api_version: &str, subresource: &str) -> Self {
        let manager = if manager.is_empty() { "unknown" } else { manager };
        let api_version = if operation == Operation::Apply { "" } else { api_version };
        Owner {
            manager: manager.into(),
            operation,
            api_version: api_version.into(),
            subresource: subresource.into(),
        }
    }

    /// What upstream sorts owners by: their JSON form.
    pub(super) fn sort_key(&self) -> String {
        let mut map = Map::new();
        let parts = [
            ("manager", self.manager.as_str()),
            ("operation", self.operation.as_str()),
            ("apiVersion", &self.api_version),
            ("subresource", &self.subresource),
        ];
        for (key, value) in parts.into_iter().filter(|(_, v)| !v.is_empty()) {
            map.insert(key, value);
        }
        json::to_string(&Value::Map(map))
    }

    /// As messages name it: `"kubectl-edit" with subresource "status" using apps/v1`.
    pub(super) fn shown(&self) -> String {
        let mut text = crate::quote(&self.manager);
        if !self.subresource.is_empty() {
            let _ = write!(text, " with subresource {}", crate::quote(&self.subresource));
        }
        if self.operation == Operation::Update {
            let _ = write!(text, " using {}", self.api_version);
        }
        text
    }
}

/// Reads all entries. Of several with one owner the last counts.
pub fn decode(entries: &Value) -> Result<Vec<Managed>, String> {
    let mut all: Vec<Managed> = Vec::new();
    for (i, entry) in entries.as_list().unwrap_or_default().iter().enumerate() {
        let managed = decode_entry(i, entry)?;
        match all.iter_mut().find(|m| m.owner == managed.owner) {
            Some(earlier) => *earlier = managed,
            None => all.push(managed),
        }
    }
    Ok(all)
}

fn decode_entry(i: usize, entry: &Value) -> Result<Managed, String> {
    let operation = match entry.str_at(&["operation"]) {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return Err("operation must be `Apply` or `Update`".to_owned()),
    };
    let api_version = entry.str_at(&["apiVersion"]);
    if api_version.is_empty() {
        return Err("apiVersion must not be empty".to_owned());
    }
    match entry.str_at(&["fieldsType"]) {
        "FieldsV1" => {}
        "" => return Err(format!("missing fieldsType in managed fields entry {i}")),
        other => {
            return Err(format!("invalid fieldsType {} in managed fields entry {i}", crate::quote(other)));
        }
    }
    let fields = FieldSet::from_fields_v1(entry.get("fieldsV1").unwrap_or(&Value::Null))
        .map_err(|e| format!("error decoding versioned set: error decoding set: {e}"))?;
    let owner = Owner {
        manager: entry.str_at(&["manager"]).into(),
        operation,
        api_version: if operation == Operation::Apply { Str::default() } else { api_version.into() },
        subresource: entry.str_at(&["subresource"]).into(),
    };
    let time = entry.str_at(&["time"]);
    let time = (!time.is_empty()).then(|| time.into());
    Ok(Managed { owner, api_version: api_version.into(), fields, time })
}

/// Writes all entries in upstream's order: by operation, time, manager, version, subresource.
pub fn encode(mut all: Vec<Managed>) -> Value {
    all.sort_by(|a, b| {
        let key = |m: &Managed| (m.owner.operation, m.time.clone());
        let names =
            |m: &Managed| (m.owner.manager.clone(), m.api_version.clone(), m.owner.subresource.clone());
        key(a).cmp(&key(b)).then_with(|| names(a).cmp(&names(b)))
    });
    Value::List(all.iter().map(encode_entry).collect())
}

fn encode_entry(managed: &Managed) -> Value {
    let mut map = Map::with_capacity(7);
    if !managed.owner.manager.is_empty() {
        map.insert("manager", &managed.owner.manager);
    }
    map.insert("operation", managed.owner.operation.as_str());
    map.insert("apiVersion", &managed.api_version);
    if let Some(time) = &managed.time {
        map.insert("time", time);
    }
    map.insert("fieldsType", "FieldsV1");
    map.insert("fieldsV1", managed.fields.to_fields_v1());
    if !managed.owner.subresource.is_empty() {
        map.insert("subresource", &managed.owner.subresource);
    }
    Value::Map(map)
}

/// Whether entries can be used; the error is what upstream warns of when admission broke them.
pub fn check(entries: &Value) -> Result<(), String> {
    decode(entries).map(drop)
}

/// Whether a request's entries mean "forget all": an empty list, or one empty entry.
pub(super) fn is_reset(entries: &Value) -> bool {
    match entries.as_list() {
        Some([]) => true,
        Some([only]) => only.as_map().is_some_and(|m| m.values().all(Value::is_empty)),
        _ => false,
    }
}

/// The manager of a write: what the request says, else the user agent up to the first slash.
pub fn manager_or_user_agent(manager: &str, user_agent: &str) -> String {
    if !manager.is_empty() {
        return manager.to_owned();
    }
    let mut out = String::new();
    for c in user_agent.split('/').next().unwrap_or_default().chars().filter(|c| !c.is_control()) {
        if out.len() + c.len_utf8() > names::FIELD_MANAGER_MAX_LENGTH {
            break;
        }
        out.push(c);
    }
    out
}

/// Keeps the times of the old object's entries when nothing but times differs, so that writing a thing again
/// changes nothing.
pub fn keep_times(old: &Value, new: &mut Value) {
    const PATH: [&str; 2] = ["metadata", "managedFields"];
    let (before, after) = (old.list_at(&PATH), new.list_at(&PATH));
    let timeless = |entry: &Value| {
        let mut entry = entry.clone();
        entry.unset(&["time"]);
        entry
    };
    let same_entries = before.len() == after.len()
        && !after.is_empty()
        && before != after
        && before.iter().zip(after).all(|(a, b)| timeless(a) == timeless(b));
    if !same_entries {
        return;
    }
    let entries = Value::List(before.to_vec());
    let Some(written) = new.at_mut(&PATH).map(|slot| std::mem::replace(slot, entries)) else { return };
    if new != old {
        new.set(&PATH, written);
    }
}
