//! The audit log, from outside: what kubectl does is in the file by the time kubectl has its answer.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use conformance::{Kubectl, Server, Wire, binary};
use serde_json::Value;

const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
- level: None
  users: ["system:apiserver"]
- level: RequestResponse
  resources: [{group: "", resources: [configmaps]}]
  namespaces: [default]
  omitStages: [RequestReceived]
- level: None
  userGroups: ["system:nodes"]
- level: Metadata
"#;

struct Scene {
    server: Server,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

fn start(policy: &str, more: &[&str]) -> Scene {
    let folder = tempfile::tempdir().expect("a folder");
    let (rules, log) = (folder.path().join("policy.yaml"), folder.path().join("logs/audit.log"));
    fs::write(&rules, policy).expect("it writes");
    let (rules, path) = (rules.to_string_lossy().into_owned(), log.to_string_lossy().into_owned());
    let flags = ["--audit-policy-file", &rules, "--audit-log-path", &path, "--store", "memory"];
    Scene { server: Server::start_with(&[&flags[..], more].concat()), log, _folder: folder }
}

impl Scene {
    fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).expect("there is a log");
        text.lines().map(|line| serde_json::from_str(line).expect("a line is an event")).collect()
    }

    /// The last event of a stage whose address ends so.
    fn find(&self, stage: &str, verb: &str, path: &str) -> Value {
        let is_it = |event: &Value| {
            let uri = event["requestURI"].as_str().unwrap_or_default();
            event["stage"] == stage
                && event["verb"] == verb
                && uri.split('?').next().unwrap_or_default() == path
        };
        let all = self.events();
        all.iter()
            .rev()
            .find(|event| is_it(event))
            .cloned()
            .unwrap_or_else(|| panic!("no {verb} {path}: {all:#?}"))
    }
}

#[test]
fn what_kubectl_does_is_in_the_log() {
    let scene = start(POLICY, &[]);
    let Some(kubectl) = Kubectl::new(&scene.server) else { return };
    let maps = "/api/v1/namespaces/default/configmaps";
    kubectl.ok("create configmap told --from-literal=a=b");
    let created = scene.find("ResponseComplete", "create", maps);
    assert_eq!(created["level"], "RequestResponse");
    assert_eq!(created["objectRef"]["name"], "told");
    assert_eq!(created["requestObject"]["data"]["a"], "b");
    assert_eq!(created["responseStatus"]["code"], 201);
    assert!(created["responseObject"]["metadata"]["uid"].is_string());
    assert!(created["responseObject"]["metadata"]["managedFields"].is_null());
    assert_eq!(created["user"]["username"], "kubernetes-super-admin");
    assert_eq!(created["sourceIPs"], serde_json::json!(["127.0.0.1"]));
    assert!(created["userAgent"].as_str().is_some_and(|agent| agent.starts_with("kubectl")));
    assert_eq!(created["annotations"]["authorization.k8s.io/decision"], "allow");
    kubectl.ok("get configmap told");
    let read = scene.find("ResponseComplete", "get", &format!("{maps}/told"));
    assert_eq!(read["responseObject"]["kind"], "Table");
    kubectl.ok("delete configmap told --wait=false");
    let deleted = scene.find("ResponseComplete", "delete", &format!("{maps}/told"));
    assert_eq!(deleted["requestObject"]["kind"], "DeleteOptions");
    assert_eq!(deleted["responseStatus"]["status"], "Success");
    assert!(!scene.events().iter().any(|event| event["user"]["username"] == "system:apiserver"));
}

#[test]
fn refusals_are_told_and_their_ids_are_those_of_the_answers() {
    let scene = start(POLICY, &[]);
    let mut stranger = Wire::anonymous(&scene.server).expect("it serves");
    let head = conformance::wire::head(
        "GET",
        "/api/v1/namespaces/default/secrets/s",
        &[("audit-id", "chosen-by-me"), ("content-length", "0")],
    );
    stranger.send(head.as_bytes()).expect("it reads");
    let answer = stranger.answer().expect("it answers");
    assert_eq!((answer.status, answer.header("audit-id")), (403, Some("chosen-by-me")));
    let received = scene.find("RequestReceived", "get", "/api/v1/namespaces/default/secrets/s");
    assert!(received.get("responseStatus").is_none());
    let refused = scene.find("ResponseComplete", "get", "/api/v1/namespaces/default/secrets/s");
    assert_eq!(refused["auditID"], "chosen-by-me");
    assert_eq!(refused["user"]["username"], "system:anonymous");
    assert_eq!(refused["responseStatus"]["reason"], "Forbidden");
    assert_eq!(refused["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert!(refused.get("requestObject").is_none() && refused.get("responseObject").is_none());
    let head = conformance::wire::head("GET", "/api/v1/pods", &[("authorization", "Bearer nobody")]);
    let mut wrong = Wire::anonymous(&scene.server).expect("it serves");
    wrong.send(head.as_bytes()).expect("it reads");
    assert_eq!(wrong.answer().expect("it answers").status, 401);
    let unknown = scene.find("ResponseStarted", "list", "/api/v1/pods");
    assert_eq!(unknown["responseStatus"]["code"], 401);
    assert_eq!(unknown["user"], serde_json::json!({}));
}

#[test]
fn no_completed_request_is_without_its_beginning_under_load() {
    let everything = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n";
    let scene = start(everything, &["--audit-log-mode", "batch", "--audit-log-maxsize", "1"]);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let server = &scene.server;
            scope.spawn(move || {
                let mut wire = Wire::open(server).expect("it serves");
                for number in 0..150 {
                    let name = format!("w{writer}-{number}");
                    let body = serde_json::json!({"metadata": {"name": name}}).to_string();
                    let path = "/api/v1/namespaces/default/configmaps";
                    let answer = wire.request("POST", path, "application/json", body.as_bytes());
                    assert_eq!(answer.expect("it answers").status, 201);
                }
            });
        }
    });
    let mut scene = scene;
    assert_eq!(scene.server.stop("TERM").and_then(|status| status.code()), Some(0));
    // What was rotated away counts as well.
    let folder = scene.log.parent().expect("a folder");
    let mut events = Vec::new();
    for file in fs::read_dir(folder).expect("there are logs") {
        let text = fs::read_to_string(file.expect("a file").path()).expect("it reads");
        events.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).expect("an event")));
    }
    assert!(fs::read_dir(folder).expect("there are logs").count() > 1, "the log was rotated");
    let ids = |stage: &str| {
        let of_stage = events.iter().filter(|event| event["stage"] == stage);
        of_stage.filter_map(|event| event["auditID"].as_str()).collect::<std::collections::HashSet<_>>()
    };
    let (received, completed) = (ids("RequestReceived"), ids("ResponseComplete"));
    let created =
        events.iter().filter(|event| event["verb"] == "create" && event["stage"] == "ResponseComplete");
    assert!(created.count() >= 600);
    assert!(completed.is_subset(&received), "{:?}", completed.difference(&received));
}

#[test]
fn a_bad_policy_is_said_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("policy.yaml");
    for (text, why) in [
        ("{", "failed decoding"),
        ("kind: Policy\napiVersion: audit.k8s.io/v1\nrules: []", "loaded illegal policy with 0 rules"),
        (
            "kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: Loud}]",
            "rules[0].level: Unsupported value",
        ),
        ("kind: Pod\napiVersion: v1", "no kind \"Pod\" is registered"),
        ("\u{0}\u{1}\u{fffd}", "failed decoding"),
    ] {
        fs::write(&path, text).expect("it writes");
        let data = folder.path().join("data");
        let output = Command::new(binary::path())
            .args([
                "up",
                "--no-node",
                "--listen",
                "127.0.0.1:0",
                "--store",
                "memory",
                "--audit-log-path",
                "-",
            ])
            .arg("--audit-policy-file")
            .arg(&path)
            .arg("--data-dir")
            .arg(data)
            .output()
            .expect("pintle runs");
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{complaint}");
        assert!(complaint.contains(why) && !complaint.contains("panicked"), "{text:?}: {complaint}");
        assert_eq!(complaint.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{complaint}");
    }
}
