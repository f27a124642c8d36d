//! Hollow nodes, the scheduler and the controllers of nodes, as a user of kubectl meets them.

use conformance::{Kubectl, Server, wait};

/// A cluster of three hollow nodes, and a kubectl for it.
fn cluster() -> Option<(Server, Kubectl)> {
    let server = Server::start_with(&["--hollow-nodes", "3"]);
    let kubectl = Kubectl::new(&server)?;
    let ready = "get nodes -o jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}";
    wait::until(30, || (kubectl.run(ready).out.trim() == "True True True").then_some(()))
        .unwrap_or_else(|| panic!("{}", server.log()));
    Some((server, kubectl))
}

#[test]
fn a_deployment_runs_and_moves_when_its_node_is_drained() {
    let Some((server, kubectl)) = cluster() else { return };
    kubectl.ok("create deployment web --image=web:1 --replicas=5");
    kubectl.ok("rollout status deployment/web --timeout=60s");
    let nodes = kubectl.ok("get pods -l app=web -o jsonpath={.items[*].spec.nodeName}");
    for name in ["hollow-0", "hollow-1", "hollow-2"] {
        assert!(nodes.contains(name), "pods are spread over all nodes: {nodes}");
    }
    kubectl.ok("drain hollow-1 --timeout=60s");
    kubectl.ok("rollout status deployment/web --timeout=60s");
    let nodes = kubectl.ok(
        "get pods -l app=web --field-selector=status.phase=Running -o jsonpath={.items[*].spec.nodeName}",
    );
    assert!(!nodes.contains("hollow-1"), "{nodes}\n{}", server.log());
    let taints = kubectl.ok("get node hollow-1 -o jsonpath={.spec.taints[*].key}");
    assert_eq!(taints.trim(), "node.kubernetes.io/unschedulable");
    kubectl.ok("uncordon hollow-1");
    kubectl.ok("set image deployment/web web=web:2");
    kubectl.ok("rollout status deployment/web --timeout=60s");
}

#[test]
fn a_pod_that_fits_nowhere_is_told_why_and_runs_once_there_is_room() {
    let Some((server, kubectl)) = cluster() else { return };
    let pod = |name: &str, cpu: &str, class: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{priorityClassName: {class}, \
             containers: [{{name: c, image: i, resources: {{requests: {{cpu: '{cpu}'}}}}}}]}}}}"
        )
    };
    for (name, value) in [("high", 1000), ("low", 1)] {
        kubectl.ok(&format!("create priorityclass {name} --value={value}"));
    }
    kubectl.ok_with("create -f -", &pod("huge", "40", "low"));
    kubectl.ok("wait --for=condition=PodScheduled=False pod/huge --timeout=30s");
    let told = kubectl.ok("get pod huge -o jsonpath={.status.conditions[0].message}");
    assert_eq!(
        told.trim(),
        "0/3 nodes are available: 3 Insufficient cpu. no new claims to deallocate, preemption: 0/3 nodes are available: \
         3 Preemption is not helpful for scheduling."
    );
    for name in ["a", "b", "c"] {
        kubectl.ok_with("create -f -", &pod(name, "30", "low"));
    }
    kubectl.ok("wait --for=condition=Ready pod/a pod/b pod/c --timeout=30s");
    kubectl.ok_with("create -f -", &pod("important", "30", "high"));
    let ready = kubectl.run("wait --for=condition=Ready pod/important --timeout=60s");
    assert!(ready.code == 0, "{}\n{}", ready.err, server.log());
    let left = kubectl.ok("get pods a b c --ignore-not-found -o name");
    assert_eq!(left.lines().count(), 2, "one made room: {left}");
}
