//! What may change of a pod's spec: by update, through `ephemeralcontainers`, through `resize`.
//! Source: `ValidatePodUpdate`, `ValidatePodEphemeralContainersUpdate`, `ValidatePodResize`.

use super::{
    MIRROR, affinity_changes, annotations, internal, is_sidecar, qos_class, resources, scheduling, set,
};
use crate::validation::same;
use api::{Fault, Map, Path, Value, names};
use std::collections::BTreeSet;

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
                         `spec.tolerations` (only additions to existing tolerations),\
                         `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

fn spec_of(pod: &Value) -> &Value {
    static NONE: Value = Value::Null;
    pod.get("spec").unwrap_or(&NONE)
}

/// Faults of a change by replace or patch, beyond those of the new pod itself.
pub fn update(new_pod: &Value, old_pod: &Value) -> Vec<Fault> {
    let (new, old, path) = (spec_of(new_pod), spec_of(old_pod), Path::new("spec"));
    let mut faults = Vec::new();
    for list in ["containers", "initContainers"] {
        let (of_list, stop) = images(new, old, list, &path);
        faults.extend(of_list);
        if stop {
            return faults;
        }
    }
    let (of_deadline, stop) = deadline(new, old, &path.child("activeDeadlineSeconds"));
    faults.extend(of_deadline);
    if stop {
        return faults;
    }
    faults.extend(added_tolerations(new, old, &path.child("tolerations")));
    faults.extend(removed_gates(new, old, &path.child("schedulingGates")));
    if same(Some(new), Some(old)) {
        return faults;
    }
    let mut munged = with_old_parts(new, old);
    if !old.list_at(&["schedulingGates"]).is_empty() {
        faults.extend(affinity_changes::of_gated_pod(&mut munged, old, &path));
    }
    if !same(Some(&munged), Some(old)) {
        let diff = internal::spec_diff(old, &munged);
        let detail = format!("pod updates may not change fields other than {UPDATABLE}\n{diff}");
        faults.push(Fault::forbidden(path, detail));
    }
    faults
}

/// Faults of a list, and whether there is no point in going on.
fn images(new: &Value, old: &Value, list: &str, path: &Path) -> (Vec<Fault>, bool) {
    let (new, old, path) = (new.list_at(&[list]), old.list_at(&[list]), path.child(list));
    if new.len() != old.len() {
        return (vec![Fault::forbidden(path, "pod updates may not add or remove containers")], true);
    }
    let mut faults = Vec::new();
    for (i, container) in new.iter().enumerate() {
        if container.str_at(&["image"]).is_empty() {
            faults.push(Fault::required(path.index(i).child("image"), ""));
        }
        faults.extend(super::containers::image_of_pod(container, &path.index(i)));
    }
    (faults, false)
}

fn deadline(new: &Value, old: &Value, path: &Path) -> (Option<Fault>, bool) {
    let field = ["activeDeadlineSeconds"];
    let max = i64::from(i32::MAX);
    match (new.i64_at(&field), old.i64_at(&field)) {
        (Some(new), _) if !(0..=max).contains(&new) => {
            (Some(Fault::invalid(path, new, names::inclusive_range_error(0, max))), true)
        }
        (Some(new), Some(old)) if old < new => {
            (Some(Fault::invalid(path, new, "must be less than or equal to previous value")), true)
        }
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            (Some(Fault::invalid(path, Value::Null, detail)), false)
        }
        _ => (None, false),
    }
}

fn added_tolerations(new: &Value, old: &Value, path: &Path) -> Vec<Fault> {
    let without_secs = |toleration: &Value| {
        let mut bare = toleration.clone();
        bare.unset(&["tolerationSeconds"]);
        bare
    };
    let kept: Vec<Value> = new.list_at(&["tolerations"]).iter().map(without_secs).collect();
    let lost = old.list_at(&["tolerations"]).iter().any(|old| !kept.contains(&without_secs(old)));
    if lost {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        return vec![Fault::forbidden(path, detail)];
    }
    scheduling::tolerations(new.list_at(&["tolerations"]), path)
}

fn removed_gates(new: &Value, old: &Value, path: &Path) -> Vec<Fault> {
    let known: BTreeSet<&str> =
        old.list_at(&["schedulingGates"]).iter().map(|g| g.str_at(&["name"])).collect();
    let gates = new.list_at(&["schedulingGates"]).iter().map(|g| g.str_at(&["name"])).enumerate();
    let added = gates.filter(|(_, name)| !known.contains(name));
    added
        .map(|(i, name)| {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            Fault::forbidden(path.index(i).child("name"), detail)
        })
        .collect()
}

/// Puts a field of `old` into `spec`, or removes it.
pub(super) fn restore(spec: &mut Value, old: &Value, field: &str) {
    match old.get(field) {
        Some(value) => spec.set(&[field], value.clone()),
        None => drop(spec.unset(&[field])),
    }
}

/// The new spec with everything as it was that may change.
fn with_old_parts(new: &Value, old: &Value) -> Value {
    let mut munged = new.clone();
    for list in ["containers", "initContainers"] {
        let containers = munged.get_mut(list).and_then(Value::as_list_mut).into_iter().flatten();
        for (container, old) in containers.zip(old.list_at(&[list])) {
            restore(container, old, "image");
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        restore(&mut munged, old, field);
    }
    let grace = |spec: &Value| spec.i64_at(&["terminationGracePeriodSeconds"]);
    if grace(old).is_some_and(|secs| secs < 0) && grace(&munged) == Some(1) {
        restore(&mut munged, old, "terminationGracePeriodSeconds");
    }
    munged
}

/// Faults of a change through `ephemeralcontainers`, beyond those of the new pod itself.
pub fn ephemeral_containers(new_pod: &Value, old_pod: &Value) -> Vec<Fault> {
    let path = Path::new("spec").child("ephemeralContainers");
    let field = ["spec", "ephemeralContainers"];
    let mut faults = Vec::new();
    for old in old_pod.list_at(&field) {
        let name = old.str_at(&["name"]);
        let new = new_pod.list_at(&field).iter().rev().find(|c| c.str_at(&["name"]) == name);
        let quoted = api::quote(name);
        match new {
            None => {
                let detail = format!("existing ephemeral containers {quoted} may not be removed\n");
                faults.push(Fault::forbidden(&path, detail));
            }
            Some(new) if !same(Some(new), Some(old)) => {
                let diff = internal::diff(old, new, "EphemeralContainer");
                let detail = format!("existing ephemeral containers {quoted} may not be changed\n{diff}");
                faults.push(Fault::forbidden(&path, detail));
            }
            Some(_) => {}
        }
    }
    faults
}

/// The one fault of pods that may not be changed through a lens at all.
pub fn unchangeable(old_pod: &Value, resizing: bool) -> Option<Fault> {
    let root = Path::default();
    if annotations::get(old_pod, MIRROR).is_some() {
        let what = if resizing { "cannot be resized" } else { "do not support ephemeral containers" };
        return Some(Fault::forbidden(root, format!("static pods {what}")));
    }
    (resizing && old_pod.str_at(&["spec", "os", "name"]) == "windows")
        .then(|| Fault::forbidden(root, "windows pods cannot be resized"))
}

/// Faults of a change through `resize`, beyond those of the new pod itself.
pub fn resize(new_pod: &Value, old_pod: &Value) -> Vec<Fault> {
    let (new, old, path) = (spec_of(new_pod), spec_of(old_pod), Path::new("spec"));
    let mut faults = Vec::new();
    let class = match old_pod.str_at(&["status", "qosClass"]) {
        "" => qos_class(old),
        class => class,
    };
    if class != qos_class(new) {
        let shown = new_pod.str_at(&["status", "qosClass"]);
        faults.push(Fault::invalid(&path, shown, "Pod QOS Class may not change as a result of resizing"));
    }
    let running = old_pod
        .list_at(&["status", "containerStatuses"])
        .iter()
        .find(|s| s.at(&["state", "running"]).is_some_and(|r| !r.is_null()));
    if running.is_some_and(|status| set(status, "resources").is_none()) {
        faults.push(Fault::forbidden(&path, "Pod running on node without support for resize"));
    }
    let mut munged = new.clone();
    faults.extend(pod_level(new, old, &mut munged, &path));
    let order = ordering(new, old, &path);
    if !order.is_empty() {
        faults.extend(order);
        return faults;
    }
    for list in ["initContainers", "containers"] {
        for (i, (new, old)) in new.list_at(&[list]).iter().zip(old.list_at(&[list])).enumerate() {
            faults.extend(removed(new, old, &path.child(list).index(i).child("resources")));
        }
    }
    faults.extend(only_computing(&mut munged, old, &path));
    if faults.is_empty() && !same(Some(&munged), Some(old)) {
        faults.push(Fault::forbidden(path, "only cpu and memory resources are mutable"));
    }
    faults
}

fn pod_level(new: &Value, old: &Value, munged: &mut Value, path: &Path) -> Vec<Fault> {
    let has = |spec: &Value| {
        ["requests", "limits"].iter().any(|f| spec.map_at(&["resources", f]).is_some_and(|m| !m.is_empty()))
    };
    if !has(old) && !has(new) {
        return Vec::new();
    }
    let at = path.child("resources");
    let mut faults = Vec::new();
    if set(old, "resources").is_some() {
        if set(new, "resources").is_none() {
            return vec![Fault::forbidden(at, "pod-level resources cannot be removed")];
        }
        for list in ["requests", "limits"] {
            if lost_names(new, old, list) {
                let detail = format!("pod-level resource {list} cannot be removed");
                faults.push(Fault::forbidden(at.child(list), detail));
            }
        }
    }
    restore_computing(munged, old);
    let (mine, theirs) = (munged.get("resources"), old.get("resources"));
    if !same(mine, theirs) {
        faults.push(Fault::forbidden(path, "only cpu and memory resources are mutable at pod-level"));
    }
    faults
}

fn lost_names(new: &Value, old: &Value, list: &str) -> bool {
    let names = |holder: &Value| resources::amounts(holder.at(&["resources", list])).into_keys();
    let kept: BTreeSet<String> = names(new).collect();
    names(old).any(|name| !kept.contains(&name))
}

fn removed(new: &Value, old: &Value, path: &Path) -> Vec<Fault> {
    let lost = ["requests", "limits"].into_iter().filter(|list| lost_names(new, old, list));
    lost.map(|list| Fault::forbidden(path.child(list), format!("resource {list} cannot be removed")))
        .collect()
}

fn ordering(new: &Value, old: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    for list in ["containers", "initContainers"] {
        let (new, old, path) = (new.list_at(&[list]), old.list_at(&[list]), path.child(list));
        if new.len() != old.len() {
            let detail = format!("{list} may not be added or removed on resize");
            faults.push(Fault::forbidden(path, detail));
            continue;
        }
        for (i, (new, old)) in new.iter().zip(old).enumerate() {
            if new.str_at(&["name"]) != old.str_at(&["name"]) {
                let detail = format!("{list} may not be renamed or reordered on resize");
                faults.push(Fault::forbidden(path.index(i).child("name"), detail));
            }
        }
    }
    faults
}

/// Puts cpu and memory back to what they were.
fn restore_computing(holder: &mut Value, old: &Value) {
    for list in ["requests", "limits"] {
        let theirs = old.map_at(&["resources", list]).cloned().unwrap_or_default();
        let has = holder.map_at(&["resources", list]).is_some();
        if !has && theirs.is_empty() {
            continue;
        }
        let map = holder.make_map(&["resources", list]);
        for name in ["cpu", "memory"] {
            match theirs.get(name) {
                Some(amount) => drop(map.insert(name, amount.clone())),
                None => drop(map.remove(name)),
            }
        }
    }
    if set(old, "resources").is_none()
        && holder.map_at(&["resources"]).is_some_and(|r| r.values().all(Value::is_empty))
    {
        holder.unset(&["resources"]);
    }
}

fn only_computing(munged: &mut Value, old: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    for list in ["containers", "initContainers"] {
        let containers = munged.get_mut(list).and_then(Value::as_list_mut).into_iter().flatten();
        for (i, (container, old)) in containers.zip(old.list_at(&[list])).enumerate() {
            let changed = !same(Some(container), Some(old));
            if let Some(resources) = container.get_mut("resources").and_then(Value::as_map_mut) {
                resources.retain(|field, _| field != "claims");
            }
            restore_computing(container, old);
            let at = path.child(list).index(i);
            if !same(Some(container), Some(old)) {
                faults.push(if list == "containers" {
                    Fault::forbidden(path, "only cpu and memory resources are mutable")
                } else {
                    let detail = "only cpu and memory resources for init or sidecar containers are mutable";
                    Fault::forbidden(&at, detail)
                });
            }
            let restarts = container.list_at(&["resizePolicy"]).iter();
            let restarts = restarts.filter(|p| p.str_at(&["restartPolicy"]) == "RestartContainer").count();
            if list == "initContainers" && changed && !is_sidecar(container) {
                let detail =
                    "non-sidecar init containers with a resize policy of RestartContainer cannot be resized";
                faults.extend((0..restarts).map(|_| Fault::forbidden(&at, detail)));
            }
        }
    }
    faults
}

/// Keeps of `new` only what may change through `resize`; leaves it as it is when containers were added, removed or
/// renamed, which is refused later.
pub fn keep_resized(new_pod: &Value, old_pod: &Value) -> Value {
    let (new, old) = (spec_of(new_pod), spec_of(old_pod));
    let mut kept = old.clone();
    for list in ["containers", "initContainers"] {
        if new.list_at(&[list]).len() != old.list_at(&[list]).len() {
            return new.clone();
        }
        let renamed = new.list_at(&[list]).iter().zip(old.list_at(&[list]));
        if renamed.into_iter().any(|(n, o)| n.str_at(&["name"]) != o.str_at(&["name"])) {
            restore(&mut kept, new, list);
            continue;
        }
        let containers = kept.get_mut(list).and_then(Value::as_list_mut).into_iter().flatten();
        for (container, new) in containers.zip(new.list_at(&[list])) {
            restore(container, new, "resources");
            restore(container, new, "resizePolicy");
        }
    }
    restore(&mut kept, new, "resources");
    kept
}

/// The entries of a map of texts that are not in another as they are.
pub(super) fn lost_entries(new: Option<&Map>, old: Option<&Map>) -> bool {
    old.into_iter().flat_map(Map::iter).any(|(k, v)| new.and_then(|m| m.get(k)) != Some(v))
}
