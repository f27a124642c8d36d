//! Checks of a Job's status: what a controller, ours or another's, may report. A rule is applied only where what it
//! is about has changed, so that old objects with odd statuses can still be written.

use super::index_intervals;
use crate::apps::workload::{counter_faults, differs};
use crate::internal_form::internal_form;
use api::{Fault, Path, Value};
use std::collections::BTreeSet;

const UNCOUNTED: &str = "io.k8s.api.batch.v1.UncountedTerminatedPods";

/// True when a condition has a status.
pub fn condition_is(job: &Value, ty: &str, status: &str) -> bool {
    job.list_at(&["status", "conditions"])
        .iter()
        .any(|c| c.str_at(&["type"]) == ty && c.str_at(&["status"]) == status)
}

/// The word of the column `Status`.
pub fn word(job: &Value) -> &'static str {
    let is = |ty| condition_is(job, ty, "True");
    if is("Complete") {
        "Complete"
    } else if is("Failed") {
        "Failed"
    } else if !job.str_at(&["metadata", "deletionTimestamp"]).is_empty() {
        "Terminating"
    } else {
        ["Suspended", "FailureTarget", "SuccessCriteriaMet"]
            .into_iter()
            .find(|ty| is(ty))
            .unwrap_or("Running")
    }
}

/// A change of status: the two objects and what is asked of them over and over.
struct Change<'a> {
    new: &'a Value,
    old: &'a Value,
    faults: Vec<Fault>,
}

/// All faults of a change of status.
pub fn faults(new: &Value, old: &Value) -> Vec<Fault> {
    let mut change = Change { new, old, faults: Vec::new() };
    let counters = ["active", "succeeded", "failed", "ready", "terminating"];
    if let Some(status) = new.get("status") {
        change.faults = counter_faults(status, &counters, &Path::new("status"));
    }
    change.uncounted_pods();
    change.terminal_conditions();
    change.times();
    change.targets();
    change.finished();
    change.indexes();
    change.counts();
    change.criteria();
    change.transitions();
    change.faults
}

fn at(field: &str) -> Path {
    Path::new("status").child(field)
}

impl Change<'_> {
    fn is(&self, ty: &str) -> bool {
        condition_is(self.new, ty, "True")
    }

    fn was(&self, ty: &str) -> bool {
        condition_is(self.old, ty, "True")
    }

    fn turned(&self, ty: &str) -> bool {
        self.is(ty) != self.was(ty)
    }

    fn finished_turned(&self) -> bool {
        self.is_finished() != (self.was("Complete") || self.was("Failed"))
    }

    fn is_finished(&self) -> bool {
        self.is("Complete") || self.is("Failed")
    }

    fn changed(&self, field: &str) -> bool {
        differs(self.new, self.old, &["status", field])
    }

    fn text(&self, field: &str) -> &str {
        self.new.str_at(&["status", field])
    }

    fn number(&self, field: &str) -> i64 {
        self.new.i64_at(&["status", field]).unwrap_or(0)
    }

    fn spec(&self, field: &str) -> Option<i64> {
        self.new.i64_at(&["spec", field])
    }

    fn indexed(&self) -> bool {
        self.new.str_at(&["spec", "completionMode"]) == "Indexed"
    }

    /// The failed indexes, where they are reported.
    fn failed_indexes(&self) -> Option<&str> {
        self.new.at(&["status", "failedIndexes"]).and_then(Value::as_str)
    }

    /// A fault of the conditions as a whole.
    fn conditions(&mut self, when: bool, detail: impl Into<String>) {
        if when {
            self.faults.push(Fault::invalid_unshown(at("conditions"), detail));
        }
    }

    /// A fault of a field, which is shown.
    fn field(&mut self, when: bool, field: &str, detail: impl Into<String>) {
        if when {
            let shown = self.new.at(&["status", field]).cloned().unwrap_or_default();
            self.faults.push(Fault::invalid(at(field), shown, detail));
        }
    }

    fn uncounted_pods(&mut self) {
        let mut seen = BTreeSet::new();
        for list in ["succeeded", "failed"] {
            let list_at = at("uncountedTerminatedPods").child(list);
            let uids = self.new.list_at(&["status", "uncountedTerminatedPods", list]);
            for (i, uid) in uids.iter().enumerate() {
                let (at, uid) = (list_at.index(i), uid.as_str().unwrap_or_default());
                if uid.is_empty() {
                    self.faults.push(Fault::invalid(at, uid, "must not be empty"));
                } else if !seen.insert(uid) {
                    self.faults.push(Fault::duplicate(at, uid));
                }
            }
        }
    }

    fn terminal_conditions(&mut self) {
        let complete = self.is("Complete");
        let turned = self.turned("Complete");
        let both = (turned || self.turned("Failed")) && complete && self.is("Failed");
        self.conditions(both, "cannot set Complete=True and Failed=true conditions");
        let both = (turned || self.turned("FailureTarget")) && complete && self.is("FailureTarget");
        self.conditions(both, "cannot set Complete=True and FailureTarget=true conditions");
    }

    fn times(&mut self) {
        let complete = self.is("Complete");
        let completed = !self.text("completionTime").is_empty();
        let relevant = self.turned("Complete") || self.changed("completionTime");
        let detail = "cannot set completionTime when there is no Complete=True condition";
        self.field(relevant && completed && !complete, "completionTime", detail);
        if relevant && !completed && complete {
            let detail = "completionTime is required for Complete jobs";
            self.faults.push(Fault::required(at("completionTime"), detail));
        }
        let relevant = self.changed("startTime") || self.changed("completionTime");
        let (start, end) = (self.text("startTime"), self.text("completionTime"));
        let backwards = relevant && !start.is_empty() && completed && end < start;
        self.field(backwards, "completionTime", "must be equal to or after `startTime`");
    }

    fn targets(&mut self) {
        let relevant = self.turned("Failed") || self.changed("failedIndexes");
        let untargeted = relevant && self.is("Failed") && !self.is("FailureTarget");
        let detail = "cannot set Failed=True condition without the FailureTarget=true condition";
        self.conditions(untargeted, detail);
        let relevant = self.turned("Complete") || self.turned("SuccessCriteriaMet");
        let unmet = relevant && self.is("Complete") && !self.is("SuccessCriteriaMet");
        let detail = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition";
        self.conditions(unmet, detail);
    }

    fn finished(&mut self) {
        let (finished, turned) = (self.is_finished(), self.finished_turned());
        let active = (turned || self.changed("active")) && finished && self.number("active") > 0;
        self.field(active, "active", "active>0 is invalid for finished job");
        let nothing_to_do = self.new.bool_at(&["spec", "suspend"]) && self.spec("completions") == Some(0);
        let relevant = (turned || self.changed("startTime")) && !nothing_to_do;
        if relevant && finished && self.text("startTime").is_empty() {
            self.faults.push(Fault::required(at("startTime"), "startTime is required for finished job"));
        }
        let field = "uncountedTerminatedPods";
        let pods = self.new.at(&["status", field]);
        let any = pods.is_some_and(|p| ["failed", "succeeded"].iter().any(|l| !p.list_at(&[l]).is_empty()));
        if (turned || self.changed(field)) && finished && any {
            let shown = internal_form(pods, UNCOUNTED);
            self.faults.push(Fault::invalid(at(field), shown, "must be empty for finished job"));
        }
    }

    fn indexes(&mut self) {
        let (completed_changed, failed_changed) =
            (self.changed("completedIndexes"), self.changed("failedIndexes"));
        let completed = self.text("completedIndexes").to_owned();
        let failed = self.failed_indexes().map(str::to_owned);
        let per_index = self.spec("backoffLimitPerIndex").is_some();
        if let Some(completions) = self.spec("completions") {
            let parse = |text: &str| index_intervals::count(text, completions).err();
            if let Some(e) = parse(&completed).filter(|_| completed_changed) {
                self.field(true, "completedIndexes", format!("error parsing completedIndexes: {e}"));
            }
            let failed = failed.as_deref().filter(|_| failed_changed && per_index);
            if let Some(e) = failed.and_then(parse) {
                self.field(true, "failedIndexes", format!("error parsing failedIndexes: {e}"));
            }
        }
        let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
        let misplaced = completed_changed && !completed.is_empty() && !self.indexed();
        self.field(misplaced, "completedIndexes", detail);
        let detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        self.field(failed_changed && !per_index && failed.is_some(), "failedIndexes", detail);
        if let (Some(completions), Some(failed)) = (self.spec("completions"), failed)
            && (completed_changed || failed_changed)
            && let Some(index) = index_intervals::overlap(&completed, &failed, completions)
        {
            let detail = format!("failedIndexes and completedIndexes overlap at index: {index}");
            self.field(true, "failedIndexes", detail);
        }
    }

    fn counts(&mut self) {
        let relevant = self.finished_turned() || self.changed("terminating");
        let terminating = relevant && self.number("terminating") > 0 && self.is_finished();
        self.field(terminating, "terminating", "terminating>0 is invalid for finished job");
        let relevant = self.changed("ready") || self.changed("active");
        let more = relevant && self.number("ready") > self.number("active");
        self.field(more, "ready", "cannot set more ready pods than active");
    }

    fn criteria(&mut self) {
        let met = self.is("SuccessCriteriaMet");
        let (failed, target) = (self.is("Failed"), self.is("FailureTarget"));
        self.conditions(met && failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions");
        self.conditions(
            met && target,
            "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
        );
        let policy = self.new.at(&["spec", "successPolicy"]).is_some_and(|v| !v.is_null());
        let detail = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
        self.conditions(policy && !met && self.is("Complete"), detail);
    }

    /// What may not be taken back.
    fn transitions(&mut self) {
        for ty in ["Failed", "Complete", "FailureTarget"] {
            let disabled = self.was(ty) && !self.is(ty);
            self.conditions(disabled, format!("cannot disable the terminal {ty}=True condition"));
        }
        let before = |field: &str| self.old.i64_at(&["status", field]).unwrap_or(0);
        let (failed, succeeded) = (before("failed"), before("succeeded"));
        self.decreasing("failed", failed, "cannot decrease the failed counter");
        if !self.indexed() || self.spec("completions") != self.spec("parallelism") {
            self.decreasing("succeeded", succeeded, "cannot decrease the succeeded counter");
        }
        let had = |field: &str| !self.old.str_at(&["status", field]).is_empty();
        let moved = had("completionTime")
            && !self.text("completionTime").is_empty()
            && self.changed("completionTime");
        let resuming =
            condition_is(self.old, "Suspended", "True") && condition_is(self.new, "Suspended", "False");
        let restarted = had("startTime")
            && self.changed("startTime")
            && !resuming
            && !self.new.bool_at(&["spec", "suspend"]);
        self.field(moved, "completionTime", "field is immutable");
        self.field(restarted, "startTime", "field is immutable for unsuspended job once set");
        let (met, was_met) = (self.is("SuccessCriteriaMet"), self.was("SuccessCriteriaMet"));
        self.conditions(was_met && !met, "cannot disable the SuccessCriteriaMet=True condition");
        let detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        self.conditions(self.was("Complete") && !was_met && met, detail);
    }

    fn decreasing(&mut self, field: &str, before: i64, detail: &str) {
        let now = self.number(field);
        if now < before {
            self.faults.push(Fault::invalid(at(field), now, detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts;
    use api::tree;

    #[test]
    fn completing_needs_times_and_met_criteria() {
        let new = tree!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}});
        assert_eq!(
            texts(&faults(&new, &tree!({}))),
            [
                "status.completionTime: Required value: completionTime is required for Complete jobs",
                "status.conditions: Invalid value: cannot set Complete=True condition without the \
                 SuccessCriteriaMet=true condition",
                "status.startTime: Required value: startTime is required for finished job",
            ]
        );
    }

    #[test]
    fn counters_do_not_go_back() {
        let old = tree!({"status": {"failed": 2, "succeeded": 1}});
        let new = tree!({"status": {"failed": 1, "succeeded": 0}});
        assert_eq!(
            texts(&faults(&new, &old)),
            [
                "status.failed: Invalid value: 1: cannot decrease the failed counter",
                "status.succeeded: Invalid value: 0: cannot decrease the succeeded counter",
            ]
        );
    }

    #[test]
    fn an_unchanged_status_is_fine_however_odd() {
        let odd = tree!({"status": {"active": 3, "conditions": [{"type": "Complete", "status": "True"}],
            "completionTime": "2024-01-01T00:00:00Z", "startTime": "2025-01-01T00:00:00Z"}});
        assert!(faults(&odd, &odd).is_empty());
    }
}
