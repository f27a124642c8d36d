//! When probes ask, by a clock that stands still, and how results come and go.

use super::ask::Ask;
use super::judge::Kind;
use super::results::{Results, Table, mark};
use super::turn::{Seen, Turns};
use api::{Value, tree};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Time};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// Answers as it is told, and remembers when it was asked for what: `KIND CONTAINER-ID SECONDS`.
struct Script {
    start: Instant,
    asked: Mutex<Vec<String>>,
    answer: Box<dyn Fn(u64) -> bool + Send + Sync>,
}

impl Ask for Script {
    async fn ask(&self, kind: Kind, _: &Seen, _: &str, id: &str) -> Option<bool> {
        let at = self.start.elapsed().as_secs();
        self.asked.lock().push(format!("{} {id} {at}", kind.name()));
        Some((self.answer)(at))
    }
}

/// Probes of the only container of a pod, on a kubelet that started long ago.
struct Stage {
    script: Arc<Script>,
    table: Arc<Table>,
    clock: Clock,
    told: Arc<Mutex<u32>>,
    pod: Value,
    seen: watch::Sender<Arc<Seen>>,
}

const EPOCH: Time = Time { secs: 1_800_000_000, nanos: 0 };

impl Stage {
    fn new(container: Value, answer: impl Fn(u64) -> bool + Send + Sync + 'static) -> Self {
        let start = Instant::now();
        let mut container = container;
        container.set(&["name"], "c");
        let pod = tree!({
            "metadata": {"uid": "u", "name": "p", "namespace": "ns"},
            "spec": {"restartPolicy": "Always", "containers": [container]},
        });
        let told = Arc::new(Mutex::new(0));
        let count = told.clone();
        let seen = Seen { pod: Arc::new(pod.clone()), status: Arc::new(Value::map()) };
        Stage {
            script: Arc::new(Script { start, asked: Mutex::default(), answer: Box::new(answer) }),
            table: Arc::new(Table::new(move |_| *count.lock() += 1)),
            clock: Clock::following(move || EPOCH.plus(start.elapsed())),
            told,
            pod,
            seen: watch::channel(Arc::new(seen)).0,
        }
    }

    /// Starts a probe; the kubelet has run for an hour.
    fn probe(&self, kind: Kind) -> &Self {
        let start = Instant::now() - Duration::from_secs(3600);
        let turns = Turns {
            container: "c".to_owned(),
            kind,
            seen: self.seen.subscribe(),
            asker: self.script.clone(),
            table: self.table.clone(),
            clock: self.clock.clone(),
            kubelet_start: (start, Time::from_secs(EPOCH.secs - 3600)),
            chance: 0.5,
        };
        tokio::spawn(turns.run());
        self
    }

    fn tell(&self, status: Value) {
        let status = tree!({"phase": "Running", "containerStatuses": [status]});
        self.seen.send_replace(Arc::new(Seen { pod: Arc::new(self.pod.clone()), status: Arc::new(status) }));
    }

    /// The container runs since now.
    fn run(&self, id: &str, started: bool) {
        let at = self.clock.now().rfc3339();
        self.tell(tree!({
            "name": "c", "containerID": format!("containerd://{id}"), "started": started,
            "state": {"running": {"startedAt": at}},
        }));
    }

    async fn pass(&self, seconds: u64) {
        sleep(Duration::from_millis(seconds * 1000 + 1)).await;
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.script.asked.lock())
    }
}

fn probe(kind: &str, fields: Value) -> Value {
    let mut container = Value::map();
    container.set(&[kind], fields);
    container
}

#[tokio::test(start_paused = true)]
async fn readiness_is_asked_at_once_and_then_each_period() {
    let stage = Stage::new(probe("readinessProbe", tree!({"periodSeconds": 5})), |at| at >= 7);
    stage.probe(Kind::Readiness).pass(2).await;
    assert!(stage.asked().is_empty(), "there is no container yet");
    stage.run("a", true);
    stage.pass(0).await;
    assert_eq!(stage.table.get("a").ready, Some(false), "not ready before it says so");
    stage.pass(11).await;
    assert_eq!(stage.asked(), ["Readiness a 2", "Readiness a 7", "Readiness a 12"]);
    assert_eq!(stage.table.get("a").ready, Some(true));
    assert_eq!(*stage.told.lock(), 2, "told of false at first and of true");
}

#[tokio::test]
async fn readiness_is_asked_at_once_also_by_a_clock_that_runs() {
    let stage = Stage::new(probe("readinessProbe", tree!({"periodSeconds": 60})), |_| true);
    stage.probe(Kind::Readiness);
    stage.run("a", true);
    let ready = async {
        while stage.table.get("a").ready != Some(true) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ready).await.expect("asked at once");
}

#[tokio::test(start_paused = true)]
async fn an_initial_delay_counts_from_the_containers_start() {
    let fields = tree!({"periodSeconds": 10, "initialDelaySeconds": 4});
    let stage = Stage::new(probe("readinessProbe", fields), |_| true);
    stage.probe(Kind::Readiness).pass(1).await;
    stage.run("a", true);
    stage.pass(3).await;
    assert!(stage.asked().is_empty());
    stage.pass(2).await;
    assert_eq!(stage.asked(), ["Readiness a 5"]);
}

#[tokio::test(start_paused = true)]
async fn liveness_keeps_to_its_period_and_rests_after_failure_until_another_container_runs() {
    let fields = tree!({"periodSeconds": 5, "failureThreshold": 2});
    let stage = Stage::new(probe("livenessProbe", fields), |at| at > 20);
    stage.probe(Kind::Liveness).pass(2).await;
    stage.run("a", true);
    stage.pass(5).await;
    assert_eq!(stage.table.get("a").alive, Some(true), "one failure is none");
    stage.pass(10).await;
    assert_eq!(stage.asked(), ["Liveness a 5", "Liveness a 10"]);
    assert_eq!(stage.table.get("a").alive, Some(false));
    stage.run("b", true);
    stage.pass(9).await;
    assert_eq!((stage.table.get("a"), stage.table.get("b").alive), (Results::default(), Some(true)));
    assert_eq!(stage.asked(), ["Liveness b 20", "Liveness b 25"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_before_the_container_has_started() {
    let mut container = probe("startupProbe", tree!({"periodSeconds": 2, "failureThreshold": 9}));
    container.set(&["readinessProbe"], tree!({"periodSeconds": 10}));
    let stage = Stage::new(container, |at| at >= 6);
    stage.probe(Kind::Startup).probe(Kind::Readiness).pass(1).await;
    stage.run("a", false);
    stage.pass(6).await;
    assert_eq!(stage.asked(), ["Startup a 2", "Startup a 4", "Startup a 6"]);
    assert_eq!(stage.table.get("a"), Results { started: Some(true), ready: Some(false), alive: None });
    stage.run("a", true);
    stage.pass(5).await;
    assert_eq!(stage.asked(), ["Readiness a 7"], "and startup no more");
    assert_eq!(stage.table.get("a").ready, Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_leaves_is_asked_whether_it_is_ready_and_nothing_else() {
    let mut container = probe("livenessProbe", tree!({"periodSeconds": 1, "failureThreshold": 1}));
    container.set(&["readinessProbe"], tree!({"periodSeconds": 1}));
    let mut stage = Stage::new(container, |_| false);
    stage.pod.set(&["metadata", "deletionTimestamp"], "2026-11-21T10:00:00Z");
    stage.probe(Kind::Liveness).probe(Kind::Readiness);
    stage.run("a", true);
    stage.pass(2).await;
    assert_eq!(stage.asked(), ["Readiness a 0", "Readiness a 1", "Readiness a 2"]);
    assert_eq!(stage.table.get("a").alive, Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_container_that_stopped_is_not_ready_and_is_not_asked() {
    let stage = Stage::new(probe("readinessProbe", tree!({"periodSeconds": 1})), |_| true);
    stage.probe(Kind::Readiness);
    stage.run("a", true);
    stage.pass(1).await;
    assert_eq!(stage.asked().len(), 2);
    let ended = tree!({"terminated": {"exitCode": 0, "containerID": "containerd://a"}});
    stage.tell(tree!({"name": "c", "containerID": "containerd://a", "state": ended}));
    stage.pass(5).await;
    assert_eq!((stage.asked().len(), stage.table.get("a").ready), (0, Some(false)));
}

#[tokio::test(start_paused = true)]
async fn containers_that_ran_before_the_kubelet_keep_what_they_were() {
    let stage = Stage::new(probe("readinessProbe", tree!({"periodSeconds": 10})), |_| true);
    let turns = Turns {
        container: "c".to_owned(),
        kind: Kind::Readiness,
        seen: stage.seen.subscribe(),
        asker: stage.script.clone(),
        table: stage.table.clone(),
        clock: stage.clock.clone(),
        kubelet_start: (Instant::now(), Time::from_secs(EPOCH.secs + 60)),
        chance: 0.5,
    };
    stage.run("a", true);
    tokio::spawn(turns.run());
    stage.pass(4).await;
    assert_eq!((stage.asked().len(), stage.table.get("a").ready), (0, None), "no word yet");
    stage.pass(1).await;
    assert_eq!((stage.asked(), stage.table.get("a").ready), (vec!["Readiness a 5".to_owned()], Some(true)));
}

#[test]
fn a_status_says_what_probes_say() {
    let pod = tree!({"spec": {
        "containers": [
            {"name": "plain"},
            {"name": "probed", "readinessProbe": {}, "startupProbe": {}},
            {"name": "ready", "readinessProbe": {}},
        ],
        "initContainers": [{"name": "once"}],
    }});
    let running = |name: &str| {
        let id = format!("containerd://{name}");
        tree!({"name": name, "containerID": id, "state": {"running": {"startedAt": "2026-11-21T10:00:00Z"}}})
    };
    let mut status = tree!({
        "containerStatuses": [running("plain"), running("probed"), running("ready")],
        "initContainerStatuses": [{"name": "once", "state": {"terminated": {"exitCode": 0}}}],
    });
    let results = |id: &str| match id {
        "ready" => Results { ready: Some(true), ..Results::default() },
        _ => Results::default(),
    };
    let start = api::time::parse("2026-11-21T09:00:00Z").unwrap();
    mark(&pod, &Value::Null, &mut status, start, results);
    let said = |status: &Value, list: &str| -> Vec<(bool, bool)> {
        status.list_at(&[list]).iter().map(|c| (c.bool_at(&["started"]), c.bool_at(&["ready"]))).collect()
    };
    assert_eq!(said(&status, "containerStatuses"), [(true, true), (false, false), (true, true)]);
    assert_eq!(said(&status, "initContainerStatuses"), [(false, true)]);
    // A kubelet that starts anew believes what was said before, until probes speak.
    let mut before = status.clone();
    before.set(&["conditions"], tree!([{"type": "Ready", "status": "True"}]));
    for container in before.get_mut("containerStatuses").unwrap().as_list_mut().unwrap() {
        container.set(&["started"], true);
    }
    let later = api::time::parse("2026-11-21T11:00:00Z").unwrap();
    mark(&pod, &before, &mut status, later, |_| Results::default());
    assert_eq!(said(&status, "containerStatuses"), [(true, true); 3]);
}
