//! The node's own object: registered, kept true, and alive by its lease.
//!
//! One loop looks every ten seconds, or when something happened; it writes only what changed, and all once in five
//! minutes. The lease has a loop of its own, so that no slow runtime holds it up.

mod address;
mod disk;
mod eviction;
mod lease;
mod leases;
mod machine;
mod network;
mod registration;
mod state;
mod status;

pub use address::address;
pub use disk::{Disk, Space};
pub use eviction::{EvictionHard, Sources, is_local};
pub use machine::{Machine, architecture};
pub use state::RuntimeState;
pub use status::Pressures;

use crate::images::{GarbageCollector, Images, pause};
use crate::runtime::NAMESPACE;
use crate::{Runtime, Settings, cri, resources};
use api::{Value, tree};
use client::{Client, Error, Informer, Method, Recorder};
use containerd_client::services::v1::SubscribeRequest;
use containerd_client::services::v1::events_client::EventsClient;
use eviction::Eviction;
use parking_lot::Mutex;
use status::Facts;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use stdx::{Backoff, Ids, Time};
use tokio::sync::Notify;

const LOOK: Duration = Duration::from_secs(10);
/// While the node is not ready, for a while after that began; then in between.
const LOOK_SOON: Duration = Duration::from_millis(100);
const SOON_FOR: Duration = Duration::from_secs(30);
const LOOK_WHILE_NOT_READY: Duration = Duration::from_secs(1);
/// The whole status is written that often although nothing changed.
const REPORT: Duration = Duration::from_secs(300);
const COLLECT: Duration = Duration::from_secs(300);
/// How long to wait for addresses for pods before the fallback is taken.
const ADDRESSES_WITHIN: Duration = Duration::from_secs(20);
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// What the node is made with.
#[derive(Clone)]
pub struct Parts {
    pub settings: Arc<Settings>,
    /// With the identity of the node.
    pub client: Client,
    pub recorder: Recorder,
    pub runtime: Runtime,
    pub images: Arc<Images>,
}

/// The node. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

struct Shared {
    parts: Parts,
    machine: Arc<Machine>,
    follower: Informer,
    wake: Notify,
    images_changed: AtomicBool,
    runtime: Mutex<RuntimeState>,
    under: Mutex<Pressures>,
    garbage: GarbageCollector,
    /// Once it is known what runs here.
    eviction: OnceLock<Eviction>,
}

/// What the loop remembers.
struct Memory {
    started: Time,
    images: Arc<Vec<cri::Image>>,
    reported: Option<Time>,
    collected: Time,
    checked: Option<Time>,
    not_ready_since: Option<Time>,
    /// Whether the node took new pods.
    schedulable: bool,
}

impl Node {
    /// Registers and keeps the node, until the runtime ends.
    pub fn start(parts: Parts) -> Self {
        let query = format!("fieldSelector=metadata.name%3D{}", parts.settings.node_name);
        let follower =
            Informer::follow(parts.client.clone(), resources::nodes(), &query, client::trim_managed_fields);
        let shared = Arc::new(Shared {
            parts,
            machine: Arc::new(Machine::read()),
            follower,
            wake: Notify::new(),
            images_changed: AtomicBool::new(true),
            runtime: Mutex::default(),
            under: Mutex::default(),
            garbage: GarbageCollector::default(),
            eviction: OnceLock::new(),
        });
        tokio::spawn(shared.clone().live());
        tokio::spawn(shared.clone().follow_images());
        Node { shared }
    }

    /// The object as the API server last told it.
    pub fn object(&self) -> Option<Arc<Value>> {
        self.shared.object()
    }

    /// What the runtime last said of itself.
    pub fn runtime(&self) -> RuntimeState {
        self.shared.runtime.lock().clone()
    }

    /// What the node has too little of.
    pub fn under(&self) -> Pressures {
        *self.shared.under.lock()
    }

    /// Has pods evicted when the node runs out of something, from now on.
    pub fn evict_from(&self, sources: Sources) {
        self.shared.tell("Normal", "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods");
        // A second call changes nothing.
        let _ = self.shared.eviction.set(Eviction::new(sources));
    }

    /// Whether the node takes a pod in spite of what it has too little of.
    ///
    /// # Errors
    /// Why not; the reason is `Evicted`.
    pub fn admit(&self, pod: &Value) -> Result<(), String> {
        eviction::admit(self.under(), pod)
    }

    /// Has the loop look at once: the runtime came or went.
    pub fn look(&self) {
        self.shared.wake.notify_one();
    }
}

/// The reference to a node that its kubelet's events have: the name stands for the uid.
pub fn reference(name: &str) -> Value {
    tree!({"kind": "Node", "name": name, "uid": name})
}

impl Shared {
    fn object(&self) -> Option<Arc<Value>> {
        self.follower.cache().get(&self.parts.settings.node_name)
    }

    fn tell(&self, ty: &'static str, reason: &str, message: &str) {
        self.parts.recorder.about(reference(&self.parts.settings.node_name), ty, reason, message);
    }

    async fn live(self: Arc<Self>) {
        let Parts { settings, client, .. } = &self.parts;
        self.tell("Normal", "Starting", "Starting kubelet.");
        tokio::task::spawn_blocking(|| leases::sweep(network::PREFIX));
        let start = settings.clock.now();
        let mut memory = Memory {
            started: start,
            images: Arc::default(),
            reported: None,
            collected: start,
            checked: None,
            not_ready_since: Some(start),
            schedulable: true,
        };
        self.look_at_runtime(&mut memory).await;
        self.register(&memory).await;
        let name: Arc<str> = settings.node_name.as_str().into();
        tokio::spawn(lease::keep(client.clone(), name, self.follower.clone(), settings.clock.clone()));
        self.follower.synced().await;
        loop {
            self.look(&mut memory).await;
            let pause = self.pause(&memory);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wake.notified() => {}
            }
        }
    }

    async fn register(&self, memory: &Memory) {
        let Parts { settings, client, .. } = &self.parts;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(7));
        loop {
            let said = status::status(None, &self.facts(memory), settings, settings.clock.now());
            match registration::register(client, settings, said.status).await {
                Ok(_) => return self.tell_changes(&said.events),
                Err(error) => tracing::warn!(%error, "the node cannot be registered yet"),
            }
            tokio::time::sleep(backoff.next_delay(&Ids::system())).await;
        }
    }

    fn tell_changes(&self, events: &[&'static str]) {
        for event in events {
            let message = format!("Node {} status is now: {event}", self.parts.settings.node_name);
            self.tell("Normal", event, &message);
        }
    }

    fn pause(&self, memory: &Memory) -> Duration {
        let now = self.parts.settings.clock.now();
        match memory.not_ready_since {
            None if self.runtime.lock().is_down() => LOOK_WHILE_NOT_READY,
            None => LOOK,
            Some(since) if now.since(since) < SOON_FOR => LOOK_SOON,
            Some(_) => LOOK_WHILE_NOT_READY,
        }
    }

    async fn look(&self, memory: &mut Memory) {
        let now = self.parts.settings.clock.now();
        self.look_at_runtime(memory).await;
        self.configure_network(memory);
        if memory.checked.is_none_or(|at| now.since(at) >= LOOK) {
            memory.checked = Some(now);
            if let Some(eviction) = self.eviction.get() {
                let under = eviction.check(self).await;
                *self.under.lock() = under;
            }
        }
        if now.since(memory.collected) >= COLLECT {
            memory.collected = now;
            self.collect_images().await;
        }
        if let Err(error) = self.report(memory).await {
            tracing::debug!(%error, "the status of the node is not posted");
        }
    }

    /// Asks the runtime how it is; when it is new, whether it has its sandbox image; and what images there are.
    async fn look_at_runtime(&self, memory: &mut Memory) {
        let mut state = self.runtime.lock().clone();
        let was_down = state.is_down() || state.version.is_empty();
        state.look(&self.parts.runtime, self.parts.settings.clock.now()).await;
        let (is_up, sandbox_image) = (!state.is_down(), state.layout.sandbox_image.clone());
        *self.runtime.lock() = state;
        if was_down && is_up {
            if let Some(name) = sandbox_image
                && let Err(status) = pause::provide(&self.parts.runtime, &name).await
            {
                tracing::warn!(name, why = crate::runtime::words(&status), "there is no image for sandboxes");
            }
            self.images_changed.store(true, Ordering::Relaxed);
        }
        if is_up
            && self.images_changed.swap(false, Ordering::Relaxed)
            && let Ok(images) = self.parts.images.list().await
        {
            memory.images = Arc::new(images);
        }
    }

    /// Gives the runtime a network when nobody else did.
    fn configure_network(&self, memory: &Memory) {
        let settings = &self.parts.settings;
        let node = self.object();
        let list = node.as_ref().map(|node| node.list_at(&["spec", "podCIDRs"])).unwrap_or_default();
        let addresses: Vec<String> =
            list.iter().filter_map(|range| Some(range.as_str()?.to_owned())).collect();
        if addresses.is_empty() && settings.clock.now().since(memory.started) < ADDRESSES_WITHIN {
            return;
        }
        let layout = self.runtime.lock().layout.clone();
        match network::configure(&layout, &addresses) {
            Ok(true) => tracing::info!(?addresses, "the network of pods is configured"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the network of pods cannot be configured"),
        }
    }

    /// Images that stay although no container has them.
    fn kept_images(&self) -> Vec<String> {
        self.runtime.lock().layout.sandbox_image.iter().cloned().collect()
    }

    async fn remove_unused_images(&self) {
        match self.garbage.remove_unused(&self.parts.images, &self.kept_images()).await {
            Ok(freed) => tracing::info!(freed, "unused images are removed"),
            Err(why) => tracing::warn!(why, "unused images cannot be removed"),
        }
    }

    async fn collect_images(&self) {
        let kept = self.kept_images();
        let Ok(disk) = self.image_disk().await else { return };
        if let Err(why) = self.garbage.collect(&self.parts.images, &disk, &kept).await {
            tracing::warn!(why, "images cannot be collected");
            self.tell("Warning", "FreeDiskSpaceFailed", &why);
        }
    }

    /// The file system of images. Where they are does not change while the runtime runs.
    async fn image_disk(&self) -> std::io::Result<Disk> {
        let known = self.runtime.lock().layout.images.clone();
        if let Some(folder) = known {
            return Disk::of(&folder);
        }
        let answer = self.parts.runtime.images().image_fs_info(cri::ImageFsInfoRequest {}).await;
        let answer =
            answer.map_err(|status| std::io::Error::other(status.message().to_owned()))?.into_inner();
        let place = answer.image_filesystems.first().and_then(|usage| usage.fs_id.as_ref());
        let folder =
            place.map_or_else(|| self.parts.settings.root.clone(), |id| id.mountpoint.clone().into());
        self.runtime.lock().layout.images = Some(folder.clone());
        Disk::of(&folder)
    }

    fn facts(&self, memory: &Memory) -> Facts {
        let settings = &self.parts.settings;
        let runtime = self.runtime.lock().clone();
        let mut errors = runtime.errors(settings.clock.now());
        if runtime.network_is_ready() {
            errors.extend(network::missing(&runtime.layout));
        }
        Facts {
            machine: self.machine.clone(),
            address: address(settings),
            disk: Disk::of(&settings.root).unwrap_or_default(),
            images: memory.images.clone(),
            under: *self.under.lock(),
            runtime,
            errors,
        }
    }

    /// Writes what changed of the status, or all of it when that is due.
    async fn report(&self, memory: &mut Memory) -> Result<(), Error> {
        let Parts { settings, client, .. } = &self.parts;
        let Some(known) = self.object() else { return Ok(()) };
        let now = settings.clock.now();
        let facts = self.facts(memory);
        memory.not_ready_since = match facts.errors.is_empty() {
            true => None,
            false => memory.not_ready_since.or(Some(now)),
        };
        let said = status::status(Some(&known), &facts, settings, now);
        self.tell_of_reboot(memory, &known);
        let schedulable = !known.bool_at(&["spec", "unschedulable"]);
        if schedulable != memory.schedulable {
            memory.schedulable = schedulable;
            self.tell_changes(&[if schedulable { "NodeSchedulable" } else { "NodeNotSchedulable" }]);
        }
        let empty = Value::map();
        let changed = status::changed(known.get("status").unwrap_or(&empty), &said.status);
        let due = memory.reported.is_none_or(|at| now.since(at) >= REPORT);
        let Some(part) = changed.or_else(|| due.then(|| said.status.clone())) else { return Ok(()) };
        let path = format!("{}/status", resources::nodes().object("", &settings.node_name));
        let patch = tree!({"status": (part)});
        let written = client.call(Method::PATCH, &path, Some((STRATEGIC, &patch))).await?;
        memory.reported = Some(now);
        self.tell_changes(&said.events);
        self.follower.caught_up(&written).await;
        Ok(())
    }

    /// Said once: what is written next has the new id.
    fn tell_of_reboot(&self, memory: &mut Memory, known: &Value) {
        let (name, boot) = (&self.parts.settings.node_name, &self.machine.boot_id);
        let before = known.str_at(&["status", "nodeInfo", "bootID"]);
        if memory.reported.is_none() && !before.is_empty() && before != boot {
            let message = format!("Node {name} has been rebooted, boot id: {boot}");
            self.tell("Warning", "Rebooted", &message);
        }
    }

    /// Notes when images come or go. Ends with each end of containerd, and begins again.
    async fn follow_images(self: Arc<Self>) {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        loop {
            let filter = format!("namespace=={NAMESPACE},topic~=\"^/images/\"");
            let mut client = EventsClient::new(self.parts.runtime.channel());
            if let Ok(events) = client.subscribe(SubscribeRequest { filters: vec![filter] }).await {
                backoff.reset();
                let mut events = events.into_inner();
                self.images_changed.store(true, Ordering::Relaxed);
                while let Ok(Some(_)) = events.message().await {
                    self.images_changed.store(true, Ordering::Relaxed);
                }
            }
            self.wake.notify_one();
            tokio::time::sleep(backoff.next_delay(&Ids::system())).await;
        }
    }
}
