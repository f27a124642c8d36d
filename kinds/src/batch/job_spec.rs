//! Checks of a JobSpec, in a Job and in the template of a CronJob. Source: upstream's `apis/batch/validation`.

use super::job_policy::{failure_policy_faults, success_policy_faults};
use crate::apps::{template, workload};
use crate::internal_form::internal_form;
use crate::validation::{self, immutable};
use api::selector::LabelSelector;
use api::{Fault, Path, Value, names};

const MAX_INDEXED: i64 = 100_000;
const MAX_OF_MANY: i64 = 10_000;
const MAX_MANAGED_BY: usize = 63;
/// Immutable fields that are structs, and their types (faults show them as upstream's in-memory form).
const IMMUTABLE_STRUCTS: [(&str, &str); 5] = [
    ("completionMode", ""),
    ("podFailurePolicy", "io.k8s.api.batch.v1.PodFailurePolicy"),
    ("backoffLimitPerIndex", ""),
    ("managedBy", ""),
    ("successPolicy", "io.k8s.api.batch.v1.SuccessPolicy"),
];

/// All faults of a Job's spec.
pub fn faults(obj: &Value, old: Option<&Value>) -> Vec<Fault> {
    let (at, empty) = (Path::new("spec"), Value::map());
    let spec = obj.get("spec").unwrap_or(&empty);
    let mut faults = common_faults(spec, old.and_then(|o| o.get("spec")), &at);
    let selector = spec.get("selector").filter(|v| !v.is_null());
    if selector.is_none() {
        faults.push(Fault::required(at.child("selector"), ""));
    }
    faults.extend(validation::label_selector(selector, &at.child("selector")));
    if let Ok(selector) = LabelSelector::from_value(selector) {
        faults.extend(workload::label_mismatch(&selector, spec.get("template"), &at.child("template")));
    }
    faults
}

/// What a Job and a CronJob's template have in common.
pub fn common_faults(spec: &Value, old: Option<&Value>, at: &Path) -> Vec<Fault> {
    let counters = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    let mut faults = workload::counter_faults(spec, &counters, at);
    let number = |field: &str| spec.i64_at(&[field]);
    if number("maxFailedIndexes").is_some() && number("backoffLimitPerIndex").is_none() {
        faults.push(Fault::required(at.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"));
    }
    faults.extend(managed_by_faults(spec, &at.child("managedBy")));
    faults.extend(mode_faults(spec, at));
    if let Some(policy) = spec.get("podFailurePolicy").filter(|v| !v.is_null()) {
        faults.extend(failure_policy_faults(spec, policy, &at.child("podFailurePolicy")));
    }
    faults.extend(success_faults(spec, &at.child("successPolicy")));
    faults.extend(replacement_faults(spec, &at.child("podReplacementPolicy")));
    let old = old.and_then(|o| o.get("template"));
    faults.extend(template::faults(spec.get("template"), old, &at.child("template")));
    faults.extend(restart_faults(spec, &at.child("template").child("spec").child("restartPolicy")));
    faults
}

fn managed_by_faults(spec: &Value, at: &Path) -> Vec<Fault> {
    let Some(by) = spec.get("managedBy").and_then(Value::as_str) else { return Vec::new() };
    let mut faults = names::domain_prefixed_path_faults(by, at);
    if by.len() > MAX_MANAGED_BY {
        faults.push(Fault::too_long(at, MAX_MANAGED_BY));
    }
    faults
}

fn mode_faults(spec: &Value, at: &Path) -> Vec<Fault> {
    let mode = spec.str_at(&["completionMode"]);
    let mut faults = Vec::new();
    if !matches!(mode, "" | "NonIndexed" | "Indexed") {
        let known = ["NonIndexed", "Indexed"];
        faults.push(Fault::not_supported(at.child("completionMode"), mode, &known));
    }
    if mode == "Indexed" {
        faults.extend(indexed_faults(spec, at));
    }
    if matches!(mode, "" | "NonIndexed") {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if let Some(number) = spec.i64_at(&[field]) {
                faults.push(Fault::invalid(at.child(field), number, "requires indexed completion mode"));
            }
        }
    }
    faults
}

fn indexed_faults(spec: &Value, at: &Path) -> Vec<Fault> {
    let number = |field: &str| spec.i64_at(&[field]);
    let (completions, failed) = (number("completions"), number("maxFailedIndexes"));
    let mut faults = Vec::new();
    let mut above = |field: &str, limit: i64, detail: String| {
        if let Some(value) = number(field).filter(|v| *v > limit) {
            faults.push(Fault::invalid(at.child(field), value, detail));
        }
    };
    let detail = format!("must be less than or equal to {MAX_INDEXED} when completion mode is Indexed");
    above("parallelism", MAX_INDEXED, detail);
    if let Some(completions) = completions {
        above("maxFailedIndexes", completions, "must be less than or equal to completions".to_owned());
    }
    above("maxFailedIndexes", MAX_INDEXED, format!("must be less than or equal to {MAX_INDEXED}"));
    if completions.is_none() {
        let detail = "when completion mode is Indexed";
        faults.insert(0, Fault::required(at.child("completions"), detail));
    }
    if completions.is_some_and(|c| c > MAX_INDEXED) && number("backoffLimitPerIndex").is_some() {
        if failed.is_none() {
            let detail = format!("must be specified when completions is above {MAX_INDEXED}");
            faults.push(Fault::required(at.child("maxFailedIndexes"), detail));
        }
        let detail = format!(
            "must be less than or equal to {MAX_OF_MANY} when completions are above {MAX_INDEXED} and used with \
             backoff limit per index"
        );
        for field in ["parallelism", "maxFailedIndexes"] {
            if let Some(value) = number(field).filter(|v| *v > MAX_OF_MANY) {
                faults.push(Fault::invalid(at.child(field), value, detail.clone()));
            }
        }
    }
    faults
}

fn success_faults(spec: &Value, at: &Path) -> Vec<Fault> {
    let Some(policy) = spec.get("successPolicy").filter(|v| !v.is_null()) else { return Vec::new() };
    if spec.str_at(&["completionMode"]) == "Indexed" {
        return success_policy_faults(spec, policy, at);
    }
    let shown = internal_form(Some(policy), "io.k8s.api.batch.v1.SuccessPolicy");
    vec![Fault::invalid(at, shown, "requires indexed completion mode")]
}

fn replacement_faults(spec: &Value, at: &Path) -> Vec<Fault> {
    let Some(policy) = spec.get("podReplacementPolicy").and_then(Value::as_str) else { return Vec::new() };
    let restricted = spec.get("podFailurePolicy").is_some_and(|v| !v.is_null());
    let allowed: &[&str] = if restricted { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    validation::one_of(policy, allowed, at)
}

fn restart_faults(spec: &Value, at: &Path) -> Vec<Fault> {
    let policy = spec.str_at(&["template", "spec", "restartPolicy"]);
    let by_rules = spec.get("podFailurePolicy").is_some_and(|v| !v.is_null());
    match policy {
        "" | "Always" => vec![Fault::required(at, "valid values: \"OnFailure\", \"Never\"")],
        "OnFailure" if by_rules => {
            let detail = "only \"Never\" is supported when podFailurePolicy is specified";
            vec![Fault::invalid(at, policy, detail)]
        }
        "OnFailure" | "Never" => Vec::new(),
        other => vec![Fault::not_supported(at, other, &["OnFailure", "Never"])],
    }
}

/// Faults of a change of a Job's spec, the new spec's own among them (upstream checks it twice).
pub fn update_faults(new: &Value, old: &Value) -> Vec<Fault> {
    let (at, empty) = (Path::new("spec"), Value::map());
    let (spec, old_spec) = (new.get("spec").unwrap_or(&empty), old.get("spec").unwrap_or(&empty));
    let mut faults = self::faults(new, Some(old));
    faults.extend(completions_faults(spec, old_spec, &at));
    faults.extend(immutable(spec.get("selector"), old_spec.get("selector"), &at.child("selector")));
    faults.extend(template_update_faults(spec, old, &at));
    for (field, definition) in IMMUTABLE_STRUCTS {
        if !validation::same(spec.get(field), old_spec.get(field)) {
            let shown = internal_form(spec.get(field).filter(|v| !v.is_null()), definition);
            faults.push(Fault::invalid(at.child(field), shown, validation::IMMUTABLE));
        }
    }
    faults
}

/// Only indexed Jobs can change completions, together with parallelism.
fn completions_faults(spec: &Value, old: &Value, at: &Path) -> Vec<Fault> {
    let (new, old) = (spec.get("completions"), old.get("completions"));
    let at = at.child("completions");
    if spec.str_at(&["completionMode"]) != "Indexed" {
        return immutable(new, old, &at);
    }
    let Some(completions) = new.and_then(Value::as_i64) else { return Vec::new() };
    if validation::same(new, old) || spec.i64_at(&["parallelism"]) == Some(completions) {
        return Vec::new();
    }
    vec![Fault::invalid(at, completions, "can only be modified in tandem with spec.parallelism")]
}

/// The template of a Job is frozen, but a suspended Job that has no pods may be scheduled differently and given
/// other resources.
fn template_update_faults(spec: &Value, old: &Value, at: &Path) -> Vec<Fault> {
    let mut template = old.at(&["spec", "template"]).cloned().unwrap_or_else(Value::map);
    let wanted = spec.get("template").cloned().unwrap_or_else(Value::map);
    if !may_change_template(old) {
        return frozen(&wanted, &template, "io.k8s.api.core.v1.PodTemplateSpec", &at.child("template"));
    }
    take_scheduling(&mut template, &wanted);
    take_resources(&mut template, &wanted);
    let spec_of = |t: &Value| t.get("spec").cloned().unwrap_or_else(Value::map);
    frozen(&spec_of(&wanted), &spec_of(&template), "io.k8s.api.core.v1.PodSpec", &at.child("template.spec"))
}

fn frozen(new: &Value, old: &Value, definition: &str, at: &Path) -> Vec<Fault> {
    if validation::same(Some(new), Some(old)) {
        return Vec::new();
    }
    vec![Fault::invalid(at, internal_form(Some(new), definition), validation::IMMUTABLE)]
}

fn may_change_template(job: &Value) -> bool {
    let started = !job.str_at(&["status", "startTime"]).is_empty();
    let suspended = super::job_status::condition_is(job, "Suspended", "True");
    job.bool_at(&["spec", "suspend"])
        && (!started || suspended)
        && job.i64_at(&["status", "active"]).unwrap_or(0) == 0
}

/// Makes `old` equal to `new` in where pods may run.
fn take_scheduling(old: &mut Value, new: &Value) {
    let paths: [&[&str]; 5] = [
        &["spec", "nodeSelector"],
        &["spec", "tolerations"],
        &["spec", "schedulingGates"],
        &["metadata", "annotations"],
        &["metadata", "labels"],
    ];
    for path in paths {
        take(old, new, path);
    }
    take(old, new, &["spec", "affinity", "nodeAffinity"]);
    if old.map_at(&["spec", "affinity"]).is_some_and(|a| a.values().all(Value::is_null)) {
        take(old, new, &["spec", "affinity"]);
    }
}

fn take(old: &mut Value, new: &Value, path: &[&str]) {
    match new.at(path) {
        Some(value) => old.set(path, value.clone()),
        None => drop(old.unset(path)),
    }
}

/// Makes `old` equal to `new` in what containers of the same names ask for.
fn take_resources(old: &mut Value, new: &Value) {
    for list in ["containers", "initContainers"] {
        let wanted = new.list_at(&["spec", list]);
        let Some(Value::List(containers)) = old.at_mut(&["spec", list]) else { continue };
        if containers.len() != wanted.len() {
            continue;
        }
        for (container, wanted) in containers.iter_mut().zip(wanted) {
            if container.str_at(&["name"]) == wanted.str_at(&["name"]) {
                take(container, wanted, &["resources"]);
            }
        }
    }
}

/// A CronJob's template takes no selector.
pub fn job_template_faults(template: &Value, old: Option<&Value>, at: &Path) -> Vec<Fault> {
    let (empty, at) = (Value::map(), at.child("spec"));
    let spec = template.get("spec").unwrap_or(&empty);
    let mut faults = common_faults(spec, old.and_then(|o| o.get("spec")), &at);
    if let Some(selector) = spec.get("selector").filter(|v| !v.is_null()) {
        let detail = "`selector` will be auto-generated";
        faults.push(Fault::invalid(at.child("selector"), selector.clone(), detail));
    }
    if spec.bool_at(&["manualSelector"]) {
        faults.push(Fault::not_supported(at.child("manualSelector"), true, &["nil", "false"]));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts;
    use api::tree;

    #[test]
    fn indexed_jobs_need_completions() {
        let spec = tree!({"completionMode": "Indexed", "parallelism": 200_000});
        assert_eq!(
            texts(&mode_faults(&spec, &Path::new("spec"))),
            [
                "spec.completions: Required value: when completion mode is Indexed",
                "spec.parallelism: Invalid value: 200000: must be less than or equal to 100000 when completion mode \
                 is Indexed",
            ]
        );
    }

    #[test]
    fn completions_change_with_parallelism_only() {
        let old = tree!({"completionMode": "Indexed", "completions": 4, "parallelism": 2});
        let new = tree!({"completionMode": "Indexed", "completions": 5, "parallelism": 2});
        let at = Path::new("spec");
        assert_eq!(
            texts(&completions_faults(&new, &old, &at)),
            ["spec.completions: Invalid value: 5: can only be modified in tandem with spec.parallelism"]
        );
        let both = tree!({"completionMode": "Indexed", "completions": 5, "parallelism": 5});
        assert!(completions_faults(&both, &old, &at).is_empty());
    }

    #[test]
    fn a_suspended_job_may_move_but_not_run_something_else() {
        let template = |image: &str, node: &str| tree!({"spec": {"nodeSelector": {"n": node}, "containers": [{"name": "c", "image": image}]}});
        let old = tree!({"spec": {"suspend": true, "template": (template("i", "a"))}});
        let moved = tree!({"template": (template("i", "b"))});
        assert!(template_update_faults(&moved, &old, &Path::new("spec")).is_empty());
        let changed = tree!({"template": (template("j", "a"))});
        let faults = template_update_faults(&changed, &old, &Path::new("spec"));
        assert_eq!(faults[0].field, "spec.template.spec");
        let running = tree!({"spec": {"suspend": false, "template": (template("i", "a"))}});
        assert_eq!(template_update_faults(&moved, &running, &Path::new("spec"))[0].field, "spec.template");
    }

    #[test]
    fn restart_policy_must_let_pods_end() {
        let of = |policy: &str| {
            texts(&restart_faults(&tree!({"template": {"spec": {"restartPolicy": policy}}}), &Path::new("r")))
        };
        assert_eq!(of("Always"), ["r: Required value: valid values: \"OnFailure\", \"Never\""]);
        assert!(of("Never").is_empty());
    }
}
