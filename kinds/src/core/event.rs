//! Event: something that happened to an object, kept for an hour. The same objects are served as
//! `events.k8s.io/v1` with other names of fields (see `events::event`).

use crate::validation::{qualified_name, texts};
use crate::{Column, Cx, Info, Kind, NameRule, print};
use api::{Fault, Path, Value, names};

const DEFINITION: &str = "io.k8s.api.core.v1.Event";
const OBJECT_REFERENCE: &str = "io.k8s.api.core.v1.ObjectReference";
/// How long events live.
pub const TTL_SECS: u64 = 60 * 60;
const MAX_SHORT: usize = 128;
const MAX_REASON: usize = 128;
const MAX_NOTE: usize = 1024;

pub struct Event(Info);

impl Event {
    pub fn new() -> Self {
        let info = Info::new("", "v1", "Event", "events")
            .short(&["ev"])
            .names(NameRule::PathSegment)
            .creates_on_update();
        Event(Info { ttl_secs: Some(TTL_SECS), ..info })
    }
}

impl Kind for Event {
    fn info(&self) -> &Info {
        &self.0
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        faults(obj, "reportingComponent")
    }

    fn columns(&self) -> Vec<Column> {
        columns()
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        cells(obj, now)
    }

    fn fields(&self, obj: &Value) -> Vec<(&'static str, String)> {
        let involved = |field: &str| obj.str_at(&["involvedObject", field]).to_owned();
        let component = obj.str_at(&["source", "component"]);
        let reporter = obj.str_at(&["reportingComponent"]);
        vec![
            ("involvedObject.kind", involved("kind")),
            ("involvedObject.namespace", involved("namespace")),
            ("involvedObject.name", involved("name")),
            ("involvedObject.uid", involved("uid")),
            ("involvedObject.apiVersion", involved("apiVersion")),
            ("involvedObject.resourceVersion", involved("resourceVersion")),
            ("involvedObject.fieldPath", involved("fieldPath")),
            ("reason", obj.str_at(&["reason"]).to_owned()),
            ("reportingComponent", reporter.to_owned()),
            ("source", print::or_else(component, reporter)),
            ("type", obj.str_at(&["type"]).to_owned()),
        ]
    }
}

/// What every event must be, old or new; `reporter` is what the API that was asked calls the reporting controller.
pub fn faults(obj: &Value, reporter: &str) -> Vec<Fault> {
    let namespace = obj.str_at(&["metadata", "namespace"]);
    let involved = obj.str_at(&["involvedObject", "namespace"]);
    let is_new = !obj.str_at(&["eventTime"]).is_empty();
    let cluster_wide = if is_new { &["default", "kube-system"] } else { &["", "default"] };
    let agrees = match involved {
        "" => cluster_wide.contains(&namespace),
        _ => is_new || involved == namespace,
    };
    let mut faults = Vec::new();
    if !agrees {
        let at = Path::new("involvedObject").child("namespace");
        faults.push(Fault::invalid(at, involved, "does not match event.namespace"));
    }
    if is_new {
        faults.extend(new_style_faults(obj, reporter));
    }
    faults.extend(texts(&Path::new("namespace"), namespace, names::is_dns1123_subdomain(namespace)));
    faults
}

/// Events with a time of their own say who reports and what was done.
fn new_style_faults(obj: &Value, reporter: &str) -> Vec<Fault> {
    let controller = obj.str_at(&["reportingComponent"]);
    let mut faults = Vec::new();
    if controller.is_empty() {
        faults.push(Fault::required(reporter, ""));
    }
    faults.extend(qualified_name(controller, &Path::new(reporter)));
    let limits = [("reportingInstance", MAX_SHORT), ("action", MAX_SHORT), ("reason", MAX_REASON)];
    for (field, max) in limits {
        let text = obj.str_at(&[field]);
        if text.is_empty() {
            faults.push(Fault::required(field, ""));
        }
        faults.extend(length_fault(field, text, max));
    }
    faults.extend(length_fault("message", obj.str_at(&["message"]), MAX_NOTE));
    faults
}

fn length_fault(field: &str, text: &str, max: usize) -> Option<Fault> {
    (text.len() > max).then(|| Fault::invalid(field, "", format!("can have at most {max} characters")))
}

/// The columns of both APIs.
pub fn columns() -> Vec<Column> {
    let of = |name: &str, field: &'static str| Column::field(name, "string", DEFINITION, field);
    vec![
        of("Last Seen", "lastTimestamp"),
        of("Type", "type"),
        of("Reason", "reason"),
        of("Object", "involvedObject"),
        Column::field("Subobject", "string", OBJECT_REFERENCE, "fieldPath").wide(),
        of("Source", "source").wide(),
        of("Message", "message"),
        of("First Seen", "firstTimestamp").wide(),
        of("Count", "count").wide(),
        Column::name().wide(),
    ]
}

/// The cells of both APIs.
pub fn cells(obj: &Value, now: i64) -> Vec<Value> {
    let since = |path: &[&str]| print::since(obj.str_at(path), now);
    let has = |path: &[&str]| !obj.str_at(path).is_empty();
    let first = if has(&["firstTimestamp"]) { since(&["firstTimestamp"]) } else { since(&["eventTime"]) };
    let mut last = if has(&["lastTimestamp"]) { since(&["lastTimestamp"]) } else { first.clone() };
    let mut count = obj.i64_at(&["count"]).filter(|c| *c != 0).unwrap_or(1);
    if let Some(series) = obj.get("series").filter(|v| !v.is_null()) {
        last = print::since(series.str_at(&["lastObservedTime"]), now);
        count = series.i64_at(&["count"]).unwrap_or(0);
    }
    let involved = |field: &str| obj.str_at(&["involvedObject", field]);
    let kind = involved("kind").to_lowercase();
    let target = match involved("name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    vec![
        last.into(),
        obj.str_at(&["type"]).into(),
        obj.str_at(&["reason"]).into(),
        target.into(),
        involved("fieldPath").into(),
        source(obj).into(),
        obj.str_at(&["message"]).trim().into(),
        first.into(),
        count.into(),
        print::name(obj),
    ]
}

/// Who says so, and where: `kubelet, node-1`.
fn source(obj: &Value) -> String {
    let component = print::or_else(obj.str_at(&["source", "component"]), obj.str_at(&["reportingComponent"]));
    let host = print::or_else(obj.str_at(&["source", "host"]), obj.str_at(&["reportingInstance"]));
    if host.is_empty() { component } else { format!("{component}, {host}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use api::tree;

    #[test]
    fn old_events_stay_in_their_objects_namespace() {
        let of = |obj: Value| testing::texts(&faults(&obj, "reportingComponent"));
        let wrong = tree!({"metadata": {"namespace": "a"}, "involvedObject": {"namespace": "other"}});
        assert_eq!(
            of(wrong),
            ["involvedObject.namespace: Invalid value: \"other\": does not match event.namespace"]
        );
        assert!(of(tree!({"metadata": {"namespace": "default"}, "involvedObject": {}})).is_empty());
    }

    #[test]
    fn new_events_say_who_reports() {
        let obj = tree!({"metadata": {"namespace": "a"}, "involvedObject": {"namespace": "a"},
            "eventTime": "2024-01-01T00:00:00.000000Z", "reason": "R"});
        let texts = testing::texts(&faults(&obj, "reportingController"));
        assert_eq!(texts[0], "reportingController: Required value");
        assert_eq!(texts[texts.len() - 2..], ["reportingInstance: Required value", "action: Required value"]);
    }

    #[test]
    fn a_row_shows_what_happened_to_what() {
        let obj = tree!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p"}, "reason": "R",
            "message": "m\n", "type": "Normal", "count": 2, "source": {"component": "c"}});
        let wanted = tree!(["<unknown>", "Normal", "R", "pod/p", "", "c", "m", "<unknown>", 2, "e"]);
        assert_eq!(Value::List(cells(&obj, 0)), wanted);
    }
}
