//! What the server makes of a pod's spec before it is stored: fields of features that are off by default go, label
//! keys become requirements, annotations of AppArmor become fields. Source: `DropDisabledPodFields`, pod `strategy.go`.

use super::{CONTAINER_LISTS, annotations, defaults::each, security, set};
use api::{Path, Value, tree};

/// Drops what needs features that are off, unless `old` has it too.
pub fn drop_disabled(spec: &mut Value, old: Option<&Value>) {
    let uses_projection = |kind: &str| {
        let volumes = old.map(|o| o.list_at(&["volumes"])).unwrap_or_default();
        let sources = volumes.iter().flat_map(|v| v.list_at(&["projected", "sources"]));
        sources.into_iter().any(|s| set(s, kind).is_some())
    };
    for kind in ["clusterTrustBundle", "podCertificate"] {
        if uses_projection(kind) {
            continue;
        }
        each(spec, "volumes", |volume| {
            if let Some(projected) = volume.get_mut("projected") {
                each(projected, "sources", |source| drop(source.unset(&[kind])));
            }
        });
    }
    if old.is_none_or(|o| set(o, "schedulingGroup").is_none()) {
        spec.unset(&["schedulingGroup"]);
    }
    let stops = |c: &Value| c.at(&["lifecycle", "stopSignal"]).is_some_and(|s| !s.is_null());
    if !old.is_some_and(|o| CONTAINER_LISTS.iter().any(|l| o.list_at(&[l]).iter().any(stops))) {
        for list in CONTAINER_LISTS {
            each(spec, list, |container| {
                let dropped = container.unset(&["lifecycle", "stopSignal"]).is_some();
                if dropped && container.map_at(&["lifecycle"]).is_some_and(|l| l.is_empty()) {
                    container.unset(&["lifecycle"]);
                }
            });
        }
    }
}

/// For templates of pods (workloads, PodTemplate): see [`drop_disabled`].
pub fn drop_disabled_template(template: &mut Value, old: Option<&Value>) {
    if let Some(spec) = template.get_mut("spec") {
        drop_disabled(spec, old.and_then(|o| o.get("spec")));
    }
}

/// Requirements for the pod's own labels that `matchLabelKeys` and `mismatchLabelKeys` name.
pub fn merge_label_keys(pod: &mut Value) {
    let labels = pod.at(&["metadata", "labels"]).cloned().unwrap_or_default();
    let Some(spec) = pod.get_mut("spec") else { return };
    each(spec, "topologySpreadConstraints", |constraint| apply_label_keys(constraint, &labels));
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = spec.at_mut(&["affinity", kind]) else { continue };
        each(affinity, "preferredDuringSchedulingIgnoredDuringExecution", |weighted| {
            if let Some(term) = weighted.get_mut("podAffinityTerm") {
                apply_label_keys(term, &labels);
            }
        });
        each(affinity, "requiredDuringSchedulingIgnoredDuringExecution", |term| {
            apply_label_keys(term, &labels)
        });
    }
}

fn apply_label_keys(term: &mut Value, labels: &Value) {
    if set(term, "labelSelector").is_none() {
        return;
    }
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        let keys: Vec<String> =
            term.list_at(&[field]).iter().filter_map(|k| k.as_str().map(str::to_owned)).collect();
        for key in keys {
            let Some(value) = labels.get(&key).cloned() else { continue };
            let requirement = tree!({"key": key, "operator": operator, "values": [value]});
            let selector = term.make_map(&["labelSelector"]);
            if let Value::List(list) = selector.entry_or("matchExpressions", || Value::List(Vec::new())) {
                list.push(requirement);
            }
        }
    }
}

/// Makes fields of the old annotations of AppArmor, for containers that have no profile of their own.
pub fn sync_app_armor(pod: &mut Value) {
    if pod.str_at(&["spec", "os", "name"]) == "windows" {
        return;
    }
    let pod_profile =
        pod.at(&["spec", "securityContext", "appArmorProfile"]).filter(|p| !p.is_null()).cloned();
    let meta = pod.get("metadata").cloned().unwrap_or_default();
    let Some(spec) = pod.get_mut("spec") else { return };
    for list in CONTAINER_LISTS {
        each(spec, list, |container| {
            let key = format!("{}{}", annotations::APP_ARMOR, container.str_at(&["name"]));
            let bare = container.at(&["securityContext", "appArmorProfile"]).is_none_or(Value::is_null);
            let annotation = meta.at(&["annotations", &key]).and_then(Value::as_str);
            if let Some(field) =
                annotation.and_then(app_armor_of).filter(|f| bare && Some(f) != pod_profile.as_ref())
            {
                container.set(&["securityContext", "appArmorProfile"], field);
            }
        });
    }
}

/// The field that an annotation stands for, when it is good.
pub fn app_armor_of(annotation: &str) -> Option<Value> {
    let field = match annotation {
        "unconfined" => tree!({"type": "Unconfined"}),
        "runtime/default" => tree!({"type": "RuntimeDefault"}),
        other => tree!({"type": "Localhost", "localhostProfile": other.strip_prefix("localhost/")?}),
    };
    security::app_armor_profile(&field, &Path::default()).is_empty().then_some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_that_are_off_leave_no_fields() {
        let mut spec = tree!({"schedulingGroup": {"podGroupName": "g"}, "containers": [{"name": "c", "lifecycle": {"stopSignal": "SIGTERM"}}],
            "volumes": [{"projected": {"sources": [{"podCertificate": {}}]}}]});
        drop_disabled(&mut spec, None);
        let want = tree!({"containers": [{"name": "c"}], "volumes": [{"projected": {"sources": [{}]}}]});
        assert_eq!(spec, want);
    }

    #[test]
    fn match_label_keys_become_requirements() {
        let mut pod = tree!({"metadata": {"labels": {"v": "1"}}, "spec": {"topologySpreadConstraints": [
            {"matchLabelKeys": ["v", "w"], "labelSelector": {}}]}});
        merge_label_keys(&mut pod);
        let selector = pod.list_at(&["spec", "topologySpreadConstraints"])[0].get("labelSelector").unwrap();
        assert_eq!(*selector, tree!({"matchExpressions": [{"key": "v", "operator": "In", "values": ["1"]}]}));
    }
}
