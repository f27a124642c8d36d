//! Bindings: which role, to whom.

use api::{Str, Value, quote};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// A RoleBinding, or a ClusterRoleBinding (whose namespace is empty).
#[derive(Debug, PartialEq, Eq)]
pub struct Binding {
    pub namespace: Str,
    pub name: Str,
    pub role: RoleRef,
    pub subjects: Vec<Subject>,
}

/// The role of a binding: its kind and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoleRef {
    pub kind: Str,
    pub name: Str,
}

/// Whom a binding speaks of, as it is written there.
#[derive(Debug, PartialEq, Eq)]
pub struct Subject {
    kind: Str,
    name: Str,
    namespace: Str,
}

/// Whom callers are compared with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    User(Str),
    Group(Str),
}

impl Binding {
    pub fn from_value(object: &Value) -> Self {
        let text = |path: &[&str]| Str::from(object.str_at(path));
        let namespace = text(&["metadata", "namespace"]);
        let subjects = object.list_at(&["subjects"]).iter();
        Binding {
            subjects: subjects.map(|subject| Subject::from_value(subject, &namespace)).collect(),
            name: text(&["metadata", "name"]),
            role: RoleRef { kind: text(&["roleRef", "kind"]), name: text(&["roleRef", "name"]) },
            namespace,
        }
    }

    /// `ClusterRoleBinding "a"`, `RoleBinding "a/NAMESPACE"`.
    pub fn described(&self) -> String {
        if self.namespace.is_empty() {
            return format!("ClusterRoleBinding {}", quote(&self.name));
        }
        format!("RoleBinding {}", quote(&format!("{}/{}", self.name, self.namespace)))
    }
}

/// Where the roles of a kind are that a binding in `namespace` may name: the plural, and their namespace (empty for
/// the cluster's).
///
/// # Errors
/// Upstream's text for a kind that is no kind of role.
pub fn place_of_role<'a>(kind: &str, namespace: &'a str) -> Result<(&'static str, &'a str), String> {
    match kind {
        "ClusterRole" => Ok(("clusterroles", "")),
        "Role" => Ok(("roles", namespace)),
        other => Err(format!("unsupported role reference kind: {}", quote(other))),
    }
}

impl RoleRef {
    /// Upstream's error of a role that is not there, or of no kind of role.
    pub fn not_found(&self) -> String {
        place_of_role(&self.kind, "").err().unwrap_or_else(|| {
            let kind = self.kind.to_lowercase();
            format!("{kind}.rbac.authorization.k8s.io {} not found", quote(&self.name))
        })
    }
}

impl fmt::Display for RoleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, quote(&self.name))
    }
}

impl Subject {
    /// A service account without a namespace is one of the binding's.
    fn from_value(subject: &Value, binding_namespace: &Str) -> Self {
        let text = |field: &str| Str::from(subject.str_at(&[field]));
        let own = text("namespace");
        let namespace = if own.is_empty() { binding_namespace.clone() } else { own };
        Subject { kind: text("kind"), name: text("name"), namespace }
    }

    /// `None` for somebody who cannot be.
    pub fn who(&self) -> Option<Who> {
        match self.kind.as_str() {
            "User" => Some(Who::User(self.name.clone())),
            "Group" => Some(Who::Group(self.name.clone())),
            "ServiceAccount" if !self.namespace.is_empty() => {
                Some(Who::User(format!("system:serviceaccount:{}:{}", self.namespace, self.name).into()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == "ServiceAccount" {
            return write!(f, "{} {}", self.kind, quote(&format!("{}/{}", self.name, self.namespace)));
        }
        write!(f, "{} {}", self.kind, quote(&self.name))
    }
}

/// A binding and its grants, made before anybody has to wait for it.
#[derive(Debug)]
pub struct Bound {
    pub binding: Arc<Binding>,
    pub grants: Vec<(Who, Arc<Grant>)>,
}

impl Bound {
    pub fn from_value(object: &Value) -> Self {
        let binding = Arc::new(Binding::from_value(object));
        Bound { grants: Grant::all(&binding), binding }
    }
}

/// A binding as it concerns one of its subjects. It reads as upstream's reason.
#[derive(Debug)]
pub struct Grant {
    pub binding: Arc<Binding>,
    subject: usize,
}

impl Grant {
    /// One for everybody whom a binding names, each once.
    fn all(binding: &Arc<Binding>) -> Vec<(Who, Arc<Grant>)> {
        let mut known = HashSet::new();
        let subjects = binding.subjects.iter().map(Subject::who).enumerate();
        let fresh =
            subjects.filter_map(|(subject, who)| Some((subject, who.filter(|w| known.insert(w.clone()))?)));
        fresh.map(|(subject, who)| (who, Arc::new(Grant { binding: binding.clone(), subject }))).collect()
    }

    pub fn subject(&self) -> Option<&Subject> {
        self.binding.subjects.get(self.subject)
    }

    /// What grants are kept in order by: the same roles stand together.
    pub fn key(&self) -> (&RoleRef, &str) {
        (&self.binding.role, &self.binding.name)
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (binding, role) = (self.binding.described(), &self.binding.role);
        write!(f, "RBAC: allowed by {binding} of {role}")?;
        self.subject().map_or(Ok(()), |subject| write!(f, " to {subject}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn grants(object: Value) -> Vec<(Who, Arc<Grant>)> {
        Bound::from_value(&object).grants
    }

    #[test]
    fn a_binding_of_very_many_subjects_is_read_at_once() {
        let user = |i: usize| tree!({"kind": "User", "name": format!("user number {}", i / 2)});
        let mut object = tree!({"metadata": {"name": "b"}});
        object.set(&["subjects"], (0..40_000).map(user).collect::<Vec<_>>());
        let begun = std::time::Instant::now();
        assert_eq!(grants(object).len(), 20_000, "each once");
        assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    }

    #[test]
    fn reasons_read_as_upstreams() {
        let cluster = tree!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "Group", "name": "dev"}]});
        assert_eq!(
            grants(cluster)[0].1.to_string(),
            r#"RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "view" to Group "dev""#
        );
        let local = tree!({"metadata": {"name": "b", "namespace": "n"}, "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [{"kind": "ServiceAccount", "name": "s"}]});
        assert_eq!(
            grants(local)[0].1.to_string(),
            r#"RBAC: allowed by RoleBinding "b/n" of Role "r" to ServiceAccount "s/n""#
        );
    }

    #[test]
    fn a_service_account_is_a_user_of_its_namespace() {
        let subjects = tree!([
            {"kind": "ServiceAccount", "name": "s"}, {"kind": "User", "name": "system:serviceaccount:n:s"},
            {"kind": "ServiceAccount", "name": "s", "namespace": "o"}, {"kind": "Robot", "name": "r"}
        ]);
        let mut object = tree!({"metadata": {"name": "b", "namespace": "n"}});
        object.set(&["subjects"], subjects.clone());
        let users: Vec<Who> = grants(object.clone()).into_iter().map(|(who, _)| who).collect();
        let user = |name: &str| Who::User(name.into());
        assert_eq!(users, [user("system:serviceaccount:n:s"), user("system:serviceaccount:o:s")]);
        object.unset(&["metadata", "namespace"]);
        assert_eq!(grants(object).len(), 2, "no namespace, no account");
    }
}
