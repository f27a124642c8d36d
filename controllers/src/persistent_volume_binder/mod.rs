//! persistentvolume-binder: ties claims to volumes, asks outsiders to make volumes, and does with volumes whose claims
//! are gone what their policy says.
//!
//! One worker for claims and volumes alike: which volume a claim gets depends on all others.

mod bind;
mod claim;
mod provision;
mod recycle;
mod storage;
mod volume;

use crate::reconcile::{self, Outcome};
use crate::{Context, Recorder, pods, resources};
use api::Value;
use client::{Client, Informer, WorkQueue, key_of};
use std::sync::Arc;
use std::time::Duration;

const CLAIM: (&str, &str) = ("v1", "PersistentVolumeClaim");
const VOLUME: (&str, &str) = ("v1", "PersistentVolume");
/// How soon claims that wait and volumes that failed are looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// The binder's name, also in events.
const NAME: &str = "persistentvolume-controller";

struct Binder {
    client: Client,
    claims: Informer,
    volumes: Informer,
    classes: Informer,
    pods: Informer,
    recorder: Recorder,
    queue: WorkQueue,
}

pub fn start(context: &Context<'_>) {
    let binder = Arc::new(Binder {
        client: context.client.clone(),
        claims: context.informer(&resources::persistent_volume_claims()),
        volumes: context.informer(&resources::persistent_volumes()),
        classes: context.informer(&resources::storage_classes()),
        pods: context.informer(&resources::pods()),
        recorder: Recorder::new(context.client.clone(), NAME, context.clock()),
        queue: WorkQueue::new(),
    });
    binder.follow();
    let copies = [&binder.claims, &binder.volumes, &binder.classes, &binder.pods];
    let worker = binder.clone();
    reconcile::run_on("persistent-volume-binder", &binder.queue, 1, &copies, move |key| {
        let binder = worker.clone();
        async move { binder.sync(&key).await }
    });
}

/// The key of a claim in the queue, and of a volume.
fn claim_key(claim: &Value) -> String {
    format!("claim {}", key_of(claim))
}

fn volume_key(name: &str) -> String {
    format!("volume {name}")
}

fn is_unbound(claim: &Value) -> bool {
    !storage::has_annotation(claim, storage::BIND_COMPLETED)
}

impl Binder {
    async fn sync(&self, key: &str) -> Outcome {
        let done = match key.split_once(' ') {
            Some(("claim", key)) => match self.claims.cache().get(key) {
                Some(claim) => self.sync_claim(&claim).await,
                None => Ok(()),
            },
            Some(("volume", key)) => match self.volumes.cache().get(key) {
                Some(volume) => self.sync_volume(&volume).await,
                None => Ok(()),
            },
            _ => Ok(()),
        };
        match done {
            Err(error) if error.is_not_found() => Ok(()),
            done => done,
        }
    }

    fn look_again(&self, claim: &Value) {
        self.queue.add_after(claim_key(claim), LOOK_AGAIN);
    }

    fn look_again_at_volume(&self, volume: &Value) {
        self.queue.add_after(volume_key(volume.str_at(&["metadata", "name"])), LOOK_AGAIN);
    }

    fn follow(self: &Arc<Self>) {
        let binder = self.clone();
        self.claims.on_change(Arc::new(move |old, new| binder.claim_changed(old, new)));
        let binder = self.clone();
        self.volumes.on_change(Arc::new(move |old, new| binder.volume_changed(old, new)));
        let binder = self.clone();
        self.classes.on_change(Arc::new(move |_, new| {
            if new.is_some() {
                binder.wake_unbound();
            }
        }));
        let binder = self.clone();
        self.pods.on_change(Arc::new(move |old, new| binder.pod_changed(old, new)));
    }

    fn claim_changed(&self, old: Option<&Arc<Value>>, new: Option<&Arc<Value>>) {
        let Some(claim) = new.or(old) else { return };
        let volume = claim.str_at(&["spec", "volumeName"]);
        if !volume.is_empty() {
            self.queue.add(volume_key(volume));
        }
        if new.is_some() {
            self.queue.add(claim_key(claim));
            return;
        }
        let key = Some(key_of(claim));
        for volume in self.volumes.cache().list("") {
            if storage::claim_key(&volume) == key {
                self.queue.add(volume_key(volume.str_at(&["metadata", "name"])));
            }
        }
    }

    fn volume_changed(&self, old: Option<&Arc<Value>>, new: Option<&Arc<Value>>) {
        let Some(volume) = new.or(old) else { return };
        if new.is_some() {
            self.queue.add(volume_key(volume.str_at(&["metadata", "name"])));
        }
        let phase = |volume: &Arc<Value>| volume.str_at(&["status", "phase"]).to_owned();
        match storage::claim_key(volume) {
            Some(claim) => self.queue.add(format!("claim {claim}")),
            None if phase(volume) == "Available" && old.map(phase) != Some(phase(volume)) => {
                self.wake_unbound()
            }
            None => {}
        }
    }

    fn wake_unbound(&self) {
        for claim in self.claims.cache().list("") {
            if is_unbound(&claim) {
                self.queue.add(claim_key(&claim));
            }
        }
    }

    /// Pods that empty volumes, and those that still used one that is to be emptied.
    fn pod_changed(&self, old: Option<&Arc<Value>>, new: Option<&Arc<Value>>) {
        let Some(pod) = new.or(old).filter(|pod| new.is_none() || pods::is_finished(pod)) else { return };
        let meta = |field: &str| pod.str_at(&["metadata", field]);
        if let (recycle::NAMESPACE, Some(volume)) =
            (meta("namespace"), meta("name").strip_prefix(recycle::PREFIX))
        {
            self.queue.add(volume_key(volume));
        }
    }
}
