//! The default roles and bindings as objects, read from `policy.txt`, which says how it is written.

use api::{Value, tree};
use client::Resource;

const POLICY: &str = include_str!("policy.txt");
const GROUP: &str = "rbac.authorization.k8s.io";
/// How the names of controllers' roles begin.
const CONTROLLER: &str = "system:controller:";
/// Where the accounts of controllers are.
const SYSTEM: &str = "kube-system";
const BOOTSTRAPPING: &str = "kubernetes.io/bootstrapping";
const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];

/// A role or binding that every cluster has.
pub struct Wanted {
    /// `clusterroles`, `clusterrolebindings`, `roles`, `rolebindings`.
    pub plural: &'static str,
    /// Empty for the cluster's.
    pub namespace: &'static str,
    pub object: Value,
}

impl Wanted {
    pub fn resource(&self) -> Resource {
        resource(self.plural)
    }

    pub fn name(&self) -> &str {
        self.object.str_at(&["metadata", "name"])
    }

    pub fn is_binding(&self) -> bool {
        self.plural.ends_with("bindings")
    }
}

/// A resource of the group.
pub fn resource(plural: &str) -> Resource {
    if plural.starts_with("cluster") {
        Resource::cluster(GROUP, "v1", plural)
    } else {
        Resource::namespaced(GROUP, "v1", plural)
    }
}

/// All of them.
pub fn wanted() -> Vec<Wanted> {
    let mut all: Vec<Wanted> = Vec::new();
    let mut own = None;
    for line in POLICY.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.split_once(' ') {
            Some(("cluster", rest)) => cluster_role(rest, &mut all),
            Some(("role", rest)) => {
                let (namespace, name) = rest.split_once(' ').unwrap_or_default();
                all.push(named("roles", namespace, name));
            }
            Some(("grant", rest)) => all.push(grant(rest)),
            None if line == "own" => own = Some(all.len()),
            // Indented: a rule of the role above. The bindings of controllers' roles are made after their roles.
            _ => {
                let role = all.iter_mut().rev().find(|wanted| !wanted.is_binding());
                let rules = role.and_then(|role| role.object.get_mut("rules")).and_then(Value::as_list_mut);
                rules.into_iter().for_each(|rules| rules.push(rule(line.trim_start())));
            }
        }
    }
    // The label says what the original would make.
    for wanted in all.iter_mut().skip(own.unwrap_or(usize::MAX)) {
        wanted.object.unset(&["metadata", "labels", BOOTSTRAPPING]);
    }
    all
}

fn named(plural: &'static str, namespace: &'static str, name: &str) -> Wanted {
    let mut object = tree!({
        "metadata": {
            "name": name,
            "labels": {(BOOTSTRAPPING): "rbac-defaults"},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        },
    });
    if !plural.ends_with("bindings") {
        object.set(&["rules"], Value::List(Vec::new()));
    }
    Wanted { plural, namespace, object }
}

/// `NAME [part-of ROLE] [gathers ROLE]`, and the binding of a controller.
fn cluster_role(line: &'static str, all: &mut Vec<Wanted>) {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let mut role = named("clusterroles", "", name);
    while let (Some(word), Some(of)) = (words.next(), words.next()) {
        let label = format!("{GROUP}/aggregate-to-{of}");
        if word == "part-of" {
            role.object.set(&["metadata", "labels", &label], "true");
        } else {
            let mut labels = Value::map();
            labels.set(&[&label], "true");
            role.object.set(&["aggregationRule"], tree!({"clusterRoleSelectors": [{"matchLabels": labels}]}));
        }
    }
    all.push(role);
    if let Some(controller) = name.strip_prefix(CONTROLLER) {
        let subject = tree!({"kind": "ServiceAccount", "name": controller, "namespace": SYSTEM});
        all.push(binding("", name, name, vec![subject]));
    }
}

/// `[NAMESPACE/]BINDING [ROLE] to SUBJECTS`.
fn grant(line: &'static str) -> Wanted {
    let (what, subjects) = line.split_once(" to").unwrap_or((line, ""));
    let (place, role) = what.split_once(' ').unwrap_or((what, ""));
    let (namespace, name) = place.split_once('/').unwrap_or(("", place));
    let subjects = subjects.split(", ").filter_map(|subject| subject.trim().split_once(' '));
    let subjects = subjects.map(|(kind, name)| match (kind, name.split_once('/')) {
        ("account", Some((space, name))) => {
            tree!({"kind": "ServiceAccount", "name": name, "namespace": space})
        }
        ("user", _) => tree!({"kind": "User", "apiGroup": GROUP, "name": name}),
        _ => tree!({"kind": "Group", "apiGroup": GROUP, "name": name}),
    });
    binding(namespace, name, if role.is_empty() { name } else { role }, subjects.collect())
}

fn binding(namespace: &'static str, name: &str, role: &str, subjects: Vec<Value>) -> Wanted {
    let (plural, kind) =
        if namespace.is_empty() { ("clusterrolebindings", "ClusterRole") } else { ("rolebindings", "Role") };
    let mut wanted = named(plural, namespace, name);
    wanted.object.set(&["roleRef"], tree!({"apiGroup": GROUP, "kind": kind, "name": role}));
    if !subjects.is_empty() {
        wanted.object.set(&["subjects"], subjects);
    }
    wanted
}

/// `VERBS GROUPS RESOURCES [named NAMES]` or `VERBS url PATHS`.
fn rule(line: &str) -> Value {
    let mut words = line.split(' ');
    let mut verbs: Vec<&str> = Vec::new();
    for verb in words.next().unwrap_or_default().split(',') {
        match verb {
            "read" => verbs.extend(READ),
            "write" => verbs.extend(WRITE),
            "all" => verbs.extend(READ.iter().chain(&WRITE)),
            verb => verbs.push(verb),
        }
    }
    verbs.sort_unstable();
    let list = |texts: Vec<&str>| Value::List(texts.into_iter().map(Value::from).collect());
    let mut rule = tree!({"verbs": list(verbs)});
    let groups = words.next().unwrap_or_default();
    let what = list(words.next().unwrap_or_default().split(',').collect());
    if groups == "url" {
        rule.set(&["nonResourceURLs"], what);
        return rule;
    }
    let groups = groups.split(',').map(|group| if group == "core" { "" } else { group });
    rule.set(&["apiGroups"], list(groups.collect()));
    rule.set(&["resources"], what);
    if let Some(names) = words.nth(1) {
        rule.set(&["resourceNames"], list(names.split(',').collect()));
    }
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(plural: &str, name: &str) -> Value {
        wanted().into_iter().find(|w| w.plural == plural && w.name() == name).map(|w| w.object).unwrap()
    }

    #[test]
    fn the_policy_is_that_of_the_original() {
        let original = |wanted: &&Wanted| wanted.object.at(&["metadata", "labels", BOOTSTRAPPING]).is_some();
        let count =
            |plural: &str| wanted().iter().filter(original).filter(|wanted| wanted.plural == plural).count();
        assert_eq!(
            ["clusterroles", "clusterrolebindings", "roles", "rolebindings"].map(count),
            [69, 50, 7, 7],
            "none is lost, none is made up"
        );
        assert_eq!(wanted().len(), 69 + 50 + 7 + 7 + 1);
        for wanted in wanted() {
            let gathers = wanted.object.get("aggregationRule").is_some();
            let has_rules = !wanted.object.list_at(&["rules"]).is_empty();
            assert!(wanted.is_binding() || gathers != has_rules, "{}", wanted.name());
        }
    }

    #[test]
    fn rules_are_written_out() {
        let role = find("clusterroles", "system:certificates.k8s.io:kubelet-serving-approver");
        assert_eq!(
            role.list_at(&["rules"]),
            [tree!({"verbs": ["approve"], "apiGroups": ["certificates.k8s.io"], "resources": ["signers"],
                    "resourceNames": ["kubernetes.io/kubelet-serving"]})]
        );
        let role = find("roles", "system:controller:token-cleaner");
        assert_eq!(
            role.list_at(&["rules"]),
            [
                tree!({"verbs": ["delete", "get", "list", "watch"], "apiGroups": [""], "resources": ["secrets"]}),
                tree!({"verbs": ["create", "patch", "update"], "apiGroups": ["", "events.k8s.io"], "resources": ["events"]}),
            ]
        );
    }

    #[test]
    fn controllers_get_their_roles() {
        let binding = find("clusterrolebindings", "system:controller:job-controller");
        assert_eq!(binding.str_at(&["roleRef", "name"]), "system:controller:job-controller");
        assert_eq!(
            binding.list_at(&["subjects"]),
            [tree!({"kind": "ServiceAccount", "name": "job-controller", "namespace": "kube-system"})]
        );
        assert_eq!(find("clusterrolebindings", "system:node").list_at(&["subjects"]), [Value::Null; 0]);
    }

    #[test]
    fn roles_gather_their_parts() {
        let edit = find("clusterroles", "edit");
        let label = "rbac.authorization.k8s.io/aggregate-to-admin";
        assert_eq!(edit.str_at(&["metadata", "labels", label]), "true");
        assert_eq!(
            edit.at(&["aggregationRule"]),
            Some(
                &tree!({"clusterRoleSelectors": [{"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}}]})
            )
        );
    }
}
