//! What a method may look at: the connection and the headers of one request.

use crate::Caller;
use crate::trusted_cas::Judged;
use parking_lot::RwLock;
use rustls_pki_types::CertificateDer;
use std::net::SocketAddr;

/// The other end of one connection. Belongs to one `Authenticator`, which keeps its verdict on the client
/// certificate here.
#[derive(Debug, Default)]
pub struct Peer {
    certificates: Vec<CertificateDer<'static>>,
    remote: Option<SocketAddr>,
    component: Option<Caller>,
    /// What its certificate says of it as a user.
    pub(crate) judged: RwLock<Option<Judged<Option<Caller>>>>,
    /// And as a proxy: its name.
    pub(crate) proxy: RwLock<Option<Judged<String>>>,
}

impl Peer {
    /// A connection from elsewhere. `certificates` is the client's chain as presented, its own first; the door
    /// has checked that the client holds the key, and nothing more.
    pub fn new(certificates: Vec<CertificateDer<'static>>, remote: Option<SocketAddr>) -> Self {
        Peer { certificates, remote, ..Peer::default() }
    }

    /// A connection of a component of this process.
    pub fn in_process(component: Caller) -> Self {
        Peer { component: Some(component), ..Peer::default() }
    }

    /// The client's chain as presented; empty when it showed none.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// Where the connection comes from; `None` in process.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    pub(crate) fn component(&self) -> Option<&Caller> {
        self.component.as_ref()
    }
}

/// The headers of a request, by name in any case. A trait, so that this crate knows no HTTP library.
pub trait Headers: Sync {
    /// The first value under `name`.
    fn first(&self, name: &str) -> Option<&[u8]>;
    /// All values under `name`, in their order.
    fn all(&self, name: &str) -> Vec<&[u8]>;
    /// Names and values of headers whose names begin with `prefix`, in any case. None where nobody asks.
    fn starting_with<'a>(&'a self, _prefix: &str) -> Vec<(&'a str, &'a [u8])> {
        Vec::new()
    }
}

/// No headers.
impl Headers for () {
    fn first(&self, _: &str) -> Option<&[u8]> {
        None
    }

    fn all(&self, _: &str) -> Vec<&[u8]> {
        Vec::new()
    }
}

/// Everything by which one request may say who it is from.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    pub peer: &'a Peer,
    pub headers: &'a dyn Headers,
    /// The path of the URL: anonymous requests may be bound to some.
    pub path: &'a str,
    /// For whom the credentials should be good: one of these. Empty when this says nothing.
    pub audiences: &'a [String],
}
