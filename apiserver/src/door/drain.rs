//! The end of service: no more connections, then no more requests, then no more patience.

use std::sync::Arc;
use tokio::sync::watch;

/// How far a server is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Phase {
    Open,
    /// In service, but those who send clients here should not any more.
    Leaving,
    Draining,
    CutOff,
}

/// A handle on the end of service, shared by the door and by every answer that would not end by itself:
/// a watch must end when the drain starts.
#[derive(Clone, Debug)]
pub struct Drain(Arc<watch::Sender<Phase>>);

impl Drain {
    /// In service.
    pub fn new() -> Self {
        Drain(Arc::new(watch::Sender::new(Phase::Open)))
    }

    /// Says that the end is near; nothing else changes.
    pub fn announce(&self) {
        self.advance(Phase::Leaving);
    }

    /// Whether the end is near, or has begun.
    pub fn is_announced(&self) -> bool {
        *self.0.borrow() != Phase::Open
    }

    /// Ends the service: connections finish their requests and close.
    pub fn start(&self) {
        self.advance(Phase::Draining);
    }

    /// Whether the end has begun.
    pub fn is_started(&self) -> bool {
        *self.0.borrow() >= Phase::Draining
    }

    /// Returns when the end has begun.
    pub async fn started(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.phases().wait_for(|phase| *phase >= Phase::Draining).await;
    }

    pub(super) fn cut_off(&self) {
        self.advance(Phase::CutOff);
    }

    pub(super) fn phases(&self) -> watch::Receiver<Phase> {
        self.0.subscribe()
    }

    /// Phases only go forward.
    fn advance(&self, to: Phase) {
        self.0.send_if_modified(|phase| {
            let forward = *phase < to;
            if forward {
                *phase = to;
            }
            forward
        });
    }
}

impl Default for Drain {
    fn default() -> Self {
        Drain::new()
    }
}
