//! PersistentVolumeClaim: asks for storage; frozen once made, but for growing when bound. Its spec also stands in
//! StatefulSets and pods.

use super::pod_spec::internal::pretty;
use super::pod_spec::resources::{self, quantity};
use crate::apps::workload::{default_text, default_to};
use crate::internal_form::internal_form;
use crate::unified_diff::unified_diff;
use crate::validation::{self, dns_label, dns_subdomain, one_of, qualified_name, required, same};
use crate::{Column, Cx, Info, Kind, keep_field, print, reset_status};
use api::quantity::Quantity;
use api::{Fault, Map, Path, Value, tree};

const SPEC: &str = "io.k8s.api.core.v1.PersistentVolumeClaimSpec";
const STATUS: &str = "io.k8s.api.core.v1.PersistentVolumeClaimStatus";
/// How storage classes were named before they had a field.
pub(super) const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const RESIZE_STATUSES: [&str; 5] = [
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

pub struct PersistentVolumeClaim(Info);

impl PersistentVolumeClaim {
    pub fn new() -> Self {
        let info = Info::new("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
            .short(&["pvc"])
            .returns_deleted()
            .with_status();
        PersistentVolumeClaim(info)
    }
}

impl Kind for PersistentVolumeClaim {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        fill(obj);
    }

    fn prepare_create(&self, obj: &mut Value, _cx: &Cx<'_>) {
        reset_status(obj);
        obj.set(&["status", "phase"], "Pending");
        prepare_sources(obj, None);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_field(new, old, "status");
        prepare_sources(new, old.get("spec"));
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        spec_faults(obj.get("spec").unwrap_or(&Value::Null), &Path::new("spec"))
    }

    fn validate_update(&self, new: &Value, old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = self.validate(new, cx);
        faults.extend(update_faults(new, old));
        faults
    }

    fn validate_lens(&self, new: &Value, _old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        status_faults(new)
    }

    fn warn(&self, new: &Value, _old: Option<&Value>, cx: &Cx<'_>) -> Vec<String> {
        if !cx.subresource.is_empty() {
            return Vec::new();
        }
        let mut warnings = Vec::new();
        if new.at(&["metadata", "annotations", CLASS_ANNOTATION]).is_some() {
            let text = "deprecated since v1.8; use \"storageClassName\" attribute instead";
            warnings.push(format!("metadata.annotations[{CLASS_ANNOTATION}]: {text}"));
        }
        warnings.extend(spec_warnings(new.get("spec"), &Path::new("spec")));
        warnings
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name(),
            Column::field("Status", "string", STATUS, "phase"),
            Column::field("Volume", "string", SPEC, "volumeName"),
            Column::field("Capacity", "string", STATUS, "capacity"),
            Column::field("Access Modes", "string", STATUS, "accessModes"),
            Column::text("StorageClass", "string", "StorageClass of the pvc"),
            Column::text("VolumeAttributesClass", "string", "VolumeAttributesClass of the pvc"),
            Column::age(),
            Column::field("VolumeMode", "string", SPEC, "volumeMode").wide(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let volume = obj.str_at(&["spec", "volumeName"]);
        let (capacity, modes) = if volume.is_empty() {
            (String::new(), String::new())
        } else {
            let storage = obj.str_at(&["status", "capacity", "storage"]);
            (print::or_else(storage, "0"), short_modes(obj.list_at(&["status", "accessModes"])))
        };
        vec![
            print::name(obj),
            phase(obj).into(),
            volume.into(),
            capacity.into(),
            modes.into(),
            storage_class(obj).into(),
            or_unset(obj, "volumeAttributesClassName"),
            print::age(obj, now),
            or_unset(obj, "volumeMode"),
        ]
    }
}

/// Defaults of a claim, which also stand in StatefulSets.
pub fn fill(claim: &mut Value) {
    default_text(claim, &["status", "phase"], "Pending");
    default_to(claim, &["spec", "volumeMode"], "Filesystem");
    resources::round_requirements(claim.at_mut(&["spec", "resources"]));
    for list in ["capacity", "allocatedResources"] {
        resources::round_list(claim.at_mut(&["status", list]));
    }
}

/// The phase, or that it is on its way out.
pub(super) fn phase(obj: &Value) -> String {
    if obj.str_at(&["metadata", "deletionTimestamp"]).is_empty() {
        obj.str_at(&["status", "phase"]).to_owned()
    } else {
        "Terminating".to_owned()
    }
}

/// The storage class of a volume or claim.
pub(super) fn storage_class(obj: &Value) -> String {
    let annotated = obj.at(&["metadata", "annotations", CLASS_ANNOTATION]).and_then(Value::as_str);
    annotated.unwrap_or_else(|| obj.str_at(&["spec", "storageClassName"])).to_owned()
}

pub(super) fn or_unset(obj: &Value, field: &str) -> Value {
    obj.at(&["spec", field]).and_then(Value::as_str).unwrap_or("<unset>").into()
}

/// `RWO,ROX,RWX,RWOP`.
pub(super) fn short_modes(modes: &[Value]) -> String {
    let short = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |long: &str| modes.iter().any(|m| m.as_str() == Some(long));
    short.iter().filter(|(long, _)| has(long)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

/// Sources of data stand in two fields, an older and a newer one, that say the same where both can.
fn prepare_sources(obj: &mut Value, old_spec: Option<&Value>) {
    let has =
        |spec: Option<&Value>, field: &str| spec.and_then(|s| s.get(field)).is_some_and(|v| !v.is_null());
    let Some(spec) = obj.get_mut("spec") else { return };
    let abroad = !spec.str_at(&["dataSourceRef", "namespace"]).is_empty();
    if abroad && !has(old_spec, "dataSourceRef") {
        spec.unset(&["dataSourceRef"]);
    }
    let in_use = has(old_spec, "dataSource") || has(old_spec, "dataSourceRef");
    if !in_use && !has(Some(spec), "dataSourceRef") {
        let of = |field: &str| spec.str_at(&["dataSource", field]);
        let known = match of("apiGroup") {
            "" => of("kind") == "PersistentVolumeClaim",
            group => group == "snapshot.storage.k8s.io" && of("kind") == "VolumeSnapshot",
        };
        if !known {
            spec.unset(&["dataSource"]);
        }
    }
    normalise_sources(spec);
}

fn normalise_sources(spec: &mut Value) {
    let source = |field: &str| spec.get(field).filter(|v| !v.is_null()).cloned();
    match (source("dataSource"), source("dataSourceRef")) {
        (Some(old), None) => spec.set(&["dataSourceRef"], old),
        (None, Some(mut new)) if new.str_at(&["namespace"]).is_empty() => {
            new.unset(&["namespace"]);
            spec.set(&["dataSource"], new);
        }
        _ => {}
    }
}

/// Access modes: known ones, and not all together.
pub(super) fn mode_faults(modes: &[Value], at: &Path) -> Vec<Fault> {
    let modes: Vec<&str> = modes.iter().filter_map(Value::as_str).collect();
    let mut faults: Vec<Fault> = modes.iter().flat_map(|mode| one_of(mode, &MODES, at)).collect();
    let others = modes.iter().any(|mode| MODES.contains(mode) && *mode != "ReadWriteOncePod");
    if modes.contains(&"ReadWriteOncePod") && others {
        faults.push(Fault::forbidden(at, "may not use ReadWriteOncePod with other access modes"));
    }
    faults
}

/// An amount of storage must be more than nothing.
pub(super) fn positive_amount(amount: &Quantity, at: &Path) -> Vec<Fault> {
    if amount.sign() > 0 {
        return Vec::new();
    }
    vec![Fault::invalid(at, amount.to_string(), "must be greater than zero")]
}

/// All faults of a claim's spec.
pub fn spec_faults(spec: &Value, at: &Path) -> Vec<Fault> {
    let modes = spec.list_at(&["accessModes"]);
    let mut faults = Vec::new();
    if modes.is_empty() {
        faults.push(Fault::required(at.child("accessModes"), "at least 1 access mode is required"));
    }
    let selector = spec.get("selector").filter(|v| !v.is_null());
    faults.extend(validation::label_selector(selector, &at.child("selector")));
    faults.extend(mode_faults(modes, &at.child("accessModes")));
    let storage_at = at.child("resources").key("storage");
    match spec.at(&["resources", "requests", "storage"]).and_then(quantity) {
        None => faults.push(Fault::required(storage_at, "")),
        Some(amount) => faults.extend(positive_amount(&amount, &storage_at)),
    }
    faults.extend(class_faults(spec, "storageClassName", at));
    if let Some(mode) = spec.get("volumeMode").and_then(Value::as_str) {
        faults.extend(one_of(mode, &["Block", "Filesystem"], &at.child("volumeMode")));
    }
    faults.extend(source_faults(spec, at));
    faults.extend(class_faults(spec, "volumeAttributesClassName", at));
    faults
}

/// The name of a class, where there is one.
pub(super) fn class_faults(spec: &Value, field: &str, at: &Path) -> Vec<Fault> {
    match spec.str_at(&[field]) {
        "" => Vec::new(),
        name => dns_subdomain(name, &at.child(field)),
    }
}

fn source_faults(spec: &Value, at: &Path) -> Vec<Fault> {
    let of = |field: &str| spec.get(field).filter(|v| !v.is_null());
    let (source, reference) = (of("dataSource"), of("dataSourceRef"));
    let mut faults = Vec::new();
    for (field, source) in [("dataSource", source), ("dataSourceRef", reference)] {
        if let Some(source) = source {
            faults.extend(one_source_faults(source, &at.child(field)));
        }
    }
    let namespace = reference.map(|r| r.str_at(&["namespace"])).unwrap_or_default();
    if !namespace.is_empty() {
        faults.extend(dns_label(namespace, &at.child("dataSourceRef").child("namespace")));
    }
    // Upstream shows the inside of a path here, which prints as an empty struct.
    let shown = || tree!({});
    match (source, reference) {
        (Some(_), Some(_)) if !namespace.is_empty() => {
            faults.push(Fault::invalid(
                at,
                shown(),
                "may not be specified when dataSourceRef.namespace is specified",
            ));
        }
        (Some(source), Some(reference)) => {
            let same = |field: &str| source.get(field) == reference.get(field);
            if !["apiGroup", "kind", "name"].iter().all(|field| same(field)) {
                faults.push(Fault::invalid(at, shown(), "must match dataSourceRef"));
            }
        }
        _ => {}
    }
    faults
}

fn one_source_faults(source: &Value, at: &Path) -> Vec<Fault> {
    let (group, kind) = (source.str_at(&["apiGroup"]), source.str_at(&["kind"]));
    let mut faults = required(source.str_at(&["name"]), &at.child("name"));
    faults.extend(required(kind, &at.child("kind")));
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        faults.push(Fault::invalid(at, kind, detail));
    }
    if !group.is_empty() {
        faults.extend(dns_subdomain(group, &at.child("apiGroup")));
    }
    faults
}

/// Warnings about amounts that are no whole number of bytes.
pub fn spec_warnings(spec: Option<&Value>, at: &Path) -> Vec<String> {
    let fractional = |list: &str| {
        let amount = spec?.at(&["resources", list, "storage"]).and_then(quantity)?;
        let at = at.child("resources").child(list).key("storage");
        (amount.milli() % 1000 != 0)
            .then(|| format!("{at}: fractional byte value \"{amount}\" is invalid, must be an integer"))
    };
    ["requests", "limits"].iter().filter_map(|list| fractional(list)).collect()
}

fn update_faults(new: &Value, old: &Value) -> Vec<Fault> {
    let spec = |obj: &Value| obj.get("spec").cloned().unwrap_or_else(Value::map);
    let (mut new_spec, mut old_spec) = (spec(new), spec(old));
    normalise_sources(&mut old_spec);
    let mut faults = Vec::new();
    if old_spec.str_at(&["volumeName"]).is_empty() {
        take(&mut old_spec, &new_spec, "volumeName");
    }
    faults.extend(class_change(new, old, &mut new_spec, &old_spec));
    if new.str_at(&["status", "phase"]) == "Bound" {
        if let Some(size) = old_spec.at(&["resources", "requests", "storage"]).cloned() {
            new_spec.set(&["resources", "requests", "storage"], size);
        }
        take(&mut new_spec, &old_spec, "volumeAttributesClassName");
    }
    if !same(Some(&new_spec), Some(&old_spec)) {
        let form = |spec: &Value| pretty(&internal_form(Some(spec), SPEC));
        let detail = format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound \
             claims\n{}",
            unified_diff(&form(&old_spec), &form(&new_spec))
        );
        faults.push(Fault::forbidden("spec", detail));
    }
    faults.extend(size_fault(new, old));
    let mode = ["spec", "volumeMode"];
    faults.extend(validation::immutable(new.at(&mode), old.at(&mode), &Path::new("volumeMode")));
    faults.extend(attributes_class_fault(new, old));
    faults
}

fn take(to: &mut Value, from: &Value, field: &str) {
    match from.get(field) {
        Some(value) => to.set(&[field], value.clone()),
        None => drop(to.unset(&[field])),
    }
}

/// A class may move from the annotation to the field, or be set where there was none; nothing else.
fn class_change(new: &Value, old: &Value, new_spec: &mut Value, old_spec: &Value) -> Option<Fault> {
    fn annotation(obj: &Value) -> Option<&str> {
        obj.at(&["metadata", "annotations", CLASS_ANNOTATION]).and_then(Value::as_str)
    }
    let class = new_spec.get("storageClassName").and_then(Value::as_str).map(str::to_owned);
    let (was, now) = (annotation(old), annotation(new));
    let had_none = old_spec.get("storageClassName").is_none_or(Value::is_null);
    let moved = was.is_some() && had_none && class.as_deref() == was && (now.is_none() || now == was);
    if moved {
        new_spec.unset(&["storageClassName"]);
        return None;
    }
    if had_none && class.is_some() && (was.is_none() || class.as_deref() == was) {
        new_spec.unset(&["storageClassName"]);
    }
    let (was, now) = (was.unwrap_or_default(), now.unwrap_or_default());
    let at = format!("metadata.annotations.{CLASS_ANNOTATION}");
    (was != now).then(|| Fault::invalid(at, now, validation::IMMUTABLE))
}

fn size_fault(new: &Value, old: &Value) -> Option<Fault> {
    let amount = |obj: &Value, path: &[&str]| obj.at(path).and_then(quantity);
    let request = ["spec", "resources", "requests", "storage"];
    let zero = || Quantity::parse("0").ok();
    let new_size = amount(new, &request).or_else(zero)?;
    let old_size = amount(old, &request).or_else(zero)?;
    let capacity = amount(old, &["status", "capacity", "storage"]).or_else(zero)?;
    let detail = "field can not be less than status.capacity";
    (new_size < old_size && new_size <= capacity)
        .then(|| Fault::forbidden("spec.resources.requests.storage", detail))
}

fn attributes_class_fault(new: &Value, old: &Value) -> Option<Fault> {
    let path = ["spec", "volumeAttributesClassName"];
    let class = |obj: &Value| obj.at(&path).and_then(Value::as_str).map(str::to_owned);
    let applied = old.at(&["status", "currentVolumeAttributesClassName"]).is_some_and(|v| !v.is_null());
    let to = match class(new) {
        new if new == class(old) || !applied => return None,
        None => "nil",
        Some(name) if name.is_empty() => "empty string",
        Some(_) => return None,
    };
    let detail =
        format!("update to {to} is forbidden when status.currentVolumeAttributesClassName is not nil");
    Some(Fault::forbidden(path.join("."), detail))
}

fn status_faults(new: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    if new.list_at(&["spec", "accessModes"]).is_empty() {
        faults.push(Fault::required("Spec.accessModes", ""));
    }
    let at = Path::new("status");
    let entries = |list: &str| new.map_at(&["status", list]).into_iter().flat_map(Map::iter);
    for (name, value) in entries("capacity") {
        faults.extend(basic_amount(value, &at.child("capacity").key(name)));
    }
    let statuses_at = at.child("allocatedResourceStatuses");
    for (name, value) in entries("allocatedResourceStatuses") {
        faults.extend(resource_key(name, &statuses_at));
        if !RESIZE_STATUSES.contains(&value.as_str().unwrap_or_default()) {
            faults.push(Fault::not_supported(&statuses_at, name, &RESIZE_STATUSES));
        }
    }
    let amounts_at = at.child("allocatedResources");
    for (name, value) in entries("allocatedResources") {
        let mut wrong = resource_key(name, &amounts_at);
        if wrong.is_empty() {
            wrong = basic_amount(value, &amounts_at.key(name));
        }
        faults.extend(wrong);
    }
    faults
}

/// An amount that is not negative, shown as a whole number.
pub(super) fn basic_amount(value: &Value, at: &Path) -> Vec<Fault> {
    let amount = quantity(value).map(|q| q.value()).filter(|v| *v < 0);
    amount.map(|v| Fault::invalid(at, v, "must be a valid resource quantity")).into_iter().collect()
}

/// Claims are about storage, and whatever other domains count.
fn resource_key(name: &str, at: &Path) -> Vec<Fault> {
    let faults = qualified_name(name, at);
    if faults.is_empty() && resources::is_native(name) && name != "storage" {
        return vec![Fault::not_supported(at, name, &["storage"])];
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cx, texts};

    fn claim(class: &str, size: &str) -> Value {
        tree!({"metadata": {"name": "min"}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class,
            "volumeMode": "Filesystem", "resources": {"requests": {"storage": size}}}, "status": {"phase": "Pending"}})
    }

    #[test]
    fn modes_and_size_are_required() {
        let faults = spec_faults(&tree!({}), &Path::new("spec"));
        assert_eq!(
            texts(&faults),
            [
                "spec.accessModes: Required value: at least 1 access mode is required",
                "spec.resources[storage]: Required value",
            ]
        );
    }

    #[test]
    fn a_change_is_refused_with_what_differs() {
        let faults = update_faults(&claim("other", "1Gi"), &claim("none", "1Gi"));
        assert_eq!(faults.len(), 1);
        assert!(
            faults[0].detail.ends_with(
                "@@ -10,7 +10,7 @@\n   }\n  },\n  \"VolumeName\": \"\",\n- \"StorageClassName\": \"none\",\n\
                 + \"StorageClassName\": \"other\",\n  \"VolumeMode\": \"Filesystem\",\n  \"DataSource\": null,\n  \
                 \"DataSourceRef\": null,\n"
            ),
            "{}",
            faults[0].detail
        );
    }

    #[test]
    fn bound_claims_grow_and_do_not_shrink_below_what_they_have() {
        let bound = |size: &str| {
            let mut obj = claim("c", size);
            obj.set(&["status"], tree!({"phase": "Bound", "capacity": {"storage": "2Gi"}}));
            obj
        };
        assert!(update_faults(&bound("3Gi"), &bound("2Gi")).is_empty());
        assert_eq!(
            texts(&update_faults(&bound("1Gi"), &bound("2Gi"))),
            ["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"]
        );
    }

    #[test]
    fn unknown_sources_of_data_are_dropped_and_known_ones_doubled() {
        let mut obj = tree!({"spec": {"dataSource": {"kind": "ConfigMap", "name": "x"}}});
        PersistentVolumeClaim::new().prepare_create(&mut obj, &cx(""));
        assert_eq!(obj.at(&["spec", "dataSource"]), None);
        let mut obj = tree!({"spec": {"dataSource": {"kind": "PersistentVolumeClaim", "name": "x"}}});
        PersistentVolumeClaim::new().prepare_create(&mut obj, &cx(""));
        assert_eq!(obj.at(&["spec", "dataSource"]), obj.at(&["spec", "dataSourceRef"]));
    }
}
