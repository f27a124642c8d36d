//! What a worker decides for a pod that is to run.

use super::plan::{self, Action, Because, Kill, Known, Probed, Restart};
use super::spec::{self, List, is_terminal};
use super::status::{self, Facts};
use super::stop::{Stop, grace, own_grace};
use super::worker::{Done, Stage, Stopping, Worker};
use super::{Observed, Wait};
use crate::pods::{Source, View};
use api::time::format_duration;
use api::{Value, tree};
use std::sync::Arc;
use std::time::Duration;
use stdx::Time;

/// How long a container whose start failed waits, as upstream's.
const START_RETRY: Duration = Duration::from_secs(10);
/// How soon the node's own object is looked for again.
const NODE_RETRY: Duration = Duration::from_millis(200);
/// How soon room is looked for again for a pod that wants more, although no other made any; as upstream's.
const RESIZE_RETRY: Duration = Duration::from_secs(180);
/// How soon a network is looked for again.
const NETWORK_RETRY: Duration = Duration::from_millis(500);
const CRASH_LOOP: &str = "CrashLoopBackOff";

impl Worker {
    /// Decides, and has it carried out. True when the pod is gone and nothing of it is left.
    pub(super) fn decide(&mut self) -> bool {
        if self.life.stage == Stage::Live {
            self.live();
        }
        if self.life.stage == Stage::Ending {
            self.ending();
        }
        self.life.stage == Stage::Over && self.over()
    }

    fn live(&mut self) {
        if self.has_to_end() {
            self.life.stage = Stage::Ending;
            return;
        }
        let Some(seen) = self.seen.clone() else { return };
        if !self.admit(seen.containers.is_empty() && seen.sandboxes.is_empty()) {
            return;
        }
        self.watch_deadline();
        self.resize(&seen);
        let status = self.status(false);
        let ends = is_terminal(status.str_at(&["phase"]));
        self.say(status);
        if ends || self.life.evicted.is_some() {
            self.life.stage = Stage::Ending;
            return;
        }
        if self.is_blind {
            return;
        }
        if self.life.kills_pod {
            self.kill_pod();
            if self.life.kills_pod {
                return;
            }
        }
        let now = self.parts.now();
        let probed = |id: &str| {
            let results = self.parts.probes.results(id);
            Probed { startup: results.started, liveness: results.alive }
        };
        let known = Known {
            now,
            back_off: &self.life.back_off,
            probed: &probed,
            restarting: &self.life.restarting,
            buried: &self.life.buried,
            stopped: &self.life.stopped,
            restart_all: self.restarts_all() && !status::is_cleared(&self.view.pod, &seen),
            resized: &|container, id| self.life.resources.change(&self.view.pod, container, id),
        };
        let actions = plan::plan(&self.view.pod, &seen, &known);
        self.carry_out(actions);
    }

    /// Allots other resources to the pod, if it wants them and the node has them.
    fn resize(&mut self, seen: &Observed) {
        let (now, wanted) = (self.parts.now(), self.wanted.clone());
        let is_wanted = self.life.resources.is_wanted(&wanted);
        if !is_wanted {
            self.parts.admitted.content(&self.uid, &self.parts.pods);
        }
        if is_wanted && let Some(node) = (self.parts.context.node)() {
            let is_static = self.view.source == Source::Folder;
            match self.parts.admitted.admit(&wanted, &node, is_static, &self.parts.pods) {
                Ok(()) => {
                    let message = self.life.resources.allot(&wanted, now);
                    self.parts.say(&wanted, "Normal", "ResizeStarted", &message);
                    self.view.pod = wanted;
                }
                Err(why) => {
                    if let Some(message) = self.life.resources.defer(&wanted, &why.message, now) {
                        self.parts.say(&wanted, "Warning", "ResizeDeferred", &message);
                    }
                    self.look_in(RESIZE_RETRY);
                }
            }
        }
        if let Some(message) = self.life.resources.complete(&self.view.pod, seen) {
            self.parts.say(&self.view.pod, "Normal", "ResizeCompleted", &message);
        }
    }

    /// Takes note of how the change of a container's resources, or the pod's, to those of `pod` went.
    pub(super) fn resized(&mut self, pod: &Value, id: &str, name: &str, failed: Option<&str>) {
        let Some(why) = failed else { return self.life.resources.done(pod, id, name) };
        let now = self.parts.now();
        if let Some(message) = self.life.resources.failed(&self.view.pod, why, now) {
            self.parts.say(&self.view.pod, "Warning", "ResizeError", &message);
        }
        self.life.not_before.insert(name.to_owned(), now.plus(START_RETRY));
    }

    fn has_to_end(&self) -> bool {
        let pod = &self.view.pod;
        let is_over = self.view.source == Source::Api && is_terminal(pod.str_at(&["status", "phase"]));
        self.view.is_gone || spec::is_leaving(pod) || is_over
    }

    /// Whether the node takes the pod; one of which something is here already was taken before.
    fn admit(&mut self, is_new: bool) -> bool {
        if self.life.is_admitted {
            return true;
        }
        let pod = self.view.pod.clone();
        let is_static = self.view.source == Source::Folder;
        let admitted = match (self.parts.context.node)() {
            Some(node) if is_new => match self.parts.node.admit(&pod) {
                Ok(()) => self.parts.admitted.admit(&pod, &node, is_static, &self.parts.pods),
                Err(message) => Err(Wait::new("Evicted", message)),
            },
            None if is_new && !is_static => {
                self.look_in(NODE_RETRY);
                return false;
            }
            _ => {
                self.parts.admitted.keep(&pod);
                Ok(())
            }
        };
        match admitted {
            Ok(()) => self.life.is_admitted = true,
            Err(why) => {
                self.parts.say(&pod, "Warning", &why.reason, &why.message);
                let status = status::rejected(&pod, &why.reason, &why.message, self.parts.now());
                self.life.rejected = Some(status);
                self.life.stage = Stage::Over;
            }
        }
        self.life.is_admitted
    }

    /// A pod that has run for as long as it may is ended.
    fn watch_deadline(&mut self) {
        let Some(seconds) = self.view.pod.i64_at(&["spec", "activeDeadlineSeconds"]) else { return };
        let Ok(start) = api::time::parse(self.life.status.str_at(&["startTime"])) else {
            self.look_in(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
            return;
        };
        let deadline = start.plus(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
        if deadline > self.parts.now() {
            self.look_when(deadline);
        } else if self.life.evicted.is_none() {
            let message = "Pod was active on the node longer than the specified deadline";
            self.parts.say(&self.view.pod, "Normal", "DeadlineExceeded", message);
            self.life.evicted = Some(Wait::new("DeadlineExceeded", message));
        }
    }

    fn restarts_all(&self) -> bool {
        let seen = self.seen.as_deref();
        seen.is_some_and(|seen| status::restarts_all(&self.view.pod, seen, &self.life.status))
    }

    /// What is to be said of the pod now.
    pub(super) fn status(&mut self, is_over: bool) -> Value {
        let pod = self.view.pod.clone();
        let seen = self.seen.clone().unwrap_or_default();
        let told = if self.life.hooked.is_empty() { seen } else { Arc::new(seen.without(&self.life.hooked)) };
        let said = self.carrier().and_then(|carrier| carrier.get("status").cloned()).unwrap_or_default();
        let mark = |status: &mut Value| self.parts.probes.mark(&pod, &said, status);
        status::generate(&Facts {
            pod: &self.said_of(&pod),
            old: &self.life.status,
            seen: &told,
            messages: &self.life.messages,
            waiting: &self.life.waiting,
            mark: &mark,
            is_ending: self.life.stage != Stage::Live,
            is_over,
            restart_all: self.restarts_all(),
            restarting: &self.life.restarting,
            evicted: self.life.evicted.as_ref(),
            resize: &self.life.resources.conditions(),
            resources: self.life.resources.actual(),
            host_ips: &self.parts.host_ips(),
            is_static: self.view.source == Source::Folder,
            now: self.parts.now(),
        })
    }

    /// The pod with the status and the generation that it has in the API.
    fn said_of(&self, pod: &Arc<Value>) -> Arc<Value> {
        let Some(mirror) = &self.view.mirror else { return pod.clone() };
        let mut pod = Value::clone(pod);
        pod.set(&["status"], self.view.said_of_static().unwrap_or_default());
        if let Some(generation) = mirror.i64_at(&["metadata", "generation"]) {
            pod.set(&["metadata", "generation"], generation);
        }
        Arc::new(pod)
    }

    /// What a kubelet before this one said of a static pod is known once its mirror is.
    pub(super) fn meet_mirror(&mut self, view: &View) {
        let is_first = self.view.mirror.is_none() && self.life.stage == Stage::Live;
        let Some(mirror) = view.mirror.as_ref().filter(|_| is_first && self.life.evicted.is_none()) else {
            return;
        };
        // A mirror that was made just now tells nothing.
        let said = view.said_of_static().filter(|said| !said.str_at(&["startTime"]).is_empty());
        if let Some(said) = said {
            self.life.status = Arc::new(said);
            self.life.resources.restore(mirror);
        }
    }

    /// The node ends the pod.
    pub(super) fn disrupt(&mut self, why: &Wait) {
        let now = self.parts.now().rfc3339();
        let mut condition = tree!({"type": "DisruptionTarget"});
        if let Some(generation) = self.view.pod.i64_at(&["metadata", "generation"]) {
            condition.set(&["observedGeneration"], generation);
        }
        condition.set(&["status"], "True");
        condition.set(&["lastProbeTime"], Value::Null);
        condition.set(&["lastTransitionTime"], now);
        condition.set(&["reason"], "TerminationByKubelet");
        condition.set(&["message"], why.message.as_str());
        let mut status = Value::clone(&self.life.status);
        let mut conditions = status.list_at(&["conditions"]).to_vec();
        conditions.retain(|condition| condition.str_at(&["type"]) != "DisruptionTarget");
        conditions.push(condition);
        status.set(&["conditions"], Value::List(conditions));
        self.life.status = Arc::new(status);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        let now = self.parts.now();
        let (mut steps, mut waits) = (Vec::new(), false);
        for action in actions {
            match action {
                Action::KillPod { again } => {
                    again.into_iter().for_each(|(name, id)| self.restarts(name, id));
                    return self.kill_pod();
                }
                Action::Kill(kill) => self.kill(kill),
                Action::Hold { name, delay, until } => self.hold(&name, delay, until),
                Action::Resize { ref name, .. } => match self.held(name, now) {
                    Some(due) => {
                        self.look_when(due);
                        waits = true;
                    }
                    None => steps.push(action),
                },
                Action::Start { list, name } => {
                    let wait = self.held(&name, now);
                    match wait {
                        Some(due) => self.look_when(due),
                        None => steps.push(Action::Start { list, name }),
                    }
                    // An init container comes before all that follow it.
                    if wait.is_some() && list == List::Init {
                        break;
                    }
                }
                other => steps.push(other),
            }
        }
        // The pod's group and its containers change together.
        steps.retain(|step| !waits || !matches!(step, Action::Resize { .. }));
        if self.under_way.advance.is_some() || steps.is_empty() && !self.life.is_to_set_up {
            return;
        }
        if steps.iter().any(|step| matches!(step, Action::Sandbox { .. })) && !self.has_network() {
            return self.look_in(NETWORK_RETRY);
        }
        match self.life.set_up_retry.due {
            Some(due) if !self.life.set_up_retry.is_due() => self.look_at(due),
            _ => self.advance(steps),
        }
    }

    /// Whether the node has a network for the pod; that it has not is said once.
    fn has_network(&mut self) -> bool {
        let runtime = self.parts.node.runtime();
        let has = spec::uses_host_network(&self.view.pod) || runtime.network_is_ready();
        if !has && !self.life.lacks_network {
            let why = runtime.errors(self.parts.now()).join(", ");
            let message = format!("network is not ready: {why}");
            self.parts.say(&self.view.pod, "Warning", "NetworkNotReady", &message);
        }
        self.life.lacks_network = !has;
        has
    }

    /// Until when a container is not tried again.
    fn held(&self, name: &str, now: Time) -> Option<Time> {
        self.life.not_before.get(name).copied().filter(|due| *due > now)
    }

    /// Ends all that runs of a pod that has nothing more to do, or has to begin anew in another sandbox.
    fn kill_pod(&mut self) {
        if self.under_way.advance.is_none() {
            let grace = grace(&self.view.pod, None, None);
            self.life.kills_pod = self.stop_all(grace);
        }
    }

    fn kill(&mut self, kill: Kill) {
        if self.under_way.stops.contains_key(&kill.id) || !self.may_stop() {
            return;
        }
        let grace = own_grace(&self.view.pod, &kill.name, kill.because);
        if kill.restart {
            self.restarts(kill.name.clone(), kill.id.clone());
        }
        if matches!(kill.because, Because::Startup | Because::Liveness) {
            tracing::debug!(container = kill.name, "a container failed its probe");
        }
        self.stop(kill.id, kill.name, grace, kill.message, false);
    }

    /// Takes note of a container that is killed in order to be started again.
    fn restarts(&mut self, name: String, id: String) {
        let known = self.life.restarting.get(&name).is_some_and(|restart| restart.id == id);
        if let Some(seen) = self.seen.as_deref().filter(|_| !known) {
            self.life.restarting.remove(&name);
            let before = plan::ended(seen, &self.life.restarting, &name);
            self.life.restarting.insert(name, Restart { id, before, is_held: false });
        }
    }

    /// False while the last try to stop something failed just now.
    pub(super) fn may_stop(&mut self) -> bool {
        let retry = &self.life.stop_retry;
        if let (Some(due), false) = (retry.due, retry.is_due()) {
            self.look_at(due);
            return false;
        }
        true
    }

    pub(super) fn stop(&mut self, id: String, name: String, grace: u64, message: String, with_pod: bool) {
        let seen = self.seen.clone().unwrap_or_default();
        let pod_ip = seen.ips().first().map_or_else(
            || self.parts.host_ips().first().map(ToString::to_string).unwrap_or_default(),
            |ip| (*ip).to_owned(),
        );
        let before = self.under_way.stops.remove(&id);
        if let Some(before) = &before {
            before.task.abort();
        }
        let stop = Stop {
            parts: self.parts.clone(),
            pod: self.view.pod.clone(),
            id: id.clone(),
            name,
            grace,
            is_again: before.is_some(),
            message,
            pod_ip,
            running: with_pod.then(|| self.life.running.subscribe()),
        };
        let key = id.clone();
        let task = self.jobs.spawn(async move { Done::Stopped(id, stop.run().await) });
        self.under_way.stops.insert(key, Stopping { grace, task });
    }

    /// Holds a container back, and says so once.
    fn hold(&mut self, name: &str, delay: Duration, until: Time) {
        if let Some(restart) = self.life.restarting.get_mut(name).filter(|restart| !restart.is_held) {
            restart.is_held = true;
            self.look_in(Duration::ZERO);
        }
        self.look_when(until);
        let pod = &self.view.pod;
        let delay = format_duration(i64::try_from(delay.as_nanos()).unwrap_or(i64::MAX));
        let full = spec::full_name(pod);
        let message = format!("back-off {delay} restarting failed container={name} pod={full}");
        let wait = Wait::new(CRASH_LOOP, message);
        if self.life.waiting.get(name) == Some(&wait) {
            return;
        }
        let message = format!("Back-off restarting failed container {name} in pod {full}");
        self.parts.say_of(pod, name, "", "Warning", "BackOff", &message);
        self.life.waiting.insert(name.to_owned(), wait);
        // What was just said of the container's end is said before this.
        self.look_in(Duration::ZERO);
    }

    /// Takes note of how the start of a container went.
    pub(super) fn start_tried(&mut self, name: &str, started: bool, now: Time) {
        if let Some((_, container)) = spec::container(&self.view.pod, name)
            && let Some(ended) = self.life.starting.get(name)
        {
            self.life.back_off.start(&plan::back_off_key(container), *ended, now);
        }
        if started {
            self.life.restarting.remove(name);
            self.life.not_before.remove(name);
        } else {
            self.life.not_before.insert(name.to_owned(), now.plus(START_RETRY));
        }
    }
}
