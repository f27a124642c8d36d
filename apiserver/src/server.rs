//! The server: what all requests share.

use crate::audit::Audit;
use crate::command::issuer::TokenIssuer;
use crate::deadline::Limits;
use crate::documents::Documents;
use crate::door::Drain;
use crate::encryption::Encryption;
use crate::flow::{self, Flow};
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::stream::Kubelets;
use crate::usage::Usage;
use admission::Chain;
use authn::{Authenticator, Impersonation};
use authz::Authorizer;
use kinds::Registry;
use std::ops::Deref;
use std::sync::Arc;
use stdx::{Clock, Ids};
use store::Store;

/// What all requests share. The objects are its own: `server.find(…)`, `server.registry()`.
///
/// Whoever has a server can send it requests, and no more. Its store is not to be reached
///
/// ```compile_fail,E0616
/// async fn write(server: &apiserver::Server, txn: store::Txn) {
///     server.store.commit(txn).await;
/// }
/// ```
///
/// ```compile_fail,E0624
/// async fn write(server: &apiserver::Server, txn: store::Txn) {
///     server.store().commit(txn).await;
/// }
/// ```
///
/// and edits, which write, are made of a `Call`, which holds the `Permit`; neither is known outside.
///
/// ```compile_fail,E0603
/// use apiserver::edit::commit;
/// ```
///
/// ```compile_fail,E0603
/// use apiserver::call::Call;
/// ```
pub struct Server {
    objects: Objects,
    pub(crate) store: Store,
    pub authenticator: Authenticator,
    pub authorizer: Authorizer,
    pub admission: Chain,
    /// Tells what happens, where somebody wants to know.
    pub audit: Option<Arc<Audit>>,
    /// Seals what rests in the store, where something is to be sealed.
    pub encryption: Option<Arc<Encryption>>,
    /// Who may act as whom.
    pub impersonation: Impersonation,
    /// Who may be at work now, and who waits.
    pub flow: Flow,
    pub clock: Clock,
    pub ids: Ids,
    /// Issues tokens of service accounts, when there is a key.
    pub tokens: Option<TokenIssuer>,
    pub metrics: Metrics,
    pub documents: Documents,
    drain: Drain,
    pub limits: Limits,
    pub kubelets: Kubelets,
    /// What kubelets said of what is used.
    pub(crate) usage: Usage,
}

/// The rooms that a server is put together from.
pub struct Rooms {
    /// The same that the deciding rooms read the cluster by.
    pub objects: Objects,
    pub authenticator: Authenticator,
    pub authorizer: Authorizer,
    pub admission: Chain,
    /// Without one nothing is audited.
    pub audit: Option<Arc<Audit>>,
    /// The same that the store was opened with.
    pub encryption: Option<Arc<Encryption>>,
    /// How many requests may be at work.
    pub flow: flow::Settings,
    pub clock: Clock,
    pub ids: Ids,
    /// Issues tokens of service accounts; without it there are none.
    pub tokens: Option<TokenIssuer>,
    pub drain: Drain,
    /// How long requests may take.
    pub limits: Limits,
    /// How kubelets are reached.
    pub kubelets: Kubelets,
}

impl Deref for Server {
    type Target = Objects;

    fn deref(&self) -> &Objects {
        &self.objects
    }
}

impl Server {
    pub fn new(rooms: Rooms) -> Self {
        let Rooms {
            objects,
            authenticator,
            authorizer,
            admission,
            audit,
            encryption,
            flow,
            clock,
            ids,
            tokens,
            drain,
            limits,
            kubelets,
        } = rooms;
        Server {
            store: objects.store().clone(),
            objects,
            authenticator,
            authorizer,
            admission,
            audit,
            encryption,
            impersonation: Impersonation::default(),
            flow: Flow::new(&flow, clock.clone()),
            clock,
            ids,
            tokens,
            metrics: Metrics::default(),
            documents: Documents::default(),
            drain,
            limits,
            kubelets,
            usage: Usage::default(),
        }
    }

    /// Changes the list of kinds; documents computed from it are made anew when next asked for.
    pub fn register(&self, change: impl FnOnce(&mut Registry)) {
        self.objects.register(change, || self.documents.forget());
    }

    /// Serves metrics.k8s.io: what nodes and pods use.
    pub fn serve_metrics(&self) {
        self.register(|registry| kinds::metrics::kinds().into_iter().for_each(|kind| registry.add(kind)));
    }

    /// Follows the objects that say how requests share the server.
    pub async fn follow_flow_control(&self) {
        self.flow.follow(&self.objects).await;
    }

    /// Seconds until a watch without a timeout of its own ends: from a least time to twice that, so that not all end at
    /// once.
    pub fn watch_timeout_secs(&self) -> u64 {
        let min = self.limits.min_request_timeout_secs;
        let mut bytes = [0; 2];
        self.ids.fill(&mut bytes);
        min + u64::from(u16::from_le_bytes(bytes)) % min.max(1)
    }

    /// Whether the server is about to stop, or stopping.
    pub fn is_leaving(&self) -> bool {
        self.drain.is_announced()
    }

    /// Returns once the server is told to stop.
    pub async fn stopping(&self) {
        self.drain.started().await;
    }
}
