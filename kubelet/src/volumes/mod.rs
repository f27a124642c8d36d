//! The volumes of the pods of this node: made before their containers, kept as the API says while they run, taken away
//! after them.
//!
//! Everything is under `ROOT/pods/UID/volumes/kubernetes.io~TYPE/NAME`, as upstream has it. `plan` says what each
//! volume should be and makes it so. What is mounted is read from the kernel, so that volumes of an earlier process are
//! found and taken away as well.

mod atomic_writer;
mod claims;
mod empty_dir;
mod host_path;
mod image;
mod local;
mod mounted;
mod nested;
mod objects;
mod ownership;
mod payload;
mod plan;
mod removal;
mod tokens;
mod trust_bundles;
mod usage;

pub use image::FAILED as IMAGE_FAILED;
pub use mounted::{is_mounted, unmount_all, unmount_under};
pub use objects::{Kind, Missing, Objects, texts};
pub use removal::remove_tree;

use crate::container::{clean_sub_paths, fields::NodeObject, pod_dir};
use crate::{Runtime, Settings};
use api::Value;
use client::Client;
use parking_lot::Mutex;
use plan::Place;
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use std::{fmt, fs, io};
use stdx::Time;
use tokens::Tokens;
use tokio::sync::OwnedMutexGuard;
use tokio::task::AbortHandle;

/// When volumes that could not be brought up to date are tried again, if nothing else makes them be.
const RETRY: Duration = Duration::from_secs(60);

/// A volume of a pod as its containers get it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounted {
    /// What is mounted into containers; nothing for block devices.
    pub path: Option<PathBuf>,
    /// The block device, of volumes in block mode.
    pub device: Option<PathBuf>,
    pub read_only: bool,
    /// An image: of those that cannot be had the containers say so, and no part is made that is not there.
    pub is_image: bool,
    /// A group that the pod's processes should be in to use it.
    pub gid: Option<i64>,
}

/// Volumes that cannot be set up: what an event with the reason `FailedMount` says of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub messages: Vec<String>,
    /// False when all volumes were set up before and stay as they were: containers may start.
    pub is_blocking: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.messages.join("; "))
    }
}

impl std::error::Error for Fault {}

/// Called with the uid of a pod that should be looked at.
pub type Wake = Arc<dyn Fn(&str) + Send + Sync>;

/// The volumes of all pods of this node. Cheap to clone.
#[derive(Clone)]
pub struct Volumes(Arc<Inner>);

struct Inner {
    settings: Arc<Settings>,
    client: Client,
    runtime: Runtime,
    node: NodeObject,
    objects: Objects,
    tokens: Tokens,
    pods: Mutex<HashMap<String, Arc<OfPod>>>,
    local_turns: local::Turns,
}

/// What was done for one pod.
#[derive(Default)]
struct OfPod {
    /// Nothing is to be done for it any more.
    is_gone: AtomicBool,
    /// Held while something is done.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// As it was seen last.
    pod: Mutex<Arc<Value>>,
    /// The volumes that are set up, with the fingerprint of what they should be.
    volumes: Mutex<HashMap<String, (u64, Mounted)>>,
    /// Sleeps until something is to be renewed.
    renewal: Mutex<Option<AbortHandle>>,
}

impl Volumes {
    /// `wake` is called with the uid of a pod when an object that it refers to has changed; its volumes have been
    /// brought up to date by then. Must be called within a tokio runtime.
    pub fn new(settings: Arc<Settings>, client: Client, node: NodeObject, wake: Wake) -> Self {
        let runtime = Runtime::new(&settings.containerd);
        let tokens = Tokens::new(client.clone(), settings.clock.clone(), settings.ids.clone());
        // Files that all may read in a container are not for all users of the machine.
        let closed = settings.root.join("pods");
        if let Err(why) = fs::create_dir_all(&closed).and_then(|()| set_mode(&closed, 0o750)) {
            tracing::warn!(%why, "the folder of pods cannot be closed");
        }
        Volumes(Arc::new_cyclic(|inner: &Weak<Inner>| {
            let inner = inner.clone();
            let on_change = move |uid: &str| {
                let (inner, wake, uid) = (inner.clone(), wake.clone(), uid.to_owned());
                tokio::spawn(async move {
                    if let Some(inner) = inner.upgrade() {
                        Volumes(inner).refresh(&uid).await;
                    }
                    wake(&uid);
                });
            };
            let objects = Objects::new(client.clone(), Arc::new(on_change));
            let (pods, local_turns) = Default::default();
            Inner { settings, client, runtime, node, objects, tokens, pods, local_turns }
        }))
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
        let of_pod = self.0.pods.lock().entry(uid.to_owned()).or_default().clone();
        let turn = of_pod.turn.clone().lock_owned().await;
        if of_pod.is_gone.load(Ordering::Acquire) {
            return Ok(());
        }
        of_pod.pod.lock().clone_from(pod);
        let (planned, again) = plan::plan(&self.0, pod).await;
        let (mut todo, mut faults) = (Vec::new(), Vec::new());
        for (name, found) in planned {
            match found {
                Ok(wanted) => {
                    let print = plan::fingerprint(&wanted);
                    let done =
                        of_pod.volumes.lock().get(&wanted.name).is_some_and(|(known, _)| *known == print);
                    if !done {
                        todo.push((print, wanted));
                    }
                }
                Err(message) => {
                    self.adopt(uid, &of_pod, &name);
                    faults.push((name, message));
                }
            }
        }
        if !todo.is_empty() {
            faults.extend(self.make(pod, &of_pod, todo, turn).await);
        }
        let retry = (!faults.is_empty()).then(|| self.0.settings.clock.now().plus(RETRY));
        self.renew_at(uid, &of_pod, again.into_iter().chain(retry).min());
        if faults.is_empty() {
            return Ok(());
        }
        let is_blocking = faults.iter().any(|(name, _)| !of_pod.volumes.lock().contains_key(name));
        Err(Fault { messages: faults.into_iter().map(|(_, message)| message).collect(), is_blocking })
    }

    /// Counts files that an earlier process wrote as set up, until they can be brought up to date.
    fn adopt(&self, uid: &str, of_pod: &OfPod, name: &str) {
        let volumes = pod_dir(&self.0.settings, uid).join("volumes");
        let mut paths =
            plan::FILES.iter().map(|(_, plugin)| volumes.join(format!("kubernetes.io~{plugin}")).join(name));
        if let Some(path) = paths.find(|path| path.join(atomic_writer::DATA).exists()) {
            let mounted = Mounted { path: Some(path), read_only: true, ..Mounted::default() };
            of_pod.volumes.lock().entry(name.to_owned()).or_insert((0, mounted));
        }
    }

    /// Makes volumes, off the threads that must not wait; what went wrong with which. The turn ends with the work, also when nobody
    /// waits for it any more.
    async fn make(
        &self,
        pod: &Arc<Value>,
        of_pod: &Arc<OfPod>,
        todo: Vec<(u64, plan::Wanted)>,
        turn: OwnedMutexGuard<()>,
    ) -> Vec<(String, String)> {
        let (inner, pod, of_pod) = (self.0.clone(), pod.clone(), of_pod.clone());
        let made = tokio::task::spawn_blocking(move || {
            let dir = pod_dir(&inner.settings, pod.str_at(&["metadata", "uid"]));
            let place = Place { inner: &inner, pod: &pod, dir: &dir };
            let one = |(print, wanted): (u64, plan::Wanted)| match place.set_up(&wanted) {
                Ok(mounted) => {
                    of_pod.volumes.lock().insert(wanted.name, (print, mounted));
                    None
                }
                Err(message) => Some((wanted.name, message)),
            };
            let faults = todo.into_iter().filter_map(one).collect();
            drop(turn);
            faults
        });
        made.await.unwrap_or_else(|why| vec![(String::new(), why.to_string())])
    }

    /// Brings the volumes of a pod up to date, if it has any.
    async fn refresh(&self, uid: &str) {
        let Some(of_pod) = self.0.pods.lock().get(uid).cloned() else { return };
        let pod = of_pod.pod.lock().clone();
        if pod.is_null() {
            return;
        }
        if let Err(fault) = self.set_up(&pod).await {
            tracing::warn!(uid, %fault, "volumes stay as they were");
        }
    }

    fn renew_at(&self, uid: &str, of_pod: &OfPod, at: Option<Time>) {
        let sleeping = at.map(|at| {
            let (inner, uid) = (Arc::downgrade(&self.0), uid.to_owned());
            let pause = at.since(self.0.settings.clock.now());
            let renewal = async move {
                tokio::time::sleep(pause).await;
                let Some(inner) = inner.upgrade() else { return };
                // In a task of its own: this one ends when the next renewal is known.
                tokio::spawn(async move { Volumes(inner).refresh(&uid).await });
            };
            tokio::spawn(renewal).abort_handle()
        });
        if let Some(before) = std::mem::replace(&mut *of_pod.renewal.lock(), sleeping) {
            before.abort();
        }
    }

    /// The volumes of a pod that are set up, by name.
    pub fn mounted(&self, uid: &str) -> HashMap<String, Mounted> {
        let of_pod = self.0.pods.lock().get(uid).cloned().unwrap_or_default();
        let volumes = of_pod.volumes.lock();
        volumes.iter().map(|(name, (_, mounted))| (name.clone(), mounted.clone())).collect()
    }

    /// Takes away all that was set up for a pod, by this process or an earlier one, and its folder. Its containers are
    /// gone by then.
    ///
    /// # Errors
    /// When something is still mounted or cannot be removed.
    pub async fn tear_down(&self, uid: &str) -> io::Result<()> {
        let of_pod = self.0.pods.lock().remove(uid).unwrap_or_default();
        let _turn = of_pod.turn.lock().await;
        of_pod.is_gone.store(true, Ordering::Release);
        if let Some(renewal) = of_pod.renewal.lock().take() {
            renewal.abort();
        }
        self.0.objects.forget(uid);
        self.0.tokens.forget(uid);
        let dir = pod_dir(&self.0.settings, uid);
        on_disk(unmount_all_of, &dir).await?;
        // The folder stays until containerd has none of its images any more.
        if dir.join(image::FOLDER).exists() {
            self.0.runtime.release_images(uid).await.map_err(io::Error::other)?;
        }
        on_disk(remove_tree, &dir).await
    }

    /// The uids of pods that have a folder here.
    pub fn pods_on_disk(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.settings.root.join("pods")).into_iter().flatten().flatten();
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

    /// The first `emptyDir` of a pod that holds more than its `sizeLimit`: what the eviction says.
    pub fn over_limit(&self, pod: &Value) -> Option<String> {
        usage::over_limit(pod, &self.mounted(pod.str_at(&["metadata", "uid"])))
    }
}

/// Does something with a folder that may be there, off the threads that must not wait.
async fn on_disk(work: fn(&Path) -> io::Result<()>, dir: &Path) -> io::Result<()> {
    let dir = dir.to_owned();
    let work = tokio::task::spawn_blocking(move || if dir.exists() { work(&dir) } else { Ok(()) });
    work.await.map_err(io::Error::other)?
}

fn unmount_all_of(pod_dir: &Path) -> io::Result<()> {
    clean_sub_paths(pod_dir)?;
    unmount_under(pod_dir)
}

/// Sets the permission bits of a file or folder.
///
/// # Errors
/// When the kernel refuses.
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests;
