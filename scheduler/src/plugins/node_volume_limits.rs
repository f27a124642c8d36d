//! NodeVolumeLimits: a node takes only so many volumes of a CSI driver, as its CSINode says.

use super::{Check, Filter, Plugin, Rejection};
use crate::change::Change;
use crate::pod::Pod;
use crate::snapshot::Snapshot;
use crate::storage::StorageChange;
use crate::storage::claim::Claim;
use api::Str;
use std::collections::{HashMap, HashSet};

const TOO_MANY: &str = "node(s) exceed max volume count";

pub struct NodeVolumeLimits;

/// Driver and handle.
type Unique = (Str, Str);

impl Plugin for NodeVolumeLimits {
    fn name(&self) -> &'static str {
        "NodeVolumeLimits"
    }

    fn filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a Pod) -> Filter<'a> {
        if pod.claims.is_empty() {
            return Filter::Pass;
        }
        let mut wanted = HashSet::new();
        for (name, _) in &pod.claims {
            let Some(claim) = snapshot.storage.claim(&pod.namespace, name) else { return Filter::Pass };
            wanted.extend(driver_of(snapshot, claim));
        }
        if wanted.is_empty() {
            return Filter::Pass;
        }
        let check: Check<'a> = Box::new(move |node| {
            let Some(limits) = snapshot.storage.limits(&node.name) else { return Ok(()) };
            let mut there: HashSet<Unique> =
                node.pods.iter().flat_map(|other| volumes_of(snapshot, other)).collect();
            let attached = snapshot.storage.attachments().filter(|attachment| attachment.node == node.name);
            there.extend(attached.filter_map(|attachment| {
                let (_, handle) = snapshot.storage.volume(&attachment.volume)?.csi.clone()?;
                Some((attachment.driver.clone(), handle))
            }));
            let mut counts: HashMap<&Str, i64> = HashMap::new();
            there.iter().for_each(|(driver, _)| *counts.entry(driver).or_default() += 1);
            let added = wanted.iter().filter(|unique| !there.contains(*unique));
            let mut touched = HashSet::new();
            for (driver, _) in added {
                *counts.entry(driver).or_default() += 1;
                touched.insert(driver);
            }
            let is_over =
                |driver: &&&Str| limits.get(**driver).is_some_and(|limit| counts[**driver] > *limit);
            if touched.iter().any(|driver| is_over(&driver)) {
                Err(Rejection::for_now(TOO_MANY))
            } else {
                Ok(())
            }
        });
        Filter::Check(check)
    }

    fn may_help(&self, pod: &Pod, change: &Change) -> bool {
        match change {
            Change::PodGone(gone) => !gone.claims.is_empty(),
            Change::Storage(change) => match change {
                StorageChange::Node { is_new, takes_more } => *is_new || *takes_more,
                StorageChange::Claim { namespace, name, is_new: true } => pod.uses_claim(namespace, name),
                StorageChange::AttachmentGone => pod.claims.iter().any(|(_, is_own)| !is_own),
                _ => false,
            },
            _ => false,
        }
    }
}

fn volumes_of<'a>(snapshot: &'a Snapshot, pod: &'a Pod) -> impl Iterator<Item = Unique> + 'a {
    let claims = pod.claims.iter().filter_map(|(name, _)| snapshot.storage.claim(&pod.namespace, name));
    claims.filter_map(|claim| driver_of(snapshot, claim))
}

/// The driver and handle of a claim's volume; for one that is to be made, a handle that no other has.
fn driver_of(snapshot: &Snapshot, claim: &Claim) -> Option<Unique> {
    if let Some(volume) = snapshot.storage.volume(&claim.volume).filter(|_| !claim.volume.is_empty()) {
        return volume.csi.clone().filter(|(driver, handle)| !driver.is_empty() && !handle.is_empty());
    }
    let class = snapshot.storage.class(&claim.class)?;
    Some((class.provisioner.clone(), format!("\0{}", claim.key()).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::trial::Trial;
    use crate::storage::Sort;
    use api::tree;

    fn pod(name: &str, claim: &str) -> Pod {
        Pod::of(&tree!({"metadata": {"name": name, "namespace": "a", "uid": name}, "spec": {"volumes": [
            {"persistentVolumeClaim": {"claimName": claim}}]}}))
    }

    fn trial(limit: i64) -> Trial {
        let mut trial = Trial::with_nodes(&["m", "n"]);
        let csi_node = tree!({"metadata": {"name": "m"}, "spec": {"drivers": [
            {"name": "d.io", "allocatable": {"count": limit}}, {"name": "e.io", "allocatable": {"count": 0}}]}});
        trial.object(Sort::Node, csi_node);
        for name in ["1", "2", "3"] {
            trial.claim(tree!({"metadata": {"namespace": "a", "name": name}, "spec": {"volumeName": name}}));
            let source = tree!({"driver": "d.io", "volumeHandle": (format!("handle-{name}"))});
            trial.object(Sort::Volume, tree!({"metadata": {"name": name}, "spec": {"csi": (source)}}));
        }
        trial.object(Sort::Class, tree!({"metadata": {"name": "k"}, "provisioner": "d.io"}));
        trial
            .claim(tree!({"metadata": {"namespace": "a", "name": "new"}, "spec": {"storageClassName": "k"}}));
        trial
    }

    #[test]
    fn a_node_takes_only_so_many_volumes_of_a_driver() {
        let mut trial = trial(2);
        trial.place("m", pod("p", "1"));
        assert_eq!(trial.judge(&NodeVolumeLimits, &pod("q", "2"), "m"), Ok(()));
        trial.place("m", pod("q", "2"));
        let full = Err(TOO_MANY.to_owned());
        assert_eq!(trial.judge(&NodeVolumeLimits, &pod("r", "3"), "m"), full);
        assert_eq!(trial.judge(&NodeVolumeLimits, &pod("r", "new"), "m"), full);
        // A volume that is there already is no other one, and other nodes have other limits.
        assert_eq!(trial.judge(&NodeVolumeLimits, &pod("r", "2"), "m"), Ok(()));
        assert_eq!(trial.judge(&NodeVolumeLimits, &pod("r", "3"), "n"), Ok(()));
    }

    #[test]
    fn attached_volumes_count_though_no_pod_uses_them() {
        let mut trial = trial(1);
        let attachment = tree!({"metadata": {"name": "t"}, "spec": {"attacher": "d.io", "nodeName": "m",
            "source": {"persistentVolumeName": "1"}}});
        trial.object(Sort::Attachment, attachment);
        assert_eq!(trial.judge(&NodeVolumeLimits, &pod("p", "2"), "m"), Err(TOO_MANY.into()));
        assert_eq!(trial.judge(&NodeVolumeLimits, &pod("p", "1"), "m"), Ok(()));
    }
}
