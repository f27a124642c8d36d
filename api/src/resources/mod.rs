//! Resources that are counted in amounts: their names, lists of amounts, and what a pod asks for as a whole.
//! Source: `pkg/apis/core/helper`, component-helpers' `resource`.

mod pod;

pub use pod::{add, is_sidecar, limits, qos_class, requests, sum_over_containers};

use crate::{Map, Quantity, Value, names};
use std::collections::BTreeMap;

/// Amounts by resource name.
pub type Amounts = BTreeMap<String, Quantity>;

const HUGE_PAGES: &str = "hugepages-";

pub fn is_huge_page(name: &str) -> bool {
    name.starts_with(HUGE_PAGES)
}

/// The size of a page of a `hugepages-SIZE` resource.
pub fn page_size(name: &str) -> Option<Quantity> {
    Quantity::parse(name.strip_prefix(HUGE_PAGES)?).ok()
}

/// Of no domain or kubernetes.io's.
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// A device or the like: of a domain of its own, countable by quota.
pub fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::is_qualified_name(&format!("requests.{name}")).is_empty()
}

/// What pods as a whole may have.
pub fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_huge_page(name)
}

/// The amounts of a `ResourceList`; what is no quantity is left out.
pub fn amounts(list: Option<&Value>) -> Amounts {
    let pairs = list.and_then(Value::as_map).into_iter().flat_map(Map::iter);
    pairs.filter_map(|(name, v)| Some((name.to_string(), quantity(v)?))).collect()
}

/// A quantity as JSON has it.
pub fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::Str(text) => Quantity::parse(text).ok(),
        Value::Int(int) => Quantity::parse(&int.to_string()).ok(),
        Value::Float(float) => Quantity::parse(&float.to_string()).ok(),
        _ => None,
    }
}
