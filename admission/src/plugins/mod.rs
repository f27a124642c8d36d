//! One file a plugin, listed in `PLUGINS` in upstream's order.

mod always_admit;
mod always_deny;
mod always_pull_images;
mod certificate_approval;
mod certificate_signing;
mod certificate_subject_restriction;
mod cluster_trust_bundle_attest;
mod default_ingress_class;
mod default_storage_class;
mod default_toleration_seconds;
mod deny_service_external_ips;
mod event_rate_limit;
mod extended_resource_toleration;
mod image_policy_webhook;
mod limit_pod_hard_anti_affinity_topology;
mod limit_ranger;
mod mutating_admission_policy;
mod mutating_admission_webhook;
mod namespace_auto_provision;
mod namespace_exists;
mod namespace_lifecycle;
mod node_declared_feature_validator;
mod node_restriction;
mod owner_references_permission_enforcement;
mod persistent_volume_claim_resize;
mod pod_node_selector;
mod pod_resize_validator;
mod pod_security;
mod pod_toleration_restriction;
mod pod_topology_labels;
mod priority;
mod resource_quota;
mod runtime_class;
mod service_account;
mod storage_object_in_use_protection;
mod taint_nodes_by_condition;
mod validating_admission_policy;
mod validating_admission_webhook;

use crate::configuration;
use crate::review::{Cluster, Review, Writes};
use api::{Later, Network, Reader, Status, Value};
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use stdx::Clock;

/// An admission plugin. A plugin that only refuses leaves `admit` alone, one that only changes leaves `validate`.
pub trait Plugin: Send + Sync {
    /// Reads what it decides by and begins to follow it. Called once, before the first change.
    fn begin(&self) -> Later<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Whether it has anything to say about this change; cheap.
    fn handles(&self, review: &Review<'_>) -> bool;

    /// May change `review.object`.
    fn admit<'a>(
        &'a self,
        _review: &'a mut Review<'_>,
        _reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// May only refuse.
    fn validate<'a>(
        &'a self,
        _review: &'a mut Review<'_>,
        _reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What plugins work with.
#[derive(Clone)]
pub struct Settings {
    pub clock: Clock,
    /// For plugins that keep their own picture of the cluster.
    pub reader: Arc<dyn Reader>,
    /// The way to webhooks.
    pub network: Arc<dyn Network>,
    /// The server's own writes.
    pub writes: Arc<dyn Writes>,
    /// The configuration of plugins, by name: the parts of the file of `--admission-control-config-file`.
    pub configurations: BTreeMap<String, Value>,
    /// Reads a file that a configuration names; an error text in Go's words.
    pub read_file: fn(&str) -> Result<Vec<u8>, String>,
    /// How long pods stay on a node that is not ready, or not reachable.
    pub not_ready_toleration_secs: i64,
    pub unreachable_toleration_secs: i64,
}

impl Settings {
    /// An empty cluster, no way out, nothing configured.
    pub fn new(clock: Clock) -> Self {
        let (reader, network) = (Arc::new(()), Arc::new(()));
        Settings {
            clock,
            reader,
            network,
            writes: Arc::new(()),
            configurations: BTreeMap::new(),
            read_file: |path| Err(format!("open {path}: no such file or directory")),
            not_ready_toleration_secs: 300,
            unreachable_toleration_secs: 300,
        }
    }

    /// Takes the configurations of plugins from an AdmissionConfiguration, which `read_file` gives.
    pub fn configure(&mut self, path: &str) -> Result<(), String> {
        let read = configuration::plugins(path, self.read_file);
        self.configurations = read.map_err(|why| format!("failed to read plugin config: {why}"))?;
        Ok(())
    }
}

/// A plugin that there is.
pub struct Listed {
    /// Upstream's name, as in `--enable-admission-plugins`.
    pub name: &'static str,
    pub on_by_default: bool,
    /// An error text when its configuration is wrong.
    pub make: fn(&Settings) -> Result<Box<dyn Plugin>, String>,
}

/// One that is on by default.
const fn on(name: &'static str, make: fn(&Settings) -> Result<Box<dyn Plugin>, String>) -> Listed {
    Listed { name, on_by_default: true, make }
}

/// One that is used where a cluster asks for it.
const fn off(name: &'static str, make: fn(&Settings) -> Result<Box<dyn Plugin>, String>) -> Listed {
    Listed { name, on_by_default: false, make }
}

/// All plugins, in upstream's order.
pub const PLUGINS: &[Listed] = &[
    off("AlwaysAdmit", |_| Ok(Box::new(always_admit::AlwaysAdmit))),
    off("NamespaceAutoProvision", |settings| {
        Ok(Box::new(namespace_auto_provision::NamespaceAutoProvision::new(settings)))
    }),
    on("NamespaceLifecycle", |_| Ok(Box::new(namespace_lifecycle::NamespaceLifecycle))),
    off("NamespaceExists", |_| Ok(Box::new(namespace_exists::NamespaceExists))),
    off("LimitPodHardAntiAffinityTopology", |_| {
        Ok(Box::new(limit_pod_hard_anti_affinity_topology::LimitPodHardAntiAffinityTopology))
    }),
    on("LimitRanger", |_| Ok(Box::new(limit_ranger::LimitRanger))),
    on("ServiceAccount", |_| Ok(Box::new(service_account::ServiceAccount))),
    off("NodeRestriction", |_| Ok(Box::new(node_restriction::NodeRestriction))),
    on("TaintNodesByCondition", |_| Ok(Box::new(taint_nodes_by_condition::TaintNodesByCondition))),
    off("AlwaysPullImages", |_| Ok(Box::new(always_pull_images::AlwaysPullImages))),
    off("ImagePolicyWebhook", |settings| {
        Ok(Box::new(image_policy_webhook::ImagePolicyWebhook::new(settings)?))
    }),
    on("PodSecurity", |settings| Ok(Box::new(pod_security::PodSecurity::new(settings)?))),
    off("PodNodeSelector", |settings| Ok(Box::new(pod_node_selector::PodNodeSelector::new(settings)))),
    on("Priority", |_| Ok(Box::new(priority::Priority))),
    on("DefaultTolerationSeconds", |settings| {
        Ok(Box::new(default_toleration_seconds::DefaultTolerationSeconds::new(settings)))
    }),
    off("PodTolerationRestriction", |settings| {
        Ok(Box::new(pod_toleration_restriction::PodTolerationRestriction::new(settings)?))
    }),
    off("EventRateLimit", |settings| Ok(Box::new(event_rate_limit::EventRateLimit::new(settings)?))),
    off("ExtendedResourceToleration", |_| {
        Ok(Box::new(extended_resource_toleration::ExtendedResourceToleration))
    }),
    on("DefaultStorageClass", |_| Ok(Box::new(default_storage_class::DefaultStorageClass))),
    on("StorageObjectInUseProtection", |_| {
        Ok(Box::new(storage_object_in_use_protection::StorageObjectInUseProtection))
    }),
    on("PodGroupProtection", |_| Ok(Box::new(always_admit::AlwaysAdmit))),
    off("OwnerReferencesPermissionEnforcement", |_| {
        Ok(Box::new(owner_references_permission_enforcement::OwnerReferencesPermissionEnforcement))
    }),
    on("PersistentVolumeClaimResize", |_| {
        Ok(Box::new(persistent_volume_claim_resize::PersistentVolumeClaimResize))
    }),
    on("RuntimeClass", |_| Ok(Box::new(runtime_class::RuntimeClass))),
    on("CertificateApproval", |_| Ok(Box::new(certificate_approval::CertificateApproval))),
    on("CertificateSigning", |_| Ok(Box::new(certificate_signing::CertificateSigning))),
    on("ClusterTrustBundleAttest", |_| Ok(Box::new(cluster_trust_bundle_attest::ClusterTrustBundleAttest))),
    on("CertificateSubjectRestriction", |_| {
        Ok(Box::new(certificate_subject_restriction::CertificateSubjectRestriction))
    }),
    on("DefaultIngressClass", |_| Ok(Box::new(default_ingress_class::DefaultIngressClass))),
    off("DenyServiceExternalIPs", |_| Ok(Box::new(deny_service_external_ips::DenyServiceExternalIPs))),
    on("PodTopologyLabels", |_| Ok(Box::new(pod_topology_labels::PodTopologyLabels))),
    on("PodGroupWorkloadExists", |_| Ok(Box::new(always_admit::AlwaysAdmit))),
    on("NodeDeclaredFeatureValidator", |_| {
        Ok(Box::new(node_declared_feature_validator::NodeDeclaredFeatureValidator))
    }),
    on("JobValidation", |_| Ok(Box::new(always_admit::AlwaysAdmit))),
    on("PodResizeValidator", |_| Ok(Box::new(pod_resize_validator::PodResizeValidator))),
    on("MutatingAdmissionPolicy", |_| Ok(Box::new(mutating_admission_policy::MutatingAdmissionPolicy))),
    on("MutatingAdmissionWebhook", |settings| {
        Ok(Box::new(mutating_admission_webhook::MutatingAdmissionWebhook::new(settings)?))
    }),
    on("ValidatingAdmissionPolicy", |_| Ok(Box::new(validating_admission_policy::ValidatingAdmissionPolicy))),
    on("ValidatingAdmissionWebhook", |settings| {
        Ok(Box::new(validating_admission_webhook::ValidatingAdmissionWebhook::new(settings)?))
    }),
    on("ResourceQuota", |settings| Ok(Box::new(resource_quota::ResourceQuota::new(settings)?))),
    off("AlwaysDeny", |_| Ok(Box::new(always_deny::AlwaysDeny))),
];

/// Appends to a list of the object, making it where missing.
fn push(object: &mut Value, parents: &[&str], field: &str, item: impl Into<Value>) {
    let list = object.make_map(parents).entry_or(field, || Value::List(Vec::new()));
    if let Some(list) = list.as_list_mut() {
        list.push(item.into());
    }
}

/// An object as the server's index has it, or, if it is not there yet, as the store has it.
async fn find(
    reader: &dyn Cluster,
    group: &str,
    resource: &str,
    namespace: &str,
    name: &str,
) -> Option<Value> {
    match reader.get(group, resource, namespace, name).await {
        Some(found) => Some(found),
        None => reader.get_latest(group, resource, namespace, name).await,
    }
}

/// Of the classes that an annotation marks as default the newest; of those made in the same second the first by name.
async fn default_class(
    reader: &dyn Cluster,
    group: &str,
    resource: &str,
    annotations: &[&str],
) -> Option<String> {
    let marked = |class: &&Value| {
        annotations.iter().any(|name| class.str_at(&["metadata", "annotations", name]) == "true")
    };
    let classes = reader.list(group, resource, "").await;
    let rank = |class: &&Value| {
        let made =
            api::time::parse(class.str_at(&["metadata", "creationTimestamp"])).map_or(0, |time| time.secs);
        (std::cmp::Reverse(made), class.str_at(&["metadata", "name"]).to_owned())
    };
    let newest = classes.iter().filter(marked).min_by_key(rank)?;
    Some(newest.str_at(&["metadata", "name"]).to_owned())
}

#[cfg(test)]
mod testing;
