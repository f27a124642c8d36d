//! Escalation: nobody grants what they do not hold. Which rights do some rules give that others do not?
//!
//! A rule stands for the product of its lists, and a small one for millions of parts. Parts are therefore borrowed
//! and made one by one, what is covered as a whole is never taken apart, and who is refused is not told all of it.

use super::rule::{PolicyRule, path_covers, quoted};
use api::{Str, quote};
use authn::Caller;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::slice::from_ref;
use std::sync::Arc;

/// How many parts of rules are looked at before the whole is refused.
const MAX_PARTS: usize = 100_000;
/// About how many bytes of missing rights a refusal tells.
const MAX_TOLD_BYTES: usize = 256 * 1024;

/// The rules of roles one after another, shared with whoever keeps the roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleList(Vec<Arc<[PolicyRule]>>);

impl RuleList {
    pub fn push(&mut self, rules: Arc<[PolicyRule]>) {
        self.0.push(rules);
    }

    pub fn extend(&mut self, other: RuleList) {
        self.0.extend(other.0);
    }

    pub fn iter(&self) -> impl Iterator<Item = &PolicyRule> {
        self.0.iter().flat_map(|rules| rules.iter())
    }

    /// Those of each role once, however many bindings give it.
    fn distinct(&self) -> impl Iterator<Item = &PolicyRule> {
        let mut seen = HashSet::new();
        self.0.iter().filter(move |rules| seen.insert(Arc::as_ptr(rules))).flat_map(|rules| rules.iter())
    }
}

impl<'a> IntoIterator for &'a RuleList {
    type Item = &'a PolicyRule;
    type IntoIter = Box<dyn Iterator<Item = &'a PolicyRule> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

impl FromIterator<PolicyRule> for RuleList {
    fn from_iter<I: IntoIterator<Item = PolicyRule>>(rules: I) -> Self {
        RuleList(vec![rules.into_iter().collect()])
    }
}

/// Rules that apply to somebody, and what kept others from being found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    pub rules: RuleList,
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

    /// Refuses, in upstream's words, when `wanted` has rights that these rules of `caller` have not. Rules of too
    /// many parts are refused as well, unless they are held as they are.
    pub fn confirm(&self, caller: &Caller, wanted: &[PolicyRule]) -> Result<(), String> {
        let (missing, all) = missing(self.rules.distinct(), wanted, MAX_PARTS);
        if missing.is_empty() && all {
            return Ok(());
        }
        let mut text = format!(
            "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            quote(caller.name()),
            quoted(caller.groups()),
            told(&missing, all)
        );
        if !self.errors.is_empty() {
            text = format!("{text}; resolution errors: [{}]", self.error());
        }
        Err(text)
    }
}

/// The parts of `wanted`, each of one verb, one group, one resource and one name at most, that no rule of `held` covers.
pub fn uncovered(held: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    missing(held.iter(), wanted, usize::MAX).0.into_iter().map(PolicyRule::from).collect()
}

/// Some of the rights that a rule gives: a rule whose lists belong to another.
#[derive(Clone, Copy, Default)]
struct Part<'a> {
    verbs: &'a [Str],
    groups: &'a [Str],
    resources: &'a [Str],
    names: &'a [Str],
    urls: &'a [Str],
}

impl<'a> Part<'a> {
    /// What a rule says of resources, and what of paths.
    fn both(rule: &'a PolicyRule) -> [Part<'a>; 2] {
        let PolicyRule {
            verbs,
            api_groups: groups,
            resources,
            resource_names: names,
            non_resource_urls: urls,
        } = rule;
        [Part { verbs, groups, resources, names, urls: &[] }, Part { verbs, urls, ..Part::default() }]
    }

    /// By group and resource, or by path.
    fn by_subject(self) -> impl Iterator<Item = Part<'a>> {
        let resources = self.groups.iter().flat_map(move |group| {
            let part =
                move |resource| Part { groups: from_ref(group), resources: from_ref(resource), ..self };
            self.resources.iter().map(part)
        });
        resources.chain(self.urls.iter().map(move |url| Part { urls: from_ref(url), ..self }))
    }

    /// By verb and name.
    fn single(self) -> impl Iterator<Item = Part<'a>> {
        self.verbs.iter().flat_map(move |verb| {
            let any = self.names.is_empty().then_some(Part { verbs: from_ref(verb), ..self });
            let name = move |name| Part { verbs: from_ref(verb), names: from_ref(name), ..self };
            any.into_iter().chain(self.names.iter().map(name))
        })
    }
}

impl From<Part<'_>> for PolicyRule {
    fn from(part: Part<'_>) -> Self {
        PolicyRule {
            verbs: part.verbs.to_vec(),
            api_groups: part.groups.to_vec(),
            resources: part.resources.to_vec(),
            resource_names: part.names.to_vec(),
            non_resource_urls: part.urls.to_vec(),
        }
    }
}

/// A rule that is held, for many look-ups.
struct Held<'a> {
    verbs: HashSet<&'a str>,
    groups: HashSet<&'a str>,
    resources: HashSet<&'a str>,
    names: HashSet<&'a str>,
    urls: &'a [Str],
}

impl<'a> Held<'a> {
    fn new(rule: &'a PolicyRule) -> Self {
        let set = |texts: &'a [Str]| texts.iter().map(Str::as_str).collect();
        Held {
            verbs: set(&rule.verbs),
            groups: set(&rule.api_groups),
            resources: set(&rule.resources),
            names: set(&rule.resource_names),
            urls: &rule.non_resource_urls,
        }
    }

    /// Whether it is about the group and resource, or the path, of a part.
    fn is_about(&self, part: &Part) -> bool {
        (self.groups.contains("*") || has_all(&self.groups, part.groups))
            && (self.resources.contains("*") || part.resources.iter().all(|wanted| self.has_resource(wanted)))
            && part.urls.iter().all(|url| self.urls.iter().any(|held| path_covers(held, url)))
    }

    /// Whether it gives all verbs of a part, for all its names.
    fn gives(&self, part: &Part) -> bool {
        (self.verbs.contains("*") || has_all(&self.verbs, part.verbs))
            && (self.names.is_empty() || (!part.names.is_empty() && has_all(&self.names, part.names)))
    }

    fn has_resource(&self, wanted: &str) -> bool {
        let any = || wanted.split_once('/').map(|(_, subresource)| format!("*/{subresource}"));
        self.resources.contains(wanted) || any().is_some_and(|any| self.resources.contains(any.as_str()))
    }
}

fn has_all(held: &HashSet<&str>, wanted: &[Str]) -> bool {
    wanted.iter().all(|text| held.contains(text.as_str()))
}

/// The single parts that are not held, and whether all were looked at: `limit` is how many that may be.
fn missing<'a>(
    held: impl Iterator<Item = &'a PolicyRule>,
    wanted: &'a [PolicyRule],
    limit: usize,
) -> (Vec<Part<'a>>, bool) {
    let held: Vec<Held> = held.map(Held::new).collect();
    let (mut missing, mut looked) = (Vec::new(), 0_usize);
    for whole in wanted.iter().flat_map(Part::both) {
        // Those that give all verbs and names give them for every subject.
        let near: Vec<(&Held, bool)> = held.iter().map(|held| (held, held.gives(&whole))).collect();
        if near.iter().any(|(held, gives)| *gives && held.is_about(&whole)) {
            continue;
        }
        for part in whole.by_subject() {
            let near: Vec<_> = near.iter().filter(|(held, _)| held.is_about(&part)).collect();
            let singles = if near.iter().any(|(_, gives)| *gives) { 0 } else { limit - looked };
            looked += 1;
            for single in part.single().take(singles) {
                looked += 1;
                if !near.iter().any(|(held, _)| held.gives(&single)) {
                    missing.push(single);
                }
            }
            if looked >= limit {
                return (missing, false);
            }
        }
    }
    (missing, true)
}

/// The missing parts in upstream's short form, a line each, in order; those that differ only by their verb in one.
fn told(missing: &[Part], all: bool) -> String {
    let mut by_place: BTreeMap<_, Vec<Str>> = BTreeMap::new();
    let mut lines = BTreeSet::new();
    let (mut bytes, mut cut) = (0, !all);
    let mut tell = |part: PolicyRule| {
        cut |= bytes > MAX_TOLD_BYTES;
        if bytes <= MAX_TOLD_BYTES {
            let line = part.compact();
            bytes += line.len();
            lines.insert(line);
        }
    };
    for part in missing {
        if part.urls.is_empty() {
            let verbs = by_place.entry((part.groups, part.resources, part.names)).or_default();
            verbs.extend_from_slice(part.verbs);
        } else {
            tell(PolicyRule::from(*part));
        }
    }
    for ((groups, resources, names), verbs) in by_place {
        tell(PolicyRule::from(Part { verbs: &verbs, groups, resources, names, urls: &[] }));
    }
    let mut lines: Vec<String> = lines.into_iter().collect();
    lines.extend(cut.then(|| "...".to_owned()));
    lines.join("\n")
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
        let rules_held = Rules { rules: rules(held).into_iter().collect(), ..Rules::default() };
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
    fn a_small_rule_of_millions_of_parts_costs_little() {
        let many = |letter: &str| (0..200).map(|i| Value::from(format!("{letter}{i}"))).collect::<Vec<_>>();
        let rule = tree!({"verbs": many("v"), "apiGroups": many("g"), "resources": many("r")});
        let wanted = Value::List(vec![rule]);
        let read = rules(wanted.clone());
        let (parts, all) = missing([].iter(), &read, 1000);
        assert!(!all && (900..=1000).contains(&parts.len()), "{}", parts.len());
        let refused = told(tree!([]), wanted.clone());
        assert!(refused.lines().count() > 10 && refused.ends_with("\n..."), "{}", refused.len());
        assert!(refused.len() < 2 * MAX_TOLD_BYTES);
        assert_eq!(told(wanted.clone(), wanted), "", "what is held as it is has no limit");
    }

    #[test]
    fn a_role_that_many_bindings_give_is_looked_at_once() {
        let role: Arc<[PolicyRule]> = PolicyRule::everything().into();
        let mut list = RuleList::default();
        (0..3).for_each(|_| list.push(role.clone()));
        assert_eq!((list.iter().count(), list.distinct().count()), (6, 2));
    }

    #[test]
    fn only_everything_covers_everything() {
        let all = PolicyRule::everything();
        assert!(uncovered(&all, &all).is_empty());
        let most = rules(tree!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]));
        assert_eq!(uncovered(&most, &all).len(), 1);
    }
}
