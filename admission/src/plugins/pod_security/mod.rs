//! PodSecurity: pods keep to the level that the labels of their namespace set.
//!
//! In a namespace labelled `pod-security.kubernetes.io/enforce: baseline` a pod with `hostNetwork: true` is refused:
//! `pods "a" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)`. `warn` warns
//! instead, `audit` tells the audit log; what makes pods (Deployments …) is only warned about. The labels themselves
//! are checked, and who makes them stricter is told which pods there would not fit. Source: pod-security-admission's
//! `admission/admission.go`.

mod baseline;
mod checks;
mod configuration;
mod existing_pods;
mod policy;
mod restricted;

use super::{Plugin, Settings, find};
use crate::configuration::join;
use crate::review::{Cluster, Operation, Review};
use api::{Fault, Status, Value};
use checks::{Subject, details, violations};
use configuration::Configuration;
use futures::future::BoxFuture;
use policy::{LevelVersion, PREFIX, Policy, label};
use std::time::Duration;
use stdx::Clock;

/// Subresources of pods that change nothing of their spec.
const IGNORED: [&str; 8] = ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];
/// How long existing pods are looked at.
const MAX_CHECK: Duration = Duration::from_secs(1);

pub struct PodSecurity {
    configuration: Configuration,
    clock: Clock,
}

impl Plugin for PodSecurity {
    fn handles(&self, review: &Review<'_>) -> bool {
        let is_change = matches!(review.operation, Operation::Create | Operation::Update);
        is_change
            && match (review.group(), review.resource()) {
                ("", "pods") => !IGNORED.contains(&review.subresource),
                ("", "namespaces") => review.subresource.is_empty(),
                (group, resource) => {
                    review.subresource.is_empty() && template_path(group, resource).is_some()
                }
            }
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            if review.resource() == "namespaces" {
                self.namespace(review, reader).await
            } else {
                self.pods(review, reader).await
            }
        })
    }
}

/// Where a kind that makes pods holds their template.
fn template_path(group: &str, resource: &str) -> Option<&'static [&'static str]> {
    match (group, resource) {
        ("", "podtemplates") => Some(&["template"]),
        ("", "replicationcontrollers")
        | ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => Some(&["spec", "template"]),
        ("batch", "cronjobs") => Some(&["spec", "jobTemplate", "spec", "template"]),
        _ => None,
    }
}

fn annotate(review: &mut Review<'_>, key: &str, value: impl Into<String>) {
    review.audit_annotations.push((format!("{PREFIX}{key}"), value.into()));
}

/// Only images make a difference to pods that exist.
fn is_significant(new: &Value, old: &Value) -> bool {
    let list = |pod: &'_ Value, field: &str| pod.list_at(&["spec", field]).len();
    let image = |c: &Value| c.str_at(&["image"]).to_owned();
    let differs = |field: &str| {
        let both = new.list_at(&["spec", field]).iter().zip(old.list_at(&["spec", field]));
        list(new, field) != list(old, field) || both.into_iter().any(|(new, old)| image(new) != image(old))
    };
    let former = old.list_at(&["spec", "ephemeralContainers"]);
    let is_new = |container: &Value| {
        let name = container.str_at(&["name"]);
        former.iter().find(|c| c.str_at(&["name"]) == name).is_none_or(|c| image(c) != image(container))
    };
    differs("containers")
        || differs("initContainers")
        || new.list_at(&["spec", "ephemeralContainers"]).iter().any(is_new)
}

impl PodSecurity {
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let configuration = Configuration::read(settings.configurations.get("PodSecurity"))?;
        Ok(PodSecurity { configuration, clock: settings.clock.clone() })
    }

    fn policy(&self, namespace: &Value) -> (Policy, Vec<Fault>) {
        Policy::of_namespace(namespace, &self.configuration.defaults)
    }

    /// Labels that are new must be right, and existing pods are looked at.
    async fn namespace(&self, review: &mut Review<'_>, reader: &dyn Cluster) -> Result<(), Status> {
        let Some(namespace) = review.object.as_deref() else { return Ok(()) };
        let (policy, faults) = self.policy(namespace);
        let name = namespace.str_at(&["metadata", "name"]).to_owned();
        let (before, old_faults) = match review.old {
            Some(old) => self.policy(old),
            None => (policy.clone(), Vec::new()),
        };
        if !faults.is_empty() && faults != old_faults {
            return Err(Status::invalid("", "Namespace", &name, &faults));
        }
        let (new, old) = (policy.enforce, before.enforce);
        let is_no_stricter = new.version == old.version && new.level <= old.level;
        if review.operation == Operation::Update && (new.is_privileged() || is_no_stricter) {
            return Ok(());
        }
        if self.configuration.namespaces.contains(&name) {
            let warning = self.ignored_labels(&name, &policy, namespace);
            review.warnings.extend(warning);
            return Ok(());
        }
        if review.operation == Operation::Update {
            let start = self.clock.now();
            let pods = reader.list("", "pods", &name).await;
            let exempt = |pod: &&Value| self.is_exempt_class(pod.get("spec"));
            let pods = pods.iter().filter(|pod| !exempt(pod)).collect();
            let in_time = || self.clock.now().since(start) < MAX_CHECK;
            review.warnings.extend(existing_pods::warnings(&name, new, pods, in_time));
        }
        Ok(())
    }

    /// Who labels an exempt namespace is told that it does nothing.
    fn ignored_labels(&self, name: &str, policy: &Policy, namespace: &Value) -> Option<String> {
        if policy.is_fully_privileged() || policy.is_equivalent(&self.configuration.defaults) {
            return None;
        }
        let modes = [("enforce", policy.enforce), ("audit", policy.audit), ("warn", policy.warn)];
        let said = |mode: &str| {
            label(namespace, mode).is_some() || label(namespace, &format!("{mode}-version")).is_some()
        };
        let texts: Vec<String> = modes
            .into_iter()
            .filter(|(mode, level)| !level.is_privileged() && said(mode))
            .map(|(mode, level)| format!("{mode}={level}"))
            .collect();
        let name = api::quote(name);
        let texts = texts.join(", ");
        Some(format!(
            "namespace {name} is exempt from Pod Security, and the policy ({texts}) will be ignored"
        ))
    }

    fn is_exempt_class(&self, spec: Option<&Value>) -> bool {
        let class = spec.map(|spec| spec.str_at(&["runtimeClassName"])).unwrap_or_default();
        self.configuration.runtime_classes.iter().any(|exempt| exempt == class)
    }

    /// Why a pod is not looked at.
    fn exemption(&self, review: &Review<'_>) -> Option<&'static str> {
        let has = |list: &[String], name: &str| list.iter().any(|exempt| exempt == name);
        if has(&self.configuration.namespaces, review.namespace) {
            return Some("namespace");
        }
        has(&self.configuration.usernames, review.user).then_some("user")
    }

    async fn pods(&self, review: &mut Review<'_>, reader: &dyn Cluster) -> Result<(), Status> {
        if let Some(why) = self.exemption(review) {
            annotate(review, "exempt", why);
            return Ok(());
        }
        let is_pod = review.resource() == "pods";
        let Some(namespace) = find(reader, "", "namespaces", "", review.namespace).await else {
            let why = format!("failed to lookup namespace {}", api::quote(review.namespace));
            annotate(review, "error", why.as_str());
            return if is_pod { Err(Status::internal(why)) } else { Ok(()) };
        };
        let (policy, faults) = self.policy(&namespace);
        if faults.is_empty() && is_pod && policy.is_fully_privileged() {
            annotate(review, "enforce-policy", LevelVersion::PRIVILEGED.to_string());
            return Ok(());
        }
        if faults.is_empty() && !is_pod && policy.warn.is_privileged() && policy.audit.is_privileged() {
            return Ok(());
        }
        let Some(object) = review.object.as_deref() else { return Ok(()) };
        if is_pod && review.old.is_some_and(|old| !is_significant(object, old)) {
            return Ok(());
        }
        self.evaluate(review, &policy, &faults)
    }

    /// Judges a pod, or the template of pods, by all three modes.
    fn evaluate(&self, review: &mut Review<'_>, policy: &Policy, faults: &[Fault]) -> Result<(), Status> {
        let path = template_path(review.group(), review.resource());
        let empty = Value::map();
        let Some(holder) = review.object.as_deref().and_then(|object| object.at(path.unwrap_or_default()))
        else {
            return Ok(());
        };
        let part = |field: &str| holder.get(field).unwrap_or(&empty);
        let subject = Subject { metadata: part("metadata"), spec: part("spec") };
        if self.is_exempt_class(Some(subject.spec)) {
            annotate(review, "exempt", "runtimeClass");
            return Ok(());
        }
        let judge = |level: LevelVersion| {
            let found = violations(level, subject);
            let level = api::quote(&level.to_string());
            (!found.is_empty()).then(|| format!("PodSecurity {level}: {}", details(&found)))
        };
        let enforced = path.is_none().then(|| judge(policy.enforce)).flatten();
        let (audited, warned) = (judge(policy.audit), judge(policy.warn));
        if !faults.is_empty() {
            let texts: Vec<String> = faults.iter().map(Fault::to_string).collect();
            annotate(review, "error", format!("Failed to parse policy: {}", join(&texts)));
        }
        if path.is_none() {
            annotate(review, "enforce-policy", policy.enforce.to_string());
        }
        if let Some(text) = audited {
            annotate(review, "audit-violations", format!("would violate {text}"));
        }
        if let Some(text) = enforced {
            return Err(review.forbidden(&format!("violates {text}")));
        }
        review.warnings.extend(warned.map(|text| format!("would violate {text}")));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
