//! What may change of where a pod with scheduling gates may run: only additions.
//! Source: `validateNodeSelectorMutation`, `validateNodeAffinityMutation`.

use super::{internal, set, update::lost_entries, update::restore};
use crate::validation::same;
use api::{Fault, Path, Value};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

/// Faults of the node selector and node affinity; puts both back to what they were.
pub fn of_gated_pod(munged: &mut Value, old: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !same(munged.get("nodeSelector"), old.get("nodeSelector")) {
        if lost_entries(munged.map_at(&["nodeSelector"]), old.map_at(&["nodeSelector"])) {
            let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
            let shown = munged.get("nodeSelector").cloned().unwrap_or_default();
            faults.push(Fault::invalid(path.child("nodeSelector"), shown, detail));
        }
        restore(munged, old, "nodeSelector");
    }
    let affinity = ["affinity", "nodeAffinity"];
    if same(munged.at(&affinity), old.at(&affinity)) {
        return faults;
    }
    let at = path.child("affinity").child("nodeAffinity").child(REQUIRED).child("nodeSelectorTerms");
    faults.extend(terms(munged, old, &at));
    match old.at(&affinity) {
        Some(value) => munged.set(&affinity, value.clone()),
        None => drop(munged.unset(&affinity)),
    }
    if set(old, "affinity").is_none() && munged.map_at(&["affinity"]).is_some_and(|m| m.is_empty()) {
        munged.unset(&["affinity"]);
    }
    faults
}

fn terms(new: &Value, old: &Value, path: &Path) -> Vec<Fault> {
    let field = ["affinity", "nodeAffinity", REQUIRED, "nodeSelectorTerms"];
    let (new, old) = (new.list_at(&field), old.list_at(&field));
    let form = |term: &Value| internal::form(Some(term), "NodeSelectorTerm");
    if !old.is_empty() && old.len() != new.len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        let shown = if new.is_empty() { Value::Null } else { Value::List(new.iter().map(form).collect()) };
        return vec![Fault::invalid(path, shown, detail)];
    }
    let changed = new.iter().zip(old).enumerate().filter(|(_, (new, old))| !only_adds(new, old));
    let detail = "only additions are allowed (no mutations or deletions)";
    changed.map(|(i, (new, _))| Fault::invalid(path.index(i), form(new), detail)).collect()
}

fn only_adds(new: &Value, old: &Value) -> bool {
    let fields = ["matchExpressions", "matchFields"];
    let bare = |term: &Value| fields.iter().all(|f| term.list_at(&[f]).is_empty());
    if bare(old) && !bare(new) {
        return false;
    }
    fields.iter().all(|f| new.list_at(&[f]).starts_with(old.list_at(&[f])))
}
