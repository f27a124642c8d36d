//! The list of all control loops.

use crate::{
    Context, Parts, api_service, authentication_trust, bootstrap_token, cluster_role_aggregation, cron_job,
    custom_resource_definition, daemon_set, deployment, disruption, endpoint_slice, endpoint_slice_mirroring,
    endpoints, ephemeral_volume, flow_control, garbage_collector, horizontal_pod_autoscaler, identity, job,
    kubernetes_service, legacy_token, namespace, node_ipam, node_lifecycle, node_ttl,
    persistent_volume_binder, pod_gc, replica_set, resource_quota, root_ca, service_account, service_cidr,
    stateful_set, token_secret, ttl_after_finished, volume_expand, volume_protection,
};
use crate::{certificate_approving, certificate_cleaner, certificate_signing};

/// One control loop: its name (which also is its service account and what its events say) and how it starts.
pub struct Controller {
    pub name: &'static str,
    pub part: Parts,
    pub start: fn(&Context<'_>),
}

const fn controller(name: &'static str, start: fn(&Context<'_>)) -> Controller {
    Controller { name, part: Parts::All, start }
}

/// All control loops.
pub const CONTROLLERS: &[Controller] = &[
    Controller { name: "kubernetes-service", part: Parts::ApiServer, start: kubernetes_service::start },
    Controller {
        name: "custom-resource-definition",
        part: Parts::ApiServer,
        start: custom_resource_definition::start,
    },
    Controller { name: "api-service", part: Parts::ApiServer, start: api_service::start },
    Controller { name: "flow-control", part: Parts::ApiServer, start: flow_control::start },
    Controller { name: "authentication-trust", part: Parts::ApiServer, start: authentication_trust::start },
    Controller { name: "legacy-token-tracking", part: Parts::ApiServer, start: legacy_token::start_tracking },
    controller("namespace-controller", namespace::start),
    controller("root-ca-cert-publisher", root_ca::start),
    controller("service-account-controller", service_account::start),
    controller(identity::TOKENS, token_secret::start),
    controller("legacy-service-account-token-cleaner", legacy_token::start),
    controller("token-cleaner", bootstrap_token::start_cleaner),
    controller("bootstrap-signer", bootstrap_token::start_signer),
    controller("generic-garbage-collector", garbage_collector::start),
    controller("replicaset-controller", replica_set::start),
    controller("replication-controller", replica_set::start_replication_controller),
    controller("deployment-controller", deployment::start),
    controller("statefulset-controller", stateful_set::start),
    controller("daemon-set-controller", daemon_set::start),
    controller("job-controller", job::start),
    controller("cronjob-controller", cron_job::start),
    controller("ttl-after-finished-controller", ttl_after_finished::start),
    controller("node-controller", node_lifecycle::start),
    controller("node-controller", node_ipam::start),
    controller("ttl-controller", node_ttl::start),
    controller("pod-garbage-collector", pod_gc::start),
    controller("certificate-controller", certificate_approving::start),
    controller("certificate-controller", certificate_signing::start),
    controller("certificate-controller", certificate_cleaner::start),
    controller("clusterrole-aggregation-controller", cluster_role_aggregation::start),
    controller("endpoint-controller", endpoints::start),
    controller("endpointslice-controller", endpoint_slice::start),
    controller("endpointslicemirroring-controller", endpoint_slice_mirroring::start),
    controller("disruption-controller", disruption::start),
    controller("horizontal-pod-autoscaler", horizontal_pod_autoscaler::start),
    controller("resourcequota-controller", resource_quota::start),
    controller("service-cidrs-controller", service_cidr::start),
    controller("persistent-volume-binder", persistent_volume_binder::start),
    controller("expand-controller", volume_expand::start),
    controller("ephemeral-volume-controller", ephemeral_volume::start),
    controller("pvc-protection-controller", volume_protection::start_claims),
    controller("pv-protection-controller", volume_protection::start_volumes),
    controller("volumeattributesclass-protection-controller", volume_protection::start_attributes_classes),
];
