//! CertificateSigning: who puts a certificate or a condition into the status of a request for one must be allowed to
//! `sign` for its signer.

use super::Plugin;
use super::certificate_approval::{GROUP, RESOURCE, may_for_signer};
use crate::review::{Cluster, Operation, Review};
use api::{Status, Value, quote};
use futures::future::BoxFuture;
use kinds::validation::same;

pub struct CertificateSigning;

impl Plugin for CertificateSigning {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.operation == Operation::Update
            && review.subresource == "status"
            && (review.group(), review.resource()) == (GROUP, RESOURCE)
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        _: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let (Some(new), Some(old)) = (review.object.as_deref(), review.old) else { return Ok(()) };
            let signer = old.str_at(&["spec", "signerName"]);
            if !changes(new, old) || may_for_signer(review, "sign", signer).await {
                return Ok(());
            }
            let why = format!("user not permitted to sign requests with signerName {}", quote(signer));
            Err(review.forbidden(&why))
        })
    }
}

fn changes(new: &Value, old: &Value) -> bool {
    let fields = [["status", "certificate"], ["status", "conditions"]];
    fields.iter().any(|path| !same(new.at(path), old.at(path)))
}
