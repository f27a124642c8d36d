//! The resources that controllers act on, at the version they use.

use client::Resource;

/// `core/v1`, `apps/v1` and so on: namespaced resources.
macro_rules! namespaced {
    ($($name:ident: $group:literal $plural:literal;)*) => {$(
        pub fn $name() -> Resource {
            Resource::namespaced($group, "v1", $plural)
        }
    )*};
}

/// Resources of the cluster.
macro_rules! cluster {
    ($($name:ident: $group:literal $plural:literal;)*) => {$(
        pub fn $name() -> Resource {
            Resource::cluster($group, "v1", $plural)
        }
    )*};
}

namespaced! {
    config_maps: "" "configmaps";
    endpoints: "" "endpoints";
    persistent_volume_claims: "" "persistentvolumeclaims";
    pods: "" "pods";
    replication_controllers: "" "replicationcontrollers";
    secrets: "" "secrets";
    resource_quotas: "" "resourcequotas";
    service_accounts: "" "serviceaccounts";
    services: "" "services";
    controller_revisions: "apps" "controllerrevisions";
    daemon_sets: "apps" "daemonsets";
    deployments: "apps" "deployments";
    replica_sets: "apps" "replicasets";
    stateful_sets: "apps" "statefulsets";
    cron_jobs: "batch" "cronjobs";
    jobs: "batch" "jobs";
    leases: "coordination.k8s.io" "leases";
    endpoint_slices: "discovery.k8s.io" "endpointslices";
    pod_disruption_budgets: "policy" "poddisruptionbudgets";
}

cluster! {
    namespaces: "" "namespaces";
    nodes: "" "nodes";
    persistent_volumes: "" "persistentvolumes";
    certificate_signing_requests: "certificates.k8s.io" "certificatesigningrequests";
    api_services: "apiregistration.k8s.io" "apiservices";
    custom_resource_definitions: "apiextensions.k8s.io" "customresourcedefinitions";
    ip_addresses: "networking.k8s.io" "ipaddresses";
    service_cidrs: "networking.k8s.io" "servicecidrs";
    cluster_roles: "rbac.authorization.k8s.io" "clusterroles";
    storage_classes: "storage.k8s.io" "storageclasses";
    volume_attributes_classes: "storage.k8s.io" "volumeattributesclasses";
    flow_schemas: "flowcontrol.apiserver.k8s.io" "flowschemas";
    priority_levels: "flowcontrol.apiserver.k8s.io" "prioritylevelconfigurations";
}
