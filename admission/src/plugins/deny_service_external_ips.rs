//! DenyServiceExternalIPs: no service gets external IPs that it does not have already.

use super::Plugin;
use crate::review::{Cluster, Review};
use api::{Status, Value};
use futures::future::BoxFuture;

pub struct DenyServiceExternalIPs;

impl Plugin for DenyServiceExternalIPs {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.writes("", "services")
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        _: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        let known = ips(review.old);
        let outcome = if ips(review.object.as_deref()).iter().all(|ip| known.contains(ip)) {
            Ok(())
        } else {
            Err(review.forbidden("Use of external IPs is denied by admission control"))
        };
        Box::pin(std::future::ready(outcome))
    }
}

fn ips(service: Option<&Value>) -> &[Value] {
    service.map(|service| service.list_at(&["spec", "externalIPs"])).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, run};
    use super::*;
    use api::tree;

    #[tokio::test]
    async fn external_ips_may_only_go() {
        let of = |ips: Value| tree!({"metadata": {"name": "s"}, "spec": {"externalIPs": ips}});
        let (both, one, none) = (of(tree!(["1.1.1.1", "2.2.2.2"])), of(tree!(["1.1.1.1"])), of(tree!([])));
        let (cluster, place) = (Cluster::new(), ("", "services"));
        let run = |new: &Value, old| run(&DenyServiceExternalIPs, &cluster, place, new.clone(), old);
        assert!(run(&none, None).await.is_ok());
        assert_eq!(
            run(&one, None).await.unwrap_err().message,
            "services \"s\" is forbidden: Use of external IPs is denied by admission control"
        );
        assert!(run(&one, Some(&both)).await.is_ok());
        assert!(run(&both, Some(&one)).await.is_err());
    }
}
