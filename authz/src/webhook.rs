//! A server elsewhere decides: it gets a SubjectAccessReview and answers with one. What it said holds for a while.

use crate::configuration::{MatchCondition, WebhookMode};
use crate::{Attributes, Authority, Decision, Reason, Rules, Ruling, Settings};
use api::cel::Env;
use api::selector::Operator;
use api::{Value, json};
use authn::Caller;
use authn::webhook::Webhook;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use stdx::{Clock, Time};

const GROUP: &str = "authorization.k8s.io";
/// Decisions that are remembered at once: upstream's number.
const REMEMBERED: usize = 8192;
/// Requests with longer names than this are never remembered: their sender may make up many.
const MAX_REMEMBERED_BYTES: usize = 10_000;
/// The same for all of the question: the caller's groups and extra, and selectors.
const MAX_REMEMBERED_QUESTION_BYTES: usize = 64 * 1024;

/// See `Mode::Webhook`.
pub(crate) struct WebhookAuthority {
    webhook: Webhook,
    mode: WebhookMode,
    clock: Clock,
    memory: Mutex<Memory>,
}

/// The digest of a question: what is remembered takes the same room whatever was asked.
type Key = [u8; 32];

/// Decisions by what was asked, the oldest first to go.
#[derive(Default)]
struct Memory {
    decisions: HashMap<Key, (Decision, Time)>,
    order: VecDeque<Key>,
}

impl WebhookAuthority {
    pub fn new(mode: WebhookMode, settings: &Settings) -> Result<Self, String> {
        let review = (GROUP, mode.version.as_str(), "SubjectAccessReview");
        let webhook = Webhook::new(settings.network.clone(), mode.remote.clone(), review, mode.timeout)?;
        Ok(WebhookAuthority { webhook, mode, clock: settings.clock.clone(), memory: Mutex::default() })
    }

    async fn ask(&self, caller: &Caller, asked: &Attributes) -> Decision {
        let spec = spec(caller, asked);
        match matches(&self.mode.match_conditions, &spec) {
            Ok(true) => {}
            Ok(false) => return Decision::NoOpinion(Reason::NONE),
            Err(why) => return self.on_error(&why),
        }
        let key = key(&spec, asked);
        let known = key.and_then(|key| self.memory.lock().get(&key, self.clock.now()));
        if let Some(decision) = known {
            return decision;
        }
        match self.webhook.review(spec).await {
            Ok(status) => {
                let decision = decision(&status);
                self.remember(key, &decision, &status);
                decision
            }
            Err(why) => {
                tracing::error!(webhook = self.mode.name, "the authorization webhook does not answer: {why}");
                self.on_error(&why)
            }
        }
    }

    fn on_error(&self, why: &str) -> Decision {
        let reason = Reason::NONE.with_error(why);
        if self.mode.deny_on_error { Decision::Deny(reason) } else { Decision::NoOpinion(reason) }
    }

    fn remember(&self, key: Option<Key>, decision: &Decision, status: &Value) {
        let Some(key) = key else { return };
        let allowed = status.bool_at(&["allowed"]);
        let ttl = if allowed { self.mode.authorized_ttl } else { self.mode.unauthorized_ttl };
        if !ttl.is_zero() {
            self.memory.lock().set(key, decision.clone(), self.clock.now().plus(ttl));
        }
    }
}

impl Authority for WebhookAuthority {
    fn name(&self) -> &'static str {
        "Webhook"
    }

    fn decide<'a>(&'a self, caller: &'a Caller, asked: &'a Attributes) -> Ruling<'a> {
        Ruling::Later(Box::pin(self.ask(caller, asked)))
    }

    fn rules(&self, _: &Caller, _: &str) -> Option<Rules> {
        let errors = vec!["webhook authorizer does not support user rule resolution".to_owned()];
        Some(Rules { errors, incomplete: true, ..Rules::default() })
    }
}

impl Memory {
    fn get(&self, key: &Key, now: Time) -> Option<Decision> {
        let (decision, until) = self.decisions.get(key)?;
        (now < *until).then(|| decision.clone())
    }

    fn set(&mut self, key: Key, decision: Decision, until: Time) {
        if self.decisions.insert(key, (decision, until)).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.decisions.remove(&oldest);
            }
        }
    }
}

/// What the status of a SubjectAccessReview says.
fn decision(status: &Value) -> Decision {
    let reason = Reason::from(status.str_at(&["reason"]));
    match (status.bool_at(&["denied"]), status.bool_at(&["allowed"])) {
        (true, true) => Decision::Deny(
            reason.with_error("webhook subject access review returned both allow and deny response"),
        ),
        (true, false) => Decision::Deny(reason),
        (false, true) => Decision::Allow(reason),
        (false, false) => Decision::NoOpinion(reason),
    }
}

/// Whether all conditions are true. One that is false outranks those that fail.
fn matches(conditions: &[MatchCondition], spec: &Value) -> Result<bool, String> {
    if conditions.is_empty() {
        return Ok(true);
    }
    let request = request(spec);
    let mut errors = Vec::new();
    for condition in conditions {
        let expression = &condition.expression;
        match condition.program.eval(&Env::new().with("request", &request)) {
            Ok(Value::Bool(true)) => {}
            Ok(Value::Bool(false)) => return Ok(false),
            Ok(other) => errors.push(format!(
                "cel evaluation error: expression '{expression}' eval result type should be bool but got {}",
                other.json_type()
            )),
            Err(why) => errors
                .push(format!("cel evaluation error: expression '{expression}' resulted in error: {why}")),
        }
    }
    if errors.is_empty() { Ok(true) } else { Err(crate::reason::aggregate(errors)) }
}

/// The spec as conditions see it: with the fields that are empty.
fn request(spec: &Value) -> Value {
    let mut request = spec.clone();
    let fill = |at: &mut Value, path: &[&str], empty: Value| {
        if at.at(path).is_none() {
            at.set(path, empty);
        }
    };
    for (field, empty) in [("user", Value::from("")), ("uid", Value::from(""))] {
        fill(&mut request, &[field], empty);
    }
    fill(&mut request, &["groups"], Value::from(Vec::<Value>::new()));
    fill(&mut request, &["extra"], Value::map());
    for (part, fields) in [
        (
            "resourceAttributes",
            &["namespace", "verb", "group", "version", "resource", "subresource", "name"][..],
        ),
        ("nonResourceAttributes", &["path", "verb"]),
    ] {
        if request.get(part).is_some() {
            fields.iter().for_each(|field| fill(&mut request, &[part, field], Value::from("")));
        }
    }
    request
}

/// The SubjectAccessReviewSpec of a question.
fn spec(caller: &Caller, asked: &Attributes) -> Value {
    let mut spec = Value::map();
    if asked.is_resource {
        let fields = [
            ("namespace", &asked.namespace),
            ("verb", &asked.verb),
            ("group", &asked.group),
            ("version", &asked.version),
            ("resource", &asked.resource),
            ("subresource", &asked.subresource),
            ("name", &asked.name),
        ];
        spec.set(&["resourceAttributes"], Value::map());
        for (field, text) in fields.into_iter().filter(|(_, text)| !text.is_empty()) {
            spec.set(&["resourceAttributes", field], text.clone());
        }
        for (field, terms) in [("fieldSelector", field_terms(asked)), ("labelSelector", label_terms(asked))] {
            if !terms.is_empty() {
                spec.set(&["resourceAttributes", field, "requirements"], terms);
            }
        }
    } else {
        spec.set(&["nonResourceAttributes", "path"], asked.path.clone());
        spec.set(&["nonResourceAttributes", "verb"], asked.verb.clone());
    }
    if !caller.name().is_empty() {
        spec.set(&["user"], caller.name());
    }
    if !caller.groups().is_empty() {
        spec.set(&["groups"], caller.groups().to_vec());
    }
    let mut extra: Vec<_> = caller.extra().iter().collect();
    extra.sort();
    for (key, values) in extra {
        spec.set(&["extra", key], values.clone());
    }
    if !caller.uid().is_empty() {
        spec.set(&["uid"], caller.uid());
    }
    spec
}

fn field_terms(asked: &Attributes) -> Vec<Value> {
    let term = |term: &api::selector::FieldTerm| {
        let operator = if term.negated { "NotIn" } else { "In" };
        requirement(&term.field, operator, vec![Value::from(term.value.clone())])
    };
    asked.fields.terms().iter().map(term).collect()
}

fn label_terms(asked: &Attributes) -> Vec<Value> {
    let term = |term: &api::selector::Requirement| {
        let operator = match term.operator() {
            Operator::Equals | Operator::DoubleEquals | Operator::In => "In",
            Operator::NotEquals | Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            // The question is only broader without it.
            _ => return None,
        };
        Some(requirement(term.key(), operator, term.values().iter().cloned().map(Value::from).collect()))
    };
    asked.labels.requirements().iter().filter_map(term).collect()
}

fn requirement(key: &str, operator: &str, values: Vec<Value>) -> Value {
    let mut requirement = Value::map();
    requirement.set(&["key"], key);
    requirement.set(&["operator"], operator);
    if !values.is_empty() {
        requirement.set(&["values"], values);
    }
    requirement
}

/// What a question is remembered by; `None` when it is too long.
fn key(spec: &Value, asked: &Attributes) -> Option<Key> {
    if size(asked) >= MAX_REMEMBERED_BYTES {
        return None;
    }
    let text = json::to_vec(spec);
    (text.len() < MAX_REMEMBERED_QUESTION_BYTES).then(|| Sha256::digest(text).into())
}

/// Bytes of what the caller chose.
fn size(asked: &Attributes) -> usize {
    let Attributes { verb, group, version, resource, subresource, namespace, name, path, .. } = asked;
    [verb, group, version, resource, subresource, namespace, name, path].iter().map(|text| text.len()).sum()
}

#[cfg(test)]
mod tests;
