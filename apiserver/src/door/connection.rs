//! One connection as its requests see it: who is at the other end, and whether it is in use.

use authn::Peer;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;

/// Shared by the requests of a connection, as an extension of each. A stream that outlives its request (after
/// an upgrade) keeps it, and with it the connection's place.
#[derive(Debug)]
pub struct Connection {
    peer: Peer,
    opened: Instant,
    in_flight: AtomicUsize,
    /// Milliseconds after `opened` at which the last request ended.
    idle_since: AtomicU64,
    closing: Notify,
    _place: Option<OwnedSemaphorePermit>,
}

/// A request on its way; the connection is busy while one lives.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Connection>);

impl Connection {
    pub(crate) fn new(peer: Peer, place: Option<OwnedSemaphorePermit>) -> Self {
        Connection {
            peer,
            opened: Instant::now(),
            in_flight: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            closing: Notify::new(),
            _place: place,
        }
    }

    /// The other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Lets the requests under way finish and takes no more.
    pub fn close(&self) {
        self.closing.notify_one();
    }

    pub(super) async fn told_to_close(&self) {
        self.closing.notified().await;
    }

    pub(super) fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight(self.clone())
    }

    /// Whether several requests are under way.
    pub(super) fn is_shared(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) > 1
    }

    /// Since when no request is under way; `None` while one is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let idle = self.in_flight.load(Ordering::Acquire) == 0;
        idle.then(|| self.opened + Duration::from_millis(self.idle_since.load(Ordering::Acquire)))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let connection = &self.0;
        let millis = u64::try_from(connection.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        connection.idle_since.fetch_max(millis, Ordering::AcqRel);
        connection.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}
