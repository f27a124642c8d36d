//! What RBAC looked at for one decision: every binding of the caller, and the rules that nearly allowed it.

use super::binding::{Binding, Grant};
use super::policy::Policy;
use super::rule::PolicyRule;
use crate::Attributes;
use crate::explain::{Explained, NearMiss, Trial};
use authn::Caller;

/// How many bindings that did not grant are told at most.
const MAX_TRIED: usize = 32;
/// How many that did are.
const MAX_GRANTED: usize = 4;
/// In how many other namespaces it is looked for near misses.
const MAX_NAMESPACES: usize = 256;
/// How many bytes of a rule are shown.
const MAX_RULE_BYTES: usize = 512;
/// How many near misses are told at most: the explanation has to stay readable.
const MAX_NEAR: usize = 16;

pub fn explain(policy: &Policy, caller: &Caller, asked: &Attributes) -> Explained {
    let mut explained = Explained { generation: Some(policy.generation), ..Explained::default() };
    let (mut granting, mut others) = (0, 0);
    for grant in policy.grants(caller, &asked.namespace) {
        if granting == MAX_GRANTED && others == MAX_TRIED {
            explained.omitted += 1;
            continue;
        }
        let rules = policy.rules_of(&grant.binding.role, &grant.binding.namespace);
        let granted = rules.and_then(|rules| rules.iter().find(|rule| rule.allows(asked)));
        let (count, most) =
            if granted.is_some() { (&mut granting, MAX_GRANTED) } else { (&mut others, MAX_TRIED) };
        if *count == most {
            explained.omitted += 1;
            continue;
        }
        *count += 1;
        explained.tried.push(Trial {
            binding: grant.binding.described(),
            role: grant.binding.role.to_string(),
            subject: grant.subject().map(ToString::to_string).unwrap_or_default(),
            rules: rules.map_or(0, |rules| rules.len()),
            missing: rules.is_none(),
            granted: granted.map(|rule| rule.brief(MAX_RULE_BYTES)),
        });
    }
    if granting == 0 {
        explained.near = near(policy, caller, asked);
    }
    explained
}

/// Rules of the caller that fail by one point only, then those that would allow the same in another namespace.
fn near(policy: &Policy, caller: &Caller, asked: &Attributes) -> Vec<NearMiss> {
    let here = policy.grants(caller, &asked.namespace).flat_map(|grant| {
        let rules = policy.rules_of(&grant.binding.role, &grant.binding.namespace);
        rules
            .into_iter()
            .flat_map(|rules| rules.iter())
            .filter_map(move |rule| Some(miss(grant, rule, &lack(rule, asked)?)))
    });
    // Whoever is nobody is not told which namespaces there are.
    let most = if caller.is_anonymous() { 0 } else { MAX_NAMESPACES };
    let places = policy.namespaces().filter(|place| *place != &*asked.namespace).take(most);
    let elsewhere = places.flat_map(|place| {
        policy.grants_in(caller, place).filter_map(move |grant| {
            let rules = policy.rules_of(&grant.binding.role, place)?;
            let rule = rules.iter().find(|rule| asked.is_resource && rule.allows(asked))?;
            Some(miss(grant, rule, &format!("holds in namespace {} only", api::quote(place))))
        })
    });
    let mut found: Vec<NearMiss> = Vec::new();
    for miss in here.chain(elsewhere) {
        if found.len() == MAX_NEAR {
            break;
        }
        if !found.contains(&miss) {
            found.push(miss);
        }
    }
    found
}

fn miss(grant: &Grant, rule: &PolicyRule, lack: &str) -> NearMiss {
    let Binding { role, .. } = &*grant.binding;
    NearMiss {
        binding: grant.binding.described(),
        role: role.to_string(),
        rule: rule.brief(MAX_RULE_BYTES),
        lack: lack.to_owned(),
    }
}

/// The one point by which a rule fails; `None` when it fails by more.
fn lack(rule: &PolicyRule, asked: &Attributes) -> Option<String> {
    use api::quote;
    if !asked.is_resource {
        let verb = rule.has_path(asked) && !rule.has_verb(asked);
        return verb.then(|| format!("has not the verb {}", quote(&asked.verb)));
    }
    let resource = if asked.subresource.is_empty() {
        asked.resource.to_string()
    } else {
        format!("{}/{}", asked.resource, asked.subresource)
    };
    match (rule.has_verb(asked), rule.has_group(asked), rule.has_resource(asked), rule.has_name(asked)) {
        (false, true, true, true) => Some(format!("has not the verb {}", quote(&asked.verb))),
        (true, false, true, true) => Some(format!("is not about the API group {}", quote(&asked.group))),
        (true, true, true, false) if asked.name.is_empty() => Some("is limited to names".to_owned()),
        (true, true, true, false) => Some(format!("has not the name {}", quote(&asked.name))),
        // Other resources are no near misses, but the same one with or without a subresource is.
        (true, true, false, true) if rule.resources.iter().any(|r| related(r, &asked.resource)) => {
            Some(format!("has not the resource {}", quote(&resource)))
        }
        _ => None,
    }
}

fn related(rule: &str, resource: &str) -> bool {
    rule.split('/').next().is_some_and(|main| main == resource)
}
