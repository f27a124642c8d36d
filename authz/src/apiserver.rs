//! What the API server itself may do in the cluster, as `system:apiserver` in this process: set up what a cluster
//! begins with, and keep what it serves about itself. Upstream's loopback client is in `system:masters` for this.
//!
//! It holds before there are any roles, because it is the one that makes them; for that it may escalate and bind.
//! The same name in a certificate opens nothing.

use crate::{Attributes, Authority, Decision, Reason, Ruling, Settings};
use authn::Caller;

/// Who this is.
const NAME: &str = "system:apiserver";

const READ: &[&str] = &["get", "list", "watch"];
const KEEP: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete"];

/// Group, resources (with subresources), verbs.
const RULES: &[(&str, &[&str], &[&str])] = &[
    ("", &["namespaces", "services", "endpoints", "configmaps", "events"], KEEP),
    ("", &["secrets", "serviceaccounts", "nodes", "pods"], READ),
    // Notes when tokens in secrets were used last.
    ("", &["secrets"], &["patch"]),
    ("scheduling.k8s.io", &["priorityclasses"], KEEP),
    ("networking.k8s.io", &["servicecidrs", "servicecidrs/status", "ipaddresses"], KEEP),
    ("discovery.k8s.io", &["endpointslices"], KEEP),
    ("coordination.k8s.io", &["leases"], KEEP),
    ("rbac.authorization.k8s.io", &["clusterroles", "clusterrolebindings", "roles", "rolebindings"], KEEP),
    ("rbac.authorization.k8s.io", &["clusterroles", "roles"], &["escalate", "bind"]),
    (
        "flowcontrol.apiserver.k8s.io",
        &[
            "flowschemas",
            "flowschemas/status",
            "prioritylevelconfigurations",
            "prioritylevelconfigurations/status",
        ],
        KEEP,
    ),
    ("apiextensions.k8s.io", &["customresourcedefinitions", "customresourcedefinitions/status"], KEEP),
    ("apiregistration.k8s.io", &["apiservices", "apiservices/status"], KEEP),
    ("admissionregistration.k8s.io", &["*"], READ),
    // Objects of custom kinds whose definition ends.
    ("*", &["*"], &["list", "deletecollection"]),
];

struct ApiServer;

/// See `AUTHORITIES`.
#[allow(clippy::unnecessary_wraps)] // the shape of every authority's maker
pub(crate) fn make(_: &Settings) -> Result<Box<dyn Authority>, String> {
    Ok(Box::new(ApiServer))
}

impl Authority for ApiServer {
    fn name(&self) -> &'static str {
        "apiserver"
    }

    fn decide<'a>(&'a self, caller: &'a Caller, asked: &'a Attributes) -> Ruling<'a> {
        let own = caller.is_in_process() && caller.name() == NAME;
        Ruling::Now(if own && allows(asked) {
            Decision::Allow("the API server itself".into())
        } else {
            Decision::NoOpinion(Reason::NONE)
        })
    }
}

fn allows(asked: &Attributes) -> bool {
    let resource = |rule: &&str| match rule.split_once('/') {
        Some((main, sub)) => asked.resource == main && asked.subresource == sub,
        None => *rule == "*" || (asked.resource == *rule && asked.subresource.is_empty()),
    };
    let rule = |(group, resources, verbs): &(&str, &[&str], &[&str])| {
        (asked.group == *group || *group == "*")
            && resources.iter().any(resource)
            && verbs.contains(&&*asked.verb)
    };
    asked.is_resource && RULES.iter().any(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(caller: &Caller, verb: &str, group: &str, resource: &str) -> bool {
        let asked = Attributes::resource(verb, group, "v1", resource);
        matches!(ApiServer.decide(caller, &asked), Ruling::Now(Decision::Allow(_)))
    }

    #[test]
    fn only_the_server_in_this_process_has_these_rights_and_no_others() {
        let own = authn::in_process(NAME, &[]);
        assert!(may(&own, "escalate", "rbac.authorization.k8s.io", "clusterroles"));
        assert!(may(&own, "create", "", "namespaces"));
        assert!(!may(&own, "delete", "", "secrets") && !may(&own, "create", "", "pods"));
        assert!(!may(&own, "create", "", "serviceaccounts") && !may(&own, "*", "*", "*"));
        assert!(may(&own, "deletecollection", "example.com", "widgets"));
        let named = authn::hypothetical(NAME, "", Vec::new(), Vec::new());
        assert!(!may(&named, "create", "", "namespaces"));
    }
}
