//! The rules of `metadata`, the same for every kind: what the server sets, what may not change, what is valid.

mod own;

pub use own::{change_faults, new_faults};

use api::{Fault, Path, Value, names};
use kinds::{Info, NameRule};

const TOTAL_ANNOTATIONS_LIMIT_BYTES: usize = 256 * 1024;
const MAX_MANAGED_FIELDS_MANAGER_LEN: usize = 128;

/// Drops what only the server says of a new object, before anybody can own it.
pub fn wipe_system_fields(obj: &mut Value) {
    let Some(Value::Map(meta)) = obj.get_mut("metadata") else { return };
    for field in ["selfLink", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        meta.remove(field);
    }
}

/// What a create takes from the server. `name` of an object without one is made from `generateName` by the caller.
pub fn fill_created(obj: &mut Value, uid: &str, now: &str) {
    let meta = obj.make_map(&["metadata"]);
    for field in ["selfLink", "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        meta.remove(field);
    }
    meta.insert("uid", uid);
    meta.insert("creationTimestamp", now);
}

/// What an update keeps of the old object's metadata, whatever the body says.
pub fn keep_updated(new: &mut Value, old: &Value) {
    let meta = new.make_map(&["metadata"]);
    let old = |field: &str| old.at(&["metadata", field]).cloned();
    meta.remove("selfLink");
    if meta.get("uid").is_none_or(Value::is_empty) {
        set_or_remove(meta, "uid", old("uid"));
    }
    if let Some(created) = old("creationTimestamp") {
        meta.insert("creationTimestamp", created);
    }
    if let Some(deleted) = old("deletionTimestamp") {
        meta.insert("deletionTimestamp", deleted);
    }
    if meta.get("deletionGracePeriodSeconds").is_none()
        && let Some(grace) = old("deletionGracePeriodSeconds")
    {
        meta.insert("deletionGracePeriodSeconds", grace);
    }
}

/// Generation is the server's: clients cannot change it.
pub fn keep_generation(new: &mut Value, old: &Value) {
    let generation = old.at(&["metadata", "generation"]).cloned();
    set_or_remove(new.make_map(&["metadata"]), "generation", generation);
}

fn set_or_remove(map: &mut api::Map, field: &str, value: Option<Value>) {
    match value {
        Some(value) => {
            map.insert(field, value);
        }
        None => {
            map.remove(field);
        }
    }
}

/// Whether the object is on its way out.
pub fn is_deleting(obj: &Value) -> bool {
    obj.at(&["metadata", "deletionTimestamp"]).is_some()
}

pub fn finalizers(obj: &Value) -> Vec<&str> {
    obj.list_at(&["metadata", "finalizers"]).iter().filter_map(Value::as_str).collect()
}

/// The faults of a new object's metadata.
fn validate(obj: &Value, info: &Info) -> Vec<Fault> {
    let mut faults = Vec::new();
    let at = Path::new("metadata");
    let (name, generate) = (obj.str_at(&["metadata", "name"]), obj.str_at(&["metadata", "generateName"]));
    if !generate.is_empty() {
        for text in name_faults(generate, true, info.name_rule) {
            faults.push(Fault::invalid(at.child("generateName"), generate, text));
        }
    }
    if name.is_empty() {
        faults.push(Fault::required(at.child("name"), "name or generateName is required"));
    } else {
        for text in name_faults(name, false, info.name_rule) {
            faults.push(Fault::invalid(at.child("name"), name, text));
        }
    }
    faults.extend(validate_rest(obj, info.namespaced));
    faults
}

/// The faults of metadata that do not depend on the name's rule.
fn validate_rest(obj: &Value, namespaced: bool) -> Vec<Fault> {
    let at = Path::new("metadata");
    let mut faults = Vec::new();
    let namespace = obj.str_at(&["metadata", "namespace"]);
    match (namespaced, namespace.is_empty()) {
        (true, true) => faults.push(Fault::required(at.child("namespace"), "")),
        (true, false) => {
            for text in names::is_dns1123_label(namespace) {
                faults.push(Fault::invalid(at.child("namespace"), namespace, text));
            }
        }
        (false, false) => faults.push(Fault::forbidden(at.child("namespace"), "not allowed on this type")),
        (false, true) => {}
    }
    if let Some(generation) = obj.i64_at(&["metadata", "generation"]).filter(|g| *g < 0) {
        let detail = "must be greater than or equal to 0";
        faults.push(Fault::invalid(at.child("generation"), generation, detail));
    }
    faults.extend(label_faults(obj.map_at(&["metadata", "labels"]), &at.child("labels")));
    faults.extend(annotation_faults(obj, &at.child("annotations")));
    faults.extend(owner_faults(obj, &at.child("ownerReferences")));
    faults.extend(finalizer_faults(obj, &at.child("finalizers")));
    faults.extend(managed_fields_faults(obj, &at.child("managedFields")));
    faults
}

fn name_faults(name: &str, prefix: bool, rule: NameRule) -> Vec<String> {
    match rule {
        NameRule::Dns1123Subdomain => names::name_is_dns_subdomain(name, prefix),
        NameRule::Dns1123Label => names::name_is_dns_label(name, prefix),
        NameRule::Dns1035Label => names::name_is_dns1035_label(name, prefix),
        NameRule::PathSegment if prefix => names::is_path_segment_prefix(name),
        NameRule::PathSegment => names::is_path_segment_name(name),
        NameRule::Own => Vec::new(),
    }
}

fn label_faults(labels: Option<&api::Map>, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (key, value) in labels.into_iter().flat_map(|m| m.iter()) {
        for text in names::is_qualified_name(key) {
            faults.push(Fault::invalid(at, key.as_str(), text));
        }
        for text in names::is_label_value(value.as_str().unwrap_or_default()) {
            faults.push(Fault::invalid(at, value.as_str().unwrap_or_default(), text));
        }
    }
    faults
}

fn annotation_faults(obj: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut total = 0;
    for (key, value) in obj.map_at(&["metadata", "annotations"]).into_iter().flat_map(|m| m.iter()) {
        for text in names::is_qualified_name(&key.to_lowercase()) {
            faults.push(Fault::invalid(at, key.as_str(), text));
        }
        total += key.len() + value.as_str().map_or(0, str::len);
    }
    if total > TOTAL_ANNOTATIONS_LIMIT_BYTES {
        faults.push(Fault::too_long(at, TOTAL_ANNOTATIONS_LIMIT_BYTES));
    }
    faults
}

fn owner_faults(obj: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let owners = obj.list_at(&["metadata", "ownerReferences"]);
    let mut first_controller: Option<String> = None;
    for owner in owners {
        faults.extend(one_owner_faults(owner, at));
        if !owner.bool_at(&["controller"]) {
            continue;
        }
        let this = format!("{}/{}", owner.str_at(&["kind"]), owner.str_at(&["name"]));
        match &first_controller {
            None => first_controller = Some(this),
            Some(first) => {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                );
                faults.push(Fault::invalid(at, Value::List(owners.to_vec()), detail));
            }
        }
    }
    faults
}

fn one_owner_faults(owner: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let api_version = owner.str_at(&["apiVersion"]);
    let (group, version) = match api_version.split_once('/') {
        Some((_, version)) if version.contains('/') => ("", ""),
        Some(pair) => pair,
        None => ("", api_version),
    };
    if version.is_empty() {
        faults.push(Fault::invalid(at.child("apiVersion"), api_version, "version must not be empty"));
    }
    for field in ["kind", "name", "uid"] {
        if owner.str_at(&[field]).is_empty() {
            faults.push(Fault::invalid(at.child(field), "", "must not be empty"));
        }
    }
    let kind = owner.str_at(&["kind"]);
    if (group, version, kind) == ("", "v1", "Event") {
        let detail = format!("{group}/{version}, Kind={kind} is disallowed from being an owner");
        faults.push(Fault::invalid(at, owner.clone(), detail));
    }
    faults
}

fn finalizer_faults(obj: &Value, at: &Path) -> Vec<Fault> {
    let finalizers = finalizers(obj);
    let mut faults = Vec::new();
    for name in &finalizers {
        for text in names::is_qualified_name(name) {
            faults.push(Fault::invalid(at, *name, text));
        }
    }
    let (orphan, foreground) = ("orphan", "foregroundDeletion");
    if finalizers.contains(&orphan) && finalizers.contains(&foreground) {
        let detail = format!("finalizer {orphan} and {foreground} cannot be both set");
        faults.push(Fault::invalid(
            at,
            Value::List(obj.list_at(&["metadata", "finalizers"]).to_vec()),
            detail,
        ));
    }
    faults
}

fn managed_fields_faults(obj: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (i, entry) in obj.list_at(&["metadata", "managedFields"]).iter().enumerate() {
        let at = at.index(i);
        let operation = entry.str_at(&["operation"]);
        if !matches!(operation, "Apply" | "Update") {
            faults.push(Fault::invalid(at.child("operation"), operation, "must be `Apply` or `Update`"));
        }
        let fields_type = entry.str_at(&["fieldsType"]);
        if !matches!(fields_type, "" | "FieldsV1") {
            faults.push(Fault::invalid(at.child("fieldsType"), fields_type, "must be `FieldsV1`"));
        }
        if entry.str_at(&["manager"]).len() > MAX_MANAGED_FIELDS_MANAGER_LEN {
            faults.push(Fault::too_long(at.child("manager"), MAX_MANAGED_FIELDS_MANAGER_LEN));
        }
    }
    faults
}

/// What all kinds are checked for: metadata with any name that a path can carry.
pub fn common_faults(obj: &Value, info: &Info) -> Vec<Fault> {
    let path_rule = Info { name_rule: NameRule::PathSegment, ..info.clone() };
    validate(obj, &path_rule)
}

/// The faults that every update is checked for before the kind's own: metadata of the new object, then what may not
/// change.
pub fn validate_update(new: &Value, old: &Value, info: &Info) -> Vec<Fault> {
    let mut faults = common_faults(new, info);
    faults.extend(immutable_faults(new, old));
    faults
}

/// What may not change in metadata, and some of what must be well in any case.
fn immutable_faults(new: &Value, old: &Value) -> Vec<Fault> {
    let at = Path::new("metadata");
    let mut faults = Vec::new();
    if is_deleting(old) {
        let before = finalizers(old);
        let mut added: Vec<&str> = finalizers(new).into_iter().filter(|f| !before.contains(f)).collect();
        added.sort_unstable();
        added.dedup();
        if !added.is_empty() {
            let list: Vec<String> = added.iter().map(|f| api::quote(f)).collect();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                list.join(", ")
            );
            faults.push(Fault::forbidden(at.child("finalizers"), detail));
        }
    }
    if new.str_at(&["metadata", "resourceVersion"]).is_empty() {
        let detail = "must be specified for an update";
        faults.push(Fault::invalid(at.child("resourceVersion"), "", detail));
    }
    let generation = |obj: &Value| obj.i64_at(&["metadata", "generation"]).unwrap_or(0);
    if generation(new) < generation(old) {
        faults.push(Fault::invalid(at.child("generation"), generation(new), "must not be decremented"));
    }
    for field in
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        let (new, old) = (new.at(&["metadata", field]), old.at(&["metadata", field]));
        if new != old {
            let shown =
                new.cloned().unwrap_or(if field.ends_with("Timestamp") { Value::Null } else { "".into() });
            faults.push(Fault::invalid(at.child(field), shown, "field is immutable"));
        }
    }
    faults.extend(label_faults(new.map_at(&["metadata", "labels"]), &at.child("labels")));
    faults.extend(annotation_faults(new, &at.child("annotations")));
    faults.extend(owner_faults(new, &at.child("ownerReferences")));
    faults.extend(managed_fields_faults(new, &at.child("managedFields")));
    faults
}

/// Drops owner references that occur twice; a warning when there were any.
pub fn dedup_owner_references(obj: &mut Value) -> Option<String> {
    let Some(Value::List(owners)) = obj.at_mut(&["metadata", "ownerReferences"]) else { return None };
    let mut seen: Vec<Value> = Vec::with_capacity(owners.len());
    let mut dropped = Vec::new();
    for owner in owners.drain(..) {
        if seen.contains(&owner) {
            dropped.push(owner.str_at(&["uid"]).to_owned());
        } else {
            seen.push(owner);
        }
    }
    *owners = seen;
    (!dropped.is_empty()).then(|| {
        format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            dropped.join(", ")
        )
    })
}

/// An RFC 3339 time `secs` later (or earlier); a text that is no time stays as it is.
pub fn time_plus(text: &str, secs: i64) -> String {
    match api::time::parse(text) {
        Ok(time) => api::time::Time::from_secs(time.secs.saturating_add(secs)).rfc3339(),
        Err(_) => text.to_owned(),
    }
}
