//! ValidatingAdmissionWebhook: servers elsewhere judge objects, as ValidatingWebhookConfigurations say.
//!
//! A webhook that answers `{"allowed": false, "status": {"message": "no", "code": 403}}` makes of the request a 403
//! with `admission webhook "NAME" denied the request: no`.

use super::{Plugin, Settings};
use crate::review::{Cluster, Review};
use crate::webhook::{Hook, Hooks, Way, dispatch, is_exempt, way};
use api::{Later, Status};
use futures::future::BoxFuture;
use std::sync::Arc;

/// The webhooks of a plugin and the way to them.
pub struct Asked {
    hooks: Hooks,
    way: Way,
}

impl Asked {
    /// For the plugin of a name, which its configuration is found by.
    pub fn new(settings: &Settings, plugin: &str) -> Result<Self, String> {
        Ok(Asked { hooks: Hooks::default(), way: way(settings, plugin)? })
    }

    pub async fn follow(&self, resource: &'static str) {
        self.hooks.follow(&*self.way.reader, resource).await;
    }

    /// Whether there is anybody to ask about a change.
    pub fn concern(&self, review: &Review<'_>) -> bool {
        !self.hooks.is_empty() && !is_exempt(review)
    }

    pub fn hooks(&self) -> Arc<[Arc<Hook>]> {
        self.hooks.now()
    }

    pub fn way(&self) -> &Way {
        &self.way
    }
}

pub struct ValidatingAdmissionWebhook(Asked);

impl ValidatingAdmissionWebhook {
    pub fn new(settings: &Settings) -> Result<Self, String> {
        Asked::new(settings, "ValidatingAdmissionWebhook").map(ValidatingAdmissionWebhook)
    }
}

impl Plugin for ValidatingAdmissionWebhook {
    fn begin(&self) -> Later<'_, ()> {
        Box::pin(self.0.follow("validatingwebhookconfigurations"))
    }

    fn handles(&self, review: &Review<'_>) -> bool {
        self.0.concern(review)
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        cluster: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move { dispatch::validate(&self.0.hooks(), self.0.way(), review, cluster).await })
    }
}

#[cfg(test)]
mod tests;
