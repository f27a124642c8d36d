//! The loop's own rules, without a server: what is written goes nowhere.

use super::*;
use api::tree;

struct Trial(Scheduler);

impl Trial {
    /// Nodes `n` and `m`, each with the CPU of one pod.
    fn new() -> Self {
        let (sender, _) = unbounded_channel();
        let client = Client::new(Arc::new(|| tokio::io::duplex(64).0), "test");
        let settings =
            Settings { clock: Clock::system(), ids: Ids::seeded(1), configuration: Configuration::default() };
        let informers = Informers::new(client.clone());
        let mut trial = Trial(Scheduler::new(client, &informers, settings, sender));
        for name in ["n", "m"] {
            let room = tree!({"cpu": "1", "pods": "9"});
            let node = tree!({"metadata": {"name": name}, "status": {"allocatable": (room)}});
            trial.0.take(Event::Node(None, Some(Arc::new(node))));
        }
        trial
    }

    fn take(&mut self, old: Option<Value>, new: Option<Value>) {
        self.0.take(Event::Pod(old.map(Arc::new), new.map(Arc::new)));
    }

    fn come(&mut self, pod: Value) {
        self.take(None, Some(pod));
    }

    /// Decides until nothing is to be tried.
    fn run(&mut self) {
        while let Some(waiting) = self.0.queue.pop(Instant::now()) {
            self.0.schedule(&waiting);
        }
    }

    fn node_of(&self, uid: &str) -> String {
        let nodes = self.0.cache.snapshot.nodes();
        let of = nodes.filter(|node| node.pods.iter().any(|pod| *pod.uid == *uid)).map(|node| &node.name);
        of.map(|name| name.to_string()).collect()
    }
}

fn pod(name: &str, priority: i64, nominated: &str, node: &str) -> Value {
    tree!({"metadata": {"name": name, "namespace": "a", "uid": name},
        "spec": {"priority": priority, "schedulerName": "default-scheduler", "nodeName": node,
            "containers": [{"resources": {"requests": {"cpu": "1"}}}]},
        "status": {"nominatedNodeName": nominated}})
}

/// `n` is taken, room on `m` is kept for `first`, which is being decided on, and `late` found none.
fn crowd() -> Trial {
    let mut trial = Trial::new();
    trial.come(pod("there", 9, "", "n"));
    trial.come(pod("first", 5, "m", ""));
    trial.0.queue.pop(Instant::now()).unwrap();
    trial.come(pod("late", 0, "", ""));
    trial.run();
    assert_eq!(trial.node_of("late"), "");
    trial
}

#[tokio::test(start_paused = true)]
async fn room_that_was_kept_is_free_once_the_pod_is_on_another_node() {
    let mut elsewhere = crowd();
    elsewhere.take(Some(pod("first", 5, "m", "")), Some(pod("first", 5, "m", "n")));
    elsewhere.run();
    assert_eq!(elsewhere.node_of("late"), "m");

    let mut own = crowd();
    let first = own.0.queue.get("first").unwrap().pod.clone();
    let node = own.0.cache.snapshot.node("n").unwrap().clone();
    own.0.bind(&first, node, &Profile::default());
    own.run();
    assert_eq!(own.node_of("late"), "m");
}

#[tokio::test(start_paused = true)]
async fn room_is_free_when_the_server_says_that_it_is_not_kept_and_not_when_it_is_silent() {
    let mut told = crowd();
    told.take(Some(pod("first", 5, "m", "")), Some(pod("first", 5, "", "")));
    told.run();
    assert_eq!(told.node_of("late"), "m");

    let mut silent = crowd();
    silent.take(Some(pod("first", 5, "", "")), Some(pod("first", 5, "", "")));
    silent.run();
    assert_eq!(silent.node_of("late"), "");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_must_give_up_its_room_is_tried_again() {
    let mut trial = Trial::new();
    trial.come(pod("there", 9, "", "n"));
    trial.come(pod("victim", 0, "", "m"));
    trial.come(pod("lesser", 1, "", ""));
    trial.run();
    assert_eq!(*trial.0.queue.get("lesser").unwrap().pod.nominated_node, *"m");
    trial.come(pod("greater", 5, "", ""));
    let greater = trial.0.queue.pop(Instant::now()).unwrap();
    trial.0.schedule(&greater);
    assert_eq!(*trial.0.queue.get("greater").unwrap().pod.nominated_node, *"m");
    assert_eq!(*trial.0.queue.pop(Instant::now()).unwrap().pod.uid, *"lesser");
}
