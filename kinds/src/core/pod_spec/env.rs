//! Checks of `env` and `envFrom`, and of the selectors they share with volumes. Source: `ValidateEnv`.

use super::{paths, resources, set};
use crate::validation::{dns_label, dns_subdomain, qualified_name, texts};
use api::{Fault, Path, Value, names};

const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields that files of the downward API may show.
pub const FILE_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const KNOWN_FIELDS: [&str; 14] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const SIZES: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// `env`.
pub fn variables(list: &[Value], path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (i, variable) in list.iter().enumerate() {
        let at = path.index(i);
        match variable.str_at(&["name"]) {
            "" => faults.push(Fault::required(at.child("name"), "")),
            name => faults.extend(texts(&at.child("name"), name, names::is_relaxed_env_var_name(name))),
        }
        if let Some(from) = set(variable, "valueFrom") {
            faults.extend(value_from(from, variable.str_at(&["value"]), &at.child("valueFrom")));
        }
    }
    faults
}

fn value_from(from: &Value, value: &str, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut sources = 0;
    let mut source = |name: &str, check: &dyn Fn(&Value, &Path) -> Vec<Fault>| {
        if let Some(part) = set(from, name) {
            sources += 1;
            faults.extend(check(part, &path.child(name)));
        }
    };
    source("fieldRef", &|r, at| field_ref(r, &ENV_FIELDS, at));
    source("resourceFieldRef", &|r, at| resource_ref(r, false, at));
    source("configMapKeyRef", &key_ref);
    source("secretKeyRef", &key_ref);
    source("fileKeyRef", &file_key_ref);
    let detail = match sources {
        0 => {
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        }
        _ if !value.is_empty() => "may not be specified when `value` is not empty",
        1 => return faults,
        _ => "may not have more than one field specified at a time",
    };
    faults.push(Fault::invalid(path, "", detail));
    faults
}

/// A path with a key in brackets and quotes: `metadata.labels['a']`.
fn split_subscript(field_path: &str) -> Option<(&str, &str)> {
    let (path, rest) = field_path.strip_suffix("']")?.split_once("['")?;
    (!path.is_empty()).then_some((path, rest))
}

/// A field of the pod, one of `allowed` or a label or annotation.
pub fn field_ref(field_ref: &Value, allowed: &[&str], path: &Path) -> Vec<Fault> {
    let (version, field) = (field_ref.str_at(&["apiVersion"]), field_ref.str_at(&["fieldPath"]));
    if version.is_empty() {
        return vec![Fault::required(path.child("apiVersion"), "")];
    }
    if field.is_empty() {
        return vec![Fault::required(path.child("fieldPath"), "")];
    }
    let wrong = |why: String| {
        vec![Fault::invalid(path.child("fieldPath"), field, format!("error converting fieldPath: {why}"))]
    };
    if version != "v1" {
        return wrong(format!("unsupported pod version: {version}"));
    }
    match split_subscript(field) {
        Some(("metadata.annotations", key)) => qualified_name(&key.to_lowercase(), path),
        Some(("metadata.labels", key)) => qualified_name(key, path),
        Some(_) => wrong(format!("field label does not support subscript: {field}")),
        None => {
            let field = if field == "spec.host" { "spec.nodeName" } else { field };
            if !KNOWN_FIELDS.contains(&field) {
                wrong(format!("field label not supported: {field}"))
            } else if !allowed.contains(&field) {
                vec![Fault::not_supported(path.child("fieldPath"), field, allowed)]
            } else {
                Vec::new()
            }
        }
    }
}

/// A resource of a container; files must name the container.
pub fn resource_ref(resource_ref: &Value, in_file: bool, path: &Path) -> Vec<Fault> {
    let resource = resource_ref.str_at(&["resource"]);
    let huge_pages = resource.starts_with("requests.hugepages-") || resource.starts_with("limits.hugepages-");
    let mut faults = Vec::new();
    if in_file && resource_ref.str_at(&["containerName"]).is_empty() {
        faults.push(Fault::required(path.child("containerName"), ""));
    } else if resource.is_empty() {
        faults.push(Fault::required(path.child("resource"), ""));
    } else if !RESOURCES.contains(&resource) && !huge_pages {
        faults.push(Fault::not_supported(path.child("resource"), resource, &RESOURCES));
    }
    let divisor = resource_ref.get("divisor").and_then(resources::quantity).unwrap_or_default();
    let (good, what): (&[&str], _) = match resource {
        _ if divisor.is_zero() => return faults,
        "limits.cpu" | "requests.cpu" => (&["1m", "1"], "values 1m and 1 are supported with the cpu"),
        "limits.memory" | "requests.memory" => (&SIZES, "memory"),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => (&SIZES, "local ephemeral storage"),
        _ if huge_pages => (&SIZES, "hugepages"),
        _ => return faults,
    };
    if !good.contains(&divisor.to_string().as_str()) {
        let detail = if good.len() == 2 {
            format!("only divisor's {what} resource")
        } else {
            format!("only divisor's values {} are supported with the {what} resource", SIZES.join(", "))
        };
        faults.push(Fault::invalid(path.child("divisor"), resource, detail));
    }
    faults
}

fn key_ref(key_ref: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = dns_subdomain(key_ref.str_at(&["name"]), &path.child("name"));
    match key_ref.str_at(&["key"]) {
        "" => faults.push(Fault::required(path.child("key"), "")),
        key => faults.extend(texts(&path.child("key"), key, names::is_config_map_key(key))),
    }
    faults
}

fn file_key_ref(key_ref: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut field = |name: &str, check: &dyn Fn(&str, &Path) -> Vec<Fault>| {
        let (at, text) = (path.child(name), key_ref.str_at(&[name]));
        faults.extend(if text.is_empty() { vec![Fault::required(at, "")] } else { check(text, &at) });
    };
    field("key", &|text, at| texts(at, text, names::is_relaxed_env_var_name(text)));
    field("volumeName", &dns_label);
    field("path", &paths::without_backsteps);
    faults
}

/// `envFrom`.
pub fn sources(list: &[Value], path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (i, source) in list.iter().enumerate() {
        let at = path.index(i);
        let prefix = source.str_at(&["prefix"]);
        if !prefix.is_empty() {
            faults.extend(texts(&at.child("prefix"), prefix, names::is_relaxed_env_var_name(prefix)));
        }
        let mut count = 0;
        for field in ["configMapRef", "secretRef"] {
            let Some(reference) = set(source, field) else { continue };
            count += 1;
            let at = at.child(field).child("name");
            match reference.str_at(&["name"]) {
                "" => faults.push(Fault::required(at, "")),
                name => faults.extend(texts(&at, name, names::name_is_dns_subdomain(name, true))),
            }
        }
        match count {
            0 => faults.push(Fault::invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")),
            1 => {}
            _ => {
                faults.push(Fault::invalid(path, "", "may not have more than one field specified at a time"))
            }
        }
    }
    faults
}

/// Variables read from a file need a volume of type `emptyDir`. `containers`: with their paths.
pub fn file_volumes<'v>(spec: &'v Value, containers: impl Iterator<Item = (Path, &'v Value)>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (at, container) in containers {
        for (j, variable) in container.list_at(&["env"]).iter().enumerate() {
            let Some(key_ref) = variable.at(&["valueFrom", "fileKeyRef"]).filter(|r| !r.is_null()) else {
                continue;
            };
            let name = key_ref.str_at(&["volumeName"]);
            let at = at.child("env").index(j).child("valueFrom").child("fileKeyRef").child("volumeName");
            let volume = spec.list_at(&["volumes"]).iter().rev().find(|v| v.str_at(&["name"]) == name);
            match volume {
                None => faults.push(Fault::not_found(at, name)),
                Some(volume) if set(volume, "emptyDir").is_none() => {
                    faults.push(Fault::invalid(at, name, "referenced volume must be of type emptyDir"));
                }
                Some(_) => {}
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn variables_are_refused_in_upstreams_words() {
        let list = tree!([
            {"name": "A", "value": "x", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
            {"name": "B", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.bogus"}}},
            {"name": "C", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels['a']"}}},
        ]);
        let faults: Vec<String> =
            variables(list.as_list().unwrap(), &Path::new("env")).iter().map(Fault::to_string).collect();
        assert_eq!(
            faults,
            [
                "env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
                "env[1].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.bogus\": error converting fieldPath: \
                 field label not supported: spec.bogus",
            ]
        );
    }
}
