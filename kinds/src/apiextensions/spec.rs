//! Rules of a definition's spec and status.

use super::internal_spec::InternalSpec;
use super::schema_rules::{self, Demands};
use super::schema_walk::set;
use super::{conversion, defaults, names, schema_walk, version};
use crate::validation;
use api::{Fault, Path, Value};

/// Condition of a definition whose names are final.
fn is_established(crd: &Value) -> bool {
    let conditions = crd.list_at(&["status", "conditions"]).iter();
    conditions.into_iter().any(|c| c.str_at(&["type"]) == "Established" && c.str_at(&["status"]) == "True")
}

/// Faults of `spec`; those of an update go on with what is wrong in `old` already.
pub fn faults(crd: &Value, old: Option<&Value>) -> Vec<Fault> {
    let at = Path::new("spec");
    let empty = Value::map();
    let spec = crd.get("spec").unwrap_or(&empty);
    let internal = InternalSpec::of(spec);
    let old_spec = old.map(|o| InternalSpec::of(o.get("spec").unwrap_or(&empty)));
    let none_has = |bad: &dyn Fn(&Value) -> bool| {
        old_spec.as_ref().is_none_or(|o| !o.schemas().any(|s| schema_walk::any(s, bad)))
    };
    let demands = Demands {
        known_types: none_has(&schema_rules::has_unknown_type),
        atomic_sets: none_has(&schema_rules::has_loose_set),
        sound_keys: none_has(&schema_rules::has_unsound_keys),
        pruned_defaults: none_has(&defaults::has_unknown_fields),
    };
    let all_had_schemas = old_spec
        .as_ref()
        .is_none_or(|o| o.top.schema().is_some() || o.versions.iter().all(|v| v.parts.schema().is_some()));
    let mut faults = group_faults(spec.str_at(&["group"]), &at.child("group"));
    faults.extend(match spec.str_at(&["scope"]) {
        "" => vec![Fault::required(at.child("scope"), "")],
        scope => validation::one_of(scope, &["Cluster", "Namespaced"], &at.child("scope")),
    });
    faults.extend(missing_schema_faults(&internal, all_had_schemas, &at));
    let preserves = spec.bool_at(&["preserveUnknownFields"]);
    let has_default = |s: &Value| set(s, "default").is_some();
    if preserves && internal.schemas().any(|s| schema_walk::any(s, &has_default)) {
        let text = "must be false in order to use defaults in the schema";
        faults.push(Fault::invalid(at.child("preserveUnknownFields"), true, text));
    }
    faults.extend(version_faults(&internal, demands, &at));
    faults.extend(top_faults(&internal, demands, &at));
    if let Some(conversion) = set(spec, "conversion") {
        let strategy = conversion.str_at(&["strategy"]);
        let path = at.child("conversion");
        if preserves && strategy != "None" {
            let text = "must be None if spec.preserveUnknownFields is true";
            faults.push(Fault::invalid(path.child("strategy"), strategy, text));
        }
        let need_known = old.is_none_or(|o| conversion::has_known_version(conversion::review_versions(o)));
        faults.extend(conversion::faults(conversion, need_known, &path));
    }
    faults
}

fn group_faults(group: &str, at: &Path) -> Vec<Fault> {
    let texts = api::names::is_dns1123_subdomain(group);
    match () {
        () if group.is_empty() => vec![Fault::required(at, "")],
        () if !texts.is_empty() => vec![Fault::invalid(at, group, texts.join(","))],
        () if !group.contains('.') => {
            vec![Fault::invalid(at, group, "should be a domain with at least one dot")]
        }
        () => Vec::new(),
    }
}

/// Versions have schemas; those that had none before still need one where unknown fields are pruned.
fn missing_schema_faults(internal: &InternalSpec<'_>, all_needed: bool, at: &Path) -> Vec<Fault> {
    if internal.top.schema().is_some() {
        return Vec::new();
    }
    let preserves = internal.spec.bool_at(&["preserveUnknownFields"]);
    let mut faults = Vec::new();
    for (i, version) in internal.versions.iter().enumerate().filter(|(_, v)| v.parts.schema().is_none()) {
        let path = at.child("versions").index(i).child("schema").child("openAPIV3Schema");
        if all_needed {
            faults.push(Fault::required(path, ""));
        } else if !preserves && version.value.bool_at(&["served"]) {
            faults.push(Fault::required(path, "because otherwise all fields are pruned"));
        }
    }
    faults
}

fn version_faults(internal: &InternalSpec<'_>, demands: Demands, at: &Path) -> Vec<Fault> {
    let path = at.child("versions");
    let name = |i: usize| internal.versions.get(i).map(|v| v.value.str_at(&["name"])).unwrap_or_default();
    let mut faults = Vec::new();
    for (i, version) in internal.versions.iter().enumerate() {
        faults.extend(names::label_fault(name(i), &path.index(i).child("name")));
        faults.extend(version::faults(version, internal.has_status(version), demands, &path.index(i)));
    }
    let count = internal.versions.len();
    if (0..count).any(|i| (0..i).any(|j| name(i) == name(j))) {
        let text = "must contain unique version names";
        faults.push(Fault::invalid(&path, internal.shown_versions(), text));
    }
    if internal.versions.iter().filter(|v| v.value.bool_at(&["storage"])).count() != 1 {
        let text = "must have exactly one version marked as storage version";
        faults.push(Fault::invalid(&path, internal.shown_versions(), text));
    }
    if !name(0).is_empty() {
        faults.extend(names::label_fault(name(0), &at.child("version")));
    }
    faults
}

/// Faults of the names and of what all versions share.
fn top_faults(internal: &InternalSpec<'_>, demands: Demands, at: &Path) -> Vec<Fault> {
    let empty = Value::map();
    let all_names = internal.spec.get("names").unwrap_or(&empty);
    let path = at.child("names");
    let mut faults = names::missing_faults(all_names, &path);
    faults.extend(names::faults(all_names, &path));
    let top = &internal.top;
    let status = internal.any_status();
    faults.extend(version::schema_faults(top.schema(), status, demands, &at.child("validation")));
    faults.extend(version::subresource_faults(top.subresources, &at.child("subresources")));
    faults.extend(version::columns_faults(top.columns, &at.child("additionalPrinterColumns")));
    let why_none = "may only be set when validations.schema is included";
    faults.extend(version::selectable_faults(top, why_none, &at.child("selectableFields")));
    faults
}

/// Faults of fields that may not change: group and plural never, scope and kind once the names are final.
pub fn change_faults(new: &Value, old: &Value) -> Vec<Fault> {
    let mut fields: Vec<&[&str]> = Vec::new();
    if is_established(old) {
        fields.extend([&["spec", "scope"][..], &["spec", "names", "kind"]]);
    }
    fields.extend([&["spec", "group"][..], &["spec", "names", "plural"]]);
    let immutable =
        |path: &&[&str]| validation::immutable(new.at(path), old.at(path), &Path::new(&path.join(".")));
    fields.iter().flat_map(immutable).collect()
}

/// Faults of `status.acceptedNames`.
pub fn status_faults(crd: &Value) -> Vec<Fault> {
    let names = crd.at(&["status", "acceptedNames"]);
    let path = Path::new("status").child("acceptedNames");
    names.map(|n| names::faults(n, &path)).unwrap_or_default()
}

/// Faults of `status.storedVersions`: the storage version is there, and no version that is gone.
pub fn stored_version_faults(crd: &Value) -> Vec<Fault> {
    let at = Path::new("status").child("storedVersions");
    let stored = crd.list_at(&["status", "storedVersions"]);
    let versions = crd.list_at(&["spec", "versions"]);
    let shown = || crd.at(&["status", "storedVersions"]).cloned().unwrap_or_default();
    if stored.is_empty() {
        return vec![Fault::invalid(at, shown(), "must have at least one stored version")];
    }
    let name = |v: &Value| v.str_at(&["name"]).to_owned();
    let has = |version: &Value| stored.iter().any(|s| s.as_str() == Some(&name(version)));
    let missing = versions.iter().filter(|v| v.bool_at(&["storage"]) && !has(v));
    let mut faults: Vec<Fault> = missing
        .map(|v| Fault::invalid(&at, shown(), format!("must have the storage version {}", name(v))))
        .collect();
    for (i, version) in stored.iter().filter_map(Value::as_str).enumerate() {
        if !versions.iter().any(|v| v.str_at(&["name"]) == version) {
            let text = format!(
                "missing from spec.versions; {version} was previously a storage version, and must remain in \
                 spec.versions until a storage migration ensures no data remains persisted in {version} and removes \
                 {version} from status.storedVersions"
            );
            faults.push(Fault::invalid(at.index(i), version, text));
        }
    }
    faults
}

/// The fault of asking anew for what only old definitions have.
pub fn preserve_fault(new: &Value, old: Option<&Value>) -> Option<Fault> {
    let path = ["spec", "preserveUnknownFields"];
    let was = old.is_some_and(|o| o.bool_at(&path));
    let text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
    (new.bool_at(&path) && !was).then(|| Fault::invalid("spec.preserveUnknownFields", true, text))
}
