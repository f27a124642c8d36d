//! The checks of a whole spec and of templates, in upstream's order. Source: `ValidatePodSpec`,
//! `ValidatePodTemplateSpec`.

use super::{
    Scope, affinity, annotations, containers, each_container, env, network, ports, requirements, scheduling,
    security, set, volumes, windows,
};
use crate::validation::{dns_label, dns_subdomain, one_of, qualified_name};
use api::{Fault, Path, Value, names, selector};
use std::collections::BTreeSet;

/// A `PodTemplateSpec`; selectors that `old` has wrong already are let through. `path`: where it stands
/// (`spec.template`).
pub fn validate_template(template: &Value, old: Option<&Value>, path: &Path) -> Vec<Fault> {
    let mut faults = template_metadata_faults(template, path);
    let (empty, at) = (Value::map(), path.child("spec"));
    let spec = template.get("spec").unwrap_or(&empty);
    faults.extend(validate_spec(spec, old.and_then(|o| o.get("spec")), None, &at));
    faults.extend(annotations::match_fields(template, &at));
    if !spec.list_at(&["ephemeralContainers"]).is_empty() {
        let detail = "ephemeral containers not allowed in pod template";
        faults.push(Fault::forbidden(at.child("ephemeralContainers"), detail));
    }
    faults
}

/// Labels and annotations of a template.
pub fn template_metadata_faults(template: &Value, path: &Path) -> Vec<Fault> {
    let labels = template.map_at(&["metadata", "labels"]);
    let mut faults = selector::label_faults(labels, &path.child("labels"));
    faults.extend(annotation_keys(template, &path.child("annotations")));
    faults.extend(annotations::check(template, &path.child("annotations")));
    faults
}

/// Keys of annotations, and the size of all of them.
fn annotation_keys(template: &Value, path: &Path) -> Vec<Fault> {
    /// Keys and values of all annotations together.
    const MAX_BYTES: usize = 256 * 1024;
    let (mut faults, mut bytes) = (Vec::new(), 0);
    for (key, value) in template.map_at(&["metadata", "annotations"]).into_iter().flat_map(|m| m.iter()) {
        let wrong = names::is_qualified_name(&key.to_lowercase()).into_iter();
        faults.extend(wrong.map(|text| Fault::invalid(path, key, text)));
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > MAX_BYTES {
        faults.push(Fault::too_long(path, MAX_BYTES));
    }
    faults
}

/// A `PodSpec`. `old`: what it replaces. `pod_name`: of a Pod itself, `None` in templates. `path`: where the spec stands.
pub fn validate_spec(spec: &Value, old: Option<&Value>, pod_name: Option<&str>, path: &Path) -> Vec<Fault> {
    let wrong_before =
        |field: &str, check: &dyn Fn(&Value) -> bool| old.and_then(|o| set(o, field)).is_some_and(check);
    let lenient = wrong_before("affinity", &affinity::has_wrong_values);
    let lenient_spread = wrong_before("topologySpreadConstraints", &scheduling::has_wrong_selectors);
    let mut scope = Scope::new(spec, pod_name);
    let mut faults = Vec::new();
    if scope.grace_secs.is_none() {
        faults.push(Fault::required(path.child("terminationGracePeriodSeconds"), ""));
    }
    faults.extend(volumes::all(&mut scope, &path.child("volumes")));
    faults.extend(resource_claims(spec, &path.child("resourceClaims")));
    faults.extend(containers::regular(&scope, &path.child("containers")));
    faults.extend(containers::init(&scope, &path.child("initContainers")));
    faults.extend(containers::ephemeral(&scope, &path.child("ephemeralContainers")));
    faults.extend(requirements::pod(spec, &scope.claims, path));
    faults.extend(ports::host_network(spec, scope.in_pod, path));
    faults.extend(policies(spec, path));
    let node_selector = spec.map_at(&["nodeSelector"]);
    faults.extend(selector::label_faults(node_selector, &path.child("nodeSelector")));
    faults.extend(security::pod(spec, &path.child("securityContext")));
    if let Some(affinity) = set(spec, "affinity") {
        faults.extend(affinity::all(affinity, lenient, &path.child("affinity")));
    }
    faults.extend(network::dns(spec, &path.child("dnsConfig")));
    for (i, gate) in spec.list_at(&["readinessGates"]).iter().enumerate() {
        let at = path.child("readinessGates").index(i).child("conditionType");
        faults.extend(qualified_name(gate.str_at(&["conditionType"]), &at));
    }
    faults.extend(scheduling::gates(spec.list_at(&["schedulingGates"]), &path.child("schedulingGates")));
    let constraints = spec.list_at(&["topologySpreadConstraints"]);
    let at = path.child("topologySpreadConstraints");
    faults.extend(scheduling::spread_constraints(constraints, lenient_spread, &at));
    faults.extend(windows::host_process(spec, path));
    faults.extend(network::host_users(spec, path));
    faults.extend(network::hostname_override(spec, path));
    faults.extend(names_and_numbers(spec, path));
    faults.extend(windows::os(spec, path));
    faults.extend(env::file_volumes(spec, each_container(spec, path)));
    faults
}

fn policies(spec: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let known: [(&str, &[&str]); 2] = [
        ("restartPolicy", &["Always", "OnFailure", "Never"]),
        ("dnsPolicy", &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]),
    ];
    for (field, allowed) in known {
        faults.extend(containers::choice(spec.str_at(&[field]), allowed, &path.child(field)));
    }
    faults
}

fn names_and_numbers(spec: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut name = |field: &str, check: fn(&str, &Path) -> Vec<Fault>| {
        let text = spec.str_at(&[field]);
        if !text.is_empty() {
            faults.extend(check(text, &path.child(field)));
        }
    };
    name("serviceAccountName", dns_subdomain);
    name("nodeName", dns_subdomain);
    let deadline = spec.i64_at(&["activeDeadlineSeconds"]);
    let max = i64::from(i32::MAX);
    if let Some(secs) = deadline.filter(|secs| !(1..=max).contains(secs)) {
        let detail = names::inclusive_range_error(1, max);
        faults.push(Fault::invalid(path.child("activeDeadlineSeconds"), secs, detail));
    }
    for (field, value) in
        [("hostname", spec.str_at(&["hostname"])), ("subdomain", spec.str_at(&["subdomain"]))]
    {
        if !value.is_empty() {
            faults.extend(dns_label(value, &path.child(field)));
        }
    }
    faults.extend(scheduling::tolerations(spec.list_at(&["tolerations"]), &path.child("tolerations")));
    faults.extend(network::host_aliases(spec.list_at(&["hostAliases"]), &path.child("hostAliases")));
    for field in ["priorityClassName", "runtimeClassName"] {
        let value = set(spec, field).and_then(Value::as_str);
        let value = value.filter(|v| !v.is_empty() || field == "runtimeClassName");
        faults.extend(value.map(|v| dns_subdomain(v, &path.child(field))).unwrap_or_default());
    }
    if let Some(policy) = set(spec, "preemptionPolicy").and_then(Value::as_str) {
        let at = path.child("preemptionPolicy");
        faults.extend(match policy {
            "" => vec![Fault::required(at, "")],
            policy => one_of(policy, &["PreemptLowerPriority", "Never"], &at),
        });
    }
    if let Some(overhead) = set(spec, "overhead") {
        let limits = Value::Map([("limits", overhead.clone())].into_iter().collect());
        faults.extend(requirements::container(&limits, &BTreeSet::new(), &path.child("overhead")));
    }
    faults
}

fn resource_claims(spec: &Value, path: &Path) -> Vec<Fault> {
    let (mut faults, mut seen) = (Vec::new(), BTreeSet::new());
    for (i, claim) in spec.list_at(&["resourceClaims"]).iter().enumerate() {
        let (at, name) = (path.index(i), claim.str_at(&["name"]));
        if name.is_empty() {
            faults.push(Fault::required(at.child("name"), ""));
        } else if !seen.insert(name) {
            faults.push(Fault::duplicate(at.child("name"), name));
        } else {
            faults.extend(dns_label(name, &at.child("name")));
        }
        let fields = ["resourceClaimName", "resourceClaimTemplateName"];
        let given = fields.map(|f| set(claim, f).and_then(Value::as_str));
        let shown = || super::internal::form(Some(claim), "PodResourceClaim");
        match given {
            [Some(_), Some(_)] => {
                let detail =
                    "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                faults.push(Fault::invalid(&at, shown(), detail));
            }
            [None, None] => {
                let detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                faults.push(Fault::invalid(&at, shown(), detail));
            }
            _ => {}
        }
        for (field, value) in fields.iter().zip(given) {
            faults.extend(value.map(|v| dns_subdomain(v, &at.child(field))).unwrap_or_default());
        }
    }
    faults
}
