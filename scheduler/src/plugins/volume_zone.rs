//! VolumeZone: a volume whose labels name zones or regions is used by pods there only.

use super::{Check, Filter, Plugin, Rejection};
use crate::change::Change;
use crate::node::Node;
use crate::pod::Pod;
use crate::snapshot::Snapshot;
use crate::storage::StorageChange;
use crate::storage::volume::Volume;
use api::Value;

/// The labels, each with the name that it has today.
const LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];
const ELSEWHERE: &str = "node(s) had no available volume zone";

pub struct VolumeZone;

/// The labels of a zone, and what they may be.
type Zones = ((&'static str, &'static str), Vec<String>);

impl Plugin for VolumeZone {
    fn name(&self) -> &'static str {
        "VolumeZone"
    }

    fn filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a Pod) -> Filter<'a> {
        let mut zones = Vec::new();
        for (name, _) in pod.claims.iter().filter(|(_, is_own)| !is_own) {
            let Some(claim) = snapshot.storage.claim(&pod.namespace, name) else {
                return Filter::Never(super::not_found("persistentvolumeclaim", name));
            };
            if claim.volume.is_empty() {
                match snapshot.storage.class(&claim.class) {
                    _ if claim.class.is_empty() => {
                        let why = "PersistentVolumeClaim had no pv name and storageClass name";
                        return Filter::Never(why.to_owned());
                    }
                    None => {
                        return Filter::Never(super::not_found("storageclass.storage.k8s.io", &claim.class));
                    }
                    Some(class) if class.waits => continue,
                    Some(_) => return Filter::Never("PersistentVolume had no name".to_owned()),
                }
            }
            let Some(volume) = snapshot.storage.volume(&claim.volume) else {
                return Filter::Never(super::not_found("persistentvolume", &claim.volume));
            };
            zones.extend(zones_of(volume));
        }
        if zones.is_empty() {
            return Filter::Pass;
        }
        let check: Check<'a> = Box::new(move |node| {
            let has_zone = LABELS.iter().any(|(label, _)| node.label(label).is_some());
            if !has_zone || zones.iter().all(|zones| is_in(node, zones)) {
                return Ok(());
            }
            Err(Rejection::for_good(ELSEWHERE))
        });
        Filter::Check(check)
    }

    fn may_help(&self, pod: &Pod, change: &Change) -> bool {
        match change {
            Change::Storage(change) => match change {
                StorageChange::Class { is_new, waits, .. } => *is_new && *waits,
                StorageChange::Claim { namespace, name, .. } => pod.names_claim(namespace, name),
                StorageChange::Volume { is_new, has_other_zones } => *is_new || *has_other_zones,
                _ => false,
            },
            Change::Node { .. } => change.of_node(|old, new| old.labels != new.labels),
            _ => false,
        }
    }
}

/// The zones and regions that a volume's labels name; labels that cannot be read name none.
fn zones_of(volume: &Volume) -> Vec<Zones> {
    let read = |labels: &(&'static str, &'static str)| {
        let value = volume.labels.get(labels.0).and_then(Value::as_str)?;
        let zones: Vec<String> = value.split("__").map(|zone| zone.trim().to_owned()).collect();
        zones.iter().all(|zone| !zone.is_empty()).then_some((*labels, zones))
    };
    LABELS.iter().filter_map(read).collect()
}

fn is_in(node: &Node, ((label, today), zones): &Zones) -> bool {
    let here = node.label(label).or_else(|| node.label(today));
    here.is_some_and(|here| zones.iter().any(|zone| zone == here))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::trial::Trial;
    use crate::storage::Sort;
    use api::tree;

    #[test]
    fn a_volume_of_a_zone_is_used_there_only() {
        let table = [
            (tree!({"topology.kubernetes.io/zone": "x"}), "x", true),
            (tree!({"topology.kubernetes.io/zone": "x"}), "y", false),
            (tree!({"topology.kubernetes.io/zone": "x__y"}), "y", true),
            (tree!({"failure-domain.beta.kubernetes.io/zone": "x"}), "x", true),
            (tree!({"failure-domain.beta.kubernetes.io/zone": "x"}), "y", false),
            (tree!({"topology.kubernetes.io/region": "r"}), "x", false),
            (tree!({"other": "r"}), "x", true),
        ];
        let pod = Pod::of(&tree!({"metadata": {"namespace": "a", "name": "p"}, "spec": {"volumes": [
            {"persistentVolumeClaim": {"claimName": "c"}}]}}));
        for (labels, zone, fits) in table {
            let mut trial = Trial::with_nodes(&["plain"]);
            trial.node("n", tree!({"topology.kubernetes.io/zone": zone}));
            trial.claim(tree!({"metadata": {"namespace": "a", "name": "c"}, "spec": {"volumeName": "v"}}));
            let gone = trial.judge(&VolumeZone, &pod, "n");
            assert_eq!(gone, Err("persistentvolume \"v\" not found".into()));
            trial.object(Sort::Volume, tree!({"metadata": {"name": "v", "labels": (labels.clone())}}));
            let wanted = if fits { Ok(()) } else { Err(ELSEWHERE.to_owned()) };
            assert_eq!(trial.judge(&VolumeZone, &pod, "n"), wanted, "{labels:?}");
            assert_eq!(trial.judge(&VolumeZone, &pod, "plain"), Ok(()));
        }
    }

    #[test]
    fn a_claim_without_a_volume_must_wait_for_a_pod() {
        let mut trial = Trial::with_nodes(&["n"]);
        let pod = Pod::of(&tree!({"metadata": {"namespace": "a", "name": "p"}, "spec": {"volumes": [
            {"persistentVolumeClaim": {"claimName": "c"}}]}}));
        trial.claim(tree!({"metadata": {"namespace": "a", "name": "c"}, "spec": {"storageClassName": "k"}}));
        let told = trial.judge(&VolumeZone, &pod, "n");
        assert_eq!(told, Err("storageclass.storage.k8s.io \"k\" not found".into()));
        trial.object(
            Sort::Class,
            tree!({"metadata": {"name": "k"}, "volumeBindingMode": "WaitForFirstConsumer"}),
        );
        assert_eq!(trial.judge(&VolumeZone, &pod, "n"), Ok(()));
    }
}
