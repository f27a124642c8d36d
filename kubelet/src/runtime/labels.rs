//! What is written on sandboxes and containers, so that a kubelet that starts again knows them. Source: upstream's
//! `kubernetes/pkg/kubelet/kuberuntime/labels`, names and forms as there.

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
