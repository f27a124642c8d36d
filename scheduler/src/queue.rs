//! Pods that wait for a node: those to be tried now, by priority and then by age; those that failed and wait some
//! seconds; and those that fit nowhere until something changes (or some minutes have passed).

use crate::change::Change;
use crate::configuration::Configuration;
use crate::pod::Pod;
use api::Str;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a pod waits for a change that may help before it is tried without one.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// The most important first, then the one that waits longest.
type Rank = (Reverse<i32>, Instant, u64);

/// A pod that waits.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub pod: Arc<Pod>,
    /// How often it was tried.
    attempts: u32,
    /// What it was last told.
    pub told: String,
    /// The plugins that turned it down.
    plugins: Vec<&'static str>,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Active(Rank),
    /// To be tried at this time.
    Backoff(Instant, u64),
    /// Something went wrong; to be tried at this time and not before.
    Failed(Instant, u64),
    /// Fits nowhere, since this time; tried last at it.
    Unschedulable(Instant, u64),
    /// Not to be scheduled yet.
    Gated,
    /// Being decided on, or on its way to its node.
    InFlight,
}

/// See the head of the file.
#[derive(Default)]
pub struct Queue {
    configuration: Arc<Configuration>,
    pods: HashMap<Str, Waiting>,
    active: BTreeMap<Rank, Str>,
    backoff: BTreeMap<(Instant, u64), Str>,
    failed: BTreeMap<(Instant, u64), Str>,
    /// Those that fit nowhere, by the time since when.
    parked: BTreeMap<(Instant, u64), Str>,
    /// The same by the plugins that turned them down; without a name where none did.
    parked_by: HashMap<&'static str, BTreeMap<(Instant, u64), Str>>,
    next: u64,
}

impl Queue {
    pub fn new(configuration: Arc<Configuration>) -> Self {
        Queue { configuration, ..Queue::default() }
    }

    /// A pod without a node is there, or was changed.
    pub fn put(&mut self, pod: Arc<Pod>, told: &str, now: Instant) {
        let uid = pod.uid.clone();
        let profile = self.configuration.profile(&pod.scheduler);
        let gated = !pod.gates.is_empty() && profile.is_none_or(|profile| profile.has_gates);
        let Some(waiting) = self.pods.get_mut(&uid) else {
            let place = Place::Gated;
            let waiting = Waiting { pod, attempts: 0, told: told.to_owned(), plugins: Vec::new(), place };
            self.pods.insert(uid.clone(), waiting);
            if !gated {
                self.activate(&uid, now);
            }
            return;
        };
        let before = std::mem::replace(&mut waiting.pod, pod);
        match waiting.place {
            Place::Gated if !gated => self.activate(&uid, now),
            Place::Unschedulable(..) if is_news(&before, &waiting.pod) => self.retry(&uid, now),
            Place::Active(_) if before.priority != waiting.pod.priority => self.activate(&uid, now),
            _ => {}
        }
    }

    /// A pod has a node, or is gone.
    pub fn remove(&mut self, uid: &str) -> Option<Waiting> {
        self.leave(uid);
        self.pods.remove(uid)
    }

    pub fn get(&self, uid: &str) -> Option<&Waiting> {
        self.pods.get(uid)
    }

    /// The pod to be decided on now. When none is due, one that waits out a failure comes early.
    pub fn pop(&mut self, now: Instant) -> Option<Waiting> {
        self.wake(now);
        let uid = match self.active.pop_first() {
            Some((_, uid)) => uid,
            None => self.backoff.pop_first()?.1,
        };
        let waiting = self.pods.get_mut(&uid)?;
        waiting.place = Place::InFlight;
        waiting.attempts += 1;
        Some(waiting.clone())
    }

    /// When there is something to do although nothing happens.
    pub fn next_wake(&self) -> Option<Instant> {
        let failed = self.failed.first_key_value().map(|((at, _), _)| *at);
        let parked = self.parked.first_key_value().map(|((since, _), _)| *since + LONGEST_WAIT);
        failed.into_iter().chain(parked).min()
    }

    /// Tries those whose time has come: after a failure, or after a long wait for a change that may help.
    pub fn wake(&mut self, now: Instant) {
        let due = |map: &BTreeMap<(Instant, u64), Str>, patience: Duration| -> Vec<Str> {
            map.iter().take_while(|((at, _), _)| *at + patience <= now).map(|(_, uid)| uid.clone()).collect()
        };
        let mut all = due(&self.backoff, Duration::ZERO);
        all.extend(due(&self.failed, Duration::ZERO));
        all.extend(due(&self.parked, LONGEST_WAIT));
        all.iter().for_each(|uid| self.activate(uid, now));
    }

    /// Room is being made for a pod on a node.
    pub fn nominate(&mut self, uid: &str, node: &Str) {
        if let Some(waiting) = self.pods.get_mut(uid) {
            Arc::make_mut(&mut waiting.pod).nominated_node = node.clone();
        }
    }

    /// A pod fits nowhere.
    pub fn park(&mut self, uid: &str, told: &str, plugins: Vec<&'static str>, now: Instant) {
        self.leave(uid);
        self.next += 1;
        let place = (now, self.next);
        let Some((uid, _)) = self.pods.get_key_value(uid) else { return };
        self.parked.insert(place, uid.clone());
        for plugin in named(&plugins) {
            self.parked_by.entry(plugin).or_default().insert(place, uid.clone());
        }
        let uid = uid.clone();
        if let Some(waiting) = self.pods.get_mut(&uid) {
            told.clone_into(&mut waiting.told);
            waiting.plugins = plugins;
            waiting.place = Place::Unschedulable(place.0, place.1);
        }
    }

    /// Something went wrong on a pod's way to its node: it is tried again after a while, and not before.
    pub fn fail(&mut self, uid: &str, told: &str, now: Instant) {
        self.leave(uid);
        self.next += 1;
        let Some((uid, waiting)) = self.pods.get_key_value(uid) else { return };
        let place = (now + self.backoff(waiting.attempts), self.next);
        let uid = uid.clone();
        self.failed.insert(place, uid.clone());
        if let Some(waiting) = self.pods.get_mut(&uid) {
            told.clone_into(&mut waiting.told);
            waiting.place = Place::Failed(place.0, place.1);
        }
    }

    /// Something happened: pods that may fare better now are tried again.
    pub fn tell(&mut self, change: &Change, now: Instant) {
        let mut woken = BTreeMap::new();
        for (plugin, pods) in self.parked_by.iter().filter(|(plugin, _)| change.concerns(plugin)) {
            let helped = pods.iter().filter(|(_, uid)| self.is_helped(uid, plugin, change));
            woken.extend(helped.map(|(place, uid)| (*place, uid.clone())));
        }
        woken.values().for_each(|uid| self.retry(uid, now));
    }

    fn is_helped(&self, uid: &str, plugin: &str, change: &Change) -> bool {
        let Some(waiting) = self.pods.get(uid) else { return false };
        let Some(profile) = self.configuration.profile(&waiting.pod.scheduler) else { return true };
        plugin.is_empty() || profile.plugin(plugin).is_some_and(|p| p.may_help(&waiting.pod, change))
    }

    /// At once, or when the time after the last failure is over.
    fn retry(&mut self, uid: &str, now: Instant) {
        let Some(waiting) = self.pods.get(uid) else { return };
        match waiting.place {
            Place::Unschedulable(since, _) if since + self.backoff(waiting.attempts) > now => {
                self.back_off(uid, since)
            }
            _ => self.activate(uid, now),
        }
    }

    fn back_off(&mut self, uid: &str, since: Instant) {
        self.leave(uid);
        self.next += 1;
        if let Some((uid, waiting)) = self.pods.get_key_value(uid).map(|(uid, w)| (uid.clone(), w.attempts)) {
            let key = (since + self.backoff(waiting), self.next);
            self.backoff.insert(key, uid.clone());
            self.set(&uid, Place::Backoff(key.0, key.1));
        }
    }

    fn activate(&mut self, uid: &str, now: Instant) {
        self.leave(uid);
        self.next += 1;
        let Some((uid, waiting)) = self.pods.get_key_value(uid) else { return };
        let rank = (Reverse(waiting.pod.priority), now, self.next);
        let uid = uid.clone();
        self.active.insert(rank, uid.clone());
        self.set(&uid, Place::Active(rank));
    }

    /// Doubles with every attempt.
    fn backoff(&self, attempts: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        self.configuration.first_backoff.saturating_mul(factor).min(self.configuration.longest_backoff)
    }

    fn set(&mut self, uid: &str, place: Place) {
        if let Some(waiting) = self.pods.get_mut(uid) {
            waiting.place = place;
        }
    }

    fn leave(&mut self, uid: &str) {
        match self.pods.get(uid).map(|waiting| waiting.place) {
            Some(Place::Active(rank)) => drop(self.active.remove(&rank)),
            Some(Place::Backoff(at, number)) => drop(self.backoff.remove(&(at, number))),
            Some(Place::Failed(at, number)) => drop(self.failed.remove(&(at, number))),
            Some(Place::Unschedulable(since, number)) => self.unpark(uid, (since, number)),
            _ => {}
        }
    }

    fn unpark(&mut self, uid: &str, place: (Instant, u64)) {
        self.parked.remove(&place);
        for plugin in self.pods.get(uid).into_iter().flat_map(|waiting| named(&waiting.plugins)) {
            if let Some(pods) = self.parked_by.get_mut(plugin) {
                pods.remove(&place);
            }
        }
    }
}

/// The plugins that turned a pod down; one without a name where there are none.
fn named(plugins: &[&'static str]) -> impl Iterator<Item = &'static str> {
    plugins.iter().copied().chain(plugins.is_empty().then_some(""))
}

/// Whether a change of the pod itself may help it.
fn is_news(old: &Pod, new: &Pod) -> bool {
    old.labels != new.labels
        || old.requests != new.requests
        || old.tolerations != new.tolerations
        || old.node_selector != new.node_selector
        || old.node_terms != new.node_terms
        || old.priority != new.priority
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StorageChange;
    use api::tree;

    fn pod(uid: &str, priority: i64) -> Arc<Pod> {
        Arc::new(Pod::of(
            &tree!({"metadata": {"name": uid, "uid": uid}, "spec": {"priority": priority, "schedulerName": "default-scheduler"}}),
        ))
    }

    fn names(queue: &mut Queue, now: Instant) -> Vec<Str> {
        std::iter::from_fn(|| queue.pop(now).map(|w| w.pod.uid.clone())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_most_important_comes_first_then_the_oldest() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for (uid, priority) in [("a", 0), ("b", 5), ("c", 0), ("d", 5)] {
            queue.put(pod(uid, priority), "", now);
        }
        queue.remove("d");
        assert_eq!(names(&mut queue, now), ["b", "a", "c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_fits_nowhere_waits_for_a_change_or_for_minutes() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.put(pod("a", 0), "", now);
        queue.pop(now).unwrap();
        queue.park("a", "no room", vec!["NodeResourcesFit"], now);
        assert!(queue.pop(now).is_none());
        queue.tell(&Change::Storage(StorageChange::Driver), now);
        assert!(queue.pop(now).is_none());
        queue.tell(&Change::PodGone(pod("x", 0)), now);
        assert_eq!(names(&mut queue, now), ["a"]);
        queue.park("a", "no room", vec!["NodeResourcesFit"], now);
        assert_eq!(queue.next_wake(), Some(now + LONGEST_WAIT));
        assert_eq!(names(&mut queue, now + LONGEST_WAIT), ["a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_wakes_those_that_it_may_help_once_and_in_their_order() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let later = now + Duration::from_secs(30);
        for (uid, plugins) in
            [("a", vec!["NodeResourcesFit", "NodePorts"]), ("b", Vec::new()), ("c", vec!["NodeResourcesFit"])]
        {
            queue.put(pod(uid, 0), "", now);
            queue.pop(now).unwrap();
            queue.park(uid, "no room", plugins, now);
        }
        queue.tell(&Change::PodPlaced(pod("x", 0)), later);
        assert_eq!(names(&mut queue, later), ["b"]);
        queue.tell(&Change::PodGone(pod("x", 0)), later);
        assert_eq!(names(&mut queue, later), ["a", "c"]);
        assert!(queue.parked.is_empty() && queue.parked_by.values().all(BTreeMap::is_empty));
    }

    #[test]
    fn plugins_that_a_change_does_not_concern_see_no_help_in_it() {
        let pod = pod("a", 0);
        let change = Change::PodPlaced(pod.clone());
        for plugin in crate::plugins::all(crate::plugins::Args::default()) {
            assert!(change.concerns(plugin.name()) || !plugin.may_help(&pod, &change), "{}", plugin.name());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_not_tried_again_at_once_but_a_backoff_may_be_cut_short() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.put(pod("a", 0), "", now);
        queue.pop(now).unwrap();
        queue.fail("a", "no server", now);
        assert!(queue.pop(now).is_none());
        assert_eq!(queue.next_wake(), Some(now + Duration::from_secs(1)));
        assert_eq!(names(&mut queue, now + Duration::from_secs(1)), ["a"]);
        queue.park("a", "no room", Vec::new(), now);
        queue.tell(&Change::Own, now);
        assert_eq!(names(&mut queue, now), ["a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn gates_hold_a_pod_back() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let gated = tree!({"metadata": {"uid": "a"}, "spec": {"schedulingGates": [{"name": "g"}]}});
        queue.put(Arc::new(Pod::of(&gated)), "", now);
        assert!(queue.pop(now).is_none());
        queue.put(pod("a", 0), "", now);
        assert_eq!(names(&mut queue, now), ["a"]);
    }
}
