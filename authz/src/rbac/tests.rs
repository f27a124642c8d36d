//! RBAC against a naive reading of the same objects, over random policies that change; and how it follows them.

use super::*;
use api::{Follow, Str, tree};
use parking_lot::Mutex;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const USERS: [&str; 3] = ["jane", "system:serviceaccount:a:s", "system:serviceaccount:b:s"];
const GROUPS: [&str; 3] = ["dev", "ops", "system:authenticated"];
const NAMESPACES: [&str; 3] = ["", "a", "b"];
const NAMES: [&str; 3] = ["x", "y", "z"];

/// A change of the cluster: an object that is set, or one that goes.
#[derive(Clone, Debug)]
enum Change {
    Set(&'static str, Value),
    Gone(&'static str, &'static str, &'static str),
}

fn texts(all: &'static [&'static str], least: usize) -> impl Strategy<Value = Vec<Value>> {
    subsequence(all.to_vec(), least..=all.len().min(3)).prop_map(|v| v.into_iter().map(Value::from).collect())
}

fn rule() -> impl Strategy<Value = Value> {
    let verbs = || texts(&["get", "list", "create", "*"], 1);
    let names = prop_oneof![3 => Just(Vec::new()), 1 => texts(&NAMES, 1)];
    let resources = texts(&["pods", "pods/log", "*/log", "deployments", "*"], 1);
    prop_oneof![
        4 => (verbs(), texts(&["", "apps", "*"], 1), resources, names).prop_map(|(verbs, groups, resources, names)| {
            tree!({"verbs": verbs, "apiGroups": groups, "resources": resources, "resourceNames": names})
        }),
        1 => (verbs(), texts(&["/logs", "/logs/*", "*", "/l*"], 1))
            .prop_map(|(verbs, urls)| tree!({"verbs": verbs, "nonResourceURLs": urls})),
    ]
}

fn subject() -> impl Strategy<Value = Value> {
    prop_oneof![
        select(&USERS[..]).prop_map(|name| tree!({"kind": "User", "name": name})),
        select(&GROUPS[..]).prop_map(|name| tree!({"kind": "Group", "name": name})),
        select(&NAMESPACES[..])
            .prop_map(|space| tree!({"kind": "ServiceAccount", "name": "s", "namespace": space})),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let role = (select(&NAMESPACES[..]), select(&NAMES[..]), prop::collection::vec(rule(), 0..3));
    let role = role.prop_map(|(space, name, rules)| {
        Change::Set("role", tree!({"metadata": {"namespace": space, "name": name}, "rules": rules}))
    });
    let binding = (
        select(&NAMESPACES[..]),
        select(&NAMES[..]),
        select(&["Role", "ClusterRole"][..]),
        select(&NAMES[..]),
        prop::collection::vec(subject(), 0..4),
    );
    let binding = binding.prop_map(|(space, name, kind, role, subjects)| {
        Change::Set(
            "binding",
            tree!({"metadata": {"namespace": space, "name": name}, "roleRef": {"kind": kind, "name": role},
                   "subjects": subjects}),
        )
    });
    let gone = (select(&["role", "binding"][..]), select(&NAMESPACES[..]), select(&NAMES[..]))
        .prop_map(|(what, space, name)| Change::Gone(what, space, name));
    prop_oneof![3 => role, 4 => binding, 2 => gone]
}

fn question() -> impl Strategy<Value = (Caller, Attributes)> {
    let caller = (select(&USERS[..]), subsequence(GROUPS.to_vec(), 0..=2)).prop_map(|(user, groups)| {
        authn::hypothetical(user, "", groups.into_iter().map(str::to_owned).collect(), Vec::new())
    });
    let resource = (
        select(&["get", "list", "watch"][..]),
        select(&["", "apps"][..]),
        select(&["pods", "deployments"][..]),
        select(&["", "log", "exec"][..]),
        select(&NAMESPACES[..]),
        select(&["", "x", "y"][..]),
    );
    let resource = resource.prop_map(|(verb, group, resource, sub, space, name)| {
        let mut asked = Attributes::resource(verb, group, "v1", resource);
        (asked.subresource, asked.namespace, asked.name) = (sub.into(), space.into(), name.into());
        asked
    });
    let path = (select(&["get", "post"][..]), select(&["/logs", "/logs/a", "/x"][..]))
        .prop_map(|(verb, path)| Attributes::path(verb, path));
    (caller, prop_oneof![4 => resource, 1 => path])
}

/// The objects as they are, by what, namespace and name.
#[derive(Default)]
struct Naive(BTreeMap<(&'static str, String, String), Value>);

impl Naive {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Set(what, object) => {
                let text = |field: &str| object.str_at(&["metadata", field]).to_owned();
                self.0.insert((what, text("namespace"), text("name")), object.clone());
            }
            Change::Gone(what, space, name) => {
                self.0.remove(&(*what, (*space).to_owned(), (*name).to_owned()));
            }
        }
    }

    /// Upstream's algorithm, word by word: every binding, every subject, every rule.
    fn allows(&self, caller: &Caller, asked: &Attributes) -> bool {
        let bindings = self.0.iter().filter(|((what, space, _), _)| {
            *what == "binding" && (space.is_empty() || *space == *asked.namespace)
        });
        bindings.filter(|((_, space, _), binding)| applies(binding, caller, space)).any(
            |((_, space, _), binding)| {
                let role_space = match binding.str_at(&["roleRef", "kind"]) {
                    "Role" if space.is_empty() => return false,
                    "Role" => space.clone(),
                    _ => String::new(),
                };
                let role = self.0.get(&("role", role_space, binding.str_at(&["roleRef", "name"]).to_owned()));
                role.is_some_and(|role| role.list_at(&["rules"]).iter().any(|rule| rule_allows(rule, asked)))
            },
        )
    }
}

fn applies(binding: &Value, caller: &Caller, space: &str) -> bool {
    binding.list_at(&["subjects"]).iter().any(|subject| {
        let name = subject.str_at(&["name"]);
        match subject.str_at(&["kind"]) {
            "User" => caller.name() == name,
            "Group" => caller.in_group(name),
            _ => {
                let own = subject.str_at(&["namespace"]);
                let space = if own.is_empty() { space } else { own };
                !space.is_empty() && caller.name() == format!("system:serviceaccount:{space}:{name}")
            }
        }
    })
}

fn rule_allows(rule: &Value, asked: &Attributes) -> bool {
    let has = |field: &str, test: &dyn Fn(&str) -> bool| {
        rule.list_at(&[field]).iter().filter_map(Value::as_str).any(test)
    };
    let verb = has("verbs", &|verb| verb == "*" || verb == &*asked.verb);
    if !asked.is_resource {
        let path = |rule: &str| {
            rule == &*asked.path
                || (rule.ends_with('*') && asked.path.starts_with(rule.trim_end_matches('*')))
        };
        return verb && has("nonResourceURLs", &path);
    }
    let combined = match &*asked.subresource {
        "" => asked.resource.to_string(),
        sub => format!("{}/{sub}", asked.resource),
    };
    let any = format!("*/{}", asked.subresource);
    let resource =
        |rule: &str| rule == "*" || rule == combined || (!asked.subresource.is_empty() && rule == any);
    let named = rule.list_at(&["resourceNames"]).is_empty();
    verb && has("apiGroups", &|group| group == "*" || group == &*asked.group)
        && has("resources", &resource)
        && (named || has("resourceNames", &|name| name == &*asked.name))
}

fn apply(policy: &mut Policy, change: &Change) {
    match change {
        Change::Set("role", role) => policy.set_role(Role::from_value(role)),
        Change::Set(_, binding) => policy.set_binding(Bound::from_value(binding)),
        Change::Gone("role", space, name) => policy.remove_role(space, name),
        Change::Gone(_, space, name) => policy.remove_binding(space, name),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn decisions_are_those_of_a_naive_reading(
        changes in prop::collection::vec(change(), 1..30),
        questions in prop::collection::vec(question(), 1..20),
    ) {
        let (mut policy, mut naive) = (Policy::default(), Naive::default());
        for change in &changes {
            apply(&mut policy, change);
            naive.apply(change);
        }
        for (caller, asked) in &questions {
            let allowed = matches!(decide(&policy, caller, asked), Decision::Allow(_));
            prop_assert_eq!(allowed, naive.allows(caller, asked), "{:?} asks {:?}", caller, asked);
            // The list of rules and the explanation tell the same story.
            let listed = rules(&policy, caller, &asked.namespace).rules;
            prop_assert_eq!(allowed, listed.iter().any(|rule| rule.allows(asked)));
            let told = explain::explain(&policy, caller, asked);
            prop_assert_eq!(allowed, told.tried.iter().any(|trial| trial.granted.is_some()));
            prop_assert!(!allowed || told.near.is_empty());
        }
    }

    #[test]
    fn what_is_covered_allows_nothing_new(
        held in prop::collection::vec(rule(), 0..4),
        wanted in prop::collection::vec(rule(), 0..3),
        questions in prop::collection::vec(question(), 1..40),
    ) {
        let read = |rules: &[Value]| rules.iter().map(PolicyRule::from_value).collect::<Vec<_>>();
        let (held, wanted) = (read(&held), read(&wanted));
        let missing = uncovered(&held, &wanted);
        for (_, asked) in &questions {
            let gained = |rules: &[PolicyRule]| rules.iter().any(|rule| rule.allows(asked));
            // What is granted is held, or told to be missing.
            prop_assert!(!gained(&wanted) || gained(&held) || gained(&missing), "{:?}", asked);
        }
    }

    #[test]
    fn a_policy_that_loses_everything_keeps_nothing(changes in prop::collection::vec(change(), 1..30)) {
        let mut policy = Policy::default();
        changes.iter().for_each(|change| apply(&mut policy, change));
        for (space, name) in NAMESPACES.iter().flat_map(|space| NAMES.iter().map(move |name| (*space, *name))) {
            policy.remove_role(space, name);
            policy.remove_binding(space, name);
        }
        prop_assert!(policy.is_empty());
    }
}

/// A cluster whose changes the test makes.
#[derive(Default)]
struct Cluster(Mutex<Vec<(&'static str, Follow)>>);

impl Cluster {
    fn tell(&self, resource: &str, step: Followed) {
        for (_, follow) in self.0.lock().iter_mut().filter(|(followed, _)| *followed == resource) {
            follow(step.clone());
        }
    }
}

impl Reader for Cluster {
    fn get<'a>(&'a self, _: &'a str, _: &'a str, _: &'a str, _: &'a str) -> Later<'a, Option<Value>> {
        Box::pin(std::future::ready(None))
    }

    fn get_latest<'a>(&'a self, _: &'a str, _: &'a str, _: &'a str, _: &'a str) -> Later<'a, Option<Value>> {
        Box::pin(std::future::ready(None))
    }

    fn list<'a>(&'a self, _: &'a str, _: &'a str, _: &'a str) -> Later<'a, Vec<Value>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn follow<'a>(&'a self, _: &'static str, resource: &'static str, follow: Follow) -> Later<'a, ()> {
        self.0.lock().push((resource, follow));
        Box::pin(std::future::ready(()))
    }
}

fn reason(authority: &dyn Authority, caller: &Caller, asked: &Attributes) -> String {
    match authority.decide(caller, asked) {
        Ruling::Now(Decision::Allow(reason) | Decision::NoOpinion(reason)) => reason.to_string(),
        _ => String::new(),
    }
}

fn view_for(name: &str) -> Value {
    tree!({"metadata": {"name": name, "namespace": "a"}, "roleRef": {"kind": "ClusterRole", "name": "view"},
           "subjects": [{"kind": "Group", "name": "dev"}]})
}

#[tokio::test]
async fn a_change_of_the_cluster_counts_for_the_next_decision() {
    let cluster = Arc::new(Cluster::default());
    let settings = Settings { reader: cluster.clone(), ..Settings::new(stdx::Clock::system()) };
    let rbac = make(&settings).unwrap();
    rbac.begin().await;
    let jane = authn::hypothetical("jane", "", vec!["dev".to_owned()], Vec::new());
    let asked = Attributes { namespace: Str::from("a"), ..Attributes::resource("get", "", "v1", "pods") };
    assert_eq!(reason(&*rbac, &jane, &asked), "");

    cluster.tell("rolebindings", Followed::All(vec![view_for("b")]));
    let lacks = r#"RBAC: clusterrole.rbac.authorization.k8s.io "view" not found"#;
    assert_eq!(reason(&*rbac, &jane, &asked), lacks);

    let rule = tree!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
    let view = tree!({"metadata": {"name": "view"}, "rules": [rule]});
    cluster.tell("clusterroles", Followed::Set(view));
    let allowed = r#"RBAC: allowed by RoleBinding "b/a" of ClusterRole "view" to Group "dev""#;
    assert_eq!(reason(&*rbac, &jane, &asked), allowed);

    cluster.tell("rolebindings", Followed::All(vec![view_for("c")]));
    assert_eq!(reason(&*rbac, &jane, &asked), allowed.replace("b/a", "c/a"), "what a list lacks is gone");
    // The cluster's lists say nothing of the namespaces.
    cluster.tell("clusterrolebindings", Followed::All(Vec::new()));
    cluster.tell("roles", Followed::All(Vec::new()));
    assert_eq!(reason(&*rbac, &jane, &asked), allowed.replace("b/a", "c/a"));

    let (namespace, name) = ("a".to_owned(), "c".to_owned());
    cluster.tell("rolebindings", Followed::Gone { namespace, name });
    assert_eq!(reason(&*rbac, &jane, &asked), "");
}

#[test]
fn an_explanation_names_what_was_tried_and_what_was_nearly_enough() {
    let mut policy = Policy::default();
    let rule = tree!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["web"]});
    policy.set_role(Role::from_value(&tree!({"metadata": {"name": "view"}, "rules": [rule]})));
    policy.set_binding(Bound::from_value(&view_for("b")));
    let jane = authn::hypothetical("jane", "", vec!["dev".to_owned()], Vec::new());
    let lack = |verb: &str, resource: &str, name: &str, space: &str| {
        let mut asked = Attributes::resource(verb, "", "v1", resource);
        (asked.name, asked.namespace) = (name.into(), space.into());
        explain::explain(&policy, &jane, &asked).near.into_iter().map(|near| near.lack).collect::<Vec<_>>()
    };
    assert_eq!(lack("get", "pods", "web", "a"), [""; 0]);
    assert_eq!(lack("delete", "pods", "web", "a"), [r#"has not the verb "delete""#]);
    assert_eq!(lack("get", "pods", "db", "a"), [r#"has not the name "db""#]);
    assert_eq!(lack("get", "pods", "", "a"), ["is limited to names"]);
    assert_eq!(lack("get", "pods", "web", "b"), [r#"holds in namespace "a" only"#]);
    assert_eq!(lack("get", "secrets", "web", "a"), [""; 0]);
}

#[test]
fn an_explanation_of_very_many_bindings_tells_some_and_counts_the_rest() {
    let mut policy = Policy::default();
    let names: Vec<Value> = (0..1000).map(|i| Value::from(format!("pod-number-{i}"))).collect();
    let rule = tree!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": names});
    policy.set_role(Role::from_value(&tree!({"metadata": {"name": "view"}, "rules": [rule]})));
    for i in 0..500 {
        policy.set_binding(Bound::from_value(&view_for(&format!("b{i}"))));
    }
    let jane = authn::hypothetical("jane", "", vec!["dev".to_owned()], Vec::new());
    let mut asked = Attributes { namespace: Str::from("a"), ..Attributes::resource("get", "", "v1", "pods") };
    let refused = explain::explain(&policy, &jane, &asked);
    assert_eq!((refused.tried.len() + refused.omitted, refused.near.len()), (500, 16));
    assert!(refused.near.iter().all(|near| near.rule.len() < 600), "{:?}", refused.near);
    asked.name = "pod-number-7".into();
    let allowed = explain::explain(&policy, &jane, &asked);
    assert_eq!((allowed.tried.len(), allowed.omitted, allowed.near.len()), (4, 496, 0));
    assert!(allowed.tried.iter().all(|trial| trial.granted.as_ref().is_some_and(|rule| rule.len() < 600)));
}

#[test]
fn nobody_in_particular_is_not_told_where_else_something_holds() {
    let mut policy = Policy::default();
    let rule = tree!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
    policy.set_role(Role::from_value(&tree!({"metadata": {"name": "view"}, "rules": [rule]})));
    policy.set_binding(Bound::from_value(&view_for("b")));
    let asked = Attributes { namespace: Str::from("b"), ..Attributes::resource("get", "", "v1", "pods") };
    for (user, told) in [("jane", 1), (authn::ANONYMOUS, 0)] {
        let caller = authn::hypothetical(user, "", vec!["dev".to_owned()], Vec::new());
        assert_eq!(explain::explain(&policy, &caller, &asked).near.len(), told, "{user}");
    }
}
