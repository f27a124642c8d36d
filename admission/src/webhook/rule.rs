//! Rules: which operations on which resources a webhook is called for.

use crate::review::Operation;
use api::Value;

/// One rule of a webhook.
#[derive(Debug)]
pub struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    /// `RESOURCE` or `RESOURCE/SUBRESOURCE`, each may be `*`.
    resources: Vec<(String, String)>,
    /// None for both.
    namespaced: Option<bool>,
}

/// What a rule is held against.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub operation: Operation,
    pub group: &'a str,
    pub version: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    /// Of the object; its own name for a Namespace.
    pub namespace: &'a str,
}

impl Asked<'_> {
    fn is_namespace(&self) -> bool {
        (self.group, self.version, self.resource) == ("", "v1", "namespaces")
    }
}

impl Rule {
    pub fn new(rule: &Value) -> Self {
        let strings = |field: &str| -> Vec<String> {
            rule.list_at(&[field]).iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
        };
        let split = |resource: String| match resource.split_once('/') {
            Some((resource, subresource)) => (resource.to_owned(), subresource.to_owned()),
            None => (resource, String::new()),
        };
        Rule {
            operations: strings("operations"),
            groups: strings("apiGroups"),
            versions: strings("apiVersions"),
            resources: strings("resources").into_iter().map(split).collect(),
            namespaced: match rule.str_at(&["scope"]) {
                "Namespaced" => Some(true),
                "Cluster" => Some(false),
                _ => None,
            },
        }
    }

    pub fn matches(&self, asked: &Asked<'_>) -> bool {
        let any = |list: &[String], wanted: &str| list.iter().any(|item| item == "*" || item == wanted);
        let is = |pattern: &str, wanted: &str| pattern == "*" || pattern == wanted;
        let namespaced = !asked.is_namespace() && !asked.namespace.is_empty();
        self.namespaced.is_none_or(|wanted| wanted == namespaced)
            && any(&self.operations, asked.operation.name())
            && any(&self.groups, asked.group)
            && any(&self.versions, asked.version)
            && self.resources.iter().any(|(resource, subresource)| {
                is(resource, asked.resource) && is(subresource, asked.subresource)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn rule(resources: &[&str], scope: &str) -> Rule {
        let resources: Vec<Value> = resources.iter().map(|r| Value::from(*r)).collect();
        Rule::new(&tree!({"operations": ["CREATE"], "apiGroups": ["", "apps"], "apiVersions": ["*"],
                          "resources": (Value::List(resources)), "scope": scope}))
    }

    fn asked<'a>(resource: &'a str, subresource: &'a str, namespace: &'a str) -> Asked<'a> {
        Asked { operation: Operation::Create, group: "", version: "v1", resource, subresource, namespace }
    }

    #[test]
    fn resources_are_matched_with_their_subresources() {
        for (resources, resource, subresource, expected) in [
            (vec!["pods"], "pods", "", true),
            (vec!["pods"], "pods", "status", false),
            (vec!["*"], "pods", "", true),
            (vec!["*"], "pods", "status", false),
            (vec!["*/*"], "pods", "status", true),
            (vec!["*/*"], "pods", "", true),
            (vec!["*/status"], "pods", "status", true),
            (vec!["pods/*"], "pods", "exec", true),
            (vec!["pods/*"], "services", "", false),
        ] {
            assert_eq!(
                rule(&resources, "*").matches(&asked(resource, subresource, "n")),
                expected,
                "{resources:?}"
            );
        }
    }

    #[test]
    fn scope_and_operation_and_group_must_match() {
        assert!(rule(&["*"], "Namespaced").matches(&asked("pods", "", "n")));
        assert!(!rule(&["*"], "Namespaced").matches(&asked("nodes", "", "")));
        assert!(!rule(&["*"], "Namespaced").matches(&asked("namespaces", "", "n")));
        assert!(rule(&["*"], "Cluster").matches(&asked("namespaces", "", "n")));
        assert!(
            !rule(&["*"], "*").matches(&Asked { operation: Operation::Delete, ..asked("pods", "", "n") })
        );
        assert!(!rule(&["*"], "*").matches(&Asked { group: "batch", ..asked("pods", "", "n") }));
    }
}
