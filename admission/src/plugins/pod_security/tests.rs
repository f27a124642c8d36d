//! PodSecurity as a whole: levels and their versions, modes, exemptions, labels of namespaces.

use super::super::testing::{Cluster, Outcome, Request};
use super::*;
use api::tree;
use stdx::Time;

fn plugin(configuration: Option<Value>) -> PodSecurity {
    let mut settings = Settings::new(Clock::manual(Time::default()));
    if let Some(mut value) = configuration {
        value.set(&["kind"], "PodSecurityConfiguration");
        value.set(&["apiVersion"], "pod-security.admission.config.k8s.io/v1");
        settings.configurations.insert("PodSecurity".to_owned(), value);
    }
    PodSecurity::new(&settings).unwrap()
}

/// A namespace `n` with labels such as `enforce: baseline`.
fn namespace(labels: &[(&str, &str)]) -> Value {
    let mut namespace = tree!({"metadata": {"name": "n"}});
    for (mode, value) in labels {
        namespace.set(&["metadata", "labels", &format!("{PREFIX}{mode}")], *value);
    }
    namespace
}

fn pod(spec: Value) -> Value {
    let mut pod = tree!({"metadata": {"name": "p"}, "spec": spec});
    if pod.list_at(&["spec", "containers"]).is_empty() {
        pod.set(&["spec", "containers"], tree!([{"name": "c", "image": "x"}]));
    }
    pod
}

async fn run(labels: &[(&str, &str)], place: (&str, &str), object: Value) -> Outcome {
    let cluster = Cluster::new().with("", "namespaces", namespace(labels));
    Request::new(place, object, None).run(&plugin(None), &cluster).await
}

/// What a pod violates; empty when it is let in.
async fn violates(labels: &[(&str, &str)], spec: Value) -> String {
    match run(labels, ("", "pods"), pod(spec)).await.result {
        Ok(()) => String::new(),
        Err(status) => status.message.replace("pods \"p\" is forbidden: violates PodSecurity ", ""),
    }
}

fn container(security: Value) -> Value {
    tree!({"containers": [{"name": "c", "image": "x", "securityContext": security}]})
}

#[tokio::test]
async fn the_baseline_keeps_pods_off_their_node() {
    let cases = [
        (tree!({"hostNetwork": true, "hostIPC": true}), "host namespaces (hostNetwork=true, hostIPC=true)"),
        (
            tree!({"containers": [{"name": "a", "securityContext": {"privileged": true}}, {"name": "b", "securityContext": {"privileged": true}}]}),
            "privileged (containers \"a\", \"b\" must not set securityContext.privileged=true)",
        ),
        (
            container(tree!({"capabilities": {"add": ["NET_ADMIN", "CHOWN", "BPF"]}})),
            "non-default capabilities (container \"c\" must not include \"BPF\", \"NET_ADMIN\" in securityContext.capabilities.add)",
        ),
        (tree!({"volumes": [{"name": "h", "hostPath": {"path": "/"}}]}), "hostPath volumes (volume \"h\")"),
        (
            tree!({"containers": [{"name": "a", "ports": [{"hostPort": 80}, {"hostPort": 9}]}]}),
            "hostPort (container \"a\" uses hostPorts 80, 9)",
        ),
        (
            tree!({"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "::1"}}, "lifecycle": {"preStop": {"tcpSocket": {"host": "h"}}}}]}),
            "probe or lifecycle host (container \"a\" uses probe or lifecycle hosts \"::1\", \"h\")",
        ),
        (
            tree!({"securityContext": {"seLinuxOptions": {"type": "bad_t", "role": "r"}}}),
            "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type \"bad_t\"; role may not be set)",
        ),
        (
            tree!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}, "initContainers": [{"name": "i", "securityContext": {"appArmorProfile": {"type": "Unconfined"}}}]}),
            "forbidden AppArmor profile (pod and container \"i\" must not set AppArmor profile type to \"Unconfined\")",
        ),
        (
            tree!({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_rmem"}]}}),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            tree!({"securityContext": {"windowsOptions": {"hostProcess": true}}}),
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            container(tree!({"procMount": "Unmasked"})),
            "procMount (container \"c\" must not set securityContext.procMount to \"Unmasked\")",
        ),
    ];
    for (spec, text) in cases {
        assert_eq!(violates(&[("enforce", "baseline")], spec).await, format!("\"baseline:latest\": {text}"));
    }
    assert_eq!(violates(&[("enforce", "baseline")], tree!({})).await, "");
}

#[tokio::test]
async fn restricted_pods_say_what_they_go_without() {
    let restricted = [("enforce", "restricted")];
    let text = violates(&restricted, tree!({})).await;
    assert_eq!(
        text,
        "\"restricted:latest\": allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    );
    let good = tree!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}
    });
    assert_eq!(violates(&restricted, container(good.clone())).await, "");
    let mut spec = container(good.clone());
    spec.set(&["volumes"], tree!([{"name": "n", "nfs": {}}, {"name": "h", "hostPath": {}}]));
    spec.set(&["securityContext", "runAsUser"], 0);
    assert_eq!(
        violates(&restricted, spec).await,
        "\"restricted:latest\": restricted volume types (volumes \"n\", \"h\" use restricted volume types \"hostPath\", \"nfs\"), runAsUser=0 (pod must not set runAsUser=0)"
    );
    let mut bad = good;
    bad.set(&["capabilities", "add"], tree!(["CHOWN"]));
    bad.set(&["seccompProfile", "type"], "Unconfined");
    bad.set(&["runAsNonRoot"], false);
    assert_eq!(
        violates(&restricted, container(bad)).await,
        "\"restricted:latest\": unrestricted capabilities (container \"c\" must not include \"CHOWN\" in securityContext.capabilities.add), runAsNonRoot != true (container \"c\" must not set securityContext.runAsNonRoot=false), seccompProfile (container \"c\" must not set securityContext.seccompProfile.type to \"Unconfined\")"
    );
}

#[tokio::test]
async fn old_versions_have_the_checks_of_their_time() {
    let at = |level: &'static str, version: &'static str| [("enforce", level), ("enforce-version", version)];
    let sysctl = tree!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_fin_timeout"}]}});
    assert_ne!(violates(&at("baseline", "v1.28"), sysctl.clone()).await, "");
    assert_eq!(violates(&at("baseline", "v1.29"), sysctl).await, "");
    let se_linux = container(tree!({"seLinuxOptions": {"type": "container_engine_t"}}));
    assert_ne!(violates(&at("baseline", "v1.30"), se_linux.clone()).await, "");
    assert_eq!(violates(&at("baseline", "v1.31"), se_linux).await, "");
    let text = violates(&at("restricted", "v1.7"), tree!({})).await;
    assert_eq!(
        text,
        "\"restricted:v1.7\": runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true)"
    );
    // The stricter check of `restricted` takes the place of the one of `baseline`.
    let bpf = container(tree!({"capabilities": {"add": ["BPF"]}}));
    assert!(violates(&at("restricted", "v1.21"), bpf.clone()).await.contains("non-default capabilities"));
    assert!(!violates(&at("restricted", "v1.22"), bpf).await.contains("non-default capabilities"));
    // What is newer than all checks is judged by the newest.
    assert_ne!(violates(&at("restricted", "v1.500"), tree!({})).await, "");
}

#[tokio::test]
async fn windows_and_user_namespaces_are_asked_for_less() {
    let restricted = [("enforce", "restricted")];
    let windows = tree!({"os": {"name": "windows"}, "securityContext": {"runAsNonRoot": true}});
    assert_eq!(violates(&restricted, windows).await, "");
    let mut spec = container(
        tree!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}}),
    );
    assert_ne!(violates(&restricted, spec.clone()).await, "");
    spec.set(&["hostUsers"], false);
    assert_eq!(violates(&restricted, spec.clone()).await, "");
    assert_ne!(violates(&[("enforce", "restricted"), ("enforce-version", "v1.34")], spec).await, "");
    let mut unmasked = container(tree!({"procMount": "Unmasked"}));
    unmasked.set(&["hostUsers"], false);
    assert_eq!(violates(&[("enforce", "baseline")], unmasked.clone()).await, "");
    assert_ne!(violates(&[("enforce", "baseline"), ("enforce-version", "v1.34")], unmasked).await, "");
}

#[tokio::test]
async fn annotations_of_old_count_as_profiles() {
    let mut object = pod(tree!({}));
    object
        .set(&["metadata", "annotations", "container.apparmor.security.beta.kubernetes.io/c"], "unconfined");
    object.set(&["metadata", "annotations", "seccomp.security.alpha.kubernetes.io/pod"], "unconfined");
    let outcome = run(&[("enforce", "baseline"), ("enforce-version", "v1.18")], ("", "pods"), object).await;
    assert_eq!(
        outcome.result.unwrap_err().message,
        "pods \"p\" is forbidden: violates PodSecurity \"baseline:v1.18\": forbidden AppArmor profile (annotation must not set AppArmor profile type to \"container.apparmor.security.beta.kubernetes.io/c=\"unconfined\"\"), seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")"
    );
}

#[tokio::test]
async fn warnings_and_audit_let_pods_in() {
    let labels = [("warn", "restricted"), ("audit", "baseline")];
    let outcome = run(&labels, ("", "pods"), pod(tree!({"hostNetwork": true}))).await;
    assert!(outcome.result.is_ok());
    assert!(outcome.warnings[0].starts_with(
        "would violate PodSecurity \"restricted:latest\": host namespaces (hostNetwork=true), allow"
    ));
    let told: Vec<(&str, &str)> =
        outcome.audit_annotations.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        told,
        [
            ("pod-security.kubernetes.io/enforce-policy", "privileged:latest"),
            (
                "pod-security.kubernetes.io/audit-violations",
                "would violate PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)"
            ),
        ]
    );
}

#[tokio::test]
async fn what_makes_pods_is_only_warned_about() {
    let job = tree!({"metadata": {"name": "j"}, "spec": {"jobTemplate": {"spec": {"template": {"spec": {"hostPID": true}}}}}});
    let outcome = run(&[("enforce", "baseline")], ("batch", "cronjobs"), job).await;
    assert!(outcome.result.is_ok());
    assert_eq!(
        outcome.warnings,
        ["would violate PodSecurity \"baseline:latest\": host namespaces (hostPID=true)"]
    );
    assert!(outcome.audit_annotations.is_empty());
}

#[tokio::test]
async fn a_pod_that_keeps_its_images_is_not_judged_again() {
    let cluster = Cluster::new().with("", "namespaces", namespace(&[("enforce", "baseline")]));
    let old = pod(tree!({"hostNetwork": true}));
    let mut new = old.clone();
    new.set(&["metadata", "labels", "a"], "b");
    let plugin = plugin(None);
    let place = ("", "pods");
    assert!(Request::new(place, new.clone(), Some(&old)).run(&plugin, &cluster).await.result.is_ok());
    new.set(&["spec", "containers"], tree!([{"name": "c", "image": "y"}]));
    assert!(Request::new(place, new.clone(), Some(&old)).run(&plugin, &cluster).await.result.is_err());
    let status = Request { subresource: "status", ..Request::new(place, new, Some(&old)) };
    assert!(status.run(&plugin, &cluster).await.result.is_ok());
    let mut debugged = old.clone();
    debugged.set(&["spec", "ephemeralContainers"], tree!([{"name": "d", "image": "x"}]));
    let debug = Request { subresource: "ephemeralcontainers", ..Request::new(place, debugged, Some(&old)) };
    assert!(debug.run(&plugin, &cluster).await.result.is_err());
}

#[tokio::test]
async fn labels_must_be_right_when_they_change() {
    let (plugin, place) = (plugin(None), ("", "namespaces"));
    let wrong = namespace(&[("enforce", "x")]);
    let cluster = Cluster::new();
    let status = Request::new(place, wrong.clone(), None).run(&plugin, &cluster).await.result.unwrap_err();
    assert_eq!((status.code, status.reason), (422, "Invalid"));
    assert_eq!(
        status.message,
        "Namespace \"n\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"x\": must be one of privileged, baseline, restricted"
    );
    let mut kept = wrong.clone();
    kept.set(&["metadata", "labels", "other"], "a");
    assert!(Request::new(place, kept, Some(&wrong)).run(&plugin, &cluster).await.result.is_ok());
}

#[tokio::test]
async fn who_makes_a_namespace_stricter_is_told_of_its_pods() {
    let mut there = pod(tree!({"hostNetwork": true}));
    there.set(&["metadata", "namespace"], "n");
    let cluster = Cluster::new().with("", "pods", there);
    let (plugin, place) = (plugin(None), ("", "namespaces"));
    let levels = ["", "privileged", "baseline", "restricted"].map(|level| namespace(&[("enforce", level)]));
    let stricter = Request::new(place, levels[2].clone(), Some(&levels[1])).run(&plugin, &cluster).await;
    assert_eq!(
        stricter.warnings,
        [
            "existing pods in namespace \"n\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "p: host namespaces"
        ]
    );
    let looser = Request::new(place, levels[2].clone(), Some(&levels[3])).run(&plugin, &cluster).await;
    assert!(looser.warnings.is_empty());
}

#[tokio::test]
async fn who_is_exempt_is_not_judged() {
    let configuration = tree!({
        "defaults": {"enforce": "baseline"},
        "exemptions": {"usernames": ["root"], "runtimeClasses": ["vm"]}
    });
    let plugin = plugin(Some(configuration));
    let cluster = Cluster::new().with("", "namespaces", namespace(&[]));
    let place = ("", "pods");
    let bad = pod(tree!({"hostNetwork": true}));
    assert!(Request::new(place, bad.clone(), None).run(&plugin, &cluster).await.result.is_err());
    let by_root = Request { user: "root", ..Request::new(place, bad, None) };
    let outcome = by_root.run(&plugin, &cluster).await;
    assert!(outcome.result.is_ok());
    assert_eq!(
        outcome.audit_annotations,
        [("pod-security.kubernetes.io/exempt".to_owned(), "user".to_owned())]
    );
    let in_vm = pod(tree!({"hostNetwork": true, "runtimeClassName": "vm"}));
    assert!(Request::new(place, in_vm, None).run(&plugin, &cluster).await.result.is_ok());
}

#[tokio::test]
async fn labels_of_an_exempt_namespace_do_nothing_and_it_is_told() {
    let plugin = plugin(Some(tree!({"exemptions": {"namespaces": ["n"]}})));
    let labelled = namespace(&[("enforce", "baseline"), ("warn-version", "v1.20")]);
    let outcome = Request::new(("", "namespaces"), labelled, None).run(&plugin, &Cluster::new()).await;
    assert_eq!(
        outcome.warnings,
        [
            "namespace \"n\" is exempt from Pod Security, and the policy (enforce=baseline:latest, warn=baseline:v1.20) will be ignored"
        ]
    );
}
