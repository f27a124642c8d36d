//! All roles and bindings, compiled for the question "may they?". A change touches what it changes and nothing else.
//!
//! Bindings are found by whom they speak of, cluster-wide and in each namespace, so that a decision looks only at
//! bindings of the caller; roles are found by name when a binding is looked at.

use super::binding::{Bound, Grant, RoleRef, Who, place_of_role};
use super::rule::PolicyRule;
use api::{Str, Value};
use authn::Caller;
use std::collections::HashMap;
use std::sync::Arc;

/// A Role, or a ClusterRole (whose namespace is empty).
pub struct Role {
    namespace: Str,
    name: Str,
    rules: Arc<[PolicyRule]>,
}

#[derive(Default)]
pub struct Policy {
    /// Grows with every change.
    pub generation: u64,
    /// By namespace (empty for ClusterRoles) and name.
    roles: HashMap<Str, HashMap<Str, Arc<[PolicyRule]>>>,
    /// By namespace (empty for ClusterRoleBindings) and name.
    bindings: HashMap<Str, HashMap<Str, Bound>>,
    /// The grants of the bindings, by the same namespaces.
    scopes: HashMap<Str, Scope>,
}

/// The grants that are good in one place, by those whom they concern; the same roles stand together.
#[derive(Default)]
pub struct Scope {
    users: HashMap<Str, Vec<Arc<Grant>>>,
    groups: HashMap<Str, Vec<Arc<Grant>>>,
}

impl Role {
    pub fn from_value(role: &Value) -> Self {
        let text = |field: &str| Str::from(role.str_at(&["metadata", field]));
        Role { namespace: text("namespace"), name: text("name"), rules: PolicyRule::all_of(role).into() }
    }
}

impl Policy {
    pub fn set_role(&mut self, role: Role) {
        self.generation += 1;
        self.roles.entry(role.namespace).or_default().insert(role.name, role.rules);
    }

    pub fn remove_role(&mut self, namespace: &str, name: &str) {
        self.generation += 1;
        remove(&mut self.roles, namespace, name);
    }

    pub fn set_binding(&mut self, bound: Bound) {
        let binding = bound.binding.clone();
        self.remove_binding(&binding.namespace, &binding.name);
        let scope = self.scopes.entry(binding.namespace.clone()).or_default();
        for (who, grant) in &bound.grants {
            scope.add(who, grant.clone());
        }
        let place = self.bindings.entry(binding.namespace.clone()).or_default();
        place.insert(binding.name.clone(), bound);
    }

    pub fn remove_binding(&mut self, namespace: &str, name: &str) {
        self.generation += 1;
        let Some(bound) = remove(&mut self.bindings, namespace, name) else { return };
        let Some(scope) = self.scopes.get_mut(namespace) else { return };
        for (who, grant) in &bound.grants {
            scope.remove(who, grant);
        }
        if scope.users.is_empty() && scope.groups.is_empty() {
            self.scopes.remove(namespace);
        }
    }

    /// Forgets the roles of namespaces, or the cluster's.
    pub fn clear_roles(&mut self, namespaced: bool) {
        self.generation += 1;
        self.roles.retain(|namespace, _| namespace.is_empty() == namespaced);
    }

    /// Forgets the bindings of namespaces, or the cluster's.
    pub fn clear_bindings(&mut self, namespaced: bool) {
        self.generation += 1;
        self.bindings.retain(|namespace, _| namespace.is_empty() == namespaced);
        self.scopes.retain(|namespace, _| namespace.is_empty() == namespaced);
    }

    /// The rules of a role, as seen from a binding in `namespace`. `None` when there is no such role.
    pub fn rules_of(&self, role: &RoleRef, namespace: &str) -> Option<&Arc<[PolicyRule]>> {
        let (plural, namespace) = place_of_role(&role.kind, namespace).ok()?;
        if plural == "roles" && namespace.is_empty() {
            return None;
        }
        self.roles.get(namespace)?.get(&role.name)
    }

    /// What concerns `caller` in a namespace: the cluster's grants, then the namespace's.
    pub fn grants<'a>(
        &'a self,
        caller: &'a Caller,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Grant>> {
        let local = if namespace.is_empty() { None } else { self.scopes.get(namespace) };
        let scopes = self.scopes.get("").into_iter().chain(local);
        scopes.flat_map(|scope| scope.of(caller)).flatten()
    }

    /// Whether nothing is known any more.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.roles.is_empty() && self.bindings.is_empty() && self.scopes.is_empty()
    }

    /// The namespaces with bindings.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.scopes.keys().map(Str::as_str).filter(|namespace| !namespace.is_empty())
    }

    /// The grants of one scope alone.
    pub fn grants_in<'a>(
        &'a self,
        caller: &'a Caller,
        namespace: &str,
    ) -> impl Iterator<Item = &'a Arc<Grant>> {
        self.scopes.get(namespace).into_iter().flat_map(|scope| scope.of(caller)).flatten()
    }
}

impl Scope {
    fn add(&mut self, who: &Who, grant: Arc<Grant>) {
        let grants = match who {
            Who::User(name) => self.users.entry(name.clone()).or_default(),
            Who::Group(name) => self.groups.entry(name.clone()).or_default(),
        };
        let at = grants.partition_point(|other| other.key() < grant.key());
        grants.insert(at, grant);
    }

    fn remove(&mut self, who: &Who, grant: &Grant) {
        let (map, name) = match who {
            Who::User(name) => (&mut self.users, name),
            Who::Group(name) => (&mut self.groups, name),
        };
        let Some(grants) = map.get_mut(name) else { return };
        if let Ok(at) = grants.binary_search_by(|other| other.key().cmp(&grant.key())) {
            grants.remove(at);
        }
        if grants.is_empty() {
            map.remove(name);
        }
    }

    /// The grants of a user, then those of the user's groups.
    fn of<'a>(&'a self, caller: &'a Caller) -> impl Iterator<Item = &'a Vec<Arc<Grant>>> {
        let user = self.users.get(caller.name());
        user.into_iter().chain(caller.groups().iter().filter_map(|group| self.groups.get(group.as_str())))
    }
}

fn remove<T>(map: &mut HashMap<Str, HashMap<Str, T>>, namespace: &str, name: &str) -> Option<T> {
    let inner = map.get_mut(namespace)?;
    let gone = inner.remove(name);
    if inner.is_empty() {
        map.remove(namespace);
    }
    gone
}
