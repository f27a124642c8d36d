//! The answer of a webhook that takes and gives one kind of object, read as client-go reads it.

use super::Reply;
use crate::{Value, json, quote, schema};

/// Why there is no object in an answer, in client-go's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoAnswer {
    /// The HTTP status of a refusal; 0 when the answer cannot be read.
    pub code: u16,
    /// Of the Status in a refusal, or what its code stands for.
    pub reason: String,
    pub message: String,
    /// When to come again, if the server says so.
    pub retry_after_secs: Option<u64>,
}

impl NoAnswer {
    fn unreadable(message: impl Into<String>) -> Self {
        NoAnswer { message: message.into(), ..NoAnswer::default() }
    }

    /// The reason and the words for a refusal that is no Status, to a request that creates or does not: upstream's
    /// `NewGenericServerResponse` without its resource.
    pub fn meaning(code: u16, said: &str, creates: bool) -> (&'static str, String) {
        match code {
            400 => ("BadRequest", "the server rejected our request for an unknown reason".to_owned()),
            401 => ("Unauthorized", "the server has asked for the client to provide credentials".to_owned()),
            403 => ("Forbidden", said.to_owned()),
            404 => ("NotFound", "the server could not find the requested resource".to_owned()),
            405 => {
                ("MethodNotAllowed", "the server does not allow this method on the requested resource".to_owned())
            }
            406 if matches!(said, "" | "unknown") => (
                "NotAcceptable",
                "the server was unable to respond with a content type that the client supports".to_owned(),
            ),
            406 => ("NotAcceptable", said.to_owned()),
            409 if creates => ("AlreadyExists", "the server reported a conflict".to_owned()),
            409 => ("Conflict", "the server reported a conflict".to_owned()),
            415 => ("UnsupportedMediaType", said.to_owned()),
            422 => ("Invalid", "the server rejected our request due to an error in our request".to_owned()),
            429 => (
                "TooManyRequests",
                "the server has received too many requests and has asked us to try again later".to_owned(),
            ),
            503 => ("ServiceUnavailable", "the server is currently unable to handle the request".to_owned()),
            504 => (
                "Timeout",
                "the server was unable to return a response in the time allotted, but may still be processing \
                 the request"
                    .to_owned(),
            ),
            500.. => (
                "InternalError",
                format!("an error on the server ({}) has prevented the request from succeeding", quote(said)),
            ),
            _ => (
                "",
                format!("the server responded with the status code {code} but did not return more information"),
            ),
        }
    }

    /// Whether the same may be answered if it is asked again: upstream's `DefaultShouldRetry`.
    pub fn may_pass(&self) -> bool {
        let reasons = ["InternalError", "Timeout", "TooManyRequests"];
        reasons.contains(&self.reason.as_str())
            || self.retry_after_secs.is_some() && (self.code == 429 || self.code >= 500)
    }
}

impl Reply {
    /// The first value of a header, whose name is in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The object answered, which must be of `kind` if it says what it is; its built-in type is that of `version`
    /// or of `v1`, where there is none for `version`.
    ///
    /// # Errors
    /// When the server refused, or answered something else.
    pub fn object(&self, group: &str, version: &str, kind: &str) -> Result<Value, NoAnswer> {
        let body = String::from_utf8_lossy(&self.body);
        if !(200..=206).contains(&self.status) {
            let generic = self.refusal(body.trim());
            let status = json::parse(&self.body).ok().filter(|status| status.str_at(&["kind"]) == "Status");
            return Err(status.and_then(|status| self.of_status(&status)).unwrap_or(generic));
        }
        if self.body.is_empty() {
            let content_type = self.header("content-type").unwrap_or("application/json");
            let status = self.status;
            let text =
                format!("0-length response with status code: {status} and content type: {content_type}");
            return Err(NoAnswer::unreadable(text));
        }
        let value = json::parse(&self.body).map_err(|why| {
            NoAnswer::unreadable(format!("couldn't get version/kind; json parse error: {why}"))
        })?;
        let (theirs, ours) = (value.str_at(&["apiVersion"]), format!("{group}/{version}"));
        match value.str_at(&["kind"]) {
            "Status" if theirs == "v1" => return self.of_status(&value).map_or(Ok(Value::map()), Err),
            "" => {}
            found if found == kind && (theirs == ours || theirs.is_empty()) => {}
            found => {
                let (found, theirs) = (quote(found), quote(theirs));
                let text = format!("no kind {found} is registered for version {theirs} in scheme");
                return Err(NoAnswer::unreadable(text));
            }
        }
        let ty =
            schema::builtin_type(group, version, kind).or_else(|| schema::builtin_type(group, "v1", kind));
        let Some(ty) = ty else { return Ok(value) };
        schema::decode(schema::builtin(), ty, value, false)
            .map(|decoded| decoded.value)
            .map_err(|why| NoAnswer::unreadable(why.to_string()))
    }

    fn retry_after(&self) -> Option<u64> {
        self.header("retry-after").and_then(|text| text.trim().parse().ok())
    }

    /// What a Status says, unless it is one of success.
    fn of_status(&self, status: &Value) -> Option<NoAnswer> {
        if status.str_at(&["status"]) == "Success" {
            return None;
        }
        let text = |field: &str| status.str_at(&[field]).to_owned();
        let code = status.i64_at(&["code"]).and_then(|code| u16::try_from(code).ok()).unwrap_or(self.status);
        let seconds = status.i64_at(&["details", "retryAfterSeconds"]).and_then(|s| u64::try_from(s).ok());
        let retry_after_secs = seconds.filter(|seconds| *seconds > 0).or_else(|| self.retry_after());
        Some(NoAnswer { code, reason: text("reason"), message: text("message"), retry_after_secs })
    }

    /// A refusal without a Status.
    fn refusal(&self, body: &str) -> NoAnswer {
        let said = if body.is_empty() { "unknown" } else { body };
        let (reason, message) = NoAnswer::meaning(self.status, said, true);
        NoAnswer {
            code: self.status,
            reason: reason.to_owned(),
            message,
            retry_after_secs: self.retry_after(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, body: body.as_bytes().to_vec(), headers: Vec::new() }
    }

    fn read(status: u16, body: &str) -> Result<Value, NoAnswer> {
        reply(status, body).object("authentication.k8s.io", "v1beta1", "TokenReview")
    }

    fn message(status: u16, body: &str) -> String {
        read(status, body).unwrap_err().message
    }

    #[test]
    fn the_object_may_say_what_it_is_but_must_not_lie() {
        let review = r#"{"apiVersion":"authentication.k8s.io/v1beta1","kind":"TokenReview","status":{"authenticated":true}}"#;
        assert!(read(200, review).unwrap().bool_at(&["status", "authenticated"]));
        assert!(read(201, r#"{"status":{"authenticated":true,"x":1}}"#).is_ok());
        let other = r#"{"apiVersion":"v1","kind":"Pod"}"#;
        assert_eq!(message(200, other), "no kind \"Pod\" is registered for version \"v1\" in scheme");
        let mistyped = message(200, r#"{"status":{"authenticated":"yes"}}"#);
        assert!(mistyped.contains("cannot unmarshal string into Go struct field"), "{mistyped}");
        assert!(message(200, "hello").starts_with("couldn't get version/kind; json parse error: "));
        assert_eq!(
            message(200, ""),
            "0-length response with status code: 200 and content type: application/json"
        );
    }

    #[test]
    fn refusals_are_read_from_their_status_or_told_by_their_code() {
        let status =
            r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","reason":"Timeout"}"#;
        let refused = read(500, status).unwrap_err();
        assert_eq!((refused.message.as_str(), refused.code, refused.may_pass()), ("no", 500, true));
        assert_eq!(message(200, status), "no");
        assert_eq!(message(404, "x"), "the server could not find the requested resource");
        let text = "an error on the server (\"a\\nb\") has prevented the request from succeeding";
        assert_eq!(message(500, "a\nb\n"), text);
        assert!(!read(503, "").unwrap_err().may_pass());
        let headers = vec![("retry-after".to_owned(), "3".to_owned())];
        let busy = Reply { headers, ..reply(503, "") }.object("a", "v1", "B").unwrap_err();
        assert!(busy.may_pass() && busy.retry_after_secs == Some(3));
    }

    proptest! {
        #[test]
        fn no_answer_is_too_odd_to_be_read(status in 0u16..700, body in "\\PC{0,40}", nested in "[\\[{\":,1a-c\\]}]{0,40}") {
            let _ = read(status, &body);
            let _ = read(200, &nested);
            let _ = read(200, &format!(r#"{{"status":{nested}}}"#));
        }
    }
}
