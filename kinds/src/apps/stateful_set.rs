//! StatefulSet: pods with names, an order and claims of their own.

use super::template;
use super::workload::{self, default_text, default_to};
use crate::core::{persistent_volume_claim as claim, pod_spec};
use crate::internal_form::internal_form;
use crate::validation::{self, not_negative, one_of};
use crate::{Column, Cx, Info, Kind, NameRule, keep_field, print, reset_status};
use api::selector::LabelSelector;
use api::{Fault, Path, Value};

const STRATEGY: &str = "io.k8s.api.apps.v1.StatefulSetUpdateStrategy";
const ROLLING: &str = "io.k8s.api.apps.v1.RollingUpdateStatefulSetStrategy";
/// What an update may change in `spec`.
const MUTABLE: [&str; 7] = [
    "replicas",
    "template",
    "updateStrategy",
    "minReadySeconds",
    "ordinals",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
];
const IMMUTABLE_TEXT: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', \
    'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
    'minReadySeconds' are forbidden";

pub struct StatefulSet(Info);

impl StatefulSet {
    pub fn new() -> Self {
        let info = Info::new("apps", "v1", "StatefulSet", "statefulsets")
            .short(&["sts"])
            .categories(&["all"])
            .names(NameRule::Dns1123Label)
            .with_generation()
            .with_scale("spec.replicas", "status.replicas", "spec.selector")
            .with_status();
        StatefulSet(info)
    }
}

impl Kind for StatefulSet {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        default_text(obj, &["spec", "podManagementPolicy"], "OrderedReady");
        let strategy = ["spec", "updateStrategy"];
        if obj.str_at(&["spec", "updateStrategy", "type"]).is_empty() {
            obj.set(&["spec", "updateStrategy", "type"], "RollingUpdate");
            default_to(obj, &["spec", "updateStrategy", "rollingUpdate"], Value::map());
        }
        let rolls = obj.at(&strategy).is_some_and(|s| {
            s.str_at(&["type"]) == "RollingUpdate" && s.map_at(&["rollingUpdate"]).is_some()
        });
        if rolls {
            default_to(obj, &["spec", "updateStrategy", "rollingUpdate", "partition"], 0);
        }
        for field in ["whenDeleted", "whenScaled"] {
            default_text(obj, &["spec", "persistentVolumeClaimRetentionPolicy", field], "Retain");
        }
        default_to(obj, &["spec", "replicas"], 1);
        default_to(obj, &["spec", "revisionHistoryLimit"], 10);
        template::fill_at(obj, &["spec", "template"]);
        for claim in
            obj.at_mut(&["spec", "volumeClaimTemplates"]).and_then(Value::as_list_mut).into_iter().flatten()
        {
            claim.set(&["kind"], "PersistentVolumeClaim");
            claim.set(&["apiVersion"], "v1");
            claim::fill(claim);
        }
    }

    fn prepare_create(&self, obj: &mut Value, _cx: &Cx<'_>) {
        reset_status(obj);
        drop_max_unavailable(obj, None);
        template::drop_disabled_at(obj, None, &["spec", "template"]);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_field(new, old, "status");
        drop_max_unavailable(new, Some(old));
        template::drop_disabled_at(new, Some(old), &["spec", "template"]);
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        spec_faults(obj, None, &Tolerated::default())
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut tolerated = Tolerated { service_name: true, claims: true, template: false };
        tolerated.template = !spec_faults(old, None, &tolerated).is_empty();
        let mut faults = spec_faults(new, Some(old), &tolerated);
        let (mut new_spec, mut old_spec) = (spec_of(new), spec_of(old));
        for field in MUTABLE {
            new_spec.unset(&[field]);
            old_spec.unset(&[field]);
        }
        if !validation::same(Some(&new_spec), Some(&old_spec)) {
            faults.push(Fault::forbidden("spec", IMMUTABLE_TEXT));
        }
        faults
    }

    fn validate_lens(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let at = Path::new("status");
        let Some(status) = new.get("status") else { return Vec::new() };
        let counters = [
            "replicas",
            "readyReplicas",
            "currentReplicas",
            "updatedReplicas",
            "availableReplicas",
            "observedGeneration",
            "collisionCount",
        ];
        let mut faults = workload::counter_faults(status, &counters, &at);
        let capped = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
        faults.extend(workload::ceiling_faults(status, &capped, "status.readyReplicas", &at));
        faults.extend(workload::collision_fault(new, old));
        faults
    }

    fn warn(&self, new: &Value, old: Option<&Value>, cx: &Cx<'_>) -> Vec<String> {
        if !cx.subresource.is_empty() {
            return Vec::new();
        }
        let mut warnings = Vec::new();
        if old.is_none_or(|old| workload::differs(new, old, &["spec"])) {
            warnings.extend(template::warnings_at(new, old, &["spec", "template"]));
        }
        let claims = Path::new("spec").child("volumeClaimTemplates");
        for (i, template) in new.list_at(&["spec", "volumeClaimTemplates"]).iter().enumerate() {
            let at = if old.is_some() { claims.index(i).child("Spec") } else { claims.index(i) };
            warnings.extend(claim::spec_warnings(template.get("spec"), &at));
        }
        if new.i64_at(&["spec", "revisionHistoryLimit"]).is_some_and(|limit| limit < 0) {
            let text = "spec.revisionHistoryLimit: a negative value retains all historical revisions; \
                        a value >= 0 is recommended";
            warnings.push(text.to_owned());
        }
        warnings
    }

    fn columns(&self) -> Vec<Column> {
        let ready = Column::text("Ready", "string", "Number of the pod with ready state");
        let mut columns = vec![Column::name(), ready, Column::age()];
        columns.extend(workload::container_columns());
        columns
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let (containers, images) = print::containers(obj.at(&["spec", "template", "spec"]));
        vec![
            print::name(obj),
            workload::ready_cell(obj),
            print::age(obj, now),
            containers.into(),
            images.into(),
        ]
    }
}

/// What an update does not check again, because it cannot change or was wrong before.
#[derive(Default)]
struct Tolerated {
    service_name: bool,
    claims: bool,
    template: bool,
}

fn spec_of(obj: &Value) -> Value {
    obj.get("spec").cloned().unwrap_or_else(Value::map)
}

/// `rollingUpdate.maxUnavailable` is behind a gate that is off; objects that have it keep it.
fn drop_max_unavailable(new: &mut Value, old: Option<&Value>) {
    let path = ["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"];
    if old.and_then(|o| o.at(&path)).is_none_or(Value::is_null) {
        new.unset(&path);
    }
}

fn spec_faults(obj: &Value, old: Option<&Value>, tolerated: &Tolerated) -> Vec<Fault> {
    let (at, empty) = (Path::new("spec"), Value::map());
    let spec = obj.get("spec").unwrap_or(&empty);
    let mut faults =
        management_faults(spec.str_at(&["podManagementPolicy"]), &at.child("podManagementPolicy"));
    let strategy = spec.get("updateStrategy").unwrap_or(&empty);
    faults.extend(strategy_faults(strategy, &at.child("updateStrategy")));
    faults.extend(retention_faults(spec, &at.child("persistentVolumeClaimRetentionPolicy")));
    if !tolerated.claims {
        let at = at.child("volumeClaimTemplates");
        for (i, claim) in spec.list_at(&["volumeClaimTemplates"]).iter().enumerate() {
            let at = at.index(i).child("spec");
            faults.extend(claim::spec_faults(claim.get("spec").unwrap_or(&empty), &at));
        }
    }
    faults.extend(workload::counter_faults(spec, &["replicas", "minReadySeconds"], &at));
    faults.extend(not_negative(spec.i64_at(&["ordinals", "start"]), &at.child("ordinals.start")));
    let service = spec.str_at(&["serviceName"]);
    if !tolerated.service_name && !service.is_empty() {
        faults.extend(validation::dns_label(service, &at.child("serviceName")));
    }
    faults.extend(workload::selector_faults(spec.get("selector"), "statefulset", &at.child("selector")));
    faults.extend(template_faults(spec, old, tolerated, &at));
    faults
}

fn management_faults(policy: &str, at: &Path) -> Vec<Fault> {
    match policy {
        "" => vec![Fault::required(at, "")],
        "OrderedReady" | "Parallel" => Vec::new(),
        other => vec![Fault::invalid(at, other, "must be 'OrderedReady' or 'Parallel'")],
    }
}

fn strategy_faults(strategy: &Value, at: &Path) -> Vec<Fault> {
    let rolling = strategy.get("rollingUpdate").filter(|v| !v.is_null());
    let rolling_at = at.child("rollingUpdate");
    match (strategy.str_at(&["type"]), rolling) {
        ("", _) => vec![Fault::required(at, "")],
        ("OnDelete", None) | ("RollingUpdate", None) => Vec::new(),
        ("OnDelete", Some(rolling)) => {
            let shown = internal_form(Some(rolling), ROLLING);
            vec![Fault::invalid(rolling_at, shown, "only allowed for updateStrategy 'RollingUpdate'")]
        }
        ("RollingUpdate", Some(rolling)) => rolling_faults(rolling, &rolling_at),
        _ => {
            let shown = internal_form(Some(strategy), STRATEGY);
            vec![Fault::invalid(at, shown, "must be 'RollingUpdate' or 'OnDelete'")]
        }
    }
}

fn rolling_faults(rolling: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = not_negative(rolling.i64_at(&["partition"]), &at.child("partition"));
    let Some(unavailable) = rolling.get("maxUnavailable").filter(|v| !v.is_null()) else { return faults };
    faults.extend(workload::amount_faults(rolling, "maxUnavailable", at));
    if workload::int_or_percent(Some(unavailable)) == 0 {
        faults.push(Fault::invalid(at.child("maxUnavailable"), unavailable.clone(), "cannot be 0"));
    }
    faults.extend(workload::percent_faults(rolling, "maxUnavailable", at));
    faults
}

fn retention_faults(spec: &Value, at: &Path) -> Vec<Fault> {
    let Some(policy) = spec.get("persistentVolumeClaimRetentionPolicy") else { return Vec::new() };
    let of = |field: &str| one_of(policy.str_at(&[field]), &["Retain", "Delete"], &at.child(field));
    ["whenDeleted", "whenScaled"].iter().flat_map(|field| of(field)).collect()
}

fn template_faults(spec: &Value, old: Option<&Value>, tolerated: &Tolerated, at: &Path) -> Vec<Fault> {
    let template_at = at.child("template");
    let mut faults = Vec::new();
    match LabelSelector::from_value(spec.get("selector")) {
        Err(_) => {
            let value = spec.get("selector").cloned().unwrap_or_default();
            faults.push(Fault::invalid(at.child("selector"), value, ""));
        }
        Ok(selector) => {
            let checked = template_of_pods(spec);
            if !selector.is_empty() {
                faults.extend(workload::label_mismatch(&selector, Some(&checked), &template_at));
            }
            if !tolerated.template {
                let old = old.and_then(|o| o.at(&["spec", "template"]));
                faults.extend(template::faults(Some(&checked), old, &template_at));
            }
            faults.extend(pod_spec::template_metadata_faults(&checked, &template_at));
        }
    }
    faults.extend(workload::always_restarts(spec.get("template"), "StatefulSet", &template_at));
    faults
}

/// The template as pods will have it: names of their own, and a volume for each claim.
fn template_of_pods(spec: &Value) -> Value {
    let mut template = spec.get("template").cloned().unwrap_or_else(Value::map);
    template.unset(&["spec", "subdomain"]);
    template.unset(&["spec", "hostname"]);
    let claims = spec.list_at(&["volumeClaimTemplates"]);
    if claims.is_empty() {
        return template;
    }
    let names: Vec<&str> = claims.iter().map(|c| c.str_at(&["metadata", "name"])).collect();
    let mut volumes: Vec<Value> = names
        .iter()
        .map(|name| api::tree!({"name": *name, "persistentVolumeClaim": {"claimName": *name}}))
        .collect();
    let own = template.list_at(&["spec", "volumes"]);
    volumes.extend(own.iter().filter(|v| !names.contains(&v.str_at(&["name"]))).cloned());
    template.set(&["spec", "volumes"], volumes);
    template
}
