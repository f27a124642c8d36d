//! What is written on sandboxes and containers, so that a kubelet that starts again knows them. Source: upstream's
//! `kubernetes/pkg/kubelet/kuberuntime/labels`, names and forms as there.

use api::{Value, json};

// Labels of sandboxes and containers.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// Label of containers.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";

// Annotations of containers.
pub const HASH: &str = "io.kubernetes.container.hash";
pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
pub const MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
pub const MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// The handler as JSON.
pub const PRE_STOP: &str = "io.kubernetes.container.preStopHandler";
/// The ports as JSON.
pub const PORTS: &str = "io.kubernetes.container.ports";
pub const POD_DELETION_GRACE: &str = "io.kubernetes.pod.deletionGracePeriod";
pub const POD_TERMINATION_GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";

/// The hash (FNV-1, 32 bits, in hex) of those fields of a container with whose change it is started anew.
pub fn container_hash(container: &Value) -> String {
    let mut fields = api::Map::new();
    for field in ["image", "name"] {
        fields.insert(field, container.str_at(&[field]));
    }
    let bytes = json::to_vec(&Value::Map(fields));
    let hash =
        bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| hash.wrapping_mul(0x0100_0193) ^ u32::from(*byte));
    format!("{hash:x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn only_name_and_image_make_another_container() {
        let hash = |image: &str, tty: bool| container_hash(&tree!({"name": "c", "tty": tty, "image": image}));
        assert_eq!(hash("a", false), hash("a", true));
        assert_ne!(hash("a", false), hash("b", false));
    }
}
