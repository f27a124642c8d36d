//! Completion indexes: which of a job's pieces of work are done or given up, as sets and as the texts of a status.

use super::policy;
use crate::owner;
use api::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub const INDEX: &str = "batch.kubernetes.io/job-completion-index";
pub const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
pub const IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

pub type Indexes = BTreeSet<i64>;

pub fn is_indexed(job: &Value) -> bool {
    job.str_at(&["spec", "completionMode"]) == "Indexed"
}

/// Each index has its own limit of failures.
pub fn limits_each(job: &Value) -> bool {
    job.i64_at(&["spec", "backoffLimitPerIndex"]).is_some()
}

fn completions(job: &Value) -> i64 {
    job.i64_at(&["spec", "completions"]).unwrap_or(0)
}

/// The index that a pod works on.
pub fn index_of(pod: &Value) -> Option<i64> {
    pod.str_at(&["metadata", "annotations", INDEX]).parse().ok().filter(|index| *index >= 0)
}

/// The index of a pod, if the job has it.
pub fn valid_index(job: &Value, pod: &Value) -> Option<i64> {
    index_of(pod).filter(|index| *index < completions(job))
}

/// The indexes of a text such as `0-2,5`, below `end`.
pub fn parse(text: &str, end: i64) -> Indexes {
    let part = |part: &str| -> Option<std::ops::RangeInclusive<i64>> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse::<i64>().ok()?.min(end - 1))
    };
    text.split(',').filter_map(part).flatten().collect()
}

/// The same, as a text.
pub fn format(indexes: &Indexes) -> String {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => runs.push((*index, *index)),
        }
    }
    let text = |(first, last): &(i64, i64)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    };
    runs.iter().map(text).collect::<Vec<_>>().join(",")
}

/// Done before, as the status says.
pub fn done_before(job: &Value) -> Indexes {
    parse(job.str_at(&["status", "completedIndexes"]), completions(job))
}

/// Given up: before, or as pods failed too often or by a policy.
pub fn given_up(job: &Value, tracked: &[Arc<Value>]) -> Indexes {
    let mut given_up = parse(job.str_at(&["status", "failedIndexes"]), completions(job));
    let limit = job.i64_at(&["spec", "backoffLimitPerIndex"]).unwrap_or(0);
    for pod in tracked.iter().filter(|pod| policy::has_failed(job, pod)) {
        let verdict = policy::judge_failure(job, pod);
        let too_often = verdict.counts && failures(pod, FAILURES) >= limit;
        if let Some(index) = valid_index(job, pod).filter(|_| verdict.fails_index || too_often) {
            given_up.insert(index);
        }
    }
    given_up
}

fn failures(pod: &Value, annotation: &str) -> i64 {
    pod.str_at(&["metadata", "annotations", annotation]).parse().unwrap_or(0)
}

/// How often the index of a pod failed before it, counted or not.
pub fn all_failures(pod: &Value) -> i64 {
    failures(pod, FAILURES) + failures(pod, IGNORED_FAILURES)
}

/// How often an index has failed when this pod of it is replaced: counted, and not counted.
pub fn failures_after(job: &Value, replaced: Option<&Arc<Value>>) -> (i64, i64) {
    let Some(pod) = replaced else { return (0, 0) };
    let (counted, ignored) = (failures(pod, FAILURES), failures(pod, IGNORED_FAILURES));
    match policy::judge_failure(job, pod).counts {
        true => (counted + 1, ignored),
        false => (counted, ignored + 1),
    }
}

/// The last failed pod of each index that is to be tried again: it stays until its replacement is there.
pub fn to_replace(
    job: &Value,
    tracked: &[Arc<Value>],
    settled: impl Fn(i64) -> bool,
) -> BTreeMap<i64, Arc<Value>> {
    let mut last: BTreeMap<i64, Arc<Value>> = BTreeMap::new();
    for pod in tracked.iter().filter(|pod| policy::has_failed(job, pod)) {
        let Some(index) = valid_index(job, pod).filter(|index| !settled(*index)) else { continue };
        let is_later = last.get(&index).is_none_or(|known| {
            all_failures(known) <= all_failures(pod)
                && super::backoff::finished_at(pod) >= super::backoff::finished_at(known)
        });
        if is_later {
            last.insert(index, pod.clone());
        }
    }
    last
}

/// Pods of an indexed job that have no business to be there: without a valid index, or with one that another has.
/// They are taken out of `pods`; of those with the same index the last in `order` stays.
pub fn take_superfluous(
    job: &Value,
    pods: &mut Vec<Arc<Value>>,
    order: impl Fn(&mut [Arc<Value>]),
) -> Vec<Arc<Value>> {
    let mut by_index: BTreeMap<i64, Vec<Arc<Value>>> = BTreeMap::new();
    let mut superfluous = Vec::new();
    for pod in pods.drain(..) {
        match valid_index(job, &pod) {
            Some(index) => by_index.entry(index).or_default().push(pod),
            None => superfluous.push(pod),
        }
    }
    for mut same in by_index.into_values() {
        order(&mut same);
        pods.extend(same.pop());
        superfluous.append(&mut same);
    }
    superfluous
}

/// Pods on their way out that are not finished.
pub fn leaving_indexes(pods: &[Arc<Value>]) -> Indexes {
    let leaving = pods.iter().filter(|pod| owner::is_leaving(pod) && !crate::pods::is_finished(pod));
    leaving.filter_map(|pod| index_of(pod)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn indexes_are_written_as_runs_and_read_below_an_end() {
        assert_eq!(format(&parse("0,1,2,4,5,9", 100)), "0-2,4,5,9");
        assert_eq!(format(&parse("0-4294967295", 3)), "0-2");
        assert!(parse("5-9", 3).is_empty() && parse("", 3).is_empty());
    }

    #[test]
    fn an_index_is_given_up_when_it_failed_too_often() {
        let job = tree!({"spec": {"completions": 3, "completionMode": "Indexed", "backoffLimitPerIndex": 1}});
        let pod = |index: &str, before: &str| {
            Arc::new(
                tree!({"metadata": {"annotations": {(INDEX): index, (FAILURES): before}}, "status": {"phase": "Failed"}}),
            )
        };
        assert_eq!(given_up(&job, &[pod("0", "0"), pod("1", "1"), pod("7", "1")]), Indexes::from([1]));
        let last = to_replace(&job, &[pod("0", "0"), pod("1", "1")], |index| index == 1);
        assert_eq!(last.keys().collect::<Vec<_>>(), [&0]);
        assert_eq!(failures_after(&job, last.get(&0)), (1, 0));
        assert_eq!(failures_after(&job, None), (0, 0));
    }

    #[test]
    fn one_pod_of_each_index_stays() {
        let job = tree!({"spec": {"completions": 2}});
        let pod = |name: &str, index: &str| {
            Arc::new(tree!({"metadata": {"name": name, "annotations": {(INDEX): index}}}))
        };
        let mut pods = vec![pod("a", "0"), pod("b", "0"), pod("c", "1"), pod("d", "2"), pod("e", "")];
        let gone = take_superfluous(&job, &mut pods, |_| {});
        let names = |pods: &[Arc<Value>]| {
            pods.iter().map(|p| p.str_at(&["metadata", "name"]).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            (names(&pods), names(&gone)),
            (vec!["b".into(), "c".into()], vec!["d".into(), "e".into(), "a".into()])
        );
    }
}
