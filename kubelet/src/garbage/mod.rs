//! Removes what pods leave behind: dead containers but the newest of each name (its log can still be asked for), dead
//! sandboxes, logs of pods that are gone. Source: upstream's `kuberuntime_gc.go`.
//!
//! It looks a moment after it is woken, and once a minute while containerd has anything.

mod logs;
mod plan;

pub use plan::Fate;

use crate::pod::spec;
use crate::root::Root;
use crate::runtime::cri;
use crate::{Pods, Runtime, Settings};
use plan::{Plan, plan};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use stdx::Clock;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tonic::Code;

/// After being woken, so that what ends together is cleared together.
const PAUSE: Duration = Duration::from_secs(2);
const PERIOD: Duration = Duration::from_secs(60);
/// While there was nothing to look at.
const IDLE_PERIOD: Duration = Duration::from_secs(600);

/// Says what is to become of what a pod, by uid, has left.
pub type FateOf = Arc<dyn Fn(&str) -> Fate + Send + Sync>;

/// Cheap to clone.
#[derive(Clone)]
pub struct Garbage {
    runtime: Runtime,
    log_root: PathBuf,
    clock: Clock,
    fate_of: FateOf,
    woken: Arc<Notify>,
}

impl Garbage {
    /// Before all pods are known, what is nobody's stays.
    pub(crate) fn new(runtime: Runtime, pods: &Pods, settings: &Settings, root: Arc<Root>) -> Self {
        let (log_root, clock, pods) = (settings.log_root.clone(), settings.clock.clone(), pods.clone());
        let fate_of = move |uid: &str| match pods.status(uid) {
            _ if !pods.has(uid) && (!pods.is_settled() || root.is_others(uid)) => Fate::Stays,
            _ if !pods.has(uid) => Fate::Gone,
            Some(status) if spec::is_terminal(status.str_at(&["phase"])) => Fate::Ended,
            _ => Fate::Stays,
        };
        Garbage { runtime, log_root, clock, fate_of: Arc::new(fate_of), woken: Arc::new(Notify::new()) }
    }

    /// To be called when a container ended or a pod went.
    pub fn wake(&self) {
        self.woken.notify_one();
    }

    /// Clears for as long as it is polled.
    pub async fn run(self) {
        let mut period = PERIOD;
        loop {
            if timeout(period, self.woken.notified()).await.is_ok() {
                sleep(PAUSE).await;
            }
            period = match self.clear(false).await {
                Ok(false) => IDLE_PERIOD,
                Ok(true) => PERIOD,
                Err(why) => {
                    tracing::debug!(%why, "garbage is not cleared");
                    PERIOD
                }
            };
        }
    }

    /// Clears once; with `unused`, for want of space, also what is left of pods that ended but are still there. True when
    /// there is anything that may become garbage.
    ///
    /// # Errors
    /// When containerd does not answer.
    pub async fn clear(&self, unused: bool) -> Result<bool, tonic::Status> {
        let mut calls = self.runtime.containers();
        let containers = calls.list_containers(cri::ListContainersRequest::default()).await?.into_inner();
        let sandboxes = calls.list_pod_sandbox(cri::ListPodSandboxRequest::default()).await?.into_inner();
        let fate_of = |uid: &str| match (self.fate_of)(uid) {
            Fate::Ended if unused => Fate::Gone,
            fate => fate,
        };
        let plan = plan(&containers.containers, &sandboxes.items, self.clock.now(), fate_of);
        let is_empty = containers.containers.is_empty() && sandboxes.items.is_empty();
        self.carry_out(plan).await;
        let logs_left = self.clear_logs().await;
        Ok(!is_empty || logs_left)
    }

    async fn carry_out(&self, plan: Plan) {
        let mut calls = self.runtime.containers();
        for (id, log) in plan.containers {
            let message = cri::RemoveContainerRequest { container_id: id.clone() };
            if failed(calls.remove_container(message).await.map(drop), "container", &id) {
                continue;
            }
            let root = self.log_root.clone();
            let _ = tokio::task::spawn_blocking(move || logs::remove(&root, &log)).await;
        }
        for id in plan.sandboxes {
            let message = cri::StopPodSandboxRequest { pod_sandbox_id: id.clone() };
            if failed(calls.stop_pod_sandbox(message).await.map(drop), "sandbox", &id) {
                continue;
            }
            let message = cri::RemovePodSandboxRequest { pod_sandbox_id: id.clone() };
            failed(calls.remove_pod_sandbox(message).await.map(drop), "sandbox", &id);
        }
    }

    /// True when logs stay.
    async fn clear_logs(&self) -> bool {
        let (root, fate_of) = (self.log_root.clone(), self.fate_of.clone());
        let work = move || logs::clear(&root, |uid| fate_of(uid) == Fate::Gone);
        tokio::task::spawn_blocking(work).await.unwrap_or(true)
    }
}

/// What is gone already is as good as removed.
fn failed(answer: Result<(), tonic::Status>, what: &str, id: &str) -> bool {
    match answer {
        Err(why) if why.code() != Code::NotFound => {
            tracing::warn!(%why, what, id, "garbage is not removed");
            true
        }
        _ => false,
    }
}
