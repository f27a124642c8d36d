//! CertificateApproval: who approves or denies a request for a certificate must be allowed to `approve` for its signer;
//! see [`may_for_signer`].

use super::Plugin;
use crate::review::{Cluster, Operation, Review};
use api::{Status, quote};
use authz::{Attributes, Decision};
use futures::future::BoxFuture;

pub(super) const GROUP: &str = "certificates.k8s.io";
pub(super) const RESOURCE: &str = "certificatesigningrequests";

pub struct CertificateApproval;

impl Plugin for CertificateApproval {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.operation == Operation::Update
            && review.subresource == "approval"
            && (review.group(), review.resource()) == (GROUP, RESOURCE)
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        _: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let signer = review.old.map(|old| old.str_at(&["spec", "signerName"])).unwrap_or_default();
            if may_for_signer(review, "approve", signer).await {
                return Ok(());
            }
            let why = format!("user not permitted to approve requests with signerName {}", quote(signer));
            Err(review.forbidden(&why))
        })
    }
}

/// Whether the user may do `verb` for a signer, by its name or by `DOMAIN/*`.
pub(super) async fn may_for_signer(review: &Review<'_>, verb: &str, signer: &str) -> bool {
    let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
    for name in [signer, &format!("{domain}/*")] {
        let mut asked = Attributes::resource(verb, GROUP, "*", "signers");
        asked.name = name.into();
        if let Decision::Allow(_) = review.asks.may(&asked).await {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::certificate_signing::CertificateSigning;
    use super::super::testing::{Cluster, Request};
    use super::*;
    use crate::review::Asks;
    use api::{Later, tree};

    /// May do one thing for one name.
    struct May(&'static str, &'static str);

    impl Asks for May {
        fn may<'a>(&'a self, asked: &'a Attributes) -> Later<'a, Decision> {
            let same = asked.verb == self.0
                && asked.name == self.1
                && (&*asked.group, &*asked.resource) == (GROUP, "signers");
            let reason = authz::Reason::NONE;
            let decision = if same { Decision::Allow(reason) } else { Decision::NoOpinion(reason) };
            Box::pin(std::future::ready(decision))
        }
    }

    async fn refused(
        plugin: &dyn Plugin,
        subresource: &str,
        changed: bool,
        asks: &dyn Asks,
    ) -> Option<String> {
        let old = tree!({"metadata": {"name": "a"}, "spec": {"signerName": "example.com/x"}});
        let mut new = old.clone();
        if changed {
            new.set(&["status", "certificate"], "eA==");
        }
        let request = Request { subresource, asks, ..Request::new((GROUP, RESOURCE), new, Some(&old)) };
        let outcome = request.run(plugin, &Cluster::new()).await;
        outcome.result.err().map(|status| status.message)
    }

    #[tokio::test]
    async fn approving_needs_the_verb_for_the_signer_or_its_domain() {
        let plugin = CertificateApproval;
        assert_eq!(
            refused(&plugin, "approval", true, &()).await.unwrap(),
            "certificatesigningrequests.certificates.k8s.io \"a\" is forbidden: user not permitted to approve requests with signerName \"example.com/x\""
        );
        assert_eq!(refused(&plugin, "approval", true, &May("approve", "example.com/x")).await, None);
        assert_eq!(refused(&plugin, "approval", true, &May("approve", "example.com/*")).await, None);
        assert!(refused(&plugin, "approval", true, &May("sign", "example.com/*")).await.is_some());
        assert_eq!(refused(&plugin, "status", true, &()).await, None);
    }

    #[tokio::test]
    async fn signing_needs_the_verb_once_something_changes() {
        let plugin = CertificateSigning;
        assert_eq!(
            refused(&plugin, "status", true, &()).await.unwrap(),
            "certificatesigningrequests.certificates.k8s.io \"a\" is forbidden: user not permitted to sign requests with signerName \"example.com/x\""
        );
        assert_eq!(refused(&plugin, "status", false, &()).await, None);
        assert_eq!(refused(&plugin, "status", true, &May("sign", "example.com/*")).await, None);
    }
}
