//! MutatingWebhookConfiguration: webhooks that may change objects before they are stored.

use super::webhook;
use crate::{Column, Cx, Info, Kind, print};
use api::{Fault, Value};

pub struct MutatingWebhookConfiguration(Info);

impl MutatingWebhookConfiguration {
    pub fn new() -> Self {
        MutatingWebhookConfiguration(super::info(
            "MutatingWebhookConfiguration",
            "mutatingwebhookconfigurations",
        ))
    }
}

impl Kind for MutatingWebhookConfiguration {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        webhook::fill(obj, true);
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        webhook::faults(obj, None)
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        webhook::faults(new, Some(old))
    }

    fn columns(&self) -> Vec<Column> {
        let text = "Webhooks indicates the number of webhooks registered in this configuration";
        vec![Column::name(), Column::text("Webhooks", "integer", text), Column::age()]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let count = i64::try_from(obj.list_at(&["webhooks"]).len()).unwrap_or(i64::MAX);
        vec![print::name(obj), count.into(), print::age(obj, now)]
    }
}
