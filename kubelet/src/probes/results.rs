//! What probes found, by container.

use super::judge::{Kind, container_id, state_of};
use crate::pod::spec;
use api::Value;
use api::resources::is_sidecar;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use stdx::Time;

/// What is known of a container: nothing where it has no such probe, or that did not say yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Results {
    pub started: Option<bool>,
    pub ready: Option<bool>,
    pub alive: Option<bool>,
}

type OnChange = Box<dyn Fn(&str) + Send + Sync>;

pub struct Table {
    by_id: Mutex<HashMap<String, (String, Results)>>,
    on_change: OnChange,
}

impl Table {
    pub fn new(on_change: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Table { by_id: Mutex::default(), on_change: Box::new(on_change) }
    }

    pub fn get(&self, id: &str) -> Results {
        self.by_id.lock().get(id).map_or_else(Results::default, |(_, results)| *results)
    }

    /// Sets one result of a container of the pod `uid`, and tells when that is news.
    pub fn set(&self, uid: &str, id: &str, kind: Kind, good: Option<bool>) {
        let mut by_id = self.by_id.lock();
        let (_, results) = by_id.entry(id.to_owned()).or_insert_with(|| (uid.to_owned(), Results::default()));
        let slot = match kind {
            Kind::Startup => &mut results.started,
            Kind::Readiness => &mut results.ready,
            Kind::Liveness => &mut results.alive,
        };
        let is_news = *slot != good;
        *slot = good;
        drop(by_id);
        if is_news {
            (self.on_change)(uid);
        }
    }

    /// Drops what is known of a container that another has followed.
    pub fn remove(&self, id: &str) {
        self.by_id.lock().remove(id);
    }

    /// Drops what is known of a pod.
    pub fn forget(&self, uid: &str) {
        self.by_id.lock().retain(|_, (of, _)| of != uid);
    }
}

/// How long before the kubelet a container must have started to count as one that ran before it.
const BEFORE_KUBELET: Duration = Duration::from_secs(10);

/// Whether a container of the status started before the kubelet did.
pub fn ran_before(container_status: &Value, kubelet_start: Time) -> bool {
    let started = container_status.str_at(&["state", "running", "startedAt"]);
    api::time::parse(started).is_ok_and(|at| kubelet_start.since(at) > BEFORE_KUBELET)
}

/// Writes `started` and `ready` of a status; see `Probes::mark`.
pub fn mark(
    pod: &Value,
    before: &Value,
    status: &mut Value,
    kubelet_start: Time,
    results: impl Fn(&str) -> Results,
) {
    let was_ready = before
        .list_at(&["conditions"])
        .iter()
        .any(|c| c.str_at(&["type"]) == "Ready" && c.str_at(&["status"]) == "True");
    for list in ["containerStatuses", "initContainerStatuses"] {
        let Some(containers) = status.get_mut(list).and_then(Value::as_list_mut) else { continue };
        for container in containers {
            let name = container.str_at(&["name"]).to_owned();
            let Some((_, spec)) = spec::container(pod, &name) else { continue };
            let found = results(container_id(container));
            let old = before.list_at(&[list]).iter().find(|old| old.str_at(&["name"]) == name);
            let was_started = old
                .is_some_and(|old| old.bool_at(&["started"]) && container_id(old) == container_id(container));
            let started = is_started(container, spec, found, was_started);
            let ready = if list == "initContainerStatuses" && !is_sidecar(spec) {
                container.i64_at(&["state", "terminated", "exitCode"]) == Some(0)
            } else {
                let kept = was_ready && ran_before(container, kubelet_start);
                started && is_ready(container, spec, found, kept)
            };
            container.set(&["started"], started);
            container.set(&["ready"], ready);
        }
    }
}

fn is_started(container: &Value, spec: &Value, found: Results, was_started: bool) -> bool {
    let has_probe = Kind::Startup.of(spec).is_some();
    state_of(container) == "running" && found.started.unwrap_or(was_started || !has_probe)
}

fn is_ready(container: &Value, spec: &Value, found: Results, kept: bool) -> bool {
    let has_probe = Kind::Readiness.of(spec).is_some();
    state_of(container) == "running" && found.ready.unwrap_or(kept || !has_probe)
}
