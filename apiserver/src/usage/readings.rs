//! The readings of nodes. Each node is asked once at a time, however many wait for it, by a task that outlives them. One
//! that does not tell is let alone for a while like one that does: what it told before holds on until it is too old.

use super::metrics_text::Reading;
use crate::call::Call;
use api::Value;
use futures::future::join_all;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Time};
use tokio::sync::watch;

/// How long an answer of a kubelet holds: metrics-server's interval.
const FRESH: Duration = Duration::from_secs(15);
/// An earlier reading is good for a rate when it is younger than this.
const COMPARABLE: Duration = Duration::from_secs(90);
/// The time between two readings where there was none before.
const MOMENT: Duration = Duration::from_secs(1);
/// How long one waits for a node, and for one that did not tell the last time.
const PATIENCE: Duration = Duration::from_secs(15);
const LITTLE_PATIENCE: Duration = Duration::from_secs(2);

/// Two readings of a node, the earlier first.
#[derive(Clone)]
pub struct Pair {
    pub before: Arc<Reading>,
    pub last: Arc<Reading>,
}

/// What kubelets said.
#[derive(Clone, Default)]
pub struct Usage(Arc<Mutex<HashMap<String, Known>>>);

/// What is known of a node.
#[derive(Default)]
struct Known {
    pair: Option<Pair>,
    /// When it was last asked to the end, and whether it did not tell then.
    asked: Option<Time>,
    silent: bool,
    /// Closed when nobody asks it any more.
    asking: Option<watch::Receiver<()>>,
}

impl Known {
    fn is_being_asked(&self) -> bool {
        self.asking.as_ref().is_some_and(|asking| asking.has_changed().is_ok())
    }
}

impl Usage {
    /// The readings of nodes by name; without those that have not told of late. `read` asks the kubelet of a node.
    pub async fn pairs<R, F>(&self, nodes: Vec<&Value>, clock: &Clock, read: R) -> HashMap<String, Pair>
    where
        R: Fn(Arc<Value>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Option<Reading>> + Send,
    {
        let asked = nodes.into_iter().filter(|node| may_tell(node));
        let asked =
            asked.filter_map(|node| self.ask(node, clock, &read)).map(async |(mut asking, patience)| {
                let _ = tokio::time::timeout(patience, asking.changed()).await;
            });
        join_all(asked).await;
        let (mut known, now) = (self.0.lock(), clock.now());
        known.retain(|_, known| {
            known.pair.take_if(|pair| now.since(pair.last.taken) >= COMPARABLE);
            known.is_being_asked() || known.asked.is_some_and(|asked| now.since(asked) < COMPARABLE)
        });
        let is_rate = |pair: &&Pair| !Arc::ptr_eq(&pair.before, &pair.last);
        let rates =
            known.iter().filter_map(|(name, known)| Some((name, known.pair.as_ref().filter(is_rate)?)));
        rates.map(|(name, pair)| (name.clone(), pair.clone())).collect()
    }

    /// Has a node asked unless what it said is fresh; gives what to wait for, and how long.
    fn ask<R, F>(&self, node: &Value, clock: &Clock, read: &R) -> Option<(watch::Receiver<()>, Duration)>
    where
        R: Fn(Arc<Value>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Option<Reading>> + Send,
    {
        let mut all = self.0.lock();
        let known = all.entry(Call::name_of(node).to_owned()).or_default();
        let patience = if known.silent { LITTLE_PATIENCE } else { PATIENCE };
        if known.is_being_asked() {
            return Some((known.asking.clone()?, patience));
        }
        if known.asked.is_some_and(|asked| clock.now().since(asked) < FRESH) {
            return None;
        }
        let (done, asking) = watch::channel(());
        known.asking = Some(asking.clone());
        let (usage, node, clock, read) = (self.clone(), Arc::new(node.clone()), clock.clone(), read.clone());
        tokio::spawn(async move {
            let _done = done;
            let mut silent = true;
            if let Some(reading) = read(node.clone()).await {
                silent = false;
                if !usage.take(&node, reading) {
                    tokio::time::sleep(MOMENT).await;
                    silent = read(node.clone()).await.is_none_or(|reading| !usage.take(&node, reading));
                }
            }
            let mut all = usage.0.lock();
            let known = all.entry(Call::name_of(&node).to_owned()).or_default();
            (known.asked, known.silent) = (Some(clock.now()), silent);
        });
        Some((asking, patience))
    }

    /// Keeps a reading. False when there is no earlier one to compare it with.
    fn take(&self, node: &Value, reading: Reading) -> bool {
        let (mut all, last) = (self.0.lock(), Arc::new(reading));
        let known = all.entry(Call::name_of(node).to_owned()).or_default();
        let before = known.pair.as_ref().map(|pair| pair.last.clone());
        let before = before.filter(|before| last.taken.since(before.taken) < COMPARABLE);
        let compared = before.is_some();
        known.pair = Some(Pair { before: before.unwrap_or_else(|| last.clone()), last });
        compared
    }
}

/// A kubelet that serves says on which port; one that nobody has heard of for a while need not be tried.
fn may_tell(node: &Value) -> bool {
    let port = node.i64_at(&["status", "daemonEndpoints", "kubeletEndpoint", "Port"]);
    let conditions = node.list_at(&["status", "conditions"]);
    let mut ready = conditions.iter().filter(|condition| condition.str_at(&["type"]) == "Ready");
    port.is_some_and(|port| port > 0) && ready.all(|condition| condition.str_at(&["status"]) != "Unknown")
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::Instant;

    /// A node that says nothing for five seconds, or answers at once.
    struct Fake {
        usage: Usage,
        clock: Clock,
        asked: Arc<AtomicUsize>,
        silent: bool,
    }

    impl Fake {
        fn new() -> Self {
            let (usage, clock) = (Usage::default(), Clock::manual(Time::from_secs(1000)));
            Fake { usage, clock, asked: Arc::default(), silent: false }
        }

        async fn pairs(&self, node: &Value) -> HashMap<String, Pair> {
            let (asked, clock, silent) = (self.asked.clone(), self.clock.clone(), self.silent);
            let read = move |_| {
                let (asked, clock) = (asked.clone(), clock.clone());
                async move {
                    asked.fetch_add(1, Ordering::SeqCst);
                    if silent {
                        tokio::time::sleep(Duration::from_secs(5)).await;
                        return None;
                    }
                    Some(Reading { taken: clock.now(), ..Reading::default() })
                }
            };
            self.usage.pairs(vec![node], &self.clock, read).await
        }

        fn asked(&self) -> usize {
            self.asked.swap(0, Ordering::SeqCst)
        }
    }

    fn node(port: i64, ready: &str) -> Value {
        tree!({"metadata": {"name": "n"}, "status": {
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "conditions": [{"type": "Ready", "status": ready}]
        }})
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_want_the_same_ask_a_node_once() {
        let (fake, node) = (Fake::new(), node(10250, "True"));
        let (one, other) = tokio::join!(fake.pairs(&node), fake.pairs(&node));
        assert_eq!((one.len(), other.len(), fake.asked()), (1, 1, 2));
        fake.clock.advance(FRESH);
        assert_eq!((fake.pairs(&node).await.len(), fake.asked()), (1, 1));
        assert_eq!((fake.pairs(&node).await.len(), fake.asked()), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_does_not_tell_is_let_alone_and_holds_nobody_up() {
        let (mut fake, node) = (Fake::new(), node(10250, "True"));
        assert_eq!((fake.pairs(&node).await.len(), fake.asked()), (1, 2));
        fake.silent = true;
        fake.clock.advance(FRESH);
        assert_eq!((fake.pairs(&node).await.len(), fake.asked()), (1, 1), "the last readings hold on");
        let start = Instant::now();
        assert_eq!((fake.pairs(&node).await.len(), fake.asked()), (1, 0));
        assert_eq!(start.elapsed(), Duration::ZERO);
        fake.clock.advance(COMPARABLE - FRESH);
        assert_eq!((fake.pairs(&node).await.len(), fake.asked()), (0, 1));
        assert_eq!(start.elapsed(), LITTLE_PATIENCE, "who did not tell is not waited for again");
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_does_not_end_the_question() {
        let (fake, node) = (Fake::new(), node(10250, "True"));
        let left = tokio::time::timeout(Duration::from_millis(1), fake.pairs(&node)).await;
        assert!(left.is_err());
        assert_eq!((fake.pairs(&node).await.len(), fake.asked()), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_without_a_kubelet_are_never_asked() {
        let fake = Fake::new();
        for node in [node(0, "True"), node(10250, "Unknown"), tree!({"metadata": {"name": "n"}})] {
            assert!(fake.pairs(&node).await.is_empty());
        }
        assert_eq!(fake.asked(), 0);
    }
}
