//! NodeMetrics: what a node uses.
//!
//! ```text
//! {metadata: {name}, timestamp: …, window: 15.02s, usage: {cpu: 103251897n, memory: 1803856Ki}}
//! ```

use crate::{Column, Info, Kind, print};
use api::Value;

pub struct NodeMetrics(Info);

impl NodeMetrics {
    pub(super) fn new() -> Self {
        NodeMetrics(super::info("NodeMetrics", "nodes").cluster_scoped())
    }
}

impl Kind for NodeMetrics {
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
        let text = |path: &[&str]| Value::from(obj.str_at(path));
        vec![print::name(obj), text(&["usage", "cpu"]), text(&["usage", "memory"]), text(&["window"])]
    }

    fn openapi_schema(&self, _version: &str) -> Option<Value> {
        Some(super::schema("NodeMetrics sets resource usage metrics of a node.", Value::Null))
    }

    fn stored_as_json(&self) -> bool {
        true
    }
}
