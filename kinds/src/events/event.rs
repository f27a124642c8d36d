//! Event of `events.k8s.io`: the core group's events by other names of fields, and checked more strictly. Stored as
//! the core group's kind; faults name that kind's fields, as upstream's do.

use crate::core::event::{self as core_event, TTL_SECS};
use crate::internal_form::internal_form;
use crate::validation::{IMMUTABLE, same};
use crate::{Column, Cx, Info, Kind};
use api::{Fault, Schema, Value, schema, schema::TypeId};
use std::borrow::Cow;

/// The version that objects are stored in.
const STORED: &str = "core/v1";
/// Fields of this API and of the stored form; the others have the same name.
const NAMES: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];
/// Field selectors of this API and of the core group's.
const FIELDS: [(&str, &str); 10] = [
    ("reason", "reason"),
    ("regarding.kind", "involvedObject.kind"),
    ("regarding.namespace", "involvedObject.namespace"),
    ("regarding.name", "involvedObject.name"),
    ("regarding.uid", "involvedObject.uid"),
    ("regarding.apiVersion", "involvedObject.apiVersion"),
    ("regarding.resourceVersion", "involvedObject.resourceVersion"),
    ("regarding.fieldPath", "involvedObject.fieldPath"),
    ("reportingController", "reportingComponent"),
    ("type", "type"),
];
/// What an update may not change: field, its name in faults, its type where it is a struct.
const FROZEN: [(&str, &str, &str); 14] = [
    ("involvedObject", "involvedObject", "io.k8s.api.core.v1.ObjectReference"),
    ("reason", "reason", ""),
    ("message", "message", ""),
    ("source", "source", "io.k8s.api.core.v1.EventSource"),
    ("firstTimestamp", "firstTimestamp", ""),
    ("lastTimestamp", "lastTimestamp", ""),
    ("count", "count", ""),
    ("reason", "reason", ""),
    ("type", "type", ""),
    ("eventTime", "eventTime", ""),
    ("action", "action", ""),
    ("related", "related", "io.k8s.api.core.v1.ObjectReference"),
    ("reportingComponent", "reportingController", ""),
    ("reportingInstance", "reportingInstance", ""),
];

pub struct Event {
    info: Info,
    core: core_event::Event,
}

impl Event {
    pub fn new() -> Self {
        let info = Info::new("events.k8s.io", "v1", "Event", "events")
            .short(&["ev"])
            .versions(&["v1"], STORED)
            .creates_on_update();
        Event { info: Info { ttl_secs: Some(TTL_SECS), ..info }, core: core_event::Event::new() }
    }
}

impl Kind for Event {
    fn info(&self) -> &Info {
        &self.info
    }

    fn schema(&self, version: &str) -> Option<(&Schema, TypeId)> {
        if version == STORED {
            return self.core.schema("v1");
        }
        schema::builtin_type(&self.info.group, version, &self.info.kind).map(|ty| (schema::builtin(), ty))
    }

    fn convert(&self, obj: &mut Value, from: &str, to: &str) {
        for (new, stored) in NAMES {
            match (from, to) {
                (_, STORED) => rename(obj, new, stored),
                (STORED, _) => rename(obj, stored, new),
                _ => {}
            }
        }
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = core_event::faults(obj, "reportingController");
        faults.extend(series_faults(obj));
        if obj.str_at(&["eventTime"]).is_empty() {
            faults.push(Fault::required("eventTime", ""));
        }
        let ty = obj.str_at(&["type"]);
        if !matches!(ty, "Normal" | "Warning") {
            faults.push(Fault::invalid("type", "", format!("has invalid value: {ty}")));
        }
        for field in ["firstTimestamp", "lastTimestamp", "count", "source"] {
            if !same(obj.get(field).filter(|v| !v.is_empty()), None) {
                faults.push(Fault::invalid(field, "", "needs to be unset"));
            }
        }
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = core_event::faults(new, "reportingController");
        if !same(new.get("series"), old.get("series")) {
            faults.extend(series_faults(new));
        }
        for (field, name, definition) in FROZEN {
            let (new, old) = (new.get(field), old.get(field));
            if !same(new, old) {
                faults.push(Fault::invalid(name, shown(new, definition), IMMUTABLE));
            }
        }
        faults
    }

    fn columns(&self) -> Vec<Column> {
        core_event::columns()
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        core_event::cells(obj, now)
    }

    fn fields(&self, obj: &Value) -> Vec<(&'static str, String)> {
        self.core.fields(obj)
    }

    fn stored_field(&self, label: &str) -> Option<Cow<'static, str>> {
        FIELDS.into_iter().find(|(known, _)| *known == label).map(|(_, stored)| Cow::Borrowed(stored))
    }
}

fn rename(obj: &mut Value, from: &str, to: &str) {
    if let Some(value) = obj.unset(&[from]) {
        obj.set(&[to], value);
    }
}

fn shown(value: Option<&Value>, definition: &str) -> Value {
    match value {
        Some(value) if !value.is_null() && !definition.is_empty() => internal_form(Some(value), definition),
        value => value.cloned().unwrap_or_default(),
    }
}

fn series_faults(obj: &Value) -> Vec<Fault> {
    let Some(series) = obj.get("series").filter(|v| !v.is_null()) else { return Vec::new() };
    let mut faults = Vec::new();
    if series.i64_at(&["count"]).unwrap_or(0) < 2 {
        faults.push(Fault::invalid("series.count", "", "should be at least 2"));
    }
    if series.str_at(&["lastObservedTime"]).is_empty() {
        faults.push(Fault::required("series.lastObservedTime", ""));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cx, texts};
    use api::tree;

    fn stored() -> Value {
        tree!({"metadata": {"namespace": "a"}, "involvedObject": {"kind": "Pod", "namespace": "a"}, "message": "hello",
            "reportingComponent": "example.com/ctl", "reportingInstance": "i-1", "action": "Doing", "reason": "Because",
            "eventTime": "2024-01-01T00:00:00.000000Z", "type": "Normal", "related": {"kind": "Node", "name": "n"}})
    }

    #[test]
    fn names_of_fields_change_between_the_groups() {
        let kind = Event::new();
        let mut obj = stored();
        kind.convert(&mut obj, "core/v1", "v1");
        assert_eq!(obj.str_at(&["note"]), "hello");
        assert_eq!(obj.str_at(&["regarding", "kind"]), "Pod");
        kind.convert(&mut obj, "v1", "core/v1");
        assert_eq!(obj, stored());
    }

    #[test]
    fn fields_are_those_of_the_core_group_by_other_names() {
        let kind = Event::new();
        assert_eq!(kind.fields(&stored()), core_event::Event::new().fields(&stored()));
        let labels = kind.fields(&stored());
        assert!(FIELDS.iter().all(|(_, stored)| labels.iter().any(|(label, _)| label == stored)));
        assert_eq!(kind.stored_field("reportingController").as_deref(), Some("reportingComponent"));
        assert_eq!(kind.stored_field("involvedObject.name"), None, "a name of the core group's only");
    }

    #[test]
    fn only_the_series_changes() {
        let kind = Event::new();
        let mut new = stored();
        new.set(&["series"], tree!({"count": 3, "lastObservedTime": "2024-01-01T00:01:00.000000Z"}));
        assert!(kind.validate_update(&new, &stored(), &cx("")).is_empty());
        let mut wrong = stored();
        wrong.set(&["message"], "changed");
        wrong.set(&["reportingInstance"], "i-2");
        wrong.unset(&["related"]);
        assert_eq!(
            texts(&kind.validate_update(&wrong, &stored(), &cx(""))),
            [
                "message: Invalid value: \"changed\": field is immutable",
                "related: Invalid value: null: field is immutable",
                "reportingInstance: Invalid value: \"i-2\": field is immutable",
            ]
        );
    }

    #[test]
    fn new_events_are_complete() {
        let kind = Event::new();
        assert!(kind.validate(&stored(), &cx("")).is_empty());
        let bad = tree!({"metadata": {"namespace": "a"}, "source": {}});
        assert_eq!(
            texts(&kind.validate(&bad, &cx(""))),
            [
                "involvedObject.namespace: Invalid value: \"\": does not match event.namespace",
                "eventTime: Required value",
                "type: Invalid value: \"\": has invalid value: ",
            ]
        );
    }

    #[test]
    fn its_stored_form_is_the_core_groups() {
        let kind = Event::new();
        assert_eq!(kind.info().api_version(&kind.info().storage_version), "v1");
        assert_eq!(kind.info().storage_group(), "");
        assert_eq!(kind.info().prefix, "/registry/events/");
    }
}
