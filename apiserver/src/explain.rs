//! `X-Pintle-Explain: 1`: whoever sends it is told, for this request of their own, who they were taken for and by
//! whom, what each authority said, which bindings and rules were tried, which granted, and what was nearly enough.
//!
//! The explanation is a header of the answer, compact JSON, so that no client stumbles over it and every answer can
//! carry it. A SelfSubjectAccessReview is explained as the request that it asks about: that is how one learns of
//! a request without making it (`pintle explain`).

use crate::door::{Connection, HeaderView};
use crate::server::Server;
use api::{Value, json, tree};
use authn::{Caller, Peer};
use authz::Attributes;
use authz::explain::Step;
use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};
use parking_lot::Mutex;
use std::sync::Arc;

/// The header of the request, and of the answer.
pub const HEADER: HeaderName = HeaderName::from_static("x-pintle-explain");
/// What the header may hold at most: proxies and clients refuse answers with larger headers.
const MAX_BYTES: usize = 6 * 1024;

/// The explanation of one request, while it is on its way.
#[derive(Clone, Default)]
pub struct Explanation(Arc<Mutex<Value>>);

impl Explanation {
    /// Begins one when the request asks for it.
    pub fn begin(parts: &mut Parts) -> Option<Self> {
        parts.headers.get(&HEADER).filter(|value| value.as_bytes() == b"1")?;
        let explanation = Explanation(Arc::new(Mutex::new(Value::map())));
        parts.extensions.insert(explanation.clone());
        Some(explanation)
    }

    /// That of a request on its way.
    pub fn of(parts: &Parts) -> Option<&Self> {
        parts.extensions.get()
    }

    /// Who was asked who this is.
    pub async fn authenticated(&self, server: &Server, parts: &Parts) {
        let stranger = Peer::default();
        let peer = parts.extensions.get::<Arc<Connection>>().map_or(&stranger, |c| c.peer());
        let headers = HeaderView(&parts.headers);
        let asked = server.authenticator.explain(peer, &headers, parts.uri.path()).await;
        let methods = asked.into_iter().map(|(name, verdict)| tree!({"name": name, "verdict": verdict}));
        self.0.lock().set(&["authenticators"], methods.collect::<Vec<_>>());
    }

    /// What was made of a question: the request itself, or one that a review asks.
    pub async fn authorized(&self, server: &Server, caller: &Caller, asked: &Attributes) {
        let steps = server.authorizer.explain(caller, asked).await;
        let last = steps.last().map_or("no opinion", |step| step.decision);
        let mut told = self.0.lock();
        told.set(&["user"], tree!({"name": caller.name(), "groups": caller.groups().to_vec()}));
        told.set(&["request"], question(asked));
        told.set(&["allowed"], last == "allow");
        told.set(&["authorities"], steps.iter().map(Step::to_value).collect::<Vec<_>>());
    }

    /// Puts it into the headers of the answer.
    pub fn write(&self, headers: &mut HeaderMap) {
        let told = shortened(self.0.lock().clone());
        if let Ok(value) = HeaderValue::from_str(&told) {
            headers.insert(HEADER, value);
        }
    }
}

fn question(asked: &Attributes) -> Value {
    let mut value = tree!({"verb": asked.verb.as_str()});
    let fields = [
        ("group", &asked.group),
        ("resource", &asked.resource),
        ("subresource", &asked.subresource),
        ("namespace", &asked.namespace),
        ("name", &asked.name),
    ];
    if !asked.is_resource {
        value.set(&["path"], asked.path.as_str());
        return value;
    }
    for (name, text) in fields.into_iter().filter(|(_, text)| !text.is_empty()) {
        value.set(&[name], text.as_str());
    }
    value
}

/// The text, as ASCII. What is too long loses what matters least: bindings that did not grant, then near misses.
fn shortened(mut told: Value) -> String {
    let text = ascii(&told);
    if text.len() <= MAX_BYTES {
        return text;
    }
    told.set(&["truncated"], true);
    drop_items(&mut told);
    let text = ascii(&told);
    if text.len() <= MAX_BYTES { text } else { r#"{"truncated":true}"#.to_owned() }
}

/// Drops items from the ends of the lists, until the rest fits. Everything is measured once.
fn drop_items(told: &mut Value) {
    let size = |value: &Value| ascii(value).len();
    let total = size(told);
    let authorities = told.get_mut("authorities").and_then(Value::as_list_mut);
    let Some(authorities) = authorities else { return };
    // An item goes with its comma, but the last of a list has none.
    let mut excess = (total + 3 * authorities.len()).saturating_sub(MAX_BYTES);
    for (list, granted) in [("tried", false), ("nearMisses", false), ("tried", true)] {
        for authority in authorities.iter_mut() {
            let Some(items) = authority.get_mut(list).and_then(Value::as_list_mut) else { continue };
            let mut kept = Vec::with_capacity(items.len());
            for item in std::mem::take(items).into_iter().rev() {
                if excess > 0 && (granted || item.str_at(&["outcome"]) != "granted") {
                    excess = excess.saturating_sub(size(&item) + 1);
                } else {
                    kept.push(item);
                }
            }
            kept.reverse();
            *items = kept;
        }
    }
}

/// JSON without characters that a header may not hold.
fn ascii(told: &Value) -> String {
    let mut out = String::new();
    for c in json::to_string(told).chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(tried: usize) -> Value {
        let trial = |i: usize| {
            let outcome = if i == 7 { "granted" } else { "no rule allows it" };
            tree!({"binding": format!("ClusterRoleBinding \"number {i:040}\""), "outcome": outcome})
        };
        let near = vec![tree!({"lack": "has not the verb \"é🙂\""})];
        tree!({
            "user": {"name": "jane"}, "allowed": true,
            "authorities": [{"authority": "RBAC", "tried": (0..tried).map(trial).collect::<Vec<_>>(), "nearMisses": near}]
        })
    }

    #[test]
    fn an_explanation_is_ascii_and_reads_the_same() {
        let text = shortened(told(8));
        assert!(text.is_ascii() && text.contains("\\u00e9\\ud83d\\ude42"), "{text}");
        assert_eq!(json::parse(text.as_bytes()).unwrap(), told(8));
    }

    #[test]
    fn an_explanation_keeps_to_its_size_and_what_granted() {
        let text = shortened(told(1000));
        let value = json::parse(text.as_bytes()).unwrap();
        assert!(text.len() <= MAX_BYTES);
        let authority = &value.list_at(&["authorities"])[0];
        assert_eq!(value.get("truncated"), Some(&Value::from(true)));
        assert!(authority.list_at(&["tried"]).iter().any(|t| t.str_at(&["outcome"]) == "granted"));
        assert_eq!(authority.list_at(&["nearMisses"]).len(), 1);
    }

    #[test]
    fn very_many_items_are_dropped_in_one_go() {
        let begun = std::time::Instant::now();
        let text = shortened(told(20_000));
        assert!(text.len() <= MAX_BYTES && text.len() > MAX_BYTES - 200, "{}", text.len());
        assert!(begun.elapsed() < std::time::Duration::from_secs(20));
    }

    #[test]
    fn a_question_is_shown_without_what_it_does_not_say() {
        let mut asked = Attributes::resource("get", "", "v1", "pods");
        asked.namespace = "n".into();
        assert_eq!(question(&asked), tree!({"verb": "get", "resource": "pods", "namespace": "n"}));
        assert_eq!(question(&Attributes::path("get", "/x")), tree!({"verb": "get", "path": "/x"}));
    }
}
