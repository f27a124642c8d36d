//! Job: pods that run to completion. Unless told otherwise the server makes its selector and the labels of its pods.

use super::{job_spec, job_status};
use crate::apps::workload::{default_text, default_to};
use crate::apps::{template, workload};
use crate::{Column, Cx, Info, Kind, Propagation, keep_field, print, reset_status, validation};
use api::selector::LabelSelector;
use api::{Fault, Map, Path, Value, names, tree};

const SPEC: &str = "io.k8s.api.batch.v1.JobSpec";
const STATUS: &str = "io.k8s.api.batch.v1.JobStatus";
/// Labels of a Job's pods; those without a prefix are from older days.
const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];
const UID_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];
const TEMPLATE: [&str; 2] = ["spec", "template"];
const LABELS: [&str; 4] = ["spec", "template", "metadata", "labels"];

pub struct Job(Info);

impl Job {
    pub fn new() -> Self {
        let info =
            Info::new("batch", "v1", "Job", "jobs").categories(&["all"]).with_generation().with_status();
        Job(info)
    }
}

impl Kind for Job {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        let has = |obj: &Value, field: &str| obj.at(&["spec", field]).is_some_and(|v| !v.is_null());
        if !has(obj, "completions") && !has(obj, "parallelism") {
            obj.set(&["spec", "completions"], 1);
        }
        default_to(obj, &["spec", "parallelism"], 1);
        let backoff = if has(obj, "backoffLimitPerIndex") { i32::MAX } else { 6 };
        default_to(obj, &["spec", "backoffLimit"], backoff);
        copy_template_labels(obj);
        default_to(obj, &["spec", "completionMode"], "NonIndexed");
        default_to(obj, &["spec", "suspend"], false);
        let replacement = if has(obj, "podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
        default_to(obj, &["spec", "podReplacementPolicy"], replacement);
        default_to(obj, &["spec", "manualSelector"], false);
        fill_spec(obj, &["spec"]);
    }

    fn grows_when_read(&self) -> bool {
        true
    }

    fn prepare_create(&self, obj: &mut Value, _cx: &Cx<'_>) {
        if !obj.bool_at(&["spec", "manualSelector"]) {
            generate_selector(obj);
        }
        reset_status(obj);
        template::drop_disabled_at(obj, None, &TEMPLATE);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_field(new, old, "status");
        template::drop_disabled_at(new, Some(old), &TEMPLATE);
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        job_faults(obj, None)
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = job_faults(new, Some(old));
        faults.extend(job_spec::update_faults(new, old));
        faults
    }

    fn validate_lens(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        job_status::faults(new, old)
    }

    fn warn(&self, new: &Value, old: Option<&Value>, cx: &Cx<'_>) -> Vec<String> {
        if !cx.subresource.is_empty() || old.is_some_and(|old| !workload::differs(new, old, &["spec"])) {
            return Vec::new();
        }
        let mut warnings = Vec::new();
        if old.is_none() {
            warnings.extend(workload::name_warning(new));
        }
        warnings.extend(spec_warnings(new, old, &["spec"]));
        warnings
    }

    fn columns(&self) -> Vec<Column> {
        let mut columns = vec![
            Column::name(),
            Column::text("Status", "string", "Status of the job."),
            Column::field("Completions", "string", STATUS, "succeeded"),
            Column::text("Duration", "string", "Time required to complete the job."),
            Column::age(),
        ];
        columns.extend(workload::container_columns());
        columns.push(Column::field("Selector", "string", SPEC, "selector").wide());
        columns
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let (containers, images) = print::containers(obj.at(&["spec", "template", "spec"]));
        vec![
            print::name(obj),
            job_status::word(obj).into(),
            completions(obj).into(),
            duration(obj, now).into(),
            print::age(obj, now),
            containers.into(),
            images.into(),
            print::label_selector(obj.at(&["spec", "selector"])).into(),
        ]
    }

    fn fields(&self, obj: &Value) -> Vec<(&'static str, String)> {
        let succeeded = obj.i64_at(&["status", "succeeded"]).unwrap_or(0);
        vec![("status.successful", succeeded.to_string())]
    }

    fn unsupported_field(&self, label: &str) -> String {
        format!("field label {} not supported for Job", api::quote(label))
    }

    fn default_propagation(&self) -> Propagation {
        Propagation::Orphan
    }
}

/// Defaults of a JobSpec that hold inside CronJobs as well.
pub(super) fn fill_spec(obj: &mut Value, path: &[&str]) {
    let spec = [path, &["podFailurePolicy", "rules"]].concat();
    for rule in obj.at_mut(&spec).and_then(Value::as_list_mut).into_iter().flatten() {
        let conditions = rule.get_mut("onPodConditions").and_then(Value::as_list_mut);
        for condition in conditions.into_iter().flatten() {
            default_text(condition, &["status"], "True");
        }
    }
    template::fill_at(obj, &[path, &["template"]].concat());
}

/// Warnings about a JobSpec at a path.
pub(super) fn spec_warnings(new: &Value, old: Option<&Value>, path: &[&str]) -> Vec<String> {
    let number = |field: &str| new.at(path).and_then(|spec| spec.i64_at(&[field])).unwrap_or(0);
    let indexed = new.at(path).is_some_and(|spec| spec.str_at(&["completionMode"]) == "Indexed");
    let mut warnings = Vec::new();
    if indexed && number("completions") > 100_000 && number("parallelism") > 10_000 {
        warnings.push(format!(
            "{}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, \
             Kubernetes might not be able to track completedIndexes when a big number of indexes fail",
            path.join(".")
        ));
    }
    warnings.extend(template::warnings_at(new, old, &[path, &["template"]].concat()));
    warnings
}

/// Jobs without labels take those of their pods.
fn copy_template_labels(obj: &mut Value) {
    let labels = obj.map_at(&LABELS).cloned();
    let unlabelled = obj.map_at(&["metadata", "labels"]).is_none_or(Map::is_empty);
    if let Some(labels) = labels.filter(|l| unlabelled && !l.is_empty()) {
        obj.set(&["metadata", "labels"], labels);
    }
}

/// Labels that only this Job's pods have, and the selector for them. Labels that the Job took from its pods grow along.
fn generate_selector(obj: &mut Value) {
    let own = obj.map_at(&["metadata", "labels"]).cloned().unwrap_or_default();
    let follows = !own.is_empty() && obj.map_at(&LABELS) == Some(&own);
    let (name, uid) =
        (obj.str_at(&["metadata", "name"]).to_owned(), obj.str_at(&["metadata", "uid"]).to_owned());
    let labels = obj.make_map(&LABELS);
    for (keys, value) in [(NAME_LABELS, &name), (UID_LABELS, &uid)] {
        for key in keys {
            if !labels.contains_key(key) {
                labels.insert(key, value.as_str());
            }
        }
    }
    labels.sort();
    let labels = labels.clone();
    if follows {
        obj.set(&["metadata", "labels"], labels);
    }
    default_to(obj, &["spec", "selector", "matchLabels", UID_LABELS[1]], uid);
}

fn job_faults(obj: &Value, old: Option<&Value>) -> Vec<Fault> {
    let has_new_labels = |old: &Value| {
        let labels = old.map_at(&LABELS);
        labels.is_some_and(|l| l.contains_key(NAME_LABELS[1]) && l.contains_key(UID_LABELS[1]))
    };
    let mut faults = generated_faults(obj, old.is_none_or(has_new_labels));
    faults.extend(job_spec::faults(obj, old));
    let (name, completions) = (obj.str_at(&["metadata", "name"]), obj.i64_at(&["spec", "completions"]));
    let indexed = obj.str_at(&["spec", "completionMode"]) == "Indexed";
    if let Some(completions) = completions.filter(|c| indexed && *c > 0) {
        let hostname = format!("{name}-{}", completions - 1);
        if !names::is_dns1123_label(&hostname).is_empty() {
            let detail = format!("will not able to create pod with invalid DNS label: {hostname}");
            faults.push(Fault::invalid("metadata.name", name, detail));
        }
    }
    faults
}

/// A generated selector must be the one of this Job's name and uid.
fn generated_faults(obj: &Value, prefixed: bool) -> Vec<Fault> {
    let Some(selector) = obj.at(&["spec", "selector"]).filter(|v| !v.is_null()) else { return Vec::new() };
    if obj.bool_at(&["spec", "manualSelector"]) {
        return Vec::new();
    }
    let (name, uid) = (obj.str_at(&["metadata", "name"]), obj.str_at(&["metadata", "uid"]));
    let mut faults = validation::required(uid, &Path::new("metadata").child("uid"));
    let mut expected = tree!({});
    let kinds: &[usize] = if prefixed { &[0, 1] } else { &[0] };
    for i in kinds {
        for (key, value) in [(UID_LABELS[*i], uid), (NAME_LABELS[*i], name)] {
            faults.extend(label_fault(obj, key, value));
            expected.set(&[key], value);
        }
    }
    let matches = LabelSelector::from_value(Some(selector)).map(|s| s.matches(expected.as_map()));
    if matches == Ok(false) {
        faults.push(Fault::invalid("spec.selector", selector.clone(), "`selector` not auto-generated"));
    }
    faults
}

fn label_fault(obj: &Value, key: &str, wanted: &str) -> Option<Fault> {
    let at = Path::new("spec.template.metadata").child("labels").key(key);
    let labels = obj.at(&LABELS);
    match labels.and_then(|l| l.get(key)).and_then(Value::as_str) {
        None => Some(Fault::required(at, format!("must be '{wanted}'"))),
        Some(found) if found == wanted => None,
        Some(_) => {
            Some(Fault::invalid(at, labels.cloned().unwrap_or_default(), format!("must be '{wanted}'")))
        }
    }
}

/// `1/3`, or `1/1 of 5` for work queues.
fn completions(obj: &Value) -> String {
    let succeeded = obj.i64_at(&["status", "succeeded"]).unwrap_or(0);
    let parallelism = obj.i64_at(&["spec", "parallelism"]).unwrap_or(0);
    match obj.i64_at(&["spec", "completions"]) {
        Some(completions) => format!("{succeeded}/{completions}"),
        None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        None => format!("{succeeded}/1"),
    }
}

fn duration(obj: &Value, now: i64) -> String {
    let time = |field: &str| print::unix_secs(obj.str_at(&["status", field]));
    let Some(start) = time("startTime") else { return String::new() };
    print::human_duration(time("completionTime").unwrap_or(now) - start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cx, texts};

    fn generated(spec: Value) -> Value {
        let mut obj = tree!({"metadata": {"name": "j", "uid": "u"}, "spec": spec});
        generate_selector(&mut obj);
        obj
    }

    #[test]
    fn the_server_makes_selector_and_labels() {
        let mut obj = generated(tree!({"template": {}}));
        let labels = tree!({"batch.kubernetes.io/controller-uid": "u", "batch.kubernetes.io/job-name": "j",
            "controller-uid": "u", "job-name": "j"});
        assert_eq!(obj.at(&LABELS), Some(&labels));
        // The Job has them as well once it is read from the store.
        assert_eq!(obj.at(&["metadata", "labels"]), None);
        Job::new().fill(&mut obj, "v1");
        assert_eq!(obj.at(&["metadata", "labels"]), Some(&labels));
        let selector = tree!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}});
        assert_eq!(obj.at(&["spec", "selector"]), Some(&selector));
        assert!(generated_faults(&obj, true).is_empty());
    }

    #[test]
    fn labels_that_lie_are_refused() {
        let obj = generated(tree!({"template": {"metadata": {"labels": {"job-name": "other"}}}}));
        let faults = texts(&generated_faults(&obj, true));
        assert_eq!(faults.len(), 1);
        assert!(
            faults[0].starts_with("spec.template.metadata.labels[job-name]: Invalid value: {"),
            "{}",
            faults[0]
        );
        assert!(faults[0].ends_with(": must be 'j'"));
    }

    #[test]
    fn parallel_jobs_without_completions_stay_without() {
        let mut obj = tree!({"spec": {"parallelism": 2}});
        Job::new().fill(&mut obj, "v1");
        assert_eq!(obj.i64_at(&["spec", "completions"]), None);
        assert_eq!(obj.i64_at(&["spec", "backoffLimit"]), Some(6));
        let mut obj = tree!({"spec": {"backoffLimitPerIndex": 1}});
        Job::new().fill(&mut obj, "v1");
        assert_eq!(obj.i64_at(&["spec", "completions"]), Some(1));
        assert_eq!(obj.i64_at(&["spec", "backoffLimit"]), Some(2_147_483_647));
    }

    #[test]
    fn a_suspended_job_is_a_row() {
        let obj = tree!({"metadata": {"name": "j"}, "spec": {"completions": 3, "parallelism": 2},
            "status": {"conditions": [{"type": "Suspended", "status": "True"}]}});
        let cells = Job::new().cells(&obj, 0);
        assert_eq!(Value::List(cells[..4].to_vec()), tree!(["j", "Suspended", "0/3", ""]));
    }

    #[test]
    fn deleting_orphans_unless_asked() {
        assert_eq!(Job::new().default_propagation(), Propagation::Orphan);
        assert_eq!(Job::new().unsupported_field("spec.x"), "field label \"spec.x\" not supported for Job");
        let _ = cx("");
    }
}
