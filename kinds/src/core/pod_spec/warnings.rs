//! Warnings about pods and templates of pods. Source: `pkg/api/pod/warnings.go`, `pkg/api/node/util.go`.

use super::{annotations, each_container, prepare::app_armor_of, resources, set};
use crate::networking::address::ip_warnings;
use crate::validation::same;
use api::{Path, Value, names, quote};
use std::collections::{BTreeMap, BTreeSet};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const DEPRECATED_LABELS: [(&str, &str); 8] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
    ),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    (
        "scheduler.alpha.kubernetes.io/preferAvoidPods",
        "deprecated since v1.22; use Taints and Tolerations instead",
    ),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];
const DEPRECATED_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];
/// Kinds of volumes that are gone: field, name in the path, what became of it.
const DEPRECATED_VOLUMES: [(&str, &str, &str); 9] = [
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// What is to be said of a label of nodes that is deprecated.
pub fn deprecated_node_label(key: &str) -> Option<&'static str> {
    DEPRECATED_LABELS.iter().find(|(label, _)| *label == key).map(|(_, text)| *text)
}

/// Warnings about a new Pod.
pub fn warn_pod(pod: &Value) -> Vec<String> {
    template_warnings(pod, None, &Path::default())
}

/// Warnings about a `PodTemplateSpec` at `path` (a Pod itself has the empty path); none when it is as it was.
pub fn template_warnings(template: &Value, old: Option<&Value>, path: &Path) -> Vec<String> {
    if old.is_some_and(|old| same(Some(template), Some(old))) {
        return Vec::new();
    }
    let (at, empty) = (path.child("spec"), Value::map());
    let spec = template.get("spec").unwrap_or(&empty);
    let mut out = node_labels(spec, &at);
    spread_constraints(spec, &at, &mut out);
    for (key, text) in DEPRECATED_ANNOTATIONS {
        if annotations::get(template, key).is_some() {
            out.push(format!("{}: {text}", path.child("metadata").child("annotations").key(key)));
        }
    }
    volumes(spec, &at, &mut out);
    overlapping_paths(spec, &mut out);
    duplicates(spec, &at, &mut out);
    fractional(spec.get("overhead"), &at.child("overhead"), &mut out);
    old_profiles(template, spec, path, &mut out);
    let mut rest = Vec::new();
    for (at, container) in each_container(spec, &at) {
        for list in ["limits", "requests"] {
            fractional(container.at(&["resources", list]), &at.child("resources").child(list), &mut rest);
        }
        hidden_variables(container, &at.child("env"), &mut rest);
    }
    out.extend(rest);
    ports(spec, &at, &mut out);
    if spec.i64_at(&["terminationGracePeriodSeconds"]).is_some_and(|secs| secs < 0) {
        let at = at.child("terminationGracePeriodSeconds");
        out.push(format!("{at}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    null_selectors(spec, &at, &mut out);
    addresses(spec, &at, &mut out);
    out
}

fn node_labels(spec: &Value, at: &Path) -> Vec<String> {
    let mut out = Vec::new();
    for key in spec.map_at(&["nodeSelector"]).into_iter().flat_map(|m| m.keys()) {
        if let Some(text) = deprecated_node_label(key) {
            out.push(format!("{}: {text}", at.child("nodeSelector").key(key)));
        }
    }
    let at = at.child("affinity").child("nodeAffinity");
    let terms = spec.list_at(&["affinity", "nodeAffinity", REQUIRED, "nodeSelectorTerms"]);
    for (i, term) in terms.iter().enumerate() {
        let at = at.child(REQUIRED).child("nodeSelectorTerms").index(i);
        out.extend(warn_node_selector_term(term, false, &at));
    }
    for (i, term) in spec.list_at(&["affinity", "nodeAffinity", PREFERRED]).iter().enumerate() {
        let at = at.child(PREFERRED).index(i).child("preference");
        out.extend(term.get("preference").map(|t| warn_node_selector_term(t, true, &at)).unwrap_or_default());
    }
    out
}

/// Deprecated labels in a term, and, where they are not refused, wrong values.
pub fn warn_node_selector_term(term: &Value, check_values: bool, path: &Path) -> Vec<String> {
    let mut out = Vec::new();
    for (i, expression) in term.list_at(&["matchExpressions"]).iter().enumerate() {
        let (at, key) = (path.child("matchExpressions").index(i), expression.str_at(&["key"]));
        if let Some(text) = deprecated_node_label(key) {
            out.push(format!("{}: {key} is {text}", at.child("key")));
        }
        let values = expression.list_at(&["values"]).iter().filter_map(Value::as_str).enumerate();
        for (j, value) in values.filter(|_| check_values) {
            let wrong = names::is_label_value(value).into_iter();
            out.extend(
                wrong.map(|text| format!("{}: {value} is invalid, {text}", at.child("values").index(j))),
            );
        }
    }
    out
}

fn spread_constraints(spec: &Value, at: &Path, out: &mut Vec<String>) {
    for (i, constraint) in spec.list_at(&["topologySpreadConstraints"]).iter().enumerate() {
        let (at, key) = (at.child("topologySpreadConstraints").index(i), constraint.str_at(&["topologyKey"]));
        if let Some(text) = deprecated_node_label(key) {
            out.push(format!("{}: {key} is {text}", at.child("topologyKey")));
        }
        null_selector(constraint, &at, out);
    }
}

fn null_selector(term: &Value, at: &Path, out: &mut Vec<String>) {
    if set(term, "labelSelector").is_none() {
        let at = at.child("labelSelector");
        out.push(format!("{at}: a null labelSelector results in matching no pod"));
    }
}

fn null_selectors(spec: &Value, at: &Path, out: &mut Vec<String>) {
    for kind in ["podAffinity", "podAntiAffinity"] {
        let at = at.child("affinity").child(kind);
        for (i, term) in spec.list_at(&["affinity", kind, REQUIRED]).iter().enumerate() {
            null_selector(term, &at.child(REQUIRED).index(i), out);
        }
        for (i, weighted) in spec.list_at(&["affinity", kind, PREFERRED]).iter().enumerate() {
            let term = weighted.get("podAffinityTerm").unwrap_or(&Value::Null);
            null_selector(term, &at.child(PREFERRED).index(i).child("podAffinityTerm"), out);
        }
    }
}

fn volumes(spec: &Value, at: &Path, out: &mut Vec<String>) {
    for (i, volume) in spec.list_at(&["volumes"]).iter().enumerate() {
        let at = at.child("volumes").index(i);
        for (field, name, text) in DEPRECATED_VOLUMES {
            if set(volume, field).is_some() {
                out.push(format!("{}: {text}", at.child(name)));
            }
        }
        let claim = ["ephemeral", "volumeClaimTemplate", "spec"];
        for list in ["requests", "limits"] {
            let amount = volume.at(&claim).and_then(|c| c.at(&["resources", list, "storage"]));
            let at = at.child("ephemeral").child("volumeClaimTemplate").child("spec").child("resources");
            fractional_amount(amount, &at.child(list).key("storage"), out);
        }
    }
}

fn fractional(amounts: Option<&Value>, path: &Path, out: &mut Vec<String>) {
    for name in ["memory", "ephemeral-storage"] {
        fractional_amount(amounts.and_then(|a| a.get(name)), &path.key(name), out);
    }
}

fn fractional_amount(amount: Option<&Value>, path: &Path, out: &mut Vec<String>) {
    if let Some(amount) = amount.and_then(resources::quantity).filter(|a| a.milli() % 1000 != 0) {
        let shown = quote(&amount.to_string());
        out.push(format!("{path}: fractional byte value {shown} is invalid, must be an integer"));
    }
}

fn duplicates(spec: &Value, at: &Path, out: &mut Vec<String>) {
    for (list, field) in [("hostAliases", "ip"), ("imagePullSecrets", "name")] {
        let (mut seen, items) = (BTreeSet::new(), spec.list_at(&[list]));
        for (i, item) in items.iter().enumerate() {
            let text = item.str_at(&[field]);
            if !seen.insert(text) {
                out.push(format!(
                    "{}: duplicate {field} {}",
                    at.child(list).index(i).child(field),
                    quote(text)
                ));
            }
        }
    }
    for (i, secret) in spec.list_at(&["imagePullSecrets"]).iter().enumerate() {
        if secret.str_at(&["name"]).is_empty() {
            let at = at.child("imagePullSecrets").index(i).child("name");
            out.push(format!("{at}: invalid empty name \"\""));
        }
    }
}

/// Annotations that fields have replaced.
fn old_profiles(template: &Value, spec: &Value, path: &Path, out: &mut Vec<String>) {
    let at = path.child("metadata").child("annotations");
    let has =
        |holder: &Value, field: &str| holder.at(&["securityContext", field]).is_some_and(|p| !p.is_null());
    let seccomp = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
    if !has(spec, "seccompProfile") && annotations::get(template, annotations::SECCOMP_POD).is_some() {
        out.push(format!("{}: {seccomp}", at.key(annotations::SECCOMP_POD)));
    }
    for (_, container) in each_container(spec, path) {
        let name = container.str_at(&["name"]);
        let key = format!("{}{name}", annotations::SECCOMP_CONTAINER);
        if !has(container, "seccompProfile") && annotations::get(template, &key).is_some() {
            out.push(format!("{}: {seccomp}", at.key(&key)));
        }
        let key = format!("{}{name}", annotations::APP_ARMOR);
        let Some(field) = annotations::get(template, &key).map(app_armor_of) else { continue };
        let in_pod = path.as_str().is_empty();
        let own = container.at(&["securityContext", "appArmorProfile"]).filter(|p| !p.is_null());
        let of_pod = spec.at(&["securityContext", "appArmorProfile"]).filter(|p| !p.is_null());
        // A pod's annotations have become fields already.
        let warns = match own {
            Some(own) => in_pod && field.as_ref() == Some(own),
            None => of_pod.is_none() || of_pod != field.as_ref(),
        };
        if warns {
            let text = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
            out.push(format!("{}: {text}", at.key(&key)));
        }
    }
}

fn hidden_variables(container: &Value, path: &Path, out: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (i, variable) in container.list_at(&["env"]).iter().enumerate() {
        let (name, value) = (variable.str_at(&["name"]), variable.str_at(&["value"]));
        let reference = format!("$({name})");
        let hides = set(variable, "valueFrom").is_some() || value == reference || !value.contains(&reference);
        if !seen.insert(name) && hides {
            let (at, name) = (path.index(i), quote(name));
            out.push(format!(
                "{at}: hides previous definition of {name}, which may be dropped when using apply"
            ));
        }
    }
}

fn ports(spec: &Value, at: &Path, out: &mut Vec<String>) {
    let mut taken: BTreeMap<String, Vec<(Path, String, i64)>> = BTreeMap::new();
    for (at, container) in each_container(spec, at) {
        for (i, port) in container.list_at(&["ports"]).iter().enumerate() {
            let at = at.child("ports").index(i);
            let number = |field: &str| port.i64_at(&[field]).unwrap_or_default();
            let (ip, host) = (port.str_at(&["hostIP"]), number("hostPort"));
            let (container_port, protocol) = (number("containerPort"), port.str_at(&["protocol"]));
            if !ip.is_empty() && host == 0 {
                let name = port.str_at(&["name"]);
                out.push(format!(
                    "{at}: hostIP set without hostPort: {{Name:{name} HostPort:0 ContainerPort:{container_port} \
                     Protocol:{protocol} HostIP:{ip}}}"
                ));
            }
            let others = taken.entry(format!("{container_port}/{protocol}")).or_default();
            for (other, other_ip, other_host) in others.iter() {
                let what = if ip == other_ip && host == *other_host {
                    "duplicate"
                } else if host == 0 || *other_host == 0 {
                    "overlapping"
                } else if host == *other_host && (ip.is_empty() != other_ip.is_empty()) {
                    "dangerously ambiguous"
                } else {
                    continue;
                };
                out.push(format!("{at}: {what} port definition with {other}"));
            }
            others.push((at, ip.to_owned(), host));
        }
    }
    port_names(spec, at, out);
}

fn port_names(spec: &Value, at: &Path, out: &mut Vec<String>) {
    let mut places: BTreeMap<&str, Path> = BTreeMap::new();
    for (at, container) in each_container(spec, at) {
        for (i, port) in container.list_at(&["ports"]).iter().enumerate() {
            let (at, name) = (at.child("ports").index(i), port.str_at(&["name"]));
            match places.get(name) {
                _ if name.is_empty() => {}
                Some(other) => out.push(format!(
                    "{at}: duplicate port name {} with {other}, services and probes that select ports by name will \
                     use {other}",
                    quote(name)
                )),
                None => drop(places.insert(name, at)),
            }
        }
    }
}

fn addresses(spec: &Value, at: &Path, out: &mut Vec<String>) {
    let servers = spec.list_at(&["dnsConfig", "nameservers"]).iter().filter_map(Value::as_str).enumerate();
    out.extend(
        servers.flat_map(|(i, ip)| ip_warnings(ip, &at.child("dnsConfig").child("nameservers").index(i))),
    );
    for (i, alias) in spec.list_at(&["hostAliases"]).iter().enumerate() {
        out.extend(ip_warnings(alias.str_at(&["ip"]), &at.child("hostAliases").index(i).child("ip")));
    }
}

/// Files of one volume that stand in each other's way.
fn overlapping_paths(spec: &Value, out: &mut Vec<String>) {
    for volume in spec.list_at(&["volumes"]) {
        let name = quote(volume.str_at(&["name"]));
        let mut check = |what: String, files: Vec<(String, String)>| {
            let texts = overlaps(files).into_iter();
            out.extend(texts.map(|text| format!("volume {name} ({what}): overlapping paths: {text}")));
        };
        for (field, source, key) in [
            ("configMap", "ConfigMap", "name"),
            ("secret", "Secret", "secretName"),
            ("downwardAPI", "DownwardAPI", ""),
        ] {
            let Some(part) = set(volume, field) else { continue };
            let what = if key.is_empty() {
                source.to_owned()
            } else {
                format!("{source} {}", quote(part.str_at(&[key])))
            };
            check(what, file_paths(part, ""));
        }
        let Some(projected) = set(volume, "projected") else { continue };
        let mut files = Vec::new();
        let mut bare = 0;
        for source in projected.list_at(&["sources"]) {
            let quoted = |what: &str, part: &Value| format!("{what} {}", quote(part.str_at(&["name"])));
            if let Some(part) = set(source, "configMap") {
                files.extend(file_paths(part, &quoted("ConfigMap", part)));
            } else if let Some(part) = set(source, "secret") {
                files.extend(file_paths(part, &quoted("Secret", part)));
            } else if let Some(part) = set(source, "downwardAPI") {
                files.extend(file_paths(part, "DownwardAPI"));
            } else if let Some(part) = set(source, "serviceAccountToken") {
                files.push((part.str_at(&["path"]).to_owned(), "ServiceAccountToken".to_owned()));
            } else {
                bare += 1;
            }
        }
        check("Projected".to_owned(), files);
        out.extend((0..bare).map(|_| format!("volume {name} (Projected) has no sources provided")));
    }
}

fn file_paths(part: &Value, source: &str) -> Vec<(String, String)> {
    let items = part.list_at(&["items"]).iter();
    items.map(|i| (i.str_at(&["path"]).trim_end_matches('/').to_owned(), source.to_owned())).collect()
}

fn overlaps(files: Vec<(String, String)>) -> Vec<String> {
    let shown = |(path, source): &(String, String)| {
        if source.is_empty() { quote(path) } else { format!("{} ({source})", quote(path)) }
    };
    let within = |a: &str, b: &str| format!("{a}/").starts_with(&format!("{b}/"));
    let mut out = Vec::new();
    for (i, file) in files.iter().enumerate().filter(|(_, f)| !f.0.is_empty()) {
        for other in files.iter().take(i).filter(|o| !o.0.is_empty()) {
            if within(&file.0, &other.0) || within(&other.0, &file.0) {
                out.push(format!("{} with {}", shown(file), shown(other)));
            }
        }
    }
    out
}
