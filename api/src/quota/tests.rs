//! The rules of quotas: weights, names, scopes.

use super::*;
use crate::tree;

fn used(group: &str, resource: &str, object: &Value) -> Amounts {
    usage(group, resource, object, &Around::default())
}

fn names(used: &Amounts) -> Vec<&str> {
    used.keys().map(String::as_str).collect()
}

#[test]
fn kinds_are_weighed_under_the_names_of_quotas() {
    let pod =
        tree!({"spec": {"containers": [{"resources": {"requests": {"cpu": "1", "example.com/gpu": "2"}}}]}});
    let usage = used("", "pods", &pod);
    assert_eq!(names(&usage), ["count/pods", "cpu", "pods", "requests.cpu", "requests.example.com/gpu"]);
    let claim = tree!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}});
    let usage = used("", "persistentvolumeclaims", &claim);
    assert_eq!(usage["fast.storageclass.storage.k8s.io/requests.storage"].to_string(), "1Gi");
    assert_eq!(names(&used("apps", "deployments", &Value::map())), ["count/deployments.apps"]);
    assert!(used("", "secrets", &Value::map()).contains_key("secrets"));
}

#[test]
fn a_pod_that_is_over_counts_as_an_object_only() {
    let over = tree!({"status": {"phase": "Failed"}, "spec": {}});
    assert_eq!(names(&used("", "pods", &over)), ["count/pods"]);
    let dying = tree!({
        "metadata": {"deletionTimestamp": "2020-01-01T00:00:30Z", "deletionGracePeriodSeconds": 30},
        "spec": {}
    });
    let end = time_secs("2020-01-01T00:01:00Z");
    let at = |now_secs: i64| {
        usage("", "pods", &dying, &Around { now_secs, ..Around::default() }).contains_key("pods")
    };
    assert!(at(end) && !at(end + 1));
}

fn time_secs(text: &str) -> i64 {
    crate::time::parse(text).unwrap().secs
}

#[test]
fn services_use_the_node_ports_that_they_will_get() {
    let ports = tree!([{"port": 1}, {"port": 2, "nodePort": 30000}]);
    let of = |spec: Value| used("", "services", &tree!({"spec": spec}))["services.nodeports"].value();
    assert_eq!(of(tree!({"type": "NodePort", "ports": ports.clone()})), 2);
    assert_eq!(
        of(tree!({"type": "LoadBalancer", "ports": ports, "allocateLoadBalancerNodePorts": false})),
        1
    );
    assert_eq!(of(tree!({"type": "ClusterIP", "ports": [{"port": 1}]})), 0);
}

#[test]
fn storage_counts_in_whole_bytes_and_as_much_as_is_allocated() {
    let mut claim = tree!({"spec": {"resources": {"requests": {"storage": "1500m"}}}});
    let of = |claim: &Value| used("", "persistentvolumeclaims", claim)["requests.storage"].to_string();
    assert_eq!(of(&claim), "2");
    claim.set(&["status", "allocatedResources", "storage"], "3Gi");
    assert_eq!(of(&claim), "3Gi");
}

#[test]
fn bounds_concern_their_resource_alone() {
    let concerns = |group: &str, resource: &str, name: &str| {
        super::concerns(group, resource, name, &DeviceClasses::default())
    };
    for name in ["pods", "limits.memory", "requests.example.com/gpu", "hugepages-2Mi", "count/pods"] {
        assert!(concerns("", "pods", name), "{name}");
        assert!(!concerns("", "services", name), "{name}");
    }
    assert!(concerns("", "persistentvolumeclaims", "a.storageclass.storage.k8s.io/requests.storage"));
    assert!(!concerns("", "pods", "requests.storage"));
    assert!(concerns("", "secrets", "secrets") && !concerns("", "configmaps", "secrets"));
    assert!(concerns("resource.k8s.io", "resourceclaims", "a.deviceclass.resource.k8s.io/devices"));
    assert_eq!(
        (counted("secrets"), counted("count/a.b"), counted("pods")),
        (Some("secrets"), Some("a.b"), None)
    );
}

#[test]
fn claims_use_devices_by_class_and_what_classes_stand_for() {
    let class = tree!({"metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "example.com/gpu"}});
    let claim = tree!({"spec": {"devices": {"requests": [
        {"exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2}},
        {"firstAvailable": [
            {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1},
            {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 3},
            {"deviceClassName": "fpga", "allocationMode": "All"}
        ]}
    ]}}});
    let mut around = Around { classes: DeviceClasses::new([&class]), ..Around::default() };
    let usage = |around: &Around| super::usage("resource.k8s.io", "resourceclaims", &claim, around);
    let alone = usage(&around);
    assert_eq!(alone["gpu.deviceclass.resource.k8s.io/devices"].value(), 5);
    assert_eq!(alone["fpga.deviceclass.resource.k8s.io/devices"].value(), 32);
    assert_eq!(alone["requests.example.com/gpu"].value(), 5);
    around.of_pod = Some(Amounts::from([("requests.example.com/gpu".to_owned(), whole(5))]));
    assert!(!usage(&around).contains_key("requests.example.com/gpu"));
}

#[test]
fn containers_must_name_what_is_bounded() {
    let mut pod = tree!({"spec": {"containers": [{"name": "c"}, {"name": "d", "resources": {"requests": {"cpu": "1"}}}]}});
    let bounds = ["pods", "requests.cpu", "limits.memory"];
    assert_eq!(
        missing(&pod, bounds.into_iter()).as_deref(),
        Some("must specify limits.memory for: c,d; requests.cpu for: c")
    );
    pod.set(&["spec", "resources", "requests", "cpu"], "1");
    assert_eq!(missing(&pod, bounds.into_iter()), None);
}

#[test]
fn scopes_choose_objects() {
    let quota = tree!({"spec": {"scopes": ["BestEffort", "NotTerminating"]}});
    assert!(is_in_scope(&quota, "", "pods", &Value::map()));
    assert!(!is_in_scope(&quota, "", "pods", &tree!({"spec": {"activeDeadlineSeconds": 5}})));
    assert!(!is_in_scope(&quota, "", "services", &Value::map()));
    let of_class = |operator: &str| {
        tree!({"spec": {"scopeSelector": {"matchExpressions": [
            {"scopeName": "VolumeAttributesClass", "operator": operator, "values": ["fast"]}
        ]}}})
    };
    let claim = tree!({"spec": {"volumeAttributesClassName": "slow"}, "status": {"currentVolumeAttributesClassName": "fast"}});
    assert!(is_in_scope(&of_class("In"), "", "persistentvolumeclaims", &claim));
    assert!(is_in_scope(&of_class("NotIn"), "", "persistentvolumeclaims", &claim));
    assert!(!is_in_scope(&of_class("In"), "", "persistentvolumeclaims", &Value::map()));
    assert_eq!(
        scopes_met(&of_class("Exists"), "", "persistentvolumeclaims", &claim),
        ["VolumeAttributesClass"]
    );
}
