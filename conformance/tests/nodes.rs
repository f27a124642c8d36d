//! A kubelet's way into the cluster, as kubeadm prepares it: a certificate for a bootstrapping user, then its node and
//! what concerns it, and nothing else. And the components of the process itself, who are refused nothing.

use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conformance::kubeconfig::Access;
use conformance::{Answer, Server, Wire, binary, wait};
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::{Value, json};

const CSRS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";

fn call(wire: &mut Wire, method: &str, path: &str, body: &Value) -> Answer {
    let answer = match method {
        "GET" => wire.get(path),
        "PATCH" => wire.request(method, path, "application/merge-patch+json", body.to_string().as_bytes()),
        _ => wire.request(method, path, "application/json", body.to_string().as_bytes()),
    };
    answer.unwrap_or_else(|error| panic!("{method} {path}: {error:#}"))
}

#[track_caller]
fn make(wire: &mut Wire, path: &str, body: &Value) -> Value {
    let answer = call(wire, "POST", path, body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

/// A user of `system:bootstrappers`, who may ask for certificates of nodes, as kubeadm has it.
fn bootstrapper(server: &Server, admin: &mut Wire) -> Wire {
    for role in
        ["system:node-bootstrapper", "system:certificates.k8s.io:certificatesigningrequests:nodeclient"]
    {
        let binding = json!({"metadata": {"name": role.replace(':', "-")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:bootstrappers"}]});
        make(admin, BINDINGS, &binding);
    }
    let output = Command::new(binary::path())
        .args(["kubeconfig", "--user", "boot", "--group", "system:bootstrappers", "--data-dir"])
        .arg(server.data_dir())
        .output()
        .expect("pintle runs");
    let path = server.folder().join("boot.kubeconfig");
    std::fs::write(&path, &output.stdout).expect("a file");
    Wire::with(&Access::read(&path).expect("a kubeconfig")).expect("it serves")
}

/// A request of `O=system:nodes, CN=system:node:NAME`, and its key.
fn request(node: &str) -> (Value, KeyPair) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, format!("system:node:{node}"));
    let pem = params.serialize_request(&key).and_then(|request| request.pem()).expect("a request");
    let object = json!({"metadata": {"name": node}, "spec": {
        "signerName": "kubernetes.io/kube-apiserver-client-kubelet", "expirationSeconds": 3600,
        "usages": ["digital signature", "client auth"], "request": STANDARD.encode(pem)}});
    (object, key)
}

/// Who calls as the node, once its request was approved and signed by the server's own controllers.
fn kubelet(server: &Server, admin: &mut Wire, node: &str) -> Access {
    let (object, key) = request(node);
    make(&mut bootstrapper(server, admin), CSRS, &object);
    let issued = wait::until(20, || {
        let object = admin.get(&format!("{CSRS}/{node}")).ok()?.json();
        object.pointer("/status/certificate").and_then(Value::as_str).map(str::to_owned)
    });
    let certificate = STANDARD.decode(issued.expect("a certificate")).expect("base64");
    Access { certificate, key: key.serialize_pem().into_bytes(), ..server.access() }
}

#[test]
fn a_kubelet_gets_its_certificate_and_is_held_to_its_node() {
    let server = Server::start_with(&["--store", "memory"]);
    let mut admin = Wire::open(&server).expect("it serves");
    let mut node = Wire::with(&kubelet(&server, &mut admin, "n1")).expect("it serves");
    make(&mut node, "/api/v1/nodes", &json!({"metadata": {"name": "n1"}}));
    assert_eq!(node.get("/api/v1/nodes/n1").expect("an answer").status, 200);
    let refused = call(&mut node, "POST", "/api/v1/nodes", &json!({"metadata": {"name": "n2"}}));
    assert_eq!(refused.status, 403);
    assert!(
        refused.text().contains(r#"node \"n1\" is not allowed to modify node \"n2\""#),
        "{}",
        refused.text()
    );
    let taints = json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}});
    let refused = call(&mut node, "PATCH", "/api/v1/nodes/n1", &taints);
    assert!(refused.text().contains("is not allowed to modify taints"), "{}", refused.text());
    let refused = node.get("/api/v1/nodes").expect("an answer").text();
    assert!(refused.contains("node 'n1' cannot read all nodes, only its own Node object"), "{refused}");

    make(&mut admin, "/api/v1/namespaces/default/secrets", &json!({"metadata": {"name": "s"}}));
    let secret = "/api/v1/namespaces/default/secrets/s";
    let refused = node.get(secret).expect("an answer").text();
    assert!(refused.contains("no relationship found between node 'n1' and this object"), "{refused}");
    wait::until(20, || {
        let account = admin.get("/api/v1/namespaces/default/serviceaccounts/default").ok()?;
        (account.status == 200).then_some(())
    })
    .expect("an account");
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n1", "containers": [
        {"name": "c", "image": "i", "envFrom": [{"secretRef": {"name": "s"}}]}]}});
    make(&mut admin, "/api/v1/namespaces/default/pods", &pod);
    let readable = wait::until(20, || (node.get(secret).ok()?.status == 200).then_some(()));
    assert!(readable.is_some(), "{}", server.log());
}

const EVERYTHING: &str = "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata}]}";

/// A server that keeps account of everything, and where.
fn watched() -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let (policy, log) = (folder.path().join("policy.yaml"), folder.path().join("audit.log"));
    std::fs::write(&policy, EVERYTHING).expect("it writes");
    let (policy, log) = (policy.to_string_lossy().into_owned(), log.to_string_lossy().into_owned());
    let account = ["--audit-policy-file", &policy, "--audit-log-path", &log];
    let flags = [&["--store", "memory", "--hollow-nodes", "2"][..], &account[..]].concat();
    (Server::start_with(&flags), folder)
}

fn events(folder: &tempfile::TempDir) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.path().join("audit.log")).expect("there is a log");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is an event")).collect()
}

/// One of everything that controllers look after, in the namespace `w`.
fn work(admin: &mut Wire) {
    let quota =
        json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "20", "count/deployments.apps": "5"}}});
    make(admin, "/api/v1/namespaces/w/resourcequotas", &quota);
    let labels = json!({"app": "a"});
    let template =
        json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let spec = json!({"selector": {"matchLabels": labels}, "template": template, "serviceName": "s"});
    for (path, replicas) in
        [("deployments", true), ("statefulsets", true), ("daemonsets", false), ("replicasets", true)]
    {
        let mut spec = spec.clone();
        let fields = spec.as_object_mut().expect("an object");
        if path != "statefulsets" {
            fields.remove("serviceName");
        }
        if replicas {
            fields.insert("replicas".into(), json!(2));
        }
        let object = json!({"metadata": {"name": "x"}, "spec": spec});
        make(admin, &format!("/apis/apps/v1/namespaces/w/{path}"), &object);
    }
    let mut once = template.clone();
    once["spec"]["restartPolicy"] = json!("Never");
    let job = json!({"metadata": {"name": "j"}, "spec": {"template": once.clone()}});
    make(admin, "/apis/batch/v1/namespaces/w/jobs", &job);
    let cron = json!({"metadata": {"name": "k"}, "spec": {"schedule": "* * * * *",
        "jobTemplate": {"spec": {"template": once}}}});
    make(admin, "/apis/batch/v1/namespaces/w/cronjobs", &cron);
    let service = json!({"metadata": {"name": "s"}, "spec": {"selector": labels, "ports": [{"port": 80}]}});
    make(admin, "/api/v1/namespaces/w/services", &service);
    let budget =
        json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}}});
    make(admin, "/apis/policy/v1/namespaces/w/poddisruptionbudgets", &budget);
    let claim = json!({"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    make(admin, "/api/v1/namespaces/w/persistentvolumeclaims", &claim);
}

/// Nobody was refused, nobody but the administrator was a master, and those that should act did.
fn check(events: &[Value], log: &str) {
    let refused = events.iter().filter(|e| e["annotations"]["authorization.k8s.io/decision"] == "forbid");
    let refused = refused.map(|e| format!("{} {} {}", e["user"]["username"], e["verb"], e["requestURI"]));
    assert_eq!(refused.collect::<Vec<_>>(), [""; 0], "{}", log);
    let mut masters: Vec<&str> = Vec::new();
    for user in events.iter().map(|event| &event["user"]) {
        if user["groups"].as_array().is_some_and(|groups| groups.contains(&json!("system:masters"))) {
            masters.extend(user["username"].as_str());
        }
    }
    assert!(masters.iter().all(|name| *name == "kubernetes-super-admin"), "{masters:?}");
    let acted = |name: &str| events.iter().any(|event| event["user"]["username"] == name);
    assert!(acted("system:node:hollow-0") && acted("system:kube-scheduler"));
    for controller in ["deployment-controller", "namespace-controller", "generic-garbage-collector"] {
        assert!(acted(&format!("system:serviceaccount:kube-system:{controller}")), "{controller}");
    }
}

#[test]
fn no_component_is_refused_what_it_does() {
    let (server, folder) = watched();
    let mut admin = Wire::open(&server).expect("it serves");
    make(&mut admin, "/api/v1/namespaces", &json!({"metadata": {"name": "w"}}));
    wait::until(20, || {
        let account = admin.get("/api/v1/namespaces/w/serviceaccounts/default").ok()?;
        (account.status == 200).then_some(())
    })
    .expect("an account");
    work(&mut admin);
    // Another range of addresses comes and goes.
    let ranges = "/apis/networking.k8s.io/v1/servicecidrs";
    make(&mut admin, ranges, &json!({"metadata": {"name": "more"}, "spec": {"cidrs": ["10.200.0.0/24"]}}));
    let busy = wait::until(20, || {
        let pods = admin.get("/api/v1/namespaces/w/pods").ok()?.json();
        (pods.get("items")?.as_array()?.len() >= 6).then_some(())
    });
    assert!(busy.is_some(), "{}", server.log());
    std::thread::sleep(Duration::from_secs(2));
    call(&mut admin, "DELETE", &format!("{ranges}/more"), &Value::Null);
    call(
        &mut admin,
        "DELETE",
        "/apis/apps/v1/namespaces/w/deployments/x",
        &json!({"propagationPolicy": "Foreground"}),
    );
    call(&mut admin, "DELETE", "/api/v1/namespaces/w", &Value::Null);
    let gone = wait::until(60, || (admin.get("/api/v1/namespaces/w").ok()?.status == 404).then_some(()));
    assert!(gone.is_some(), "{}", server.log());
    check(&events(&folder), &server.log());
}
