//! What a user types in the first hour, with the stock kubectl of the version under test.
//!
//! One server serves all tests; each works in a namespace of its own.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::OnceLock;

use conformance::{Kubectl, Server, wait};

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
  - {name: web, image: 'example.test/web:1', ports: [{containerPort: 80}], resources: {requests: {cpu: 100m}}}
";

const CONFIG: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {level: low}
";

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

/// kubectl and a new namespace, once its default service account is there.
fn kubectl(namespace: &str) -> Option<Kubectl> {
    let kubectl = Kubectl::new(server())?;
    kubectl.ok(&format!("create namespace {namespace}"));
    let account =
        || (kubectl.run(&format!("get -n {namespace} serviceaccount default")).code == 0).then_some(());
    assert!(
        wait::until(20, account).is_some(),
        "no default service account in {namespace}\n{}",
        server().log()
    );
    Some(kubectl)
}

#[test]
fn a_pod_is_created_and_shown_in_every_output() {
    let Some(kubectl) = kubectl("outputs") else { return };
    assert_eq!(kubectl.ok_with("create -n outputs -f -", POD), "pod/web created\n");
    let table = kubectl.ok("get -n outputs pods");
    assert!(
        table.starts_with("NAME   READY   STATUS    RESTARTS   AGE\nweb    0/1     Pending   0          "),
        "{table}"
    );
    let wide = kubectl.ok("get -n outputs pods -o wide");
    let columns: Vec<&str> =
        wide.lines().next().unwrap_or_default().split("  ").filter(|c| !c.is_empty()).collect();
    let columns: Vec<&str> = columns.into_iter().map(str::trim).collect();
    let expected =
        ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED NODE", "READINESS GATES"];
    assert_eq!(columns, expected);
    let labels = kubectl.ok("get -n outputs pods --show-labels --no-headers");
    assert!(labels.trim_end().ends_with("app=web"), "{labels}");
    assert_eq!(kubectl.ok("get -n outputs pod web -o name"), "pod/web\n");
    assert_eq!(
        kubectl.ok("get -n outputs pod web -o jsonpath={.spec.containers[0].resources.requests.cpu}"),
        "100m"
    );
    assert_eq!(
        kubectl.ok("get -n outputs pods -o go-template={{range.items}}{{.metadata.name}}{{end}}"),
        "web"
    );
    assert!(kubectl.ok("get -n outputs pod web -o yaml").contains("\n  restartPolicy: Always\n"));
    let json: serde_json::Value =
        serde_json::from_str(&kubectl.ok("get -n outputs pod web -o json")).expect("JSON");
    assert_eq!(
        json.pointer("/spec/containers/0/ports/0/protocol"),
        Some(&"TCP".into()),
        "defaults are filled in"
    );
    assert_eq!(json.pointer("/status/qosClass"), Some(&"Burstable".into()));
    let custom =
        kubectl.ok("get -n outputs pods -o custom-columns=N:.metadata.name,I:.spec.containers[*].image");
    assert_eq!(custom, "N     I\nweb   example.test/web:1\n");
    let twice = kubectl.run_with("create -n outputs -f -", POD);
    assert_eq!(twice.code, 1);
    assert_eq!(
        twice.err,
        "Error from server (AlreadyExists): error when creating \"STDIN\": pods \"web\" already exists\n"
    );
    let described = kubectl.ok("describe -n outputs pod web");
    for line in
        ["Name:             web", "Status:           Pending", "QoS Class:                   Burstable"]
    {
        assert!(described.contains(line), "{line:?} is not in\n{described}");
    }
    assert_eq!(
        kubectl.run("get -n outputs pod nothing").err,
        "Error from server (NotFound): pods \"nothing\" not found\n"
    );
}

#[test]
fn a_watch_prints_each_change() {
    let Some(kubectl) = kubectl("watched") else { return };
    kubectl.ok_with("create -n watched -f -", CONFIG);
    let mut command =
        kubectl.command("get -n watched configmap settings -w -o jsonpath={.data.level}{\"\\n\"}");
    let mut watching = command.stdout(Stdio::piped()).spawn().expect("kubectl runs");
    let mut lines = BufReader::new(watching.stdout.take().expect("a pipe")).lines();
    assert_eq!(lines.next().and_then(Result::ok).as_deref(), Some("low"));
    for level in ["middle", "high"] {
        let manifest = CONFIG.replace("low", level);
        kubectl.ok_with("replace -n watched -f -", &manifest);
        assert_eq!(lines.next().and_then(Result::ok).as_deref(), Some(level));
    }
    watching.kill().expect("kubectl was still watching");
    let _ = watching.wait();
}

#[test]
fn client_side_apply_merges_three_ways() {
    let Some(kubectl) = kubectl("applied") else { return };
    let two = CONFIG.replace("{level: low}", "{level: low, old: x}");
    assert_eq!(kubectl.ok_with("apply -n applied -f -", &two), "configmap/settings created\n");
    kubectl.ok("patch -n applied cm settings --type merge -p {\"data\":{\"theirs\":\"kept\"}}");
    assert_eq!(kubectl.ok_with("apply -n applied -f -", CONFIG), "configmap/settings configured\n");
    let data = kubectl.ok("get -n applied cm settings -o jsonpath={.data}");
    assert_eq!(data, "{\"level\":\"low\",\"theirs\":\"kept\"}", "ours went, theirs stayed");
    assert_eq!(kubectl.ok_with("apply -n applied -f -", CONFIG), "configmap/settings unchanged\n");
    let changed = kubectl.run_with("diff -n applied -f -", &CONFIG.replace("low", "high"));
    assert_eq!(changed.code, 1, "{changed:?}");
    assert!(changed.out.contains("-  level: low\n+  level: high\n"), "{}", changed.out);
    assert_eq!(kubectl.run_with("diff -n applied -f -", CONFIG).code, 0, "no difference is exit code 0");
}

#[test]
fn server_side_apply_knows_who_owns_what() {
    let Some(kubectl) = kubectl("owned") else { return };
    let apply = "apply -n owned --server-side -f - --field-manager";
    assert_eq!(kubectl.ok_with(&format!("{apply} one"), CONFIG), "configmap/settings serverside-applied\n");
    let other = CONFIG.replace("low", "high");
    let conflict = kubectl.run_with(&format!("{apply} two"), &other);
    assert_eq!(conflict.code, 1);
    assert!(conflict.err.contains("conflict with \"one\": .data.level"), "{}", conflict.err);
    kubectl.ok_with(&format!("{apply} two --force-conflicts"), &other);
    let managers = kubectl.ok(
        "get -n owned cm settings --show-managed-fields -o jsonpath={.metadata.managedFields[*].manager}",
    );
    assert_eq!(managers, "two", "a manager that owns nothing any more is not listed");
    let unknown = kubectl.run_with(&format!("{apply} one"), &format!("{CONFIG}colour: red\n"));
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.contains(".colour: field not declared in schema"), "{}", unknown.err);
}

#[test]
fn objects_are_labelled_annotated_patched_replaced_and_edited() {
    let Some(kubectl) = kubectl("modified") else { return };
    kubectl.ok_with("create -n modified -f -", POD);
    assert_eq!(kubectl.ok("label -n modified pod web tier=front"), "pod/web labeled\n");
    assert_eq!(kubectl.ok("annotate -n modified pod web note=hello"), "pod/web annotated\n");
    let strategic = "{\"spec\":{\"containers\":[{\"name\":\"web\",\"image\":\"example.test/web:2\"}]}}";
    assert_eq!(kubectl.ok(&format!("patch -n modified pod web -p {strategic}")), "pod/web patched\n");
    assert_eq!(
        kubectl.ok("get -n modified pod web -o jsonpath={.spec.containers[0].image}"),
        "example.test/web:2"
    );
    let json = "[{\"op\":\"replace\",\"path\":\"/metadata/labels/tier\",\"value\":\"back\"}]";
    kubectl.ok(&format!("patch -n modified pod web --type json -p {json}"));
    assert_eq!(kubectl.ok("get -n modified pods -l tier=back -o name"), "pod/web\n");
    kubectl.ok_with("create -n modified -f -", CONFIG);
    kubectl.ok_with("replace -n modified -f -", &CONFIG.replace("low", "high"));
    let mut edit = kubectl.command("edit -n modified configmap settings");
    edit.env("KUBE_EDITOR", "sed -i s/high/highest/");
    let outcome = kubectl.finish(edit, None);
    assert_eq!((outcome.code, outcome.out.as_str()), (0, "configmap/settings edited\n"), "{outcome:?}");
    assert_eq!(kubectl.ok("get -n modified cm settings -o jsonpath={.data.level}"), "highest");
    let immutable = kubectl.run("patch -n modified pod web -p {\"spec\":{\"hostNetwork\":true}}");
    assert_eq!(immutable.code, 1);
    assert!(
        immutable.err.starts_with("The Pod \"web\" is invalid: spec: Forbidden: pod updates may not change"),
        "{}",
        immutable.err
    );
}

#[test]
fn workloads_are_created_scaled_and_deleted() {
    let Some(kubectl) = kubectl("workloads") else { return };
    let made = kubectl.ok("create -n workloads deployment front --image=example.test/front --replicas=2");
    assert_eq!(made, "deployment.apps/front created\n");
    assert_eq!(
        kubectl.ok("scale -n workloads deployment front --replicas=4"),
        "deployment.apps/front scaled\n"
    );
    assert_eq!(kubectl.ok("get -n workloads deployment front -o jsonpath={.spec.replicas}"), "4");
    let table = kubectl.ok("get -n workloads deployments");
    assert!(table.starts_with("NAME    READY   UP-TO-DATE   AVAILABLE   AGE\nfront   0/4 "), "{table}");
    kubectl.ok("set -n workloads image deployment/front front=example.test/front:2");
    kubectl.ok("expose -n workloads deployment front --port 80");
    assert!(kubectl.ok("get -n workloads services").contains("front   ClusterIP   10."));
    kubectl.ok("create -n workloads job once --image=example.test/once");
    kubectl.ok("create -n workloads secret generic password --from-literal=word=abc");
    assert_eq!(kubectl.ok("get -n workloads secret password -o jsonpath={.data.word}"), "YWJj");
    let gone = kubectl.ok("delete -n workloads deployment front");
    assert_eq!(gone, "deployment.apps \"front\" deleted from workloads namespace\n");
    assert_eq!(kubectl.run("get -n workloads deployment front").code, 1);
    kubectl.ok("delete namespace workloads --timeout=30s");
    assert_eq!(kubectl.run("get namespace workloads").code, 1, "its contents went with it");
}

#[test]
fn the_server_explains_itself() {
    let Some(kubectl) = kubectl("documents") else { return };
    let resources = kubectl.ok("api-resources");
    for line in [
        &["pods", "po", "v1", "true", "Pod"][..],
        &["deployments", "deploy", "apps/v1", "true", "Deployment"],
        &["namespaces", "ns", "v1", "false", "Namespace"],
    ] {
        let found = resources.lines().any(|row| row.split_whitespace().eq(line.iter().copied()));
        assert!(found, "{line:?} is not in\n{resources}");
    }
    let versions = kubectl.ok("api-versions");
    for version in ["apps/v1", "batch/v1", "networking.k8s.io/v1", "v1"] {
        assert!(versions.lines().any(|line| line == version), "{version} is not in\n{versions}");
    }
    let explained = kubectl.ok("explain pod.spec.containers.imagePullPolicy");
    assert!(
        explained.starts_with("KIND:       Pod\nVERSION:    v1\n\nFIELD: imagePullPolicy <string>\n"),
        "{explained}"
    );
    assert!(kubectl.ok("explain deployment --recursive").contains("matchLabels"));
    let version = kubectl.ok("version");
    assert!(version.contains("Server Version: v1.36."), "{version}");
    let unknown = kubectl.run_with("create -n documents -f -", &format!("{CONFIG}colour: red\n"));
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.contains("strict decoding error: unknown field \"colour\""), "{}", unknown.err);
    assert_eq!(kubectl.ok("auth can-i create pods"), "yes\n");
    assert_eq!(kubectl.ok("get --raw /readyz"), "ok");
}

#[test]
fn a_custom_kind_is_served_at_once() {
    let Some(kubectl) = kubectl("custom") else { return };
    let definition = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.test}
spec:
  group: example.test
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wd]}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    additionalPrinterColumns: [{name: Size, type: integer, jsonPath: .spec.size}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {size: {type: integer, minimum: 1, default: 3}}}
";
    kubectl.ok_with("create -f -", definition);
    kubectl.ok("wait --for condition=established --timeout=10s crd/widgets.example.test");
    let widget = "{apiVersion: example.test/v1, kind: Widget, metadata: {name: a}, spec: {}}";
    kubectl.ok_with("create -n custom -f -", widget);
    let table = kubectl.ok("get -n custom wd");
    assert!(table.starts_with("NAME   SIZE\na      3"), "{table}");
    let bad = kubectl.run_with("apply -n custom -f -", &widget.replace("{}", "{size: 0}"));
    assert!(bad.err.contains("spec.size in body should be greater than or equal to 1"), "{}", bad.err);
    assert!(kubectl.ok("explain widget.spec.size").contains("<integer>"));
    kubectl.ok("delete crd widgets.example.test --timeout=20s");
}

#[test]
fn a_repeated_get_takes_one_round_trip() {
    let Some(kubectl) = kubectl("trips") else { return };
    kubectl.ok("get -n trips pods");
    let outcome = kubectl.run("get -n trips pods -v 6");
    let trips: Vec<&str> = outcome.err.lines().filter(|line| line.contains("verb=\"GET\"")).collect();
    assert_eq!(trips.len(), 1, "{}", outcome.err);
    assert!(
        trips[0].contains("/api/v1/namespaces/trips/pods?limit=500\"")
            && trips[0].contains("status=\"200 OK\"")
    );
}
