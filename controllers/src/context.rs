//! What a controller is given when it starts.

use crate::heads::Heads;
use crate::{Connect, Recorder, Settings};
use client::{Client, Informer, Informers, Resource};
use stdx::Clock;

/// The hands and eyes of one controller.
pub struct Context<'a> {
    /// Acts with the controller's own identity.
    pub client: Client,
    /// Local copies of resources, shared by all controllers.
    pub informers: &'a Informers,
    /// Events go out under the controller's name.
    pub recorder: Recorder,
    pub settings: &'a Settings,
    /// More clients, for who needs connections of its own.
    pub connect: &'a Connect,
    /// Comings and goings of all objects.
    pub(crate) heads: Heads,
    /// Who the controller is.
    pub identity: String,
}

impl Context<'_> {
    /// The shared local copy of a resource.
    pub fn informer(&self, resource: &Resource) -> Informer {
        self.informers.of(resource)
    }

    pub fn clock(&self) -> Clock {
        self.settings.clock.clone()
    }
}
