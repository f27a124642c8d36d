//! Containers' logs: where they are, reading them, and keeping them small. Source: upstream's
//! `k8s.io/cri-client/pkg/logs` and `kubernetes/pkg/kubelet/logs`.
//!
//! containerd writes them, a line each as `TIME stdout|stderr F|P TEXT`; `P` is a part of a line that goes on in the
//! next one. `read` gives what is there, and with `follow` what comes until the container ended; `rotate` renames a
//! log that grew too big, has containerd open a new one, and compresses the old.

mod follow;
mod options;
mod reader;
mod rotation;
mod tail;
mod watch;

#[cfg(test)]
mod tests;

pub use follow::read;
pub use options::Options;
pub use reader::read_now;
pub use rotation::{LIMITS, rotate, rotated};

use api::Value;
use std::path::{Path, PathBuf};

const LOG_ENDING: &str = ".log";
/// The longest name of a file.
const LONGEST_NAME: usize = 255;

/// The folder of a pod's logs: `ROOT/NAMESPACE_NAME_UID`.
pub fn pod_folder(root: &Path, pod: &Value) -> PathBuf {
    let of = |field| pod.str_at(&["metadata", field]);
    root.join(format!("{}_{}_{}", of("namespace"), of("name"), of("uid")))
}

/// The log of a container's start: `ROOT/NAMESPACE_NAME_UID/CONTAINER/ATTEMPT.log`.
pub fn path(root: &Path, pod: &Value, container: &str, attempt: u32) -> PathBuf {
    pod_folder(root, pod).join(container).join(format!("{attempt}.log"))
}

/// The uid in the name of a pod's folder.
pub fn pod_uid(folder: &str) -> Option<&str> {
    folder.rsplit_once('_').map(|(_, uid)| uid).filter(|uid| !uid.is_empty())
}

/// Where links to logs are kept for those who collect them: `/var/log/containers` beside `/var/log/pods`.
pub fn links(root: &Path) -> PathBuf {
    root.parent().unwrap_or(root).join("containers")
}

/// Links the log of a container that was started: `POD_NAMESPACE_CONTAINER-ID.log`.
///
/// # Errors
/// When the link cannot be made; containers run without.
pub fn link(root: &Path, pod: &Value, container: &str, id: &str, attempt: u32) -> std::io::Result<()> {
    let of = |field| pod.str_at(&["metadata", field]);
    let mut name = format!("{}_{}_{container}-{id}", of("name"), of("namespace"));
    name.truncate(LONGEST_NAME - LOG_ENDING.len());
    let links = links(root);
    std::fs::create_dir_all(&links)?;
    std::os::unix::fs::symlink(path(root, pod, container, attempt), links.join(name + LOG_ENDING))
}
