//! certificate-controller, approving: a kubelet's request for its client certificate is approved when a review says
//! that who asks may create `certificatesigningrequests/nodeclient`, or `/selfnodeclient` for itself.

use crate::certificate_rules::{self as rules, KUBELET_CLIENT, has_condition};
use crate::reconcile::{self, Outcome, unless_gone};
use crate::{Context, resources};
use api::x509::CertificateRequest;
use api::{Value, tree};
use client::{Client, Error, Informer, Resource, WorkQueue};

#[derive(Clone)]
struct Controller {
    client: Client,
    requests: Informer,
}

pub fn start(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let requests = context.informer(&resources::certificate_signing_requests());
    let controller = Controller { client: context.client.clone(), requests: requests.clone() };
    requests.on_change(reconcile::enqueue(&queue));
    reconcile::run_on("certificate-approving", &queue, 1, &[&requests], move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    });
}

/// A way to approval: what the asker must be allowed to create, and what the approval says.
struct Way {
    subresource: &'static str,
    message: &'static str,
}

const OWN: Way = Way {
    subresource: "selfnodeclient",
    message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
};
const ANY: Way = Way {
    subresource: "nodeclient",
    message: "Auto approving kubelet client certificate after SubjectAccessReview.",
};

/// The ways that are open to a request.
fn ways(object: &Value, request: &CertificateRequest) -> &'static [Way] {
    let signer = object.str_at(&["spec", "signerName"]);
    if signer != KUBELET_CLIENT || rules::kubelet_client(request, &rules::usages_of(object)).is_err() {
        return &[];
    }
    if object.str_at(&["spec", "username"]) == request.common_name { &[OWN, ANY] } else { &[ANY] }
}

/// The review that asks whether the maker of a request may go a way.
fn review(object: &Value, way: &Way) -> Value {
    let spec = |field: &str| object.at(&["spec", field]).cloned().unwrap_or_default();
    tree!({"spec": {
        "user": spec("username"), "uid": spec("uid"), "groups": spec("groups"), "extra": spec("extra"),
        "resourceAttributes": {
            "group": "certificates.k8s.io", "version": "*", "resource": "certificatesigningrequests",
            "subresource": way.subresource, "verb": "create"
        }
    }})
}

impl Controller {
    async fn sync(&self, key: &str) -> Outcome {
        let Some(object) = self.requests.cache().get(key) else { return Ok(()) };
        let issued = !object.str_at(&["status", "certificate"]).is_empty();
        if issued || has_condition(&object, "Approved") || has_condition(&object, "Denied") {
            return Ok(());
        }
        let Ok(request) = rules::request_of(&object) else { return Ok(()) };
        let ways = ways(&object, &request);
        for way in ways {
            if self.allowed(&review(&object, way)).await? {
                return self.approve(&object, way).await;
            }
        }
        if ways.is_empty() {
            return Ok(());
        }
        // A role may come later: to be tried again.
        let tried: Vec<&str> = ways.iter().map(|way| way.subresource).collect();
        Err(Error::Broken(format!(
            "recognized csr {key:?} as {tried:?} but subject access review was not approved"
        )))
    }

    async fn allowed(&self, review: &Value) -> Result<bool, Error> {
        let reviews = Resource::cluster("authorization.k8s.io", "v1", "subjectaccessreviews");
        Ok(self.client.create(&reviews, "", review).await?.bool_at(&["status", "allowed"]))
    }

    async fn approve(&self, object: &Value, way: &Way) -> Outcome {
        let mut approved = object.clone();
        let condition = tree!({
            "type": "Approved", "status": "True", "reason": "AutoApproved", "message": way.message
        });
        let conditions = approved.make_map(&["status"]).entry_or("conditions", || Value::List(Vec::new()));
        if let Some(conditions) = conditions.as_list_mut() {
            conditions.push(condition);
        }
        let requests = resources::certificate_signing_requests();
        unless_gone(self.client.update_lens(&requests, "", "approval", &approved).await)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_may_ask_for_itself_in_two_ways_and_others_for_it_in_one() {
        let request = CertificateRequest {
            common_name: "system:node:a".into(),
            organizations: vec!["system:nodes".into()],
            ..CertificateRequest::default()
        };
        let object = |user: &str, usage: &str| {
            tree!({"spec": {"signerName": KUBELET_CLIENT, "username": user,
                            "usages": ["digital signature", usage]}})
        };
        let names =
            |object: &Value| ways(object, &request).iter().map(|way| way.subresource).collect::<Vec<_>>();
        assert_eq!(names(&object("system:node:a", "client auth")), ["selfnodeclient", "nodeclient"]);
        assert_eq!(names(&object("jane", "client auth")), ["nodeclient"]);
        assert!(names(&object("system:node:a", "server auth")).is_empty());
        let asked = review(&object("jane", "client auth"), &ANY);
        assert_eq!(asked.str_at(&["spec", "resourceAttributes", "subresource"]), "nodeclient");
        assert_eq!(asked.str_at(&["spec", "user"]), "jane");
    }
}
