//! Hollow nodes: for clusters without containers, and for clusters of a size that no machine here has.
//!
//! Each node writes with its own identity. What the nodes have to do, all of them read from one local copy of the
//! pods, so that a thousand nodes cost one watch.

mod node;
mod pod;

use crate::resources;
use api::Value;
use client::{Client, Informer, Informers, WorkQueue, key_of};
use node::HollowNode;
use std::collections::HashMap;
use std::sync::Arc;
use stdx::Clock;

/// Pods worked on at once, in the whole process.
const WORKERS: usize = 32;

/// What hollow nodes must be told.
#[derive(Clone)]
pub struct Settings {
    /// How many.
    pub count: usize,
    pub clock: Clock,
    /// The version that the nodes say they run, `v1.36.0`.
    pub version: String,
}

/// Makes a client with the identity that is named.
pub type Connect = Arc<dyn Fn(&str) -> Client + Send + Sync>;

struct Kubelets {
    nodes: HashMap<String, Arc<HollowNode>>,
    pods: Informer,
    queue: WorkQueue,
    clock: Clock,
}

/// Starts the nodes `hollow-0`, `hollow-1` and so on; they end with the runtime.
pub fn start(connect: &Connect, informers: &Informers, settings: &Settings) {
    let make = |index: usize| {
        let name = format!("hollow-{index}");
        let client = connect(&format!("system:node:{name}"));
        let node = HollowNode::new(name.clone(), index, client, settings.clock.clone(), &settings.version);
        (name, Arc::new(node))
    };
    let nodes: HashMap<_, _> = (0..settings.count).map(make).collect();
    for node in nodes.values() {
        tokio::spawn(node.clone().live(informers.of(&resources::nodes())));
    }
    let kubelets = Arc::new(Kubelets {
        nodes,
        pods: informers.of(&resources::pods()),
        queue: WorkQueue::new(),
        clock: settings.clock.clone(),
    });
    let follower = kubelets.clone();
    kubelets.pods.on_change(Arc::new(move |_, new| {
        if let Some(pod) = new.filter(|pod| follower.is_ours(pod) && pod::has_work(pod)) {
            follower.queue.add(key_of(pod));
        }
    }));
    for _ in 0..WORKERS {
        tokio::spawn(kubelets.clone().work());
    }
}

impl Kubelets {
    fn is_ours(&self, pod: &Value) -> bool {
        self.nodes.contains_key(pod.str_at(&["spec", "nodeName"]))
    }

    async fn work(self: Arc<Self>) {
        loop {
            let key = self.queue.next().await;
            match self.sync(&key).await {
                Ok(()) => self.queue.done(&key),
                Err(error) => {
                    tracing::debug!(key, %error, "a hollow pod will be tried again");
                    self.queue.failed(&key);
                }
            }
        }
    }

    async fn sync(&self, key: &str) -> Result<(), client::Error> {
        let Some(pod) = self.pods.cache().get(key) else { return Ok(()) };
        let Some(node) = self.nodes.get(pod.str_at(&["spec", "nodeName"])) else { return Ok(()) };
        let done = match pod::plan(&pod, node, self.clock.now()) {
            pod::Plan::Nothing => return Ok(()),
            pod::Plan::Report(status) => node.report(&pod, status).await,
            pod::Plan::End => node.end(&pod).await,
        };
        match done {
            Err(error) if !error.is_not_found() && !error.is_conflict() => Err(error),
            _ => Ok(()),
        }
    }
}
