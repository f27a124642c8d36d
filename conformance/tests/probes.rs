//! Probes, hooks, logs and last words of real containers, on a machine of their own.

use conformance::{Node, wait};
use std::sync::OnceLock;

/// One cluster for all tests of this file, each in a namespace of its own.
fn node(namespace: &str) -> Option<&'static Node> {
    static NODE: OnceLock<Option<Node>> = OnceLock::new();
    let node = NODE.get_or_init(|| Node::start(&[])).as_ref()?;
    node.namespace(namespace);
    Some(node)
}

/// A pod `a` with one container `c` that runs a script.
fn pod(script: &str, container: &str, pod: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: a, labels: {{app: a}}}}, \
         spec: {{terminationGracePeriodSeconds: 2, {pod} containers: [{{name: c, image: busybox, \
         imagePullPolicy: Never, command: [sh, -c, '{script}'], {container}}}]}}}}"
    )
}

/// Waits for an event with this message.
fn expect_event(node: &Node, namespace: &str, message: &str) {
    let list = format!("get events -n {namespace} -o jsonpath={{.items[*].message}}");
    let seen = wait::until(60, || node.kubectl.run(&list).out.contains(message).then_some(()));
    assert!(seen.is_some(), "no event {message:?}: {}", node.kubectl.run(&list).out);
}

#[test]
fn readiness_decides_who_gets_a_services_requests() {
    let Some(node) = node("ready") else { return };
    let kubectl = &node.kubectl;
    let probe = "readinessProbe: {periodSeconds: 1, failureThreshold: 1, exec: {command: [cat, /tmp/ok]}}";
    kubectl.ok_with("create -n ready -f -", &pod("exec sleep 1000", probe, ""));
    kubectl.ok("expose pod a -n ready --port=80");
    node.expect("pod a -n ready", "{.status.phase}", "Running");
    expect_event(
        node,
        "ready",
        "Readiness probe failed: cat: can't open '/tmp/ok': No such file or directory",
    );
    let ready = "{.subsets[*].addresses[*].targetRef.name}";
    node.expect("endpoints a -n ready", "{.subsets[*].notReadyAddresses[*].targetRef.name}", "a");
    assert_eq!(node.value("endpoints a -n ready", ready), "");
    kubectl.ok("exec -n ready a -- touch /tmp/ok");
    node.expect("endpoints a -n ready", ready, "a");
    kubectl.ok("exec -n ready a -- rm /tmp/ok");
    node.expect("endpoints a -n ready", ready, "");
    assert_eq!(node.value("pod a -n ready", "{.status.containerStatuses[0].restartCount}"), "0");
}

#[test]
fn a_container_that_is_not_alive_is_started_again_and_its_log_stays() {
    let Some(node) = node("alive") else { return };
    let kubectl = &node.kubectl;
    let probe = "livenessProbe: {periodSeconds: 1, failureThreshold: 2, terminationGracePeriodSeconds: 1, \
                 exec: {command: [cat, /tmp/ok]}}";
    let script = "hostname; date +%s%N; touch /tmp/ok; sleep 4; rm /tmp/ok; exec sleep 1000";
    kubectl.ok_with("create -n alive -f -", &pod(script, probe, ""));
    node.expect("pod a -n alive", "{.status.containerStatuses[0].restartCount}", "1");
    expect_event(node, "alive", "Liveness probe failed: cat: can't open '/tmp/ok'");
    expect_event(node, "alive", "Container c failed liveness probe, will be restarted");
    let (now, before) = (kubectl.ok("logs -n alive a"), kubectl.ok("logs -n alive a --previous"));
    assert!(before.starts_with("a\n") && now.starts_with("a\n") && now != before, "{before}{now}");
}

#[test]
fn nothing_is_asked_of_a_container_before_it_has_started() {
    let Some(node) = node("startup") else { return };
    let container = "ports: [{name: web, containerPort: 8080}], \
        startupProbe: {periodSeconds: 1, failureThreshold: 60, httpGet: {port: web, path: /}}, \
        readinessProbe: {periodSeconds: 60, httpGet: {port: 8080, path: /index.html}}, \
        livenessProbe: {periodSeconds: 1, failureThreshold: 1, tcpSocket: {port: web}}";
    let script = "mkdir /w; echo hi > /w/index.html; sleep 4; exec httpd -f -p 8080 -h /w";
    node.kubectl.ok_with("create -n startup -f -", &pod(script, container, ""));
    node.expect("pod a -n startup", "{.status.containerStatuses[0].started}", "true");
    node.expect("pod a -n startup", "{.status.containerStatuses[0].ready}", "true");
    expect_event(node, "startup", ":8080: connect: connection refused");
    let events = node.kubectl.ok("get events -n startup -o jsonpath={.items[*].message}");
    assert!(events.contains("Startup probe failed: Get \"http://"), "{events}");
    assert!(!events.contains("Liveness probe failed") && !events.contains("Readiness"), "{events}");
}

#[test]
fn hooks_run_after_the_start_and_before_the_end() {
    let Some(node) = node("hooks") else { return };
    let kubectl = &node.kubectl;
    let hooks = "lifecycle: {postStart: {exec: {command: [sh, -c, 'echo hello > /tmp/hook']}}, \
                 preStop: {exec: {command: [sh, -c, 'echo goodbye > /proc/1/fd/1; sleep 1']}}}";
    kubectl.ok_with("create -n hooks -f -", &pod("exec sleep 1000", hooks, ""));
    kubectl.ok("wait -n hooks --for=condition=Ready pod/a --timeout=60s");
    assert_eq!(kubectl.ok("exec -n hooks a -- cat /tmp/hook"), "hello\n");
    let log = node.background("logs -n hooks -f a");
    kubectl.ok("delete -n hooks pod a --timeout=60s");
    log.expect("goodbye");
    let fails = "lifecycle: {postStart: {exec: {command: [sh, -c, 'exit 3']}}}";
    kubectl.ok_with("create -n hooks -f -", &pod("exec sleep 1000", fails, ""));
    expect_event(node, "hooks", "PostStartHook failed");
    expect_event(node, "hooks", "FailedPostStartHook");
}

#[test]
fn a_log_is_read_from_where_one_likes_and_to_its_end() {
    let Some(node) = node("logs") else { return };
    let kubectl = &node.kubectl;
    let script = "for i in 1 2 3; do echo out $i; echo err $i >&2; sleep 1; done; echo -n last; exit 3";
    kubectl.ok_with("create -n logs -f -", &pod(script, "", "restartPolicy: Never,"));
    let has_log = wait::until(60, || (kubectl.run("logs -n logs a").code == 0).then_some(()));
    assert!(has_log.is_some(), "{}", node.server.log());
    let followed = kubectl.ok("logs -n logs -f a");
    assert!(followed.ends_with("last"), "it ends when the container does: {followed}");
    node.expect("pod a -n logs", "{.status.phase}", "Failed");
    let all = kubectl.ok("logs -n logs a");
    assert_eq!((all.lines().count(), &all), (7, &followed));
    assert_eq!(kubectl.ok("logs -n logs a --tail=1"), "last");
    assert_eq!(kubectl.ok("logs -n logs a --limit-bytes=5").len(), 5);
    let timed = kubectl.ok("logs -n logs a --timestamps");
    let times: Vec<&str> = timed.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(times.iter().all(|time| time.len() == 30 && time.ends_with('Z')), "{timed}");
    let third = times.get(4).copied().unwrap_or_default();
    let late = kubectl.ok(&format!("logs -n logs a --since-time={third}"));
    assert_eq!(late.lines().count(), 3, "{timed}{late}");
    assert_eq!(kubectl.ok("logs -n logs a --since=1h"), all);
}

#[test]
fn last_words_are_a_files_or_the_logs() {
    let Some(node) = node("words") else { return };
    let says = |policy: &str, script: &str, wanted: &str| {
        let policy = format!("terminationMessagePolicy: {policy}");
        node.kubectl.ok_with("create -n words -f -", &pod(script, &policy, "restartPolicy: Never,"));
        let ended = "{.status.containerStatuses[0].state.terminated.reason}";
        let failed = if script.contains("exit") { "Error" } else { "Completed" };
        node.expect("pod a -n words", ended, failed);
        let message = "{.status.containerStatuses[0].state.terminated.message}";
        assert_eq!(node.value("pod a -n words", message), wanted, "{script}");
        node.kubectl.ok("delete -n words pod a --timeout=60s");
    };
    says("File", "echo said; echo -n written > /dev/termination-log", "written");
    says("File", "echo said; exit 1", "");
    says("FallbackToLogsOnError", "echo said; exit 1", "said\n");
    says("FallbackToLogsOnError", "echo said", "");
    says("FallbackToLogsOnError", "echo said; echo -n written > /dev/termination-log; exit 1", "written");
}
