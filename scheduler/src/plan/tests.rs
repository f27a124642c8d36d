//! Decisions over small clusters.

use super::*;
use api::{Value, tree};

fn node(snapshot: &mut Snapshot, name: &str, rest: Value) {
    let mut object = tree!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}
    });
    for (field, value) in rest.as_map().unwrap().iter() {
        object.set(&["spec", field], value.clone());
    }
    snapshot.change(name, |node| node.read(&object));
}

fn cluster(names: &[&str]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    names.iter().for_each(|name| node(&mut snapshot, name, tree!({})));
    snapshot
}

fn pod(name: &str, spec: Value) -> Pod {
    let mut object = tree!({
        "metadata": {"name": name, "namespace": "a", "uid": name, "labels": {"app": "web"}},
        "spec": {"containers": [{"image": "i", "resources": {"requests": {"cpu": "1"}}}]}
    });
    for (field, value) in spec.as_map().unwrap().iter() {
        object.set(&["spec", field], value.clone());
    }
    Pod::of(&object)
}

fn place(snapshot: &mut Snapshot, node: &str, pod: Pod) {
    let pod = Arc::new(Pod { node: node.into(), ..pod });
    snapshot.change_pods(node, |n| n.add(pod));
}

fn decide(snapshot: &Snapshot, pod: &Pod) -> Result<String, Wait> {
    match plan((&Profile::default(), snapshot), pod, &[], 0) {
        Plan::Bind { node, .. } => Ok(node.name.to_string()),
        Plan::Wait(wait) => Err(wait),
    }
}

fn message(snapshot: &Snapshot, pod: &Pod) -> String {
    decide(snapshot, pod).unwrap_err().message
}

#[test]
fn without_nodes_a_pod_is_told_so() {
    assert_eq!(message(&cluster(&[]), &pod("p", tree!({}))), "no nodes available to schedule pods");
}

#[test]
fn a_pod_goes_to_the_emptiest_node() {
    let mut snapshot = cluster(&["a", "b"]);
    place(&mut snapshot, "a", pod("x", tree!({})));
    assert_eq!(decide(&snapshot, &pod("p", tree!({}))).unwrap(), "b");
}

#[test]
fn every_reason_is_counted() {
    let mut snapshot = cluster(&["a", "b"]);
    node(&mut snapshot, "a", tree!({"unschedulable": true}));
    node(&mut snapshot, "c", tree!({"taints": [{"key": "k", "effect": "NoSchedule"}]}));
    let spec = tree!({"containers": [{"resources": {"requests": {"cpu": "5"}}}]});
    assert_eq!(
        message(&snapshot, &pod("p", spec)),
        "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable. \
         no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    );
}

#[test]
fn a_pod_bound_to_a_name_is_told_of_that_node_and_of_the_others() {
    let snapshot = cluster(&["a", "b"]);
    let bound = |name: &str| {
        pod(
            "p",
            tree!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}]}}}}),
        )
    };
    assert_eq!(decide(&snapshot, &bound("b")).unwrap(), "b");
    assert!(
        message(&snapshot, &bound("c"))
            .starts_with("0/2 nodes are available: 2 node(s) didn't satisfy plugin(s) [NodeAffinity].")
    );
}

#[test]
fn anti_affinity_holds_both_ways() {
    let mut snapshot = cluster(&["a"]);
    let lonely = tree!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}]}}});
    place(&mut snapshot, "a", pod("x", lonely.clone()));
    let told = message(&snapshot, &pod("p", tree!({})));
    assert!(
        told.starts_with(
            "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules."
        )
    );
    let told = message(&snapshot, &pod("p", lonely.clone()));
    assert!(
        told.starts_with("0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules."),
        "{told}"
    );
    node(&mut snapshot, "b", tree!({}));
    assert_eq!(decide(&snapshot, &pod("p", lonely)).unwrap(), "b");
}

#[test]
fn the_first_of_a_group_may_go_anywhere_and_the_others_follow() {
    let mut snapshot = cluster(&["a", "b"]);
    let together = tree!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}]}}});
    decide(&snapshot, &pod("p", together.clone())).unwrap();
    place(&mut snapshot, "b", pod("x", tree!({})));
    assert_eq!(decide(&snapshot, &pod("p", together)).unwrap(), "b");
}

#[test]
fn hard_spreading_keeps_the_skew() {
    let mut snapshot = cluster(&["a", "b"]);
    let spread = tree!({"topologySpreadConstraints": [{"topologyKey": "kubernetes.io/hostname", "maxSkew": 1,
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}}]});
    place(&mut snapshot, "a", pod("x", tree!({})));
    assert_eq!(decide(&snapshot, &pod("p", spread.clone())).unwrap(), "b");
    node(&mut snapshot, "b", tree!({"unschedulable": true}));
    let told = message(&snapshot, &pod("p", spread));
    assert!(told.contains("1 node(s) didn't match pod topology spread constraints"), "{told}");
}

#[test]
fn soft_spreading_counts_more_than_room() {
    let mut snapshot = cluster(&["a", "b"]);
    let soft = tree!({"topologySpreadConstraints": [{"topologyKey": "kubernetes.io/hostname", "maxSkew": 1,
        "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": "web"}}}]});
    let other = Pod { labels: api::Map::new(), ..pod("y", tree!({})) };
    place(&mut snapshot, "a", other);
    place(&mut snapshot, "b", pod("x", tree!({"containers": []})));
    assert_eq!(decide(&snapshot, &pod("p", soft)).unwrap(), "a");
}

#[test]
fn the_least_important_pod_leaves() {
    let mut snapshot = cluster(&["a", "b"]);
    let big = |name: &str, priority: i64| {
        pod(name, tree!({"priority": priority, "containers": [{"resources": {"requests": {"cpu": "3"}}}]}))
    };
    place(&mut snapshot, "a", big("x", 5));
    place(&mut snapshot, "b", big("y", 1));
    let wait = decide(&snapshot, &big("p", 10)).unwrap_err();
    let preemption = wait.preemption.unwrap();
    assert_eq!((preemption.node.as_str(), preemption.victims[0].name.as_str()), ("b", "y"));
    assert_eq!(wait.message, "0/2 nodes are available: 2 Insufficient cpu.");
    let told = message(&snapshot, &big("p", 1));
    assert_eq!(
        told,
        "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: 0/2 nodes are available: \
         2 No preemption victims found for incoming pod."
    );
    let never = Pod { preempts: false, ..big("p", 10) };
    assert!(
        message(&snapshot, &never).ends_with(
            ". no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never."
        )
    );
}

#[test]
fn room_made_for_one_is_not_given_to_a_lesser_one() {
    let mut snapshot = cluster(&["a"]);
    let big = |name: &str, priority: i64| {
        pod(name, tree!({"priority": priority, "containers": [{"resources": {"requests": {"cpu": "3"}}}]}))
    };
    Arc::make_mut(&mut snapshot.nominated).insert("a".into(), vec![Arc::new(big("first", 10))]);
    assert!(decide(&snapshot, &big("p", 1)).is_err());
    assert_eq!(decide(&snapshot, &big("p", 11)).unwrap(), "a");
}

#[test]
fn the_same_snapshot_and_pod_make_the_same_plan() {
    let names: Vec<String> = (0..300).map(|n| format!("n{n}")).collect();
    let snapshot = cluster(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let first = decide(&snapshot, &pod("p", tree!({}))).unwrap();
    for _ in 0..10 {
        assert_eq!(decide(&snapshot, &pod("p", tree!({}))).unwrap(), first);
    }
    let Plan::Bind { next, .. } = plan((&Profile::default(), &snapshot), &pod("p", tree!({})), &[], 290)
    else {
        panic!("it fits")
    };
    assert_eq!(next, 290 + enough(300, None));
}
