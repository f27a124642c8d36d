//! VolumeRestrictions: a claim that is for one pod only is one pod's (`ReadWriteOncePod`), and disks that pods name
//! themselves are not used twice on a node where their kind forbids it.

use super::{Check, Filter, Plugin, Rejection};
use crate::change::Change;
use crate::pod::Pod;
use crate::snapshot::Snapshot;
use crate::storage::StorageChange;

const ONCE: &str = "ReadWriteOncePod";
const IN_USE: &str = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already \
                      in-use by another pod";
const CONFLICT: &str = "node(s) had no available disk";

pub struct VolumeRestrictions;

impl Plugin for VolumeRestrictions {
    fn name(&self) -> &'static str {
        "VolumeRestrictions"
    }

    fn filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a Pod) -> Filter<'a> {
        let mut in_use = false;
        for (name, _) in pod.claims.iter().filter(|(_, is_own)| !is_own) {
            let Some(claim) = snapshot.storage.claim(&pod.namespace, name) else {
                return Filter::Never(super::not_found("persistentvolumeclaim", name));
            };
            let once = claim.access_modes.iter().any(|mode| *mode == *ONCE);
            in_use |= once && is_used(snapshot, pod, name);
        }
        if pod.disks.is_empty() && !in_use {
            return Filter::Pass;
        }
        let check: Check<'a> = Box::new(move |node| {
            let conflicts = |other: &Pod| conflict(pod, other);
            if node.pods.iter().any(|other| conflicts(other)) {
                return Err(Rejection::for_now(CONFLICT));
            }
            if in_use { Err(Rejection::for_now(IN_USE)) } else { Ok(()) }
        });
        Filter::Check(check)
    }

    fn may_help(&self, pod: &Pod, change: &Change) -> bool {
        match change {
            Change::Node { old: None, .. } => true,
            Change::PodGone(gone) => {
                gone.namespace == pod.namespace && (conflict(pod, gone) || shares_claim(pod, gone))
            }
            Change::Storage(StorageChange::Claim { namespace, name, is_new: true }) => {
                pod.names_claim(namespace, name)
            }
            _ => false,
        }
    }
}

fn is_used(snapshot: &Snapshot, pod: &Pod, claim: &str) -> bool {
    let uses = |other: &Pod| {
        other.namespace == pod.namespace && other.claims.iter().any(|(c, own)| !own && *c == *claim)
    };
    snapshot.nodes().any(|node| node.pods.iter().any(|other| uses(other)))
}

fn conflict(pod: &Pod, other: &Pod) -> bool {
    pod.disks.iter().any(|disk| other.disks.iter().any(|taken| disk.conflicts(taken)))
}

fn shares_claim(pod: &Pod, other: &Pod) -> bool {
    pod.claims.iter().any(|(claim, own)| !own && other.claims.iter().any(|(c, own)| !own && c == claim))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::trial::Trial;
    use api::{Value, tree};

    fn pod(name: &str, volumes: Value) -> Pod {
        Pod::of(
            &tree!({"metadata": {"name": name, "namespace": "a", "uid": name}, "spec": {"volumes": (volumes)}}),
        )
    }

    #[test]
    fn a_claim_for_one_pod_is_one_pods() {
        let mut trial = Trial::with_nodes(&["m", "n"]);
        let claim = tree!([{"persistentVolumeClaim": {"claimName": "c"}}]);
        let first = pod("first", claim.clone());
        let missing = trial.judge(&VolumeRestrictions, &first, "m");
        assert_eq!(missing, Err("persistentvolumeclaim \"c\" not found".into()));
        trial.claim(tree!({"metadata": {"namespace": "a", "name": "c"}, "spec": {"accessModes": [ONCE]}}));
        assert_eq!(trial.judge(&VolumeRestrictions, &first, "m"), Ok(()));
        trial.place("n", first);
        let second = pod("second", claim);
        assert_eq!(trial.judge(&VolumeRestrictions, &second, "m"), Err(IN_USE.into()));
        trial.claim(
            tree!({"metadata": {"namespace": "a", "name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"]}}),
        );
        assert_eq!(trial.judge(&VolumeRestrictions, &second, "m"), Ok(()));
    }

    #[test]
    fn disks_are_not_used_twice_on_a_node() {
        let table = [
            (
                tree!({"gcePersistentDisk": {"pdName": "d"}}),
                tree!({"gcePersistentDisk": {"pdName": "d"}}),
                true,
            ),
            (
                tree!({"gcePersistentDisk": {"pdName": "d"}}),
                tree!({"gcePersistentDisk": {"pdName": "e"}}),
                false,
            ),
            (
                tree!({"gcePersistentDisk": {"pdName": "d", "readOnly": true}}),
                tree!({"gcePersistentDisk": {"pdName": "d", "readOnly": true}}),
                false,
            ),
            (
                tree!({"awsElasticBlockStore": {"volumeID": "d", "readOnly": true}}),
                tree!({"awsElasticBlockStore": {"volumeID": "d", "readOnly": true}}),
                true,
            ),
            (tree!({"iscsi": {"iqn": "d"}}), tree!({"iscsi": {"iqn": "d", "readOnly": true}}), true),
            (
                tree!({"rbd": {"monitors": ["x", "y"], "pool": "p", "image": "i"}}),
                tree!({"rbd": {"monitors": ["y"], "pool": "p", "image": "i"}}),
                true,
            ),
            (
                tree!({"rbd": {"monitors": ["x"], "pool": "p", "image": "i"}}),
                tree!({"rbd": {"monitors": ["y"], "pool": "p", "image": "i"}}),
                false,
            ),
        ];
        for (one, other, conflicts) in table {
            let mut trial = Trial::with_nodes(&["m", "n"]);
            trial.place("m", pod("first", tree!([(one)])));
            let second = pod("second", tree!([(other.clone())]));
            let wanted = if conflicts { Err(CONFLICT.to_owned()) } else { Ok(()) };
            assert_eq!(trial.judge(&VolumeRestrictions, &second, "m"), wanted, "{other:?}");
            assert_eq!(trial.judge(&VolumeRestrictions, &second, "n"), Ok(()));
        }
    }
}
