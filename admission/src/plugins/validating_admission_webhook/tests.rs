//! Webhooks as plugins see them: a network that answers what the test says, real configurations.

use super::super::mutating_admission_webhook::MutatingAdmissionWebhook;
use super::super::testing::{Cluster, Outcome, Request};
use super::*;
use crate::review::{Asks, Operation};
use api::{Network, Question, Remote, RemoteError, Reply, Value, json, tree};
use authz::{Attributes, Decision, Reason};
use base64::Engine as _;
use std::sync::Mutex;
use std::time::Duration;
use stdx::Clock;

type Answers = dyn Fn(&Value) -> Result<Reply, RemoteError> + Send + Sync;

/// A network whose every server answers by one function; it remembers what it was asked.
struct Net {
    answers: Box<Answers>,
    asked: Mutex<Vec<(Remote, Value)>>,
}

impl Net {
    fn new(answers: impl Fn(&Value) -> Result<Reply, RemoteError> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Net { answers: Box::new(answers), asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<(Remote, Value)> {
        self.asked.lock().unwrap().clone()
    }
}

impl Network for Net {
    fn ask<'a>(
        &'a self,
        remote: &'a Remote,
        question: Question,
        _: Duration,
    ) -> Later<'a, Result<Reply, RemoteError>> {
        let review = json::parse(&question.body.unwrap_or_default()).unwrap();
        self.asked.lock().unwrap().push((remote.clone(), review.clone()));
        Box::pin(std::future::ready((self.answers)(&review)))
    }
}

fn reply(status: u16, body: impl Into<Vec<u8>>) -> Result<Reply, RemoteError> {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Ok(Reply { status, body: body.into(), headers })
}

/// The answer of a well-behaved webhook: `fields` beside the id.
fn answering(fields: Value) -> impl Fn(&Value) -> Result<Reply, RemoteError> + Send + Sync {
    move |review| {
        let mut response = fields.clone();
        response.set(&["uid"], review.str_at(&["request", "uid"]));
        let version = review.str_at(&["apiVersion"]);
        reply(
            200,
            json::to_vec(&tree!({"kind": "AdmissionReview", "apiVersion": version, "response": response})),
        )
    }
}

/// A configuration of one webhook for config maps, with some fields set otherwise.
fn configuration(fields: Value) -> Value {
    let mut hook = tree!({
        "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 10,
        "failurePolicy": "Fail", "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {},
        "clientConfig": {"url": "https://hook.example.com/x"},
        "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]
    });
    for (key, value) in fields.as_map().unwrap().iter() {
        hook.set(&[key.as_str()], value.clone());
    }
    tree!({"metadata": {"name": "c"}, "webhooks": [hook]})
}

fn config_map() -> Value {
    tree!({"apiVersion": "v1", "kind": "ConfigMap",
           "metadata": {"name": "m", "namespace": "n", "labels": {"app": "a"}}, "data": {"k": "v"}})
}

fn settings(network: Arc<Net>, mutating: bool, configuration: Value) -> Settings {
    let resource = if mutating { "mutatingwebhookconfigurations" } else { "validatingwebhookconfigurations" };
    let namespace = tree!({"metadata": {"name": "n", "labels": {"env": "prod"}}});
    let cluster = Cluster::new().with("admissionregistration.k8s.io", resource, configuration).with(
        "",
        "namespaces",
        namespace,
    );
    Settings { reader: Arc::new(cluster), network, ..Settings::new(Clock::system()) }
}

async fn run(plugin: &dyn Plugin, request: Request<'_>) -> Outcome {
    plugin.begin().await;
    let namespace = tree!({"metadata": {"name": "n", "labels": {"env": "prod"}}});
    request.run(plugin, &Cluster::new().with("", "namespaces", namespace)).await
}

async fn judge(network: &Arc<Net>, fields: Value) -> Outcome {
    let plugin =
        ValidatingAdmissionWebhook::new(&settings(network.clone(), false, configuration(fields))).unwrap();
    run(&plugin, Request::new(("", "configmaps"), config_map(), None)).await
}

async fn change(network: &Arc<Net>, fields: Value) -> Outcome {
    let plugin =
        MutatingAdmissionWebhook::new(&settings(network.clone(), true, configuration(fields))).unwrap();
    run(&plugin, Request::new(("", "configmaps"), config_map(), None)).await
}

fn message(outcome: &Outcome) -> (u16, String) {
    outcome.result.as_ref().err().map(|s| (s.code, s.message.clone())).unwrap_or_default()
}

#[tokio::test]
async fn a_webhook_is_told_all_of_the_request() {
    let net = Net::new(answering(tree!({"allowed": true})));
    assert!(judge(&net, tree!({})).await.result.is_ok());
    let (remote, review) = net.asked().remove(0);
    assert_eq!(remote.url, "https://hook.example.com/x?timeout=10s");
    assert_eq!(
        review,
        tree!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
            "uid": "00000000-0000-4000-8000-000000000000",
            "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "resource": {"group": "", "version": "v1", "resource": "configmaps"},
            "requestKind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "requestResource": {"group": "", "version": "v1", "resource": "configmaps"},
            "name": "m", "namespace": "n", "operation": "CREATE", "userInfo": {"username": "jane"},
            "dryRun": false, "options": null, "object": (config_map()), "oldObject": null}})
    );
}

#[tokio::test]
async fn a_refusal_carries_what_the_webhook_says() {
    let net = Net::new(answering(tree!({"allowed": false, "warnings": ["careful"],
        "auditAnnotations": {"k": "v"}, "status": {"code": 418, "message": "no", "reason": "Teapot"}})));
    let outcome = judge(&net, tree!({})).await;
    assert_eq!(outcome.warnings, ["careful"]);
    assert_eq!(outcome.audit_annotations, [("a.example.com/k".to_owned(), "v".to_owned())]);
    let status = outcome.result.unwrap_err();
    assert_eq!(
        status.to_value(),
        tree!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
               "message": "admission webhook \"a.example.com\" denied the request: no", "reason": "Teapot", "code": 418})
    );
    for (status, expected) in [
        (
            tree!({"reason": "Because", "code": 200}),
            "admission webhook \"a.example.com\" denied the request: Because",
        ),
        (Value::Null, "admission webhook \"a.example.com\" denied the request without explanation"),
    ] {
        let net = Net::new(answering(tree!({"allowed": false, "status": status})));
        assert_eq!(message(&judge(&net, tree!({})).await), (400, expected.to_owned()));
    }
}

fn patch(text: &str) -> Value {
    let patch = base64::engine::general_purpose::STANDARD.encode(text);
    tree!({"allowed": true, "patchType": "JSONPatch", "patch": patch})
}

#[tokio::test]
async fn a_patch_changes_the_object() {
    let net = Net::new(answering(patch(r#"[{"op": "add", "path": "/data/x", "value": "y"}]"#)));
    let outcome = change(&net, tree!({})).await;
    assert_eq!(outcome.object.at(&["data"]), Some(&tree!({"k": "v", "x": "y"})));
    let key = "mutation.webhook.admission.k8s.io/round_0_index_0";
    let note = r#"{"configuration":"c","webhook":"a.example.com","mutated":true}"#;
    assert_eq!(outcome.audit_annotations, [(key.to_owned(), note.to_owned())]);
    let beta = change(&net, tree!({"admissionReviewVersions": ["v9", "v1beta1", "v1"]})).await;
    assert_eq!(beta.object.str_at(&["data", "x"]), "y");
    assert_eq!(net.asked()[1].1.str_at(&["apiVersion"]), "admission.k8s.io/v1beta1");
    for (text, error) in [
        (
            "{}",
            "failed calling webhook \"a.example.com\": received undecodable patch in webhook response: json: cannot unmarshal object into Go value of type jsonpatch.Patch",
        ),
        (
            r#"[{"op": "remove", "path": "/none/x"}]"#,
            "remove operation does not apply: doc is missing path: \"/none/x\": missing value",
        ),
    ] {
        let net = Net::new(answering(patch(text)));
        let expected = (500, format!("Internal error occurred: {error}"));
        assert_eq!(message(&change(&net, tree!({})).await), expected);
    }
}

#[tokio::test]
async fn answers_that_are_none_are_told_in_upstreams_words() {
    let id = "00000000-0000-4000-8000-000000000000";
    let v1 = |response: &str| {
        format!(r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{response}}}"#)
    };
    let unasked = "failed to call webhook: ";
    let invalid = "received invalid webhook response: ";
    for (status, body, error) in [
        (200, "{}".to_owned(), format!("{invalid}webhook response was absent")),
        (200, v1("null"), format!("{invalid}webhook response was absent")),
        (
            200,
            v1(r#"{"allowed":true,"uid":"x"}"#),
            format!("{invalid}expected response.uid=\"{id}\", got \"x\""),
        ),
        (
            200,
            format!(r#"{{"response":{{"uid":"{id}","allowed":true}}}}"#),
            format!(
                "{invalid}expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind="
            ),
        ),
        (
            200,
            v1(&format!(r#"{{"uid":"{id}","allowed":true,"patchType":"JSONPatch"}}"#)),
            format!("{invalid}validating webhook may not return response.patchType"),
        ),
        (
            200,
            v1(r#"{"allowed":"yes"}"#),
            format!(
                "{unasked}json: cannot unmarshal string into Go struct field AdmissionReview.response.allowed of type bool"
            ),
        ),
        (
            200,
            "nonsense".to_owned(),
            format!(
                "{unasked}couldn't get version/kind; json parse error: invalid character 'o' in literal null (expecting 'u')"
            ),
        ),
        (
            200,
            String::new(),
            format!("{unasked}0-length response with status code: 200 and content type: application/json"),
        ),
        (404, "x".to_owned(), format!("{unasked}the server could not find the requested resource")),
        (
            500,
            "x".to_owned(),
            format!(
                "{unasked}an error on the server (\"unknown\") has prevented the request from succeeding"
            ),
        ),
        (
            403,
            r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"go away","code":403}"#
                .to_owned(),
            format!("{unasked}go away"),
        ),
    ] {
        let net = Net::new(move |_| reply(status, body.clone()));
        let expected = format!("Internal error occurred: failed calling webhook \"a.example.com\": {error}");
        assert_eq!(message(&judge(&net, tree!({})).await), (500, expected));
    }
}

#[tokio::test]
async fn a_webhook_that_may_fail_is_passed_over() {
    let net = Net::new(|_| Err(RemoteError::Failed("Post \"u\": no".to_owned())));
    let ignored = judge(&net, tree!({"failurePolicy": "Ignore"})).await;
    assert!(ignored.result.is_ok());
    let key = "failed-open.validating.webhook.admission.k8s.io/round_0_index_0";
    assert_eq!(ignored.audit_annotations, [(key.to_owned(), "a.example.com".to_owned())]);
}

#[tokio::test]
async fn selectors_and_rules_say_who_is_asked() {
    for (fields, expected) in [
        (tree!({"namespaceSelector": {"matchLabels": {"env": "prod"}}}), 1),
        (tree!({"namespaceSelector": {"matchLabels": {"env": "test"}}}), 0),
        (tree!({"objectSelector": {"matchLabels": {"app": "a"}}}), 1),
        (tree!({"objectSelector": {"matchLabels": {"app": "b"}}}), 0),
        (
            tree!({"rules": [{"operations": ["DELETE"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}]}),
            0,
        ),
        (
            tree!({"rules": [{"operations": ["CREATE"], "apiGroups": ["*"], "apiVersions": ["v2"], "resources": ["*"]}]}),
            0,
        ),
        (tree!({"matchConditions": [{"name": "x", "expression": "object.data.k == 'v'"}]}), 1),
        (tree!({"matchConditions": [{"name": "x", "expression": "request.operation == 'UPDATE'"}]}), 0),
        (
            tree!({"failurePolicy": "Ignore", "matchConditions": [{"name": "x", "expression": "object.nope == 1"}]}),
            0,
        ),
        (
            tree!({"matchConditions": [{"name": "x", "expression": "object.nope == 1"}, {"name": "y", "expression": "false"}]}),
            0,
        ),
    ] {
        let net = Net::new(answering(tree!({"allowed": true})));
        assert!(judge(&net, fields.clone()).await.result.is_ok());
        assert_eq!(net.asked().len(), expected, "{fields:?}");
    }
    let net = Net::new(answering(tree!({"allowed": true})));
    let failing = tree!({"matchConditions": [{"name": "x", "expression": "object.nope == 1"}]});
    let why =
        "configmaps \"m\" is forbidden: expression 'object.nope == 1' resulted in error: no such key: nope";
    assert_eq!(message(&judge(&net, failing).await), (403, why.to_owned()));
}

struct OnlyPods;

impl Asks for OnlyPods {
    fn may<'a>(&'a self, asked: &'a Attributes) -> Later<'a, Decision> {
        let decision = match (asked.verb.as_str(), asked.resource.as_str()) {
            ("create", "pods") => Decision::Allow(Reason::NONE),
            _ => Decision::NoOpinion(Reason::NONE),
        };
        Box::pin(std::future::ready(decision))
    }
}

#[tokio::test]
async fn conditions_ask_the_authorizer_about_the_caller() {
    for (resource, expected) in [("pods", 1), ("nodes", 0)] {
        let net = Net::new(answering(tree!({"allowed": true})));
        let text = format!("authorizer.group('').resource('{resource}').check('create').allowed()");
        let fields = tree!({"matchConditions": [{"name": "x", "expression": text}]});
        let plugin =
            ValidatingAdmissionWebhook::new(&settings(net.clone(), false, configuration(fields))).unwrap();
        let request = Request { asks: &OnlyPods, ..Request::new(("", "configmaps"), config_map(), None) };
        assert!(run(&plugin, request).await.result.is_ok());
        assert_eq!(net.asked().len(), expected, "{resource}");
    }
}

#[tokio::test]
async fn a_dry_run_is_refused_where_it_would_have_effects() {
    let net = Net::new(answering(tree!({"allowed": true})));
    for (effects, refused) in [("Some", true), ("Unknown", true), ("None", false), ("NoneOnDryRun", false)] {
        let configuration = configuration(tree!({"sideEffects": effects}));
        let plugin = ValidatingAdmissionWebhook::new(&settings(net.clone(), false, configuration)).unwrap();
        let request = Request { dry_run: true, ..Request::new(("", "configmaps"), config_map(), None) };
        let outcome = run(&plugin, request).await;
        let text = "admission webhook \"a.example.com\" does not support dry run";
        assert_eq!(message(&outcome), if refused { (400, text.to_owned()) } else { (0, String::new()) });
    }
}

#[tokio::test]
async fn deletions_show_the_old_object_and_take_no_patch() {
    let net = Net::new(answering(patch(r#"[{"op": "add", "path": "/data/x", "value": "y"}]"#)));
    let plugin =
        MutatingAdmissionWebhook::new(&settings(net.clone(), true, configuration(tree!({})))).unwrap();
    let old = config_map();
    let request = Request {
        operation: Operation::Delete,
        ..Request::new(("", "configmaps"), config_map(), Some(&old))
    };
    let outcome = run(&plugin, request).await;
    let why = "Internal error occurred: admission webhook \"a.example.com\" attempted to modify the object, which is not supported for this operation";
    assert_eq!(message(&outcome), (500, why.to_owned()));
    let asked = net.asked().remove(0).1;
    assert_eq!(asked.at(&["request", "object"]), Some(&Value::Null));
    assert_eq!(asked.at(&["request", "oldObject"]), Some(&old));
}

#[tokio::test]
async fn a_service_leads_to_a_ready_endpoint() {
    let net = Net::new(answering(tree!({"allowed": true})));
    let service = tree!({"clientConfig": {"caBundle": "YQ==",
        "service": {"name": "s", "namespace": "n", "port": 8443, "path": "/p"}}});
    let cluster = |slices: Vec<Value>| {
        let found = tree!({"metadata": {"name": "s", "namespace": "n"}, "spec": {"type": "ClusterIP", "clusterIP": "None",
                          "ports": [{"name": "https", "port": 8443}]}});
        let cluster = Cluster::new()
            .with(
                "admissionregistration.k8s.io",
                "validatingwebhookconfigurations",
                configuration(service.clone()),
            )
            .with("", "services", found);
        slices.into_iter().fold(cluster, |c, slice| c.with("discovery.k8s.io", "endpointslices", slice))
    };
    let slice = tree!({"metadata": {"name": "s-1", "namespace": "n", "labels": {"kubernetes.io/service-name": "s"}},
        "addressType": "IPv4", "ports": [{"name": "https", "port": 9443}],
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": false}}, {"addresses": ["10.0.0.2"]}]});
    let ask = |slices: Vec<Value>| {
        let settings = Settings {
            reader: Arc::new(cluster(slices)),
            network: net.clone(),
            ..Settings::new(Clock::system())
        };
        async move {
            let plugin = ValidatingAdmissionWebhook::new(&settings).unwrap();
            run(&plugin, Request::new(("", "configmaps"), config_map(), None)).await
        }
    };
    assert!(ask(vec![slice]).await.result.is_ok());
    let remote = net.asked().remove(0).0;
    assert_eq!(remote.url, "https://s.n.svc:8443/p?timeout=10s");
    assert_eq!(remote.address.as_deref(), Some("10.0.0.2:9443"));
    assert_eq!((remote.server_name.as_str(), remote.ca.as_deref()), ("s.n.svc", Some(&b"a"[..])));
    let why = "Internal error occurred: failed calling webhook \"a.example.com\": failed to call webhook: Post \"https://s.n.svc:8443/p?timeout=10s\": no endpoints available for service \"s\"";
    assert_eq!(message(&ask(Vec::new()).await), (500, why.to_owned()));
}

#[tokio::test]
async fn credentials_are_found_by_the_name_of_the_server() {
    let net = Net::new(answering(tree!({"allowed": true})));
    let mut settings = settings(net.clone(), false, configuration(tree!({})));
    settings.configurations.insert(
        "ValidatingAdmissionWebhook".to_owned(),
        tree!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration",
               "kubeConfigFile": "/k"}),
    );
    settings.read_file = |_| Ok(b"users: [{name: '*.example.com', user: {token: t}}]".to_vec());
    let plugin = ValidatingAdmissionWebhook::new(&settings).unwrap();
    run(&plugin, Request::new(("", "configmaps"), config_map(), None)).await;
    assert_eq!(net.asked().remove(0).0.authorization.as_deref(), Some("Bearer t"));
}

mod garbage {
    use super::*;
    use proptest::prelude::*;

    fn leaf() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("-1".to_owned()),
            Just("1e999".to_owned()),
            Just("\"JSONPatch\"".to_owned()),
            Just("\"W3sib3AiOiJhZGQifV0=\"".to_owned()),
            Just("\"00000000-0000-4000-8000-000000000000\"".to_owned()),
            "\"[a-z=]{0,8}\"",
            Just("[]".to_owned()),
            Just("{}".to_owned()),
            Just("{\"code\":99999,\"message\":1}".to_owned()),
        ]
    }

    fn response() -> impl Strategy<Value = String> {
        let field = prop_oneof![
            Just("uid"),
            Just("allowed"),
            Just("status"),
            Just("patch"),
            Just("patchType"),
            Just("warnings"),
            Just("auditAnnotations")
        ];
        proptest::collection::vec((field, leaf()), 0..7).prop_map(|fields| {
            let fields: Vec<String> = fields.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
            format!(
                "{{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\",\"response\":{{{}}}}}",
                fields.join(",")
            )
        })
    }

    proptest! {
        #[test]
        fn never_panics_and_is_never_taken_for_consent(
            status in prop_oneof![4 => Just(200u16), 1 => 100u16..600],
            body in prop_oneof![response(), "\\PC{0,40}", "[\\[\\]{}\",:a-z0-9]{0,40}"],
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            for mutating in [true, false] {
                let said = body.clone();
                let net = Net::new(move |_| reply(status, said.clone()));
                let outcome = runtime.block_on(async {
                    if mutating { change(&net, tree!({})).await } else { judge(&net, tree!({})).await }
                });
                match &outcome.result {
                    Ok(()) => prop_assert!(body.contains("\"allowed\":true"), "{body}"),
                    Err(refused) => {
                        let by_name = refused.message.contains("webhook \"a.example.com\"");
                        prop_assert!(by_name || refused.message.contains("operation"), "{}", refused.message);
                        prop_assert!(refused.code >= 400);
                    }
                }
            }
        }
    }
}
