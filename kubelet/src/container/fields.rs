//! What a pod tells its containers of itself: fields of its object (`fieldRef`) and what its containers may use
//! (`resourceFieldRef`), as variables and as files.

use api::names::is_qualified_name;
use api::resources::{amounts, is_huge_page, quantity};
use api::{Map, Quantity, Value, quote};
use std::net::IpAddr;
use std::sync::Arc;

/// The node as it is; nothing when it is not known.
pub type NodeObject = Arc<dyn Fn() -> Option<Arc<Value>> + Send + Sync>;

/// The value of a field of the pod's metadata.
///
/// # Errors
/// When there is no such field.
pub fn of_metadata(pod: &Value, path: &str) -> Result<String, String> {
    if let Some((field, key)) = subscript(path) {
        let invalid = |faults: Vec<String>| format!("invalid key subscript in {path}: {}", faults.join(";"));
        let faults = match field {
            "metadata.annotations" => is_qualified_name(&key.to_lowercase()),
            "metadata.labels" => is_qualified_name(key),
            _ => return Err(format!("fieldPath {path:?} does not support subscript")),
        };
        if !faults.is_empty() {
            return Err(invalid(faults));
        }
        let field = field.trim_start_matches("metadata.");
        return Ok(pod.str_at(&["metadata", field, key]).to_owned());
    }
    match path {
        "metadata.annotations" | "metadata.labels" => {
            Ok(lines(pod.map_at(&["metadata", path.trim_start_matches("metadata.")])))
        }
        "metadata.name" | "metadata.namespace" | "metadata.uid" => {
            Ok(pod.str_at(&["metadata", path.trim_start_matches("metadata.")]).to_owned())
        }
        _ => Err(format!("unsupported fieldPath: {path}")),
    }
}

/// `metadata.labels['key']` in its parts.
fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(field, _)| !field.is_empty())
}

/// `key="value"` a line, in the order of the keys.
fn lines(map: Option<&Map>) -> String {
    let mut pairs: Vec<(&str, &str)> = map
        .into_iter()
        .flat_map(Map::iter)
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect();
    pairs.sort_unstable();
    pairs.into_iter().map(|(key, value)| format!("{key}={}", quote(value))).collect::<Vec<_>>().join("\n")
}

/// The value of a field that a variable may hold; `pod_ips` are those of the sandbox.
///
/// # Errors
/// When there is no such field, or the node has no address yet.
pub fn of_pod(pod: &Value, path: &str, pod_ips: &[String], node: Option<&Value>) -> Result<String, String> {
    match path {
        "spec.nodeName" | "spec.host" => Ok(pod.str_at(&["spec", "nodeName"]).to_owned()),
        "spec.serviceAccountName" => Ok(pod.str_at(&["spec", "serviceAccountName"]).to_owned()),
        "status.hostIP" => host_ips(node).map(|ips| ips.into_iter().next().unwrap_or_default()),
        "status.hostIPs" => host_ips(node).map(|ips| ips.join(",")),
        "status.podIP" => Ok(pod_ips.first().cloned().unwrap_or_default()),
        "status.podIPs" => Ok(pod_ips.join(",")),
        _ => of_metadata(pod, path),
    }
}

/// The node's first address, and the first of the other family.
fn host_ips(node: Option<&Value>) -> Result<Vec<String>, String> {
    let addresses = node.map(|node| node.list_at(&["status", "addresses"])).unwrap_or_default();
    let of_type = |ty| addresses.iter().filter(move |a| a.str_at(&["type"]) == ty);
    let texts = of_type("InternalIP").chain(of_type("ExternalIP")).map(|a| a.str_at(&["address"]));
    let all: Vec<IpAddr> = texts.filter_map(|text| text.parse().ok()).collect();
    let first = all.first().ok_or("host IP unknown; known addresses: []")?;
    let other = all.iter().find(|ip| ip.is_ipv4() != first.is_ipv4());
    Ok([Some(first), other].into_iter().flatten().map(ToString::to_string).collect())
}

/// What a container may use, in units of the selector's divisor, rounded up. Without a limit of the container, the
/// pod's counts, and without that what pods may use of the node.
///
/// # Errors
/// When the selector names no container, or what cannot be told.
pub fn of_resources(
    pod: &Value,
    container: Option<&Value>,
    selector: &Value,
    node: Option<&Value>,
) -> Result<String, String> {
    let name = selector.str_at(&["containerName"]);
    let named = || {
        let mut all = ["containers", "initContainers"].into_iter().flat_map(|f| pod.list_at(&["spec", f]));
        all.find(|c| c.str_at(&["name"]) == name)
    };
    let container = if name.is_empty() { container } else { named() };
    let container = container.ok_or_else(|| format!("container {name} not found"))?;
    let resource = selector.str_at(&["resource"]);
    let divisor = selector.get("divisor").and_then(quantity).filter(|divisor| !divisor.is_zero());
    let (list, what) = resource.split_once('.').unwrap_or_default();
    let plain = matches!(what, "cpu" | "memory" | "ephemeral-storage") || is_huge_page(what);
    if !matches!(list, "limits" | "requests") || !plain {
        return Err(format!("unsupported container resource : {resource}"));
    }
    let own = amounts(container.at(&["resources", list])).remove(what);
    let amount = match list {
        "limits" if !is_huge_page(what) => {
            own.filter(|limit| !limit.is_zero()).or_else(|| default_limit(pod, node, what))
        }
        _ => own,
    };
    let (amount, divisor) = match what {
        "cpu" => (amount.map_or(0, |a| a.milli()), divisor.map_or(1000, |d| d.milli())),
        _ => (amount.map_or(0, |a| a.value()), divisor.map_or(1, |d| d.value())),
    };
    // As upstream divides: in floating point.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    let rounded = (amount as f64 / divisor as f64).ceil() as i64;
    Ok(rounded.to_string())
}

fn default_limit(pod: &Value, node: Option<&Value>, what: &str) -> Option<Quantity> {
    let of_pod = amounts(pod.at(&["spec", "resources", "limits"])).remove(what).filter(|l| !l.is_zero());
    let of_node = || amounts(node?.at(&["status", "allocatable"])).remove(what);
    of_pod.or_else(of_node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn metadata_is_told_whole_by_key_and_by_line() {
        let pod = tree!({"metadata": {"name": "p", "namespace": "n", "uid": "u",
            "labels": {"b": "2", "a": "1"}, "annotations": {"x/y": "a\"b\nc"}}});
        for (path, wanted) in [
            ("metadata.name", "p"),
            ("metadata.uid", "u"),
            ("metadata.labels", "a=\"1\"\nb=\"2\""),
            ("metadata.labels['b']", "2"),
            ("metadata.labels['c']", ""),
            ("metadata.annotations", "x/y=\"a\\\"b\\nc\""),
            ("metadata.annotations['x/y']", "a\"b\nc"),
        ] {
            assert_eq!(of_metadata(&pod, path).unwrap(), wanted, "{path}");
        }
        assert_eq!(of_metadata(&pod, "spec.x").unwrap_err(), "unsupported fieldPath: spec.x");
        assert!(
            of_metadata(&pod, "metadata.labels['a b']").unwrap_err().starts_with("invalid key subscript")
        );
    }

    #[test]
    fn addresses_are_the_sandboxs_and_the_nodes() {
        let node = tree!({"status": {"addresses": [
            {"type": "Hostname", "address": "h"}, {"type": "InternalIP", "address": "10.0.0.1"},
            {"type": "InternalIP", "address": "10.0.0.2"}, {"type": "InternalIP", "address": "fd00::1"}]}});
        let ips = ["1.1.1.1".to_owned(), "fd00::9".to_owned()];
        let of = |path| of_pod(&Value::map(), path, &ips, Some(&node)).unwrap();
        assert_eq!(of("status.podIP"), "1.1.1.1");
        assert_eq!(of("status.podIPs"), "1.1.1.1,fd00::9");
        assert_eq!(of("status.hostIP"), "10.0.0.1");
        assert_eq!(of("status.hostIPs"), "10.0.0.1,fd00::1");
        assert!(of_pod(&Value::map(), "status.hostIP", &ips, None).is_err());
    }

    #[test]
    fn resources_are_rounded_up_and_default_to_what_the_node_gives() {
        let pod = tree!({"spec": {"containers": [
            {"name": "a", "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}, "requests": {"cpu": "250m"}}},
            {"name": "b"}]}});
        let node = tree!({"status": {"allocatable": {"cpu": "3500m", "memory": "1Gi"}}});
        let of = |container: &str, resource: &str, divisor: &str| {
            let selector = tree!({"containerName": container, "resource": resource, "divisor": divisor});
            of_resources(&pod, None, &selector, Some(&node))
        };
        assert_eq!(of("a", "limits.cpu", "0").unwrap(), "2");
        assert_eq!(of("a", "limits.cpu", "1m").unwrap(), "1500");
        assert_eq!(of("a", "limits.memory", "1Mi").unwrap(), "64");
        assert_eq!(of("a", "limits.memory", "0").unwrap(), "67108864");
        assert_eq!(of("a", "requests.cpu", "1m").unwrap(), "250");
        assert_eq!(of("b", "limits.cpu", "1").unwrap(), "4");
        assert_eq!(of("b", "limits.memory", "1Gi").unwrap(), "1");
        assert_eq!(of("b", "requests.memory", "1").unwrap(), "0");
        assert_eq!(of("z", "limits.cpu", "1").unwrap_err(), "container z not found");
        assert_eq!(of("a", "limits.x", "1").unwrap_err(), "unsupported container resource : limits.x");
    }
}
