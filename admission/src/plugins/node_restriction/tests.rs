//! What a node may not change, in upstream's words.

use super::*;
use crate::plugins::testing::{Cluster, Request};
use crate::review::Asks;
use api::{Later, tree};
use authz::{Attributes, Decision, Reason};

const NODE: &str = "system:node:a";
/// `O=system:nodes, CN=system:node:a`.
const REQUEST: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIcU1JR1JBZ0VBTUM4eEZUQVRCZ05WQkFvTURITjVjM1JsYlRwdWIyUmxjekVXTUJRR0ExVUVBd3dOYzNsegpkR1Z0T201dlpHVTZZVEJaTUJNR0J5cUdTTTQ5QWdFR0NDcUdTTTQ5QXdFSEEwSUFCTWxNUk1ZOSs3YmxYcW0wClJQM2NMc0xkUk83b0k2eWhrUC9nd2h1MTFDMzdaNERrbkVkcFFOT1Jqcjl3Z21GU25Ic0FBOEJPUjd2ek50V3EKWG8xWjFvaWdBREFLQmdncWhrak9QUVFEQWdOSUFEQkZBaUJVbGJJbG03ZFU1MC90MUsvT1FTSHY4bFNjczVKNgpsa0NjTEYzcUJoMEpMZ0loQU9Wbk44ZUxHWUxRR0xJS0xubDhRRGZxd0hIWlRqMTBkNEswYmZnMHcrOVYKLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg==";

/// What is refused to the node `a`, without the name of the object; empty when nothing is.
async fn refused(cluster: &Cluster, request: Request<'_>) -> String {
    let groups = ["system:nodes".to_owned()];
    let user = if request.user == "jane" { NODE } else { request.user };
    let outcome = Request { groups: &groups, user, ..request }.run(&NodeRestriction, cluster).await;
    let message = outcome.result.err().map(|status| status.message).unwrap_or_default();
    message.split_once(" is forbidden: ").map_or(message.clone(), |(_, why)| why.to_owned())
}

fn pod(name: &str, node: &str) -> Value {
    tree!({"metadata": {"name": name, "namespace": "n", "uid": "u"}, "spec": {"nodeName": node}})
}

fn cluster() -> Cluster {
    let node = tree!({"metadata": {"name": "a", "uid": "node-uid"}});
    Cluster::new().with("", "nodes", node).with("", "pods", pod("mine", "a")).with(
        "",
        "pods",
        pod("yours", "b"),
    )
}

fn mirror() -> Value {
    tree!({
        "metadata": {"name": "m", "annotations": {"kubernetes.io/config.mirror": "x"},
                     "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "a", "uid": "node-uid", "controller": true}]},
        "spec": {"nodeName": "a", "volumes": [{"name": "v", "hostPath": {"path": "/"}}]}
    })
}

#[tokio::test]
async fn a_node_makes_only_mirrors_of_its_own_files() {
    let create = async |change: fn(&mut Value)| {
        let mut pod = mirror();
        change(&mut pod);
        refused(&cluster(), Request::new(("", "pods"), pod, None)).await
    };
    assert_eq!(create(|_| {}).await, "");
    assert_eq!(
        create(|pod| drop(pod.unset(&["metadata", "annotations"]))).await,
        "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"a\" can only create mirror pods"
    );
    assert_eq!(
        create(|pod| pod.set(&["spec", "nodeName"], "b")).await,
        "node \"a\" can only create pods with spec.nodeName set to itself"
    );
    assert_eq!(
        create(|pod| drop(pod.unset(&["metadata", "ownerReferences"]))).await,
        "node \"a\" can only create pods with an owner reference set to itself"
    );
    assert_eq!(
        create(|pod| {
            let owners = pod.at_mut(&["metadata", "ownerReferences"]).and_then(Value::as_list_mut).unwrap();
            owners[0].set(&["uid"], "other");
        })
        .await,
        "node a UID mismatch: expected other got node-uid"
    );
    assert_eq!(
        create(|pod| pod.set(&["spec", "serviceAccountName"], "x")).await,
        "node \"a\" can not create pods that reference serviceaccounts"
    );
    assert_eq!(
        create(|pod| {
            let claim = tree!([{"name": "v", "ephemeral": {"volumeClaimTemplate": {}}}]);
            pod.set(&["spec", "volumes"], claim);
        })
        .await,
        "node \"a\" can not create pods that reference persistentvolumeclaims (via ephemeral volumes)"
    );
}

#[tokio::test]
async fn a_node_touches_only_the_pods_that_are_on_it() {
    let cluster = cluster();
    let place = ("", "pods");
    let (mine, yours) = (pod("mine", "a"), pod("yours", "b"));
    let delete =
        |old| Request { operation: Operation::Delete, ..Request::new(place, Value::Null, Some(old)) };
    assert_eq!(refused(&cluster, delete(&mine)).await, "");
    assert_eq!(
        refused(&cluster, delete(&yours)).await,
        "node \"a\" can only delete pods with spec.nodeName set to itself"
    );
    let status = |old, new| Request { subresource: "status", ..Request::new(place, new, Some(old)) };
    assert_eq!(refused(&cluster, status(&mine, mine.clone())).await, "");
    let mut labelled = mine.clone();
    labelled.set(&["metadata", "labels"], tree!({"a": "b"}));
    assert_eq!(
        refused(&cluster, status(&mine, labelled)).await,
        "node \"a\" cannot update labels through pod status"
    );
    assert_eq!(
        refused(&cluster, status(&yours, yours.clone())).await,
        "node \"a\" can only update pod status for pods with spec.nodeName set to itself"
    );
    let evict = |name: &str| Request {
        subresource: "eviction",
        ..Request::new(place, tree!({"metadata": {"name": name}}), None)
    };
    assert_eq!(refused(&cluster, evict("mine")).await, "");
    assert_eq!(
        refused(&cluster, evict("yours")).await,
        "node a can only evict pods with spec.nodeName set to itself"
    );
    assert_eq!(refused(&cluster, evict("none")).await, "pod \"none\" not found");
    assert_eq!(
        refused(&cluster, Request::new(place, mine.clone(), Some(&mine))).await,
        "unexpected operation \"UPDATE\", node \"a\" can only create and delete mirror pods"
    );
    assert_eq!(
        refused(
            &cluster,
            Request { subresource: "resize", ..Request::new(place, mine.clone(), Some(&mine)) }
        )
        .await,
        "unexpected pod subresource \"resize\", only 'status' and 'eviction' are allowed"
    );
}

#[tokio::test]
async fn a_node_changes_itself_and_no_taints_or_restricted_labels() {
    let cluster = cluster();
    let node = |name: &str| tree!({"metadata": {"name": name}});
    let old = node("a");
    let update = async |path: &[&str], value: Value| {
        let mut new = old.clone();
        new.set(path, value);
        refused(&cluster, Request::new(("", "nodes"), new, Some(&old))).await
    };
    assert_eq!(
        refused(&cluster, Request::new(("", "nodes"), node("b"), None)).await,
        "node \"a\" is not allowed to modify node \"b\""
    );
    assert_eq!(update(&["status", "capacity", "cpu"], "1".into()).await, "");
    assert_eq!(
        update(&["spec", "taints"], tree!([{"key": "a", "effect": "NoSchedule"}])).await,
        "node \"a\" is not allowed to modify taints"
    );
    assert_eq!(
        update(
            &["metadata", "labels"],
            tree!({"node-restriction.kubernetes.io/x": "", "a": "", "k8s.io/y": ""})
        )
        .await,
        "is not allowed to modify labels: k8s.io/y, node-restriction.kubernetes.io/x"
    );
    let mut new = node("a");
    new.set(&["metadata", "labels"], tree!({"k8s.io/y": "", "kubernetes.io/os": "linux"}));
    assert_eq!(
        refused(&cluster, Request::new(("", "nodes"), new, None)).await,
        "node \"a\" is not allowed to set the following labels: k8s.io/y"
    );
}

/// May ask for tokens of one audience.
struct MayAsk(&'static str);

impl Asks for MayAsk {
    fn may<'a>(&'a self, asked: &'a Attributes) -> Later<'a, Decision> {
        let same = asked.verb == "request-serviceaccounts-token-audience" && asked.resource == self.0;
        let decision = if same { Decision::Allow(Reason::NONE) } else { Decision::NoOpinion(Reason::NONE) };
        Box::pin(std::future::ready(decision))
    }
}

#[tokio::test]
async fn a_node_gets_tokens_for_its_pods_and_what_they_mount() {
    let mut mine = pod("mine", "a");
    let volumes = tree!([
        {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}, {"serviceAccountToken": {"path": "v", "audience": "vault"}}]}},
        {"name": "c", "csi": {"driver": "d"}}
    ]);
    mine.set(&["spec", "volumes"], volumes);
    let driver = tree!({"metadata": {"name": "d"}, "spec": {"tokenRequests": [{"audience": "disk"}]}});
    let cluster = Cluster::new().with("", "pods", mine).with("", "pods", pod("yours", "b")).with(
        "storage.k8s.io",
        "csidrivers",
        driver,
    );
    let request = |name: &str, uid: &str, audience: &[&str]| {
        let bound = tree!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid});
        let token = tree!({"metadata": {"name": "sa"}, "spec": {"audiences": audience.to_vec(), "boundObjectRef": bound}});
        Request { subresource: "token", ..Request::new(("", "serviceaccounts"), token, None) }
    };
    for audience in [&[][..], &["vault"], &["disk"]] {
        assert_eq!(refused(&cluster, request("mine", "u", audience)).await, "", "{audience:?}");
    }
    assert_eq!(
        refused(&cluster, request("mine", "u", &["x"])).await,
        "audience \"x\" not found in pod spec volume, system:node:a is not authorized to request tokens for this audience"
    );
    let allowed = Request { asks: &MayAsk("x"), ..request("mine", "u", &["x"]) };
    assert_eq!(refused(&cluster, allowed).await, "");
    assert_eq!(
        refused(&cluster, request("mine", "u", &["a", "b"])).await,
        "node may only request 0 or 1 audiences"
    );
    assert_eq!(
        refused(&cluster, request("yours", "u", &[])).await,
        "node requested token bound to a pod scheduled on a different node"
    );
    assert_eq!(
        refused(&cluster, request("mine", "", &[])).await,
        "node requested token with a pod binding without a uid"
    );
    assert_eq!(refused(&cluster, request("", "u", &[])).await, "node requested token not bound to a pod");
    assert!(
        refused(&cluster, request("mine", "old", &[]))
            .await
            .starts_with("the UID in the bound object reference (old)")
    );
}

#[tokio::test]
async fn a_node_changes_what_is_named_like_itself() {
    let cluster = cluster();
    let named = |name: &str| tree!({"metadata": {"name": name}});
    let csi = ("storage.k8s.io", "csinodes");
    assert_eq!(refused(&cluster, Request::new(csi, named("a"), None)).await, "");
    assert_eq!(
        refused(&cluster, Request::new(csi, named("b"), None)).await,
        "can only access CSINode with the same name as the requesting node"
    );
    let lease = Request::new(("coordination.k8s.io", "leases"), named("a"), None);
    assert_eq!(
        refused(&cluster, lease).await,
        "can only access leases in the \"kube-node-lease\" system namespace"
    );
    let slice = tree!({"metadata": {"name": "s"}, "spec": {"nodeName": "b"}});
    assert_eq!(
        refused(&cluster, Request::new(("resource.k8s.io", "resourceslices"), slice, None)).await,
        "can only create ResourceSlice with the same NodeName as the requesting node"
    );
    let csr =
        |signer: &str| tree!({"metadata": {"name": "c"}, "spec": {"signerName": signer, "request": REQUEST}});
    let place = ("certificates.k8s.io", "certificatesigningrequests");
    let serving = || Request::new(place, csr("kubernetes.io/kubelet-serving"), None);
    assert_eq!(refused(&cluster, serving()).await, "");
    let other = Request { user: "system:node:b", ..serving() };
    assert_eq!(refused(&cluster, other).await, "can only create a node CSR with CN=system:node:b");
    let nameless = Request { user: "system:node:", ..serving() };
    assert_eq!(refused(&cluster, nameless).await, "could not determine node from user \"system:node:\"");
}

#[tokio::test]
async fn a_node_reports_the_size_of_claims_and_nothing_else() {
    let cluster = cluster();
    let old = tree!({"metadata": {"name": "c"}, "status": {"phase": "Bound"}});
    let update = async |subresource, path: &[&str], value: &str| {
        let mut new = old.clone();
        new.set(path, value);
        let request = Request::new(("", "persistentvolumeclaims"), new, Some(&old));
        refused(&cluster, Request { subresource, ..request }).await
    };
    assert_eq!(update("status", &["status", "capacity", "storage"], "1Gi").await, "");
    assert_eq!(update("", &["status", "capacity", "storage"], "1Gi").await, "may only update PVC status");
    assert_eq!(
        update("status", &["metadata", "labels", "a"], "b").await,
        "node \"a\" is not allowed to update fields other than status.quantity and status.conditions: metadata"
    );
}
