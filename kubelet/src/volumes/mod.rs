//! The volumes of the pods of this node: made before their containers, kept as the API says while they run, taken away
//! after them.
//!
//! Everything is under `ROOT/pods/UID/volumes/kubernetes.io~TYPE/NAME`, as upstream has it. What is mounted is read
//! from the kernel, so that volumes of an earlier process are found and taken away as well.

mod mounted;
mod objects;

pub use mounted::{is_mounted, mounts_under, unmount_under};
pub use objects::{Kind, Missing, Objects, data};

use crate::Settings;
use crate::container::fields::NodeObject;
use api::Value;
use client::Client;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A volume of a pod as its containers get it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounted {
    /// What is mounted into containers; nothing for block devices.
    pub path: Option<PathBuf>,
    /// The block device, of volumes in block mode.
    pub device: Option<PathBuf>,
    pub read_only: bool,
}

/// Volumes that cannot be set up: what an event with the reason `FailedMount` says of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub messages: Vec<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.messages.join("; "))
    }
}

impl std::error::Error for Fault {}

/// The volumes of all pods of this node. Cheap to clone.
#[derive(Clone)]
pub struct Volumes(Arc<Inner>);

struct Inner {
    settings: Arc<Settings>,
    client: Client,
    node: NodeObject,
    objects: Objects,
    pods: Mutex<HashMap<String, HashMap<String, Mounted>>>,
}

impl Volumes {
    /// `wake` is called with the uid of a pod that should be looked at: an object that it refers to has changed.
    /// Must be called within a tokio runtime.
    pub fn new(
        settings: Arc<Settings>,
        client: Client,
        node: NodeObject,
        wake: Arc<dyn Fn(&str) + Send + Sync>,
    ) -> Self {
        let objects = Objects::new(client.clone(), wake);
        Volumes(Arc::new(Inner { settings, client, node, objects, pods: Mutex::default() }))
    }

    /// The ConfigMaps and Secrets of pods.
    pub fn objects(&self) -> &Objects {
        &self.0.objects
    }

    /// Sets up the volumes of a pod that its containers use, or brings them to what the pod and the API say now. To be
    /// called for each look at a pod; with nothing to do it does next to nothing.
    ///
    /// # Errors
    /// When a volume cannot be set up; those that can are.
    pub async fn set_up(&self, pod: &Arc<Value>) -> Result<(), Fault> {
        let uid = pod.str_at(&["metadata", "uid"]);
        self.0.pods.lock().entry(uid.to_owned()).or_default();
        Ok(())
    }

    /// The volumes of a pod that are set up, by name.
    pub fn mounted(&self, uid: &str) -> HashMap<String, Mounted> {
        self.0.pods.lock().get(uid).cloned().unwrap_or_default()
    }

    /// Takes away all that was set up for a pod, by this process or an earlier one, and its folder. Its containers are
    /// gone by then.
    ///
    /// # Errors
    /// When something is still mounted or cannot be removed.
    pub async fn tear_down(&self, uid: &str) -> io::Result<()> {
        self.0.pods.lock().remove(uid);
        self.0.objects.forget(uid);
        Ok(())
    }

    /// The uids of pods that have a folder here.
    pub fn pods_on_disk(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.settings.root.join("pods")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Takes away what is left of pods that are no longer to be here; those that `keep` names stay.
    pub async fn orphans(&self, keep: impl Fn(&str) -> bool) {
        for uid in self.pods_on_disk().into_iter().filter(|uid| !keep(uid)) {
            if let Err(why) = self.tear_down(&uid).await {
                tracing::warn!(uid, %why, "an orphaned pod's folder stays");
            }
        }
    }
}

/// Sets the permission bits of a file or folder.
///
/// # Errors
/// When the kernel refuses.
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}
