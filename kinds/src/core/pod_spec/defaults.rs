//! Defaults of a pod's spec and of templates of pods. Everything here may run twice: admission changes pods, and
//! what it added gets its defaults too. Source: `pkg/apis/core/v1/defaults.go`, `conversion.go`.

use super::{CONTAINER_LISTS, image, resources};
use api::Value;

/// Annotations that once held init containers; upstream drops them whenever it reads a pod.
const INIT_CONTAINER_ANNOTATIONS: [&str; 4] = [
    "pod.beta.kubernetes.io/init-containers",
    "pod.alpha.kubernetes.io/init-containers",
    "pod.beta.kubernetes.io/init-container-statuses",
    "pod.alpha.kubernetes.io/init-container-statuses",
];

/// Fills a `PodTemplateSpec`.
pub fn fill_template(template: &mut Value) {
    drop_init_container_annotations(template);
    let spec = template.as_map_mut().map(|m| m.entry_or("spec", Value::map));
    if let Some(spec) = spec {
        fill_spec(spec);
    }
}

/// Fills the spec of a Pod itself: as in templates, and requests from limits, service links, host ports.
pub fn fill_pod(pod: &mut Value) {
    drop_init_container_annotations(pod);
    let Some(spec) = pod.as_map_mut().map(|m| m.entry_or("spec", Value::map)) else { return };
    if spec.i64_at(&["terminationGracePeriodSeconds"]).is_some_and(|secs| secs < 0) {
        spec.set(&["terminationGracePeriodSeconds"], 1);
    }
    for list in ["containers", "initContainers"] {
        each(spec, list, resources::requests_from_limits);
    }
    resources::fill_pod_level(spec);
    default_nil(spec, "enableServiceLinks", true);
    if spec.bool_at(&["hostNetwork"]) {
        for list in ["containers", "initContainers"] {
            each(spec, list, |container| each(container, "ports", host_port_from_container_port));
        }
    }
    fill_spec(spec);
    sync_pod_ips(pod);
    resources::round_statuses(pod);
}

/// `status.podIP` is the first of `status.podIPs`, and wins where they differ.
fn sync_pod_ips(pod: &mut Value) {
    let first = pod.list_at(&["status", "podIPs"]).first().map(|ip| ip.str_at(&["ip"]).to_owned());
    match (pod.str_at(&["status", "podIP"]).to_owned(), first) {
        (ip, first) if !ip.is_empty() && first.as_deref() != Some(ip.as_str()) => {
            pod.set(&["status", "podIPs"], api::tree!([{"ip": ip}]));
        }
        (ip, Some(first)) if ip.is_empty() => pod.set(&["status", "podIP"], first),
        _ => {}
    }
}

fn drop_init_container_annotations(obj: &mut Value) {
    if let Some(map) = obj.at_mut(&["metadata", "annotations"]).and_then(Value::as_map_mut) {
        INIT_CONTAINER_ANNOTATIONS.iter().for_each(|key| drop(map.remove(key)));
    }
}

fn host_port_from_container_port(port: &mut Value) {
    let container_port = port.i64_at(&["containerPort"]).unwrap_or_default();
    if container_port != 0 {
        default_zero(port, "hostPort", container_port);
    }
}

/// Fills a `PodSpec`, wherever it stands.
pub fn fill_spec(spec: &mut Value) {
    default_zero(spec, "dnsPolicy", "ClusterFirst");
    default_zero(spec, "restartPolicy", "Always");
    default_nil(spec, "securityContext", Value::map());
    default_nil(spec, "terminationGracePeriodSeconds", 30);
    default_zero(spec, "schedulerName", "default-scheduler");
    sync_service_account(spec);
    each(spec, "volumes", fill_volume);
    for list in CONTAINER_LISTS {
        each(spec, list, fill_container);
    }
    resources::round_list(spec.get_mut("overhead"));
    resources::round_requirements(spec.get_mut("resources"));
}

/// `serviceAccount` is the old name of `serviceAccountName` and always written along with it.
fn sync_service_account(spec: &mut Value) {
    let mut name = spec.str_at(&["serviceAccountName"]).to_owned();
    if name.is_empty() {
        name = spec.str_at(&["serviceAccount"]).to_owned();
    }
    if !name.is_empty() {
        spec.set(&["serviceAccountName"], name.as_str());
        spec.set(&["serviceAccount"], name);
    }
}

fn fill_container(container: &mut Value) {
    let policy = image::default_pull_policy(container.str_at(&["image"]));
    default_zero(container, "imagePullPolicy", policy);
    default_zero(container, "terminationMessagePath", "/dev/termination-log");
    default_zero(container, "terminationMessagePolicy", "File");
    each(container, "ports", |port| default_zero(port, "protocol", "TCP"));
    each(container, "env", |env| {
        if let Some(from) = part(env, "valueFrom") {
            fill_field_ref(from);
            if let Some(file) = part(from, "fileKeyRef") {
                default_nil(file, "optional", false);
            }
        }
    });
    resources::round_requirements(container.get_mut("resources"));
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = part(container, probe) {
            fill_probe(probe);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(hook) = part(container, "lifecycle").and_then(|l| part(l, hook)) {
            fill_http_get(hook);
        }
    }
}

fn fill_probe(probe: &mut Value) {
    default_zero(probe, "timeoutSeconds", 1);
    default_zero(probe, "periodSeconds", 10);
    default_zero(probe, "successThreshold", 1);
    default_zero(probe, "failureThreshold", 3);
    fill_http_get(probe);
    if let Some(grpc) = part(probe, "grpc") {
        default_nil(grpc, "service", "");
    }
}

fn fill_http_get(handler: &mut Value) {
    if let Some(http) = part(handler, "httpGet") {
        default_zero(http, "path", "/");
        default_zero(http, "scheme", "HTTP");
    }
}

fn fill_field_ref(holder: &mut Value) {
    if let Some(field_ref) = part(holder, "fieldRef") {
        default_zero(field_ref, "apiVersion", "v1");
    }
}

/// Fields of volume sources whose default is a plain value: source, field, default. The first part are set when
/// missing, the second (`true`) when missing or zero.
fn source_defaults() -> [(&'static str, &'static str, Value, bool); 17] {
    let mode = || Value::Int(0o644);
    [
        ("hostPath", "type", "".into(), false),
        ("secret", "defaultMode", mode(), false),
        ("configMap", "defaultMode", mode(), false),
        ("downwardAPI", "defaultMode", mode(), false),
        ("projected", "defaultMode", mode(), false),
        ("azureDisk", "cachingMode", "ReadWrite".into(), false),
        ("azureDisk", "fsType", "ext4".into(), false),
        ("azureDisk", "readOnly", false.into(), false),
        ("azureDisk", "kind", "Shared".into(), false),
        ("iscsi", "iscsiInterface", "default".into(), true),
        ("rbd", "pool", "rbd".into(), true),
        ("rbd", "user", "admin".into(), true),
        ("rbd", "keyring", "/etc/ceph/keyring".into(), true),
        ("scaleIO", "storageMode", "ThinProvisioned".into(), true),
        ("scaleIO", "fsType", "xfs".into(), true),
        ("image", "pullPolicy", Value::Null, true),
        ("ephemeral", "", Value::Null, true),
    ]
}

fn fill_volume(volume: &mut Value) {
    let has_source = volume.as_map().is_some_and(|m| m.iter().any(|(k, v)| *k != "name" && !v.is_null()));
    if !has_source {
        volume.set(&["emptyDir"], Value::map());
        return;
    }
    for (source, field, value, zero_too) in source_defaults() {
        match (part(volume, source), zero_too) {
            (None, _) => {}
            (Some(image), _) if source == "image" => {
                let policy = image::default_pull_policy(image.str_at(&["reference"]));
                default_zero(image, field, policy);
            }
            (Some(ephemeral), _) if source == "ephemeral" => fill_claim_template(ephemeral),
            (Some(part), true) => default_zero(part, field, value),
            (Some(part), false) => default_nil(part, field, value),
        }
    }
    if let Some(downward) = part(volume, "downwardAPI") {
        each(downward, "items", fill_field_ref);
    }
    if let Some(projected) = part(volume, "projected") {
        each(projected, "sources", |source| {
            if let Some(downward) = part(source, "downwardAPI") {
                each(downward, "items", fill_field_ref);
            }
            if let Some(token) = part(source, "serviceAccountToken") {
                default_nil(token, "expirationSeconds", 3600);
            }
        });
    }
}

fn fill_claim_template(ephemeral: &mut Value) {
    if let Some(template) = part(ephemeral, "volumeClaimTemplate") {
        let Some(spec) = template.as_map_mut().map(|m| m.entry_or("spec", Value::map)) else { return };
        default_nil(spec, "volumeMode", "Filesystem");
        resources::round_requirements(spec.get_mut("resources"));
    }
}

/// Runs `f` on each item of a list field.
pub fn each(obj: &mut Value, list: &str, f: impl FnMut(&mut Value)) {
    if let Some(items) = obj.get_mut(list).and_then(Value::as_list_mut) {
        items.iter_mut().for_each(f);
    }
}

/// A struct field that is present.
fn part<'v>(obj: &'v mut Value, field: &str) -> Option<&'v mut Value> {
    obj.get_mut(field).filter(|v| matches!(v, Value::Map(_)))
}

/// Sets a pointer-like field that is missing.
pub fn default_nil(obj: &mut Value, field: &str, value: impl Into<Value>) {
    if obj.get(field).is_none_or(Value::is_null) {
        obj.set(&[field], value);
    }
}

/// Sets a field that is missing or holds its zero value.
pub fn default_zero(obj: &mut Value, field: &str, value: impl Into<Value>) {
    if obj.get(field).is_none_or(Value::is_empty) {
        obj.set(&[field], value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_minimal_pod_gets_all_defaults() {
        let mut pod = tree!({"spec": {"containers": [{"name": "c", "image": "nginx"}]}});
        fill_pod(&mut pod);
        let want = tree!({
            "containers": [{"name": "c", "image": "nginx", "imagePullPolicy": "Always",
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
            "enableServiceLinks": true, "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "securityContext": {},
            "terminationGracePeriodSeconds": 30, "schedulerName": "default-scheduler",
        });
        assert_eq!(pod.get("spec"), Some(&want));
        let once = pod.clone();
        fill_pod(&mut pod);
        assert_eq!(pod, once);
    }

    #[test]
    fn volumes_and_probes_get_theirs() {
        let mut template = tree!({"spec": {
            "serviceAccount": "sa",
            "volumes": [{"name": "n"}, {"name": "h", "hostPath": {"path": "/"}}, {"name": "s", "secret": {"secretName": "s"}},
                {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}],
            "containers": [{"name": "c", "image": "i:1", "livenessProbe": {"httpGet": {"port": 80}}}],
        }});
        fill_template(&mut template);
        let spec = template.get("spec").unwrap();
        assert_eq!(spec.str_at(&["serviceAccountName"]), "sa");
        let volumes = spec.list_at(&["volumes"]);
        assert_eq!(volumes[0], tree!({"name": "n", "emptyDir": {}}));
        assert_eq!(volumes[1].at(&["hostPath", "type"]), Some(&"".into()));
        assert_eq!(volumes[2].i64_at(&["secret", "defaultMode"]), Some(420));
        let token = &volumes[3].list_at(&["projected", "sources"])[0];
        assert_eq!(token.i64_at(&["serviceAccountToken", "expirationSeconds"]), Some(3600));
        let probe = spec.list_at(&["containers"])[0].get("livenessProbe").unwrap();
        assert_eq!(probe.at(&["httpGet"]), Some(&tree!({"port": 80, "path": "/", "scheme": "HTTP"})));
        assert_eq!(probe.i64_at(&["periodSeconds"]), Some(10));
        assert!(spec.get("enableServiceLinks").is_none());
    }

    #[test]
    fn host_network_makes_container_ports_host_ports() {
        let mut pod = tree!({"spec": {"hostNetwork": true, "containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}});
        fill_pod(&mut pod);
        let port = &pod.list_at(&["spec", "containers"])[0].list_at(&["ports"])[0];
        assert_eq!(*port, tree!({"containerPort": 80, "hostPort": 80, "protocol": "TCP"}));
    }
}
