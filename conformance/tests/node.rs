//! A node with real containers: what a user does with pods, on a machine of its own.

use conformance::Node;
use std::sync::OnceLock;

/// One cluster for all tests of this file, each in a namespace of its own.
fn node(namespace: &str) -> Option<&'static Node> {
    static NODE: OnceLock<Option<Node>> = OnceLock::new();
    let node = NODE.get_or_init(|| Node::start(&[])).as_ref()?;
    node.namespace(namespace);
    Some(node)
}

const POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {terminationGracePeriodSeconds: 1, \
     containers: [{name: c, image: busybox, imagePullPolicy: IfNotPresent, \
     command: [sh, -c, 'echo hello; exec sleep 1000']}]}}";

#[test]
fn a_pod_runs_says_something_takes_commands_and_goes() {
    let Some(node) = node("plain") else { return };
    let kubectl = &node.kubectl;
    let watch = node.background("get pod -n plain -w");
    kubectl.ok_with("create -n plain -f -", POD);
    kubectl.ok("wait -n plain --for=condition=Ready pod/a --timeout=60s");
    watch.expect("Running");
    assert!(watch.printed().contains("ContainerCreating"), "{}", watch.printed());
    assert_eq!(kubectl.ok("logs -n plain a"), "hello\n");
    assert_eq!(kubectl.ok("exec -n plain a -- echo there"), "there\n");
    let failed = kubectl.run("exec -n plain a -- sh -c exit\\ 7");
    assert_ne!(failed.code, 0);
    kubectl.ok("delete -n plain pod a --timeout=60s");
    assert!(node.value("pod -n plain a", "{.metadata.name}").is_empty());
}

#[test]
fn a_deployment_rolls_out_scales_and_ends_in_processes() {
    let Some(node) = node("rolls") else { return };
    let kubectl = &node.kubectl;
    kubectl.ok("create deployment web -n rolls --image=busybox:1 --replicas=3 -- sleep 1000");
    kubectl.ok("rollout status deployment/web -n rolls --timeout=60s");
    kubectl.ok("set env deployment/web -n rolls A=b");
    kubectl.ok("rollout status deployment/web -n rolls --timeout=90s");
    assert!(kubectl.ok("exec -n rolls deploy/web -- env").contains("A=b\n"));
    kubectl.ok("scale deployment/web -n rolls --replicas=1");
    node.expect("deployment/web -n rolls", "{.status.replicas}", "1");
    kubectl.ok("rollout undo deployment/web -n rolls");
    kubectl.ok("rollout status deployment/web -n rolls --timeout=60s");
}

/// Two sidecars that say when they are told to stop, and a container that is done soon.
const SIDECARS: &str = "{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {template: {spec: {restartPolicy: Never, \
     initContainers: [\
       {name: s1, restartPolicy: Always, image: 'busybox:1', \
        command: [sh, -c, \"trap 'sleep 1; exit 0' TERM; while true; do sleep 0.1; done\"]}, \
       {name: s2, restartPolicy: Always, image: 'busybox:1', \
        command: [sh, -c, \"trap 'exit 0' TERM; while true; do sleep 0.1; done\"]}], \
     containers: [{name: c, image: 'busybox:1', command: [sh, -c, 'sleep 1']}]}}}}";

#[test]
fn sidecars_end_after_the_last_container_the_last_first_and_stay_ended() {
    let Some(node) = node("sidecars") else { return };
    let kubectl = &node.kubectl;
    kubectl.ok_with("create -n sidecars -f -", SIDECARS);
    kubectl.ok("wait -n sidecars --for=condition=Complete job/a --timeout=60s");
    let of = |field: &str| {
        let path = format!("{{.items[0].status.initContainerStatuses[*].{field}}}");
        node.value("pod -n sidecars -l job-name=a", &path)
    };
    assert_eq!(of("restartCount"), "0 0");
    assert_eq!(of("state.terminated.exitCode"), "0 0");
    let ends = of("state.terminated.finishedAt");
    let (first, second) = ends.split_once(' ').unwrap();
    assert!(second < first, "{ends}");
}
