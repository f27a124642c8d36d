//! What everybody may do by upstream's default roles and bindings: `system:public-info-viewer` for all,
//! `system:discovery` and `system:basic-user` for the recognized.
//!
//! To be removed with the arrival of RBAC, which reads the same rules from the store.

use crate::{Attributes, Authority, Decision, Reason, Ruling, Settings};
use authn::{AUTHENTICATED, Caller, UNAUTHENTICATED};

/// Paths that everybody may get.
const PUBLIC_PATHS: [&str; 5] = ["/livez", "/readyz", "/healthz", "/version", "/version/"];
/// Paths that the recognized may get, with all that is below.
const DISCOVERY_PATHS: [&str; 3] = ["/openapi", "/api", "/apis"];
/// What the recognized may create to learn about themselves: group and resource.
const SELF_REVIEWS: [(&str, &str); 3] = [
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authentication.k8s.io", "selfsubjectreviews"),
];

struct DefaultRoles;

/// See `AUTHORITIES`.
#[allow(clippy::unnecessary_wraps)] // the shape of every authority's maker
pub(crate) fn make(_: &Settings) -> Result<Box<dyn Authority>, String> {
    Ok(Box::new(DefaultRoles))
}

impl Authority for DefaultRoles {
    fn name(&self) -> &'static str {
        "default-roles"
    }

    fn decide<'a>(&'a self, caller: &'a Caller, asked: &'a Attributes) -> Ruling<'a> {
        Ruling::Now(decide(caller, asked))
    }
}

fn decide(caller: &Caller, asked: &Attributes) -> Decision {
    let recognized = caller.in_group(AUTHENTICATED);
    let known = recognized || caller.in_group(UNAUTHENTICATED);
    let allowed =
        (known && is_public(asked)) || (recognized && (is_discovery(asked) || is_self_review(asked)));
    if allowed { Decision::Allow(Reason::NONE) } else { Decision::NoOpinion(Reason::NONE) }
}

fn is_public(asked: &Attributes) -> bool {
    !asked.is_resource && asked.verb == "get" && PUBLIC_PATHS.contains(&&*asked.path)
}

fn is_discovery(asked: &Attributes) -> bool {
    let below = |root: &&str| {
        asked.path.strip_prefix(*root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    !asked.is_resource && asked.verb == "get" && DISCOVERY_PATHS.iter().any(below)
}

fn is_self_review(asked: &Attributes) -> bool {
    let same = |(group, resource): &(&str, &str)| asked.group == *group && asked.resource == *resource;
    asked.is_resource
        && asked.verb == "create"
        && asked.subresource.is_empty()
        && SELF_REVIEWS.iter().any(same)
}
