//! Probes: asks containers whether they have started, are alive and are ready. Source: upstream's
//! `kubernetes/pkg/kubelet/prober` and `kubernetes/pkg/probe`.
//!
//! The pod's worker tells what it knows (`Probes::follow`), each probe is a task that waits for its container to run and
//! then for its next turn, and results are kept by container id, so that a new container begins anew. Whoever looks at
//! a result is woken by `on_change` when one became another.

mod ask;
mod grpc;
mod http;
mod judge;
mod results;
mod tcp;
mod turn;

#[cfg(test)]
mod http_tests;
#[cfg(test)]
mod tests;

pub use ask::Tell;
pub use http::Get;
pub use results::Results;

use crate::{Runtime, Settings};
use api::Value;
use ask::Asker;
use client::Recorder;
use judge::Kind;
use parking_lot::Mutex;
use results::Table;
use std::collections::HashMap;
use std::sync::Arc;
use stdx::Time;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use turn::{Seen, Turns};

/// All probes of the node. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct Probes {
    shared: Arc<Shared>,
}

struct Shared {
    asker: Arc<Asker>,
    table: Arc<Table>,
    settings: Settings,
    /// When the kubelet started.
    start: (Instant, Time),
    pods: Mutex<HashMap<String, Pod>>,
}

/// The probes of a pod.
struct Pod {
    seen: watch::Sender<Arc<Seen>>,
    /// By container and kind.
    tasks: HashMap<(String, Kind), JoinHandle<()>>,
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.tasks.values().for_each(JoinHandle::abort);
    }
}

impl Probes {
    /// `on_change` is told the uid of a pod of which a result changed.
    pub fn new(
        runtime: Runtime,
        recorder: Recorder,
        settings: &Settings,
        on_change: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        let tell: Tell = Arc::new(move |pod, container, reason, message| {
            recorder.part_event(pod, &crate::hooks::field_path(pod, container), "Warning", reason, message);
        });
        Self::with(Asker { runtime, tell }, settings, on_change)
    }

    fn with(asker: Asker, settings: &Settings, on_change: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let shared = Shared {
            asker: Arc::new(asker),
            table: Arc::new(Table::new(on_change)),
            settings: settings.clone(),
            start: (Instant::now(), settings.clock.now()),
            pods: Mutex::default(),
        };
        Probes { shared: Arc::new(shared) }
    }

    /// Takes note of a pod as it is: its spec and its deletion from `pod`, its address and its containers (`containerID`,
    /// `state`, `started`) from `status`, as the kubelet would write it. To be called whenever one of them changed.
    /// Probes begin when their pod is followed for the first time.
    pub fn follow(&self, pod: &Arc<Value>, status: &Arc<Value>) {
        let uid = pod.str_at(&["metadata", "uid"]);
        let probed: Vec<_> = judge::probed(pod).collect();
        if probed.is_empty() {
            return;
        }
        let seen = Arc::new(Seen { pod: pod.clone(), status: status.clone() });
        let mut pods = self.shared.pods.lock();
        let known = pods.entry(uid.to_owned()).or_insert_with(|| {
            let (sender, _) = watch::channel(seen.clone());
            Pod { seen: sender, tasks: HashMap::new() }
        });
        known.seen.send_replace(seen);
        for (container, kind) in probed {
            let key = (container.to_owned(), kind);
            if !known.tasks.contains_key(&key) {
                let turns = self.turns(container, kind, known.seen.subscribe());
                known.tasks.insert(key, tokio::spawn(turns.run()));
            }
        }
    }

    fn turns(&self, container: &str, kind: Kind, seen: watch::Receiver<Arc<Seen>>) -> Turns<Asker> {
        let shared = &self.shared;
        Turns {
            container: container.to_owned(),
            kind,
            seen,
            asker: shared.asker.clone(),
            table: shared.table.clone(),
            clock: shared.settings.clock.clone(),
            kubelet_start: shared.start,
            chance: shared.settings.ids.fraction(),
        }
    }

    /// Whether the containers of a pod that is ending have started or are alive is asked no more.
    pub fn ending(&self, uid: &str) {
        if let Some(pod) = self.shared.pods.lock().get(uid) {
            let asked = pod.tasks.iter().filter(|((_, kind), _)| *kind != Kind::Readiness);
            asked.for_each(|(_, task)| task.abort());
        }
    }

    /// Ends the probes of a pod that is gone, and forgets their results.
    pub fn forget(&self, uid: &str) {
        self.shared.pods.lock().remove(uid);
        self.shared.table.forget(uid);
    }

    /// What is known of a container; its id without `containerd://`.
    pub fn results(&self, container_id: &str) -> Results {
        self.shared.table.get(container_id)
    }

    /// Writes `started` and `ready` of the containers of a status that is being made. `before` is the status that the
    /// pod has in the API: of containers that ran before this kubelet did, what it says is believed until a probe says
    /// otherwise.
    pub fn mark(&self, pod: &Value, before: &Value, status: &mut Value) {
        results::mark(pod, before, status, self.shared.start.1, |id| self.results(id));
    }
}
