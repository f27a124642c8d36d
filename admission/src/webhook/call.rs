//! One webhook is asked.

use super::credentials::Credentials;
use super::matching::Invocation;
use super::review::{self, Answer, Bad, Objects};
use super::{remote, server_error};
use crate::review::Review;
use api::{Network, Question, Reader, RemoteError, Status, Value, quote};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest answer that is read.
const MAX_ANSWER: usize = 16 << 20;

/// What asking needs.
#[derive(Clone)]
pub struct Way {
    pub network: Arc<dyn Network>,
    pub reader: Arc<dyn Reader>,
    pub credentials: Credentials,
}

/// Why there is no answer to go by.
#[derive(Debug)]
pub enum Failed {
    /// The webhook could not be asked: the failure policy decides.
    Calling(String),
    /// Refused, by the webhook or before it was asked.
    Refused(Status),
}

impl Failed {
    /// `failed calling webhook "NAME": WHY`.
    pub fn calling(webhook: &str, why: impl std::fmt::Display) -> Self {
        Failed::Calling(format!("failed calling webhook {}: {why}", quote(webhook)))
    }
}

/// A question that is ready to be sent; it borrows nothing of the review, so that several can be asked at once.
pub struct Asking {
    pub invocation: Invocation,
    body: Vec<u8>,
    uid: String,
    version: &'static str,
    deadline: Instant,
    mutating: bool,
}

impl Asking {
    pub fn new(
        review: &Review<'_>,
        invocation: Invocation,
        objects: &Objects,
        mutating: bool,
    ) -> Result<Self, Failed> {
        let hook = &invocation.hook;
        if review.dry_run && hook.has_side_effects {
            let why = format!("admission webhook {} does not support dry run", quote(&hook.name));
            return Err(Failed::Refused(Status::bad_request(why)));
        }
        let spoken = hook.review_versions.iter().find_map(|v| review::VERSIONS.iter().find(|s| *s == v));
        let Some(version) = spoken else {
            let why = "could not create admission objects: webhook does not accept known AdmissionReview versions \
                       (v1, v1beta1)";
            return Err(Failed::calling(&hook.name, why));
        };
        let uid = review.details.new_uid();
        let body = review::body(&review::request(review, &invocation.version), objects, &uid, version);
        let deadline = review.details.deadline();
        Ok(Asking { invocation, body, uid, version, deadline, mutating })
    }

    /// Asks, and reads the answer. A webhook that hangs costs its timeout.
    pub async fn ask(&self, way: &Way) -> Result<Answer, Failed> {
        let hook = &self.invocation.hook;
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = hook.timeout.min(left).max(Duration::from_millis(1));
        let failed = |why: String| Failed::calling(&hook.name, format!("failed to call webhook: {why}"));
        let remote = remote::way(hook, &way.credentials, &*way.reader, timeout).await;
        if let Some(why) = remote.failed {
            return Err(failed(why));
        }
        let question = Question { body: Some(self.body.clone()), headers: Vec::new(), max_bytes: MAX_ANSWER };
        let reply =
            way.network.ask(&remote.remote, question, timeout).await.map_err(|error| match error {
                RemoteError::Timeout(why) | RemoteError::Failed(why) => failed(why),
            })?;
        if let Some(why) = server_error::refusal(&reply) {
            return Err(failed(why));
        }
        review::answer(&reply.body, &self.uid, self.version, self.mutating).map_err(|bad| match bad {
            Bad::Unreadable(why) => failed(why),
            Bad::Invalid(why) => {
                Failed::calling(&hook.name, format!("received invalid webhook response: {why}"))
            }
        })
    }
}

/// Takes over what an answer says beside its verdict; then the verdict.
pub fn verdict(review: &mut Review<'_>, webhook: &str, answer: &Answer) -> Result<(), Failed> {
    for (key, value) in &answer.audit_annotations {
        review.audit_annotations.push((format!("{webhook}/{key}"), value.clone()));
    }
    review.warnings.extend(answer.warnings.iter().cloned());
    match answer.allowed {
        true => Ok(()),
        false => Err(Failed::Refused(review::refusal(webhook, &answer.status))),
    }
}

/// What a patch makes of an object; `None` when it changes nothing.
pub fn patched(webhook: &str, shown: &Value, answer: &Answer) -> Result<Option<Value>, Failed> {
    if answer.patch.is_empty() {
        return Ok(None);
    }
    let undecodable = |why: String| {
        Failed::calling(webhook, format!("received undecodable patch in webhook response: {why}"))
    };
    let patch = api::json::parse(&answer.patch).map_err(|why| undecodable(why.to_string()))?;
    let operations = match &patch {
        Value::List(operations) => operations.as_slice(),
        Value::Null => &[],
        other => {
            let kind = other.json_type();
            return Err(undecodable(format!(
                "json: cannot unmarshal {kind} into Go value of type jsonpatch.Patch"
            )));
        }
    };
    if operations.is_empty() {
        return Ok(None);
    }
    if shown.is_null() {
        return Err(Failed::Refused(Status::internal(format!(
            "admission webhook {} attempted to modify the object, which is not supported for this operation",
            quote(webhook)
        ))));
    }
    if answer.patch_type != "JSONPatch" {
        let why = format!("unsupported patch type {}", quote(&answer.patch_type));
        return Err(Failed::calling(webhook, why));
    }
    let mut document = shown.clone();
    api::patch::json::apply(&mut document, &patch)
        .map_err(|_| Failed::Refused(Status::internal(patch_error(shown, operations))))?;
    Ok(Some(document))
}

/// Which operation of a patch failed, as far as upstream's library says.
fn patch_error(shown: &Value, operations: &[Value]) -> String {
    let mut document = shown.clone();
    for operation in operations {
        let one = Value::List(vec![operation.clone()]);
        if api::patch::json::apply(&mut document, &one).is_err() {
            let (op, path) = (operation.str_at(&["op"]), operation.str_at(&["path"]));
            return match op {
                "add" => format!(
                    "add operation does not apply: doc is missing path: {}: missing value",
                    quote(path)
                ),
                "remove" => format!(
                    "remove operation does not apply: doc is missing path: {}: missing value",
                    quote(path)
                ),
                "replace" => {
                    format!("replace operation does not apply: doc is missing key: {path}: missing value")
                }
                "test" => format!("testing value {path} failed: test failed"),
                "move" => format!(
                    "move operation does not apply: doc is missing from path: {}: missing value",
                    operation.str_at(&["from"])
                ),
                "copy" => format!(
                    "copy operation does not apply: doc is missing from path: \"{}\": missing value",
                    operation.str_at(&["from"])
                ),
                op => format!("Unexpected kind: {op}"),
            };
        }
    }
    "the patch does not apply".to_owned()
}
