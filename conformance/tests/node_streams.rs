//! Ways into real containers with stock kubectl: exec, attach, cp, port-forward, debug, logs, proxy, top; over
//! WebSocket, and over SPDY as older ones do.

use std::io::Write;
use std::process::Stdio;
use std::sync::OnceLock;

use conformance::{Kubectl, Node, wait};

/// One cluster for all tests of this file, each in a namespace of its own, with a pod that counts and serves.
fn node(namespace: &str) -> Option<&'static Node> {
    static NODE: OnceLock<Option<Node>> = OnceLock::new();
    let node = NODE.get_or_init(|| Node::start(&[])).as_ref()?;
    node.namespace(namespace);
    node.kubectl.ok_with(&format!("create -n {namespace} -f -"), POD);
    node.kubectl.ok(&format!("wait -n {namespace} --for=condition=Ready pod/a --timeout=60s"));
    Some(node)
}

const POD: &str = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {
    "terminationGracePeriodSeconds": 1, "containers": [
    {"name": "count", "image": "busybox:1", "command": ["sh", "-c", "i=0; while true; do i=$((i+1)); echo line $i; sleep 1; done"]},
    {"name": "serve", "image": "busybox:1", "ports": [{"containerPort": 8080}],
     "command": ["sh", "-c", "mkdir /w; echo hello > /w/index.html; exec httpd -f -p 8080 -h /w"]}]}}"#;

/// Sends bytes through `cat` in a container; what came back.
fn through_cat(kubectl: &Kubectl, namespace: &str, over_spdy: bool, bytes: &[u8]) -> Vec<u8> {
    let mut command = kubectl.command(&format!("exec -i -n {namespace} a -c serve -- cat"));
    if over_spdy {
        command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false");
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl runs");
    let (mut stdin, bytes) = (child.stdin.take().expect("it is piped"), bytes.to_vec());
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().expect("it ends");
    assert!(writer.join().is_ok_and(|written| written.is_ok()) && output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn bytes_pass_through_commands_unchanged_over_both_protocols() {
    let Some(node) = node("bytes") else { return };
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for over_spdy in [false, true] {
        assert!(through_cat(&node.kubectl, "bytes", over_spdy, &bytes) == bytes, "over SPDY: {over_spdy}");
    }
}

#[test]
fn commands_tell_their_exit_codes_and_what_cannot_be_run() {
    let Some(node) = node("codes") else { return };
    let mut command = node.kubectl.command("exec -n codes a -c serve -- sh -c");
    command.arg("echo out; echo err >&2; exit 7");
    let outcome = node.kubectl.finish(command, None);
    assert_eq!((outcome.code, outcome.out.as_str()), (7, "out\n"));
    assert!(outcome.err.starts_with("err\n") && outcome.err.contains("exit code 7"), "{outcome:?}");
    let outcome = node.kubectl.run("exec -n codes a -c serve -- no-such-program");
    assert!(outcome.code != 0 && outcome.err.contains("executable file not found"), "{outcome:?}");
    let outcome = node.kubectl.run("exec -n codes a -c nobody -- true");
    assert!(outcome.code != 0 && outcome.err.contains("container nobody is not valid"), "{outcome:?}");
}

#[test]
fn older_kubectls_are_served_as_well() {
    let Some(node) = node("older") else { return };
    for version in ["1.31", "1.33"] {
        let Some(kubectl) = Kubectl::older(&node.server, version) else { return };
        assert_eq!(kubectl.ok("exec -n older a -c serve -- echo there"), "there\n", "{version}");
    }
}

#[test]
fn files_are_copied_both_ways() {
    let Some(node) = node("copies") else { return };
    let folder = node.machine.folder();
    let (from, to) = (folder.join("from"), folder.join("to"));
    std::fs::write(&from, vec![7; 300_000]).unwrap();
    node.kubectl.ok(&format!("cp -n copies -c serve {} a:/tmp/there", from.display()));
    node.kubectl.ok(&format!("cp -n copies -c serve a:/tmp/there {}", to.display()));
    assert!(std::fs::read(&from).unwrap() == std::fs::read(&to).unwrap());
}

#[test]
fn ports_are_forwarded_and_pods_and_services_are_reached_through_the_api() {
    let Some(node) = node("ports") else { return };
    for (port, over_spdy) in [(8081, false), (8082, true)] {
        let variable = if over_spdy { "KUBECTL_PORT_FORWARD_WEBSOCKETS" } else { "UNUSED" };
        let forward =
            node.background_with(&format!("port-forward -n ports pod/a {port}:8080"), &[(variable, "false")]);
        forward.expect("Forwarding from 127.0.0.1");
        for _ in 0..3 {
            assert_eq!(node.machine.sh(&format!("busybox wget -qO- http://127.0.0.1:{port}/")), "hello\n");
        }
    }
    assert_eq!(node.kubectl.ok("get --raw /api/v1/namespaces/ports/pods/a:8080/proxy/"), "hello\n");
    node.kubectl.ok("label -n ports pod a app=a");
    node.kubectl.ok("expose -n ports pod a --port=80 --target-port=8080 --name=svc");
    let path = "get --raw /api/v1/namespaces/ports/services/svc:80/proxy/index.html";
    assert!(wait::until(30, || (node.kubectl.run(path).out == "hello\n").then_some(())).is_some());
}

#[test]
fn logs_are_followed_cut_and_stamped() {
    let Some(node) = node("logs") else { return };
    let follow = node.background("logs -n logs -f a -c count");
    follow.expect("line 3");
    let tail = node.kubectl.ok("logs -n logs a -c count --tail=1 --timestamps");
    assert!(tail.lines().count() == 1 && tail.contains("T") && tail.contains(" line "), "{tail}");
    let cut = node.kubectl.ok("logs -n logs a -c count --limit-bytes=4");
    assert_eq!(cut, "line");
    let all = node.kubectl.ok("logs -n logs a --all-containers --prefix");
    assert!(all.contains("[pod/a/count] line 1"), "{all}");
}

#[test]
fn attach_shows_what_comes_and_debug_looks_into_a_running_pod() {
    let Some(node) = node("looks") else { return };
    node.background("attach -n looks a -c count").expect("line");
    node.kubectl.ok("debug -n looks a --image=busybox:1 --target=serve -c look -- ps");
    let shown = wait::until(30, || {
        let outcome = node.kubectl.run("logs -n looks a -c look");
        outcome.out.contains("httpd").then_some(())
    });
    assert!(shown.is_some(), "{}", node.kubectl.run("describe -n looks pod a").out);
}

#[test]
fn top_shows_the_use_of_nodes_and_pods() {
    let Some(node) = node("tops") else { return };
    let shown =
        |arguments: &str| wait::until(60, || Some(node.kubectl.run(arguments)).filter(|top| top.code == 0));
    let nodes = shown("top nodes").expect("no readings of nodes").out;
    assert!(nodes.contains("CPU(cores)") && nodes.lines().count() == 2, "{nodes}");
    let pods = shown("top pods -n tops --containers").expect("no readings of pods").out;
    assert!(pods.contains("count") && pods.contains("serve"), "{pods}");
}
