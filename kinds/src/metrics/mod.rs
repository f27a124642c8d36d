//! Group metrics.k8s.io: what nodes and pods use now. Nothing of it is stored: the API server asks the kubelets. The
//! group is served where that is wanted (`kinds`), as metrics-server would serve it.

mod node_metrics;
mod pod_metrics;

pub use node_metrics::NodeMetrics;
pub use pod_metrics::PodMetrics;

use crate::{Column, Info, Kind, Verbs};
use api::{Str, Value, tree};
use std::sync::Arc;

pub const GROUP: &str = "metrics.k8s.io";
pub const VERSION: &str = "v1beta1";

/// The kinds of the group.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![Arc::new(NodeMetrics::new()), Arc::new(PodMetrics::new())]
}

/// Read only, and without a singular, which would be that of the things measured.
fn info(kind: &str, plural: &str) -> Info {
    let mut info = Info::new(GROUP, VERSION, kind, plural).verbs(Verbs::GET.and(Verbs::LIST));
    info.singular = Str::from("");
    info
}

fn columns() -> Vec<Column> {
    let text = |name, doc| Column::text(name, "string", doc);
    vec![
        Column::name(),
        text("cpu", "CPU that is used, in cores"),
        text("memory", "Memory that is used, in bytes"),
        text("Window", "The time over which CPU was measured"),
    ]
}

/// What the published schemas have in common.
fn schema(description: &str, own: Value) -> Value {
    let quantities = || {
        tree!({
            "type": "object",
            "additionalProperties": {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true}
        })
    };
    let mut schema = tree!({
        "type": "object", "description": description,
        "required": ["timestamp", "window"],
        "properties": {
            "timestamp": {"type": "string", "format": "date-time"},
            "window": {"type": "string"}
        }
    });
    match own {
        Value::Null => schema.set(&["properties", "usage"], quantities()),
        name => schema.set(
            &["properties", "containers"],
            tree!({"type": "array", "items": {
                "type": "object", "required": ["name", "usage"],
                "properties": {"name": (name), "usage": (quantities())}
            }}),
        ),
    }
    schema
}
