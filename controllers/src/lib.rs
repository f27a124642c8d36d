//! Control loops, one file each, as clients of the API server.
//!
//! A controller watches what it is about, works on keys from a queue, looks at the world afresh each time and moves
//! it one step. It has its own identity, and no way to the store. All controllers share one local copy of each
//! resource.

mod bootstrap;
mod cluster_role_aggregation;
mod conditions;
mod context;
mod cron_job;
mod custom_resource_definition;
mod daemon_set;
mod deployment;
mod discovery;
mod disruption;
mod endpoint_slice;
mod endpoints;
mod event_recorder;
mod garbage_collector;
mod heads;
mod history;
mod job;
mod kubernetes_service;
mod namespace;
mod node_fit;
mod owner;
mod pod_batch;
mod pod_gc;
mod pods;
mod reconcile;
mod replica_set;
mod resource_quota;
mod resources;
mod root_ca;
mod service_account;
mod service_pods;
mod stateful_set;
mod status;
mod template_hash;
mod ttl_after_finished;
mod volume_protection;

pub use bootstrap::bootstrap;
pub use context::Context;
pub use event_recorder::Recorder;

use client::{Client, Informers};
use std::net::SocketAddr;
use std::sync::Arc;
use stdx::Clock;

/// What controllers must be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The certificate of the cluster's CA, PEM.
    pub ca_pem: String,
    /// Where the API server can be reached.
    pub endpoint: SocketAddr,
    pub clock: Clock,
}

/// Makes a client with the identity that is named.
pub type Connect = Arc<dyn Fn(&str) -> Client + Send + Sync>;

/// Which control loops run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// Those that belong to an API server.
    ApiServer,
    All,
}

/// The identity under which the API server acts.
const API_SERVER: &str = "system:apiserver";
/// The identity that watches for all controllers.
const WATCHER: &str = "system:kube-controller-manager";
/// How the identities of controllers begin; their names follow.
const SERVICE_ACCOUNTS: &str = "system:serviceaccount:kube-system:";

/// One control loop: its name (which also is its service account and what its events say) and how it starts.
struct Controller {
    name: &'static str,
    part: Parts,
    start: fn(&Context<'_>),
}

const fn controller(name: &'static str, start: fn(&Context<'_>)) -> Controller {
    Controller { name, part: Parts::All, start }
}

/// All control loops.
const CONTROLLERS: &[Controller] = &[
    Controller { name: "kubernetes-service", part: Parts::ApiServer, start: kubernetes_service::start },
    Controller {
        name: "custom-resource-definition",
        part: Parts::ApiServer,
        start: custom_resource_definition::start,
    },
    controller("namespace-controller", namespace::start),
    controller("root-ca-cert-publisher", root_ca::start),
    controller("service-account-controller", service_account::start),
    controller("generic-garbage-collector", garbage_collector::start),
    controller("replicaset-controller", replica_set::start),
    controller("replication-controller", replica_set::start_replication_controller),
    controller("deployment-controller", deployment::start),
    controller("statefulset-controller", stateful_set::start),
    controller("daemon-set-controller", daemon_set::start),
    controller("job-controller", job::start),
    controller("cronjob-controller", cron_job::start),
    controller("ttl-after-finished-controller", ttl_after_finished::start),
    controller("pod-garbage-collector", pod_gc::start),
    controller("clusterrole-aggregation-controller", cluster_role_aggregation::start),
    controller("endpoint-controller", endpoints::start),
    controller("endpointslice-controller", endpoint_slice::start),
    controller("disruption-controller", disruption::start),
    controller("resourcequota-controller", resource_quota::start),
    controller("pvc-protection-controller", volume_protection::start_claims),
    controller("pv-protection-controller", volume_protection::start_volumes),
];

/// Starts control loops. They end with the runtime.
pub fn start(parts: Parts, connect: &Connect, settings: &Settings) {
    let own = Informers::new(connect(API_SERVER));
    let shared = Informers::new(connect(WATCHER));
    let heads = heads::Heads::default();
    for controller in CONTROLLERS.iter().filter(|c| parts == Parts::All || c.part == parts) {
        let (identity, informers) = match controller.part {
            Parts::ApiServer => (API_SERVER.to_owned(), &own),
            Parts::All => (format!("{SERVICE_ACCOUNTS}{}", controller.name), &shared),
        };
        let client = connect(&identity);
        let recorder = Recorder::new(client.clone(), controller.name, settings.clock.clone());
        (controller.start)(&Context {
            client,
            informers,
            recorder,
            settings,
            connect,
            identity,
            heads: heads.clone(),
        });
    }
}
