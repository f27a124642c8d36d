//! Cases of statuses: pods, what containerd has of them, and what is said.

use super::*;
use crate::pod::fixture::*;

/// What a case may vary; the rest is as it usually is.
struct Case {
    pod: Value,
    old: Value,
    seen: Observed,
    waiting: HashMap<String, Wait>,
    is_over: bool,
    restarting: HashMap<String, Restart>,
    evicted: Option<Wait>,
}

impl Case {
    fn new(pod: Value, seen: Observed) -> Self {
        let old = Value::map();
        Case {
            pod,
            old,
            seen,
            waiting: HashMap::new(),
            is_over: false,
            restarting: HashMap::new(),
            evicted: None,
        }
    }

    fn status(&self) -> Value {
        let mark = |status: &mut Value| {
            for list in [List::Main, List::Init] {
                for container in list_mut(status, list) {
                    let runs = container.at(&["state", "running"]).is_some();
                    let done = list == List::Init
                        && container.i64_at(&["state", "terminated", "exitCode"]) == Some(0);
                    container.set(&["started"], runs);
                    container.set(&["ready"], runs || done);
                }
            }
        };
        generate(&Facts {
            pod: &self.pod,
            old: &self.old,
            seen: &self.seen,
            messages: &HashMap::from([("a0".to_owned(), "bye".to_owned())]),
            waiting: &self.waiting,
            mark: &mark,
            is_ending: self.is_over,
            is_over: self.is_over,
            restart_all: restarts_all(&self.pod, &self.seen, &self.old),
            restarting: &self.restarting,
            evicted: self.evicted.as_ref(),
            resize: &[],
            resources: &HashMap::new(),
            host_ips: &["192.0.2.1".parse().unwrap()],
            is_static: false,
            now: Time::from_secs(NOW),
        })
    }

    fn phase(&self) -> String {
        self.status().str_at(&["phase"]).to_owned()
    }
}

fn nothing() -> Observed {
    Observed::default()
}

/// `TYPE=STATUS REASON MESSAGE` of the condition.
fn said(status: &Value, ty: &str) -> String {
    let condition = conditions::condition(status, ty).unwrap();
    let text = |field: &str| condition.str_at(&[field]).to_owned();
    [text("status"), text("reason"), text("message")].join(" ").trim_end().to_owned()
}

#[test]
fn a_pod_of_which_nothing_is_there_waits() {
    let status = Case::new(pod("Always", &["a"]), nothing()).status();
    let container = &status.list_at(&["containerStatuses"])[0];
    assert_eq!(container.str_at(&["state", "waiting", "reason"]), "ContainerCreating");
    assert_eq!((container.str_at(&["image"]), container.str_at(&["imageID"])), ("i", ""));
    assert_eq!(status.str_at(&["phase"]), "Pending");
    assert_eq!(status.str_at(&["hostIP"]), "192.0.2.1");
    assert_eq!(said(&status, "Initialized"), "True");
    assert_eq!(said(&status, "PodReadyToStartContainers"), "False");
    let unready = "False ContainersNotReady containers with unready status: [a]";
    assert_eq!(
        (said(&status, "Ready").as_str(), said(&status, "ContainersReady").as_str()),
        (unready, unready)
    );
    let status = Case::new(with_init(pod("Always", &["a"]), &["i", "j"]), nothing()).status();
    let container = &status.list_at(&["containerStatuses"])[0];
    assert_eq!(container.str_at(&["state", "waiting", "reason"]), "PodInitializing");
    let wanted = "False ContainersNotInitialized containers with incomplete status: [i j]";
    assert_eq!(said(&status, "Initialized"), wanted);
}

#[test]
fn a_pod_that_runs_is_ready_and_has_its_address() {
    let status = Case::new(pod("Always", &["b", "a"]), seen(&[("a", RUNNING), ("b", RUNNING)])).status();
    assert_eq!(status.str_at(&["phase"]), "Running");
    assert_eq!(status.str_at(&["podIP"]), "10.0.0.1");
    assert_eq!(said(&status, "Ready"), "True");
    let containers = status.list_at(&["containerStatuses"]);
    let names: Vec<&str> = containers.iter().map(spec::name_of).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(containers[0].str_at(&["containerID"]), "containerd://a0");
    assert_eq!(containers[0].str_at(&["imageID"]), "sha256:i");
    assert_eq!(status.i64_at(&["observedGeneration"]), Some(1));
}

#[test]
fn phases_follow_the_containers() {
    let one = |policy: &str, seen: Observed| Case::new(pod(policy, &["a", "b"]), seen).phase();
    for (policy, a, b, wanted) in [
        ("Always", 0, 0, "Running"),
        ("Always", 1, 0, "Running"),
        ("OnFailure", 1, 0, "Running"),
        ("OnFailure", 0, 0, "Succeeded"),
        ("Never", 0, 0, "Succeeded"),
        ("Never", 1, 0, "Failed"),
    ] {
        let ended = exited(exited(seen(&[]), "a", a), "b", b);
        assert_eq!(one(policy, ended), wanted, "{policy} {a} {b}");
    }
    assert_eq!(one("Never", exited(seen(&[("b", RUNNING)]), "a", 1)), "Running");
    assert_eq!(one("Always", seen(&[("a", RUNNING)])), "Pending");
    assert_eq!(one("Always", seen(&[("a", RUNNING), ("b", CREATED)])), "Pending");
    let mut over = Case::new(pod("Always", &["a"]), exited(seen(&[]), "a", 0));
    over.is_over = true;
    assert_eq!(over.phase(), "Succeeded");
    over.seen = exited(seen(&[]), "a", 137);
    assert_eq!(over.phase(), "Failed");
}

#[test]
fn a_container_that_was_killed_to_start_again_waits_for_that_whatever_the_policy_says() {
    for (policy, code) in [("Never", 137), ("Never", 0), ("OnFailure", 0)] {
        let mut case = Case::new(pod(policy, &["a"]), seen(&[("a", RUNNING)]));
        case.old = case.status();
        case.seen = exited(seen(&[]), "a", code);
        case.restarting.insert("a".to_owned(), Restart { id: "a0".to_owned(), ..Restart::default() });
        let status = case.status();
        let container = &status.list_at(&["containerStatuses"])[0];
        assert_eq!(status.str_at(&["phase"]), "Running", "{policy} {code}");
        assert_eq!(container.str_at(&["state", "waiting", "reason"]), "ContainerCreating");
        assert_eq!(container.i64_at(&["lastState", "terminated", "exitCode"]), Some(i64::from(code)));
        case.waiting.insert("a".to_owned(), Wait::new("ErrImagePull", "no"));
        let status = case.status();
        let container = &status.list_at(&["containerStatuses"])[0];
        assert_eq!(container.str_at(&["state", "waiting", "reason"]), "ErrImagePull");
        assert_eq!(status.str_at(&["phase"]), "Running");
        // The next one's end counts again.
        case.waiting.clear();
        case.seen = exited(case.seen, "a", code);
        assert_ne!(case.phase(), "Running");
    }
}

#[test]
fn a_container_whose_hook_is_under_way_is_not_said_to_run_yet() {
    let hooked = std::collections::HashSet::from(["a0".to_owned()]);
    let seen = exited(seen(&[("a", RUNNING)]), "b", 1);
    let status = Case::new(pod("Always", &["a", "b"]), seen.without(&hooked)).status();
    let containers = status.list_at(&["containerStatuses"]);
    assert_eq!(containers[0].str_at(&["state", "waiting", "reason"]), "ContainerCreating");
    assert!(!containers[0].bool_at(&["ready"]));
    assert_eq!(containers[1].i64_at(&["state", "terminated", "exitCode"]), Some(1));
    assert_eq!(status.str_at(&["phase"]), "Pending");
}

#[test]
fn init_containers_keep_a_pod_pending_or_fail_it() {
    let one =
        |policy: &str, seen: Observed| Case::new(with_init(pod(policy, &["a"]), &["i", "s+"]), seen).phase();
    assert_eq!(one("Always", seen(&[("i", RUNNING)])), "Pending");
    assert_eq!(one("Always", exited(seen(&[]), "i", 1)), "Pending");
    assert_eq!(one("Never", exited(seen(&[]), "i", 1)), "Failed");
    let done = exited(seen(&[("s", RUNNING), ("a", RUNNING)]), "i", 0);
    assert_eq!(one("Never", done.clone()), "Running");
    let status = Case::new(with_init(pod("Never", &["a"]), &["i", "s+"]), done).status();
    assert_eq!(said(&status, "Initialized"), "True");
    let init: Vec<bool> =
        status.list_at(&["initContainerStatuses"]).iter().map(|c| c.bool_at(&["ready"])).collect();
    assert_eq!(init, [true, true]);
}

#[test]
fn the_end_of_a_container_is_told_with_what_it_said() {
    let status = Case::new(pod("Never", &["a"]), exited(seen(&[]), "a", 3)).status();
    let end = status.list_at(&["containerStatuses"])[0].at(&["state", "terminated"]).unwrap().clone();
    assert_eq!((end.i64_at(&["exitCode"]), end.str_at(&["reason"])), (Some(3), "Error"));
    assert_eq!(end.str_at(&["message"]), "bye");
    assert_eq!(end.str_at(&["finishedAt"]), Time::from_secs(NOW - 5).rfc3339());
    assert_eq!(said(&status, "Ready"), "False PodFailed");
    let status = Case::new(pod("Never", &["a"]), exited(seen(&[]), "a", 0)).status();
    assert_eq!(said(&status, "Ready"), "False PodCompleted");
    assert_eq!(said(&status, "Initialized"), "True PodCompleted");
}

#[test]
fn a_container_that_is_held_back_waits_and_its_end_becomes_the_last_state() {
    let mut case = Case::new(pod("Always", &["a"]), exited(exited(seen(&[]), "a", 1), "a", 1));
    let status = case.status();
    let container = &status.list_at(&["containerStatuses"])[0];
    assert!(container.at(&["state", "terminated"]).is_some());
    assert_eq!(container.i64_at(&["restartCount"]), Some(1));
    assert_eq!(container.str_at(&["lastState", "terminated", "containerID"]), "containerd://a0");
    case.waiting.insert("a".to_owned(), Wait::new("CrashLoopBackOff", "back-off"));
    let status = case.status();
    let container = &status.list_at(&["containerStatuses"])[0];
    assert_eq!(container.str_at(&["state", "waiting", "reason"]), "CrashLoopBackOff");
    assert_eq!(container.str_at(&["lastState", "terminated", "containerID"]), "containerd://a1");
    assert_eq!(status.str_at(&["phase"]), "Running");
}

#[test]
fn a_container_that_vanished_while_it_ran_ended_for_an_unknown_reason() {
    let mut case = Case::new(pod("Always", &["a"]), seen(&[("a", RUNNING)]));
    case.old = case.status();
    case.seen = seen(&[]);
    let status = case.status();
    let container = &status.list_at(&["containerStatuses"])[0];
    assert_eq!(container.str_at(&["lastState", "terminated", "reason"]), "ContainerStatusUnknown");
    assert_eq!(container.i64_at(&["restartCount"]), Some(1));
    assert_eq!(status.str_at(&["phase"]), "Running");
}

#[test]
fn readiness_gates_keep_a_pod_from_being_ready() {
    let mut case = Case::new(pod("Always", &["a"]), seen(&[("a", RUNNING)]));
    case.pod.set(&["spec", "readinessGates"], tree!([{"conditionType": "x/y"}]));
    let told = said(&case.status(), "Ready");
    let wanted =
        r#"False ReadinessGatesNotReady corresponding condition of pod readiness gate "x/y" does not exist."#;
    assert_eq!(told, wanted);
    case.pod.set(&["status", "conditions"], tree!([{"type": "x/y", "status": "False"}]));
    let told = said(&case.status(), "Ready");
    let wanted =
        r#"False ReadinessGatesNotReady the status of pod readiness gate "x/y" is not "True", but False"#;
    assert_eq!(told, wanted);
    case.pod.set(&["status", "conditions"], tree!([{"type": "x/y", "status": "True"}]));
    let status = case.status();
    assert_eq!(said(&status, "Ready"), "True");
    assert_eq!(status.list_at(&["conditions"])[0].str_at(&["type"]), "x/y");
}

#[test]
fn a_condition_keeps_its_time_while_its_status_stays() {
    let mut case = Case::new(pod("Always", &["a"]), seen(&[]));
    let since = "2026-01-01T00:00:00Z";
    case.old.set(
        &["conditions"],
        tree!([
            {"type": "Ready", "status": "False", "lastTransitionTime": since},
            {"type": "PodReadyToStartContainers", "status": "False", "lastTransitionTime": since}
        ]),
    );
    let status = case.status();
    let time = |ty: &str| conditions::condition(&status, ty).unwrap().str_at(&["lastTransitionTime"]);
    assert_eq!(time("Ready"), since);
    assert_eq!(time("PodReadyToStartContainers"), Time::from_secs(NOW).rfc3339());
}

#[test]
fn a_pod_ends_in_the_api_only_when_nothing_of_it_can_run() {
    let case = Case::new(pod("Never", &["a"]), exited(seen(&[]), "a", 0));
    let said_before = tree!({"phase": "Running", "conditions": [{"type": "x", "status": "True"}]});
    let told = merged(&said_before, &case.status(), true);
    assert_eq!(told.str_at(&["phase"]), "Running");
    assert!(conditions::condition(&told, "x").is_some());
    assert_eq!(merged(&said_before, &case.status(), false).str_at(&["phase"]), "Succeeded");
}

#[test]
fn a_pod_that_is_evicted_fails_and_says_that_it_was_disrupted_with_its_end() {
    let mut case = Case::new(pod("Always", &["a"]), exited(seen(&[]), "a", 0));
    case.evicted = Some(Wait::new("Evicted", "too much"));
    case.old.set(&["conditions"], tree!([{"type": "DisruptionTarget", "status": "True"}]));
    let status = case.status();
    let text = |field: &str| status.str_at(&[field]).to_owned();
    assert_eq!([text("phase"), text("reason"), text("message")], ["Failed", "Evicted", "too much"]);
    let before = tree!({"phase": "Running"});
    assert!(conditions::condition(&merged(&before, &status, true), "DisruptionTarget").is_none());
    assert!(conditions::condition(&merged(&before, &status, false), "DisruptionTarget").is_some());
}

#[test]
fn phases_that_end_a_pod_are_never_left() {
    let mut case = Case::new(pod("Always", &["a"]), seen(&[("a", RUNNING)]));
    case.pod.set(&["status"], tree!({"phase": "Failed", "reason": "Evicted"}));
    assert_eq!(case.phase(), "Failed");
    case.pod.unset(&["status"]);
    case.old.set(&["phase"], "Succeeded");
    assert_eq!(case.phase(), "Succeeded");
}

#[test]
fn the_last_status_has_no_container_that_could_still_run() {
    let case = Case::new(pod("Always", &["a"]), nothing());
    let mut status = case.status();
    finish(&case.pod, &mut status, false);
    assert_eq!(status.str_at(&["phase"]), "Failed");
    let end = status.list_at(&["containerStatuses"])[0].at(&["state", "terminated"]).unwrap();
    assert_eq!((end.i64_at(&["exitCode"]), end.str_at(&["reason"])), (Some(137), "ContainerStatusUnknown"));
    // Where init containers were not done, main containers could not have run.
    let case = Case::new(with_init(pod("Always", &["a"]), &["i", "j"]), nothing());
    let mut status = case.status();
    finish(&case.pod, &mut status, false);
    let states = |list: &str| -> Vec<bool> {
        status.list_at(&[list]).iter().map(|c| c.at(&["state", "terminated"]).is_some()).collect()
    };
    assert_eq!(states("initContainerStatuses"), [true, false]);
    assert_eq!(states("containerStatuses"), [false]);
}

#[test]
fn the_pod_as_a_whole_is_said_to_have_what_its_containers_have_together() {
    let mut pod = pod("Always", &["a", "b"]);
    let amounts = |cpu: &str| tree!({"requests": {"cpu": cpu, "memory": "1Mi"}, "limits": {"cpu": "1"}});
    let containers = pod.at_mut(&["spec", "containers"]).unwrap().as_list_mut().unwrap();
    containers[0].set(&["resources"], amounts("100m"));
    let mut case = Case::new(pod, seen(&[("a", RUNNING), ("b", RUNNING)]));
    let status = case.status();
    assert_eq!(status.get("allocatedResources"), Some(&tree!({"cpu": "100m", "memory": "1Mi"})));
    assert_eq!(status.str_at(&["resources", "limits", "cpu"]), "1");
    case.pod.set(&["status", "phase"], "Running");
    assert!(case.status().at(&["resources", "limits"]).is_none());
    let containers = case.pod.at_mut(&["spec", "containers"]).unwrap().as_list_mut().unwrap();
    containers[1].set(&["resources"], amounts("1"));
    let status = case.status();
    assert_eq!(status.str_at(&["resources", "limits", "cpu"]), "2");
    assert_eq!(status.str_at(&["resources", "requests", "cpu"]), "1100m");
}

#[test]
fn all_containers_that_start_anew_count_one_more() {
    let mut case = Case::new(pod("Always", &["a", "b"]), exited(seen(&[("b", RUNNING)]), "a", 7));
    let rules = tree!([{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [7]}}]);
    let main = case.pod.at_mut(&["spec", "containers"]).unwrap().as_list_mut().unwrap();
    main[0].set(&["restartPolicyRules"], rules);
    case.old = case.status();
    assert_eq!(
        said(&case.old, "AllContainersRestarting").split(' ').nth(1),
        Some("RestartAllContainersStarted")
    );
    case.seen = seen(&[]);
    let status = case.status();
    assert_eq!(said(&status, "AllContainersRestarting"), "False");
    for container in status.list_at(&["containerStatuses"]) {
        assert_eq!(container.str_at(&["state", "waiting", "reason"]), "RestartingAllContainers");
        assert_eq!(container.i64_at(&["restartCount"]), Some(1));
    }
}

#[test]
fn an_end_is_counted_once() {
    let said = |state: Value| tree!({"containerStatuses": [{"name": "a", "state": (state)}]});
    let running = said(tree!({"running": {}}));
    let over = said(tree!({"terminated": {"exitCode": 139, "reason": "Error"}}));
    let told: Vec<_> = newly_ended(&running, &over).collect();
    assert_eq!(told, [["container", "139", "Error"].map(str::to_owned)]);
    assert_eq!(newly_ended(&over, &over).count() + newly_ended(&over, &running).count(), 0);
    assert_eq!(newly_ended(&Value::Null, &over).count(), 1);
}
