//! The loop: what informers tell goes into cache and queue; the next pod is decided on, counted where it goes, and its
//! binding sent off beside the next decision.

use crate::bind_volumes::VolumeBinder;
use crate::cache::Cache;
use crate::change::Change;
use crate::configuration::Configuration;
use crate::node::Node;
use crate::plan::{Plan, Wait, plan};
use crate::plugins::volume_binding;
use crate::pod::Pod;
use crate::profile::Profile;
use crate::queue::{Queue, Waiting};
use crate::resources;
use crate::storage::Sort;
use crate::tell::Teller;
use api::{Str, Value};
use client::{Candidate, Client, Informer, Informers, Leadership};
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Ids};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

/// The lease of who schedules.
const LEASE: &str = "kube-scheduler";
/// Writes on their way at once.
const WRITES: usize = 128;
/// Events about bound pods on their way at once.
const NOTES: usize = 8;
/// Decisions before others get the thread.
const DECISIONS_IN_A_ROW: usize = 16;
/// When nothing is to be expected.
const LONG: Duration = Duration::from_secs(3600);

/// What a scheduler must be told.
#[derive(Clone)]
pub struct Settings {
    pub clock: Clock,
    pub ids: Ids,
    /// Which pods are its own, by `schedulerName`, and how they are placed.
    pub configuration: Configuration,
}

/// What happened.
enum Event {
    Pod(Option<Arc<Value>>, Option<Arc<Value>>),
    Node(Option<Arc<Value>>, Option<Arc<Value>>),
    Namespace(Option<Arc<Value>>, Option<Arc<Value>>),
    Selecting((&'static str, &'static str), Option<Arc<Value>>, Option<Arc<Value>>),
    Budget(Option<Arc<Value>>, Option<Arc<Value>>),
    Storage(Sort, Option<Arc<Value>>, Option<Arc<Value>>),
    /// A pod's binding failed, in the words of a plugin.
    Unbound(Arc<Pod>, String),
    /// Those that were to make room for a pod did not.
    Unpreempted(Arc<Pod>, String),
}

/// Starts a scheduler, which ends with the runtime or the term that it is started in. `informers` may be shared with
/// others; `client` writes.
pub fn start(client: Client, informers: &Informers, settings: Settings) {
    let (sender, events) = unbounded_channel();
    let copies = follow(informers, &sender);
    let scheduler = Scheduler::new(client, informers, settings, sender);
    client::spawn(async move {
        for copy in &copies {
            copy.synced().await;
        }
        scheduler.run(events).await;
    });
}

/// Starts a scheduler that works while this process leads. `connect` makes its clients.
pub fn start_elected(
    connect: impl Fn() -> Client + Send + Sync + 'static,
    settings: Settings,
    candidate: Candidate,
) -> Leadership {
    Leadership::seek(connect(), LEASE, candidate, move || {
        start(connect(), &Informers::new(connect()), settings.clone());
    })
}

fn follow(informers: &Informers, sender: &UnboundedSender<Event>) -> Vec<Informer> {
    type Make = fn(Option<Arc<Value>>, Option<Arc<Value>>) -> Event;
    let plain: [(client::Resource, Make); 4] = [
        (resources::nodes(), Event::Node),
        (resources::namespaces(), Event::Namespace),
        (resources::budgets(), Event::Budget),
        (resources::pods(), Event::Pod),
    ];
    let mut copies = Vec::new();
    for (resource, make) in plain {
        let (informer, sender) = (informers.of(&resource), sender.clone());
        // The loop is gone only when the runtime is.
        informer.on_change(Arc::new(move |old, new| drop(sender.send(make(old.cloned(), new.cloned())))));
        copies.push(informer);
    }
    for (version, kind, resource) in resources::selecting() {
        let (informer, sender) = (informers.of(&resource), sender.clone());
        informer.on_change(Arc::new(move |old, new| {
            drop(sender.send(Event::Selecting((version, kind), old.cloned(), new.cloned())));
        }));
        copies.push(informer);
    }
    for (sort, resource) in resources::storage() {
        let (informer, sender) = (informers.of(&resource), sender.clone());
        informer.on_change(Arc::new(move |old, new| {
            drop(sender.send(Event::Storage(sort, old.cloned(), new.cloned())));
        }));
        copies.push(informer);
    }
    copies
}

struct Scheduler {
    cache: Cache,
    queue: Queue,
    teller: Teller,
    binder: VolumeBinder,
    configuration: Arc<Configuration>,
    /// The place of the node to look at first.
    start: usize,
    writes: Arc<Semaphore>,
    notes: Arc<Semaphore>,
    sender: UnboundedSender<Event>,
}

impl Scheduler {
    /// One that knows nothing yet.
    fn new(
        client: Client,
        informers: &Informers,
        settings: Settings,
        sender: UnboundedSender<Event>,
    ) -> Self {
        let Settings { clock, ids, configuration } = settings;
        let configuration = Arc::new(configuration);
        let copy = |resource| informers.of(&resource);
        let (pods, claims, volumes) =
            (copy(resources::pods()), copy(resources::claims()), copy(resources::volumes()));
        Scheduler {
            cache: Cache::default(),
            queue: Queue::new(configuration.clone()),
            binder: VolumeBinder { client: client.clone(), pods, claims, volumes },
            teller: Teller { client, clock, ids },
            configuration,
            start: 0,
            writes: Arc::new(Semaphore::new(WRITES)),
            notes: Arc::new(Semaphore::new(NOTES)),
            sender,
        }
    }

    async fn run(mut self, mut events: UnboundedReceiver<Event>) {
        loop {
            while let Ok(event) = events.try_recv() {
                self.take(event);
            }
            let mut decisions = 0;
            while decisions < DECISIONS_IN_A_ROW
                && let Some(waiting) = self.queue.pop(Instant::now())
            {
                self.schedule(&waiting);
                decisions += 1;
            }
            if decisions > 0 {
                tokio::task::yield_now().await;
                continue;
            }
            let wake = self.queue.next_wake().unwrap_or_else(|| Instant::now() + LONG);
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.take(event),
                    None => return,
                },
                () = tokio::time::sleep_until(wake) => self.queue.wake(Instant::now()),
            }
        }
    }

    fn take(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Pod(old, new) => self.pod(old.as_deref(), new.as_deref(), now),
            Event::Node(_, Some(node)) => {
                let change = self.cache.node(&node);
                if is_useful(&change) {
                    self.queue.tell(&change, now);
                }
            }
            Event::Node(Some(node), None) => {
                self.cache.node_gone(node.str_at(&["metadata", "name"]));
                self.queue.tell(&Change::NodeGone, now);
            }
            Event::Namespace(old, new) => {
                let name = new.as_ref().or(old.as_ref()).map(|n| n.str_at(&["metadata", "name"]).to_owned());
                self.cache.namespace(&name.unwrap_or_default(), new.as_deref());
            }
            Event::Selecting(kind, old, new) => self.cache.selection(kind, old.as_deref(), new.as_deref()),
            Event::Budget(old, new) => self.cache.budget(old.as_deref(), new.as_deref()),
            Event::Storage(sort, old, new) => {
                if let Some(change) = self.cache.storage(sort, old.as_deref(), new.as_deref()) {
                    self.queue.tell(&change, now);
                }
            }
            Event::Unbound(pod, why) => self.unbound(&pod, &why, now),
            Event::Unpreempted(pod, why) => {
                tracing::warn!(pod = pod.key(), why, "no room is made");
                self.denominate(&pod.uid, "", now);
                self.queue.nominate(&pod.uid, &Str::default());
                self.queue.fail(&pod.uid, "", now);
            }
            Event::Node(None, None) => {}
        }
    }

    fn pod(&mut self, old: Option<&Value>, new: Option<&Value>, now: Instant) {
        let Some(object) = new.or(old) else { return };
        let uid = object.str_at(&["metadata", "uid"]);
        if let Some(before) = old.filter(|before| before.str_at(&["metadata", "uid"]) != uid) {
            self.pod(Some(before), None, now);
        }
        let is_over = new.is_none() || matches!(object.str_at(&["status", "phase"]), "Succeeded" | "Failed");
        if is_over {
            self.queue.remove(uid);
            self.denominate(uid, "", now);
            if let Some(change) = self.cache.forget(uid) {
                self.queue.tell(&change, now);
            }
            return;
        }
        if object.str_at(&["spec", "nodeName"]).is_empty() {
            return self.unplaced(old, object, now);
        }
        let known = self.cache.has(uid) && !self.cache.is_assumed(uid);
        if known && old.is_some_and(|old| looks_the_same(old, object)) {
            return;
        }
        self.queue.remove(uid);
        self.denominate(uid, object.str_at(&["spec", "nodeName"]), now);
        if let Some(change) = self.cache.pod(Arc::new(Pod::of(object))) {
            self.queue.tell(&change, now);
        }
    }

    /// A pod that has no node yet.
    fn unplaced(&mut self, old: Option<&Value>, object: &Value, now: Instant) {
        let pod = Arc::new(Pod::of(object));
        if self.configuration.profile(&pod.scheduler).is_none() || pod.is_terminating {
            self.queue.remove(&pod.uid);
            self.denominate(&pod.uid, "", now);
            return;
        }
        // Room that is being made, but of which the server has not heard, is kept.
        let is_silent = pod.nominated_node.is_empty()
            && old.is_some_and(|old| old.str_at(&["status", "nominatedNodeName"]).is_empty());
        if !self.cache.has(&pod.uid) && !is_silent {
            self.nominate(&pod, &pod.nominated_node, now);
        }
        self.queue.put(pod, told(object), now);
    }

    /// Room is being made for a pod on a node; what was made elsewhere is free for others.
    fn nominate(&mut self, pod: &Arc<Pod>, node: &Str, now: Instant) {
        if let Some(pod) = self.cache.nominate(pod, node) {
            self.queue.tell(&Change::PodGone(pod), now);
        }
    }

    /// The room that was made for a pod is free for others, but for the node that it has now (or none).
    fn denominate(&mut self, uid: &str, node: &str, now: Instant) {
        if let Some((there, pod)) = self.cache.denominate(uid)
            && *there != *node
        {
            self.queue.tell(&Change::PodGone(pod), now);
        }
    }

    fn schedule(&mut self, waiting: &Waiting) {
        let pod = &waiting.pod;
        if self.cache.has(&pod.uid) {
            return;
        }
        let Some(profile) = self.configuration.profile(&pod.scheduler).cloned() else { return };
        match plan((&profile, &self.cache.snapshot), pod, self.cache.budgets(), self.start) {
            Plan::Bind { node, next } => {
                self.start = next % self.cache.snapshot.len().max(1);
                self.bind(pod, node, &profile);
            }
            Plan::Wait(wait) => self.wait(waiting, wait),
        }
    }

    fn bind(&mut self, pod: &Arc<Pod>, node: Arc<Node>, profile: &Profile) {
        let volumes = volume_binding::decide(&self.cache.snapshot, pod, &node);
        let bound = Arc::new(Pod { node: node.name.clone(), ..Pod::clone(pod) });
        self.denominate(&pod.uid, &node.name, Instant::now());
        self.cache.assume_with(bound.clone(), &volumes);
        self.queue.tell(&Change::PodPlaced(bound.clone()), Instant::now());
        let (teller, writes, sender) = (self.teller.clone(), self.writes.clone(), self.sender.clone());
        let (binder, patience, notes) = (self.binder.clone(), profile.bind_timeout, self.notes.clone());
        client::spawn(async move {
            if !volumes.is_empty() {
                teller.expect(&bound).await;
                if let Err(why) = binder.bind(&bound, &node, &volumes, patience).await {
                    let why = format!("running PreBind plugin \"VolumeBinding\": {why}");
                    return drop(sender.send(Event::Unbound(bound, why)));
                }
            }
            let turn = writes.acquire().await;
            if let Err(error) = teller.bind(&bound).await {
                let why = format!("binding rejected: running Bind plugin \"DefaultBinder\": {error}");
                return drop(sender.send(Event::Unbound(bound, why)));
            }
            // What is told of it holds up no other binding.
            drop(turn);
            let _turn = notes.acquire().await;
            teller.bound(&bound).await;
        });
    }

    fn unbound(&mut self, pod: &Arc<Pod>, why: &str, now: Instant) {
        if !self.cache.is_assumed(&pod.uid) {
            return;
        }
        if let Some(change) = self.cache.forget(&pod.uid) {
            self.queue.tell(&change, now);
        }
        if self.queue.get(&pod.uid).is_none() {
            return;
        }
        self.queue.fail(&pod.uid, why, now);
        // The node that the pod was told to expect is none any more.
        let expected = self.queue.get(&pod.uid).is_some_and(|waiting| !waiting.pod.nominated_node.is_empty());
        let nominated = expected.then(Str::default);
        self.tell(pod.clone(), "SchedulerError", why.to_owned(), nominated, Vec::new());
    }

    fn wait(&mut self, waiting: &Waiting, wait: Wait) {
        let pod = &waiting.pod;
        let (victims, nominated) = match wait.preemption {
            Some(preemption) => (preemption.victims, Some(preemption.node)),
            None => (Vec::new(), wait.denominates.then(Str::default)),
        };
        let nominated = nominated.filter(|node| *node != pod.nominated_node);
        if let Some(node) = &nominated {
            let now = Instant::now();
            self.outrank(pod, node, now);
            self.nominate(pod, node, now);
            self.queue.nominate(&pod.uid, node);
        }
        self.queue.park(&pod.uid, &wait.message, wait.plugins, Instant::now());
        if waiting.told != wait.message || nominated.is_some() || !victims.is_empty() {
            self.tell(pod.clone(), "Unschedulable", wait.message, nominated, victims);
        }
    }

    /// Less important pods for which room was being made on a node must find other nodes.
    fn outrank(&mut self, pod: &Pod, node: &Str, now: Instant) {
        let there = self.cache.snapshot.nominated.get(node).into_iter().flatten();
        let lesser: Vec<Arc<Pod>> = there.filter(|other| other.priority < pod.priority).cloned().collect();
        for other in lesser {
            self.denominate(&other.uid, "", now);
            self.queue.nominate(&other.uid, &Str::default());
            let teller = self.teller.clone();
            client::spawn(async move { teller.denominate(&other).await });
        }
    }

    fn tell(
        &self,
        pod: Arc<Pod>,
        reason: &'static str,
        message: String,
        nominated: Option<Str>,
        victims: Vec<Arc<Pod>>,
    ) {
        let (teller, writes, sender) = (self.teller.clone(), self.writes.clone(), self.sender.clone());
        client::spawn(async move {
            let _turn = writes.acquire().await;
            teller.condition(&pod, reason, &message, nominated.as_deref()).await;
            let node = nominated.as_deref().unwrap_or(&pod.nominated_node);
            for victim in &victims {
                if let Err(error) = teller.preempt(victim, &pod, node).await {
                    drop(sender.send(Event::Unpreempted(pod, error.to_string())));
                    return;
                }
            }
        });
    }
}

/// What the pod's status says of its scheduling.
fn told(pod: &Value) -> &str {
    let mut conditions = pod.list_at(&["status", "conditions"]).iter();
    let scheduled = conditions.find(|c| c.str_at(&["type"]) == "PodScheduled");
    scheduled.map(|condition| condition.str_at(&["message"])).unwrap_or_default()
}

/// Whether a placed pod counts as before.
fn looks_the_same(old: &Value, new: &Value) -> bool {
    let sizes = |pod: &Value| -> Vec<Option<Value>> {
        let lists = ["containerStatuses", "initContainerStatuses"].map(|list| pod.list_at(&["status", list]));
        let statuses = lists.iter().copied().flatten();
        statuses.map(|status| status.get("resources").cloned()).collect()
    };
    let same = |path: &[&str]| old.at(path) == new.at(path);
    same(&["spec"])
        && same(&["metadata", "labels"])
        && same(&["metadata", "deletionTimestamp"])
        && same(&["status", "startTime"])
        && sizes(old) == sizes(new)
}

/// Whether a node changed in what pods ask for; heartbeats do not.
fn is_useful(change: &Change) -> bool {
    change.of_node(|old, new| {
        old.labels != new.labels
            || old.taints != new.taints
            || old.is_unschedulable != new.is_unschedulable
            || old.allocatable != new.allocatable
            || old.allowed_pods != new.allowed_pods
    })
}

#[cfg(test)]
mod tests;
