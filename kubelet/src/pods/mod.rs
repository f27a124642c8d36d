//! The pods that the node is to run, from the API and from its own folder, and what is observed of each.
//!
//! Each pod has a worker; the registry hands it its messages. An entry stays until its worker has cleaned up, also when
//! its pod is gone.

mod feed;

pub use feed::{MIRROR, follow};

use crate::pod::{Observed, Wait, is_running, spec};
use api::Value;
use client::key_of;
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, watch};

/// Where a pod comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Api,
    /// A static pod: its mirror in the API carries its status.
    Folder,
}

/// What a worker is told.
#[derive(Debug)]
pub enum Message {
    /// The pod or its mirror is another, or gone.
    Changed,
    /// Something that the pod waited for may be there.
    Wake,
    /// A probe has an answer.
    Probed,
    /// A container or sandbox ended; its id.
    Exited(String),
    /// What containerd has is to be asked anew.
    Look,
    /// Why a container cannot be started, or that it could be.
    Waiting(String, Option<Wait>),
    /// Whether the hook after the start of the container with this id is under way.
    Hooked(String, bool),
    Evict(Wait, u64),
}

/// A worker to start.
pub struct Start {
    pub uid: String,
    pub inbox: UnboundedReceiver<Message>,
}

/// A pod as its worker sees it.
#[derive(Clone)]
pub struct View {
    pub pod: Arc<Value>,
    pub source: Source,
    /// It is not to run any more: gone from the API, or from the folder.
    pub is_gone: bool,
    /// The object in the API that carries the status of a static pod.
    pub mirror: Option<Arc<Value>>,
}

impl View {
    /// What the API says of a static pod. That it has ended may have been said of an earlier life of it, and is left
    /// out.
    pub(crate) fn said_of_static(&self) -> Option<Value> {
        let status = self.mirror.as_ref()?.get("status")?;
        if !spec::is_terminal(status.str_at(&["phase"])) {
            return Some(status.clone());
        }
        let mut left = Value::map();
        left.set(&["startTime"], status.get("startTime").cloned().unwrap_or_default());
        Some(left)
    }
}

/// The registry. Cheap to clone; clones share it.
#[derive(Clone, Default)]
pub struct Pods {
    shared: Arc<RwLock<State>>,
    starts: Option<UnboundedSender<Start>>,
    mirrors_changed: Arc<Notify>,
    heard: Arc<watch::Sender<Vec<Source>>>,
    /// Something else is observed of a pod.
    observed: Arc<watch::Sender<()>>,
}

#[derive(Default)]
struct State {
    by_uid: HashMap<String, Entry>,
    /// `NS/NAME` → uid of those that are not mirrors.
    by_name: HashMap<String, String>,
    /// `NS/NAME` → mirror.
    mirrors: HashMap<String, Arc<Value>>,
    /// Id of a container or sandbox → uid.
    owners: HashMap<String, String>,
    ended: BTreeMap<[String; 3], u64>,
}

struct Entry {
    pod: Arc<Value>,
    source: Source,
    is_gone: bool,
    observed: Option<Arc<Observed>>,
    status: Option<Arc<Value>>,
    inbox: UnboundedSender<Message>,
}

impl Pods {
    /// A registry, and the workers that it wants started.
    pub fn new() -> (Self, UnboundedReceiver<Start>) {
        let (starts, started) = mpsc::unbounded_channel();
        (Pods { starts: Some(starts), ..Pods::default() }, started)
    }

    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let state = self.shared.read();
        let uid = state.by_name.get(&format!("{namespace}/{name}"))?;
        state.by_uid.get(uid).map(|entry| entry.pod.clone())
    }

    pub fn by_uid(&self, uid: &str) -> Option<Arc<Value>> {
        let state = self.shared.read();
        state.by_uid.get(uid).filter(|entry| !entry.is_gone).map(|entry| entry.pod.clone())
    }

    /// All pods, static ones as they stand in the folder, without their mirrors.
    pub fn list(&self) -> Vec<Arc<Value>> {
        let state = self.shared.read();
        state.by_uid.values().filter(|entry| !entry.is_gone).map(|entry| entry.pod.clone()).collect()
    }

    /// Whether anything of a pod is still to be cleaned up, or more.
    pub fn has(&self, uid: &str) -> bool {
        self.shared.read().by_uid.contains_key(uid)
    }

    /// What containerd last told of a pod.
    pub fn observed(&self, uid: &str) -> Option<Arc<Observed>> {
        self.shared.read().by_uid.get(uid).and_then(|entry| entry.observed.clone())
    }

    /// Returns once a container of a pod does not run, as far as containerd has told.
    pub async fn ended(&self, uid: &str, id: &str) {
        let runs = |seen: Arc<Observed>| seen.by_id(id).is_some_and(is_running);
        let mut news = self.observed.subscribe();
        while self.observed(uid).is_some_and(runs) {
            // The sender lives as long as this does.
            let _ = news.changed().await;
        }
    }

    /// The pod's status as this kubelet says it, also before the API server has it.
    pub fn status(&self, uid: &str) -> Option<Arc<Value>> {
        self.shared.read().by_uid.get(uid).and_then(|entry| entry.status.clone())
    }

    /// All pods of a source have been put.
    pub fn heard_from(&self, source: Source) {
        self.heard.send_if_modified(|heard| {
            let is_news = !heard.contains(&source);
            if is_news {
                heard.push(source);
            }
            is_news
        });
    }

    /// Returns once all pods are known that this node is to run.
    pub async fn settled(&self) {
        // The sender lives as long as this does.
        let _ = self.heard.subscribe().wait_for(|heard| all(heard)).await;
    }

    /// Whether all pods are known that this node is to run.
    pub fn is_settled(&self) -> bool {
        all(&self.heard.borrow())
    }

    /// Has the pod's worker try at once what it would try again later: a volume or something else changed.
    pub fn wake(&self, uid: &str) {
        self.tell(uid, Message::Wake);
    }

    /// Has the pod's worker look at what its probes said.
    pub fn probed(&self, uid: &str) {
        self.tell(uid, Message::Probed);
    }

    /// Has the pod's worker decide anew.
    pub(crate) fn reconsider(&self, uid: &str) {
        self.tell(uid, Message::Changed);
    }

    fn tell(&self, uid: &str, message: Message) {
        if let Some(entry) = self.shared.read().by_uid.get(uid) {
            // A worker that has ended needs to know nothing.
            let _ = entry.inbox.send(message);
        }
    }

    /// Has all workers ask containerd.
    pub fn look(&self) {
        for entry in self.shared.read().by_uid.values() {
            let _ = entry.inbox.send(Message::Look);
        }
    }

    /// Adds a pod, or changes one.
    pub fn put(&self, source: Source, pod: Arc<Value>) {
        let uid = spec::uid(&pod).to_owned();
        let mut state = self.shared.write();
        state.by_name.insert(key_of(&pod), uid.clone());
        self.enter(&mut state, uid, pod, source, false);
    }

    /// A pod that only containerd still has; it is cleaned up.
    pub fn adopt(&self, pod: Arc<Value>) {
        let uid = spec::uid(&pod).to_owned();
        let mut state = self.shared.write();
        if !state.by_uid.contains_key(&uid) {
            self.enter(&mut state, uid, pod, Source::Api, true);
        }
    }

    fn enter(&self, state: &mut State, uid: String, pod: Arc<Value>, source: Source, is_gone: bool) {
        if let Some(entry) = state.by_uid.get_mut(&uid) {
            // The answer to a write may have come before the news of an earlier one.
            if version(&entry.pod) <= version(&pod) {
                entry.pod = pod;
            }
            entry.is_gone = is_gone;
            let _ = entry.inbox.send(Message::Changed);
            return;
        }
        let (inbox, receiver) = mpsc::unbounded_channel();
        let entry = Entry { pod, source, is_gone, observed: None, status: None, inbox };
        state.by_uid.insert(uid.clone(), entry);
        if let Some(starts) = &self.starts {
            let _ = starts.send(Start { uid, inbox: receiver });
        }
    }

    /// A new start for a pod whose worker broke off; nothing when the pod is gone.
    pub(crate) fn start_again(&self, uid: &str) -> Option<Start> {
        let mut state = self.shared.write();
        let entry = state.by_uid.get_mut(uid)?;
        let (inbox, receiver) = mpsc::unbounded_channel();
        entry.inbox = inbox;
        Some(Start { uid: uid.to_owned(), inbox: receiver })
    }

    /// What the API server answered to a write, unless something newer is known.
    pub fn renew(&self, pod: &Arc<Value>) {
        let mut state = self.shared.write();
        let mirror = state.mirrors.get_mut(&key_of(pod));
        let known = match mirror {
            Some(mirror) => Some(mirror),
            None => state.by_uid.get_mut(spec::uid(pod)).map(|entry| &mut entry.pod),
        };
        if let Some(known) =
            known.filter(|known| spec::uid(known) == spec::uid(pod) && version(known) < version(pod))
        {
            known.clone_from(pod);
        }
    }

    /// Takes a pod away; its containers are stopped with their grace.
    pub fn remove(&self, uid: &str) {
        let mut state = self.shared.write();
        let Some(entry) = state.by_uid.get_mut(uid) else { return };
        entry.is_gone = true;
        let name = key_of(&entry.pod);
        let _ = entry.inbox.send(Message::Changed);
        if state.by_name.get(&name).is_some_and(|of| of == uid) {
            state.by_name.remove(&name);
        }
    }

    /// The mirror in the API of a static pod.
    pub fn mirror(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.shared.read().mirrors.get(&format!("{namespace}/{name}")).cloned()
    }

    /// The mirrors of this node.
    pub fn mirrors(&self) -> Vec<Arc<Value>> {
        self.shared.read().mirrors.values().cloned().collect()
    }

    /// Returns after a mirror came, changed or went.
    pub async fn mirrors_changed(&self) {
        self.mirrors_changed.notified().await;
    }

    fn set_mirror(&self, name: String, mirror: Option<Arc<Value>>) {
        let mut state = self.shared.write();
        let uid = state.by_name.get(&name).cloned();
        match mirror {
            Some(mirror) => drop(state.mirrors.insert(name, mirror)),
            None => drop(state.mirrors.remove(&name)),
        }
        self.mirrors_changed.notify_one();
        if let Some(entry) = uid.and_then(|uid| state.by_uid.get(&uid)) {
            let _ = entry.inbox.send(Message::Changed);
        }
    }

    /// Ends a pod for the node's sake: its containers are killed within `grace_seconds`, its phase becomes Failed with
    /// `reason` and `message`, and it gets the condition DisruptionTarget (reason TerminationByKubelet).
    pub fn evict(&self, uid: &str, reason: &str, message: &str, grace_seconds: u64) {
        self.tell(uid, Message::Evict(Wait::new(reason, message), grace_seconds));
    }

    /// A container or sandbox ended. False when nobody knows whose it is.
    pub fn exited(&self, id: &str) -> bool {
        let state = self.shared.read();
        let Some(entry) = state.owners.get(id).and_then(|uid| state.by_uid.get(uid)) else { return false };
        let _ = entry.inbox.send(Message::Exited(id.to_owned()));
        true
    }

    /// As `exited`, for a pod that is known.
    pub fn exited_of(&self, uid: &str, id: &str) {
        self.tell(uid, Message::Exited(id.to_owned()));
    }

    pub(crate) fn view(&self, uid: &str) -> Option<View> {
        let state = self.shared.read();
        let entry = state.by_uid.get(uid)?;
        // That of a manifest as it was before says nothing about this pod.
        let is_own = |mirror: &&Arc<Value>| {
            let of = |pod: &Value, name: &str| pod.str_at(&["metadata", "annotations", name]).to_owned();
            let own = of(&entry.pod, "kubernetes.io/config.hash");
            own.is_empty() || own == of(mirror, MIRROR)
        };
        let mirror = (entry.source == Source::Folder)
            .then(|| state.mirrors.get(&key_of(&entry.pod)).filter(is_own).cloned());
        Some(View {
            pod: entry.pod.clone(),
            source: entry.source,
            is_gone: entry.is_gone,
            mirror: mirror.flatten(),
        })
    }

    /// For a worker to tell itself.
    pub(crate) fn inbox(&self, uid: &str) -> Option<UnboundedSender<Message>> {
        self.shared.read().by_uid.get(uid).map(|entry| entry.inbox.clone())
    }

    pub(crate) fn set_owner(&self, id: &str, uid: &str) {
        self.shared.write().owners.insert(id.to_owned(), uid.to_owned());
    }

    pub(crate) fn set_observed(&self, uid: &str, observed: &Arc<Observed>) {
        let mut state = self.shared.write();
        let State { by_uid, owners, .. } = &mut *state;
        let Some(entry) = by_uid.get_mut(uid) else { return };
        let before = entry.observed.replace(observed.clone());
        // What was never observed may be being made just now.
        for id in before.iter().flat_map(|before| ids(before)) {
            owners.remove(id);
        }
        owners.extend(ids(observed).map(|id| (id.clone(), uid.to_owned())));
        drop(state);
        self.observed.send_replace(());
    }

    /// What ended since the status before is counted.
    pub(crate) fn set_status(&self, uid: &str, status: &Arc<Value>) {
        let state = &mut *self.shared.write();
        let Some(entry) = state.by_uid.get_mut(uid) else { return };
        let old = entry.status.replace(status.clone());
        let old = old.as_deref().or_else(|| entry.pod.get("status"));
        for ended in crate::pod::status::newly_ended(old.unwrap_or(&Value::Null), status) {
            *state.ended.entry(ended).or_default() += 1;
        }
    }

    /// How many containers have ended: by type, exit code and reason.
    pub fn terminations(&self) -> BTreeMap<[String; 3], u64> {
        self.shared.read().ended.clone()
    }

    /// The pod is gone and cleaned up. False when it is to run again by now.
    pub(crate) fn finish(&self, uid: &str) -> bool {
        let mut state = self.shared.write();
        let is_over = state.by_uid.get(uid).is_none_or(|entry| entry.is_gone);
        if is_over {
            state.by_uid.remove(uid);
            state.owners.retain(|_, of| of != uid);
            self.observed.send_replace(());
        }
        is_over
    }
}

/// Whether all sources are there.
fn all(heard: &[Source]) -> bool {
    [Source::Api, Source::Folder].iter().all(|source| heard.contains(source))
}

/// Of containers and sandboxes.
fn ids(observed: &Observed) -> impl Iterator<Item = &String> {
    let sandboxes = observed.sandboxes.iter().map(|sandbox| &sandbox.id);
    observed.containers.iter().map(|container| &container.id).chain(sandboxes)
}

/// The resource version as a number; 0 of static pods.
fn version(pod: &Value) -> u64 {
    pod.str_at(&["metadata", "resourceVersion"]).parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::fixture::{RUNNING, seen};
    use api::tree;

    #[test]
    fn a_mirror_does_not_end_the_pod_that_it_shows() {
        let said = |phase: &str| {
            let mirror = tree!({"status": {"phase": phase, "startTime": "then", "podIP": "10.0.0.1"}});
            let (pod, mirror) = (Arc::default(), Some(Arc::new(mirror)));
            View { pod, source: Source::Folder, is_gone: false, mirror }.said_of_static().unwrap()
        };
        assert_eq!(said("Running").str_at(&["podIP"]), "10.0.0.1");
        assert_eq!(said("Failed"), tree!({"startTime": "then"}));
    }

    #[tokio::test]
    async fn one_is_told_when_a_container_has_ended() {
        use futures::FutureExt;
        let (pods, _starts) = Pods::new();
        pods.put(Source::Api, Arc::new(tree!({"metadata": {"uid": "u"}})));
        let observe = |states: &[_]| pods.set_observed("u", &Arc::new(seen(states)));
        observe(&[("a", RUNNING), ("b", RUNNING)]);
        let (mut a, mut b) = (Box::pin(pods.ended("u", "a0")), Box::pin(pods.ended("u", "b0")));
        assert!((&mut a).now_or_never().is_none() && (&mut b).now_or_never().is_none());
        observe(&[("b", RUNNING)]);
        assert!((&mut a).now_or_never().is_some() && (&mut b).now_or_never().is_none());
        pods.remove("u");
        assert!((&mut b).now_or_never().is_none() && pods.finish("u"));
        b.await;
        pods.ended("u", "unknown").await;
    }

    #[test]
    fn what_a_pod_no_longer_has_is_forgotten_and_what_is_being_made_is_not() {
        let (pods, _starts) = Pods::new();
        pods.put(Source::Api, Arc::new(tree!({"metadata": {"uid": "u"}})));
        pods.set_owner("made", "u");
        pods.set_observed("u", &Arc::new(seen(&[("a", RUNNING), ("b", RUNNING)])));
        let known = |id: &str| pods.exited(id);
        assert!(known("a0") && known("b0") && known("s0") && known("made"));
        pods.set_observed("u", &Arc::new(seen(&[("b", RUNNING)])));
        assert!(!known("a0") && known("b0") && known("s0") && known("made"));
        pods.remove("u");
        assert!(pods.finish("u") && !known("b0"));
        pods.set_observed("u", &Arc::new(seen(&[("b", RUNNING)])));
        assert!(!known("b0"), "nobody is there to be told");
    }
}
