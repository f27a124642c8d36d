//! Gives a pod's claims the volumes that were decided on: tells the server, and waits until the volume controller (and
//! whoever makes volumes) has done its part.

use crate::node::Node;
use crate::pod::Pod;
use crate::resources;
use crate::storage::Bound;
use crate::storage::claim::{Claim, SELECTED_NODE};
use crate::storage::volume::{BOUND_BY_CONTROLLER, Volume};
use api::{Value, tree};
use client::{Cache, Client, Error, Informer};
use std::time::Duration;
use tokio::time::Instant;

/// See the head of the file. Cheap to clone.
#[derive(Clone)]
pub struct VolumeBinder {
    pub client: Client,
    pub pods: Informer,
    pub claims: Informer,
    pub volumes: Informer,
}

/// What was told to the server, and the version that it made of it.
struct Told<'b> {
    bound: &'b Bound,
    version: u64,
}

impl VolumeBinder {
    /// # Errors
    /// In upstream's words; the pod is to be decided on anew.
    pub async fn bind(
        &self,
        pod: &Pod,
        node: &Node,
        bound: &[Bound],
        patience: Duration,
    ) -> Result<(), String> {
        let mut told = Vec::new();
        for each in bound {
            let written = match each {
                Bound::Volume { claim, volume } => self.keep(volume, claim).await,
                Bound::Made { claim } => self.order(claim, &node.name).await,
            };
            let version = written.map_err(|error| error.to_string())?;
            told.push(Told { bound: each, version });
        }
        self.wait(pod, node, &told, patience).await.map_err(|why| format!("binding volumes: {why}"))
    }

    /// Keeps a volume for a claim. Which of the two is the other's is up to the volume controller from then on.
    async fn keep(&self, volume: &Volume, claim: &Claim) -> Result<u64, Error> {
        let whose = tree!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": (claim.namespace.clone()),
            "name": (claim.name.clone()), "uid": (claim.uid.clone()), "resourceVersion": (claim.resource_version.clone())
        });
        let mut patch = tree!({
            "metadata": {"resourceVersion": (volume.resource_version.clone())}, "spec": {"claimRef": (whose)}
        });
        if !volume.is_for(claim) && !volume.bound_by_controller {
            patch.set(&["metadata", "annotations", BOUND_BY_CONTROLLER], "yes");
        }
        let volumes = resources::volumes();
        self.client.merge_patch(&volumes, "", &volume.name, "", &patch).await.map(|now| version(&now))
    }

    /// Has a volume made for a claim, where a node reaches it.
    async fn order(&self, claim: &Claim, node: &str) -> Result<u64, Error> {
        let mut patch = tree!({"metadata": {"resourceVersion": (claim.resource_version.clone())}});
        patch.set(&["metadata", "annotations", SELECTED_NODE], node);
        let claims = resources::claims();
        self.client
            .merge_patch(&claims, &claim.namespace, &claim.name, "", &patch)
            .await
            .map(|now| version(&now))
    }

    async fn wait(
        &self,
        pod: &Pod,
        node: &Node,
        told: &[Told<'_>],
        patience: Duration,
    ) -> Result<(), String> {
        let end = Instant::now() + patience;
        loop {
            let done = |claims: &Cache| self.is_done(pod, node, told, claims);
            if done(self.claims.cache())? {
                return Ok(());
            }
            let next = self.claims.until(|claims| done(claims) != Ok(false));
            if tokio::time::timeout_at(end, next).await.is_err() {
                return Err("context deadline exceeded".to_owned());
            }
        }
    }

    /// Whether all is bound; an error when it will not be.
    fn is_done(&self, pod: &Pod, node: &Node, told: &[Told<'_>], claims: &Cache) -> Result<bool, String> {
        let known = self.pods.cache().get(&pod.key());
        if known.is_none_or(|now| now.str_at(&["metadata", "uid"]) != pod.uid.as_str()) {
            return Err(format!("pod does not exist any more: pod \"{}\" not found", pod.name));
        }
        for told in told {
            let done = match told.bound {
                Bound::Volume { claim, volume } => self.is_kept(claim, volume, node, told.version, claims)?,
                Bound::Made { claim } => self.is_made(claim, node, told.version, claims)?,
            };
            if !done {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_kept(
        &self,
        claim: &Claim,
        volume: &Volume,
        node: &Node,
        told: u64,
        claims: &Cache,
    ) -> Result<bool, String> {
        let gone = |what: &str, name: &str| format!("failed to check binding: {what} \"{name}\" not found");
        let now = self.volumes.cache().get(&volume.name);
        let now = now.ok_or_else(|| gone("persistentvolume", &volume.name))?;
        let claim = claims.get(&claim.key()).ok_or_else(|| gone("persistentvolumeclaim", &claim.name))?;
        if version(&now) < told {
            return Ok(false);
        }
        reached(&Volume::of(&now), node)?;
        if now.str_at(&["spec", "claimRef", "uid"]).is_empty() {
            return Err(format!("ClaimRef got reset for pv \"{}\"", volume.name));
        }
        Ok(Claim::of(&claim).is_bound)
    }

    fn is_made(&self, claim: &Claim, node: &Node, told: u64, claims: &Cache) -> Result<bool, String> {
        let gone = || {
            format!("failed to check provisioning pvc: persistentvolumeclaim \"{}\" not found", claim.name)
        };
        let now = claims.get(&claim.key()).ok_or_else(gone)?;
        if version(&now) < told {
            return Ok(false);
        }
        let claim = Claim::of(&now);
        if claim.selected_node.as_ref() != Some(&node.name) {
            return Err(format!("provisioning failed for PVC \"{}\"", claim.name));
        }
        if !claim.volume.is_empty() {
            let Some(volume) = self.volumes.cache().get(&claim.volume) else { return Ok(false) };
            reached(&Volume::of(&volume), node)?;
        }
        Ok(claim.is_bound)
    }
}

fn reached(volume: &Volume, node: &Node) -> Result<(), String> {
    if volume.is_reached_from(node) {
        return Ok(());
    }
    let (volume, node) = (&volume.name, &node.name);
    Err(format!("pv \"{volume}\" node affinity doesn't match node \"{node}\": no matching NodeSelectorTerms"))
}

fn version(object: &Value) -> u64 {
    object.str_at(&["metadata", "resourceVersion"]).parse().unwrap_or(0)
}
