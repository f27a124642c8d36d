//! Shared pod rules: defaults, checks, warnings and preparation of pods' specs, for Pod and every kind that has a
//! template of pods.
//!
//! Kinds with templates call [`fill_template`], [`drop_disabled_template`], [`validate_template`] and
//! [`template_warnings`].

mod affinity;
mod affinity_changes;
mod annotations;
mod containers;
mod defaults;
mod env;
mod image;
pub(crate) mod internal;
mod mounts;
mod network;
pub(crate) mod paths;
mod ports;
mod prepare;
mod probes;
mod projected;
pub mod requirements;
pub mod resources;
mod scheduling;
mod security;
mod update;
mod validate;
pub(crate) mod volume_sources;
mod volumes;
mod warnings;
mod windows;

pub use affinity::{node_selector, node_selector_term};
pub use annotations::MIRROR;
pub use defaults::{default_nil, default_zero, each, fill_pod, fill_spec, fill_template};
pub use prepare::{drop_disabled, drop_disabled_template, merge_label_keys, sync_app_armor};
pub use requirements::{amount, resource_name};
pub use resources::{
    amounts, is_huge_page, is_standard, qos_class, quantity, round_list, round_requirements,
};
pub use scheduling::{EFFECTS, tolerations};
pub use update::{ephemeral_containers, keep_resized, resize, unchangeable, update};
pub use validate::{template_metadata_faults, validate_spec, validate_template};
pub use volume_sources::csi_driver_name;
pub use warnings::{deprecated_node_label, template_warnings, warn_node_selector_term, warn_pod};

pub use api::resources::is_sidecar;
use api::{Fault, Path, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The lists of containers in the order that upstream visits them.
pub const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// A field that is there and not null.
pub fn set<'v>(obj: &'v Value, field: &str) -> Option<&'v Value> {
    obj.get(field).filter(|v| !v.is_null())
}

/// All containers with their paths. `path`: the spec's.
pub fn each_container<'v>(spec: &'v Value, path: &Path) -> impl Iterator<Item = (Path, &'v Value)> {
    let path = path.clone();
    CONTAINER_LISTS.into_iter().flat_map(move |list| {
        let at = path.child(list);
        spec.list_at(&[list]).iter().enumerate().map(move |(i, c)| (at.index(i), c))
    })
}

/// Checks of a Pod beyond its metadata. `old`: what it replaces.
pub fn validate_pod(pod: &Value, old: Option<&Value>) -> Vec<Fault> {
    let (path, empty) = (Path::new("spec"), Value::map());
    let spec = pod.get("spec").unwrap_or(&empty);
    let mut faults = annotations::check(pod, &Path::new("metadata").child("annotations"));
    faults.extend(validate_spec(
        spec,
        old.and_then(|o| o.get("spec")),
        Some(pod.str_at(&["metadata", "name"])),
        &path,
    ));
    faults.extend(token_without_account(spec, &path));
    for list in ["containers", "initContainers"] {
        faults.extend(containers::only_for_pods(spec, list, &path.child(list)));
    }
    faults
}

/// Checks of a Pod that only hold when it is created.
pub fn validate_new_pod(pod: &Value) -> Vec<Fault> {
    let (path, mut faults) = (Path::new("spec"), Vec::new());
    if !pod.list_at(&["spec", "ephemeralContainers"]).is_empty() {
        faults.push(Fault::forbidden(path.child("ephemeralContainers"), "cannot be set on create"));
    }
    let bound = !pod.str_at(&["spec", "nodeName"]).is_empty();
    if bound && !pod.list_at(&["spec", "schedulingGates"]).is_empty() {
        let detail = "cannot be set until all schedulingGates have been cleared";
        faults.push(Fault::forbidden(path.child("nodeName"), detail));
    }
    faults.extend(annotations::match_fields(pod, &path));
    faults
}

/// What of a Pod's annotations may not change.
pub fn validate_annotation_update(new: &Value, old: &Value) -> Vec<Fault> {
    annotations::check_update(new, old, &Path::new("metadata").child("annotations"))
}

fn token_without_account(spec: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !spec.str_at(&["serviceAccountName"]).is_empty() {
        return faults;
    }
    for (i, volume) in spec.list_at(&["volumes"]).iter().enumerate() {
        for (j, source) in volume.list_at(&["projected", "sources"]).iter().enumerate() {
            if set(source, "serviceAccountToken").is_some() {
                let at = path.child("volumes").index(i).child("projected").child("sources").index(j);
                let detail = "must not be specified when serviceAccountName is not set";
                faults.push(Fault::forbidden(at.child("serviceAccountToken"), detail));
            }
        }
    }
    faults
}

/// What the checks of single parts need to know of the whole.
struct Scope<'v> {
    spec: &'v Value,
    /// "" in templates.
    pod_name: &'v str,
    in_pod: bool,
    /// `terminationGracePeriodSeconds`.
    grace_secs: Option<i64>,
    /// Good volumes by name.
    volumes: BTreeMap<&'v str, &'v Value>,
    /// Names in `resourceClaims`.
    claims: BTreeSet<&'v str>,
}

impl<'v> Scope<'v> {
    fn new(spec: &'v Value, pod_name: Option<&'v str>) -> Self {
        let claims = spec.list_at(&["resourceClaims"]).iter().map(|c| c.str_at(&["name"]));
        Scope {
            spec,
            pod_name: pod_name.unwrap_or_default(),
            in_pod: pod_name.is_some(),
            grace_secs: spec.i64_at(&["terminationGracePeriodSeconds"]),
            volumes: BTreeMap::new(),
            claims: claims.filter(|name| !name.is_empty()).collect(),
        }
    }

    /// The names of containers in lists.
    fn names(&self, lists: &[&str]) -> BTreeSet<&'v str> {
        lists.iter().flat_map(|l| self.spec.list_at(&[l])).map(|c| c.str_at(&["name"])).collect()
    }

    /// True unless the pod has users of its own.
    fn host_users(&self) -> bool {
        self.spec.at(&["hostUsers"]).and_then(Value::as_bool).unwrap_or(true)
    }
}
