//! VolumeBinding: a pod goes where its volumes can be reached; claims that waited for it get a volume that is there,
//! or one that is made for its node.

use super::{Check, Filter, Plugin, Rejection};
use crate::change::Change;
use crate::node::Node;
use crate::pod::Pod;
use crate::snapshot::Snapshot;
use crate::storage::claim::Claim;
use crate::storage::{Bound, Storage, StorageChange, volume};
use api::Str;
use std::sync::Arc;

const UNREACHED: &str = "node(s) didn't match PersistentVolume's node affinity";
const NONE_TO_BIND: &str = "node(s) didn't find available persistent volumes to bind";
const NO_ROOM: &str = "node(s) did not have enough free storage";
const GONE: &str = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";

pub struct VolumeBinding;

/// A pod's claims: those with a volume, and those whose volume waits for the pod.
#[derive(Default)]
struct Claims {
    bound: Vec<Arc<Claim>>,
    waiting: Vec<Arc<Claim>>,
}

impl Plugin for VolumeBinding {
    fn name(&self) -> &'static str {
        "VolumeBinding"
    }

    fn filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a Pod) -> Filter<'a> {
        if pod.claims.is_empty() {
            return Filter::Pass;
        }
        let claims = match claims_of(&snapshot.storage, pod) {
            Ok(claims) => claims,
            Err(why) => return Filter::Never(why),
        };
        let check: Check<'a> = Box::new(move |node| match find(&snapshot.storage, &claims, node) {
            Ok(_) => Ok(()),
            Err(reasons) => {
                Err(Rejection { reasons: reasons.into_iter().map(Into::into).collect(), is_final: true })
            }
        });
        Filter::Check(check)
    }

    fn may_help(&self, pod: &Pod, change: &Change) -> bool {
        match change {
            Change::Storage(change) => match change {
                StorageChange::Class { is_new, has_other_topologies, .. } => *is_new || *has_other_topologies,
                StorageChange::Claim { namespace, name, .. } => pod.uses_claim(namespace, name),
                StorageChange::Volume { .. } | StorageChange::Driver | StorageChange::Capacity => true,
                StorageChange::Node { is_new, .. } => *is_new,
                StorageChange::AttachmentGone => false,
            },
            Change::Node { .. } => change.of_node(|old, new| old.labels != new.labels),
            _ => false,
        }
    }
}

/// What is to be bound or made for a pod that goes to a node; nothing when all its claims have their volume.
pub fn decide(snapshot: &Snapshot, pod: &Pod, node: &Node) -> Vec<Bound> {
    if pod.claims.is_empty() {
        return Vec::new();
    }
    let claims = claims_of(&snapshot.storage, pod).unwrap_or_default();
    find(&snapshot.storage, &claims, node).unwrap_or_default()
}

fn claims_of(storage: &Storage, pod: &Pod) -> Result<Claims, String> {
    let mut claims = Claims::default();
    let mut is_late = false;
    for (name, is_own) in &pod.claims {
        let claim = usable(storage, pod, name, *is_own)?;
        let waits = || storage.class(&claim.class).is_some_and(|class| class.waits);
        match () {
            () if claim.is_bound => claims.bound.push(claim.clone()),
            () if claim.volume.is_empty() && !claim.class.is_empty() && waits() => {
                claims.waiting.push(claim.clone());
            }
            () => is_late = true,
        }
    }
    if is_late {
        return Err("pod has unbound immediate PersistentVolumeClaims".to_owned());
    }
    // The smallest first, so that the smallest volumes are used up.
    claims.waiting.sort_by_key(|claim| claim.request.unwrap_or(0));
    Ok(claims)
}

/// A claim that a pod can use.
fn usable<'s>(storage: &'s Storage, pod: &Pod, name: &Str, is_own: bool) -> Result<&'s Arc<Claim>, String> {
    let Some(claim) = storage.claim(&pod.namespace, name) else {
        return Err(match is_own {
            true => {
                format!(
                    "waiting for ephemeral volume controller to create the persistentvolumeclaim \"{name}\""
                )
            }
            false => super::not_found("persistentvolumeclaim", name),
        });
    };
    let Claim { namespace, volume, .. } = &**claim;
    match () {
        () if claim.is_lost => Err(format!(
            "persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{volume}\""
        )),
        () if claim.is_terminating => Err(format!("persistentvolumeclaim \"{name}\" is being deleted")),
        () if is_own && claim.controller != pod.uid => {
            Err(format!("PVC {namespace}/{name} was not created for pod {} (pod is not owner)", pod.key()))
        }
        () => Ok(claim),
    }
}

/// What is to be done so that the claims can be used on a node, or why they cannot.
fn find(storage: &Storage, claims: &Claims, node: &Node) -> Result<Vec<Bound>, Vec<&'static str>> {
    let mut reasons = Vec::new();
    let mut gone = false;
    for claim in &claims.bound {
        match storage.volume(&claim.volume) {
            Some(volume) if volume.is_reached_from(node) => {}
            Some(_) => {
                reasons.push(UNREACHED);
                break;
            }
            None => {
                gone = true;
                break;
            }
        }
    }
    let mut bound = Vec::new();
    match bind_waiting(storage, claims, node) {
        Ok(found) => bound = found,
        Err(why) => reasons.push(why),
    }
    if gone {
        reasons.push(GONE);
    }
    if reasons.is_empty() { Ok(bound) } else { Err(reasons) }
}

fn bind_waiting(storage: &Storage, claims: &Claims, node: &Node) -> Result<Vec<Bound>, &'static str> {
    let (mut bound, mut to_make, mut taken) = (Vec::new(), Vec::new(), Vec::new());
    for claim in &claims.waiting {
        if let Some(selected) = &claim.selected_node {
            if *selected != node.name {
                return Err(NONE_TO_BIND);
            }
            to_make.push(claim);
        }
    }
    for claim in claims.waiting.iter().filter(|claim| claim.selected_node.is_none()) {
        match volume::best(claim, storage.volumes().filter(|v| v.class == claim.class), node, &taken) {
            Some(volume) => {
                taken.push(volume.name.clone());
                bound.push(Bound::Volume { claim: claim.clone(), volume: volume.clone() });
            }
            None => to_make.push(claim),
        }
    }
    for claim in to_make {
        let class = storage.class(&claim.class).filter(|class| class.provisions() && class.reaches(node));
        let Some(class) = class else { return Err(NONE_TO_BIND) };
        if !storage.has_room(&class.provisioner, &claim.class, claim.request, node) {
            return Err(NO_ROOM);
        }
        bound.push(Bound::Made { claim: claim.clone() });
    }
    Ok(bound)
}

#[cfg(test)]
mod tests;
