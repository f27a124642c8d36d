//! PersistentVolume: a piece of storage of the cluster. Where it is never changes.

use super::persistent_volume_claim::{
    CLASS_ANNOTATION, basic_amount, class_faults, mode_faults, or_unset, phase, positive_amount, short_modes,
    storage_class,
};
use super::persistent_volume_source as source;
use super::pod_spec::internal::pretty;
use super::pod_spec::{self, resources};
use crate::apps::workload::{default_text, default_to};
use crate::internal_form::internal_form;
use crate::unified_diff::unified_diff;
use crate::validation::{self, one_of, same};
use crate::{Column, Cx, Info, Kind, keep_all_but, keep_field, print};
use api::{Fault, Map, Path, Str, Value};

const SPEC: &str = "io.k8s.api.core.v1.PersistentVolumeSpec";
const STATUS: &str = "io.k8s.api.core.v1.PersistentVolumeStatus";
const MOUNT_ANNOTATION: &str = "volume.beta.kubernetes.io/mount-options";
const NODE_AFFINITY: &str = "io.k8s.api.core.v1.VolumeNodeAffinity";

/// Types that no longer work, and what is said of them.
const DEAD: [(&str, &str); 6] = [
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

pub struct PersistentVolume(Info);

impl PersistentVolume {
    pub fn new() -> Self {
        let info = Info::new("", "v1", "PersistentVolume", "persistentvolumes")
            .cluster_scoped()
            .short(&["pv"])
            .returns_deleted()
            .with_status();
        PersistentVolume(info)
    }
}

impl Kind for PersistentVolume {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        default_text(obj, &["status", "phase"], "Pending");
        default_text(obj, &["spec", "persistentVolumeReclaimPolicy"], "Retain");
        default_to(obj, &["spec", "volumeMode"], "Filesystem");
        resources::round_list(obj.at_mut(&["spec", "capacity"]));
        if obj.map_at(&["spec", "hostPath"]).is_some() {
            default_to(obj, &["spec", "hostPath", "type"], "");
        }
    }

    fn prepare_create(&self, obj: &mut Value, cx: &Cx<'_>) {
        obj.set(&["status"], api::tree!({"phase": "Pending", "lastPhaseTransitionTime": cx.now}));
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_field(new, old, "status");
    }

    fn prepare_lens(&self, new: &mut Value, old: &Value, cx: &Cx<'_>) {
        keep_all_but(new, old, &["status", "metadata"]);
        let phase = |obj: &Value| obj.str_at(&["status", "phase"]).to_owned();
        let time =
            |obj: &Value| obj.at(&["status", "lastPhaseTransitionTime"]).filter(|v| !v.is_null()).cloned();
        let (sent, kept) = (time(new), time(old));
        if phase(new) != phase(old) && (sent.is_none() || sent == kept) {
            new.set(&["status", "lastPhaseTransitionTime"], cx.now);
        } else if let (None, Some(kept)) = (sent, kept) {
            new.set(&["status", "lastPhaseTransitionTime"], kept);
        }
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = spec_faults(obj);
        faults.extend(source::mount_fault(obj));
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = self.validate(new, cx);
        faults.extend(spec_faults(new));
        faults.extend(update_faults(new, old));
        faults
    }

    fn warn(&self, new: &Value, _old: Option<&Value>, cx: &Cx<'_>) -> Vec<String> {
        if cx.subresource.is_empty() { warnings(new) } else { Vec::new() }
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name(),
            Column::field("Capacity", "string", SPEC, "capacity"),
            Column::field("Access Modes", "string", SPEC, "accessModes"),
            Column::field("Reclaim Policy", "string", SPEC, "persistentVolumeReclaimPolicy"),
            Column::field("Status", "string", STATUS, "phase"),
            Column::field("Claim", "string", SPEC, "claimRef"),
            Column::text("StorageClass", "string", "StorageClass of the pv"),
            Column::text("VolumeAttributesClass", "string", "VolumeAttributesClass of the pv"),
            Column::field("Reason", "string", STATUS, "reason"),
            Column::age(),
            Column::field("VolumeMode", "string", SPEC, "volumeMode").wide(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let claim = obj.at(&["spec", "claimRef"]).filter(|v| !v.is_null());
        let claim = claim.map(|c| format!("{}/{}", c.str_at(&["namespace"]), c.str_at(&["name"])));
        vec![
            print::name(obj),
            print::or_else(obj.str_at(&["spec", "capacity", "storage"]), "0").into(),
            short_modes(obj.list_at(&["spec", "accessModes"])).into(),
            obj.str_at(&["spec", "persistentVolumeReclaimPolicy"]).into(),
            phase(obj).into(),
            claim.unwrap_or_default().into(),
            storage_class(obj).into(),
            or_unset(obj, "volumeAttributesClassName"),
            obj.str_at(&["status", "reason"]).into(),
            print::age(obj, now),
            or_unset(obj, "volumeMode"),
        ]
    }
}

fn present<'a>(spec: &'a Value, field: &str) -> Option<&'a Value> {
    spec.get(field).filter(|v| !v.is_null())
}

fn spec_faults(obj: &Value) -> Vec<Fault> {
    let (at, empty) = (Path::new("spec"), Value::map());
    let spec = obj.get("spec").unwrap_or(&empty);
    let modes = spec.list_at(&["accessModes"]);
    let mut faults = Vec::new();
    if modes.is_empty() {
        faults.push(Fault::required(at.child("accessModes"), ""));
    }
    faults.extend(mode_faults(modes, &at.child("accessModes")));
    faults.extend(capacity_faults(spec, &at.child("capacity")));
    let policy = spec.str_at(&["persistentVolumeReclaimPolicy"]);
    let policy_at = at.child("persistentVolumeReclaimPolicy");
    if !policy.is_empty() {
        faults.extend(one_of(policy, &["Delete", "Recycle", "Retain"], &policy_at));
    }
    if let Some(affinity) = present(spec, "nodeAffinity") {
        faults.extend(affinity_faults(affinity, &at.child("nodeAffinity")));
    }
    faults.extend(source::faults(spec, &at));
    if policy == "Recycle" && is_root(spec.str_at(&["hostPath", "path"])) {
        faults.push(Fault::forbidden(policy_at, "may not be 'recycle' for a hostPath mount of '/'"));
    }
    faults.extend(class_faults(spec, "storageClassName", &at));
    if let Some(mode) = spec.get("volumeMode").and_then(Value::as_str) {
        faults.extend(one_of(mode, &["Block", "Filesystem"], &at.child("volumeMode")));
    }
    let field = "volumeAttributesClassName";
    if let Some(class) = spec.get(field).and_then(Value::as_str) {
        if class.is_empty() {
            faults.push(Fault::required(at.child(field), "an empty string is disallowed"));
        }
        faults.extend(class_faults(spec, field, &at));
        if present(spec, "csi").is_none() {
            let detail = "has to be specified when using volumeAttributesClassName";
            faults.push(Fault::required(at.child("csi"), detail));
        }
    }
    faults
}

/// True for paths that are `/` when cleaned.
fn is_root(path: &str) -> bool {
    let depth = path.split('/').fold(0_usize, |depth, part| match part {
        "" | "." => depth,
        ".." => depth.saturating_sub(1),
        _ => depth + 1,
    });
    path.starts_with('/') && depth == 0
}

fn capacity_faults(spec: &Value, at: &Path) -> Vec<Fault> {
    let capacity = spec.map_at(&["capacity"]).filter(|m| !m.is_empty());
    let mut faults = Vec::new();
    if capacity.is_none() {
        faults.push(Fault::required(at, ""));
    }
    if capacity.is_none_or(|c| c.len() > 1 || !c.contains_key("storage")) {
        let shown = capacity.map_or(Value::Null, |c| Value::Map(c.clone()));
        faults.push(Fault::not_supported(at, shown, &["storage"]));
    }
    for (name, value) in capacity.into_iter().flat_map(Map::iter) {
        faults.extend(basic_amount(value, &at.key(name)));
        faults.extend(
            resources::quantity(value).map(|q| positive_amount(&q, &at.key(name))).unwrap_or_default(),
        );
    }
    faults
}

fn affinity_faults(affinity: &Value, at: &Path) -> Vec<Fault> {
    match present(affinity, "required") {
        Some(selector) => pod_spec::node_selector(selector, &at.child("required")),
        None => vec![Fault::required(at.child("required"), "must specify required node constraints")],
    }
}

fn update_faults(new: &Value, old: &Value) -> Vec<Fault> {
    let spec = |obj: &Value| obj.get("spec").cloned().unwrap_or_else(Value::map);
    let (mut new_spec, old_spec) = (spec(new), spec(old));
    let secret = ["csi", "controllerExpandSecretRef"];
    let unset = |spec: &Value| spec.at(&secret).is_none_or(Value::is_null);
    if present(&old_spec, "csi").is_some() && unset(&old_spec) {
        new_spec.unset(&secret);
    }
    let mut faults = Vec::new();
    if source::differ(&new_spec, &old_spec) {
        let form = |spec: &Value| pretty(&source::form(spec));
        let diff = unified_diff(&form(&old_spec), &form(&new_spec));
        let detail = format!("spec.persistentvolumesource is immutable after creation\n{diff}");
        faults.push(Fault::forbidden("spec.persistentvolumesource", detail));
    }
    let field = "volumeMode";
    faults.extend(validation::immutable(new_spec.get(field), old_spec.get(field), &Path::new(field)));
    faults.extend(affinity_change(&new_spec, &old_spec));
    let class = |spec: &Value| present(spec, "volumeAttributesClassName").is_some();
    if class(&old_spec) && !class(&new_spec) {
        let detail = "update from non-nil value to nil is forbidden";
        faults.push(Fault::forbidden("spec.volumeAttributesClassName", detail));
    }
    faults
}

/// Where the volume can be reached never changes, but for labels of nodes that got their final names.
fn affinity_change(new: &Value, old: &Value) -> Option<Fault> {
    let was = present(old, "nodeAffinity")?;
    let now = present(new, "nodeAffinity");
    if same(now, Some(&with_final_labels(was, now))) {
        return None;
    }
    let detail = format!("{}, except for updating from beta label to GA", validation::IMMUTABLE);
    Some(Fault::invalid("nodeAffinity", internal_form(now, NODE_AFFINITY), detail))
}

/// `old` with the final name of each label for which `new` has it at the same place.
fn with_final_labels(old: &Value, new: Option<&Value>) -> Value {
    const FINAL: [(&str, &str); 5] = [
        ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
        ("beta.kubernetes.io/os", "kubernetes.io/os"),
        ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
        ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
        ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
    ];
    match (old, new) {
        (Value::Map(old), new) => {
            let of = |(k, v): (&Str, &Value)| (k.clone(), with_final_labels(v, new.and_then(|n| n.get(k))));
            Value::Map(old.iter().map(of).collect())
        }
        (Value::List(old), Some(Value::List(new))) => {
            Value::List(old.iter().enumerate().map(|(i, v)| with_final_labels(v, new.get(i))).collect())
        }
        (Value::Str(old), Some(Value::Str(new))) if FINAL.contains(&(old.as_str(), new.as_str())) => {
            Value::Str(new.clone())
        }
        (old, _) => old.clone(),
    }
}

fn warnings(obj: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let annotations = [
        (CLASS_ANNOTATION, "deprecated since v1.8; use \"storageClassName\" attribute instead"),
        (MOUNT_ANNOTATION, "deprecated since v1.31; use \"mountOptions\" attribute instead"),
    ];
    for (key, text) in annotations {
        if obj.at(&["metadata", "annotations", key]).is_some() {
            warnings.push(format!("metadata.annotations[{key}]: {text}"));
        }
    }
    let Some(spec) = obj.get("spec") else { return warnings };
    if spec.str_at(&["persistentVolumeReclaimPolicy"]) == "Recycle" {
        warnings.push(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended \
             approach is to use dynamic provisioning."
                .to_owned(),
        );
    }
    let terms_at = Path::new("spec.nodeAffinity.required.nodeSelectorTerms");
    let terms = spec.list_at(&["nodeAffinity", "required", "nodeSelectorTerms"]);
    for (i, term) in terms.iter().enumerate() {
        warnings.extend(pod_spec::warn_node_selector_term(term, false, &terms_at.index(i)));
    }
    for (field, text) in DEAD {
        if present(spec, field).is_some() {
            warnings.push(format!("spec.{field}: {text}"));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cx, texts};
    use api::tree;

    #[test]
    fn a_volume_needs_modes_capacity_and_a_type() {
        assert_eq!(
            texts(&spec_faults(&tree!({}))),
            [
                "spec.accessModes: Required value",
                "spec.capacity: Required value",
                "spec.capacity: Unsupported value: null: supported values: \"storage\"",
                "spec: Required value: must specify a volume type",
            ]
        );
    }

    #[test]
    fn one_type_is_enough_and_local_ones_say_where() {
        let obj = tree!({"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
            "hostPath": {"path": "../x"}, "nfs": {"server": "s", "path": "/p"}}});
        assert_eq!(
            texts(&spec_faults(&obj)),
            [
                "spec.hostPath.path: Invalid value: \"../x\": must not contain '..'",
                "spec.nfs: Forbidden: may not specify more than 1 volume type",
            ]
        );
        let local = tree!({"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "local": {"path": "/mnt"}}});
        assert_eq!(
            texts(&spec_faults(&local)),
            ["spec.nodeAffinity: Required value: Local volume requires node affinity"]
        );
    }

    #[test]
    fn the_source_is_frozen_and_the_refusal_shows_the_change() {
        let volume = |path: &str| tree!({"spec": {"hostPath": {"path": path, "type": ""}}});
        let faults = update_faults(&volume("/tmp/other"), &volume("/tmp/x"));
        assert_eq!(
            texts(&faults),
            [
                "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n\
              @@ -2,7 +2,7 @@\n  \"GCEPersistentDisk\": null,\n  \"AWSElasticBlockStore\": null,\n  \"HostPath\": {\n\
              -  \"Path\": \"/tmp/x\",\n+  \"Path\": \"/tmp/other\",\n   \"Type\": \"\"\n  },\n  \"Glusterfs\": null,\n"
            ]
        );
    }

    #[test]
    fn a_change_of_phase_is_timed() {
        let old = tree!({"status": {"phase": "Pending", "lastPhaseTransitionTime": "2020-01-01T00:00:00Z"}});
        let mut new = tree!({"status": {"phase": "Bound"}});
        PersistentVolume::new().prepare_lens(&mut new, &old, &cx("status"));
        assert_eq!(new.str_at(&["status", "lastPhaseTransitionTime"]), "2024-01-01T00:00:00Z");
        let mut same = tree!({"status": {"phase": "Pending"}});
        PersistentVolume::new().prepare_lens(&mut same, &old, &cx("status"));
        assert_eq!(same.str_at(&["status", "lastPhaseTransitionTime"]), "2020-01-01T00:00:00Z");
    }

    #[test]
    fn beta_labels_may_become_final() {
        let volume = |key: &str| {
            tree!({"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": key, "operator": "In", "values": ["a"]}]}]}}})
        };
        let (beta, stable) = ("beta.kubernetes.io/os", "kubernetes.io/os");
        assert!(affinity_change(&volume(stable), &volume(beta)).is_none());
        assert!(affinity_change(&volume("x"), &volume(beta)).is_some());
    }

    #[test]
    fn roots_are_recognised() {
        assert!(is_root("/") && is_root("/a/..") && !is_root("/a") && !is_root(""));
    }
}
