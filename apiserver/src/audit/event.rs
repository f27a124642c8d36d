//! `audit.k8s.io/v1 Event`: one stage of one request, as a tree in upstream's order of fields, and as the line of the
//! legacy format.

use super::policy::{Level, Stage};
use api::{Map, Value, tree};
use authn::Caller;
use authz::Attributes;
use stdx::Time;

pub const API_VERSION: &str = "audit.k8s.io/v1";
/// Marks an event that lost its bodies because it was too large.
const TRUNCATED: &str = "audit.k8s.io/truncated";

/// What is known of a request so far.
#[derive(Clone, Debug, Default)]
pub struct Event {
    pub level: Level,
    pub id: String,
    pub uri: String,
    pub verb: String,
    pub user: Value,
    pub impersonated: Option<Value>,
    /// The verb that allows it, when that is not the one that allows everything.
    pub constraint: &'static str,
    pub source_ips: Vec<String>,
    pub user_agent: String,
    pub object_ref: Option<ObjectRef>,
    pub response_status: Option<Value>,
    pub request_object: Option<Value>,
    pub response_object: Option<Value>,
    pub received: Time,
    pub annotations: Map,
}

/// What a request is about; what the address does not say, the body may.
#[derive(Clone, Debug, Default)]
pub struct ObjectRef {
    pub resource: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub group: String,
    pub version: String,
    pub resource_version: String,
    pub subresource: String,
}

impl ObjectRef {
    pub fn of(asked: &Attributes) -> Option<Self> {
        asked.is_resource.then(|| ObjectRef {
            resource: asked.resource.to_string(),
            namespace: asked.namespace.to_string(),
            name: asked.name.to_string(),
            group: asked.group.to_string(),
            version: asked.version.to_string(),
            subresource: asked.subresource.to_string(),
            ..ObjectRef::default()
        })
    }

    /// Fills in what the body of the request says.
    pub fn learn(&mut self, object: &Value) {
        let fields = [
            (&mut self.namespace, "namespace"),
            (&mut self.name, "name"),
            (&mut self.uid, "uid"),
            (&mut self.resource_version, "resourceVersion"),
        ];
        for (known, field) in fields {
            if known.is_empty() {
                *known = object.str_at(&["metadata", field]).to_owned();
            }
        }
    }

    fn tree(&self) -> Value {
        some(&[
            ("resource", &self.resource),
            ("namespace", &self.namespace),
            ("name", &self.name),
            ("uid", &self.uid),
            ("apiGroup", &self.group),
            ("apiVersion", &self.version),
            ("resourceVersion", &self.resource_version),
            ("subresource", &self.subresource),
        ])
    }
}

/// The texts that are not empty.
fn some(fields: &[(&str, &str)]) -> Value {
    Value::Map(
        fields.iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (*name, *text)).collect(),
    )
}

/// `UserInfo` of a caller.
pub fn user(caller: &Caller) -> Value {
    let mut user = some(&[("username", caller.name()), ("uid", caller.uid())]);
    if !caller.groups().is_empty() {
        user.set(&["groups"], caller.groups().to_vec());
    }
    let mut extra: Vec<_> = caller.extra().to_vec();
    extra.sort();
    if !extra.is_empty() {
        user.set(&["extra"], Value::Map(extra.into_iter().collect()));
    }
    user
}

impl Event {
    /// The event of a stage.
    pub fn tree(&self, stage: Stage, now: Time) -> Value {
        let at = if stage == Stage::RequestReceived { self.received } else { now };
        let mut event = tree!({
            "kind": "Event", "apiVersion": API_VERSION, "level": self.level.as_str(), "auditID": self.id.as_str(),
            "stage": stage.as_str(), "requestURI": self.uri.as_str(), "verb": self.verb.as_str(),
            "user": self.user.clone()
        });
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                event.set(&[name], value);
            }
        };
        put("impersonatedUser", self.impersonated.clone());
        let constrained = !self.constraint.is_empty();
        put(
            "authenticationMetadata",
            constrained.then(|| tree!({"impersonationConstraint": self.constraint})),
        );
        put("sourceIPs", (!self.source_ips.is_empty()).then(|| self.source_ips.clone().into()));
        put("userAgent", (!self.user_agent.is_empty()).then(|| self.user_agent.as_str().into()));
        put("objectRef", self.object_ref.as_ref().map(ObjectRef::tree));
        put("responseStatus", self.response_status.clone());
        put("requestObject", self.request_object.clone());
        put("responseObject", self.response_object.clone());
        put("requestReceivedTimestamp", Some(self.received.rfc3339_micro().into()));
        put("stageTimestamp", Some(at.rfc3339_micro().into()));
        let mut annotations = self.annotations.clone();
        annotations.sort();
        put("annotations", (!annotations.is_empty()).then_some(Value::Map(annotations)));
        event
    }
}

/// The same event without the bodies, marked as such.
pub fn truncated(event: &Value) -> Value {
    let mut event = event.clone();
    event.unset(&["requestObject"]);
    event.unset(&["responseObject"]);
    let annotations = event.make_map(&["annotations"]);
    annotations.insert(TRUNCATED, "true");
    annotations.sort();
    event
}

/// `EventList` of some events.
pub fn list(events: &[Value]) -> Value {
    let items: Vec<Value> = events.to_vec();
    tree!({"kind": "EventList", "apiVersion": API_VERSION, "metadata": {}, "items": items})
}

/// The line of the legacy format, without its end.
pub fn legacy_line(event: &Value) -> String {
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    let groups = |user: &Value| {
        let quoted = user.list_at(&["groups"]).iter().filter_map(Value::as_str).map(api::quote);
        quoted.collect::<Vec<_>>().join(",")
    };
    let user = event.get("user").cloned().unwrap_or_default();
    let name = user.str_at(&["username"]);
    let user_groups = if name.is_empty() { String::new() } else { groups(&user) };
    let other = event.get("impersonatedUser");
    let as_user = other.map_or("<self>", |user| user.str_at(&["username"])).to_owned();
    let as_groups = other.map(groups).filter(|text| !text.is_empty());
    let code = event.at(&["responseStatus"]).map(|status| status.i64_at(&["code"]).unwrap_or(0).to_string());
    let ip = event.list_at(&["sourceIPs"]).first().and_then(Value::as_str).unwrap_or("<unknown>");
    let quote = api::quote;
    format!(
        "{} AUDIT: id={} stage={} ip={} method={} user={} groups={} as={} asgroups={} user-agent={} namespace={} uri={} response=\"{}\"",
        short_time(event.str_at(&["requestReceivedTimestamp"])),
        quote(event.str_at(&["auditID"])),
        quote(event.str_at(&["stage"])),
        quote(ip),
        quote(event.str_at(&["verb"])),
        quote(&or(name, "<none>")),
        quote(&or(&user_groups, "<none>")),
        quote(&as_user),
        quote(&as_groups.unwrap_or_else(|| "<lookup>".to_owned())),
        quote(event.str_at(&["userAgent"])),
        quote(&or(event.str_at(&["objectRef", "namespace"]), "<none>")),
        quote(event.str_at(&["requestURI"])),
        code.as_deref().unwrap_or("<deferred>"),
    )
}

/// Go's RFC3339Nano: without zeros at the end of the fraction.
fn short_time(micros: &str) -> String {
    let text = micros.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    // Seconds may end in a zero as well.
    let whole = "2006-01-02T15:04:05".len();
    let text = if text.len() < whole { micros.get(..whole).unwrap_or(micros) } else { text };
    format!("{text}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::json;

    fn event() -> Event {
        let mut asked = Attributes::resource("create", "", "v1", "secrets");
        asked.namespace = "a".into();
        Event {
            level: Level::Request,
            id: "id".into(),
            uri: "/api/v1/namespaces/a/secrets".into(),
            verb: "create".into(),
            user: user(&authn::in_process("jane", &["g"])),
            source_ips: vec!["127.0.0.1".into()],
            user_agent: "x".into(),
            object_ref: ObjectRef::of(&asked),
            response_status: Some(tree!({"metadata": {}, "code": 201})),
            received: Time { secs: 0, nanos: 1_500_000 },
            ..Event::default()
        }
    }

    #[test]
    fn fields_come_in_upstreams_order_and_empty_ones_not_at_all() {
        let mut event = event();
        event.object_ref.as_mut().unwrap().learn(&tree!({"metadata": {"name": "s", "namespace": "other"}}));
        event.annotations.insert("b", "2");
        event.annotations.insert("a", "1");
        assert_eq!(
            json::to_string(&event.tree(Stage::ResponseComplete, Time::from_secs(1))),
            concat!(
                r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request","auditID":"id","stage":"ResponseComplete","#,
                r#""requestURI":"/api/v1/namespaces/a/secrets","verb":"create","user":{"username":"jane","groups":["g","system:authenticated"]},"#,
                r#""sourceIPs":["127.0.0.1"],"userAgent":"x","objectRef":{"resource":"secrets","namespace":"a","name":"s","apiVersion":"v1"},"#,
                r#""responseStatus":{"metadata":{},"code":201},"requestReceivedTimestamp":"1970-01-01T00:00:00.001500Z","#,
                r#""stageTimestamp":"1970-01-01T00:00:01.000000Z","annotations":{"a":"1","b":"2"}}"#
            )
        );
    }

    #[test]
    fn the_legacy_line_reads_as_upstreams() {
        let mut event = event();
        assert_eq!(
            legacy_line(&event.tree(Stage::ResponseComplete, Time::default())),
            r#"1970-01-01T00:00:00.0015Z AUDIT: id="id" stage="ResponseComplete" ip="127.0.0.1" method="create" user="jane" groups="\"g\",\"system:authenticated\"" as="<self>" asgroups="<lookup>" user-agent="x" namespace="a" uri="/api/v1/namespaces/a/secrets" response="201""#
        );
        (event.response_status, event.received) = (None, Time::from_secs(10));
        let line = legacy_line(&event.tree(Stage::RequestReceived, Time::default()));
        assert!(
            line.starts_with("1970-01-01T00:00:10Z ") && line.ends_with("response=\"<deferred>\""),
            "{line}"
        );
    }

    #[test]
    fn a_truncated_event_has_lost_its_bodies() {
        let mut event = event();
        (event.request_object, event.response_object) = (Some(tree!({})), Some(tree!({})));
        let short = truncated(&event.tree(Stage::ResponseComplete, Time::default()));
        assert!(short.get("requestObject").is_none() && short.get("responseObject").is_none());
        assert_eq!(short.str_at(&["annotations", TRUNCATED]), "true");
    }
}
