//! MutatingAdmissionWebhook: servers elsewhere change objects, as MutatingWebhookConfigurations say.
//!
//! A webhook that answers `{"allowed": true, "patchType": "JSONPatch", "patch": BASE64}` with the patch
//! `[{"op": "add", "path": "/metadata/labels/a", "value": "b"}]` makes `{"metadata": {"labels": {}}}` to
//! `{"metadata": {"labels": {"a": "b"}}}`.

use super::validating_admission_webhook::Asked;
use super::{Plugin, Settings};
use crate::review::{Cluster, Review};
use crate::webhook::dispatch;
use api::{Later, Status};
use futures::future::BoxFuture;

pub struct MutatingAdmissionWebhook(Asked);

impl MutatingAdmissionWebhook {
    pub fn new(settings: &Settings) -> Result<Self, String> {
        Asked::new(settings, "MutatingAdmissionWebhook").map(MutatingAdmissionWebhook)
    }
}

impl Plugin for MutatingAdmissionWebhook {
    fn begin(&self) -> Later<'_, ()> {
        Box::pin(self.0.follow("mutatingwebhookconfigurations"))
    }

    fn handles(&self, review: &Review<'_>) -> bool {
        self.0.concern(review)
    }

    fn admit<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        cluster: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move { dispatch::mutate(&self.0.hooks(), self.0.way(), review, cluster).await })
    }
}
