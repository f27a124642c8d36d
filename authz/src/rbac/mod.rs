//! RBAC: roles are rules, bindings give them to users and groups, cluster-wide or in a namespace.
//!
//! Roles and bindings are followed and kept compiled (`policy`), so that a decision is a few look-ups: single
//! microseconds, nothing allocated when it allows.

mod binding;
mod escalation;
mod explain;
mod policy;
mod rule;

pub use binding::place_of_role;
pub use escalation::{RuleList, Rules, uncovered};
pub use rule::PolicyRule;

use crate::explain::Explained;
use crate::{Attributes, Authority, Decision, Reason, Ruling, Settings, reason};
use api::{Followed, Later, Reader, Value};
use authn::Caller;
use binding::{Bound, Grant};
use parking_lot::RwLock;
use policy::{Policy, Role};
use std::collections::BTreeMap;
use std::sync::Arc;

/// As upstream names it.
pub const NAME: &str = "RBAC";
const GROUP: &str = "rbac.authorization.k8s.io";

struct Rbac {
    reader: Arc<dyn Reader>,
    policy: Arc<RwLock<Policy>>,
}

/// See `AUTHORITIES`.
#[allow(clippy::unnecessary_wraps)] // the shape of every authority's maker
pub(crate) fn make(settings: &Settings) -> Result<Box<dyn Authority>, String> {
    Ok(Box::new(Rbac { reader: settings.reader.clone(), policy: Arc::default() }))
}

impl Authority for Rbac {
    fn name(&self) -> &'static str {
        NAME
    }

    fn decide<'a>(&'a self, caller: &'a Caller, asked: &'a Attributes) -> Ruling<'a> {
        Ruling::Now(decide(&self.policy.read(), caller, asked))
    }

    fn begin(&self) -> Later<'_, ()> {
        Box::pin(async move {
            let roles = Changes {
                read: Role::from_value,
                clear: Policy::clear_roles,
                set: Policy::set_role,
                remove: Policy::remove_role,
            };
            let bindings = Changes {
                read: Bound::from_value,
                clear: Policy::clear_bindings,
                set: Policy::set_binding,
                remove: Policy::remove_binding,
            };
            self.follow("clusterroles", false, roles).await;
            self.follow("roles", true, roles).await;
            self.follow("clusterrolebindings", false, bindings).await;
            self.follow("rolebindings", true, bindings).await;
        })
    }

    fn rules(&self, caller: &Caller, namespace: &str) -> Option<Rules> {
        Some(rules(&self.policy.read(), caller, namespace))
    }

    fn explain(&self, caller: &Caller, asked: &Attributes) -> Explained {
        explain::explain(&self.policy.read(), caller, asked)
    }
}

/// How a policy changes with the objects of a resource. They are read before the policy is locked.
struct Changes<T> {
    read: fn(&Value) -> T,
    clear: fn(&mut Policy, bool),
    set: fn(&mut Policy, T),
    remove: fn(&mut Policy, &str, &str),
}

impl<T> Clone for Changes<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Changes<T> {}

impl Rbac {
    /// Keeps the policy as the objects of one resource are.
    async fn follow<T: 'static>(&self, resource: &'static str, namespaced: bool, changes: Changes<T>) {
        let policy = self.policy.clone();
        let step = move |followed| match followed {
            Followed::All(objects) => {
                let read: Vec<T> = objects.iter().map(changes.read).collect();
                let mut policy = policy.write();
                (changes.clear)(&mut policy, namespaced);
                read.into_iter().for_each(|item| (changes.set)(&mut policy, item));
            }
            Followed::Set(object) => {
                let item = (changes.read)(&object);
                (changes.set)(&mut policy.write(), item);
            }
            Followed::Gone { namespace, name } => (changes.remove)(&mut policy.write(), &namespace, &name),
        };
        self.reader.follow(GROUP, resource, Box::new(step)).await;
    }
}

fn decide(policy: &Policy, caller: &Caller, asked: &Attributes) -> Decision {
    let mut errors = Vec::new();
    let mut before: Option<&Grant> = None;
    for grant in policy.grants(caller, &asked.namespace) {
        // Another binding of the role that was just looked at allows no more.
        let binding = &grant.binding;
        let again = |other: &Grant| {
            other.binding.role == binding.role && other.binding.namespace == binding.namespace
        };
        if before.is_some_and(again) {
            continue;
        }
        before = Some(grant);
        match policy.rules_of(&binding.role, &binding.namespace) {
            Some(rules) if rules.iter().any(|rule| rule.allows(asked)) => {
                return Decision::Allow(Reason::lazy(grant.clone()));
            }
            Some(_) => {}
            None => errors.push(binding.role.not_found()),
        }
    }
    if errors.is_empty() {
        return Decision::NoOpinion(Reason::NONE);
    }
    Decision::NoOpinion(format!("RBAC: {}", reason::aggregate(errors)).into())
}

/// The rules of all bindings of `caller` that are good in `namespace`: the cluster's, then the namespace's, each in
/// order of the bindings' names.
fn rules(policy: &Policy, caller: &Caller, namespace: &str) -> Rules {
    let bindings: BTreeMap<_, _> = policy
        .grants(caller, namespace)
        .map(|grant| ((&grant.binding.namespace, &grant.binding.name), &grant.binding))
        .collect();
    let mut found = Rules::default();
    for binding in bindings.into_values() {
        match policy.rules_of(&binding.role, &binding.namespace) {
            Some(rules) => found.rules.push(rules.clone()),
            None => found.errors.push(binding.role.not_found()),
        }
    }
    found
}

#[cfg(test)]
mod tests;
