//! Control loops, one file each, as clients of the API server.
//!
//! A controller watches what it is about, works on keys from a queue, looks at the world afresh each time and moves
//! it one step. It has its own identity, and no way to the store.

mod bootstrap;
mod kubernetes_service;
mod namespace;
mod reconcile;
mod root_ca;
mod service_account;

pub use bootstrap::bootstrap;

use client::Client;
use std::net::SocketAddr;
use std::sync::Arc;

/// What controllers must be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The certificate of the cluster's CA, PEM.
    pub ca_pem: String,
    /// Where the API server can be reached.
    pub endpoint: SocketAddr,
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

/// One control loop: its identity and how it starts.
struct Controller {
    identity: &'static str,
    part: Parts,
    start: fn(Client, &Settings),
}

/// All control loops.
const CONTROLLERS: &[Controller] = &[
    Controller { identity: "system:apiserver", part: Parts::ApiServer, start: kubernetes_service::start },
    Controller {
        identity: "system:serviceaccount:kube-system:namespace-controller",
        part: Parts::All,
        start: namespace::start,
    },
    Controller {
        identity: "system:serviceaccount:kube-system:root-ca-cert-publisher",
        part: Parts::All,
        start: root_ca::start,
    },
    Controller {
        identity: "system:serviceaccount:kube-system:service-account-controller",
        part: Parts::All,
        start: service_account::start,
    },
];

/// Starts control loops. They end with the runtime.
pub fn start(parts: Parts, connect: &Connect, settings: &Settings) {
    for controller in CONTROLLERS.iter().filter(|c| parts == Parts::All || c.part == parts) {
        (controller.start)(connect(controller.identity), settings);
    }
}
