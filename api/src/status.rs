//! `Status`: the answer of every refusal, and of deletes and commands that have nothing else to say.
//! Shape and texts are those of `meta/v1 Status`; constructors below are named after upstream's errors.

use crate::{Fault, Map, Value, tree};

/// A failure with everything that goes on the wire. Build with the constructors, then adjust fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason such as `NotFound`; empty where upstream sends none.
    pub reason: &'static str,
    pub message: String,
    pub details: Option<Box<Details>>,
    /// Seconds for a `Retry-After` header; also `details.retryAfterSeconds`.
    pub retry_after_secs: Option<u32>,
    /// `metadata.continue`: with which token a list whose revision is gone can be continued all the same.
    pub continue_token: Option<String>,
    /// The whole Status, where somebody else said it (a webhook): it goes on the wire as it is.
    pub elsewhere: Option<Box<Value>>,
}

/// `details` of a Status. Empty strings are left out on the wire.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    pub name: String,
    pub group: String,
    pub kind: String,
    pub uid: String,
    pub causes: Vec<Cause>,
}

/// One cause: reason, message and field path, each left out when empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cause {
    pub reason: String,
    pub message: String,
    pub field: String,
}

/// The group and resource (plural) that a message names, as upstream prints them: `deployments.apps`, `pods`.
pub fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

impl Status {
    /// A failure without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Status {
            code,
            reason,
            message: message.into(),
            details: None,
            retry_after_secs: None,
            continue_token: None,
            elsewhere: None,
        }
    }

    /// A Status that somebody else said.
    pub fn said_elsewhere(code: u16, message: impl Into<String>, whole: Value) -> Self {
        Status { elsewhere: Some(Box::new(whole)), ..Status::new(code, "", message) }
    }

    fn about(
        code: u16,
        reason: &'static str,
        group: &str,
        resource: &str,
        name: &str,
        message: String,
    ) -> Self {
        let details = Details {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: resource.to_owned(),
            ..Details::default()
        };
        Status { details: Some(Box::new(details)), ..Status::new(code, reason, message) }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Status::new(400, "BadRequest", message)
    }

    pub fn unauthorized() -> Self {
        Status::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403: `pods "a" is forbidden: WHY`.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let what = qualified(group, resource);
        let message = match (what.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{what} is forbidden: {why}"),
            (false, false) => format!("{what} \"{name}\" is forbidden: {why}"),
        };
        Status::about(403, "Forbidden", group, resource, name, message)
    }

    /// 404: `pods "a" not found`.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", qualified(group, resource));
        Status::about(404, "NotFound", group, resource, name, message)
    }

    /// 404 for a path under a known group: no such version, resource or subresource.
    pub fn unknown_resource() -> Self {
        let mut status = Status::new(404, "NotFound", "the server could not find the requested resource");
        status.details = Some(Box::default());
        status
    }

    /// 405 for a verb that the resource does not have.
    pub fn method_not_allowed() -> Self {
        let mut status = Status::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        );
        status.details = Some(Box::default());
        status
    }

    /// 409: `pods "a" already exists`.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", qualified(group, resource));
        Status::about(409, "AlreadyExists", group, resource, name, message)
    }

    /// 409: `Operation cannot be fulfilled on pods "a": WHY`.
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let message =
            format!("Operation cannot be fulfilled on {} \"{name}\": {why}", qualified(group, resource));
        Status::about(409, "Conflict", group, resource, name, message)
    }

    /// 410 without details: a revision that is no longer kept.
    pub fn expired(message: impl Into<String>) -> Self {
        Status::new(410, "Expired", message)
    }

    /// 410 `Gone`.
    pub fn gone(message: impl Into<String>) -> Self {
        Status::new(410, "Gone", message)
    }

    /// 422: all faults at once, each a cause: `Pod "a" is invalid: [A, B]`. `kind` is the Kind, not the plural.
    pub fn invalid(group: &str, kind: &str, name: &str, faults: &[Fault]) -> Self {
        let subject = qualified(group, kind);
        let mut texts: Vec<String> = Vec::with_capacity(faults.len());
        for fault in faults {
            let text = fault.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let message = match texts.len() {
            0 => format!("{subject} \"{name}\" is invalid"),
            1 => format!("{subject} \"{name}\" is invalid: {}", texts[0]),
            _ => format!("{subject} \"{name}\" is invalid: [{}]", texts.join(", ")),
        };
        let mut status = Status::about(422, "Invalid", group, kind, name, message);
        if let Some(details) = &mut status.details {
            details.causes = faults.iter().map(Fault::cause).collect();
        }
        status
    }

    /// 500 with reason `InternalError`: `Internal error occurred: WHY`.
    pub fn internal(why: impl std::fmt::Display) -> Self {
        let mut status = Status::new(500, "InternalError", format!("Internal error occurred: {why}"));
        let cause = Cause { message: why.to_string(), ..Cause::default() };
        status.details = Some(Box::new(Details { causes: vec![cause], ..Details::default() }));
        status
    }

    /// 500 as upstream answers for errors that carry no Status of their own: no reason, the bare text.
    pub fn unclassified(message: impl Into<String>) -> Self {
        Status::new(500, "", message)
    }

    pub fn with_causes(mut self, causes: Vec<Cause>) -> Self {
        self.details.get_or_insert_default().causes = causes;
        self
    }

    /// The tree that goes on the wire: `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",…}`.
    pub fn to_value(&self) -> Value {
        if let Some(whole) = &self.elsewhere {
            return (**whole).clone();
        }
        let mut map = base("Failure");
        if let Some(token) = &self.continue_token {
            map.insert("metadata", tree!({"continue": token.as_str()}));
        }
        if !self.message.is_empty() {
            map.insert("message", self.message.as_str());
        }
        if !self.reason.is_empty() {
            map.insert("reason", self.reason);
        }
        if self.details.is_some() || self.retry_after_secs.is_some() {
            map.insert("details", self.details.clone().unwrap_or_default().to_value(self.retry_after_secs));
        }
        map.insert("code", i64::from(self.code));
        Value::Map(map)
    }
}

fn base(status: &str) -> Map {
    Map::from_iter([
        ("kind", Value::from("Status")),
        ("apiVersion", Value::from("v1")),
        ("metadata", Value::map()),
        ("status", Value::from(status)),
    ])
}

/// A `Success` Status with details, as deletes answer: `{"status":"Success","details":{"name":…,"kind":…,"uid":…}}`.
pub fn success(details: Option<Details>) -> Value {
    let mut map = base("Success");
    if let Some(details) = details {
        map.insert("details", details.to_value(None));
    }
    Value::Map(map)
}

impl Details {
    fn to_value(&self, retry_after_secs: Option<u32>) -> Value {
        let mut map = Map::new();
        for (key, text) in
            [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)]
        {
            if !text.is_empty() {
                map.insert(key, text.as_str());
            }
        }
        if !self.causes.is_empty() {
            map.insert("causes", Value::List(self.causes.iter().map(Cause::to_value).collect()));
        }
        if let Some(secs) = retry_after_secs {
            map.insert("retryAfterSeconds", i64::from(secs));
        }
        Value::Map(map)
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let mut map = Map::new();
        for (key, text) in [("reason", &self.reason), ("message", &self.message), ("field", &self.field)] {
            if !text.is_empty() {
                map.insert(key, text.as_str());
            }
        }
        Value::Map(map)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

impl From<&Status> for Value {
    fn from(status: &Status) -> Value {
        status.to_value()
    }
}

/// Details as a tree, for callers that put them into other answers.
impl From<Details> for Value {
    fn from(details: Details) -> Value {
        details.to_value(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_found_reads_as_upstreams() {
        let status = Status::not_found("apps", "deployments", "web");
        assert_eq!(
            status.to_value(),
            tree!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "deployments.apps \"web\" not found", "reason": "NotFound",
                "details": {"name": "web", "group": "apps", "kind": "deployments"}, "code": 404
            })
        );
    }
}
