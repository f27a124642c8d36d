//! Where pods go, and what those are told that go nowhere, on hollow nodes: volumes, profiles, affinity, gates, spreading
//! and preemption, as a user of kubectl meets them.

use conformance::{Kubectl, Server, binary, wait};
use std::process::Command;

/// A cluster of hollow nodes, and a kubectl for it.
fn cluster(nodes: usize, flags: &[&str]) -> Option<(Server, Kubectl)> {
    let count = nodes.to_string();
    let server = Server::start_with(&[&["--hollow-nodes", count.as_str()], flags].concat());
    let kubectl = Kubectl::new(&server)?;
    let ready = "get nodes -o jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}";
    wait::until(60, || (kubectl.run(ready).out.matches("True").count() == nodes).then_some(()))
        .unwrap_or_else(|| panic!("{}", server.log()));
    Some((server, kubectl))
}

fn pod(name: &str, rest: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: {name}}}}}, \
         spec: {{containers: [{{name: c, image: i}}], {rest}}}}}"
    )
}

fn claiming(name: &str, claim: &str) -> String {
    pod(name, &format!("volumes: [{{name: v, persistentVolumeClaim: {{claimName: {claim}}}}}]"))
}

fn claim(name: &str, class: &str, mode: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: {name}}}, spec: {{accessModes: [{mode}], \
         storageClassName: {class}, resources: {{requests: {{storage: 1Gi}}}}}}}}"
    )
}

fn class(name: &str, provisioner: &str, mode: &str) -> String {
    format!(
        "{{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {{name: {name}}}, provisioner: {provisioner}, \
         volumeBindingMode: {mode}}}"
    )
}

/// A volume on one node.
fn volume(name: &str, class: &str, mode: &str, node: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: PersistentVolume, metadata: {{name: {name}}}, spec: {{capacity: {{storage: 5Gi}}, \
         accessModes: [{mode}], storageClassName: {class}, local: {{path: /mnt/{name}}}, \
         nodeAffinity: {{required: {{nodeSelectorTerms: [{{matchExpressions: [{{key: kubernetes.io/hostname, \
         operator: In, values: [{node}]}}]}}]}}}}}}}}"
    )
}

fn create(kubectl: &Kubectl, objects: &[String]) {
    kubectl.ok_with("create -f -", &objects.join("\n---\n"));
}

fn runs_on(server: &Server, kubectl: &Kubectl, name: &str) -> String {
    let ready = kubectl.run(&format!("wait --for=condition=Ready pod/{name} --timeout=60s"));
    assert!(ready.code == 0, "{}\n{}\n{}", ready.err, kubectl.ok("get events"), server.log());
    kubectl.ok(&format!("get pod {name} -o jsonpath={{.spec.nodeName}}")).trim().to_owned()
}

/// What a pod is told that has no node.
fn told(kubectl: &Kubectl, name: &str, start: &str) -> String {
    let get =
        format!("get pod {name} -o jsonpath={{.status.conditions[?(@.type==\"PodScheduled\")].message}}");
    let wanted = || Some(kubectl.ok(&get).trim().to_owned()).filter(|message| message.starts_with(start));
    wait::until(30, wanted).unwrap_or_else(|| panic!("{name} is told: {}", kubectl.ok(&get)))
}

#[test]
fn pods_go_where_their_volumes_are_and_claims_that_wait_are_bound() {
    let Some((server, kubectl)) = cluster(3, &[]) else { return };
    let waits = "WaitForFirstConsumer";
    create(
        &kubectl,
        &[
            class("local", "kubernetes.io/no-provisioner", waits),
            class("made", "example.test/maker", waits),
            class("now", "example.test/maker", "Immediate"),
            volume("one", "local", "ReadWriteOncePod", "hollow-1"),
            claim("waiting", "local", "ReadWriteOncePod"),
            claim("second", "local", "ReadWriteOnce"),
            claim("to-make", "made", "ReadWriteOnce"),
            claim("late", "now", "ReadWriteOnce"),
            claiming("first", "waiting"),
        ],
    );
    assert_eq!(runs_on(&server, &kubectl, "first"), "hollow-1");
    let bound = kubectl.ok("get pvc waiting -o jsonpath={.spec.volumeName}{.status.phase}");
    assert_eq!(bound.trim(), "oneBound");
    let none = "0/3 nodes are available: ";
    create(
        &kubectl,
        &[claiming("sharing", "waiting"), claiming("missing", "none"), claiming("early", "late")],
    );
    create(&kubectl, &[claiming("lacking", "second"), claiming("making", "to-make")]);
    let shared = told(&kubectl, "sharing", none);
    assert!(
        shared.contains(
            "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by \
             another pod"
        ),
        "{shared}"
    );
    assert_eq!(
        told(&kubectl, "missing", none),
        format!("{none}persistentvolumeclaim \"none\" not found. not found")
    );
    assert_eq!(
        told(&kubectl, "early", none),
        format!("{none}pod has unbound immediate PersistentVolumeClaims. not found")
    );
    assert_eq!(
        told(&kubectl, "lacking", none),
        format!(
            "{none}3 node(s) didn't find available persistent volumes to bind. no new claims to deallocate, \
             preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
        )
    );
    // A volume that comes is found, and whoever makes volumes is told for which node.
    create(&kubectl, &[volume("two", "local", "ReadWriteOnce", "hollow-2")]);
    assert_eq!(runs_on(&server, &kubectl, "lacking"), "hollow-2");
    let selected =
        "get pvc to-make -o jsonpath={.metadata.annotations.volume\\.kubernetes\\.io/selected-node}";
    let node =
        wait::until(30, || Some(kubectl.ok(selected).trim().to_owned()).filter(|node| !node.is_empty()));
    let expected = kubectl.ok("get pod making -o jsonpath={.status.nominatedNodeName}{.spec.nodeName}");
    assert_eq!(
        node.as_deref(),
        Some(expected.trim()),
        "it waits for its volume, on the node that is kept for it"
    );
}

#[test]
fn profiles_place_their_own_pods_by_their_own_rules() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("scheduler.yaml");
    let text = "
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: default-scheduler
- schedulerName: packing
  plugins:
    score:
      disabled: [{name: '*'}]
      enabled: [{name: NodeResourcesFit, weight: 1}]
  pluginConfig:
  - {name: NodeResourcesFit, args: {scoringStrategy: {type: MostAllocated}}}
  - name: NodeAffinity
    args: {addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [
      {matchFields: [{key: metadata.name, operator: NotIn, values: [hollow-0]}]}]}}}
";
    std::fs::write(&file, text).expect("a file");
    let Some((server, kubectl)) = cluster(3, &["--scheduler-config", &file.to_string_lossy()]) else {
        return;
    };
    let small = |name: &str, scheduler: &str| pod(name, &format!("schedulerName: {scheduler}"));
    for name in ["a", "b", "c", "d"] {
        create(&kubectl, &[small(name, "packing")]);
        runs_on(&server, &kubectl, name);
    }
    create(&kubectl, &[small("other", "nobody")]);
    let nodes = kubectl.ok("get pods a b c d -o jsonpath={.items[*].spec.nodeName}");
    let first = nodes.split_whitespace().next().unwrap_or_default();
    assert!(first != "hollow-0" && nodes.split_whitespace().all(|node| node == first), "{nodes}");
    let events = kubectl.ok("get events -o jsonpath={.items[?(@.reason==\"Scheduled\")].reportingComponent}");
    assert!(events.split_whitespace().all(|who| who == "packing") && !events.is_empty(), "{events}");
    assert_eq!(kubectl.ok("get pod other -o jsonpath={.status.phase}{.status.conditions}").trim(), "Pending");
    create(
        &kubectl,
        &[pod("nowhere", "schedulerName: packing, nodeSelector: {kubernetes.io/hostname: hollow-0}")],
    );
    let why = told(&kubectl, "nowhere", "0/3 nodes are available: ");
    assert!(why.contains("1 node(s) didn't match scheduler-enforced node affinity"), "{why}");
}

#[test]
fn a_configuration_that_is_wrong_stops_the_start_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, data) = (folder.path().join("scheduler.yaml"), folder.path().join("data"));
    let head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
    let table = [
        ("profile: []", "unknown field \"profile\""),
        ("profiles: [{plugins: {filter: {enabled: [{name: Mine}]}}}]", "plugin \"Mine\" does not exist"),
        ("podInitialBackoffSeconds: 0", "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0"),
    ];
    for (rest, wanted) in table {
        std::fs::write(&file, format!("{head}{rest}")).expect("a file");
        let output = Command::new(binary::path())
            .args(["up", "--no-node", "--store", "memory", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            .arg("--scheduler-config")
            .arg(&file)
            .output()
            .expect("pintle runs");
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && complaint.contains(wanted), "{rest}: {complaint}");
    }
}

#[test]
fn gates_hold_pods_back_and_spreading_and_affinity_place_them() {
    let Some((server, kubectl)) = cluster(3, &[]) else { return };
    create(&kubectl, &[pod("gated", "schedulingGates: [{name: example.test/wait}]")]);
    let phase = || kubectl.ok("get pod gated -o jsonpath={.status.conditions[0].reason}");
    assert_eq!(
        wait::until(20, || Some(phase()).filter(|p| !p.trim().is_empty())).unwrap().trim(),
        "SchedulingGated"
    );
    kubectl.ok("patch pod gated --type=json -p [{\"op\":\"remove\",\"path\":\"/spec/schedulingGates\"}]");
    let home = runs_on(&server, &kubectl, "gated");
    let near = |name: &str, kind: &str| {
        let term = "{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: gated}}}";
        let rule = "requiredDuringSchedulingIgnoredDuringExecution";
        pod(name, &format!("affinity: {{{kind}: {{{rule}: [{term}]}}}}"))
    };
    create(&kubectl, &[near("friend", "podAffinity"), near("foe", "podAntiAffinity")]);
    assert_eq!(runs_on(&server, &kubectl, "friend"), home);
    assert_ne!(runs_on(&server, &kubectl, "foe"), home);
    let spread = "topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: \
                  DoNotSchedule, labelSelector: {matchLabels: {set: s}}}]";
    let member = |name: &str| pod(name, spread).replace("labels: {", "labels: {set: s, ");
    create(&kubectl, &[member("s1"), member("s2"), member("s3")]);
    let mut nodes: Vec<String> = ["s1", "s2", "s3"].map(|name| runs_on(&server, &kubectl, name)).to_vec();
    nodes.sort();
    nodes.dedup();
    assert_eq!(nodes.len(), 3, "{nodes:?}");
}

#[test]
fn pods_that_may_not_displace_others_wait_and_budgets_choose_the_victim() {
    let Some((server, kubectl)) = cluster(2, &[]) else { return };
    for (name, rest) in [("high", "--value=1000"), ("polite", "--value=1000 --preemption-policy=Never")] {
        kubectl.ok(&format!("create priorityclass {name} {rest}"));
    }
    let big = |name: &str, rest: &str| {
        pod(name, rest).replace("image: i", "image: i, resources: {requests: {cpu: '30'}}")
    };
    create(&kubectl, &[big("kept", ""), big("victim", "")]);
    runs_on(&server, &kubectl, "kept");
    let freed = runs_on(&server, &kubectl, "victim");
    kubectl.ok("create poddisruptionbudget kept --selector=app=kept --min-available=1");
    let allowed = "get pdb kept -o jsonpath={.status.expectedPods}/{.status.disruptionsAllowed}";
    wait::until(30, || (kubectl.ok(allowed).trim() == "1/0").then_some(())).expect("the budget is counted");
    create(&kubectl, &[big("polite", "priorityClassName: polite")]);
    assert_eq!(
        told(&kubectl, "polite", "0/2"),
        "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to \
         preemptionPolicy=Never."
    );
    kubectl.ok("delete pod polite");
    create(&kubectl, &[big("important", "priorityClassName: high")]);
    assert_eq!(runs_on(&server, &kubectl, "important"), freed);
    assert_eq!(kubectl.ok("get pods kept victim --ignore-not-found -o name").trim(), "pod/kept");
}
