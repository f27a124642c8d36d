//! DeviceClass: a sort of devices that claims can ask for.

use super::{GROUP, device_config, sized};
use crate::{Column, Cx, Info, Kind, print, validation};
use api::{Fault, Path, Value, names};

const MAX_CONFIGS: usize = 32;

pub struct DeviceClass(Info);

impl DeviceClass {
    pub fn new() -> Self {
        let info = Info::new(GROUP, "v1", "DeviceClass", "deviceclasses");
        DeviceClass(info.cluster_scoped().with_generation().returns_deleted())
    }
}

/// Names of resources outside Kubernetes' own domain.
fn is_extended_resource(name: &str) -> bool {
    name.contains('/')
        && !name.contains("kubernetes.io/")
        && !name.starts_with("requests.")
        && names::is_qualified_name(&format!("requests.{name}")).is_empty()
}

fn faults(obj: &Value, old: Option<&Value>) -> Vec<Fault> {
    let at = Path::new("spec");
    let selectors = obj.list_at(&["spec", "selectors"]);
    let mut faults = device_config::selector_faults(selectors, &at.child("selectors"));
    let configs = obj.list_at(&["spec", "config"]);
    let path = ["spec", "config"];
    let stored = old.is_some_and(|old| validation::same(obj.at(&path), old.at(&path)));
    faults.extend(sized::list(configs, MAX_CONFIGS, &at.child("config"), |config, at| {
        device_config::config_faults(config, stored, at)
    }));
    if let Some(name) = obj.at(&["spec", "extendedResourceName"]).and_then(Value::as_str)
        && !is_extended_resource(name)
    {
        let text = "must be a valid extended resource name";
        faults.push(Fault::invalid(at.child("extendedResourceName"), name, text));
    }
    faults
}

impl Kind for DeviceClass {
    fn info(&self) -> &Info {
        &self.0
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        faults(obj, None)
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        faults(new, Some(old))
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::name(), Column::age()]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        vec![print::name(obj), print::age(obj, now)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_resources_are_not_kubernetes_own() {
        assert!(is_extended_resource("example.com/gpu"));
        for name in ["gpu", "kubernetes.io/gpu", "requests.example.com/gpu", "example.com/-"] {
            assert!(!is_extended_resource(name), "{name}");
        }
    }
}
