//! The checks by level and version: which of them apply, and how what they find is told.
//!
//! A pod with `hostNetwork: true` violates `baseline` with `host namespaces (hostNetwork=true)`. Pure. Source:
//! pod-security-admission's `policy/registry.go`.

use super::policy::{Level, LevelVersion, Version};
use super::{baseline, restricted};
use api::Value;
use kinds::core::pod_spec::CONTAINER_LISTS;
use std::collections::BTreeSet;

/// What one check finds.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    pub reason: &'static str,
    /// Which parts of the pod, and what they should say.
    pub detail: String,
}

impl Violation {
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Option<Self> {
        Some(Violation { reason, detail: detail.into() })
    }
}

/// What is judged: a pod or the template of pods.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub metadata: &'a Value,
    pub spec: &'a Value,
}

impl<'a> Subject<'a> {
    /// Containers of all sorts, those that start first before the others.
    pub fn containers(&self) -> impl Iterator<Item = &'a Value> {
        let spec = self.spec;
        CONTAINER_LISTS.into_iter().flat_map(move |list| spec.list_at(&[list]))
    }

    /// The names of the containers that are bad.
    pub fn bad_containers(&self, mut is_bad: impl FnMut(&'a Value) -> bool) -> Vec<&'a str> {
        self.containers().filter(|c| is_bad(c)).map(|c| c.str_at(&["name"])).collect()
    }

    /// A field of the pod's own security context.
    pub fn setting(&self, path: &[&str]) -> Option<&'a Value> {
        setting(self.spec, path)
    }

    pub fn annotations(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let map = self.metadata.map_at(&["annotations"]);
        map.into_iter().flat_map(api::Map::iter).map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default()))
    }

    /// Pods with user namespaces of their own may do more.
    pub fn is_relaxed(&self) -> bool {
        self.spec.get("hostUsers") == Some(&Value::Bool(false))
    }

    /// Pods of Windows cannot say what other systems are asked for.
    pub fn is_windows(&self) -> bool {
        self.spec.str_at(&["os", "name"]) == "windows"
    }
}

/// A field of the security context of a container or a pod, unless it is null.
pub fn setting<'a>(of: &'a Value, path: &[&str]) -> Option<&'a Value> {
    of.get("securityContext")?.at(path).filter(|value| !value.is_null())
}

pub type Judge = fn(Subject<'_>) -> Option<Violation>;

/// One check through its versions.
pub struct Check {
    /// From which minor version on which rule holds, oldest first.
    pub versions: &'static [(u64, Judge)],
    /// From which minor version on `restricted` has a stricter one instead.
    pub replaced: u64,
}

impl Check {
    pub const fn new(versions: &'static [(u64, Judge)]) -> Self {
        Check { versions, replaced: u64::MAX }
    }

    fn at(&self, minor: u64) -> Option<Judge> {
        self.versions.iter().rev().find(|(since, _)| *since <= minor).map(|(_, judge)| *judge)
    }
}

/// All that a pod does which the level does not let it, in upstream's order.
pub fn violations(policy: LevelVersion, subject: Subject<'_>) -> Vec<Violation> {
    if policy.is_privileged() {
        return Vec::new();
    }
    let minor = match policy.version {
        Version::Minor(minor) => minor,
        Version::Latest => u64::MAX - 1,
    };
    let is_restricted = policy.level == Level::Restricted;
    let base = baseline::CHECKS.iter().filter(|check| !is_restricted || minor < check.replaced);
    let more = restricted::CHECKS.iter().filter(|_| is_restricted);
    base.chain(more).filter_map(|check| check.at(minor)).filter_map(|judge| judge(subject)).collect()
}

/// `host namespaces, privileged`: without saying where.
pub fn reasons(violations: &[Violation]) -> String {
    violations.iter().map(|v| v.reason).collect::<Vec<_>>().join(", ")
}

/// `host namespaces (hostNetwork=true), privileged (container "c" must not …)`.
pub fn details(violations: &[Violation]) -> String {
    let text = |v: &Violation| match v.detail.as_str() {
        "" => v.reason.to_owned(),
        detail => format!("{} ({detail})", v.reason),
    };
    violations.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// `"a", "b"`.
pub fn quoted<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    items.into_iter().map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", ")
}

/// One word for one, another for none or more.
pub fn plural(count: usize, one: &'static str, more: &'static str) -> &'static str {
    if count == 1 { one } else { more }
}

/// `container "a"`, `containers "a", "b"`.
pub fn containers(names: &[&str]) -> String {
    format!("{} {}", plural(names.len(), "container", "containers"), quoted(names.iter().copied()))
}

/// Who sets something bad: `pod and container "a"`; nothing when nobody does.
pub fn setters(pod: bool, names: &[&str]) -> Option<String> {
    let containers = (!names.is_empty()).then(|| containers(names));
    let parts: Vec<String> = pod.then(|| "pod".to_owned()).into_iter().chain(containers).collect();
    (!parts.is_empty()).then(|| parts.join(" and "))
}

/// Who sets a profile (`seccompProfile`, `appArmorProfile`) of a bad type: the pod, which containers, which types.
pub fn bad_profiles<'a>(
    subject: Subject<'a>,
    field: &str,
    is_bad: impl Fn(&str) -> bool,
) -> (bool, Vec<&'a str>, BTreeSet<&'a str>) {
    let mut types = BTreeSet::new();
    let mut check = |profile: Option<&'a Value>| match profile.map(|profile| profile.str_at(&["type"])) {
        Some(ty) if is_bad(ty) => {
            types.insert(ty);
            true
        }
        _ => false,
    };
    let pod = check(subject.setting(&[field]));
    let names = subject.bad_containers(|container| check(setting(container, &[field])));
    (pod, names, types)
}
