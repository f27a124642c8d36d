//! Older stock kubectls, from 1.31 on, create, apply, read, change and delete: what every version does, by each version.

use conformance::{Kubectl, Server, wait};

const MANIFEST: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: a}}
data: {level: low}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec: {containers: [{name: a, image: example.test/a}]}
";

fn smoke(version: &str) {
    let server = Server::start();
    let Some(kubectl) = Kubectl::older(&server, version) else { return };
    let versions = kubectl.ok("version");
    assert!(versions.contains("Server Version: v1.36."), "{versions}");
    kubectl.ok("create namespace shop");
    let first = kubectl.ok_with("apply -n shop -f -", MANIFEST);
    assert_eq!(first, "configmap/settings created\ndeployment.apps/a created\n");
    let second = kubectl.ok_with("apply -n shop -f -", MANIFEST);
    assert_eq!(second, "configmap/settings unchanged\ndeployment.apps/a unchanged\n");
    let high = MANIFEST.replace("low", "high");
    assert_eq!(kubectl.run_with("diff -n shop -f -", &high).code, 1, "a difference is exit code 1");
    let third = kubectl.ok_with("apply -n shop --server-side --force-conflicts -f -", &high);
    assert_eq!(third, "configmap/settings serverside-applied\ndeployment.apps/a serverside-applied\n");
    assert_eq!(kubectl.ok("get -n shop cm settings -o jsonpath={.data.level}"), "high");
    kubectl.ok("scale -n shop deployment a --replicas=3");
    assert_eq!(kubectl.ok("get -n shop deployment a -o jsonpath={.spec.replicas}"), "3");
    kubectl.ok("label -n shop configmap settings tier=back");
    assert_eq!(kubectl.ok("get -n shop cm -l tier=back -o name"), "configmap/settings\n");
    let table = kubectl.ok("get -n shop deployments");
    assert!(table.starts_with("NAME   READY   UP-TO-DATE   AVAILABLE   AGE\na "), "{table}");
    assert!(kubectl.ok("describe -n shop configmap settings").contains("level:\n----\nhigh"));
    assert!(kubectl.ok("explain deployment.spec.replicas").contains("<integer>"));
    assert_eq!(kubectl.ok_with("delete -n shop -f -", MANIFEST), deleted(version));
    kubectl.ok("delete namespace shop --wait=false");
    let gone = wait::until(20, || (kubectl.run("get namespace shop").code != 0).then_some(()));
    assert!(gone.is_some(), "the namespace is still there\n{}", server.log());
}

/// Since 1.34, `delete` also says from which namespace.
fn deleted(version: &str) -> &'static str {
    match version {
        "1.31" | "1.32" | "1.33" => "configmap \"settings\" deleted\ndeployment.apps \"a\" deleted\n",
        _ => {
            "configmap \"settings\" deleted from shop namespace\ndeployment.apps \"a\" deleted from shop namespace\n"
        }
    }
}

#[test]
fn kubectl_1_31_works() {
    smoke("1.31");
}

#[test]
fn kubectl_1_32_works() {
    smoke("1.32");
}

#[test]
fn kubectl_1_33_works() {
    smoke("1.33");
}

#[test]
fn kubectl_1_34_works() {
    smoke("1.34");
}

#[test]
fn kubectl_1_35_works() {
    smoke("1.35");
}
