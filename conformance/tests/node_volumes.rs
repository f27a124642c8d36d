//! Volumes, environment and files of real containers, pods of a folder, and grace.

use std::sync::OnceLock;
use std::time::Instant;

use conformance::{Node, wait};

/// One cluster for all tests of this file, each in a namespace of its own; its node runs the pods of a folder.
fn node(namespace: &str) -> Option<&'static Node> {
    static NODE: OnceLock<Option<Node>> = OnceLock::new();
    let flags = ["--pod-manifest-path=/var/lib/kubelet/manifests"];
    let node = NODE.get_or_init(|| Node::start(&flags)).as_ref()?;
    node.namespace(namespace);
    Some(node)
}

/// A pod `a` with one container that sleeps after a script.
fn sleeper(script: &str, container: &str, spec: &str) -> String {
    format!(
        r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "a", "labels": {{"app": "x"}}}}, "spec": {{
        "terminationGracePeriodSeconds": 1, {spec} "containers": [{{"name": "c", "image": "busybox:1",
        {container} "command": ["sh", "-c", "{script}; exec sleep 1000"]}}]}}}}"#
    )
}

fn run(node: &Node, namespace: &str, manifest: &str) {
    node.kubectl.ok_with(&format!("create -n {namespace} -f -"), manifest);
    let outcome = node.kubectl.run(&format!("wait -n {namespace} --for=condition=Ready pod/a --timeout=60s"));
    let shown = || node.kubectl.run(&format!("describe -n {namespace} pod a")).out;
    assert_eq!(outcome.code, 0, "{}\n{}", shown(), node.server.log());
}

/// What a file in the container holds.
fn read(node: &Node, namespace: &str, path: &str) -> String {
    node.kubectl.run(&format!("exec -n {namespace} a -- cat {path}")).out
}

#[test]
fn what_config_maps_secrets_and_the_pod_itself_say_stands_in_files_and_variables() {
    let Some(node) = node("says") else { return };
    node.kubectl.ok("create configmap m -n says --from-literal=k=one --from-literal=other=x");
    node.kubectl.ok("create secret generic s -n says --from-literal=p=hidden");
    let container = r#""env": [{"name": "K", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}},
        {"name": "BOTH", "value": "$(K)-$(NAME)"}, {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}],
        "envFrom": [{"prefix": "S_", "secretRef": {"name": "s"}}], "resources": {"limits": {"cpu": "1", "memory": "64Mi"}},
        "volumeMounts": [{"name": "m", "mountPath": "/m"}, {"name": "s", "mountPath": "/s"}, {"name": "d", "mountPath": "/d"},
        {"name": "m", "mountPath": "/one", "subPath": "k"}, {"name": "e", "mountPath": "/e"}],"#;
    let spec = r#""volumes": [{"name": "m", "configMap": {"name": "m"}}, {"name": "s", "secret": {"secretName": "s", "defaultMode": 256}},
        {"name": "d", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"name": "e", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}}],"#;
    run(node, "says", &sleeper("echo written > /e/f", container, spec));
    let env = node.kubectl.ok("exec -n says a -- env");
    for line in ["K=one", "BOTH=one-$(NAME)", "NAME=a", "CPU=1", "S_p=hidden"] {
        assert!(env.lines().any(|have| have == line), "{line}: {env}");
    }
    for (path, content) in [
        ("/m/k", "one"),
        ("/one", "one"),
        ("/s/p", "hidden"),
        ("/d/labels", "app=\"x\""),
        ("/e/f", "written\n"),
    ] {
        assert_eq!(read(node, "says", path), content, "{path}");
    }
    let token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    assert_eq!(read(node, "says", token).split('.').count(), 3);
    assert!(node.kubectl.ok("exec -n says a -- stat -Lc %a /s/p").starts_with("400"));
    assert!(node.kubectl.ok("exec -n says a -- grep /e /proc/mounts").contains("tmpfs"));
    node.kubectl.ok("patch configmap m -n says -p {\"data\":{\"k\":\"two\"}}");
    assert!(wait::until(90, || (read(node, "says", "/m/k") == "two").then_some(())).is_some());
    assert_eq!(read(node, "says", "/one"), "one");
}

#[test]
fn a_claim_of_a_local_volume_keeps_what_is_written_beyond_a_pod() {
    let Some(node) = node("claims") else { return };
    node.machine.sh("mkdir -p /var/lib/kubelet/disk");
    let name = node.value("nodes", "{.items[0].metadata.name}");
    let volume = format!(
        r#"{{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {{"name": "disk"}}, "spec": {{
        "capacity": {{"storage": "1Gi"}}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
        "local": {{"path": "/var/lib/kubelet/disk"}}, "nodeAffinity": {{"required": {{"nodeSelectorTerms": [{{"matchExpressions":
        [{{"key": "kubernetes.io/hostname", "operator": "In", "values": ["{name}"]}}]}}]}}}}}}}}"#
    );
    node.kubectl.ok_with("create -f -", &volume);
    let claim = r#"{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "mine"}, "spec":
        {"accessModes": ["ReadWriteOnce"], "storageClassName": "local", "resources": {"requests": {"storage": "1Gi"}}}}"#;
    node.kubectl.ok_with("create -n claims -f -", claim);
    node.expect("pvc/mine -n claims", "{.status.phase}", "Bound");
    let mount = r#""volumeMounts": [{"name": "v", "mountPath": "/v"}],"#;
    let spec = r#""volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "mine"}}],"#;
    run(node, "claims", &sleeper("echo kept > /v/f", mount, spec));
    node.kubectl.ok("delete pod a -n claims");
    run(node, "claims", &sleeper("true", mount, spec));
    assert_eq!(read(node, "claims", "/v/f"), "kept\n");
}

#[test]
fn an_image_is_a_volume_that_is_read_and_not_written_and_goes_with_its_pod() {
    let Some(node) = node("images") else { return };
    let mounts = r#""volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/part", "subPath": "bin"}],"#;
    let spec = r#""volumes": [{"name": "v", "image": {"reference": "busybox:1", "pullPolicy": "Never"}},
        {"name": "unused", "image": {"reference": "nowhere.invalid/none:1", "pullPolicy": "Never"}}],"#;
    run(node, "images", &sleeper("true", mounts, spec));
    for copy in ["/v/bin/busybox", "/part/busybox"] {
        node.kubectl.ok(&format!("exec -n images a -- cmp /bin/busybox {copy}"));
    }
    for place in ["/v/new", "/part/new"] {
        let refused = node.kubectl.run(&format!("exec -n images a -- touch {place}"));
        assert!(refused.code != 0 && refused.err.contains("Read-only file system"), "{}", refused.err);
    }
    let kept = || {
        let leases = node.machine.sh("ctr --namespace k8s.io leases ls").matches("image-volume-").count();
        let snapshots =
            node.machine.sh("ctr --namespace k8s.io snapshots ls").matches("image-volume-").count();
        (node.machine.sh("cat /proc/mounts").contains("kubernetes.io~image"), leases, snapshots)
    };
    assert_eq!(kept(), (true, 1, 1));
    node.kubectl.ok("delete pod a -n images");
    assert_eq!(kept(), (false, 0, 0));
    let reason = "{.status.containerStatuses[0].state.waiting.reason}";
    for (volume, mount, wanted) in [
        (r#""reference": "nowhere.invalid/none:1", "pullPolicy": "Never""#, "", "ErrImageNeverPull"),
        (
            r#""reference": "busybox:1", "pullPolicy": "Never""#,
            r#", "subPath": "none""#,
            "CreateContainerError",
        ),
    ] {
        let mount = format!(r#""volumeMounts": [{{"name": "v", "mountPath": "/v"{mount}}}],"#);
        let spec = format!(r#""volumes": [{{"name": "v", "image": {{{volume}}}}}],"#);
        node.kubectl.ok_with("create -n images -f -", &sleeper("true", &mount, &spec));
        node.expect("pod/a -n images", reason, wanted);
        node.kubectl.ok("delete pod a -n images");
    }
}

#[test]
fn a_pod_that_cannot_be_set_up_says_why_and_runs_when_it_can() {
    let Some(node) = node("waits") else { return };
    let mount = r#""volumeMounts": [{"name": "v", "mountPath": "/v"}],"#;
    let spec = r#""volumes": [{"name": "v", "configMap": {"name": "late"}}],"#;
    node.kubectl.ok_with("create -n waits -f -", &sleeper("true", mount, spec));
    let said = wait::until(60, || {
        let events = node.kubectl.run("get events -n waits").out;
        events.contains("configmap \"late\" not found").then_some(())
    });
    assert!(said.is_some(), "{}", node.kubectl.run("describe pod a -n waits").out);
    node.expect("pod/a -n waits", "{.status.containerStatuses[0].state.waiting.reason}", "ContainerCreating");
    node.kubectl.ok("create configmap late -n waits --from-literal=k=v");
    node.kubectl.ok("wait -n waits --for=condition=Ready pod/a --timeout=180s");
}

#[test]
fn a_pod_in_the_folder_runs_shows_in_the_api_and_ends_with_its_file() {
    let Some(node) = node("folder") else { return };
    let manifest =
        sleeper("true", "", "").replace("\"name\": \"a\"", "\"name\": \"still\", \"namespace\": \"folder\"");
    let written = node.machine.folder().join("still.json");
    std::fs::write(&written, manifest).expect("a file can be written");
    let manifests = "/var/lib/kubelet/manifests";
    node.machine.sh(&format!("mkdir -p {manifests}; cp {} {manifests}/still.json", written.display()));
    let mirror = format!("pod/still-{} -n folder", node.value("nodes", "{.items[0].metadata.name}"));
    node.expect(&mirror, "{.status.phase}", "Running");
    let config = node.value(&mirror, "{.metadata.annotations.kubernetes\\.io/config\\.source}");
    assert_eq!(config, "file");
    // It comes back while its former self is being stopped.
    let first = node.value(&mirror, "{.metadata.uid}");
    let moved = format!("cd {manifests}; mv still.json ../; sleep 1; mv ../still.json .");
    node.machine.sh(&moved);
    let again = std::iter::repeat_with(|| {
        std::thread::sleep(std::time::Duration::from_millis(500));
        node.value(&mirror, "{.metadata.uid}/{.status.phase}")
    });
    let is_back = |now: &String| now.ends_with("/Running") && !now.starts_with(&first);
    assert!(again.take(60).any(|now| is_back(&now)), "it does not run again");
    node.machine.sh(&format!("rm {manifests}/still.json"));
    node.expect(&mirror, "{.status.phase}", "");
}

#[test]
fn a_container_has_its_grace_and_not_more() {
    let Some(node) = node("grace") else { return };
    let stubborn = sleeper("trap '' TERM; while true; do sleep 1; done", "", "");
    run(node, "grace", &stubborn);
    let start = Instant::now();
    node.kubectl.ok("delete pod a -n grace --grace-period=4 --timeout=60s");
    let took = start.elapsed().as_secs();
    assert!((3..30).contains(&took), "{took} s");
    run(node, "grace", &sleeper("trap 'exit 0' TERM; while true; do sleep 0.1; done", "", ""));
    let start = Instant::now();
    node.kubectl.ok("delete pod a -n grace --grace-period=50 --timeout=60s");
    assert!(start.elapsed().as_secs() < 30);
}
