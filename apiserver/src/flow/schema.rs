//! A FlowSchema, read once: which requests are its, and what tells its flows apart.

use super::level::Level;
use super::tally::Tally;
use api::Value;
use authn::Caller;
use authz::Attributes;
use http::HeaderValue;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

const ALL: &str = "*";
const ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// What a schema says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    pub name: String,
    pub uid: String,
    /// The level that its requests go to.
    pub level: String,
    /// Smaller ones are asked first.
    precedence: i64,
    distinguisher: Distinguisher,
    rules: Vec<Rule>,
}

/// What makes two requests of a schema belong to different flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distinguisher {
    Nothing,
    User,
    Namespace,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    subjects: Vec<Subject>,
    resources: Vec<ResourceRule>,
    paths: Vec<PathRule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    User(String),
    Group(String),
    /// Every account of a namespace: its user names begin so.
    Accounts(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ResourceRule {
    verbs: Words,
    groups: Words,
    resources: Words,
    cluster_scope: bool,
    namespaces: Words,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct PathRule {
    verbs: Words,
    urls: Words,
}

/// A list of words; nothing stands for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Words(Option<Vec<String>>);

impl Words {
    fn read(obj: &Value, field: &str) -> Self {
        let list: Vec<&str> = obj.list_at(&[field]).iter().filter_map(Value::as_str).collect();
        match list.as_slice() {
            [ALL] => Words(None),
            words => Words(Some(words.iter().map(ToString::to_string).collect())),
        }
    }

    fn has(&self, word: &str) -> bool {
        self.0.as_ref().is_none_or(|words| words.iter().any(|w| w == word))
    }

    /// The same for a resource and its subresource, without putting them together.
    fn has_resource(&self, resource: &str, subresource: &str) -> bool {
        let same = |word: &String| match subresource {
            "" => word == resource,
            _ => word.strip_prefix(resource).and_then(|w| w.strip_prefix('/')) == Some(subresource),
        };
        self.0.as_ref().is_none_or(|words| words.iter().any(same))
    }

    /// URLs match themselves and everything below them.
    fn has_path(&self, path: &str) -> bool {
        let below = |url: &str| {
            let stem = url.strip_suffix('*').unwrap_or(url);
            let rest = path.strip_prefix(stem.strip_suffix('/').unwrap_or(stem));
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        self.0.as_ref().is_none_or(|urls| urls.iter().any(|url| url == ALL || url == path || below(url)))
    }
}

impl Spec {
    pub fn read(obj: &Value) -> Self {
        let method = obj.str_at(&["spec", "distinguisherMethod", "type"]);
        Spec {
            name: obj.str_at(&["metadata", "name"]).to_owned(),
            uid: obj.str_at(&["metadata", "uid"]).to_owned(),
            level: obj.str_at(&["spec", "priorityLevelConfiguration", "name"]).to_owned(),
            precedence: obj.i64_at(&["spec", "matchingPrecedence"]).unwrap_or_default(),
            distinguisher: match method {
                "ByUser" => Distinguisher::User,
                "ByNamespace" => Distinguisher::Namespace,
                _ => Distinguisher::Nothing,
            },
            rules: obj.list_at(&["spec", "rules"]).iter().map(Rule::read).collect(),
        }
    }

    /// The schema that is there even when its object is not: `exempt` or `catch-all`.
    pub fn mandatory(name: &str) -> Self {
        let (precedence, distinguisher, groups): (_, _, &[&str]) = match name {
            "exempt" => (1, Distinguisher::Nothing, &["system:masters"]),
            _ => (10_000, Distinguisher::User, &["system:unauthenticated", "system:authenticated"]),
        };
        let all = || Words(None);
        let rule = Rule {
            subjects: groups.iter().map(|group| Subject::Group((*group).to_owned())).collect(),
            resources: vec![ResourceRule {
                verbs: all(),
                groups: all(),
                resources: all(),
                cluster_scope: true,
                namespaces: all(),
            }],
            paths: vec![PathRule { verbs: all(), urls: all() }],
        };
        let (name, level) = (name.to_owned(), name.to_owned());
        Spec { name, uid: String::new(), level, precedence, distinguisher, rules: vec![rule] }
    }

    /// The order in which schemas are asked.
    pub fn order(&self) -> (i64, &str) {
        (self.precedence, &self.name)
    }

    pub fn matches(&self, caller: &Caller, asked: &Attributes) -> bool {
        self.rules.iter().any(|rule| rule.matches(caller, asked))
    }

    /// What distinguishes this request from others of the schema.
    pub fn distinguisher<'a>(&self, caller: &'a Caller, asked: &'a Attributes) -> &'a str {
        match self.distinguisher {
            Distinguisher::Nothing => "",
            Distinguisher::User => caller.name(),
            Distinguisher::Namespace => &asked.namespace,
        }
    }
}

impl Rule {
    fn read(obj: &Value) -> Self {
        let resource = |rule: &Value| ResourceRule {
            verbs: Words::read(rule, "verbs"),
            groups: Words::read(rule, "apiGroups"),
            resources: Words::read(rule, "resources"),
            cluster_scope: rule.bool_at(&["clusterScope"]),
            namespaces: Words::read(rule, "namespaces"),
        };
        let path = |rule: &Value| PathRule {
            verbs: Words::read(rule, "verbs"),
            urls: Words::read(rule, "nonResourceURLs"),
        };
        Rule {
            subjects: obj.list_at(&["subjects"]).iter().filter_map(Subject::read).collect(),
            resources: obj.list_at(&["resourceRules"]).iter().map(resource).collect(),
            paths: obj.list_at(&["nonResourceRules"]).iter().map(path).collect(),
        }
    }

    fn matches(&self, caller: &Caller, asked: &Attributes) -> bool {
        if !self.subjects.iter().any(|subject| subject.matches(caller)) {
            return false;
        }
        if asked.is_resource {
            self.resources.iter().any(|rule| rule.matches(asked))
        } else {
            self.paths.iter().any(|rule| rule.verbs.has(&asked.verb) && rule.urls.has_path(&asked.path))
        }
    }
}

impl Subject {
    fn read(obj: &Value) -> Option<Self> {
        let name = |field: &str| obj.str_at(&[field, "name"]).to_owned();
        match obj.str_at(&["kind"]) {
            "User" => Some(Subject::User(name("user"))),
            "Group" => Some(Subject::Group(name("group"))),
            // The only other kind is that of accounts.
            _ if obj.get("serviceAccount").is_some() => {
                let namespace = obj.str_at(&["serviceAccount", "namespace"]);
                let prefix = format!("{ACCOUNT_PREFIX}{namespace}:");
                Some(match name("serviceAccount").as_str() {
                    ALL => Subject::Accounts(prefix),
                    account => Subject::User(prefix + account),
                })
            }
            _ => None,
        }
    }

    fn matches(&self, caller: &Caller) -> bool {
        match self {
            Subject::User(name) => name == ALL || name == caller.name(),
            Subject::Group(name) => name == ALL || caller.in_group(name),
            Subject::Accounts(prefix) => caller.name().starts_with(prefix.as_str()),
        }
    }
}

impl ResourceRule {
    fn matches(&self, asked: &Attributes) -> bool {
        let placed = match asked.namespace.as_str() {
            "" => self.cluster_scope,
            namespace => self.namespaces.has(namespace),
        };
        placed
            && self.verbs.has(&asked.verb)
            && self.resources.has_resource(&asked.resource, &asked.subresource)
            && self.groups.has(&asked.group)
    }
}

/// A schema at work: what it says, its level, and what it has seen.
pub struct Schema {
    pub spec: Spec,
    pub level: Arc<Level>,
    pub tally: Arc<Tally>,
    /// The values of the headers that tell a client what it was classified as.
    pub uid: HeaderValue,
    pub level_uid: HeaderValue,
}

impl Schema {
    /// The same number for all requests of a flow, which picks its queues.
    pub fn hash(&self, distinguisher: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.spec.name.as_str(), distinguisher).hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn asked(verb: &str, group: &str, resource: &str, namespace: &str) -> Attributes {
        let mut asked = Attributes::resource(verb, group, "v1", resource);
        asked.namespace = namespace.into();
        asked
    }

    fn spec(rule: Value) -> Spec {
        Spec::read(&tree!({"metadata": {"name": "a"}, "spec": {"matchingPrecedence": 5,
            "distinguisherMethod": {"type": "ByNamespace"}, "rules": [rule]}}))
    }

    #[test]
    fn subjects_are_users_groups_and_accounts() {
        let of = |subject: Value| {
            let paths = tree!([{"verbs": ["*"], "nonResourceURLs": ["*"]}]);
            spec(tree!({"subjects": [subject], "nonResourceRules": paths}))
        };
        let yes = |subject: Value, name: &str| {
            of(subject).matches(&authn::in_process(name, &["g"]), &Attributes::path("get", "/x"))
        };
        assert!(yes(tree!({"kind": "User", "user": {"name": "jane"}}), "jane"));
        assert!(!yes(tree!({"kind": "User", "user": {"name": "jane"}}), "joe"));
        assert!(yes(tree!({"kind": "User", "user": {"name": "*"}}), "joe"));
        assert!(yes(tree!({"kind": "Group", "group": {"name": "g"}}), "joe"));
        assert!(!yes(tree!({"kind": "Group", "group": {"name": "h"}}), "joe"));
        let account = |name: &str| tree!({"kind": "ServiceAccount", "serviceAccount": {"name": name, "namespace": "n"}});
        assert!(yes(account("a"), "system:serviceaccount:n:a"));
        assert!(yes(account("*"), "system:serviceaccount:n:b"));
        assert!(!yes(account("*"), "system:serviceaccount:nn:b"));
        assert!(!yes(account("a"), "system:serviceaccount:n:ab"));
    }

    #[test]
    fn resources_match_by_verb_group_name_and_place() {
        let rule = tree!({"subjects": [{"kind": "User", "user": {"name": "*"}}], "resourceRules": [{"verbs": ["get"],
            "apiGroups": ["", "apps"], "resources": ["pods", "pods/log"], "namespaces": ["n"]}]});
        let spec = spec(rule);
        let caller = authn::in_process("a", &[]);
        assert!(spec.matches(&caller, &asked("get", "", "pods", "n")));
        let mut log = asked("get", "", "pods", "n");
        log.subresource = "log".into();
        assert!(spec.matches(&caller, &log));
        log.subresource = "exec".into();
        assert!(!spec.matches(&caller, &log));
        for other in [
            asked("list", "", "pods", "n"),
            asked("get", "batch", "pods", "n"),
            asked("get", "", "nodes", "n"),
            asked("get", "", "pods", "m"),
            asked("get", "", "pods", ""),
            Attributes::path("get", "/healthz"),
        ] {
            assert!(!spec.matches(&caller, &other), "{other:?}");
        }
        assert_eq!(spec.distinguisher(&caller, &log), "n");
    }

    #[test]
    fn paths_match_with_all_below_them() {
        let urls = Words(Some(vec!["/healthz".to_owned(), "/apis/*".to_owned()]));
        for path in ["/healthz", "/healthz/etcd", "/apis/apps"] {
            assert!(urls.has_path(path), "{path}");
        }
        for path in ["/", "/healthzz", "/apis", "/api"] {
            assert!(!urls.has_path(path), "{path}");
        }
    }
}
