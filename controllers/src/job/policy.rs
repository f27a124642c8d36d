//! What a failed pod means to its job, and when enough has succeeded: podFailurePolicy and successPolicy.

use super::indexes::{self, Indexes};
use crate::{owner, pods};
use api::Value;

/// What a policy makes of a failed pod.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// It counts towards limits.
    pub counts: bool,
    /// Its index is given up at once.
    pub fails_index: bool,
    /// The job fails, for this reason.
    pub fails_job: Option<String>,
}

/// Only pods that failed are replaced, not those that are on their way out.
pub fn waits_for_end(job: &Value) -> bool {
    job.str_at(&["spec", "podReplacementPolicy"]) == "Failed"
        || job.at(&["spec", "podFailurePolicy"]).is_some()
}

/// A pod that is on its way out before it succeeded counts as failed, unless the job waits for its end.
pub fn has_failed(job: &Value, pod: &Value) -> bool {
    match pods::phase(pod) {
        "Failed" => true,
        "Succeeded" => false,
        _ => owner::is_leaving(pod) && !waits_for_end(job),
    }
}

pub fn judge_failure(job: &Value, pod: &Value) -> Verdict {
    for (at, rule) in job.list_at(&["spec", "podFailurePolicy", "rules"]).iter().enumerate() {
        let action = rule.str_at(&["action"]);
        let Some(what) = matched(rule, pod) else { continue };
        let message = || format!("{what} matching {action} rule at index {at}");
        return Verdict {
            counts: action != "Ignore",
            fails_index: action == "FailIndex",
            fails_job: (action == "FailJob").then(message),
        };
    }
    Verdict { counts: true, fails_index: false, fails_job: None }
}

/// What of a pod a rule is about.
fn matched(rule: &Value, pod: &Value) -> Option<String> {
    let name = || client::key_of(pod);
    if let Some(wanted) = rule.get("onExitCodes").filter(|wanted| !wanted.is_null()) {
        let statuses = |field: &str| pod.list_at(&["status", field]).iter();
        let mut all = statuses("containerStatuses").chain(statuses("initContainerStatuses"));
        let (container, code) = all.find_map(|status| Some((status, failed_code(status, wanted)?)))?;
        let container = container.str_at(&["name"]);
        return Some(format!("Container {container} for pod {} failed with exit code {code}", name()));
    }
    let wanted = rule.list_at(&["onPodConditions"]);
    let same = |condition: &&Value| {
        let same = |pattern: &Value, field: &str| pattern.str_at(&[field]) == condition.str_at(&[field]);
        wanted.iter().any(|pattern| same(pattern, "type") && same(pattern, "status"))
    };
    let found = pod.list_at(&["status", "conditions"]).iter().find(same)?;
    Some(format!("Pod {} has condition {}", name(), found.str_at(&["type"])))
}

/// The exit code of a container that a rule is about.
fn failed_code(status: &Value, wanted: &Value) -> Option<i64> {
    let container = wanted.str_at(&["containerName"]);
    if !container.is_empty() && container != status.str_at(&["name"]) {
        return None;
    }
    let code = status.at(&["state", "terminated"])?.i64_at(&["exitCode"]).filter(|code| *code != 0)?;
    let listed = wanted.list_at(&["values"]).iter().any(|value| value.as_i64() == Some(code));
    let is_match = match wanted.str_at(&["operator"]) {
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    };
    is_match.then_some(code)
}

/// Why the job has succeeded although not all of it is done.
pub fn success(job: &Value, done: &Indexes) -> Option<String> {
    if done.is_empty() {
        return None;
    }
    let completions = job.i64_at(&["spec", "completions"]).unwrap_or(0);
    let holds = |rule: &Value| {
        let count = rule.i64_at(&["succeededCount"]);
        let enough = |have: usize| count.is_some_and(|count| super::plan::count(have) >= count);
        match rule.str_at(&["succeededIndexes"]) {
            "" => enough(done.len()),
            text => {
                let wanted = indexes::parse(text, completions);
                let have = wanted.intersection(done).count();
                !wanted.is_empty() && (have == wanted.len() || enough(have))
            }
        }
    };
    let at = job.list_at(&["spec", "successPolicy", "rules"]).iter().position(holds)?;
    Some(format!("Matched rules at index {at}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn failed(code: i64) -> Value {
        tree!({
            "metadata": {"name": "p", "namespace": "n"},
            "status": {"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True"}],
                "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": code}}}]}
        })
    }

    fn job(rules: Value) -> Value {
        tree!({"spec": {"completions": 5, "podFailurePolicy": {"rules": rules}}})
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let rules = tree!([
            {"action": "FailJob", "onExitCodes": {"containerName": "c", "operator": "In", "values": [42]}},
            {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [43]}},
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
        ]);
        let verdict = judge_failure(&job(rules.clone()), &failed(42));
        let message = "Container c for pod n/p failed with exit code 42 matching FailJob rule at index 0";
        assert_eq!(verdict.fails_job.as_deref(), Some(message));
        assert!(judge_failure(&job(rules.clone()), &failed(43)).fails_index);
        assert!(!judge_failure(&job(rules), &failed(1)).counts);
        let other = tree!([{"action": "Ignore", "onExitCodes": {"operator": "NotIn", "values": [1]}}]);
        assert!(judge_failure(&job(other.clone()), &failed(1)).counts);
        assert!(judge_failure(&job(other), &failed(0)).counts, "nothing failed");
    }

    #[test]
    fn a_pod_on_its_way_out_has_failed_unless_the_job_waits_for_its_end() {
        let leaving = tree!({"metadata": {"deletionTimestamp": "t"}, "status": {"phase": "Running"}});
        assert!(has_failed(&Value::map(), &leaving));
        assert!(!has_failed(&tree!({"spec": {"podReplacementPolicy": "Failed"}}), &leaving));
        assert!(!has_failed(&job(tree!([])), &leaving));
    }

    #[test]
    fn some_indexes_may_be_enough() {
        let job = |rule: Value| tree!({"spec": {"completions": 5, "successPolicy": {"rules": [rule]}}});
        let done = Indexes::from([0, 2]);
        let matched = Some("Matched rules at index 0".to_owned());
        assert_eq!(success(&job(tree!({"succeededIndexes": "0,2"})), &done), matched);
        assert_eq!(success(&job(tree!({"succeededIndexes": "0-3"})), &done), None);
        assert_eq!(success(&job(tree!({"succeededIndexes": "0-3", "succeededCount": 2})), &done), matched);
        assert_eq!(success(&job(tree!({"succeededCount": 3})), &done), None);
    }
}
