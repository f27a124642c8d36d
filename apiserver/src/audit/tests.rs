//! Trails from their beginning to their end, and what sinks are told of them.

use super::event::API_VERSION;
use super::*;
use crate::answer::{self, PLAIN_JSON};
use crate::door::Body;
use api::{Later, Status, json, tree};
use authz::Attributes;
use http::request::Parts;
use http::{Request, Response};
use parking_lot::Mutex;
use std::time::Duration;
use stdx::Time;

#[derive(Clone, Default)]
struct Kept {
    events: Arc<Mutex<Vec<Value>>>,
    refuses: bool,
}

impl Sink for Kept {
    fn take<'a>(&'a self, events: &'a [Value]) -> Later<'a, bool> {
        self.events.lock().extend_from_slice(events);
        Box::pin(std::future::ready(!self.refuses))
    }
}

struct Scene {
    audit: Arc<Audit>,
    kept: Kept,
    clock: Clock,
}

fn scene(rules: &str) -> Scene {
    with(rules, Kept::default())
}

fn with(rules: &str, kept: Kept) -> Scene {
    let policy = policy_file::parse(format!("apiVersion: {API_VERSION}\nkind: Policy\n{rules}").as_bytes());
    let clock = Clock::manual(Time::from_secs(10));
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(kept.clone())];
    let audit = Audit { policy: policy.unwrap(), sinks, clock: clock.clone(), counts: Counts::default() };
    Scene { audit: Arc::new(audit), kept, clock }
}

impl Scene {
    fn begin(&self, parts: &mut Parts) -> Arc<Trail> {
        Trail::begin(&self.audit, parts, "the-id")
    }

    fn stages(&self) -> Vec<String> {
        self.kept.events.lock().iter().map(|event| event.str_at(&["stage"]).to_owned()).collect()
    }

    fn last(&self) -> Value {
        self.kept.events.lock().last().cloned().unwrap()
    }
}

fn parts(headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri("/api/v1/namespaces/a/secrets?x=1");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn asked(verb: &str) -> Attributes {
    let mut asked = Attributes::resource(verb, "", "v1", "secrets");
    asked.namespace = "a".into();
    asked
}

fn jane() -> authn::Caller {
    authn::in_process("jane", &["dev"])
}

fn secret() -> Value {
    let owners = tree!([{"manager": "kubectl"}]);
    tree!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s", "managedFields": owners}})
}

#[tokio::test]
async fn a_request_is_told_when_it_comes_and_when_it_is_answered() {
    let scene = scene("rules: [{level: Metadata}]");
    let headers =
        [("user-agent", "kubectl/v1"), ("x-forwarded-for", "10.0.0.1, junk"), ("x-real-ip", "10.0.0.2")];
    let mut parts = parts(&headers);
    let trail = scene.begin(&mut parts);
    assert!(Arc::ptr_eq(&trail, Trail::of(&parts).unwrap()));
    trail.received(Some(&jane()), &asked("create")).await.unwrap();
    trail.request_object(&secret());
    trail.annotate("a/b", "c");
    trail.annotate("a/b", "not any more");
    trail.answered(answer::tree(PLAIN_JSON, 201, &secret()).unwrap()).await;
    assert_eq!(scene.stages(), ["RequestReceived", "ResponseComplete"]);
    let first = scene.kept.events.lock()[0].clone();
    assert!(first.get("responseStatus").is_none() && first.at(&["objectRef", "name"]).is_none());
    let last = scene.last();
    assert_eq!(last.get("responseStatus"), Some(&tree!({"metadata": {}, "code": 201})));
    assert_eq!(last.get("sourceIPs"), Some(&tree!(["10.0.0.1", "10.0.0.2", "::1"])));
    assert_eq!(last.str_at(&["objectRef", "name"]), "s");
    assert_eq!(last.str_at(&["requestURI"]), "/api/v1/namespaces/a/secrets?x=1");
    assert_eq!((last.str_at(&["auditID"]), last.str_at(&["userAgent"])), ("the-id", "kubectl/v1"));
    assert_eq!(last.str_at(&["annotations", "a/b"]), "c");
    assert!(last.get("requestObject").is_none() && last.get("responseObject").is_none());
}

#[tokio::test]
async fn bodies_are_told_at_their_levels_and_without_owners_where_asked() {
    for (level, request, response) in [("Request", true, false), ("RequestResponse", true, true)] {
        let scene = scene(&format!(
            "omitManagedFields: true\nomitStages: [RequestReceived]\nrules: [{{level: {level}}}]"
        ));
        let trail = scene.begin(&mut parts(&[]));
        trail.received(Some(&jane()), &asked("create")).await.unwrap();
        trail.request_object(&secret());
        let form = crate::negotiate::Form { media: crate::negotiate::Media::Protobuf, ..PLAIN_JSON };
        trail.answered(answer::tree(form, 201, &secret()).unwrap()).await;
        assert_eq!(scene.stages(), ["ResponseComplete"]);
        let last = scene.last();
        for (field, there) in [("requestObject", request), ("responseObject", response)] {
            assert_eq!(last.str_at(&[field, "kind"]) == "Secret", there, "{level} {field}");
            assert!(last.at(&[field, "metadata", "managedFields"]).is_none());
        }
    }
}

#[tokio::test]
async fn refusals_are_told_with_their_status_and_decisions_with_their_reasons() {
    let scene = scene("rules: [{level: Metadata}]");
    let trail = scene.begin(&mut parts(&[]));
    let authorizer = authz::Authorizer::new(&authz::Settings::new(scene.clock.clone())).unwrap();
    trail.received(Some(&jane()), &asked("create")).await.unwrap();
    let refused = trail.authorize(&authorizer, jane(), asked("create")).await.unwrap_err();
    trail.answered(answer::refusal(&refused, None)).await;
    let last = scene.last();
    let status = |field| last.str_at(&["responseStatus", field]);
    assert_eq!((status("reason"), status("status")), ("Forbidden", "Failure"));
    assert_eq!(status("message"), refused.message);
    assert_eq!(last.i64_at(&["responseStatus", "code"]), Some(403));
    assert_eq!(last.str_at(&["annotations", "authorization.k8s.io/decision"]), "forbid");
    assert!(last.at(&["annotations", "authorization.k8s.io/reason"]).is_some());
    let root = authn::in_process("root", &["system:masters"]);
    assert!(trail.authorize(&authorizer, root, asked("create")).await.is_ok());
}

#[tokio::test]
async fn a_stranger_has_one_event() {
    let scene = scene("rules: [{level: None, users: [jane]}, {level: Metadata}]");
    let trail = scene.begin(&mut parts(&[]));
    trail.received(None, &asked("get")).await.unwrap();
    trail.answered(answer::refusal(&Status::unauthorized(), None)).await;
    assert_eq!(scene.stages(), ["ResponseStarted"]);
    assert_eq!(scene.last().get("user"), Some(&Value::map()));
    assert_eq!(scene.last().i64_at(&["responseStatus", "code"]), Some(401));
}

#[tokio::test]
async fn a_long_answer_is_told_at_its_start_and_when_its_body_ends() {
    let scene = scene("rules: [{level: Metadata}]");
    let trail = scene.begin(&mut parts(&[]));
    trail.received(Some(&jane()), &asked("watch")).await.unwrap();
    let answer = trail.answered(Response::new(Body::full("x"))).await;
    assert_eq!(scene.stages(), ["RequestReceived", "ResponseStarted"]);
    drop((answer, trail));
    settled(&scene, 3).await;
    assert_eq!(scene.stages()[2], "ResponseComplete");
}

async fn settled(scene: &Scene, events: usize) {
    for _ in 0..100 {
        if scene.kept.events.lock().len() >= events {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn requests_that_nobody_waits_for_and_panics_have_an_end() {
    let scene = scene("rules: [{level: Metadata}]");
    let trail = scene.begin(&mut parts(&[]));
    trail.received(Some(&jane()), &asked("get")).await.unwrap();
    drop(Unfinished::new(Some(trail)));
    settled(&scene, 2).await;
    assert_eq!(scene.last().str_at(&["responseStatus", "message"]), "Connection closed early");
    let trail = scene.begin(&mut parts(&[]));
    trail.received(Some(&jane()), &asked("get")).await.unwrap();
    let mut unfinished = Unfinished::new(Some(trail));
    let task = tokio::spawn(async move { unfinished.panicked::<()>(Box::new("a bug")).await });
    assert!(task.await.is_err());
    assert_eq!(scene.last().str_at(&["stage"]), "Panic");
    assert_eq!(scene.last().str_at(&["responseStatus", "message"]), "APIServer panic'd: a bug");
    assert_eq!(scene.stages().len(), 4);
}

#[tokio::test]
async fn a_request_whose_event_may_not_be_lost_is_refused() {
    let scene = with("rules: [{level: Metadata}]", Kept { refuses: true, ..Kept::default() });
    let trail = scene.begin(&mut parts(&[]));
    let refused = trail.received(Some(&jane()), &asked("get")).await.unwrap_err();
    assert_eq!(refused.message, "Internal error occurred: failed to store audit event");
    assert_eq!(scene.audit.counts.rejected.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn slow_requests_say_where_their_time_went_and_unwanted_ones_nothing() {
    let scene = scene("rules: [{level: Metadata, verbs: [get]}]");
    for verb in ["get", "list"] {
        let trail = scene.begin(&mut parts(&[]));
        trail.received(Some(&jane()), &asked(verb)).await.unwrap();
        scene.clock.advance(Duration::from_millis(1500));
        trail.answered(answer::tree(PLAIN_JSON, 200, &secret()).unwrap()).await;
    }
    assert_eq!(scene.stages(), ["RequestReceived", "ResponseComplete"]);
    assert_eq!(scene.last().str_at(&["annotations", "apiserver.latency.k8s.io/total"]), "1.5s");
    assert_eq!(scene.last().str_at(&["stageTimestamp"]), "1970-01-01T00:00:11.500000Z");
    assert!(json::to_string(&scene.last()).contains("apiserver.latency.k8s.io/authentication"));
}

#[test]
fn an_id_that_a_client_chose_stays() {
    let ids = stdx::Ids::seeded(1);
    assert_eq!(id(&parts(&[("audit-id", "mine")]).headers, &ids), "mine");
    assert_eq!(id(&parts(&[("audit-id", "")]).headers, &ids).len(), 36);
}

#[test]
fn a_deprecated_version_is_told_with_its_last_release() {
    let told = deprecated("v1 ComponentStatus is deprecated in v1.19+");
    assert_eq!(told, [("k8s.io/deprecated".to_owned(), "true".to_owned())]);
    let told = deprecated("policy/v1beta1 X is deprecated in v1.21+, unavailable in v1.25+");
    assert_eq!(told[1], ("k8s.io/removed-release".to_owned(), "1.25".to_owned()));
}

#[test]
fn garbage_for_a_policy_is_refused_or_read_but_never_worse() {
    let good = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: Request\n\
                \x20 users: [a]\n  resources: [{group: apps, resources: ['*/scale'], resourceNames: [x]}]\n\
                \x20 namespaces: [b]\n- {level: None, nonResourceURLs: ['/a*'], omitManagedFields: true}\n";
    assert!(policy_file::parse(good.as_bytes()).is_ok());
    let mut refused = 0;
    crate::garbage::variants(good, 3000, |text| {
        let outcome = policy_file::parse(text);
        refused += usize::from(outcome.is_err());
        if let Ok(policy) = &outcome {
            policy.judge(Some(&jane()), &asked("get"));
        }
        assert!(crate::garbage::is_clear(&outcome.map(drop)), "{}", String::from_utf8_lossy(text));
    });
    assert!((500..3000).contains(&refused), "{refused}");
}
