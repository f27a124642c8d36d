//! Namespace: a room for names. It goes in phases: marked, emptied, then released by its own finalizers in `spec`.

use crate::{Column, Cx, Form, Info, Kind, NameRule, Verbs, keep_all_but, keep_field, print};
use api::{Fault, Path, Value, names, tree};

const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// Holds a namespace until its contents are gone.
const KUBERNETES: &str = "kubernetes";
const STANDARD_FINALIZERS: [&str; 3] = [KUBERNETES, "orphan", "foregroundDeletion"];

pub struct Namespace(Info);

impl Namespace {
    pub fn new() -> Self {
        let mut info = Info::new("", "v1", "Namespace", "namespaces").short(&["ns"]).cluster_scoped();
        info = info.names(NameRule::Dns1123Label).returns_deleted();
        info = info.verbs(Verbs::ALL.without(Verbs::DELETE_COLLECTION));
        info = info.subresource("finalize", "", "", "Namespace", Verbs::UPDATE, Form::Lens);
        Namespace(info.with_status())
    }
}

fn finalizer_faults(name: &str, path: &Path) -> Vec<Fault> {
    let wrong = names::is_qualified_name(name).into_iter();
    let mut faults: Vec<Fault> = wrong.map(|text| Fault::invalid(path, name, text)).collect();
    if !name.contains('/') && !STANDARD_FINALIZERS.contains(&name) {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        faults.push(Fault::invalid(path, name, detail));
    }
    faults
}

impl Kind for Namespace {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        let name = obj.str_at(&["metadata", "name"]).to_owned();
        if !name.is_empty() {
            let labels = obj.make_map(&["metadata", "labels"]);
            labels.insert(NAME_LABEL, name);
            labels.sort();
        }
        if obj.str_at(&["status", "phase"]).is_empty() {
            obj.set(&["status", "phase"], "Active");
        }
    }

    fn prepare_create(&self, obj: &mut Value, _cx: &Cx<'_>) {
        obj.set(&["status"], tree!({"phase": "Active"}));
        let spec = obj.make_map(&["spec"]);
        if let Value::List(list) = spec.entry_or("finalizers", || Value::List(Vec::new()))
            && !list.iter().any(|f| f.as_str() == Some(KUBERNETES))
        {
            list.push(KUBERNETES.into());
        }
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_field(new, old, "spec");
        keep_field(new, old, "status");
    }

    fn prepare_lens(&self, new: &mut Value, old: &Value, cx: &Cx<'_>) {
        match cx.subresource {
            "finalize" => keep_all_but(new, old, &["spec", "metadata"]),
            _ => keep_all_but(new, old, &["status", "metadata"]),
        }
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let path = Path::new("spec").child("finalizers");
        let finalizers = obj.list_at(&["spec", "finalizers"]).iter().filter_map(Value::as_str);
        finalizers.flat_map(|name| finalizer_faults(name, &path)).collect()
    }

    fn validate_lens(&self, new: &Value, _old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        if cx.subresource == "finalize" {
            let path = Path::new("spec").child("finalizers");
            let finalizers =
                new.list_at(&["spec", "finalizers"]).iter().filter_map(Value::as_str).enumerate();
            return finalizers.flat_map(|(i, name)| finalizer_faults(name, &path.index(i))).collect();
        }
        let going = !new.str_at(&["metadata", "deletionTimestamp"]).is_empty();
        let (phase, detail) = if going {
            ("Terminating", "may only be 'Terminating' if `deletionTimestamp` is not empty")
        } else {
            ("Active", "may only be 'Active' if `deletionTimestamp` is empty")
        };
        let is = new.str_at(&["status", "phase"]);
        let at = Path::new("status").child("Phase");
        (is != phase).then(|| Fault::invalid(at, is, detail)).into_iter().collect()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::name(), Column::text("Status", "string", "The status of the namespace"), Column::age()]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        vec![print::name(obj), obj.str_at(&["status", "phase"]).into(), print::age(obj, now)]
    }

    fn fields(&self, obj: &Value) -> Vec<(&'static str, String)> {
        vec![("status.phase", obj.str_at(&["status", "phase"]).to_owned())]
    }

    /// The first request only starts the end; later ones wait for the last of `spec.finalizers`.
    fn begin_deletion(&self, obj: &mut Value, now: &str) -> bool {
        if obj.at(&["metadata", "deletionTimestamp"]).is_some() {
            return self.stays_while_deleting(obj);
        }
        obj.set(&["metadata", "deletionTimestamp"], now);
        obj.set(&["status", "phase"], "Terminating");
        true
    }

    fn stays_while_deleting(&self, obj: &Value) -> bool {
        !obj.list_at(&["spec", "finalizers"]).is_empty()
    }

    fn reset_fields(&self, subresource: &str) -> Vec<Vec<&'static str>> {
        match subresource {
            "status" => vec![vec!["spec"]],
            _ => vec![vec!["status"]],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cx, texts};

    #[test]
    fn a_new_namespace_is_active_and_held() {
        let mut namespace = tree!({"metadata": {"name": "n"}, "spec": {"finalizers": ["nodomain"]}});
        Namespace::new().fill(&mut namespace, "v1");
        Namespace::new().prepare_create(&mut namespace, &cx(""));
        assert_eq!(namespace.str_at(&["metadata", "labels", NAME_LABEL]), "n");
        assert_eq!(namespace.at(&["spec", "finalizers"]), Some(&tree!(["nodomain", "kubernetes"])));
        assert_eq!(
            texts(&Namespace::new().validate(&namespace, &cx(""))),
            [
                "spec.finalizers: Invalid value: \"nodomain\": name is neither a standard finalizer name nor is it fully \
              qualified"
            ]
        );
    }

    #[test]
    fn it_goes_when_its_own_finalizers_are_gone() {
        let mut namespace = tree!({"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
        assert!(Namespace::new().begin_deletion(&mut namespace, "2026-01-01T00:00:00Z"));
        assert_eq!(namespace.str_at(&["status", "phase"]), "Terminating");
        assert_eq!(namespace.str_at(&["metadata", "deletionTimestamp"]), "2026-01-01T00:00:00Z");
        namespace.unset(&["spec", "finalizers"]);
        assert!(!Namespace::new().stays_while_deleting(&namespace));
    }

    #[test]
    fn the_phase_follows_the_deletion() {
        let namespace = tree!({"status": {"phase": "Terminating"}});
        assert_eq!(
            texts(&Namespace::new().validate_lens(&namespace, &namespace, &cx("status"))),
            [
                "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"
            ]
        );
    }
}
