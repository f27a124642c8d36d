//! What a server said instead of an answer, in the words of Go's client.

use api::{Reply, Value, json, quote};

/// The longest text of an answer that is shown.
const MAX_SHOWN: usize = 2048;

/// Why a reply is no answer: its code is no success, it is empty, or it is a Status. `None` for an answer to read.
pub fn refusal(reply: &Reply) -> Option<String> {
    let header = |name: &str| {
        reply.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    let status = json::parse(&reply.body).ok().filter(|tree| tree.str_at(&["kind"]) == "Status");
    if !(200..=206).contains(&reply.status) {
        let said = status.filter(|s| s.str_at(&["status"]) == "Failure").map(|s| message(&s));
        return Some(said.unwrap_or_else(|| generic(reply.status, &shown(reply, header("content-type")))));
    }
    if reply.body.is_empty() {
        let media = header("content-type");
        return Some(format!(
            "0-length response with status code: {} and content type: {media}",
            reply.status
        ));
    }
    status.filter(|s| s.str_at(&["status"]) != "Success").map(|s| message(&s))
}

fn message(status: &Value) -> String {
    status.str_at(&["message"]).to_owned()
}

/// The text of the body, when it is text.
fn shown(reply: &Reply, media: &str) -> String {
    let is_text = media.is_empty() || media.starts_with("text/");
    let text = String::from_utf8_lossy(reply.body.get(..MAX_SHOWN).unwrap_or(&reply.body)).trim().to_owned();
    if is_text && !text.is_empty() { text } else { "unknown".to_owned() }
}

fn generic(code: u16, said: &str) -> String {
    let text = match code {
        409 => "the server reported a conflict",
        404 => "the server could not find the requested resource",
        400 => "the server rejected our request for an unknown reason",
        401 => "the server has asked for the client to provide credentials",
        403 | 415 => said,
        406 if said != "unknown" => said,
        406 => "the server was unable to respond with a content type that the client supports",
        405 => "the server does not allow this method on the requested resource",
        422 => "the server rejected our request due to an error in our request",
        503 => "the server is currently unable to handle the request",
        504 => {
            "the server was unable to return a response in the time allotted, but may still be processing the request"
        }
        429 => "the server has received too many requests and has asked us to try again later",
        500.. => {
            return format!(
                "an error on the server ({}) has prevented the request from succeeding",
                quote(said)
            );
        }
        _ => {
            return format!(
                "the server responded with the status code {code} but did not return more information"
            );
        }
    };
    text.to_owned()
}
