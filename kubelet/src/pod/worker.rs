//! The worker of a pod: waits until something concerns the pod, looks at it, decides, and has things carried out.
//! What takes time runs beside it, so that it can change its mind; without news it sleeps.

use super::advance::{Advance, Advanced};
use super::back_off::BackOff;
use super::parts::{Parts, rpc_error};
use super::plan::{self, Action, Restart};
use super::resize::Resources;
use super::retry::Retry;
use super::status::Written;
use super::{Observed, Wait};
use crate::pods::{Message, Start, View};
use crate::termination;
use api::Value;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use stdx::{Backoff, Ids, Time};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How soon containerd is asked again for what it has not noticed yet, at first and at most.
const SOON: Duration = Duration::from_millis(5);
const LATE: Duration = Duration::from_secs(2);

/// How far the life of a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is to run.
    Live,
    /// Its containers are being stopped.
    Ending,
    /// Nothing of it runs.
    Over,
}

/// What came to an end beside the worker.
#[derive(Debug)]
pub(super) enum Done {
    Advanced(Advanced),
    Stopped(String, Result<(), tonic::Status>),
    /// The ids.
    SandboxesStopped(Result<Vec<String>, tonic::Status>),
    Posted(Result<Arc<Value>, client::Error>),
    TornDown(Result<(), String>),
    Deleted(Result<(), client::Error>),
    Removed(Result<(), String>),
}

/// A container that is being stopped.
pub(super) struct Stopping {
    pub grace: u64,
    pub task: AbortHandle,
}

/// What is under way.
#[derive(Default)]
pub(super) struct UnderWay {
    pub advance: Option<CancellationToken>,
    /// By container id.
    pub stops: HashMap<String, Stopping>,
    pub sandboxes: bool,
    pub post: bool,
    pub tear_down: bool,
    pub deletion: bool,
    pub removal: bool,
}

pub struct Worker {
    pub(super) parts: Arc<Parts>,
    pub(super) uid: String,
    inbox: UnboundedReceiver<Message>,
    pub(super) jobs: JoinSet<Done>,
    pub(super) under_way: UnderWay,
    /// The pod as its source has it; that of the view has what it is allotted.
    pub(super) wanted: Arc<Value>,
    pub(super) view: View,
    pub(super) seen: Option<Arc<Observed>>,
    /// Containerd is to be asked.
    is_stale: bool,
    /// Containerd did not answer: what was seen last decides nothing.
    pub(super) is_blind: bool,
    /// Told to have ended; containerd may still say otherwise.
    exited: HashSet<String>,
    exited_backoff: Backoff,
    pub(super) life: Life,
    /// When to look again although nothing happens.
    pub(super) next: Option<Instant>,
}

/// What the worker remembers of its pod.
pub(super) struct Life {
    pub stage: Stage,
    /// The status that was made last; that of the API at first.
    pub status: Arc<Value>,
    pub back_off: BackOff,
    /// Why containers are not started.
    pub waiting: HashMap<String, Wait>,
    /// Containers whose start failed are not tried before.
    pub not_before: HashMap<String, Time>,
    /// When containers that are being started had ended before.
    pub starting: HashMap<String, Time>,
    pub resources: Resources,
    /// Killed in order to be started again: by name.
    pub restarting: HashMap<String, Restart>,
    /// Containers that were killed although containerd does not know what became of them: by id.
    pub buried: HashSet<String>,
    /// Sandboxes that were stopped: by id.
    pub stopped: HashSet<String>,
    /// Containers whose hook after the start is under way: not said to run before it is done. By id.
    pub hooked: HashSet<String>,
    /// What ended containers said: by id.
    pub messages: HashMap<String, String>,
    pub evicted: Option<Wait>,
    pub asked_grace: Option<u64>,
    pub grace: Option<u64>,
    pub is_admitted: bool,
    pub rejected: Option<Value>,
    /// There is no network for it, and that was said.
    pub lacks_network: bool,
    /// All of it is being stopped, and nothing starts before that is done.
    pub kills_pod: bool,
    /// The status that was sent last.
    pub written: Written,
    pub is_torn_down: bool,
    pub is_deleted: bool,
    /// Volumes are to be looked at.
    pub is_to_set_up: bool,
    /// Names of the containers that run.
    pub running: watch::Sender<HashSet<String>>,
    pub set_up_retry: Retry,
    pub look_retry: Retry,
    pub stop_retry: Retry,
    pub post_retry: Retry,
    pub end_retry: Retry,
}

impl Life {
    fn new(status: Value) -> Self {
        Life {
            stage: Stage::Live,
            status: Arc::new(status),
            back_off: BackOff::default(),
            waiting: HashMap::new(),
            not_before: HashMap::new(),
            starting: HashMap::new(),
            resources: Resources::default(),
            restarting: HashMap::new(),
            buried: HashSet::new(),
            stopped: HashSet::new(),
            hooked: HashSet::new(),
            messages: HashMap::new(),
            evicted: None,
            asked_grace: None,
            grace: None,
            is_admitted: false,
            rejected: None,
            lacks_network: false,
            kills_pod: false,
            written: Written::default(),
            is_torn_down: false,
            is_deleted: false,
            is_to_set_up: true,
            running: watch::Sender::new(HashSet::new()),
            set_up_retry: Retry::default(),
            look_retry: Retry::default(),
            stop_retry: Retry::default(),
            post_retry: Retry::default(),
            end_retry: Retry::default(),
        }
    }
}

impl Worker {
    /// Works for a pod until it is gone and cleaned up.
    pub async fn run(parts: Arc<Parts>, start: Start) {
        let Start { uid, mut inbox } = start;
        while let Some(view) = parts.pods.view(&uid) {
            let status = view.said_of_static().or_else(|| view.pod.get("status").cloned());
            let status = status.unwrap_or_else(Value::map);
            let mut worker = Worker {
                parts: parts.clone(),
                uid: uid.clone(),
                inbox,
                jobs: JoinSet::new(),
                under_way: UnderWay::default(),
                wanted: view.pod.clone(),
                view,
                seen: None,
                is_stale: true,
                is_blind: false,
                exited: HashSet::new(),
                exited_backoff: Backoff::new(SOON, LATE),
                life: Life::new(status),
                next: None,
            };
            let carrier = worker.view.mirror.as_ref().unwrap_or(&worker.view.pod);
            worker.life.resources.restore(carrier);
            worker.work().await;
            inbox = worker.inbox;
            if parts.pods.finish(&uid) {
                break;
            }
        }
    }

    async fn work(&mut self) {
        loop {
            self.next = None;
            if self.is_stale {
                self.observe().await;
            }
            let Some(view) = self.parts.pods.view(&self.uid) else { return };
            self.take(view);
            if self.decide() {
                return;
            }
            self.wait().await;
        }
    }

    /// Takes note of the pod as it is now.
    fn take(&mut self, view: View) {
        let is_other = |path: &[&str]| self.wanted.at(path) != view.pod.at(path);
        if is_other(&["spec"]) || is_other(&["metadata", "annotations"]) || is_other(&["metadata", "labels"])
        {
            self.retry_all();
        }
        self.meet_mirror(&view);
        self.wanted = view.pod.clone();
        self.view = view;
        self.view.pod = self.life.resources.apply(&self.wanted);
    }

    /// What waited for something to change need not wait any longer.
    fn retry_all(&mut self) {
        self.life.is_to_set_up = true;
        self.life.not_before.clear();
        self.life.set_up_retry.done();
    }

    async fn observe(&mut self) {
        match self.parts.runtime.observe(&self.uid, self.seen.as_deref()).await {
            Ok(seen) => {
                let seen = Arc::new(seen);
                self.parts.pods.set_observed(&self.uid, &seen);
                let names = seen.running().map(|c| super::container_name(c).to_owned()).collect();
                self.life.running.send_replace(names);
                (self.is_stale, self.is_blind) = (false, false);
                self.life.look_retry.done();
                self.life.stop_retry.due = self.life.stop_retry.due.filter(|due| *due > Instant::now());
                self.life.resources.see(&self.wanted, &seen);
                self.life.buried.retain(|id| seen.by_id(id).is_some());
                self.life.stopped.retain(|id| seen.sandboxes.iter().any(|sandbox| sandbox.id == *id));
                self.read_messages(&seen).await;
                self.seen = Some(seen);
                self.doubt();
            }
            Err(status) => {
                tracing::debug!(
                    uid = self.uid,
                    error = rpc_error(&status),
                    "containerd does not tell of a pod"
                );
                self.is_blind = true;
                // When it comes back, all workers look; at first it may answer that it is not ready.
                self.life.look_retry.failed();
                self.look_at(self.life.look_retry.due.unwrap_or_else(Instant::now));
            }
        }
    }

    /// Reads what containers said that have ended; that may take its time.
    async fn read_messages(&mut self, seen: &Arc<Observed>) {
        let (pod, seen) = (self.view.pod.clone(), seen.clone());
        let known = std::mem::take(&mut self.life.messages);
        let read = tokio::task::spawn_blocking(move || termination::messages(&pod, &seen, known));
        self.life.messages = read.await.unwrap_or_default();
    }

    /// Asks again soon where containerd does not know yet that a container ended.
    fn doubt(&mut self) {
        let Some(seen) = self.seen.clone() else { return };
        let is_alive = |id: &String| {
            let ready = crate::cri::PodSandboxState::SandboxReady;
            seen.by_id(id).is_some_and(super::is_running)
                || seen.sandboxes.iter().any(|sandbox| sandbox.id == *id && sandbox.state() == ready)
        };
        self.exited.retain(is_alive);
        if self.exited.is_empty() {
            self.exited_backoff.reset();
        } else if self.exited_backoff.failures() > 20 {
            self.exited.clear();
        } else {
            let delay = self.exited_backoff.next_delay(&Ids::system());
            self.is_stale = true;
            self.look_in(delay);
        }
    }

    pub(super) fn look_in(&mut self, delay: Duration) {
        self.look_at(Instant::now() + delay);
    }

    pub(super) fn look_at(&mut self, at: Instant) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// Looks again at a moment of the wall clock.
    pub(super) fn look_when(&mut self, at: Time) {
        self.look_in(at.since(self.parts.now()) + Duration::from_millis(1));
    }

    /// Waits for news, and takes note of all there are.
    async fn wait(&mut self) {
        let next = self.next;
        let timer = async move {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            message = self.inbox.recv() => if let Some(message) = message { self.hear(message) },
            Some(done) = self.jobs.join_next() => self.finished(done),
            () = timer => {}
        }
        while let Ok(message) = self.inbox.try_recv() {
            self.hear(message);
        }
        while let Some(done) = self.jobs.try_join_next() {
            self.finished(done);
        }
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Changed | Message::Probed => {}
            Message::Wake => self.retry_all(),
            Message::Look => self.is_stale = true,
            Message::Exited(id) => {
                self.exited.insert(id);
                self.exited_backoff.reset();
                self.is_stale = true;
            }
            Message::Waiting(name, None) => {
                self.life.waiting.remove(&name);
                self.is_stale = true;
            }
            Message::Waiting(name, Some(wait)) => drop(self.life.waiting.insert(name, wait)),
            Message::Hooked(id, true) => drop(self.life.hooked.insert(id)),
            Message::Hooked(id, false) => {
                self.life.hooked.remove(&id);
                self.is_stale = true;
            }
            Message::Evict(why, grace) => {
                if self.life.stage == Stage::Live && self.life.evicted.is_none() {
                    self.disrupt(&why);
                    self.life.evicted = Some(why);
                    self.life.asked_grace = Some(grace);
                }
            }
        }
    }

    fn finished(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(done) => self.note(done),
            // A stop that another with less grace replaced.
            Err(error) if error.is_cancelled() => {}
            Err(error) => {
                tracing::error!(uid = self.uid, %error, "work on a pod broke off");
                self.start_over();
            }
        }
    }

    /// Lets go of all that is under way; a moment later what is still to be done begins again.
    fn start_over(&mut self) {
        self.jobs = JoinSet::new();
        self.under_way = UnderWay::default();
        self.is_stale = true;
        let life = &mut self.life;
        life.starting.clear();
        for retry in [&mut life.set_up_retry, &mut life.stop_retry, &mut life.post_retry, &mut life.end_retry]
        {
            retry.failed();
        }
    }

    fn note(&mut self, done: Done) {
        match done {
            Done::Advanced(advanced) => self.advanced(&advanced),
            Done::Stopped(id, result) => {
                self.under_way.stops.remove(&id);
                self.is_stale = true;
                if result.is_ok() {
                    self.life.buried.insert(id);
                }
                self.stopped(result);
            }
            Done::SandboxesStopped(result) => {
                self.under_way.sandboxes = false;
                self.is_stale = true;
                let result = result.map(|ids| self.life.stopped.extend(ids));
                self.stopped(result);
            }
            Done::Posted(result) => {
                self.under_way.post = false;
                self.posted(result);
            }
            Done::TornDown(result) => {
                self.under_way.tear_down = false;
                self.life.is_torn_down = self.ended(result);
            }
            Done::Deleted(result) => {
                self.under_way.deletion = false;
                let is_done = |error: &client::Error| error.is_not_found() || error.is_conflict();
                let result =
                    result.or_else(|error| if is_done(&error) { Ok(()) } else { Err(error.to_string()) });
                self.life.is_deleted = self.ended(result);
            }
            Done::Removed(result) => {
                self.under_way.removal = false;
                if self.ended(result) {
                    self.seen = None;
                }
                self.is_stale = true;
            }
        }
    }

    fn advanced(&mut self, advanced: &Advanced) {
        self.under_way.advance = None;
        self.is_stale = true;
        let now = self.parts.now();
        if advanced.is_not_set_up || advanced.has_no_sandbox {
            self.life.set_up_retry.failed();
            self.life.is_to_set_up |= advanced.is_not_set_up;
        } else {
            self.life.set_up_retry.done();
        }
        for (name, started) in &advanced.tried {
            self.start_tried(name, *started, now);
        }
        self.life.starting.clear();
        for (id, name, failed) in &advanced.resized {
            self.resized(&advanced.pod, id, name, failed.as_deref());
        }
    }

    fn stopped(&mut self, result: Result<(), tonic::Status>) {
        match result {
            Ok(()) => self.life.stop_retry.done(),
            Err(status) => {
                let message = format!("error killing pod: {}", rpc_error(&status));
                self.parts.say(&self.view.pod, "Warning", "FailedKillPod", &message);
                self.life.stop_retry.failed();
            }
        }
    }

    /// Whether a step of the end succeeded; otherwise it is tried again later.
    fn ended(&mut self, result: Result<(), String>) -> bool {
        match &result {
            Ok(()) => self.life.end_retry.done(),
            Err(why) => {
                tracing::warn!(uid = self.uid, why, "a pod cannot be cleaned up yet");
                self.life.end_retry.failed();
            }
        }
        result.is_ok()
    }

    pub(super) fn advance(&mut self, steps: Vec<Action>) {
        let (Some(seen), Some(inbox)) = (self.seen.clone(), self.parts.pods.inbox(&self.uid)) else { return };
        for step in &steps {
            if let Action::Start { name, .. } = step
                && let Some(ended) = plan::ended(&seen, &self.life.restarting, name)
            {
                self.life.starting.insert(name.clone(), ended);
            }
        }
        let cancel = CancellationToken::new();
        let advance = Advance {
            parts: self.parts.clone(),
            pod: self.view.pod.clone(),
            seen,
            inbox,
            cancel: cancel.clone(),
            steps,
        };
        self.under_way.advance = Some(cancel);
        self.life.is_to_set_up = false;
        self.jobs.spawn(async move { Done::Advanced(advance.run().await) });
    }
}
