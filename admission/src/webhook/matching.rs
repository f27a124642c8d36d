//! Which webhooks a change concerns, and in which version they see it.

use super::configuration::Hook;
use super::review;
use super::rule::Asked;
use crate::review::{Cluster, Operation, Review};
use api::cel::{self, Authorizer, CelError, Check, Decision, Env};
use api::selector::LabelSelector;
use api::{Later, Map, Status, Value};
use authz::Attributes;
use std::sync::Arc;

/// What all match conditions of a webhook may cost together.
const CONDITIONS_COST: u64 = 2_500_000;
const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// A webhook that is to be called, and the version of the resource that its rules name.
pub struct Invocation {
    pub hook: Arc<Hook>,
    pub version: String,
}

/// The namespace that a change is in; the object itself for a Namespace.
pub fn namespace<'r>(review: &'r Review<'_>) -> &'r str {
    match (review.group(), review.resource()) {
        ("", "namespaces") => name(review),
        _ => review.namespace,
    }
}

/// The object's name; that of a new object when the request has none.
pub fn name<'r>(review: &'r Review<'_>) -> &'r str {
    match review.name {
        "" => review.object.as_ref().map(|o| o.str_at(&["metadata", "name"])).unwrap_or_default(),
        name => name,
    }
}

/// Never called for: what configures admission.
pub fn is_exempt(review: &Review<'_>) -> bool {
    const RESOURCES: [&str; 6] = [
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    ];
    review.group() == "admissionregistration.k8s.io" && RESOURCES.contains(&review.resource())
}

/// Whether and how a webhook is called for a change.
pub async fn invocation(
    review: &Review<'_>,
    cluster: &dyn Cluster,
    hook: &Arc<Hook>,
) -> Result<Option<Invocation>, Status> {
    // Failures of selectors count only where a rule matches.
    let in_namespace = namespace_matches(review, cluster, hook).await;
    if matches!(in_namespace, Ok(false)) {
        return Ok(None);
    }
    let is_object = object_matches(review, hook);
    if matches!(is_object, Ok(false)) {
        return Ok(None);
    }
    let Some(version) = version(review, hook) else { return Ok(None) };
    in_namespace?;
    is_object?;
    let invocation = Invocation { hook: hook.clone(), version };
    Ok(conditions_hold(review, &invocation).await?.then_some(invocation))
}

/// The version that the rules name: the request's own where they do.
fn version(review: &Review<'_>, hook: &Hook) -> Option<String> {
    let asked = Asked {
        operation: review.operation,
        group: review.group(),
        version: review.version,
        resource: review.resource(),
        subresource: review.subresource,
        namespace: namespace(review),
    };
    if hook.rules.iter().any(|rule| rule.matches(&asked)) {
        return Some(review.version.to_owned());
    }
    if !hook.equivalent {
        return None;
    }
    let versions = &review.kind.info().versions;
    let others = || versions.iter().map(|v| v.as_str()).filter(|v| *v != review.version);
    let matching = |rule: &super::rule::Rule| others().find(|v| rule.matches(&Asked { version: v, ..asked }));
    hook.rules.iter().find_map(matching).map(str::to_owned)
}

async fn namespace_matches(review: &Review<'_>, cluster: &dyn Cluster, hook: &Hook) -> Result<bool, Status> {
    let is_namespace = review.group().is_empty() && review.resource() == "namespaces";
    let name = namespace(review);
    if name.is_empty() && !is_namespace {
        return Ok(true);
    }
    let selector = hook.namespaces.as_ref().map_err(Status::internal)?;
    if selector.is_empty() {
        return Ok(true);
    }
    let writes = matches!(review.operation, Operation::Create | Operation::Update);
    if is_namespace && review.subresource.is_empty() && writes {
        return Ok(selector.matches(review.object.as_deref().and_then(labels)));
    }
    let found = match cluster.get("", "namespaces", "", name).await {
        Some(found) => Some(found),
        None => cluster.get_latest("", "namespaces", "", name).await,
    };
    let found = found.ok_or_else(|| Status::not_found("", "namespaces", name))?;
    Ok(selector.matches(labels(&found)))
}

fn labels(object: &Value) -> Option<&Map> {
    object.map_at(&["metadata", "labels"])
}

/// The new object or the old one has the labels.
fn object_matches(review: &Review<'_>, hook: &Hook) -> Result<bool, Status> {
    let selector = hook.objects.as_ref().map_err(Status::internal)?;
    let has = |object: &Value, selector: &LabelSelector| {
        object.map_at(&["metadata"]).is_some() && selector.matches(labels(object))
    };
    let mut objects = review.object.as_deref().into_iter().chain(review.old);
    Ok(selector.is_empty() || objects.any(|object| has(object, selector)))
}

/// All match conditions; one that is false decides, an error goes by the failure policy.
async fn conditions_hold(review: &Review<'_>, invocation: &Invocation) -> Result<bool, Status> {
    let hook = &invocation.hook;
    if hook.conditions.is_empty() {
        return Ok(true);
    }
    let objects = review::Objects::of(review, &invocation.version)?;
    let request = review::request(review, &invocation.version);
    let asks = Asking(review);
    let (mut left, mut errors) = (CONDITIONS_COST, Vec::new());
    for condition in &hook.conditions {
        let program = match &condition.program {
            Ok(program) => program,
            Err(why) => {
                errors.push(format!("compilation failed: {why}"));
                continue;
            }
        };
        let mut env = Env::new()
            .with("object", &objects.object)
            .with("oldObject", &objects.old)
            .with("namespaceObject", &Value::Null)
            .with("request", &request)
            .with_authorizer(Some(request_check(review)))
            .limit(left.min(cel::COST_LIMIT));
        let (outcome, cost) = program.eval_bool_asking(&mut env, &asks).await;
        left = left.saturating_sub(cost);
        match outcome {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(CelError::Cost) if left == 0 => errors.push(OUT_OF_BUDGET.to_owned()),
            Err(why) => {
                errors.push(format!("expression '{}' resulted in error: {why}", condition.expression.trim()));
            }
        }
    }
    errors.dedup();
    match errors.as_slice() {
        [] => Ok(true),
        _ if hook.ignores_failure => Ok(false),
        [error] => Err(review.forbidden(error)),
        errors => Err(review.forbidden(&format!("[{}]", errors.join(", ")))),
    }
}

/// `authorizer.requestResource`.
fn request_check(review: &Review<'_>) -> Check {
    Check {
        group: review.group().to_owned(),
        version: review.version.to_owned(),
        resource: review.resource().to_owned(),
        subresource: review.subresource.to_owned(),
        namespace: namespace(review).to_owned(),
        name: name(review).to_owned(),
        ..Check::default()
    }
}

/// Authorization as expressions ask it.
struct Asking<'r, 'a>(&'r Review<'a>);

impl Authorizer for Asking<'_, '_> {
    fn check<'a>(&'a self, check: &'a Check) -> Later<'a, Decision> {
        Box::pin(async move {
            let attributes = attributes(check);
            let decision = match &check.service_account {
                Some((namespace, name)) => self.0.details.may_account(namespace, name, &attributes).await,
                None => self.0.asks.may(&attributes).await,
            };
            let (allowed, reason) = match decision {
                authz::Decision::Allow(reason) => (true, reason),
                authz::Decision::Deny(reason) | authz::Decision::NoOpinion(reason) => (false, reason),
            };
            Decision { allowed, reason: reason.to_string(), error: None }
        })
    }
}

fn attributes(check: &Check) -> Attributes {
    if check.resource.is_empty() {
        return Attributes::path(&check.verb, &check.path);
    }
    let version = if check.version.is_empty() { "*" } else { &check.version };
    let mut attributes = Attributes::resource(&check.verb, &check.group, version, &check.resource);
    attributes.subresource = check.subresource.as_str().into();
    attributes.namespace = check.namespace.as_str().into();
    attributes.name = check.name.as_str().into();
    attributes
}
