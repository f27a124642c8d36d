//! ValidatingWebhookConfiguration: webhooks that judge objects before they are stored.

use super::webhook;
use crate::{Column, Cx, Info, Kind, print};
use api::{Fault, Value};

pub struct ValidatingWebhookConfiguration(Info);

impl ValidatingWebhookConfiguration {
    pub fn new() -> Self {
        ValidatingWebhookConfiguration(super::info(
            "ValidatingWebhookConfiguration",
            "validatingwebhookconfigurations",
        ))
    }
}

impl Kind for ValidatingWebhookConfiguration {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        webhook::fill(obj, false);
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
