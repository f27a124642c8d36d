//! What jobs need next, tried.

use super::*;

const NOW: Time = Time::from_secs(1_800_000_000);

fn job(spec: Value) -> Value {
    tree!({"metadata": {"name": "j", "uid": "u"}, "spec": spec})
}

fn pod(name: &str, phase: &str, index: &str) -> Arc<Value> {
    let mut pod = tree!({
        "metadata": {"name": name, "uid": name, "finalizers": [TRACKING]},
        "status": {"phase": phase, "containerStatuses": [{"name": "c", "state": {"terminated": {"finishedAt": (NOW.rfc3339())}}}]}
    });
    if !index.is_empty() {
        pod.set(&["metadata", "annotations", INDEX], index);
    }
    Arc::new(pod)
}

fn planned(job: &Value, pods: &[Arc<Value>]) -> Plan {
    View::new(job, pods, Backoff::default(), NOW).plan()
}

fn ended(job: &Value, pods: &[Arc<Value>]) -> Option<String> {
    View::new(job, pods, Backoff::default(), NOW).end().map(|end| end.reason)
}

/// The indexes of the pods that are to be made.
fn made(plan: Plan) -> Vec<i64> {
    match plan {
        Plan::Create(pods) => pods.iter().filter_map(indexes::index_of).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_job_runs_as_many_pods_as_it_may_and_still_needs() {
    let mut job = job(tree!({"parallelism": 3, "completions": 4, "backoffLimit": 6}));
    assert!(matches!(planned(&job, &[]), Plan::Create(pods) if pods.len() == 3));
    job.set(&["status", "succeeded"], 3);
    assert_eq!(planned(&job, &[pod("a", "Running", "")]), Plan::Keep);
    let two = [pod("a", "Running", ""), pod("b", "Running", "")];
    assert!(matches!(planned(&job, &two), Plan::Delete(pods) if pods.len() == 1));
    let view = [pod("a", "Succeeded", "")];
    assert!(View::new(&job, &view, Backoff::default(), NOW).is_complete(0));
    assert!(!View::new(&job, &view, Backoff::default(), NOW).is_complete(1));
}

#[test]
fn failures_delay_and_end_a_job() {
    let job = job(tree!({"parallelism": 1, "completions": 1, "backoffLimit": 1}));
    assert_eq!(planned(&job, &[pod("a", "Failed", "")]), Plan::Wait(Duration::from_secs(10)));
    assert_eq!(ended(&job, &[pod("a", "Failed", "")]), None);
    let two = [pod("a", "Failed", ""), pod("b", "Failed", "")];
    assert_eq!(ended(&job, &two).as_deref(), Some("BackoffLimitExceeded"));
}

#[test]
fn containers_that_start_again_in_place_count_as_failures() {
    let job = job(
        tree!({"completions": 1, "backoffLimit": 2, "template": {"spec": {"restartPolicy": "OnFailure"}}}),
    );
    let mut running = (*pod("a", "Running", "")).clone();
    running.set(&["status", "containerStatuses"], tree!([{"name": "c", "restartCount": 2}]));
    assert_eq!(ended(&job, &[Arc::new(running)]).as_deref(), Some("BackoffLimitExceeded"));
}

#[test]
fn a_suspended_job_has_no_pods() {
    let job = job(tree!({"parallelism": 1, "completions": 1, "suspend": true}));
    assert_eq!(planned(&job, &[]), Plan::Keep);
    assert!(matches!(planned(&job, &[pod("a", "Running", "")]), Plan::Delete(_)));
}

#[test]
fn a_job_that_waits_for_ends_replaces_no_pod_on_its_way_out() {
    let mut job = job(tree!({"parallelism": 1, "completions": 1}));
    let mut leaving = (*pod("a", "Running", "")).clone();
    leaving.set(&["metadata", "deletionTimestamp"], NOW.rfc3339());
    let leaving = [Arc::new(leaving)];
    assert!(matches!(planned(&job, &leaving), Plan::Create(_) | Plan::Wait(_)));
    job.set(&["spec", "podReplacementPolicy"], "Failed");
    assert_eq!(planned(&job, &leaving), Plan::Keep);
}

#[test]
fn indexes_are_given_out_in_order() {
    let mut job = job(tree!({"parallelism": 3, "completions": 6, "completionMode": "Indexed"}));
    job.set(&["status", "completedIndexes"], "0-1,4");
    assert_eq!(made(planned(&job, &[pod("a", "Running", "2")])), [3, 5]);
    let twice = [pod("a", "Running", "2"), pod("b", "Running", "2")];
    assert!(matches!(planned(&job, &twice), Plan::Delete(pods) if pods.len() == 1));
    let mut long = job.clone();
    long.set(&["metadata", "name"], "n".repeat(63));
    let name = new_pod(&long, Some(12), None).str_at(&["metadata", "generateName"]).to_owned();
    assert_eq!((name.len(), name.ends_with("n-12-")), (58, true));
}

#[test]
fn each_index_has_its_own_limit_and_delay() {
    let spec = tree!({"parallelism": 3, "completions": 3, "completionMode": "Indexed", "backoffLimitPerIndex": 1, "backoffLimit": 100});
    let job = job(spec);
    let failed = |name: &str, index: &str, before: &str| {
        let mut pod = (*pod(name, "Failed", index)).clone();
        pod.set(&["metadata", "annotations", FAILURES], before);
        Arc::new(pod)
    };
    let pods = [failed("a", "0", "0"), failed("b", "1", "1")];
    assert_eq!(made(planned(&job, &pods)), [2], "0 waits, 1 is given up");
    let pods = [failed("b", "1", "1"), pod("a", "Succeeded", "0"), pod("c", "Succeeded", "2")];
    assert_eq!(ended(&job, &pods).as_deref(), Some("FailedIndexes"));
    let mut strict = job.clone();
    strict.set(&["spec", "maxFailedIndexes"], 0);
    assert_eq!(ended(&strict, &pods[..1]).as_deref(), Some("MaxFailedIndexesExceeded"));
    let again = new_pod(&job, Some(0), Some(&failed("a", "0", "0")));
    assert_eq!(again.str_at(&["metadata", "annotations", FAILURES]), "1");
}
