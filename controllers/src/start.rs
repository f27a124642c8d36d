//! Starting control loops: what they must be told, and which of them run when.

use crate::list::CONTROLLERS;
use crate::{Context, PodRange, Recorder, heads, identity};
use client::{Candidate, Client, Informers, Leadership};
use std::net::SocketAddr;
use std::sync::Arc;
use stdx::Clock;

/// The lease of who runs control loops.
const LEASE: &str = "kube-controller-manager";

/// What controllers must be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The certificate of the cluster's CA, PEM.
    pub ca_pem: String,
    /// Signs the certificates that are asked for; without it nobody does.
    pub signer: Option<Arc<certs::Authority>>,
    /// Signs tokens of service accounts that rest in secrets; without it they get none.
    pub token_signer: Option<Arc<certs::TokenSigner>>,
    /// What other servers of the cluster are told of how users are known: keys and texts of a ConfigMap.
    pub authentication_trust: Vec<(String, String)>,
    /// Where the API server can be reached.
    pub endpoint: SocketAddr,
    /// The addresses of pods, which nodes get parts of.
    pub pod_range: PodRange,
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

/// Starts control loops; they end with the runtime. Gives the local copies that they share, for other components of
/// the process.
pub fn start(parts: Parts, connect: &Connect, settings: &Settings) -> Informers {
    begin(connect, settings, |part| parts == Parts::All || part == parts)
}

/// Starts all control loops: those of an API server at once, the others while this process leads.
pub fn start_elected(connect: &Connect, settings: &Settings, candidate: Candidate) -> Leadership {
    start(Parts::ApiServer, connect, settings);
    let (client, connect, settings) = (connect(identity::WATCHER), connect.clone(), settings.clone());
    Leadership::seek(client, LEASE, candidate, move || {
        begin(&connect, &settings, |part| part == Parts::All);
    })
}

fn begin(connect: &Connect, settings: &Settings, wanted: impl Fn(Parts) -> bool) -> Informers {
    let own = Informers::new(connect(identity::API_SERVER));
    let shared = Informers::new(connect(identity::WATCHER));
    let heads = heads::Heads::default();
    for controller in CONTROLLERS.iter().filter(|c| wanted(c.part)) {
        let identity = identity::of(controller);
        let informers = if controller.part == Parts::ApiServer { &own } else { &shared };
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
    shared
}
