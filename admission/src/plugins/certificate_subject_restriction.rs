//! CertificateSubjectRestriction: nobody gets a certificate of the group `system:masters` from the signer of the API
//! server's clients.

use super::Plugin;
use super::certificate_approval::{GROUP, RESOURCE};
use crate::review::{Cluster, Review};
use api::x509::CertificateRequest;
use api::{Status, Value, pem};
use futures::future::BoxFuture;

const SIGNER: &str = "kubernetes.io/kube-apiserver-client";

pub struct CertificateSubjectRestriction;

impl Plugin for CertificateSubjectRestriction {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.creates(GROUP, RESOURCE)
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        _: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        let outcome = check(review).map_err(|why| review.forbidden(&why));
        Box::pin(std::future::ready(outcome))
    }
}

fn check(review: &Review<'_>) -> Result<(), String> {
    let Some(object) = review.object.as_deref() else { return Ok(()) };
    if object.str_at(&["spec", "signerName"]) != SIGNER {
        return Ok(());
    }
    let request = request_of(object).map_err(|why| format!("failed to parse CSR: {why}"))?;
    if request.organizations.iter().any(|group| group == "system:masters") {
        return Err(format!("use of {SIGNER} signer with system:masters group is not allowed"));
    }
    Ok(())
}

/// The request for a certificate that a CertificateSigningRequest carries.
pub(super) fn request_of(object: &Value) -> Result<CertificateRequest, String> {
    let bytes = pem::decode_base64(object.str_at(&["spec", "request"])).unwrap_or_default();
    CertificateRequest::from_pem(&String::from_utf8_lossy(&bytes))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, Request};
    use super::*;
    use api::tree;

    /// `O=system:masters, CN=evil`.
    const MASTER: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIak1JR0tBZ0VBTUNneEZ6QVZCZ05WQkFvTURuTjVjM1JsYlRwdFlYTjBaWEp6TVEwd0N3WURWUVFEREFSbApkbWxzTUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFWXh5N2M0dTZRVGxyZHJGdkRNSFlEOWZwCnpCRExZd3hYalBRZW1lTmZ5RG1aZmgxUkdaZDFIcmI0NkxYNktWbWFRU1R3RG9xUytVZ1Zia3R1M0swVlRhQUEKTUFvR0NDcUdTTTQ5QkFNQ0EwZ0FNRVVDSUdWZnAxRXowY01HU0M3MEtJR3k4ZFdJajBidG1FS2J6OWw0dnZYVwpVNXVFQWlFQW9RTWd4OXNtRWllbjlCOWUxTzZHNTZsdkp2eWZhaVRMRUxaWEczNEZ4NGs9Ci0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo=";

    async fn refused(signer: &str, request: &str) -> Option<String> {
        let object = tree!({"metadata": {"name": "a"}, "spec": {"signerName": signer, "request": request}});
        let request = Request::new((GROUP, RESOURCE), object, None);
        let outcome = request.run(&CertificateSubjectRestriction, &Cluster::new()).await;
        outcome.result.err().map(|status| status.message)
    }

    #[tokio::test]
    async fn nobody_becomes_a_master_by_a_request() {
        assert_eq!(
            refused(SIGNER, MASTER).await.unwrap(),
            "certificatesigningrequests.certificates.k8s.io \"a\" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
        );
        assert_eq!(refused("example.com/x", MASTER).await, None);
        let why = refused(SIGNER, "eA==").await.unwrap();
        assert!(why.ends_with("failed to parse CSR: PEM block type must be CERTIFICATE REQUEST"), "{why}");
    }
}
