//! The API server, wired: store, who, may they, what policy says, door; and the control loops, each a client of it.

use crate::flags::Cluster;
use crate::legacy_uses;
use crate::own_writes::OwnWrites;
use admission::Chain;
use anyhow::Context;
use api::{Network, Reader};
use apiserver::audit::Audit;
use apiserver::door::{Body, Door, Drain, RequestBody, ServerTls};
use apiserver::{Objects, Outward, Rooms, Server};
use authn::Authenticator;
use authz::Authorizer;
use certs::Pki;
use client::{Candidate, Client, Informers, Leadership};
use controllers::Parts;
use http::{Request, Response};
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Ids};
use store::{Backend, Store, StoreConfig};
use tokio::task::JoinHandle;

/// A server at work.
pub struct Running {
    drain: Drain,
    listening: JoinHandle<std::io::Result<()>>,
    drained: JoinHandle<bool>,
    tls: ServerTls,
    store: Store,
    audit: Option<Arc<Audit>>,
    /// What is led by this process as long as it is there.
    leaderships: Vec<Leadership>,
    /// How long to serve on after being told to stop.
    delay: Duration,
}

/// What is to be started.
pub struct Order<'a> {
    pub pki: &'a Pki,
    pub backend: Backend,
    pub clock: Clock,
    pub parts: Parts,
    pub flags: &'a Cluster,
    pub data_dir: &'a Path,
}

/// Opens the store, then the door, and starts the parts that are clients of it.
pub async fn start(listener: TcpListener, order: Order<'_>) -> anyhow::Result<Running> {
    let Order { pki, backend, clock, parts, flags, data_dir } = order;
    let endpoint = listener.local_addr().context("cannot tell where we listen")?;
    let scheduling = flags.scheduler.configuration()?;
    let candidate = flags.controller_manager.candidate(&flags.store, clock.clone())?;
    let encryption = flags.encryption.open().await.map_err(anyhow::Error::msg)?;
    let seal = encryption.clone().map(|encryption| encryption as Arc<dyn store::Seal>);
    let config = StoreConfig { backend, clock: clock.clone(), seal, ..StoreConfig::memory() };
    let store = Store::open(config).await?;
    let tls = ServerTls::new(&pki.server, &[pki.ca.certificate_der()]).context("cannot set up TLS")?;
    let drain = Drain::new();
    let (note, uses) = legacy_uses::notes();
    let own = OwnWrites::default();
    let mut rooms =
        rooms((pki, flags, parts, note, own.clone()), endpoint, store.clone(), clock.clone(), drain.clone())?;
    rooms.encryption = encryption;
    rooms.kubelets = flags.kubelet_client.kubelets(&crate::data_dir::pki_dir(data_dir))?;
    let server = Arc::new(Server::new(rooms));
    apiserver::follow_custom_kinds(&server).await;
    let with_metrics = flags.kubelet_client.resource_metrics.unwrap_or(flags.node.is_some());
    if with_metrics {
        server.serve_metrics();
    }
    server.authorizer.begin().await;
    server.admission.begin().await;
    server.follow_flow_control().await;
    follow_configurations(flags, &server)?;
    let audit = server.audit.clone();
    let limits = server.limits.clone();
    let door =
        Door::with_limits(drain.clone(), &limits, move |request| apiserver::serve(server.clone(), request));
    let connect = connector(&door);
    own.begin(connect("system:apiserver"));
    controllers::bootstrap(&connect("system:apiserver")).await.context("cannot set up the cluster")?;
    if with_metrics {
        controllers::bootstrap_metrics(&connect("system:apiserver"))
            .await
            .context("cannot set up metrics")?;
    }
    tokio::spawn(legacy_uses::write(connect("system:apiserver"), uses));
    let settings = controllers::Settings {
        ca_pem: pki.ca.certificate_pem().to_owned(),
        signer: Some(pki.ca.clone()),
        token_signer: Some(Arc::new(flags.authentication.service_accounts.signer(pki)?)),
        authentication_trust: flags.authentication.trust(pki)?,
        endpoint,
        pod_range: flags.controller_manager.cluster_cidr,
        clock,
    };
    let mut leaderships = Vec::new();
    if parts == Parts::All {
        leaderships = components(&connect, &settings, scheduling, candidate, flags.hollow_nodes);
        node(&connect, flags, data_dir, settings.clock.clone(), pki);
    } else {
        controllers::start(parts, &connect, &settings);
    }
    let (listens, ends) = (door.clone(), drain.clone());
    let shown = tls.clone();
    let listening = tokio::spawn(async move { listens.listen(listener, shown).await });
    let drained = tokio::spawn(async move {
        ends.started().await;
        door.drained().await
    });
    let delay = flags.limits.shutdown_delay_duration;
    Ok(Running { drain, listening, drained, tls, store, audit, leaderships, delay })
}

fn rooms(
    (pki, flags, parts, note, own): (&Pki, &Cluster, Parts, legacy_uses::Note, OwnWrites),
    endpoint: SocketAddr,
    store: Store,
    clock: Clock,
    drain: Drain,
) -> anyhow::Result<Rooms> {
    let ids = Ids::system();
    let objects = Objects::new(store, ids.clone());
    let reader: Arc<dyn Reader> = Arc::new(objects.clone());
    let network: Arc<dyn Network> = Arc::new(Outward::default());
    let mut who = authn::Settings::new(clock.clone());
    (who.reader, who.network) = (reader.clone(), network.clone());
    flags.authentication.settle(&mut who, pki, parts == Parts::All)?;
    who.service_accounts.used = Some(note);
    flags.oidc.settle(&mut who, flags.authentication.anonymous_auth.is_some())?;
    let mut may = authz::Settings::new(clock.clone());
    (may.reader, may.network) = (reader.clone(), network.clone());
    may.configuration = flags.authorization.configuration()?;
    if flags.authorization.allows_all() && who.anonymous {
        tracing::warn!("with --authorization-mode=AlwaysAllow anonymous requests are refused");
        who.anonymous = false;
    }
    let mut policy = admission::Settings::new(clock.clone());
    (policy.reader, policy.network, policy.writes) = (reader, network.clone(), Arc::new(own));
    flags.admission.settle(&mut policy)?;
    Ok(Rooms {
        objects,
        authenticator: Authenticator::new(&who).map_err(anyhow::Error::msg)?,
        authorizer: Authorizer::new(&may).map_err(anyhow::Error::msg)?,
        admission: Chain::new(
            &policy,
            &flags.admission.enable_admission_plugins,
            &flags.admission.disable_admission_plugins,
        )
        .map_err(anyhow::Error::msg)?,
        audit: flags.audit.open(network, clock.clone()).map_err(anyhow::Error::msg)?,
        encryption: None,
        flow: flags.flow.settings(flags.threads)?,
        clock,
        ids,
        tokens: Some(flags.authentication.service_accounts.issuer(pki, endpoint)?),
        drain,
        limits: flags.limits.granted().map_err(anyhow::Error::msg)?,
        kubelets: apiserver::Kubelets::default(),
    })
}

/// Lets configurations in files take effect when they change.
fn follow_configurations(flags: &Cluster, server: &Arc<Server>) -> anyhow::Result<()> {
    if let Some(path) = &flags.authorization.authorization_config {
        let server = server.clone();
        let apply = move |text: &[u8]| {
            let configuration = crate::flags::authorization::parse(text)?;
            server.authorizer.reload(configuration).map(drop).map_err(anyhow::Error::msg)
        };
        let current = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        crate::follow_file::follow(path, current, apply)?;
    }
    Ok(())
}

/// Control loops, the scheduler and hollow nodes, which share local copies; with a candidate, the first two each work
/// while this process leads.
fn components(
    connect: &controllers::Connect,
    settings: &controllers::Settings,
    configuration: scheduler::Configuration,
    candidate: Option<Candidate>,
    hollow_nodes: usize,
) -> Vec<Leadership> {
    let clock = settings.clock.clone();
    let scheduling = scheduler::Settings { clock: clock.clone(), ids: Ids::system(), configuration };
    let (shared, leaderships) = match candidate {
        None => {
            let shared = controllers::start(Parts::All, connect, settings);
            scheduler::start(connect(scheduler::IDENTITY), &shared, scheduling);
            (shared, Vec::new())
        }
        Some(candidate) => {
            let controllers = controllers::start_elected(connect, settings, candidate.clone());
            let dial = connect.clone();
            let dial = move || dial(scheduler::IDENTITY);
            let scheduler = scheduler::start_elected(dial, scheduling, candidate);
            (Informers::new(connect("system:kube-controller-manager")), vec![controllers, scheduler])
        }
    };
    if hollow_nodes > 0 {
        let version = apiserver::VERSION.to_owned();
        let hollow = kubelet::hollow::Settings { count: hollow_nodes, clock, version };
        kubelet::hollow::start(connect, &shared, &hollow);
    }
    leaderships
}

/// Makes this machine a node, beside what is served: that does not wait for containers.
fn node(connect: &controllers::Connect, flags: &Cluster, data_dir: &Path, clock: Clock, pki: &Pki) {
    let Some(node) = flags.node.clone() else { return };
    let client_cas = vec![pki.ca.certificate_der().to_vec()];
    let trust = crate::node::Trust { authority: pki.ca.clone(), client_cas };
    let (client, data_dir) = (connect(&format!("system:node:{}", node.name())), data_dir.to_owned());
    tokio::spawn(async move {
        if let Err(error) = crate::node::start(&node, &data_dir, client, clock, trust).await {
            tracing::error!("no node on this machine: {error:#}");
        }
    });
}

/// Clients in this process, each with the identity it is made for.
fn connector<H, F>(door: &Door<H>) -> controllers::Connect
where
    H: Fn(Request<RequestBody>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let door = door.clone();
    Arc::new(move |identity| {
        let door = door.clone();
        let groups = groups(identity);
        let caller = authn::in_process(identity, &groups.iter().map(String::as_str).collect::<Vec<_>>());
        let agent = format!("{}/{}", agent(identity), env!("CARGO_PKG_VERSION"));
        Client::new(Arc::new(move || door.connect(caller.clone())), &agent)
    })
}

/// The groups that an identity has by its credentials.
fn groups(identity: &str) -> Vec<String> {
    match identity.starts_with("system:node:") {
        true => vec!["system:nodes".to_owned()],
        false => controllers::groups(identity),
    }
}

/// The program that upstream has for an identity: it becomes the manager of the fields that are written.
fn agent(identity: &str) -> &str {
    match identity {
        "system:apiserver" => "kube-apiserver",
        name if name.starts_with("system:serviceaccount:kube-system:") => "kube-controller-manager",
        name if name.starts_with("system:node:") => "kubelet",
        name => name.rsplit(':').next().unwrap_or(name),
    }
}

impl Running {
    /// Returns when the server ends by itself, which is always a failure.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        (&mut self.listening).await?.context("cannot go on listening")
    }

    /// Shows another certificate to clients to come.
    pub fn show(&self, server: &certs::Credential) -> anyhow::Result<()> {
        self.tls.replace(server).context("cannot use the new server certificate")
    }

    /// Lets requests finish, then closes everything.
    pub async fn stop(self) {
        self.drain.announce();
        for leadership in &self.leaderships {
            leadership.resign().await;
        }
        tokio::time::sleep(self.delay).await;
        self.drain.start();
        if !self.drained.await.unwrap_or(false) {
            tracing::warn!("some requests did not finish in time");
        }
        if let Some(audit) = &self.audit {
            audit.close().await;
        }
        if let Err(error) = self.store.close().await {
            tracing::error!(%error, "the store did not close in order");
        }
    }
}
