//! Priority and fairness from outside: what answers tell, the default objects, and what becomes of those who find no
//! seat.

use std::process::Command;
use std::time::Duration;

use conformance::kubeconfig::Access;
use conformance::{Answer, Server, Wire, binary, wait, wire};
use serde_json::{Value, json};

const ROOT: &str = "/apis/flowcontrol.apiserver.k8s.io/v1";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const REVIEW: &str = r#"{"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
    "spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}"#;
const SCHEMA_UID: &str = "x-kubernetes-pf-flowschema-uid";
const LEVEL_UID: &str = "x-kubernetes-pf-prioritylevel-uid";

const FEW_SEATS: [&str; 4] = ["--store", "memory", "--max-requests-inflight", "4"];

fn admin(server: &Server, method: &str, path: &str, body: &Value) -> Answer {
    let mut wire = Wire::open(server).expect("it serves");
    let answer = match method {
        "GET" => wire.get(path),
        "PATCH" => wire.request(method, path, "application/merge-patch+json", body.to_string().as_bytes()),
        _ => wire.request(method, path, "application/json", body.to_string().as_bytes()),
    };
    answer.unwrap_or_else(|error| panic!("{method} {path}: {error:#}\n{}", server.log()))
}

fn object(server: &Server, path: &str) -> Value {
    admin(server, "GET", path, &Value::Null).json()
}

fn make(server: &Server, path: &str, body: &Value) -> Value {
    let answer = admin(server, "POST", path, body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

/// A user without rights, but for those of everybody.
fn nobody(server: &Server) -> Access {
    let output = Command::new(binary::path())
        .args(["kubeconfig", "--user", "nobody", "--data-dir"])
        .arg(server.data_dir())
        .output()
        .expect("pintle runs");
    let path = server.folder().join("nobody.kubeconfig");
    std::fs::write(&path, &output.stdout).expect("a file");
    Access::read(&path).expect("a kubeconfig")
}

/// A level of one seat for `nobody`'s requests; the server has few seats.
fn one_at_a_time(server: &Server, response: &Value) {
    let limited =
        json!({"nominalConcurrencyShares": 1, "borrowingLimitPercent": 0, "limitResponse": response});
    let level = json!({"metadata": {"name": "tiny"}, "spec": {"type": "Limited", "limited": limited}});
    make(server, &format!("{ROOT}/prioritylevelconfigurations"), &level);
    let schema = json!({"metadata": {"name": "tiny"}, "spec": {
        "priorityLevelConfiguration": {"name": "tiny"}, "matchingPrecedence": 50,
        "rules": [{"subjects": [{"kind": "User", "user": {"name": "nobody"}}],
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true,
                "namespaces": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}});
    let uid = make(server, &format!("{ROOT}/flowschemas"), &schema)["metadata"]["uid"].clone();
    let access = nobody(server);
    let classified = || {
        let answer = Wire::with(&access).and_then(|mut wire| wire.get("/version")).expect("an answer");
        (answer.header(SCHEMA_UID) == uid.as_str()).then_some(())
    };
    wait::until(20, classified).expect("the schema is in force");
}

/// Takes the seat: begins a request and leaves its body unfinished.
fn hold(access: &Access) -> Wire {
    let mut wire = Wire::with(access).expect("it serves");
    let length = REVIEW.len().to_string();
    let head =
        wire::head("POST", REVIEWS, &[("content-type", "application/json"), ("content-length", &length)]);
    wire.send(head.as_bytes()).expect("sent");
    wire.send(&REVIEW.as_bytes()[..10]).expect("sent");
    wire
}

fn finish(mut held: Wire) -> Answer {
    held.send(&REVIEW.as_bytes()[10..]).expect("sent");
    held.answer().expect("an answer")
}

fn version(access: &Access) -> Answer {
    Wire::with(access).and_then(|mut wire| wire.get("/version")).expect("an answer")
}

fn assert_sent_away(answer: &Answer) {
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert_eq!(answer.text(), "Too many requests, please try again later.\n");
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let secs: u32 =
        answer.header("retry-after").and_then(|text| text.parse().ok()).expect("when to come again");
    assert!((1..=32).contains(&secs), "{secs}");
}

#[test]
fn answers_tell_the_schema_and_the_level_of_their_requests() {
    let server = Server::start_with(&["--store", "memory"]);
    let uid =
        |kind: &str, name: &str| object(&server, &format!("{ROOT}/{kind}/{name}"))["metadata"]["uid"].clone();
    let expect = |answer: &Answer, schema: &str, level: &str| {
        let seen = (answer.header(SCHEMA_UID), answer.header(LEVEL_UID));
        let (schema, level) = (uid("flowschemas", schema), uid("prioritylevelconfigurations", level));
        assert_eq!(seen, (schema.as_str(), level.as_str()));
        assert!(schema.is_string());
    };
    let pods = "/api/v1/namespaces/default/pods";
    expect(&admin(&server, "GET", pods, &Value::Null), "exempt", "exempt");
    let stranger =
        |path: &str| Wire::anonymous(&server).and_then(|mut wire| wire.get(path)).expect("an answer");
    let refused = stranger(pods);
    assert_eq!(refused.status, 403);
    expect(&refused, "global-default", "global-default");
    expect(&stranger("/readyz"), "probes", "exempt");
    let metrics = admin(&server, "GET", "/metrics", &Value::Null).text();
    let counted = "apiserver_flowcontrol_dispatched_requests_total{flow_schema=\"global-default\",priority_level=\"global-default\"} ";
    assert!(metrics.lines().any(|line| line.strip_prefix(counted).is_some_and(|n| n != "0")), "{metrics}");
}

#[test]
fn the_default_objects_are_kept_unless_somebody_opts_out() {
    let server = Server::start_with(&["--store", "memory"]);
    let names = |kind: &str| {
        let list = object(&server, &format!("{ROOT}/{kind}"));
        list["items"].as_array().map_or(0, Vec::len)
    };
    assert_eq!((names("flowschemas"), names("prioritylevelconfigurations")), (11, 8));
    let path = format!("{ROOT}/prioritylevelconfigurations/workload-low");
    let shares = |wanted: u64| {
        let now = || {
            let found = object(&server, &path)["spec"]["limited"]["nominalConcurrencyShares"].as_u64();
            (found == Some(wanted)).then_some(())
        };
        wait::until(20, now).unwrap_or_else(|| panic!("{wanted} shares: {}", object(&server, &path)));
    };
    let change = json!({"spec": {"limited": {"nominalConcurrencyShares": 7}}});
    assert_eq!(admin(&server, "PATCH", &path, &change).status, 200);
    shares(100);
    let opted_out = json!({"metadata": {"annotations": {"apf.kubernetes.io/autoupdate-spec": "false"}},
        "spec": {"limited": {"nominalConcurrencyShares": 7}}});
    assert_eq!(admin(&server, "PATCH", &path, &opted_out).status, 200);
    std::thread::sleep(Duration::from_secs(1));
    shares(7);
    let probes = format!("{ROOT}/flowschemas/probes");
    let uid = object(&server, &probes)["metadata"]["uid"].clone();
    assert_eq!(admin(&server, "DELETE", &probes, &json!({})).status, 200);
    let back = || {
        let found = object(&server, &probes)["metadata"]["uid"].clone();
        (found.is_string() && found != uid).then_some(())
    };
    wait::until(20, back).expect("it is made again");
}

#[test]
fn schemas_tell_whether_their_level_is_there() {
    let server = Server::start_with(&["--store", "memory"]);
    let told = |name: &str, status: &str, reason: &str| {
        let path = format!("{ROOT}/flowschemas/{name}");
        let found = || {
            let condition = object(&server, &path)["status"]["conditions"][0].clone();
            let seen =
                (condition["type"] == "Dangling", condition["status"].as_str(), condition["reason"].as_str());
            (seen == (true, Some(status), Some(reason))).then_some(())
        };
        wait::until(20, found).unwrap_or_else(|| panic!("{}", object(&server, &path)));
    };
    told("global-default", "False", "Found");
    let rule = json!({"subjects": [{"kind": "User", "user": {"name": "x"}}],
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]});
    let schema = json!({"metadata": {"name": "lost"}, "spec": {"priorityLevelConfiguration": {"name": "lost"},
        "matchingPrecedence": 700, "rules": [rule]}});
    make(&server, &format!("{ROOT}/flowschemas"), &schema);
    told("lost", "True", "NotFound");
    let limited = json!({"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}});
    let level = json!({"metadata": {"name": "lost"}, "spec": {"type": "Limited", "limited": limited}});
    make(&server, &format!("{ROOT}/prioritylevelconfigurations"), &level);
    told("lost", "False", "Found");
}

#[test]
fn who_finds_no_seat_is_sent_away_where_there_are_no_queues() {
    let server = Server::start_with(&FEW_SEATS);
    one_at_a_time(&server, &json!({"type": "Reject"}));
    let access = nobody(&server);
    let held = hold(&access);
    let refused = wait::until(20, || Some(version(&access)).filter(|answer| answer.status != 200));
    assert_sent_away(&refused.expect("a refusal"));
    assert_eq!(finish(held).status, 201);
    wait::until(20, || (version(&access).status == 200).then_some(())).expect("the seat is free again");
    let metrics = admin(&server, "GET", "/metrics", &Value::Null).text();
    let counted = "apiserver_flowcontrol_rejected_requests_total{flow_schema=\"tiny\",priority_level=\"tiny\",reason=\"concurrency-limit\"}";
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn who_finds_no_seat_waits_where_there_are_queues() {
    let server = Server::start_with(&FEW_SEATS);
    let queuing = json!({"queues": 1, "handSize": 1, "queueLengthLimit": 2});
    one_at_a_time(&server, &json!({"type": "Queue", "queuing": queuing}));
    let access = nobody(&server);
    let held = hold(&access);
    let waiting = std::thread::spawn({
        let access = nobody(&server);
        move || version(&access).status
    });
    let dump = || {
        let path = "/debug/api_priority_and_fairness/dump_requests?includeRequestDetails=1";
        let text = admin(&server, "GET", path, &Value::Null).text();
        text.lines().find(|line| line.starts_with("tiny,")).map(str::to_owned)
    };
    let row = wait::until(20, dump).expect("a request waits");
    for word in ["nobody,", "get,", "/version,"] {
        assert!(row.contains(word), "{row}");
    }
    assert!(!waiting.is_finished());
    assert_eq!(finish(held).status, 201);
    assert_eq!(waiting.join().ok(), Some(200));
}

#[test]
fn without_priority_and_fairness_two_numbers_bound_what_is_in_flight() {
    let flags = ["--enable-priority-and-fairness=false", "--max-mutating-requests-inflight", "1"];
    let server = Server::start_with(&[&["--store", "memory"], &flags[..]].concat());
    let access = nobody(&server);
    let review = || {
        let sent = Wire::with(&access)
            .and_then(|mut wire| wire.request("POST", REVIEWS, "application/json", REVIEW.as_bytes()));
        sent.expect("an answer")
    };
    // The cluster's own parts write as well: one of them may have the room just then.
    let (held, refused) = wait::until(60, || {
        let held = hold(&access);
        let refused = (0..10).map(|_| review()).filter(|answer| answer.status != 201);
        let refused: Vec<Answer> = refused.collect();
        (refused.len() == 10).then_some((held, refused))
    })
    .expect("refusals");
    refused.iter().for_each(assert_sent_away);
    let read = version(&access);
    assert_eq!((read.status, read.header(SCHEMA_UID)), (200, None), "reads are counted apart");
    assert_eq!(finish(held).status, 201);
    wait::until(20, || (review().status == 201).then_some(())).expect("there is room again");
}
