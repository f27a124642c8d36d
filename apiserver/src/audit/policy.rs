//! What is audited, and how much of it: the rules of an `audit.k8s.io/v1 Policy`. The first rule that matches a request
//! decides; a request that none matches is not audited.

use authn::Caller;
use authz::Attributes;

/// How much of a request is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    None,
    /// Who, what, when; no bodies.
    Metadata,
    /// The body of the request as well.
    Request,
    /// And that of the answer.
    RequestResponse,
}

impl Level {
    pub const ALL: [Level; 4] = [Level::None, Level::Metadata, Level::Request, Level::RequestResponse];

    /// As events and policies write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::None => "None",
            Level::Metadata => "Metadata",
            Level::Request => "Request",
            Level::RequestResponse => "RequestResponse",
        }
    }

    pub fn parse(text: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.as_str() == text)
    }
}

/// The moments of a request that have an event of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before anything is decided about it.
    RequestReceived,
    /// The head of an answer that takes long is ready.
    ResponseStarted,
    /// The answer is there, or, where it takes long, over.
    ResponseComplete,
    Panic,
}

impl Stage {
    pub const ALL: [Stage; 4] =
        [Stage::RequestReceived, Stage::ResponseStarted, Stage::ResponseComplete, Stage::Panic];

    pub fn as_str(self) -> &'static str {
        match self {
            Stage::RequestReceived => "RequestReceived",
            Stage::ResponseStarted => "ResponseStarted",
            Stage::ResponseComplete => "ResponseComplete",
            Stage::Panic => "Panic",
        }
    }

    pub fn parse(text: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|stage| stage.as_str() == text)
    }
}

/// A rule; what is empty matches everything.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    pub level: Level,
    pub users: Vec<String>,
    pub user_groups: Vec<String>,
    pub verbs: Vec<String>,
    pub resources: Vec<GroupResources>,
    /// "" is the namespace of what has none.
    pub namespaces: Vec<String>,
    pub non_resource_urls: Vec<String>,
    pub omit_stages: Vec<Stage>,
    pub omit_managed_fields: Option<bool>,
}

/// Resources of a group: `pods`, `pods/log`, `*/scale`, `pods/*`, `*`.
#[derive(Clone, Debug, Default)]
pub struct GroupResources {
    pub group: String,
    pub resources: Vec<String>,
    pub resource_names: Vec<String>,
}

/// The rules, in their order.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    pub rules: Vec<Rule>,
    pub omit_stages: Vec<Stage>,
    pub omit_managed_fields: bool,
}

/// What the policy wants of one request.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub level: Level,
    pub omit_stages: Vec<Stage>,
    pub omit_managed_fields: bool,
}

impl Policy {
    /// What is wanted of a request; `caller` is nobody where nobody was recognized.
    pub fn judge(&self, caller: Option<&Caller>, asked: &Attributes) -> Wanted {
        let rule = self.rules.iter().find(|rule| rule.matches(caller, asked));
        let mut omit_stages = self.omit_stages.clone();
        omit_stages.extend(rule.into_iter().flat_map(|rule| &rule.omit_stages));
        Wanted {
            level: rule.map_or(Level::None, |rule| rule.level),
            omit_stages,
            omit_managed_fields: rule
                .and_then(|rule| rule.omit_managed_fields)
                .unwrap_or(self.omit_managed_fields),
        }
    }
}

impl Rule {
    fn matches(&self, caller: Option<&Caller>, asked: &Attributes) -> bool {
        let is_user = self.users.is_empty() || caller.is_some_and(|c| has(&self.users, c.name()));
        let is_in_group = self.user_groups.is_empty()
            || caller.is_some_and(|c| c.groups().iter().any(|group| has(&self.user_groups, group)));
        if !is_user || !is_in_group || !(self.verbs.is_empty() || has(&self.verbs, &asked.verb)) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return self.matches_resource(asked);
        }
        let urls = &self.non_resource_urls;
        urls.is_empty() || !asked.is_resource && urls.iter().any(|url| is_path(url, &asked.path))
    }

    fn matches_resource(&self, asked: &Attributes) -> bool {
        let in_namespace = self.namespaces.is_empty() || has(&self.namespaces, &asked.namespace);
        asked.is_resource
            && in_namespace
            && (self.resources.is_empty() || self.resources.iter().any(|group| group.matches(asked)))
    }
}

impl GroupResources {
    fn matches(&self, asked: &Attributes) -> bool {
        if self.group != "*" && self.group != *asked.group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        let named = self.resource_names.is_empty() || has(&self.resource_names, &asked.name);
        named && self.resources.iter().any(|resource| is_resource(resource, asked))
    }
}

fn is_resource(wanted: &str, asked: &Attributes) -> bool {
    if wanted == "*"
        || !asked.subresource.is_empty() && wanted.strip_prefix("*/") == Some(&*asked.subresource)
    {
        return true;
    }
    if wanted.strip_suffix("/*") == Some(&*asked.resource) {
        return true;
    }
    match wanted.split_once('/') {
        Some((resource, subresource)) => *resource == *asked.resource && *subresource == *asked.subresource,
        None => *wanted == *asked.resource && asked.subresource.is_empty(),
    }
}

fn is_path(wanted: &str, path: &str) -> bool {
    let below = |wanted: &str| path.starts_with(wanted.trim_end_matches('*'));
    wanted == "*" || wanted == path || wanted.ends_with('*') && below(wanted)
}

fn has(list: &[String], text: &str) -> bool {
    list.iter().any(|item| item == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    fn asked(resource: &str, subresource: &str) -> Attributes {
        let mut asked = Attributes::resource("get", "apps", "v1", resource);
        asked.subresource = subresource.into();
        asked.namespace = "a".into();
        asked.name = "web".into();
        asked
    }

    fn level(rules: Vec<Rule>, asked: &Attributes) -> Level {
        let caller = authn::in_process("jane", &["dev"]);
        Policy { rules, ..Policy::default() }.judge(Some(&caller), asked).level
    }

    fn of(resources: &[&str]) -> Rule {
        let resources =
            GroupResources { group: "apps".into(), resources: texts(resources), ..Default::default() };
        Rule { level: Level::Request, resources: vec![resources], ..Rule::default() }
    }

    #[test]
    fn resources_match_by_their_subresources() {
        for (wanted, resource, subresource, matches) in [
            ("deployments", "deployments", "", true),
            ("deployments", "deployments", "scale", false),
            ("deployments/scale", "deployments", "scale", true),
            ("*/scale", "deployments", "scale", true),
            ("*/scale", "deployments", "", false),
            ("deployments/*", "deployments", "scale", true),
            ("deployments/*", "deployments", "", true),
            ("*", "deployments", "scale", true),
            ("pods", "deployments", "", false),
        ] {
            let found = level(vec![of(&[wanted])], &asked(resource, subresource)) == Level::Request;
            assert_eq!(found, matches, "{wanted} {resource}/{subresource}");
        }
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let none = Rule { users: texts(&["system:kube-proxy"]), ..Rule::default() };
        let groups = Rule { level: Level::Metadata, user_groups: texts(&["dev"]), ..Rule::default() };
        assert_eq!(level(vec![none.clone(), groups, of(&["*"])], &asked("x", "")), Level::Metadata);
        assert_eq!(level(vec![none], &asked("x", "")), Level::None);
        let other = Rule { namespaces: texts(&["b"]), ..of(&[]) };
        assert_eq!(level(vec![other, of(&[])], &asked("x", "")), Level::Request);
    }

    #[test]
    fn rules_of_paths_and_of_resources_leave_each_other_alone() {
        let paths = |urls: &[&str]| Rule {
            level: Level::Metadata,
            non_resource_urls: texts(urls),
            ..Rule::default()
        };
        assert_eq!(level(vec![paths(&["*"])], &asked("x", "")), Level::None);
        let path = Attributes::path("get", "/healthz/etcd");
        for (urls, matches) in
            [(["/healthz*"], true), (["/healthz"], false), (["/healthz/etcd"], true), (["*"], true)]
        {
            assert_eq!(level(vec![paths(&urls)], &path) == Level::Metadata, matches, "{urls:?}");
        }
        assert_eq!(level(vec![of(&["*"])], &path), Level::None);
    }

    #[test]
    fn a_stranger_matches_no_rule_about_users() {
        let policy = |rule| Policy { rules: vec![rule], ..Policy::default() };
        let users = Rule { level: Level::Metadata, users: texts(&[""]), ..Rule::default() };
        assert_eq!(policy(users).judge(None, &asked("x", "")).level, Level::None);
        let all = Rule { level: Level::Metadata, ..Rule::default() };
        assert_eq!(policy(all).judge(None, &asked("x", "")).level, Level::Metadata);
    }

    #[test]
    fn what_is_left_out_adds_up_and_a_rule_may_keep_managed_fields() {
        let rule = Rule {
            level: Level::Request,
            omit_stages: vec![Stage::Panic],
            omit_managed_fields: Some(false),
            ..Rule::default()
        };
        let policy = Policy {
            rules: vec![rule],
            omit_stages: vec![Stage::RequestReceived],
            omit_managed_fields: true,
        };
        let wanted = policy.judge(None, &asked("x", ""));
        assert_eq!(wanted.omit_stages, [Stage::RequestReceived, Stage::Panic]);
        assert!(!wanted.omit_managed_fields);
    }
}
