//! Webhooks against the real binary: a small HTTPS server in the test changes and judges what is written.

use base64::Engine as _;
use conformance::webhook::own_address;
use conformance::{Answer, Server, Webhook, Wire};
use serde_json::{Value, json};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const JSON: &str = "application/json";
const HOOKS: &str = "/apis/admissionregistration.k8s.io/v1";

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start_with(&["--store", "memory"]))
}

fn send(method: &str, path: &str, body: &Value) -> Answer {
    let mut wire = Wire::open(server()).expect("it serves");
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    wire.request(method, path, JSON, &body).unwrap_or_else(|error| panic!("{error:#}\n{}", server().log()))
}

fn ok(answer: &Answer) -> Value {
    assert!((200..300).contains(&answer.status), "{} {}", answer.status, answer.text());
    answer.json()
}

/// A namespace of the test's own, and its config maps.
fn namespace(name: &str) -> String {
    ok(&send("POST", "/api/v1/namespaces", &json!({"metadata": {"name": name, "labels": {"test": name}}})));
    format!("/api/v1/namespaces/{name}/configmaps")
}

fn config_map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"k": "v"}})
}

/// A webhook for the config maps of a test's namespace.
fn hook(test: &str, name: &str, client: Value, more: &Value) -> Value {
    let mut hook = json!({
        "name": format!("{name}.{test}.example.com"), "clientConfig": client, "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "namespaceSelector": {"matchLabels": {"test": test}},
        "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]});
    for (key, value) in more.as_object().into_iter().flatten() {
        hook[key] = value.clone();
    }
    hook
}

/// Configures webhooks, and waits until they are called.
fn configure(kind: &str, name: &str, hooks: Value) {
    let configuration = json!({"metadata": {"name": name}, "webhooks": hooks});
    ok(&send("POST", &format!("{HOOKS}/{kind}webhookconfigurations"), &configuration));
    std::thread::sleep(Duration::from_millis(300));
}

fn patch(operations: &Value) -> Value {
    let text = base64::engine::general_purpose::STANDARD.encode(operations.to_string());
    json!({"allowed": true, "patchType": "JSONPatch", "patch": text})
}

/// A webhook that appends its letter to `data.trace`.
fn tracing(letter: &'static str) -> Webhook {
    Webhook::start("trace.x.svc", move |request| {
        let before = request["object"]["data"]["trace"].as_str().unwrap_or_default();
        patch(&json!([{"op": "add", "path": "/data/trace", "value": format!("{before}{letter}")}]))
    })
    .expect("a webhook")
}

fn message(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["message"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn mutating_webhooks_follow_each_other_and_are_called_again_where_they_ask_for_it() {
    let maps = namespace("mutating");
    let (a, b) = (tracing("a"), tracing("b"));
    let hooks = json!([
        hook("mutating", "a", a.by_url(), &json!({"reinvocationPolicy": "IfNeeded"})),
        hook("mutating", "b", b.by_url(), &json!({}))
    ]);
    configure("mutating", "mutating", hooks);
    let made = ok(&send("POST", &maps, &config_map("one")));
    assert_eq!(made["data"]["trace"], "aba");
    let read = ok(&send("GET", &format!("{maps}/one"), &Value::Null));
    assert_eq!(read["data"], json!({"k": "v", "trace": "aba"}));
    assert_eq!((a.asked().len(), b.asked().len()), (2, 1));
    let request = a.asked().remove(0);
    assert_eq!(request["operation"], "CREATE");
    assert_eq!(request["kind"], json!({"group": "", "version": "v1", "kind": "ConfigMap"}));
    assert_eq!(
        (&request["object"]["kind"], &request["object"]["apiVersion"]),
        (&json!("ConfigMap"), &json!("v1"))
    );
    assert_eq!(request["options"], json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}));
    let groups = request["userInfo"]["groups"].as_array().cloned().unwrap_or_default();
    assert!(groups.contains(&json!("system:authenticated")), "{request}");
    ok(&send("PUT", &format!("{maps}/one?fieldManager=m"), &config_map("one")));
    let update = b.asked().pop().unwrap_or_default();
    assert_eq!(update["operation"], "UPDATE");
    assert_eq!(update["oldObject"]["data"]["trace"], "aba");
    assert_eq!(update["options"]["fieldManager"], "m");
}

#[test]
fn validating_webhooks_refuse_with_their_own_words_and_warn() {
    let maps = namespace("validating");
    let webhook = Webhook::start("x.y.svc", |request| {
        let name = request["name"].as_str().unwrap_or_default();
        let operation = request["operation"].as_str().unwrap_or_default();
        let allowed = name.starts_with("good") && operation != "DELETE";
        json!({"allowed": allowed, "warnings": [format!("{operation} of {name}")],
               "status": {"code": 409, "reason": "Odd", "message": "not here"}})
    })
    .expect("a webhook");
    configure("validating", "validating", json!([hook("validating", "v", webhook.by_url(), &json!({}))]));
    let refused = send("POST", &maps, &config_map("bad"));
    let text = "admission webhook \"v.validating.example.com\" denied the request: not here";
    assert_eq!(message(&refused), (409, text.to_owned()));
    assert_eq!(refused.json()["reason"], "Odd");
    assert_eq!(refused.header("warning"), Some("299 - \"CREATE of bad\""));
    assert_eq!(send("GET", &format!("{maps}/bad"), &Value::Null).status, 404);
    ok(&send("POST", &maps, &config_map("good-1")));
    ok(&send("POST", &maps, &config_map("good-2")));
    assert_eq!(message(&send("DELETE", &format!("{maps}/good-1"), &Value::Null)), (409, text.to_owned()));
    assert_eq!(message(&send("DELETE", &maps, &Value::Null)), (409, text.to_owned()));
    let last = webhook.asked().pop().unwrap_or_default();
    assert_eq!((&last["operation"], &last["object"]), (&json!("DELETE"), &Value::Null));
    assert_eq!(last["oldObject"]["data"]["k"], "v");
    // Never for what configures admission itself.
    let all = json!([{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]);
    let name = "validating-all";
    let own = hook(
        "validating",
        "all",
        webhook.by_url(),
        &json!({"rules": all, "namespaceSelector": {"matchLabels": {"test": "validating"}}}),
    );
    configure("validating", name, json!([own]));
    let path = format!("{HOOKS}/validatingwebhookconfigurations/{name}");
    ok(&send("DELETE", &path, &Value::Null));
}

#[test]
fn a_webhook_that_is_not_there_fails_the_request_or_is_ignored() {
    let maps = namespace("dead");
    let dead = json!({"url": "https://127.0.0.1:1/hook"});
    let ignored = hook("dead", "i", dead.clone(), &json!({"failurePolicy": "Ignore"}));
    configure("validating", "dead", json!([ignored]));
    ok(&send("POST", &maps, &config_map("one")));
    configure("validating", "dead-2", json!([hook("dead", "f", dead, &json!({}))]));
    let text = "Internal error occurred: failed calling webhook \"f.dead.example.com\": failed to call webhook: Post \
                \"https://127.0.0.1:1/hook?timeout=10s\": dial tcp 127.0.0.1:1: connect: connection refused";
    assert_eq!(message(&send("POST", &maps, &config_map("two"))), (500, text.to_owned()));
}

#[test]
fn a_webhook_that_hangs_costs_its_timeout_and_nothing_else() {
    let maps = namespace("hanging");
    let elsewhere = namespace("beside-hanging");
    let webhook = Webhook::start("x.y.svc", |_| {
        std::thread::sleep(Duration::from_secs(20));
        json!({"allowed": true})
    })
    .expect("a webhook");
    let hooks = json!([hook("hanging", "h", webhook.by_url(), &json!({"timeoutSeconds": 2}))]);
    configure("validating", "hanging", hooks);
    let hanging: Vec<_> = (0..40)
        .map(|i| {
            let maps = maps.clone();
            std::thread::spawn(move || {
                let began = Instant::now();
                (send("POST", &maps, &config_map(&format!("m-{i}"))), began.elapsed())
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    for i in 0..50 {
        let began = Instant::now();
        ok(&send("POST", &elsewhere, &config_map(&format!("m-{i}"))));
        assert!(began.elapsed() < Duration::from_millis(1000), "others waited {:?}", began.elapsed());
    }
    for thread in hanging {
        let (answer, took) = thread.join().expect("it answers");
        let (code, text) = message(&answer);
        let start = "Internal error occurred: failed calling webhook \"h.hanging.example.com\": failed to call webhook: \
                     Post \"https://127.0.0.1:";
        assert!(code == 500 && text.starts_with(start), "{text}");
        assert!(text.ends_with("/?timeout=2s\": context deadline exceeded"), "{text}");
        assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(8), "{took:?}");
    }
}

#[test]
fn match_conditions_and_object_selectors_say_what_is_asked_about() {
    let maps = namespace("conditions");
    let webhook = Webhook::start("x.y.svc", |_| json!({"allowed": false})).expect("a webhook");
    let conditions = json!([
        {"name": "data", "expression": "has(object.data) && object.data.k == 'asked'"},
        {"name": "who", "expression": "request.userInfo.username != 'nobody' && authorizer.group('').resource('pods').check('create').allowed()"}
    ]);
    let hooks = json!([hook("conditions", "c", webhook.by_url(), &json!({"matchConditions": conditions}))]);
    configure("validating", "conditions", hooks);
    ok(&send("POST", &maps, &config_map("free")));
    let asked = json!({"metadata": {"name": "asked"}, "data": {"k": "asked"}});
    let text = "admission webhook \"c.conditions.example.com\" denied the request without explanation";
    assert_eq!(message(&send("POST", &maps, &asked)), (400, text.to_owned()));
    let failing = json!([{"name": "none", "expression": "object.none == 1"}]);
    let hooks = json!([hook("conditions", "d", webhook.by_url(), &json!({"matchConditions": failing}))]);
    configure("validating", "conditions-2", hooks);
    let text = "configmaps \"other\" is forbidden: expression 'object.none == 1' resulted in error: no such key: none";
    assert_eq!(message(&send("POST", &maps, &config_map("other"))), (403, text.to_owned()));
    let bad = json!([hook(
        "conditions",
        "e",
        webhook.by_url(),
        &json!({"matchConditions": [{"name": "x", "expression": "params.a == 1"}]})
    )]);
    let refused = send(
        "POST",
        &format!("{HOOKS}/validatingwebhookconfigurations"),
        &json!({"metadata": {"name": "bad"}, "webhooks": bad}),
    );
    let text = "ValidatingWebhookConfiguration.admissionregistration.k8s.io \"bad\" is invalid: \
                webhooks[0].matchConditions[0].expression: Invalid value: \"params.a == 1\": compilation failed: ERROR: \
                <input>:1:1: undeclared reference to 'params' (in container '')\n | params.a == 1\n | ^";
    assert_eq!(message(&refused), (422, text.to_owned()));
}

#[test]
fn dry_runs_reach_only_webhooks_without_side_effects() {
    let maps = namespace("dry");
    let webhook = Webhook::start("x.y.svc", |_| json!({"allowed": true})).expect("a webhook");
    let quiet = hook("dry", "q", webhook.by_url(), &json!({"sideEffects": "NoneOnDryRun"}));
    configure("validating", "dry", json!([quiet]));
    ok(&send("POST", &format!("{maps}?dryRun=All"), &config_map("one")));
    assert_eq!(webhook.asked()[0]["dryRun"], true);
    assert_eq!(webhook.asked()[0]["options"]["dryRun"], json!(["All"]));
    assert_eq!(send("GET", &format!("{maps}/one"), &Value::Null).status, 404);
    // The served version takes no webhook with side effects any more.
    let loud = hook("dry", "l", webhook.by_url(), &json!({"sideEffects": "Some"}));
    let refused = send(
        "POST",
        &format!("{HOOKS}/validatingwebhookconfigurations"),
        &json!({"metadata": {"name": "loud"}, "webhooks": [loud]}),
    );
    assert_eq!(refused.status, 422);
}

#[test]
fn a_service_without_proxy_leads_to_its_endpoints() {
    let maps = namespace("service");
    let webhook =
        Webhook::start("hook.service.svc", |_| json!({"allowed": false, "status": {"message": "seen"}}))
            .expect("a webhook");
    let service = json!({"metadata": {"name": "hook"},
        "spec": {"clusterIP": "None", "ports": [{"name": "https", "port": 8443}]}});
    ok(&send("POST", "/api/v1/namespaces/service/services", &service));
    let client = webhook.by_service("service", "hook", 8443);
    configure("validating", "service", json!([hook("service", "s", client, &json!({}))]));
    let text = "Internal error occurred: failed calling webhook \"s.service.example.com\": failed to call webhook: Post \
                \"https://hook.service.svc:8443/?timeout=10s\": no endpoints available for service \"hook\"";
    assert_eq!(message(&send("POST", &maps, &config_map("one"))), (500, text.to_owned()));
    let slice = json!({"metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
        "addressType": "IPv4", "ports": [{"name": "https", "port": webhook.port()}],
        "endpoints": [{"addresses": [own_address().expect("a network")]}]});
    ok(&send("POST", "/apis/discovery.k8s.io/v1/namespaces/service/endpointslices", &slice));
    std::thread::sleep(Duration::from_millis(300));
    let text = "admission webhook \"s.service.example.com\" denied the request: seen";
    assert_eq!(message(&send("POST", &maps, &config_map("two"))), (400, text.to_owned()));
}

#[test]
fn a_webhook_sees_the_version_that_it_names() {
    namespace("versions");
    let webhook = Webhook::start("x.y.svc", |request| {
        let metrics = request["object"]["spec"]["metrics"].is_array();
        patch(&json!([{"op": "add", "path": "/metadata/labels", "value": {"metrics": metrics.to_string()}}]))
    })
    .expect("a webhook");
    let rules = |policy: &str| {
        json!({"matchPolicy": policy, "rules": [{"operations": ["CREATE"], "apiGroups": ["autoscaling"],
               "apiVersions": ["v2"], "resources": ["horizontalpodautoscalers"]}]})
    };
    let equivalent = hook("versions", "e", webhook.by_url(), &rules("Equivalent"));
    let exact = hook("versions", "x", webhook.by_url(), &rules("Exact"));
    configure("mutating", "versions", json!([equivalent, exact]));
    let scaler = json!({"metadata": {"name": "h"}, "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50,
        "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}}});
    let path = "/apis/autoscaling/v1/namespaces/versions/horizontalpodautoscalers";
    let made = ok(&send("POST", path, &scaler));
    assert_eq!(made["metadata"]["labels"], json!({"metrics": "true"}));
    assert_eq!(made["spec"]["targetCPUUtilizationPercentage"], 50);
    let asked = webhook.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (&asked[0]["kind"]["version"], &asked[0]["requestKind"]["version"]),
        (&json!("v2"), &json!("v1"))
    );
    assert_eq!(asked[0]["object"]["apiVersion"], "autoscaling/v2");
}
