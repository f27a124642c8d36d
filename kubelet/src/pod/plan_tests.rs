//! Cases of plans: pods, what containerd has of them, and what is to be done.

use super::back_off::BackOff;
use super::fixture::*;
use super::plan::{Action, Because, Known, Probed, Restart, ended, plan};
use super::resize::Change;
use super::{Observed, spec};
use api::{Value, tree};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use stdx::Time;

/// Each step in a word: `sandbox1`, `start a`, `kill a0`, `reset a0`, `hold a`, `kill all`.
fn steps(pod: &Value, seen: &Observed) -> Vec<String> {
    told(pod, seen, &|_| Probed::default(), false)
}

fn told(pod: &Value, seen: &Observed, probed: &dyn Fn(&str) -> Probed, restart_all: bool) -> Vec<String> {
    let now = Time::from_secs(NOW);
    let known = Known {
        now,
        back_off: &BackOff::default(),
        probed,
        restarting: &HashMap::new(),
        restart_all,
        stopped: &HashSet::from(["s0".to_owned()]),
        buried: &HashSet::new(),
        resized: &|_, _| None,
    };
    plan(pod, seen, &known).into_iter().map(word).collect()
}

fn word(action: Action) -> String {
    match action {
        Action::KillPod { again } if again.is_empty() => "kill all".to_owned(),
        Action::KillPod { again } => format!("kill all, again {}", again[0].0),
        Action::Sandbox { attempt, .. } => format!("sandbox{attempt}"),
        Action::Kill(kill) => format!("kill {}", kill.id),
        Action::Reset { id, .. } => format!("reset {id}"),
        Action::Start { name, .. } => format!("start {name}"),
        Action::Resize { id, .. } => format!("resize {id}"),
        Action::Hold { name, .. } => format!("hold {name}"),
    }
}

/// The container `a`, killed to be started again.
fn killed_before(id: &str, before: Option<i64>) -> (String, Restart) {
    let before = before.map(Time::from_secs);
    ("a".to_owned(), Restart { id: id.to_owned(), before, is_held: false })
}

fn nothing() -> Observed {
    Observed { uid: "u".to_owned(), ..Observed::default() }
}

#[test]
fn a_new_pod_gets_a_sandbox_and_its_containers() {
    assert_eq!(steps(&pod("Always", &["a", "b"]), &nothing()), ["sandbox0", "start a", "start b"]);
    let pod = with_init(pod("Always", &["a"]), &["i", "j"]);
    assert_eq!(steps(&pod, &nothing()), ["sandbox0", "start i"]);
}

#[test]
fn containers_that_run_are_left_alone() {
    let pod = pod("Always", &["a", "b"]);
    assert!(steps(&pod, &seen(&[("a", RUNNING), ("b", RUNNING)])).is_empty());
}

#[test]
fn what_ended_starts_again_as_the_policy_says() {
    for (policy, failed, succeeded) in [
        ("Always", vec!["start a"], vec!["start a"]),
        ("OnFailure", vec!["start a"], vec![]),
        ("Never", vec![], vec![]),
    ] {
        let pod = pod(policy, &["a", "b"]);
        assert_eq!(steps(&pod, &exited(seen(&[("b", RUNNING)]), "a", 1)), failed, "{policy}");
        assert_eq!(steps(&pod, &exited(seen(&[("b", RUNNING)]), "a", 0)), succeeded, "{policy}");
    }
}

#[test]
fn a_pod_with_nothing_left_to_run_ends() {
    let all_done = exited(exited(seen(&[]), "a", 0), "b", 1);
    assert_eq!(steps(&pod("Never", &["a", "b"]), &all_done), ["kill all"]);
    assert_eq!(steps(&pod("OnFailure", &["a", "b"]), &all_done), ["start b"]);
    // Sidecars do not keep it.
    let pod = with_init(pod("Never", &["a"]), &["s+"]);
    assert_eq!(steps(&pod, &exited(seen(&[("s", RUNNING)]), "a", 0)), ["kill all"]);
}

#[test]
fn a_container_that_is_created_or_lost_starts_again() {
    let pod = pod("Never", &["a", "b"]);
    assert_eq!(steps(&pod, &seen(&[("a", CREATED), ("b", RUNNING)])), ["start a"]);
    let lost = seen(&[("a", UNKNOWN), ("b", RUNNING)]);
    assert_eq!(steps(&pod, &lost), ["kill a0"]);
    let known = Known {
        now: Time::from_secs(NOW),
        back_off: &BackOff::default(),
        probed: &|_| Probed::default(),
        restarting: &HashMap::new(),
        stopped: &HashSet::from(["s0".to_owned()]),
        buried: &HashSet::from(["a0".to_owned()]),
        restart_all: false,
        resized: &|_, _| None,
    };
    let actions: Vec<String> = plan(&pod, &lost, &known).into_iter().map(word).collect();
    assert_eq!(actions, ["start a"]);
}

#[test]
fn a_sandbox_that_is_dead_or_has_no_address_is_replaced_after_all_in_it_ended() {
    let pod = pod("Always", &["a"]);
    let mut old = seen(&[("a", RUNNING)]);
    old.sandboxes = vec![sandbox(0, false)];
    assert_eq!(steps(&pod, &old), ["kill all, again a"]);
    let mut old = exited(seen(&[]), "a", 137);
    old.sandboxes = vec![sandbox(0, false)];
    assert_eq!(steps(&pod, &old), ["sandbox1", "start a"]);
    let mut old = seen(&[]);
    old.sandboxes[0].network.as_mut().unwrap().ip.clear();
    assert_eq!(steps(&pod, &old), ["kill all"]);
    let mut two = seen(&[]);
    two.sandboxes = vec![sandbox(1, true), sandbox(0, true)];
    assert_eq!(steps(&pod, &two), ["kill all"]);
}

#[test]
fn a_sandbox_that_died_is_stopped_before_another_takes_its_place() {
    let pod = pod("Always", &["a"]);
    let mut old = exited(seen(&[]), "a", 137);
    old.sandboxes = vec![sandbox(1, false), sandbox(0, false)];
    assert_eq!(steps(&pod, &old), ["kill all"]);
    old.sandboxes.remove(0);
    assert_eq!(steps(&pod, &old), ["sandbox1", "start a"]);
}

#[test]
fn what_ran_when_the_sandbox_died_starts_again_however_it_ended() {
    let pod = pod("OnFailure", &["a"]);
    let mut stopped = exited(seen(&[]), "a", 0);
    stopped.sandboxes = vec![sandbox(0, false)];
    assert!(steps(&pod, &stopped).is_empty());
    let known = Known {
        now: Time::from_secs(NOW),
        back_off: &BackOff::default(),
        probed: &|_| Probed::default(),
        restarting: &HashMap::from([killed_before("a0", None)]),
        restart_all: false,
        stopped: &HashSet::from(["s0".to_owned()]),
        buried: &HashSet::new(),
        resized: &|_, _| None,
    };
    let actions: Vec<String> = plan(&pod, &stopped, &known).into_iter().map(word).collect();
    assert_eq!(actions, ["sandbox1", "start a"]);
}

#[test]
fn a_pod_that_is_done_gets_no_new_sandbox() {
    for (policy, wanted) in
        [("Never", vec![]), ("OnFailure", vec![]), ("Always", vec!["sandbox1", "start a"])]
    {
        let mut old = exited(seen(&[]), "a", 0);
        old.sandboxes = vec![sandbox(0, false)];
        assert_eq!(steps(&pod(policy, &["a"]), &old), wanted, "{policy}");
    }
    // One that failed to start anything tries again.
    let mut old = seen(&[]);
    old.sandboxes = vec![sandbox(0, false)];
    assert_eq!(steps(&pod("Never", &["a"]), &old), ["sandbox1", "start a"]);
}

#[test]
fn init_containers_run_one_after_another() {
    let pod = with_init(pod("Always", &["a"]), &["i", "j"]);
    assert_eq!(steps(&pod, &seen(&[])), ["start i"]);
    assert!(steps(&pod, &seen(&[("i", RUNNING)])).is_empty());
    assert_eq!(steps(&pod, &exited(seen(&[]), "i", 0)), ["start j"]);
    assert_eq!(steps(&pod, &exited(exited(seen(&[]), "i", 0), "j", 0)), ["start a"]);
    // The last one that is known tells: what was before may be removed by now.
    assert_eq!(steps(&pod, &exited(seen(&[]), "j", 0)), ["start a"]);
    assert!(steps(&pod, &seen(&[("a", RUNNING)])).is_empty());
}

#[test]
fn an_init_container_that_fails_is_tried_again_unless_the_policy_forbids() {
    let init = |policy: &str| with_init(pod(policy, &["a"]), &["i"]);
    let failed = exited(seen(&[]), "i", 1);
    assert_eq!(steps(&init("OnFailure"), &failed), ["start i"]);
    assert_eq!(steps(&init("Never"), &failed), ["kill all"]);
}

#[test]
fn a_sidecar_opens_the_way_when_it_has_started() {
    let mut pod = with_init(pod("Always", &["a"]), &["s+", "i"]);
    assert_eq!(steps(&pod, &seen(&[])), ["start s"]);
    assert_eq!(steps(&pod, &seen(&[("s", RUNNING)])), ["start i"]);
    let both = seen(&[("s", RUNNING), ("i", RUNNING)]);
    assert!(steps(&pod, &both).is_empty());
    assert_eq!(steps(&pod, &exited(seen(&[("s", RUNNING)]), "i", 0)), ["start a"]);
    let sidecar = &mut pod.at_mut(&["spec", "initContainers"]).unwrap().as_list_mut().unwrap()[0];
    sidecar.set(&["startupProbe"], tree!({"exec": {"command": ["x"]}}));
    assert!(steps(&pod, &seen(&[("s", RUNNING)])).is_empty());
    let probed = |startup| move |_: &str| Probed { startup: Some(startup), liveness: None };
    assert_eq!(told(&pod, &seen(&[("s", RUNNING)]), &probed(true), false), ["start i"]);
    assert_eq!(told(&pod, &seen(&[("s", RUNNING)]), &probed(false), false), ["kill s0"]);
}

#[test]
fn a_sidecar_that_ended_starts_again_whatever_the_policy() {
    let pod = with_init(pod("Never", &["a"]), &["s+", "i"]);
    let running = seen(&[("a", RUNNING)]);
    assert_eq!(steps(&pod, &exited(running.clone(), "s", 0)), ["start s"]);
    assert_eq!(steps(&pod, &running), ["start s"]);
    assert_eq!(steps(&pod, &exited(exited(seen(&[]), "i", 0), "s", 1)), ["start s", "start a"]);
}

#[test]
fn a_failed_probe_kills_and_says_so() {
    let liveness = |_: &str| Probed { startup: None, liveness: Some(false) };
    let known = Known {
        now: Time::from_secs(NOW),
        back_off: &BackOff::default(),
        probed: &liveness,
        restarting: &HashMap::new(),
        restart_all: false,
        stopped: &HashSet::from(["s0".to_owned()]),
        buried: &HashSet::new(),
        resized: &|_, _| None,
    };
    let actions = plan(&pod("Always", &["a"]), &seen(&[("a", RUNNING)]), &known);
    let [Action::Kill(kill)] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(kill.message, "Container a failed liveness probe, will be restarted");
    assert!(kill.restart && kill.because == Because::Liveness);
    let actions = plan(&pod("Never", &["a", "b"]), &seen(&[("a", RUNNING)]), &known);
    let Some(Action::Kill(kill)) = actions.first() else { panic!("{actions:?}") };
    assert_eq!(kill.message, "Container a failed liveness probe");
    assert!(!kill.restart);
}

#[test]
fn another_image_makes_another_container_whatever_the_policy() {
    let mut pod = pod("Never", &["a"]);
    pod.set(&["spec", "containers"], tree!([{"name": "a", "image": "other"}]));
    let running = seen(&[("a", RUNNING)]);
    assert_eq!(steps(&pod, &running), ["kill a0"]);
    // It was killed for this: it starts again without being held back.
    let killed = exited(seen(&[]), "a", 137);
    let known = Known {
        now: Time::from_secs(NOW),
        back_off: &BackOff::default(),
        probed: &|_| Probed::default(),
        restarting: &HashMap::from([killed_before("a0", None)]),
        restart_all: false,
        stopped: &HashSet::from(["s0".to_owned()]),
        buried: &HashSet::new(),
        resized: &|_, _| None,
    };
    let actions: Vec<String> = plan(&pod, &killed, &known).into_iter().map(word).collect();
    assert_eq!(actions, ["start a"]);
}

#[test]
fn a_container_that_was_killed_is_held_back_since_the_end_before_and_then_since_its_own() {
    // What ended before is no longer there.
    let seen = exited(seen(&[]), "a", 137);
    let mut restarting = HashMap::from([killed_before("a0", Some(NOW - 60))]);
    assert_eq!(ended(&seen, &restarting, "a"), Some(Time::from_secs(NOW - 60)));
    restarting.get_mut("a").unwrap().is_held = true;
    assert_eq!(ended(&seen, &restarting, "a"), Some(Time::from_secs(NOW - 5)));
    assert_eq!(ended(&seen, &HashMap::from([killed_before("a0", None)]), "a"), None);
}

#[test]
fn a_container_that_failed_before_is_held_back() {
    let pod = pod("Always", &["a"]);
    let mut back_off = BackOff::default();
    let key = super::plan::back_off_key(spec::container(&pod, "a").unwrap().1);
    back_off.start(&key, Time::from_secs(NOW - 20), Time::from_secs(NOW - 20));
    let none = HashMap::new();
    let nobody = HashSet::new();
    let known = |now: i64| Known {
        now: Time::from_secs(now),
        back_off: &back_off,
        probed: &|_| Probed::default(),
        restarting: &none,
        restart_all: false,
        stopped: &nobody,
        buried: &nobody,
        resized: &|_, _| None,
    };
    let failed = exited(exited(seen(&[]), "a", 1), "a", 1);
    let wanted = Action::Hold {
        name: "a".to_owned(),
        delay: Duration::from_secs(10),
        until: Time::from_secs(NOW + 5),
    };
    assert_eq!(plan(&pod, &failed, &known(NOW)), [wanted]);
    let actions: Vec<String> = plan(&pod, &failed, &known(NOW + 5)).into_iter().map(word).collect();
    assert_eq!(actions, ["start a"]);
}

#[test]
fn resources_change_in_place_unless_the_container_must_start_anew() {
    let pod = with_init(pod("Always", &["a"]), &["s+"]);
    let running = seen(&[("s", RUNNING), ("a", RUNNING)]);
    for (restart, wanted) in
        [(false, vec!["resize s0", "resize a0", "resize "]), (true, vec!["kill s0", "kill a0"])]
    {
        let known = Known {
            now: Time::from_secs(NOW),
            back_off: &BackOff::default(),
            probed: &|_| Probed::default(),
            restarting: &HashMap::new(),
            restart_all: false,
            stopped: &HashSet::from(["s0".to_owned()]),
            buried: &HashSet::new(),
            resized: &|_, _| Some(Change { restart, less_memory: None }),
        };
        let actions: Vec<String> = plan(&pod, &running, &known).into_iter().map(word).collect();
        assert_eq!(actions, wanted);
    }
}

#[test]
fn ephemeral_containers_start_once_even_before_init_containers_are_done() {
    let mut pod = with_init(pod("Always", &["a"]), &["i"]);
    pod.set(&["spec", "ephemeralContainers"], tree!([{"name": "e", "image": "i"}]));
    assert_eq!(steps(&pod, &seen(&[("i", RUNNING)])), ["start e"]);
    assert!(steps(&pod, &exited(seen(&[("i", RUNNING)]), "e", 1)).is_empty());
}

#[test]
fn a_rule_can_have_all_containers_start_anew() {
    let mut pod = with_init(pod("Always", &["a", "b"]), &["i"]);
    let rules = tree!([{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [7]}}]);
    let main = pod.at_mut(&["spec", "containers"]).unwrap().as_list_mut().unwrap();
    main[0].set(&["restartPolicyRules"], rules);
    let ended = exited(exited(seen(&[("b", RUNNING)]), "i", 0), "a", 7);
    assert_eq!(told(&pod, &ended, &|_| Probed::default(), true), ["reset b0", "reset i0", "reset a0"]);
}
