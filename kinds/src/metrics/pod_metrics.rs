//! PodMetrics: what the containers of a pod use.
//!
//! ```text
//! {metadata: {name, namespace}, timestamp: …, window: 15.02s, containers: [{name, usage: {cpu: 12n, memory: 4Ki}}]}
//! ```

use crate::{Column, Info, Kind, print};
use api::quantity::Format;
use api::{Quantity, Value, tree};

pub struct PodMetrics(Info);

impl PodMetrics {
    pub(super) fn new() -> Self {
        PodMetrics(super::info("PodMetrics", "pods"))
    }
}

/// Of all containers together.
fn total(pod: &Value, resource: &str, format: Format) -> String {
    let mut total = Quantity::new(0, format);
    for container in pod.list_at(&["containers"]) {
        if let Ok(used) = Quantity::parse(container.str_at(&["usage", resource])) {
            total.add(&used);
        }
    }
    total.to_string()
}

impl Kind for PodMetrics {
    fn info(&self) -> &Info {
        &self.0
    }

    fn unstored(&self) -> Option<Vec<Value>> {
        Some(Vec::new())
    }

    fn columns(&self) -> Vec<Column> {
        super::columns()
    }

    fn cells(&self, obj: &Value, _now: i64) -> Vec<Value> {
        let cpu = total(obj, "cpu", Format::DecimalSI);
        let memory = total(obj, "memory", Format::BinarySI);
        vec![print::name(obj), cpu.into(), memory.into(), obj.str_at(&["window"]).into()]
    }

    fn openapi_schema(&self, _version: &str) -> Option<Value> {
        Some(super::schema("PodMetrics sets resource usage metrics of a pod.", tree!({"type": "string"})))
    }

    fn stored_as_json(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_all_containers_together() {
        let pod = tree!({"metadata": {"name": "p"}, "window": "10s", "containers": [
            {"name": "a", "usage": {"cpu": "1500000n", "memory": "1024Ki"}},
            {"name": "b", "usage": {"cpu": "2m", "memory": "1Mi"}}
        ]});
        let cells = PodMetrics::new().cells(&pod, 0);
        let texts: Vec<&str> = cells.iter().filter_map(Value::as_str).collect();
        assert_eq!(texts, ["p", "3500u", "2Mi", "10s"]);
    }
}
