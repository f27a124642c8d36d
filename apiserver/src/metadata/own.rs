//! Which checks of metadata a kind runs itself, besides those that all kinds get. What a check finds that runs twice
//! is told twice among the causes, so that it matters who runs which.
//!
//! Source: the `Validate…` functions of each group, and `rest.BeforeCreate` and `BeforeUpdate`.

use super::{immutable_faults, validate};
use api::{Fault, Path, Value};
use kinds::Info;
use kinds::metadata_checks::{Own, comes_last, knows_finalizers, on_lens, on_update};

/// What a kind has against the metadata of a new object, before its other rules.
pub fn new_faults(obj: &Value, info: &Info, builtin: bool) -> Vec<Fault> {
    if comes_last(info) && builtin { Vec::new() } else { whole(obj, info, builtin) }
}

/// What a kind has against a change of metadata, behind what is checked for all kinds.
pub fn change_faults(new: &Value, old: &Value, info: &Info, builtin: bool, is_lens: bool) -> Vec<Fault> {
    let own = match (builtin, is_lens) {
        (false, _) => Own::Change,
        (true, false) => on_update(info),
        (true, true) => on_lens(info),
    };
    let mut faults = Vec::new();
    if matches!(own, Own::Change | Own::Both) {
        faults.extend(immutable_faults(new, old));
        faults.extend(finalizer_name_faults(new, info, builtin));
    }
    if matches!(own, Own::Whole | Own::Both) {
        faults.extend(whole(new, info, builtin));
    }
    faults
}

fn whole(obj: &Value, info: &Info, builtin: bool) -> Vec<Fault> {
    let mut faults = validate(obj, info);
    faults.extend(finalizer_name_faults(obj, info, builtin));
    faults
}

fn finalizer_name_faults(obj: &Value, info: &Info, builtin: bool) -> Vec<Fault> {
    if !builtin || !knows_finalizers(info) {
        return Vec::new();
    }
    let at = Path::new("metadata").child("finalizers");
    let is_strange =
        |name: &str| !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion");
    let names = super::finalizers(obj).into_iter().enumerate().filter(|(_, name)| is_strange(name));
    let text = "name is neither a standard finalizer name nor is it fully qualified";
    names.map(|(i, name)| Fault::invalid(at.index(i), name, text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn object() -> Value {
        tree!({"metadata": {"name": "a", "namespace": "b", "resourceVersion": "1", "finalizers": ["orphan", "x", "a/b"]}})
    }

    fn texts(faults: &[Fault]) -> Vec<String> {
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn finalizers_have_a_domain_where_kinds_care() {
        let kind = |group: &str| Info::new(group, "v1", "Thing", "things");
        assert_eq!(
            texts(&new_faults(&object(), &kind("apps"), true)),
            [
                "metadata.finalizers[1]: Invalid value: \"x\": name is neither a standard finalizer name nor is it fully qualified"
            ]
        );
        assert!(new_faults(&object(), &kind("coordination.k8s.io"), true).is_empty());
        assert!(new_faults(&object(), &kind("example.com"), false).is_empty());
    }

    #[test]
    fn config_maps_check_a_change_twice() {
        let info = Info::new("", "v1", "ConfigMap", "configmaps");
        let mut new = object();
        new.set(&["metadata", "finalizers"], tree!([]));
        new.set(&["metadata", "labels"], tree!({"a": "-"}));
        let faults = change_faults(&new, &object(), &info, true, false);
        assert_eq!(faults.len(), 2, "{:?}", texts(&faults));
        let policy = Info::new("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets");
        assert!(change_faults(&new, &object(), &policy, true, false).is_empty());
    }
}
