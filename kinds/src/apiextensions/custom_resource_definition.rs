//! CustomResourceDefinition: a kind of objects that users add to the API.

use super::internal_spec::InternalSpec;
use super::{approval, formats, spec};
use crate::{Cx, Info, Kind, NameRule, keep_field, validation};
use api::{Fault, Path, Value, names, tree};

const GROUP: &str = "apiextensions.k8s.io";
const DEFAULT_PORT: i64 = 443;
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
const PENDING: &str = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
const STORED: [&str; 2] = ["status", "storedVersions"];

pub struct CustomResourceDefinition(Info);

impl CustomResourceDefinition {
    pub fn new() -> Self {
        let info = Info::new(GROUP, "v1", "CustomResourceDefinition", "customresourcedefinitions");
        let info = info.prefix("apiextensions.k8s.io/customresourcedefinitions").cluster_scoped();
        let info = info.short(&["crd", "crds"]).categories(&["api-extensions"]).names(NameRule::Own);
        CustomResourceDefinition(info.conditional_update().with_status().with_generation())
    }
}

fn storage_version(crd: &Value) -> Option<&str> {
    let mut versions = crd.list_at(&["spec", "versions"]).iter();
    versions.find(|v| v.bool_at(&["storage"])).map(|v| v.str_at(&["name"]))
}

/// Adds the storage version to `status.storedVersions`.
fn store_version(crd: &mut Value) {
    let Some(name) = storage_version(crd).map(str::to_owned) else { return };
    let mut stored = crd.list_at(&STORED).to_vec();
    if !stored.iter().any(|s| s.as_str() == Some(&name)) {
        stored.push(name.into());
        crd.set(&STORED, stored);
    }
}

/// The name is that of the resource in its group.
fn name_faults(crd: &Value) -> Vec<Fault> {
    let name = crd.str_at(&["metadata", "name"]);
    let wanted = format!("{}.{}", crd.str_at(&["spec", "names", "plural"]), crd.str_at(&["spec", "group"]));
    let mut texts = names::is_dns1123_subdomain(name);
    if name != wanted {
        texts.push("must be spec.names.plural+\".\"+spec.group".to_owned());
    }
    validation::texts(&Path::new("metadata").child("name"), name, texts)
}

fn unknown_formats(crd: &Value) -> Vec<String> {
    let empty = Value::map();
    let internal = InternalSpec::of(crd.get("spec").unwrap_or(&empty));
    formats::unknown(internal.schemas()).into_iter().map(str::to_owned).collect()
}

impl Kind for CustomResourceDefinition {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        let kind = obj.str_at(&["spec", "names", "kind"]).to_owned();
        let all = obj.make_map(&["spec", "names"]);
        let empty = |v: Option<&Value>| v.and_then(Value::as_str).is_none_or(str::is_empty);
        if empty(all.get("singular")) {
            all.insert("singular", kind.to_lowercase());
        }
        if empty(all.get("listKind")) && !kind.is_empty() {
            all.insert("listKind", format!("{kind}List"));
        }
        obj.make_map(&["spec"]).entry_or("conversion", || tree!({"strategy": "None"}));
        let service = ["spec", "conversion", "webhook", "clientConfig", "service"];
        if let Some(service) = obj.at_mut(&service).and_then(Value::as_map_mut) {
            service.entry_or("port", || Value::Int(DEFAULT_PORT));
        }
        if obj.list_at(&STORED).is_empty() {
            store_version(obj);
        }
    }

    fn prepare_create(&self, obj: &mut Value, _cx: &Cx<'_>) {
        obj.unset(&["status"]);
        store_version(obj);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_field(new, old, "status");
        store_version(new);
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = name_faults(obj);
        faults.extend(spec::faults(obj, None));
        faults.extend(spec::status_faults(obj));
        faults.extend(spec::stored_version_faults(obj));
        faults.extend(approval::fault(obj, None));
        faults.extend(spec::preserve_fault(obj, None));
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = spec::faults(new, Some(old));
        faults.extend(spec::change_faults(new, old));
        faults.extend(spec::status_faults(new));
        faults.extend(spec::stored_version_faults(new));
        faults.extend(approval::fault(new, Some(old)));
        faults.extend(spec::preserve_fault(new, Some(old)));
        faults
    }

    fn validate_lens(&self, new: &Value, _old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        spec::status_faults(new)
    }

    /// A definition stays until its objects are gone; the first request to delete it says so at once.
    fn begin_deletion(&self, obj: &mut Value, now: &str) -> bool {
        if obj.at(&["metadata", "deletionTimestamp"]).is_some() {
            return false;
        }
        obj.set(&["metadata", "deletionTimestamp"], now);
        let mut finalizers = obj.list_at(&["metadata", "finalizers"]).to_vec();
        if !finalizers.iter().any(|f| f.as_str() == Some(CLEANUP)) {
            finalizers.push(CLEANUP.into());
            obj.set(&["metadata", "finalizers"], finalizers);
        }
        let mut conditions = obj.list_at(&["status", "conditions"]).to_vec();
        conditions.retain(|c| c.str_at(&["type"]) != "Terminating");
        conditions.push(tree!({"type": "Terminating", "status": "True", "lastTransitionTime": now,
            "reason": "InstanceDeletionPending", "message": PENDING}));
        obj.set(&["status", "conditions"], conditions);
        false
    }

    fn warn(&self, new: &Value, old: Option<&Value>, _cx: &Cx<'_>) -> Vec<String> {
        let known = old.map(unknown_formats).unwrap_or_default();
        let added = unknown_formats(new).into_iter().filter(|format| !known.contains(format));
        added.map(|format| format!("unrecognized format {}", api::quote(&format))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cx() -> Cx<'static> {
        Cx { user: "", uid: "", groups: &[], extra: &[], now: "", subresource: "", version: "v1" }
    }

    fn faults(mut crd: Value) -> Vec<String> {
        let kind = CustomResourceDefinition::new();
        kind.fill(&mut crd, "v1");
        kind.prepare_create(&mut crd, &cx());
        kind.validate(&crd, &cx()).iter().map(|f| f.to_string()).collect()
    }

    fn crd(spec: Value) -> Value {
        let mut crd = tree!({"metadata": {"name": "things.g.example.com"},
            "spec": {"group": "g.example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"}}});
        for (field, value) in spec.as_map().unwrap().iter() {
            crd.set(&["spec", field], value.clone());
        }
        crd
    }

    #[test]
    fn names_conversion_and_stored_versions_are_filled_in() {
        let kind = CustomResourceDefinition::new();
        let mut obj = crd(tree!({"versions": [{"name": "v1", "served": true, "storage": true}]}));
        kind.fill(&mut obj, "v1");
        assert_eq!(obj.str_at(&["spec", "names", "singular"]), "thing");
        assert_eq!(obj.str_at(&["spec", "names", "listKind"]), "ThingList");
        assert_eq!(obj.str_at(&["spec", "conversion", "strategy"]), "None");
        kind.prepare_create(&mut obj, &cx());
        assert_eq!(obj.at(&STORED), Some(&tree!(["v1"])));
    }

    #[test]
    fn an_empty_definition_lacks_everything() {
        assert_eq!(
            faults(tree!({"metadata": {"name": "other.example.com"}, "spec": {}})),
            [
                "metadata.name: Invalid value: \"other.example.com\": must be spec.names.plural+\".\"+spec.group",
                "spec.group: Required value",
                "spec.scope: Required value",
                "spec.versions: Invalid value: null: must have exactly one version marked as storage version",
                "spec.names.plural: Required value",
                "spec.names.singular: Required value",
                "spec.names.kind: Required value",
                "spec.names.listKind: Required value",
                "status.storedVersions: Invalid value: null: must have at least one stored version",
            ]
        );
    }

    #[test]
    fn a_schema_that_all_versions_share_is_told_at_the_top() {
        let schema =
            tree!({"openAPIV3Schema": {"properties": {"a": {"type": "strng"}, "b": {"type": "array"}}}});
        let versions = tree!([{"name": "v1", "served": true, "storage": true, "schema": schema}]);
        let found = faults(crd(tree!({"versions": versions})));
        assert_eq!(
            found[..2],
            [
                "spec.validation.openAPIV3Schema.properties[b].items: Required value: must be specified",
                "spec.validation.openAPIV3Schema.type: Required value: must not be empty at the root",
            ]
        );
        assert!(
            found[2].starts_with(
                "spec.validation.openAPIV3Schema.properties[a].type: Unsupported value: \"strng\""
            )
        );
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn scope_and_kind_are_fixed_once_established() {
        let old = tree!({"spec": {"scope": "Cluster", "group": "a"}, "status": {"conditions": [
            {"type": "Established", "status": "True"}]}});
        let new = tree!({"spec": {"scope": "Namespaced", "group": "b"}});
        let texts =
            |old: &Value| spec::change_faults(&new, old).iter().map(|f| f.to_string()).collect::<Vec<_>>();
        assert_eq!(
            texts(&old),
            [
                "spec.scope: Invalid value: \"Namespaced\": field is immutable",
                "spec.group: Invalid value: \"b\": field is immutable",
            ]
        );
        assert_eq!(texts(&tree!({"spec": {"scope": "Cluster", "group": "b"}})), [""; 0]);
    }
}
