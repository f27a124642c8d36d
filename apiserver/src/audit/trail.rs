//! The trail of one request: what is learned of it on its way, and the events that are told at its stages.

use super::Audit;
use super::event::{self, Event, ObjectRef};
use super::policy::{Level, Stage, Wanted};
use crate::answer::Answer;
use crate::deadline::is_stream;
use crate::door::Connection;
use crate::stream::Lasting;
use api::{Later, Map, Status, Value, json, proto, schema, time, yaml};
use authn::Caller;
use authz::{Attributes, Authorizer, Permit};
use http::request::Parts;
use http::{HeaderMap, header};
use parking_lot::Mutex;
use std::any::Any;
use std::net::IpAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use stdx::Ids;
use tokio::time::Instant;

/// Requests that take longer say in their annotations where the time went.
const SLOW: Duration = Duration::from_millis(500);
const MAX_USER_AGENT_BYTES: usize = 1024;
const LATENCY: &str = "apiserver.latency.k8s.io/";

/// A request under audit. The request, the call, and the body of the answer share it.
pub struct Trail {
    audit: Arc<Audit>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    event: Event,
    /// What the policy wants; nothing until it is known who calls.
    wanted: Wanted,
    /// Whether the answer is a stream, or one of those that upstream counts as such.
    long_running: bool,
    /// Nobody was recognized: one event says so.
    unrecognized: bool,
    latencies: Vec<(&'static str, Duration)>,
    /// Nothing more is to come.
    over: bool,
}

impl Trail {
    /// Begins with the request, which carries it from then on. `id` is the audit id of its answer.
    pub fn begin(audit: &Arc<Audit>, parts: &mut Parts, id: &str) -> Arc<Self> {
        let uri = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let event = Event {
            id: id.to_owned(),
            uri: uri.to_owned(),
            source_ips: source_ips(parts),
            user_agent: user_agent(&parts.headers),
            received: audit.clock.now(),
            ..Event::default()
        };
        let state = State { event, ..State::default() };
        let trail = Arc::new(Trail { audit: audit.clone(), state: Mutex::new(state) });
        parts.extensions.insert(trail.clone());
        trail
    }

    /// The trail of a request, when it has one.
    pub fn of(parts: &Parts) -> Option<&Arc<Self>> {
        parts.extensions.get::<Arc<Self>>()
    }

    /// It is known who calls, or that nobody knows: asks the policy, and tells of the request. An error: the event
    /// cannot be kept, and may not be lost.
    pub fn received<'a>(
        &'a self,
        caller: Option<&'a Caller>,
        asked: &'a Attributes,
    ) -> Later<'a, Result<(), Status>> {
        self.learn_request(caller, asked);
        Box::pin(async move {
            if caller.is_none() || self.tell(Stage::RequestReceived).await {
                return Ok(());
            }
            self.audit.counts.rejected.fetch_add(1, Ordering::Relaxed);
            Err(Status::internal("failed to store audit event"))
        })
    }

    fn learn_request(&self, caller: Option<&Caller>, asked: &Attributes) {
        let wanted = self.audit.policy.judge(caller, asked);
        let mut state = self.state.lock();
        state.event.level = wanted.level;
        state.event.verb = asked.verb.to_string();
        state.event.user = caller.map_or_else(Value::map, event::user);
        state.event.object_ref = ObjectRef::of(asked);
        state.long_running = is_long_running(asked);
        state.unrecognized = caller.is_none();
        state.wanted = wanted;
        let took = self.audit.clock.now().since(state.event.received);
        state.latencies.push(("authentication", took));
    }

    /// The caller acts as somebody else, by the verb `constraint`.
    pub fn impersonated(&self, user: &Caller, constraint: &'static str) {
        let mut state = self.state.lock();
        state.event.impersonated = Some(event::user(user));
        state.event.constraint = constraint;
    }

    /// Authorizes, and learns of the decision.
    pub fn authorize<'a>(
        &'a self,
        authorizer: &'a Authorizer,
        caller: Caller,
        asked: Attributes,
    ) -> Later<'a, Result<Permit, Status>> {
        let refusal = asked.forbidden(caller.name(), "").message;
        Box::pin(async move {
            let began = Instant::now();
            let decided = authorizer.authorize(caller, asked).await;
            self.learn_decision(&decided, &refusal, began.elapsed());
            decided
        })
    }

    /// `refusal` is what a refusal without a reason says.
    fn learn_decision(&self, decided: &Result<Permit, Status>, refusal: &str, took: Duration) {
        let (decision, reason) = match decided {
            Ok(permit) => ("allow", permit.reason().to_string()),
            Err(status) if status.code == 403 => {
                let reason = status.message.strip_prefix(refusal).unwrap_or_default();
                ("forbid", reason.trim_start_matches(": ").to_owned())
            }
            Err(_) => ("", "internal error".to_owned()),
        };
        let mut state = self.state.lock();
        state.latencies.push(("authorization", took));
        let annotations = &mut state.event.annotations;
        if !decision.is_empty() {
            annotate(annotations, "authorization.k8s.io/decision", decision);
        }
        annotate(annotations, "authorization.k8s.io/reason", &reason);
    }

    /// Whether whole answers are told.
    pub fn tells_answers(&self) -> bool {
        self.tells(Level::RequestResponse)
    }

    fn tells(&self, level: Level) -> bool {
        self.state.lock().wanted.level >= level
    }

    /// The body of the request, as it was understood.
    pub fn request_object(&self, object: &Value) {
        let mut state = self.state.lock();
        let state = &mut *state;
        if let Some(reference) = &mut state.event.object_ref {
            reference.learn(object);
        }
        if state.wanted.level >= Level::Request {
            state.event.request_object = Some(told(object.clone(), &state.wanted));
        }
    }

    /// The body of a patch, as it came.
    pub fn request_patch(&self, body: &[u8]) {
        if self.tells(Level::Request) {
            let tree = json::parse(body).ok().or_else(|| yaml::parse(body).ok());
            self.state.lock().event.request_object = tree;
        }
    }

    /// Adds an annotation; what was said first stays.
    pub fn annotate(&self, key: &str, value: &str) {
        let mut state = self.state.lock();
        annotate(&mut state.event.annotations, key, value);
    }

    /// The request has an answer. For long ones the end is still to come: the answer's body tells it.
    pub async fn answered(self: &Arc<Self>, answer: Answer) -> Answer {
        let long_running = {
            let mut state = self.state.lock();
            state.learn_answer(&answer);
            state.long_running
        };
        if self.state.lock().unrecognized {
            self.tell(Stage::ResponseStarted).await;
            self.state.lock().over = true;
            return answer;
        }
        if long_running {
            self.tell(Stage::ResponseStarted).await;
            let ending = Ending(Some(self.clone()));
            if let Some(lasting) = answer.extensions().get::<Lasting>() {
                lasting.keep(ending);
                return answer;
            }
            return answer.map(|body| body.keeping(ending));
        }
        self.complete().await;
        answer
    }

    /// A bug ended the request.
    pub async fn panicked(&self, why: &str) {
        let message = format!("APIServer panic'd: {why}");
        {
            let mut state = self.state.lock();
            let status = Status::new(500, "InternalError", message);
            state.event.response_status = Some(bounded(&status.to_value()));
            state.over = true;
        }
        self.tell(Stage::Panic).await;
    }

    async fn complete(&self) {
        let now = self.audit.clock.now();
        {
            let mut state = self.state.lock();
            state.over = true;
            let total = now.since(state.event.received);
            if total > SLOW {
                state.latencies.push(("total", total));
                let State { latencies, event, .. } = &mut *state;
                for (name, took) in latencies {
                    let text = time::format_duration(i64::try_from(took.as_nanos()).unwrap_or(i64::MAX));
                    annotate(&mut event.annotations, &format!("{LATENCY}{name}"), &text);
                }
            }
        }
        self.tell(Stage::ResponseComplete).await;
    }

    /// The event of a stage, where the policy wants it.
    async fn tell(&self, stage: Stage) -> bool {
        let event = {
            let state = self.state.lock();
            if state.wanted.level == Level::None || state.wanted.omit_stages.contains(&stage) {
                return true;
            }
            state.event.tree(stage, self.audit.clock.now())
        };
        self.audit.tell(event).await
    }
}

impl State {
    /// What the answer says: its code, a status that it carries, and the whole of it where that is told.
    fn learn_answer(&mut self, answer: &Answer) {
        let code = answer.status().as_u16();
        let all = self.wanted.level >= Level::RequestResponse;
        if self.wanted.level == Level::None {
            return;
        }
        let object =
            answer.body().whole().and_then(|bytes| object(answer.headers(), &bytes, all || code >= 400));
        let status = object.as_ref().filter(|object| object.str_at(&["kind"]) == "Status").map(bounded);
        let mut status = status.unwrap_or_else(|| api::tree!({"metadata": {}}));
        status.set(&["code"], i64::from(code));
        self.event.response_status = Some(status);
        if all {
            self.event.response_object = object.map(|object| told(object, &self.wanted));
        }
    }
}

/// The id that a client chose, as it came, or a new one.
pub fn id(headers: &HeaderMap, ids: &Ids) -> String {
    let given = headers.get("audit-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    if given.is_empty() { ids.uuid() } else { given.to_owned() }
}

/// A request on its way: tells of its end when nobody waits for it any more.
pub struct Unfinished(Ending);

impl Unfinished {
    pub fn new(trail: Option<Arc<Trail>>) -> Self {
        Unfinished(Ending(trail))
    }

    /// It has come to an answer, which is told otherwise.
    pub fn end(mut self) {
        self.0.0 = None;
    }

    /// A bug ended it: tells of it, and lets the panic go on.
    pub async fn panicked<T>(&mut self, panic: Box<dyn Any + Send>) -> T {
        if let Some(trail) = self.0.0.take() {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            trail.panicked(&text.unwrap_or_default()).await;
        }
        resume_unwind(panic)
    }
}

/// The annotations of a request by a deprecated version, whose warning ends in `unavailable in v1.25+`.
pub fn deprecated(warning: &str) -> Vec<(String, String)> {
    let mut annotations = vec![("k8s.io/deprecated".to_owned(), "true".to_owned())];
    let removed = warning.split_once("unavailable in v").map(|(_, rest)| rest);
    let removed = removed.and_then(|rest| rest.split(|c: char| c != '.' && !c.is_ascii_digit()).next());
    if let Some(release) = removed.filter(|release| !release.is_empty()) {
        annotations.push(("k8s.io/removed-release".to_owned(), release.to_owned()));
    }
    annotations
}

/// Tells of the end when it is dropped: with the body of a long answer, or with a request that nobody waits for.
struct Ending(Option<Arc<Trail>>);

impl Drop for Ending {
    fn drop(&mut self) {
        let Some(trail) = self.0.take() else { return };
        {
            let mut state = trail.state.lock();
            if state.over || state.wanted.level == Level::None {
                return;
            }
            state.event.response_status.get_or_insert_with(closed_early);
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { trail.complete().await });
        }
    }
}

fn closed_early() -> Value {
    api::tree!({"metadata": {}, "status": "Success", "message": "Connection closed early", "code": 200})
}

fn annotate(annotations: &mut Map, key: &str, value: &str) {
    if annotations.get(key).is_some_and(|known| known.as_str() != Some(value)) {
        tracing::warn!(key, value, "an audit annotation is there already");
        return;
    }
    annotations.insert(key, value);
}

/// Verbs and subresources whose answers have no bound in time.
fn is_long_running(asked: &Attributes) -> bool {
    let (verb, subresource) = (asked.verb.as_str(), asked.subresource.as_str());
    asked.is_resource && (matches!(verb, "watch" | "proxy") || is_stream(subresource))
        || !asked.is_resource && asked.path.starts_with("/debug/pprof/")
}

/// The parts of a `Status` that are told.
fn bounded(status: &Value) -> Value {
    let mut told = api::tree!({"metadata": {}});
    for field in ["status", "message", "reason", "details", "code"] {
        if let Some(value) = status.get(field).filter(|value| !value.is_empty()) {
            told.set(&[field], value.clone());
        }
    }
    told
}

/// The object that an answer carries: always a status; others only where `all` is wanted.
fn object(headers: &HeaderMap, bytes: &[u8], all: bool) -> Option<Value> {
    let ty = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let found = match ty.split(';').next().unwrap_or_default() {
        "application/json" if all || bytes.starts_with(b"{\"kind\":\"Status\"") => json::parse(bytes).ok(),
        "application/yaml" if all => yaml::parse(bytes).ok(),
        "application/vnd.kubernetes.protobuf" => {
            let envelope = proto::unwrap(bytes).ok()?;
            if !all && envelope.kind != "Status" {
                return None;
            }
            let (group, version) = envelope.api_version.split_once('/').unwrap_or(("", envelope.api_version));
            let ty = schema::builtin_type(group, version, envelope.kind)?;
            let mut object = proto::decode(schema::builtin(), ty, envelope.raw).ok()?;
            schema::normalise(schema::builtin(), ty, &mut object).ok()?;
            schema::set_type_meta(&mut object, envelope.api_version, envelope.kind);
            Some(object)
        }
        _ => None,
    };
    found.filter(|object| !object.str_at(&["kind"]).is_empty())
}

/// An object as it is told.
fn told(mut object: Value, wanted: &Wanted) -> Value {
    if wanted.omit_managed_fields {
        forget_owners(&mut object);
        for (list, inner) in [("items", None), ("rows", Some("object"))] {
            let items = object.get_mut(list).and_then(Value::as_list_mut);
            for item in items.into_iter().flatten() {
                match inner {
                    Some(inner) => item.get_mut(inner).map(forget_owners).unwrap_or_default(),
                    None => forget_owners(item),
                }
            }
        }
    }
    object
}

fn forget_owners(object: &mut Value) {
    if object.at(&["metadata", "managedFields"]).is_some() {
        object.unset(&["metadata", "managedFields"]);
    }
}

fn user_agent(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    let agent = agent.unwrap_or_default();
    if agent.len() <= MAX_USER_AGENT_BYTES {
        return agent.into_owned();
    }
    let mut end = MAX_USER_AGENT_BYTES;
    while !agent.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...TRUNCATED", &agent[..end])
}

/// Whom the request came from, as proxies say it, and the other end of the connection, last.
fn source_ips(parts: &Parts) -> Vec<String> {
    let text = |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut ips: Vec<IpAddr> =
        text("x-forwarded-for").split(',').filter_map(|ip| ip.trim().parse().ok()).collect();
    if let Ok(ip) = text("x-real-ip").parse::<IpAddr>()
        && !ips.contains(&ip)
    {
        ips.push(ip);
    }
    let connection = parts.extensions.get::<Arc<Connection>>();
    let remote = connection.and_then(|connection| connection.peer().remote()).map(|remote| remote.ip());
    // Components in this process have no address; upstream's come over the loopback.
    let remote = remote.unwrap_or(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)).to_canonical();
    if ips.last() != Some(&remote) {
        ips.push(remote);
    }
    ips.iter().map(ToString::to_string).collect()
}
