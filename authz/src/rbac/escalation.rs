//! Escalation: nobody grants what they do not hold. Which rights do some rules give that others do not?

use super::rule::{PolicyRule, path_covers, quoted};
use api::{Str, quote};
use authn::Caller;
use std::collections::BTreeSet;

/// Rules that apply to somebody, and what kept others from being found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    pub rules: Vec<PolicyRule>,
    /// Upstream's error texts, in the order of their finding.
    pub errors: Vec<String>,
    /// There may be more than can be listed.
    pub incomplete: bool,
}

impl Rules {
    /// The errors as one; empty when there is none.
    pub fn error(&self) -> String {
        if self.errors.is_empty() { String::new() } else { crate::reason::aggregate(self.errors.clone()) }
    }

    /// Refuses, in upstream's words, when `wanted` has rights that these rules of `caller` have not.
    pub fn confirm(&self, caller: &Caller, wanted: &[PolicyRule]) -> Result<(), String> {
        let missing = uncovered(&self.rules, wanted);
        if missing.is_empty() {
            return Ok(());
        }
        let missing: BTreeSet<String> = compacted(missing).iter().map(PolicyRule::compact).collect();
        let missing: Vec<String> = missing.into_iter().collect();
        let mut text = format!(
            "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            quote(caller.name()),
            quoted(caller.groups()),
            missing.join("\n")
        );
        if !self.errors.is_empty() {
            text = format!("{text}; resolution errors: [{}]", self.error());
        }
        Err(text)
    }
}

/// The parts of `wanted`, each of one verb, one group, one resource and one name at most, that no rule of `held` covers.
pub fn uncovered(held: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    let parts = wanted.iter().flat_map(broken_down);
    parts.filter(|part| !held.iter().any(|rule| covers(rule, part))).collect()
}

fn broken_down(rule: &PolicyRule) -> Vec<PolicyRule> {
    let mut parts = Vec::new();
    let names: Vec<Vec<Str>> = match rule.resource_names.as_slice() {
        [] => vec![Vec::new()],
        names => names.iter().map(|name| vec![name.clone()]).collect(),
    };
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                parts.extend(names.iter().map(|names| PolicyRule {
                    verbs: vec![verb.clone()],
                    api_groups: vec![group.clone()],
                    resources: vec![resource.clone()],
                    resource_names: names.clone(),
                    non_resource_urls: Vec::new(),
                }));
            }
        }
    }
    for url in &rule.non_resource_urls {
        parts.extend(rule.verbs.iter().map(|verb| PolicyRule {
            verbs: vec![verb.clone()],
            non_resource_urls: vec![url.clone()],
            ..PolicyRule::default()
        }));
    }
    parts
}

/// Whether `rule` covers a part of a rule.
fn covers(rule: &PolicyRule, part: &PolicyRule) -> bool {
    let all = |held: &[Str], wanted: &[Str]| wanted.iter().all(|text| held.contains(text));
    let star = |held: &[Str]| held.iter().any(|text| *text == "*");
    let url = |url: &Str| rule.non_resource_urls.iter().any(|held| path_covers(held, url));
    let name = if part.resource_names.is_empty() {
        rule.resource_names.is_empty()
    } else {
        rule.resource_names.is_empty() || all(&rule.resource_names, &part.resource_names)
    };
    (star(&rule.verbs) || all(&rule.verbs, &part.verbs))
        && (star(&rule.api_groups) || all(&rule.api_groups, &part.api_groups))
        && (star(&rule.resources) || part.resources.iter().all(|wanted| has_resource(rule, wanted)))
        && name
        && part.non_resource_urls.iter().all(url)
}

fn has_resource(rule: &PolicyRule, wanted: &Str) -> bool {
    let any = wanted.split_once('/').map(|(_, subresource)| format!("*/{subresource}"));
    rule.resources.contains(wanted) || any.is_some_and(|any| rule.resources.iter().any(|held| **held == *any))
}

/// Parts that differ only by their verb, in one.
fn compacted(parts: Vec<PolicyRule>) -> Vec<PolicyRule> {
    let mut compact: Vec<PolicyRule> = Vec::new();
    for part in parts {
        let same = |other: &&mut PolicyRule| {
            part.non_resource_urls.is_empty()
                && (&other.api_groups, &other.resources, &other.resource_names, &other.non_resource_urls)
                    == (&part.api_groups, &part.resources, &part.resource_names, &part.non_resource_urls)
        };
        match compact.iter_mut().find(same) {
            Some(rule) => rule.verbs.extend(part.verbs),
            None => compact.push(part),
        }
    }
    compact
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::{Value, tree};

    fn rules(values: Value) -> Vec<PolicyRule> {
        values.as_list().unwrap().iter().map(PolicyRule::from_value).collect()
    }

    fn told(held: Value, wanted: Value) -> String {
        let caller = authn::hypothetical("jane", "", vec!["dev".to_owned(), "ops".to_owned()], Vec::new());
        let rules_held = Rules { rules: rules(held), ..Rules::default() };
        rules_held.confirm(&caller, &rules(wanted)).err().unwrap_or_default()
    }

    #[test]
    fn what_is_held_may_be_granted() {
        let held = tree!([
            {"verbs": ["*"], "apiGroups": [""], "resources": ["pods", "*/status"]},
            {"verbs": ["get"], "nonResourceURLs": ["/logs/*"]},
        ]);
        let wanted = tree!([
            {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "nodes/status"], "resourceNames": ["a"]},
            {"verbs": ["get"], "nonResourceURLs": ["/logs/x", "/logs/y/*"]},
        ]);
        assert_eq!(told(held, wanted), "");
    }

    #[test]
    fn what_is_missing_is_told_in_upstreams_short_form() {
        let held =
            tree!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}]);
        let wanted = tree!([
            {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]},
            {"verbs": ["get"], "nonResourceURLs": ["/x"]},
        ]);
        assert_eq!(
            told(held, wanted),
            "user \"jane\" (groups=[\"dev\" \"ops\"]) is attempting to grant RBAC permissions not currently held:\n\
             {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\" \"list\"]}\n\
             {APIGroups:[\"\"], Resources:[\"pods/log\"], Verbs:[\"get\" \"list\"]}\n\
             {NonResourceURLs:[\"/x\"], Verbs:[\"get\"]}"
        );
    }

    #[test]
    fn only_everything_covers_everything() {
        let all = PolicyRule::everything();
        assert!(uncovered(&all, &all).is_empty());
        let most = rules(tree!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]));
        assert_eq!(uncovered(&most, &all).len(), 1);
    }
}
