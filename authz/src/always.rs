//! `AlwaysAllow` and `AlwaysDeny`: for tests, and for the end of a list.

use crate::{Attributes, Authority, Decision, PolicyRule, Reason, Rules, Ruling, Settings};
use authn::Caller;

struct AlwaysAllow;
struct AlwaysDeny;

/// See `AUTHORITIES`.
#[allow(clippy::unnecessary_wraps)] // the shape of every authority's maker
pub(crate) fn make_allow(_: &Settings) -> Result<Box<dyn Authority>, String> {
    Ok(Box::new(AlwaysAllow))
}

/// See `AUTHORITIES`.
#[allow(clippy::unnecessary_wraps)] // the shape of every authority's maker
pub(crate) fn make_deny(_: &Settings) -> Result<Box<dyn Authority>, String> {
    Ok(Box::new(AlwaysDeny))
}

impl Authority for AlwaysAllow {
    fn name(&self) -> &'static str {
        "AlwaysAllow"
    }

    fn decide<'a>(&'a self, _: &'a Caller, _: &'a Attributes) -> Ruling<'a> {
        Ruling::Now(Decision::Allow(Reason::NONE))
    }

    fn rules(&self, _: &Caller, _: &str) -> Option<Rules> {
        let all = || vec!["*".into()];
        let resources =
            PolicyRule { verbs: all(), api_groups: all(), resources: all(), ..PolicyRule::default() };
        let paths = PolicyRule { verbs: all(), non_resource_urls: all(), ..PolicyRule::default() };
        Some(Rules { rules: [resources, paths].into_iter().collect(), ..Rules::default() })
    }
}

impl Authority for AlwaysDeny {
    fn name(&self) -> &'static str {
        "AlwaysDeny"
    }

    fn decide<'a>(&'a self, _: &'a Caller, _: &'a Attributes) -> Ruling<'a> {
        Ruling::Now(Decision::NoOpinion("Everything is forbidden.".into()))
    }
}
