//! A node through crashes: of a container, of Pintle, of containerd. The cluster converges, and no pod runs twice.

use conformance::{Node, wait};

const POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: 'busybox:1', \
     command: [sh, -c, 'sleep 1000']}]}}";
const RESTARTS: &str = "{.status.containerStatuses[0].restartCount}";
const ID: &str = "{.status.containerStatuses[0].containerID}";

fn running(node: &Node) -> String {
    node.kubectl.ok_with("create -f -", POD);
    node.kubectl.ok("wait --for=condition=Ready pod/a --timeout=60s");
    node.value("pod a", ID)
}

/// How many of the pod's processes there are.
fn processes(node: &Node) -> usize {
    node.machine.sh("ps -e -o args= | grep -c '^sleep 1000$' || true").trim().parse().unwrap_or(0)
}

#[test]
fn a_container_that_is_killed_comes_back_once() {
    let Some(node) = Node::start(&[]) else { return };
    let first = running(&node);
    node.machine.sh("pkill -KILL -f '^sleep 1000$'");
    node.expect("pod a", RESTARTS, "1");
    node.kubectl.ok("wait --for=condition=Ready pod/a --timeout=60s");
    assert_ne!(node.value("pod a", ID), first);
    assert_eq!(node.value("pod a", "{.status.containerStatuses[0].lastState.terminated.exitCode}"), "137");
    assert_eq!(processes(&node), 1);
}

#[test]
fn containers_go_on_while_pintle_is_killed_and_started_again() {
    let Some(node) = Node::start(&[]) else { return };
    let id = running(&node);
    let node = node.crash_and_restart(None);
    node.kubectl.ok_with("create -f -", &POD.replace("name: a", "name: b"));
    node.kubectl.ok("wait --for=condition=Ready pod/b --timeout=60s");
    assert_eq!((node.value("pod a", ID), node.value("pod a", RESTARTS)), (id, "0".to_owned()));
    assert_eq!(processes(&node), 2);
}

#[test]
fn what_was_deleted_while_pintle_was_away_ends_when_it_is_back() {
    let Some(node) = Node::start(&[]) else { return };
    running(&node);
    // The pod goes from the store without its kubelet's word.
    let node = node.crash_and_restart(Some(&["--no-node"]));
    node.kubectl.ok("delete pod a --force --grace-period=0");
    assert_eq!(processes(&node), 1);
    let node = node.crash_and_restart(Some(&[]));
    assert!(wait::until(60, || (processes(&node) == 0).then_some(())).is_some(), "{}", node.server.log());
}

#[test]
fn containers_go_on_while_containerd_is_killed_and_pintle_starts_another() {
    let Some(node) = Node::start(&[]) else { return };
    let id = running(&node);
    node.machine.sh("pkill -KILL -x containerd");
    node.kubectl.ok_with("create -f -", &POD.replace("name: a", "name: b"));
    node.kubectl.ok("wait --for=condition=Ready pod/b --timeout=60s");
    assert_eq!((node.value("pod a", ID), node.value("pod a", RESTARTS)), (id, "0".to_owned()));
    assert_eq!(processes(&node), 2);
}
