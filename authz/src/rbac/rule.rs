//! Rules of roles: what they allow, and how they are written.

use crate::Attributes;
use api::{Str, Value, quote};
use std::fmt::{self, Write};

/// `rbac.authorization.k8s.io/v1 PolicyRule`: verbs on resources, or on paths that are no resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyRule {
    pub verbs: Vec<Str>,
    pub api_groups: Vec<Str>,
    /// `pods`, `pods/log`, `*/scale`, `*`.
    pub resources: Vec<Str>,
    /// None means every name.
    pub resource_names: Vec<Str>,
    /// A trailing `*` stands for anything.
    pub non_resource_urls: Vec<Str>,
}

/// How the fields are called in objects.
const FIELDS: [&str; 5] = ["verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs"];

impl PolicyRule {
    /// A rule as a role holds it.
    pub fn from_value(rule: &Value) -> Self {
        let texts = |field: &str| {
            rule.list_at(&[field]).iter().filter_map(Value::as_str).map(Str::from).collect::<Vec<_>>()
        };
        let [verbs, api_groups, resources, resource_names, non_resource_urls] = FIELDS.map(texts);
        PolicyRule { verbs, api_groups, resources, resource_names, non_resource_urls }
    }

    /// The rules of a role.
    pub fn all_of(role: &Value) -> Vec<Self> {
        role.list_at(&["rules"]).iter().map(Self::from_value).collect()
    }

    /// Everything on every resource, and on every path.
    pub fn everything() -> [Self; 2] {
        let star = || vec![Str::from("*")];
        let resources =
            PolicyRule { verbs: star(), api_groups: star(), resources: star(), ..Self::default() };
        [resources, PolicyRule { verbs: star(), non_resource_urls: star(), ..Self::default() }]
    }

    /// Whether the rule alone allows what is asked.
    pub fn allows(&self, asked: &Attributes) -> bool {
        self.has_verb(asked)
            && if asked.is_resource {
                self.has_group(asked) && self.has_resource(asked) && self.has_name(asked)
            } else {
                self.has_path(asked)
            }
    }

    pub(super) fn has_verb(&self, asked: &Attributes) -> bool {
        self.verbs.iter().any(|verb| *verb == asked.verb || *verb == "*")
    }

    pub(super) fn has_group(&self, asked: &Attributes) -> bool {
        self.api_groups.iter().any(|group| *group == asked.group || *group == "*")
    }

    pub(super) fn has_resource(&self, asked: &Attributes) -> bool {
        self.resources.iter().any(|rule| resource_matches(rule, &asked.resource, &asked.subresource))
    }

    pub(super) fn has_name(&self, asked: &Attributes) -> bool {
        self.resource_names.is_empty() || self.resource_names.contains(&asked.name)
    }

    pub(super) fn has_path(&self, asked: &Attributes) -> bool {
        self.non_resource_urls.iter().any(|rule| path_covers(rule, &asked.path))
    }

    fn fields(&self) -> [&[Str]; 5] {
        [&self.verbs, &self.api_groups, &self.resources, &self.resource_names, &self.non_resource_urls]
    }

    /// As an object holds it, without what is empty.
    pub fn to_value(&self) -> Value {
        let mut value = Value::map();
        for (field, texts) in FIELDS.iter().zip(self.fields()).filter(|(_, texts)| !texts.is_empty()) {
            value.set(&[field], Value::List(texts.iter().map(Value::from).collect()));
        }
        value
    }

    /// Upstream's short form: `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`.
    pub fn compact(&self) -> String {
        Compact(self).to_string()
    }

    /// The same, of about `limit` bytes at most; the rest of a longer one is not even made.
    pub(super) fn brief(&self, limit: usize) -> String {
        let mut brief = Brief { text: String::new(), limit };
        if write!(brief, "{}", Compact(self)).is_err() {
            brief.text.push_str("...");
        }
        brief.text
    }
}

/// A rule in upstream's short form.
struct Compact<'a>(&'a PolicyRule);

impl fmt::Display for Compact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("APIGroups", &self.0.api_groups),
            ("Resources", &self.0.resources),
            ("NonResourceURLs", &self.0.non_resource_urls),
            ("ResourceNames", &self.0.resource_names),
            ("Verbs", &self.0.verbs),
        ];
        let mut before = "{";
        for (name, texts) in parts.iter().filter(|(_, texts)| !texts.is_empty()) {
            write!(f, "{before}{name}:[")?;
            before = "";
            for text in *texts {
                write!(f, "{before}{}", quote(text))?;
                before = " ";
            }
            f.write_char(']')?;
            before = ", ";
        }
        f.write_str(if before == "{" { "{}" } else { "}" })
    }
}

/// A text that takes so many bytes and no more.
struct Brief {
    text: String,
    limit: usize,
}

impl Write for Brief {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.limit.saturating_sub(self.text.len());
        let fits = text.floor_char_boundary(room);
        self.text.push_str(text.get(..fits).unwrap_or_default());
        if fits == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// A list of texts as Go writes it: `["a" "b"]`.
pub(super) fn quoted<T: AsRef<str>>(texts: &[T]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| quote(text.as_ref())).collect();
    format!("[{}]", quoted.join(" "))
}

/// `rule` is `RESOURCE`, `RESOURCE/SUBRESOURCE`, `*/SUBRESOURCE` or `*`.
fn resource_matches(rule: &str, resource: &str, subresource: &str) -> bool {
    if rule == "*" {
        return true;
    }
    if subresource.is_empty() {
        return rule == resource;
    }
    let rest = rule.strip_suffix(subresource).and_then(|rest| rest.strip_suffix('/'));
    rest.is_some_and(|rest| rest == resource || rest == "*")
}

/// Whether a path of a rule, which may end in stars, takes in another path.
pub(super) fn path_covers(rule: &str, path: &str) -> bool {
    rule == path || (rule.ends_with('*') && path.starts_with(rule.trim_end_matches('*')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn rule(value: Value) -> PolicyRule {
        PolicyRule::from_value(&value)
    }

    fn asked(verb: &str, resource: &str, name: &str) -> Attributes {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let mut asked = Attributes::resource(verb, "apps", "v1", resource);
        asked.subresource = subresource.into();
        asked.name = name.into();
        asked
    }

    #[test]
    fn resources_and_subresources_are_told_apart() {
        for (resource, yes, no) in [
            ("deployments", "deployments", "deployments/scale"),
            ("deployments/scale", "deployments/scale", "deployments"),
            ("*/scale", "deployments/scale", "deployments/status"),
            ("*", "deployments/status", ""),
        ] {
            let rule = rule(tree!({"verbs": ["*"], "apiGroups": ["apps"], "resources": [resource]}));
            assert!(rule.allows(&asked("get", yes, "x")), "{resource} {yes}");
            assert!(no.is_empty() || !rule.allows(&asked("get", no, "x")), "{resource} {no}");
            assert!(!rule.allows(&Attributes { group: "".into(), ..asked("get", yes, "x") }));
        }
    }

    #[test]
    fn names_limit_a_rule_and_a_request_without_one_is_not_allowed() {
        let rule = rule(
            tree!({"verbs": ["get"], "apiGroups": ["*"], "resources": ["deployments"], "resourceNames": ["a"]}),
        );
        assert!(rule.allows(&asked("get", "deployments", "a")));
        assert!(!rule.allows(&asked("get", "deployments", "b")));
        assert!(!rule.allows(&asked("get", "deployments", "")));
    }

    #[test]
    fn paths_may_end_in_stars() {
        let rule = rule(tree!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/logs/*"]}));
        for (path, allowed) in [
            ("/healthz", true),
            ("/healthz/a", false),
            ("/logs/", true),
            ("/logs/a/b", true),
            ("/logs", false),
        ] {
            assert_eq!(rule.allows(&Attributes::path("get", path)), allowed, "{path}");
        }
        assert!(!rule.allows(&Attributes { path: "/healthz".into(), ..asked("get", "deployments", "") }));
    }

    #[test]
    fn a_rule_reads_as_upstream_writes_it() {
        let value = tree!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]});
        let rule = rule(value.clone());
        assert_eq!(
            rule.compact(),
            r#"{APIGroups:[""], Resources:["pods"], ResourceNames:["a"], Verbs:["get" "list"]}"#
        );
        assert_eq!(rule.to_value(), value);
        assert_eq!((rule.brief(512), rule.brief(14)), (rule.compact(), "{APIGroups:[\"\"...".to_owned()));
        assert_eq!(PolicyRule::default().compact(), "{}");
    }
}
