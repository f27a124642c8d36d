//! ComponentStatus: the health of parts of the control plane, read only and deprecated. Nothing is stored of it.
//! The parts are of one process here: when it answers, they are well.

use crate::{Column, Info, Kind, Verbs, print};
use api::{Value, tree};

const PARTS: [&str; 3] = ["controller-manager", "scheduler", "etcd-0"];

pub struct ComponentStatus(Info);

impl ComponentStatus {
    pub fn new() -> Self {
        let info =
            Info::new("", "v1", "ComponentStatus", "componentstatuses").short(&["cs"]).cluster_scoped();
        ComponentStatus(info.verbs(Verbs::GET.and(Verbs::LIST)))
    }
}

impl Kind for ComponentStatus {
    fn info(&self) -> &Info {
        &self.0
    }

    fn unstored(&self) -> Option<Vec<Value>> {
        let status = |name: &str| {
            tree!({
                "kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name},
                "conditions": [{"type": "Healthy", "status": "True", "message": "ok"}]
            })
        };
        Some(PARTS.iter().map(|name| status(name)).collect())
    }

    fn deprecation(&self, _version: &str) -> Option<&str> {
        Some("v1 ComponentStatus is deprecated in v1.19+")
    }

    fn columns(&self) -> Vec<Column> {
        let text = |name, doc| Column::text(name, "string", doc);
        vec![
            Column::name(),
            text("Status", "Status of the component conditions"),
            text("Message", "Message of the component conditions"),
            text("Error", "Error of the component conditions"),
        ]
    }

    fn cells(&self, obj: &Value, _now: i64) -> Vec<Value> {
        let healthy = obj.list_at(&["conditions"]).iter().find(|c| c.str_at(&["type"]) == "Healthy");
        let status = match healthy.map(|c| c.str_at(&["status"])) {
            None => "Unknown",
            Some("True") => "Healthy",
            Some(_) => "Unhealthy",
        };
        let text = |field: &str| healthy.map(|c| c.str_at(&[field])).unwrap_or_default();
        vec![print::name(obj), status.into(), text("message").into(), text("error").into()]
    }
}
