//! Claims in all their states, on nodes of two zones.

use super::*;
use crate::plugins::trial::Trial;
use crate::storage::Sort;
use api::{Value, tree};

fn pod(volumes: Value) -> Pod {
    Pod::of(&tree!({"metadata": {"namespace": "a", "name": "p", "uid": "1"}, "spec": {"volumes": (volumes)}}))
}

fn claiming() -> Pod {
    pod(tree!([{"persistentVolumeClaim": {"claimName": "c"}}]))
}

fn claim(spec: Value, rest: &[(&[&str], Value)]) -> Value {
    let mut claim = tree!({"metadata": {"namespace": "a", "name": "c", "uid": "u"}, "spec": (spec)});
    rest.iter().for_each(|(path, value)| claim.set(path, value.clone()));
    claim
}

fn volume(name: &str, zone: &str) -> Value {
    tree!({
        "metadata": {"name": name},
        "spec": {
            "storageClassName": "wait", "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"],
            "nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}]}}
        },
        "status": {"phase": "Available"}
    })
}

fn trial() -> Trial {
    let mut trial = Trial::with_nodes(&[]);
    trial.node("x", tree!({"zone": "x"}));
    trial.node("y", tree!({"zone": "y"}));
    for (name, mode, provisioner) in [
        ("wait", "WaitForFirstConsumer", "kubernetes.io/no-provisioner"),
        ("made", "WaitForFirstConsumer", "d.io"),
        ("now", "Immediate", "d.io"),
    ] {
        let class =
            tree!({"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode});
        trial.object(Sort::Class, class);
    }
    trial
}

fn waiting(class: &str) -> Value {
    tree!({"storageClassName": class, "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}})
}

#[test]
fn claims_that_cannot_be_used_are_told_in_words() {
    let bound = tree!({"volumeName": "v"});
    let table = [
        (claim(waiting("now"), &[]), "pod has unbound immediate PersistentVolumeClaims"),
        (claim(waiting("none"), &[]), "pod has unbound immediate PersistentVolumeClaims"),
        (claim(bound.clone(), &[]), "pod has unbound immediate PersistentVolumeClaims"),
        (
            claim(bound, &[(&["status", "phase"], "Lost".into())]),
            "persistentvolumeclaim \"c\" bound to non-existent persistentvolume \"v\"",
        ),
        (
            claim(waiting("now"), &[(&["metadata", "deletionTimestamp"], "t".into())]),
            "persistentvolumeclaim \"c\" is being deleted",
        ),
    ];
    let missing = trial().judge(&VolumeBinding, &claiming(), "x");
    assert_eq!(missing, Err("persistentvolumeclaim \"c\" not found".into()));
    for (claim, wanted) in table {
        let mut trial = trial();
        trial.claim(claim);
        assert_eq!(trial.judge(&VolumeBinding, &claiming(), "x"), Err(wanted.into()));
    }
}

#[test]
fn a_claim_of_the_pods_own_must_be_its_own() {
    let pod = pod(tree!([{"name": "v", "ephemeral": {}}]));
    let mut trial = trial();
    assert_eq!(
        trial.judge(&VolumeBinding, &pod, "x"),
        Err("waiting for ephemeral volume controller to create the persistentvolumeclaim \"p-v\"".into())
    );
    let named = |owner: &str| {
        claim(
            waiting("made"),
            &[
                (&["metadata", "name"], "p-v".into()),
                (&["metadata", "ownerReferences"], tree!([{"uid": owner, "controller": true}])),
            ],
        )
    };
    trial.claim(named("2"));
    let told = trial.judge(&VolumeBinding, &pod, "x");
    assert_eq!(told, Err("PVC a/p-v was not created for pod a/p (pod is not owner)".into()));
    trial.claim(named("1"));
    assert_eq!(trial.judge(&VolumeBinding, &pod, "x"), Ok(()));
}

#[test]
fn a_bound_claim_is_used_where_its_volume_is_reached() {
    let mut trial = trial();
    let done = (&["metadata", "annotations", "pv.kubernetes.io/bind-completed"][..], Value::from("yes"));
    trial.claim(claim(tree!({"volumeName": "v"}), &[done]));
    assert_eq!(trial.judge(&VolumeBinding, &claiming(), "x"), Err(GONE.into()));
    trial.object(Sort::Volume, volume("v", "x"));
    assert_eq!(trial.judge(&VolumeBinding, &claiming(), "x"), Ok(()));
    assert_eq!(trial.judge(&VolumeBinding, &claiming(), "y"), Err(UNREACHED.into()));
    assert!(trial.decide(&claiming(), "x").is_empty());
}

#[test]
fn a_claim_that_waits_gets_a_volume_of_its_class_that_the_node_reaches() {
    let mut trial = trial();
    trial.claim(claim(waiting("wait"), &[]));
    assert_eq!(trial.judge(&VolumeBinding, &claiming(), "x"), Err(NONE_TO_BIND.into()));
    trial.object(Sort::Volume, volume("v", "x"));
    assert_eq!(trial.judge(&VolumeBinding, &claiming(), "y"), Err(NONE_TO_BIND.into()));
    assert_eq!(trial.judge(&VolumeBinding, &claiming(), "x"), Ok(()));
    let decided = trial.decide(&claiming(), "x");
    assert!(matches!(&decided[..], [Bound::Volume { volume, .. }] if volume.name == *"v"), "{decided:?}");
    trial.storage().assume(&"other".into(), &"x".into(), &decided);
    let mut other = claiming();
    other.claims = vec![("d".into(), false)];
    trial.claim(claim(waiting("wait"), &[(&["metadata", "name"], "d".into())]));
    assert_eq!(trial.judge(&VolumeBinding, &other, "x"), Err(NONE_TO_BIND.into()));
}

#[test]
fn a_claim_without_a_volume_has_one_made_for_the_node() {
    let mut trial = trial();
    trial.claim(claim(waiting("made"), &[]));
    assert_eq!(trial.judge(&VolumeBinding, &claiming(), "x"), Ok(()));
    assert!(matches!(&trial.decide(&claiming(), "x")[..], [Bound::Made { .. }]));
    trial.object(Sort::Driver, tree!({"metadata": {"name": "d.io"}, "spec": {"storageCapacity": true}}));
    assert_eq!(trial.judge(&VolumeBinding, &claiming(), "x"), Err(NO_ROOM.into()));
    let capacity = tree!({"metadata": {"namespace": "s", "name": "k"}, "storageClassName": "made",
        "capacity": "5Gi", "nodeTopology": {"matchLabels": {"zone": "x"}}});
    trial.object(Sort::Capacity, capacity);
    assert_eq!(trial.judge(&VolumeBinding, &claiming(), "x"), Ok(()));
    assert_eq!(trial.judge(&VolumeBinding, &claiming(), "y"), Err(NO_ROOM.into()));
    let selected = ["metadata", "annotations", "volume.kubernetes.io/selected-node"];
    trial.claim(claim(waiting("made"), &[(&selected, "x".into())]));
    assert_eq!(trial.judge(&VolumeBinding, &claiming(), "x"), Ok(()));
    assert_eq!(trial.judge(&VolumeBinding, &claiming(), "y"), Err(NONE_TO_BIND.into()));
}
