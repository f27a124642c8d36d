//! What a worker decides for a pod that ends: containers stop, then sandboxes; volumes and groups go; its last status
//! is written, and at last it goes from the API and from containerd.

use super::spec::{self, is_terminal};
use super::stop::grace;
use super::worker::{Done, Stage, Worker};
use super::{container_name, status};
use crate::pods::Source;
use crate::resources;
use api::{Value, tree};
use client::Method;
use futures::future::try_join_all;
use std::sync::Arc;

const STRATEGIC: &str = "application/strategic-merge-patch+json";

impl Worker {
    pub(super) fn ending(&mut self) {
        if let Some(cancel) = &self.under_way.advance {
            cancel.cancel();
        }
        let grace = grace(&self.view.pod, self.life.grace, self.life.asked_grace);
        self.life.grace = Some(grace);
        if self.seen.is_none() {
            return;
        }
        let status = self.status(false);
        self.say(status);
        self.parts.probes.ending(&self.uid);
        if self.is_blind || self.under_way.advance.is_some() || self.stop_all(grace) {
            return;
        }
        self.life.stage = Stage::Over;
    }

    /// Stops containers, then sandboxes. True while there is anything to stop.
    pub(super) fn stop_all(&mut self, grace: u64) -> bool {
        let Some(seen) = self.seen.clone() else { return true };
        let running: Vec<_> = seen.running().map(|c| (c.id.clone(), container_name(c).to_owned())).collect();
        if !running.is_empty() {
            for (id, name) in running {
                let has_less = self.under_way.stops.get(&id).is_some_and(|stopping| stopping.grace <= grace);
                if !has_less && self.may_stop() {
                    self.stop(id, name, grace, String::new(), true);
                }
            }
            return true;
        }
        if !self.under_way.stops.is_empty() || self.under_way.sandboxes {
            return true;
        }
        let left: Vec<String> = seen.unstopped(&self.life.stopped).map(str::to_owned).collect();
        if left.is_empty() {
            return false;
        }
        if self.may_stop() {
            let runtime = self.parts.runtime.clone();
            self.under_way.sandboxes = true;
            self.jobs.spawn(async move {
                let stops = try_join_all(left.iter().map(|id| runtime.stop_sandbox(id))).await;
                Done::SandboxesStopped(stops.map(|_| left))
            });
        }
        true
    }

    /// True when the pod is gone and nothing of it is left.
    pub(super) fn over(&mut self) -> bool {
        let is_static = self.view.source == Source::Folder;
        let mut status = match &self.life.rejected {
            Some(rejected) => rejected.clone(),
            None => self.status(true),
        };
        self.parts.admitted.release(&self.uid, &self.parts.pods);
        self.parts.probes.forget(&self.uid);
        if self.life.is_torn_down {
            status::finish(&self.view.pod, &mut status, is_static);
        }
        self.say(status);
        let retry = &self.life.end_retry;
        if let (Some(due), false) = (retry.due, retry.is_due()) {
            self.look_at(due);
            return false;
        }
        match () {
            () if !self.life.is_torn_down => self.tear_down(),
            () if self.view.is_gone => return self.remove(),
            () => self.delete(),
        }
        false
    }

    fn tear_down(&mut self) {
        if self.under_way.tear_down {
            return;
        }
        self.under_way.tear_down = true;
        let (parts, uid) = (self.parts.clone(), self.uid.clone());
        self.jobs.spawn(async move {
            let work = async {
                parts.context.volumes.tear_down(&uid).await.map_err(|why| why.to_string())?;
                parts.context.cgroups.remove_pod(&uid).await.map_err(|why| why.to_string())
            };
            Done::TornDown(work.await)
        });
    }

    /// Removes a pod from the API that was waiting for its end only.
    fn delete(&mut self) {
        let pod = self.view.pod.clone();
        let may = self.view.source == Source::Api
            && spec::is_leaving(&pod)
            && is_terminal(pod.str_at(&["status", "phase"]));
        if !may || self.under_way.post || self.under_way.deletion || self.life.is_deleted {
            return;
        }
        self.under_way.deletion = true;
        let client = self.parts.client.clone();
        self.jobs.spawn(async move {
            let meta = |field: &str| pod.str_at(&["metadata", field]);
            let options = tree!({"gracePeriodSeconds": 0, "preconditions": {"uid": (meta("uid"))}});
            let deleted = client.delete(&resources::pods(), meta("namespace"), meta("name"), &options).await;
            Done::Deleted(deleted.map(drop))
        });
    }

    /// Removes what containerd still has. True when there is nothing.
    fn remove(&mut self) -> bool {
        let Some(seen) = self.seen.clone().filter(|_| !self.is_blind) else { return false };
        if seen.sandboxes.is_empty() && seen.containers.is_empty() {
            return !self.under_way.removal && self.jobs.is_empty();
        }
        if self.under_way.removal {
            return false;
        }
        self.under_way.removal = true;
        let runtime = self.parts.runtime.clone();
        self.jobs.spawn(async move {
            let work = async {
                try_join_all(seen.containers.iter().map(|c| runtime.remove_container(&c.id))).await?;
                try_join_all(seen.sandboxes.iter().map(|s| runtime.remove_sandbox(&s.id))).await
            };
            Done::Removed(work.await.map(drop).map_err(|status| super::parts::rpc_error(&status)))
        });
        false
    }

    /// The object in the API that carries the pod's status.
    pub(super) fn carrier(&self) -> Option<&Arc<Value>> {
        match self.view.source {
            Source::Api => (!self.view.is_gone).then_some(&self.view.pod),
            Source::Folder => self.view.mirror.as_ref(),
        }
    }

    /// Takes note of a status, tells the probes, and has it written.
    pub(super) fn say(&mut self, status: Value) {
        if *self.life.status != status {
            self.life.status = Arc::new(status);
        }
        self.parts.pods.set_status(&self.uid, &self.life.status);
        if self.life.stage != Stage::Over {
            self.parts.probes.follow(&self.view.pod, &self.life.status);
        }
        self.post();
    }

    /// Writes what changed of the status; one write at a time.
    fn post(&mut self) {
        let Some(carrier) = self.carrier().cloned() else { return };
        if self.under_way.post || self.life.is_deleted {
            return;
        }
        let said = carrier.get("status").cloned().unwrap_or_default();
        let could_run = self.life.stage != Stage::Over;
        let wanted = status::merged(&said, &self.life.status, could_run);
        let Some(patch) = status::patch(spec::uid(&carrier), &said, &wanted) else { return };
        let retry = &self.life.post_retry;
        if let (Some(due), false) = (retry.due, retry.is_due()) {
            return self.look_at(due);
        }
        if self.life.written.is_settled(&wanted, &carrier) {
            return;
        }
        self.under_way.post = true;
        self.life.written = status::Written::asked(wanted);
        let client = self.parts.client.clone();
        self.jobs.spawn(async move {
            let meta = |field: &str| carrier.str_at(&["metadata", field]);
            let path = resources::pods().object(meta("namespace"), meta("name"));
            let answer =
                client.call(Method::PATCH, &format!("{path}/status"), Some((STRATEGIC, &patch))).await;
            Done::Posted(answer.map(Arc::new))
        });
    }

    pub(super) fn posted(&mut self, result: Result<Arc<Value>, client::Error>) {
        match result {
            Ok(pod) => {
                self.life.post_retry.done();
                self.life.written.answered(&pod);
                self.parts.pods.renew(&pod);
            }
            Err(error) => {
                tracing::debug!(uid = self.uid, %error, "a pod's status is not written");
                self.life.post_retry.failed();
            }
        }
    }
}
