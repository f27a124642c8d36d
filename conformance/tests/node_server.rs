//! The kubelet's server, reached through the API server: what it shows of itself and its pods, and to whom.

use conformance::{Node, wait};
use serde_json::Value;
use std::sync::OnceLock;

/// The node's: nobody is proxied to the loopback's.
const ADDRESS: &str = "192.0.2.7";

/// One cluster for all tests of this file, each in a namespace of its own.
fn node(namespace: &str) -> Option<&'static Node> {
    static NODE: OnceLock<Option<Node>> = OnceLock::new();
    let start = || {
        let node = Node::start(&["--node-ip", ADDRESS])?;
        node.machine.sh(&format!("ip address add {ADDRESS}/32 dev lo"));
        Some(node)
    };
    let node = NODE.get_or_init(start).as_ref()?;
    node.namespace(namespace);
    Some(node)
}

const POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {terminationGracePeriodSeconds: 1, \
     containers: [{name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, \
     'mkdir /w; echo \"<a href=/next>on</a>\" > /w/index.html; exec httpd -f -p 8080 -h /w']}]}}";

fn name(node: &Node) -> String {
    node.kubectl.ok("get nodes -o jsonpath={.items[0].metadata.name}")
}

#[test]
fn a_node_shows_its_health_its_pods_and_what_they_use() {
    let Some(node) = node("shown") else { return };
    let kubectl = &node.kubectl;
    kubectl.ok_with("create -n shown -f -", POD);
    kubectl.ok("wait -n shown --for=condition=Ready pod/web --timeout=60s");
    let proxy = format!("get --raw /api/v1/nodes/{}/proxy", name(node));
    assert_eq!(kubectl.ok(&format!("{proxy}/healthz")), "ok");
    let read = |path: &str| serde_json::from_str::<Value>(&kubectl.ok(&format!("{proxy}{path}"))).unwrap();
    let in_namespace = |all: &Value, path: &str| {
        all.as_array().unwrap().iter().find(|pod| pod.pointer(path).unwrap() == "shown").unwrap().clone()
    };
    let pod = in_namespace(&read("/pods")["items"], "/metadata/namespace");
    assert_eq!(pod["status"]["phase"], "Running");
    let summary = read("/stats/summary");
    let container = &in_namespace(&summary["pods"], "/podRef/namespace")["containers"][0];
    assert!(container["memory"]["workingSetBytes"].as_u64().unwrap() > 0);
    assert!(container["cpu"]["usageCoreNanoSeconds"].as_u64().unwrap() > 0);
    assert!(summary["node"]["fs"]["capacityBytes"].as_u64().unwrap() > 0);
    let metrics = kubectl.ok(&format!("{proxy}/metrics/resource"));
    let series = "container_cpu_usage_seconds_total{container=\"c\",namespace=\"shown\",pod=\"web\"} ";
    assert!(metrics.contains(series) && metrics.contains("\nresource_scrape_error 0\n"), "{metrics}");
}

#[test]
fn the_use_of_a_pod_is_served_as_an_object() {
    let Some(node) = node("used") else { return };
    let kubectl = &node.kubectl;
    kubectl.ok_with("create -n used -f -", POD);
    kubectl.ok("wait -n used --for=condition=Ready pod/web --timeout=60s");
    let shown = wait::until(60, || {
        let path = "/apis/metrics.k8s.io/v1beta1/namespaces/used/pods/web";
        Some(kubectl.run(&format!("get --raw {path}"))).filter(|asked| asked.code == 0)
    });
    let shown: Value = serde_json::from_str(&shown.unwrap().out).unwrap();
    assert_eq!(shown["kind"], "PodMetrics");
    let container = &shown["containers"][0];
    assert_eq!(container["name"], "c");
    assert!(container["usage"]["memory"].as_str().unwrap().ends_with("Ki"), "{container}");
    let missing = kubectl.run("get --raw /apis/metrics.k8s.io/v1beta1/namespaces/used/pods/none");
    assert!(missing.err.contains("podmetrics.metrics.k8s.io \"used/none\" not found"), "{}", missing.err);
    let forbidden = kubectl.run("top pods -n used --as=bob");
    assert!(forbidden.err.contains("cannot list resource \"pods\" in API group \"metrics.k8s.io\""));
}

#[test]
fn a_proxied_page_leads_its_links_through_the_proxy() {
    let Some(node) = node("pages") else { return };
    let kubectl = &node.kubectl;
    kubectl.ok_with("create -n pages -f -", POD);
    kubectl.ok("wait -n pages --for=condition=Ready pod/web --timeout=60s");
    let proxy = "/api/v1/namespaces/pages/pods/web:8080/proxy";
    let page =
        wait::until(10, || Some(kubectl.run(&format!("get --raw {proxy}/"))).filter(|asked| asked.code == 0));
    assert_eq!(page.unwrap().out, format!("<a href={proxy}/next>on</a>\n"));
    let closed = kubectl.run("get --raw /api/v1/namespaces/pages/pods/web:8081/proxy/");
    assert!(closed.err.contains("error trying to reach service: dial tcp"), "{}", closed.err);
    let forbidden = kubectl.run("get --raw /api/v1/namespaces/pages/pods/web:8080/proxy/ --as=bob");
    assert!(forbidden.err.contains("pods/proxy"), "{}", forbidden.err);
}

#[test]
fn logs_that_cannot_be_are_refused_in_the_kubelets_words() {
    let Some(node) = node("mute") else { return };
    let kubectl = &node.kubectl;
    let pod = POD.replace("image: busybox", "image: none.invalid/none").replace("IfNotPresent", "Never");
    kubectl.ok_with("create -n mute -f -", &pod);
    node.expect(
        "pod/web -n mute",
        "{.status.containerStatuses[0].state.waiting.reason}",
        "ErrImageNeverPull",
    );
    let refused = kubectl.run("logs -n mute web");
    let words = "container \"c\" in pod \"web\" is waiting to start: ErrImageNeverPull";
    assert!(refused.err.contains(words), "{}", refused.err);
    let refused = kubectl.run("logs -n mute web --previous");
    let words = "previous terminated container \"c\" in pod \"web\" not found";
    assert!(refused.err.contains(words), "{}", refused.err);
}
