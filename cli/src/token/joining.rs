//! What a node needs of the cluster to join by a token, as kubeadm sets it up: `cluster-info`, which everybody may read,
//! and leave to ask for a certificate.

use api::{Remote, Value, tree};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::{Client, Error, Resource};

const NODES_TO_BE: &str = "system:bootstrappers:kubeadm:default-node-token";
const RBAC: &str = "rbac.authorization.k8s.io";
/// Bindings in the cluster: name, role, group.
const BINDINGS: [(&str, &str, &str); 4] = [
    ("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", NODES_TO_BE),
    (
        "kubeadm:node-autoapprove-bootstrap",
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        NODES_TO_BE,
    ),
    (
        "kubeadm:node-autoapprove-certificate-rotation",
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        "system:nodes",
    ),
    ("kubeadm:get-nodes", "kubeadm:get-nodes", NODES_TO_BE),
];
const INFO_READER: &str = "kubeadm:bootstrap-signer-clusterinfo";

/// Makes what is missing; what is there stays as it is.
pub async fn prepare(client: &Client, remote: &Remote) -> Result<(), Error> {
    let info = tree!({
        "metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": {"kubeconfig": kubeconfig(remote)}
    });
    ensure(client, &Resource::namespaced("", "v1", "configmaps"), "kube-public", &info).await?;
    let reads = tree!({
        "metadata": {"name": INFO_READER, "namespace": "kube-public"},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["cluster-info"]}]
    });
    ensure(client, &Resource::namespaced(RBAC, "v1", "roles"), "kube-public", &reads).await?;
    let everybody = binding(
        INFO_READER,
        "Role",
        INFO_READER,
        tree!({"kind": "User", "apiGroup": RBAC, "name": "system:anonymous"}),
    );
    ensure(client, &Resource::namespaced(RBAC, "v1", "rolebindings"), "kube-public", &everybody).await?;
    let nodes = tree!({
        "metadata": {"name": "kubeadm:get-nodes"},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["nodes"]}]
    });
    ensure(client, &Resource::cluster(RBAC, "v1", "clusterroles"), "", &nodes).await?;
    for (name, role, group) in BINDINGS {
        let subject = tree!({"kind": "Group", "apiGroup": RBAC, "name": group});
        let binding = binding(name, "ClusterRole", role, subject);
        ensure(client, &Resource::cluster(RBAC, "v1", "clusterrolebindings"), "", &binding).await?;
    }
    Ok(())
}

fn binding(name: &str, kind: &str, role: &str, subject: Value) -> Value {
    tree!({
        "metadata": {"name": name}, "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role}, "subjects": [subject]
    })
}

/// Where the server is and by which CA it is known, and nothing secret.
fn kubeconfig(remote: &Remote) -> String {
    let mut cluster = tree!({"server": remote.url.as_str()});
    if let Some(ca) = &remote.ca {
        cluster.set(&["certificate-authority-data"], STANDARD.encode(ca));
    }
    api::yaml::to_string(&tree!({
        "apiVersion": "v1", "clusters": [{"cluster": cluster, "name": ""}], "contexts": [], "current-context": "",
        "kind": "Config", "preferences": {}, "users": []
    }))
}

async fn ensure(client: &Client, resource: &Resource, namespace: &str, object: &Value) -> Result<(), Error> {
    match client.create(resource, namespace, object).await {
        Err(error) if !error.is_already_exists() => Err(error),
        _ => Ok(()),
    }
}
