//! AlwaysDeny: nobody changes anything. Deprecated upstream; for tests of refusals.

use super::Plugin;
use crate::review::{Cluster, Review};
use api::Status;
use futures::future::BoxFuture;

pub struct AlwaysDeny;

impl Plugin for AlwaysDeny {
    fn handles(&self, _: &Review<'_>) -> bool {
        true
    }

    fn admit<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        _: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        let status = review.forbidden("admission control is denying all modifications");
        Box::pin(std::future::ready(Err(status)))
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        self.admit(review, reader)
    }
}
