//! One hollow node: what it says of itself, its lease, and its writes.

use crate::resources::{self, LEASES};
use api::{Value, tree};
use client::{Client, Error, Informer, Method};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use stdx::{Backoff, Clock, Ids};

const LEASE_SECS: i64 = 40;
const RENEWAL: Duration = Duration::from_secs(10);
/// How often the status is posted although nothing changed: once in so many renewals (five minutes).
const RENEWALS_PER_STATUS: u32 = 30;
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

pub struct HollowNode {
    pub name: String,
    index: usize,
    client: Client,
    clock: Clock,
    version: String,
    /// Addresses given to pods.
    addresses: AtomicU32,
}

impl HollowNode {
    pub fn new(name: String, index: usize, client: Client, clock: Clock, version: &str) -> Self {
        HollowNode { name, index, client, clock, version: version.to_owned(), addresses: AtomicU32::new(0) }
    }

    /// The node's own address.
    pub fn address(&self) -> String {
        format!("172.{}.{}.{}", 16 + self.index / 64_516 % 16, self.index / 254 % 254, self.index % 254 + 1)
    }

    /// An address for a pod: 254 for each node before they come round again.
    pub fn pod_address(&self) -> String {
        let next = self.addresses.fetch_add(1, Ordering::Relaxed) % 254 + 1;
        format!("10.{}.{}.{next}", 128 + self.index / 256 % 128, self.index % 256)
    }

    /// Registers, then renews the lease until the runtime ends. A node that was given up, as `nodes` shows, says at
    /// once that it is there.
    pub async fn live(self: Arc<Self>, nodes: Informer) {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(7));
        while let Err(error) = self.register().await {
            tracing::debug!(node = self.name, %error, "a hollow node cannot register yet");
            tokio::time::sleep(backoff.next_delay(&Ids::system())).await;
        }
        // Not all at the same moment.
        tokio::time::sleep(RENEWAL.mul_f64(Ids::system().fraction())).await;
        for turn in 1_u32.. {
            if let Err(error) = self.renew().await {
                tracing::debug!(node = self.name, %error, "a hollow node's lease is not renewed");
            }
            let known = nodes.cache().get(&self.name);
            if (turn % RENEWALS_PER_STATUS == 0 || known.as_ref().is_some_and(|node| !is_ready(node)))
                && let Err(error) = self.post_status(known.as_deref()).await
            {
                tracing::debug!(node = self.name, %error, "a hollow node's status is not posted");
            }
            tokio::time::sleep(RENEWAL).await;
        }
    }

    async fn register(&self) -> Result<(), Error> {
        let known = match self.client.create(&resources::nodes(), "", &self.object()).await {
            Err(error) if error.is_already_exists() => {
                self.client.get(&resources::nodes(), "", &self.name).await?
            }
            other => other?,
        };
        self.post_status(Some(&known)).await?;
        self.renew().await
    }

    fn object(&self) -> Value {
        tree!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": (self.name.clone()), "labels": {
                "kubernetes.io/hostname": (self.name.clone()), "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
                "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64"
            }},
            "status": (self.status(None))
        })
    }

    /// Posts what the node says of itself. Conditions that others wrote stay.
    async fn post_status(&self, known: Option<&Value>) -> Result<(), Error> {
        let patch = tree!({"status": (self.status(known))});
        let path = format!("{}/status", resources::nodes().object("", &self.name));
        self.client.tell(Method::PATCH, &path, Some((STRATEGIC, &patch))).await
    }

    /// A condition keeps its time of transition while its status is as on the `known` node.
    fn status(&self, known: Option<&Value>) -> Value {
        let now = self.clock.now().rfc3339();
        let known = known.map(|node| node.list_at(&["status", "conditions"])).unwrap_or_default();
        let condition = |ty: &str, status: &str, reason: &str, message: &str| {
            let same = known.iter().find(|c| c.str_at(&["type"]) == ty && c.str_at(&["status"]) == status);
            let since = same.map_or(now.as_str(), |c| c.str_at(&["lastTransitionTime"]));
            tree!({
                "type": ty, "status": status, "lastHeartbeatTime": (now.clone()), "lastTransitionTime": since,
                "reason": reason, "message": message
            })
        };
        let resources = tree!({"cpu": "32", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "110", "hugepages-2Mi": "0"});
        tree!({
            "capacity": (resources.clone()), "allocatable": (resources),
            "conditions": [
                (condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available")),
                (condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure")),
                (condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available")),
                (condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"))
            ],
            "addresses": [
                {"type": "InternalIP", "address": (self.address())}, {"type": "Hostname", "address": (self.name.clone())}
            ],
            "nodeInfo": {
                "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "hollow", "osImage": "hollow",
                "containerRuntimeVersion": "hollow://1", "kubeletVersion": (self.version.clone()), "kubeProxyVersion": "",
                "operatingSystem": "linux", "architecture": "amd64"
            }
        })
    }

    async fn renew(&self) -> Result<(), Error> {
        let now = self.clock.now().rfc3339_micro();
        let patch = tree!({"spec": {"renewTime": (now.clone())}});
        match self.client.merge_patch(&resources::leases(), LEASES, &self.name, "", &patch).await {
            Err(error) if error.is_not_found() => {
                let lease = tree!({
                    "metadata": {"name": (self.name.clone()), "namespace": LEASES},
                    "spec": {"holderIdentity": (self.name.clone()), "leaseDurationSeconds": LEASE_SECS, "renewTime": (now)}
                });
                self.client.create(&resources::leases(), LEASES, &lease).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    /// Posts a pod's status, unless the pod changed meanwhile.
    pub async fn report(&self, pod: &Value, status: Value) -> Result<(), Error> {
        let (namespace, name) = place(pod);
        let meta = |field: &str| pod.str_at(&["metadata", field]);
        let patch = tree!({
            "metadata": {"uid": (meta("uid")), "resourceVersion": (meta("resourceVersion"))}, "status": (status)
        });
        let path = format!("{}/status", resources::pods().object(namespace, name));
        self.client.tell(Method::PATCH, &path, Some((MERGE, &patch))).await
    }

    /// Ends a pod whose containers have stopped, which hollow ones do at once.
    pub async fn end(&self, pod: &Value) -> Result<(), Error> {
        let (namespace, name) = place(pod);
        let uid = pod.str_at(&["metadata", "uid"]);
        let options = tree!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}});
        self.client.delete(&resources::pods(), namespace, name, &options).await.map(drop)
    }
}

fn is_ready(node: &Value) -> bool {
    let conditions = node.list_at(&["status", "conditions"]);
    conditions.iter().any(|c| c.str_at(&["type"]) == "Ready" && c.str_at(&["status"]) == "True")
}

fn place(pod: &Value) -> (&str, &str) {
    (pod.str_at(&["metadata", "namespace"]), pod.str_at(&["metadata", "name"]))
}

/// A node that reaches nobody.
#[cfg(test)]
pub fn test_node(index: usize) -> HollowNode {
    let client = Client::new(Arc::new(|| tokio::io::duplex(64).0), "test");
    HollowNode::new(format!("hollow-{index}"), index, client, Clock::system(), "v1.36.0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_keeps_its_time_unless_its_status_changes() {
        let since = "2026-01-01T00:00:00Z";
        let known = tree!({"status": {"conditions": [
            {"type": "Ready", "status": "Unknown", "lastTransitionTime": since},
            {"type": "DiskPressure", "status": "False", "lastTransitionTime": since}
        ]}});
        assert!(!is_ready(&known));
        let status = test_node(0).status(Some(&known));
        assert!(is_ready(&tree!({"status": (status.clone())})));
        for condition in status.list_at(&["conditions"]) {
            let kept = condition.str_at(&["lastTransitionTime"]) == since;
            assert_eq!(kept, condition.str_at(&["type"]) == "DiskPressure");
        }
    }

    #[tokio::test]
    async fn addresses_are_within_their_nets() {
        let node = test_node(300);
        assert_eq!(node.address(), "172.16.1.47");
        assert_eq!(node.pod_address(), "10.129.44.1");
        assert_eq!(node.pod_address(), "10.129.44.2");
    }
}
