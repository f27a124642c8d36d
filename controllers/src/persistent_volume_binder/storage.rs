//! What claims, volumes and classes say of each other, and which volume suits a claim best. Pure.

use crate::owner;
use api::selector::LabelSelector;
use api::{Quantity, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
pub const MIGRATED_TO: &str = "pv.kubernetes.io/migrated-to";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT_CLASS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

pub fn has_annotation(object: &Value, name: &str) -> bool {
    object.at(&["metadata", "annotations", name]).is_some()
}

/// True when a claim names a class, perhaps the empty one.
pub fn has_class(claim: &Value) -> bool {
    has_annotation(claim, BETA_CLASS) || claim.at(&["spec", "storageClassName"]).is_some_and(|c| !c.is_null())
}

/// The class of a claim or a volume, or "".
pub fn class_of(object: &Value) -> &str {
    if has_annotation(object, BETA_CLASS) {
        return object.str_at(&["metadata", "annotations", BETA_CLASS]);
    }
    object.str_at(&["spec", "storageClassName"])
}

/// The class for claims that name none: the newest of those that say so.
pub fn default_class(classes: &[Arc<Value>]) -> Option<&Arc<Value>> {
    let is_default =
        |c: &&Arc<Value>| DEFAULT_CLASS.iter().any(|a| c.str_at(&["metadata", "annotations", a]) == "true");
    let meta = |c: &'_ Value, field: &str| c.str_at(&["metadata", field]).to_owned();
    let newest_first = |a: &&Arc<Value>, b: &&Arc<Value>| {
        let age = meta(b, "creationTimestamp").cmp(&meta(a, "creationTimestamp"));
        age.then_with(|| meta(a, "name").cmp(&meta(b, "name")))
    };
    classes.iter().filter(is_default).min_by(newest_first)
}

/// Whether the class has claims wait for a pod.
pub fn waits_for_consumer(class: Option<&Value>) -> bool {
    class.is_some_and(|c| c.str_at(&["volumeBindingMode"]) == "WaitForFirstConsumer")
}

/// The scheduler has chosen a node for a claim that waited for a pod.
pub fn has_node(claim: &Value) -> bool {
    has_annotation(claim, SELECTED_NODE)
}

fn quantity(object: &Value, path: &[&str]) -> Quantity {
    Quantity::parse(object.str_at(path)).unwrap_or_default()
}

fn requested(claim: &Value) -> Quantity {
    quantity(claim, &["spec", "resources", "requests", "storage"])
}

pub fn capacity(volume: &Value) -> Quantity {
    quantity(volume, &["spec", "capacity", "storage"])
}

/// A volume and a claim that want to be used differently, as files or as a block device.
pub fn modes_differ(claim: &Value, volume: &Value) -> bool {
    let mode = |object: &Value| match object.str_at(&["spec", "volumeMode"]) {
        "" => "Filesystem".to_owned(),
        mode => mode.to_owned(),
    };
    mode(claim) != mode(volume)
}

fn offers_modes(volume: &Value, claim: &Value) -> bool {
    let offered = volume.list_at(&["spec", "accessModes"]);
    claim.list_at(&["spec", "accessModes"]).iter().all(|mode| offered.contains(mode))
}

fn attributes_class(object: &Value) -> &str {
    object.str_at(&["spec", "volumeAttributesClassName"])
}

/// The reference that a volume has to a claim.
pub fn claim_ref(volume: &Value) -> Option<&Value> {
    volume.at(&["spec", "claimRef"]).filter(|claim| !claim.is_null())
}

/// `NS/NAME` of the claim that a volume is for.
pub fn claim_key(volume: &Value) -> Option<String> {
    let claim = claim_ref(volume)?;
    Some(format!("{}/{}", claim.str_at(&["namespace"]), claim.str_at(&["name"])))
}

/// True when a volume is bound to, or reserved for, a claim.
pub fn is_for(volume: &Value, claim: &Value) -> bool {
    let meta = |field: &str| claim.str_at(&["metadata", field]);
    claim_ref(volume).is_some_and(|r| {
        r.str_at(&["name"]) == meta("name")
            && r.str_at(&["namespace"]) == meta("namespace")
            && matches!(r.str_at(&["uid"]), uid if uid.is_empty() || uid == meta("uid"))
    })
}

/// Why a volume that a claim names cannot be its.
pub fn mismatch(volume: &Value, claim: &Value) -> Option<String> {
    if owner::is_leaving(volume) {
        let name = volume.str_at(&["metadata", "name"]);
        return Some(format!("the volume is marked for deletion {name:?}"));
    }
    let why = if capacity(volume).value() < requested(claim).value() {
        "requested PV is too small"
    } else if class_of(volume) != class_of(claim) {
        "storageClassName does not match"
    } else if attributes_class(volume) != attributes_class(claim) {
        "volumeAttributesClassName does not match"
    } else if modes_differ(claim, volume) {
        "incompatible volumeMode"
    } else if !offers_modes(volume, claim) {
        "incompatible accessMode"
    } else {
        return None;
    };
    Some(why.to_owned())
}

/// The volume for a claim: one reserved for it, else the smallest that is free and suits it, those with the fewest
/// ways of access first. Claims that wait for a pod get only what is reserved for them.
pub fn best_match(claim: &Value, volumes: &[Arc<Value>], waits: bool) -> Option<Arc<Value>> {
    let mut by_modes: BTreeMap<(usize, String), Vec<&Arc<Value>>> = BTreeMap::new();
    for volume in volumes.iter().filter(|volume| offers_modes(volume, claim)) {
        let modes = volume.list_at(&["spec", "accessModes"]).iter().filter_map(Value::as_str);
        let modes: Vec<&str> = modes.collect();
        by_modes.entry((modes.len(), modes.join(","))).or_default().push(volume);
    }
    by_modes.into_values().find_map(|group| best_of(claim, &group, waits)).cloned()
}

fn best_of<'a>(claim: &Value, volumes: &[&'a Arc<Value>], waits: bool) -> Option<&'a Arc<Value>> {
    let selector = claim.at(&["spec", "selector"]).filter(|s| !s.is_null());
    let selector = selector.map(|s| LabelSelector::from_value(Some(s)).unwrap_or(LabelSelector::nothing()));
    let wanted = requested(claim);
    let possible: Vec<&&Arc<Value>> = volumes
        .iter()
        .filter(|volume| {
            (claim_ref(volume).is_none() || is_for(volume, claim))
                && capacity(volume) >= wanted
                && !modes_differ(claim, volume)
                && attributes_class(claim) == attributes_class(volume)
                && !owner::is_leaving(volume)
        })
        .collect();
    if let Some(reserved) = possible.iter().find(|volume| is_for(volume, claim)) {
        return Some(reserved);
    }
    let free = possible.into_iter().filter(|volume| {
        let labels = volume.map_at(&["metadata", "labels"]);
        !waits
            && volume.str_at(&["status", "phase"]) == "Available"
            && selector.as_ref().is_none_or(|selector| selector.matches(labels))
            && class_of(volume) == class_of(claim)
    });
    free.min_by_key(|volume| capacity(volume)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn volume(name: &str, size: &str, modes: &[&str]) -> Arc<Value> {
        let modes: Vec<Value> = modes.iter().map(|m| Value::from(*m)).collect();
        Arc::new(tree!({
            "metadata": {"name": name, "labels": {"disk": name}},
            "spec": {"capacity": {"storage": size}, "accessModes": modes}, "status": {"phase": "Available"}
        }))
    }

    fn with(volume: &Arc<Value>, path: &[&str], value: impl Into<Value>) -> Arc<Value> {
        let mut changed = (**volume).clone();
        changed.set(path, value);
        Arc::new(changed)
    }

    fn claim(size: &str) -> Value {
        tree!({
            "metadata": {"name": "c", "namespace": "n", "uid": "u"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
        })
    }

    fn chosen(claim: &Value, volumes: &[Arc<Value>]) -> Option<String> {
        best_match(claim, volumes, false).map(|v| v.str_at(&["metadata", "name"]).to_owned())
    }

    #[test]
    fn the_smallest_volume_that_is_large_enough_is_chosen() {
        let once = ["ReadWriteOnce"];
        let volumes = [volume("a", "10Gi", &once), volume("b", "1Gi", &once), volume("c", "5G", &once)];
        assert_eq!(chosen(&claim("2Gi"), &volumes).as_deref(), Some("c"));
        assert_eq!(chosen(&claim("6Gi"), &volumes).as_deref(), Some("a"));
        assert_eq!(chosen(&claim("11Gi"), &volumes), None);
    }

    #[test]
    fn fewer_ways_of_access_go_before_a_smaller_size() {
        let volumes = [
            volume("many", "1Gi", &["ReadWriteOnce", "ReadOnlyMany"]),
            volume("few", "9Gi", &["ReadWriteOnce"]),
            volume("other", "1Gi", &["ReadOnlyMany"]),
        ];
        assert_eq!(chosen(&claim("1Gi"), &volumes).as_deref(), Some("few"));
    }

    #[test]
    fn class_selector_mode_and_phase_must_fit() {
        let plain = volume("a", "1Gi", &["ReadWriteOnce"]);
        let claim = claim("1Gi");
        assert!(chosen(&claim, &[with(&plain, &["spec", "storageClassName"], "fast")]).is_none());
        assert!(chosen(&claim, &[with(&plain, &["spec", "volumeMode"], "Block")]).is_none());
        assert!(chosen(&claim, &[with(&plain, &["status", "phase"], "Released")]).is_none());
        let mut picky = claim.clone();
        picky.set(&["spec", "selector", "matchLabels", "disk"], "b");
        assert!(chosen(&picky, std::slice::from_ref(&plain)).is_none());
        assert!(chosen(&picky, &[plain.clone(), volume("b", "2Gi", &["ReadWriteOnce"])]).is_some());
        assert!(best_match(&claim, &[plain], true).is_none(), "waits for a pod");
    }

    #[test]
    fn a_volume_reserved_for_the_claim_goes_first_and_one_for_another_is_left() {
        let plain = volume("a", "1Gi", &["ReadWriteOnce"]);
        let large = volume("b", "9Gi", &["ReadWriteOnce"]);
        let ours = with(&large, &["spec", "claimRef"], tree!({"name": "c", "namespace": "n"}));
        assert_eq!(chosen(&claim("1Gi"), &[plain.clone(), ours.clone()]).as_deref(), Some("b"));
        assert!(best_match(&claim("1Gi"), &[ours], true).is_some(), "even when it waits");
        let stale = with(&plain, &["spec", "claimRef"], tree!({"name": "c", "namespace": "n", "uid": "old"}));
        assert!(chosen(&claim("1Gi"), &[stale]).is_none());
    }

    #[test]
    fn the_reason_of_a_mismatch_is_told() {
        let plain = volume("a", "1Gi", &["ReadWriteOnce"]);
        assert_eq!(mismatch(&plain, &claim("1Gi")), None);
        assert_eq!(mismatch(&plain, &claim("2Gi")).as_deref(), Some("requested PV is too small"));
        let many = volume("a", "1Gi", &["ReadOnlyMany"]);
        assert_eq!(mismatch(&many, &claim("1Gi")).as_deref(), Some("incompatible accessMode"));
    }

    #[test]
    fn the_newest_default_class_counts() {
        let class = |name: &str, default: &str, made: &str| {
            Arc::new(tree!({"metadata": {"name": name, "creationTimestamp": made,
                "annotations": {"storageclass.kubernetes.io/is-default-class": default}}}))
        };
        let classes = [class("a", "true", "1"), class("b", "true", "2"), class("c", "false", "3")];
        assert_eq!(default_class(&classes).unwrap().str_at(&["metadata", "name"]), "b");
        assert!(default_class(&classes[2..]).is_none());
    }
}
