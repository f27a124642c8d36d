//! The kubelet's folder: one kubelet at a time, and which containerd its pods are of.
//!
//! What pods leave in the folder is removed when neither the API nor containerd knows them. Pods of another containerd,
//! which the folder served before and which still runs, are not ours to judge: what is theirs stays.
//!
//! | in it | is |
//! |---|---|
//! | `lock` | held by the kubelet that uses the folder |
//! | `containerd` | the socket of its containerd; then `UID SOCKET` for each pod that is another's |

use crate::Settings;
use crate::logs::pod_uid;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// A kubelet's folder that is ours until this is dropped.
#[derive(Debug)]
pub struct Root {
    /// Its place as the kernel tells it. What is mounted beneath is found by comparing with that: through links, or from
    /// another working folder, it would not be found.
    pub path: PathBuf,
    /// Pods by uid, and the sockets of their containerds.
    others: BTreeMap<String, PathBuf>,
    _lock: File,
}

impl Root {
    /// Makes or takes over a folder.
    ///
    /// # Errors
    /// When another kubelet has it, or it cannot be used.
    pub fn take(settings: &Settings) -> io::Result<Self> {
        fs::create_dir_all(settings.root.join("pods"))?;
        let path = fs::canonicalize(&settings.root)?;
        let lock = lock(&path)?;
        let (own, file) = (real(&settings.containerd), path.join("containerd"));
        let before = match fs::read_to_string(&file) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            before => before.unwrap_or_default(),
        };
        let others = others(&before, &own, left_by_pods(&path.join("pods"), &settings.log_root));
        let line = |(uid, socket): (&String, &PathBuf)| format!("{uid} {}\n", socket.display());
        let text = format!("{}\n{}", own.display(), others.iter().map(line).collect::<String>());
        if text != before {
            let whole = path.join("containerd.new");
            fs::write(&whole, text)?;
            fs::rename(whole, file)?;
        }
        if !others.is_empty() {
            tracing::warn!(pods = others.len(), "there are pods of another containerd, which still runs");
        }
        Ok(Root { path, others, _lock: lock })
    }

    /// True for a pod of another containerd.
    pub fn is_others(&self, uid: &str) -> bool {
        self.others.contains_key(uid)
    }
}

fn lock(root: &Path) -> io::Result<File> {
    let path = root.join("lock");
    // Nobody else may read it: who can may hold the lock.
    let lock = File::options().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(io::Error::other(format!(
            "{} is in use by another kubelet: this one needs a --root-dir of its own",
            root.display()
        ))),
        Err(TryLockError::Error(why)) => Err(why),
    }
}

/// A socket has one name, whatever links lead to it.
fn real(socket: &Path) -> PathBuf {
    fs::canonicalize(socket).or_else(|_| std::path::absolute(socket)).unwrap_or_else(|_| socket.to_owned())
}

/// The uids of pods that have a folder here, or one of logs.
fn left_by_pods(pods: &Path, log_root: &Path) -> BTreeSet<String> {
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok())
    };
    let logs = names(log_root).filter_map(|name| pod_uid(&name).map(str::to_owned));
    names(pods).chain(logs).collect()
}

/// Of the pods that left something, those of another containerd that still runs. Who is not named is of the one that
/// was served last.
fn others(before: &str, own: &Path, left: BTreeSet<String>) -> BTreeMap<String, PathBuf> {
    let mut lines = before.lines();
    let last = lines.next().map(|line| real(Path::new(line)));
    let named: BTreeMap<&str, PathBuf> =
        lines.filter_map(|line| line.split_once(' ')).map(|(uid, at)| (uid, real(Path::new(at)))).collect();
    let sockets: BTreeSet<&PathBuf> = named.values().chain(&last).filter(|socket| *socket != own).collect();
    let alive: BTreeSet<&PathBuf> =
        sockets.into_iter().filter(|socket| UnixStream::connect(socket).is_ok()).collect();
    let of_other = |uid: String| {
        let socket = named.get(uid.as_str()).or(last.as_ref())?;
        alive.contains(socket).then(|| (uid, socket.clone()))
    };
    left.into_iter().filter_map(of_other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::fixture;
    use crate::volumes::{is_mounted, unmount_under};
    use std::os::unix::net::UnixListener;

    #[test]
    fn what_is_mounted_below_a_link_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let root = Root::take(&fixture::settings(&link.join("kubelet"))).unwrap().path;
        assert_eq!(root, fs::canonicalize(&real).unwrap().join("kubelet"));
        if !rustix::process::geteuid().is_root() {
            return;
        }
        rustix::mount::mount_bind(&real, root.join("pods")).unwrap();
        assert!(is_mounted(&root.join("pods")));
        unmount_under(&root).unwrap();
        assert!(!is_mounted(&root.join("pods")));
    }

    #[test]
    fn a_folder_belongs_to_one_kubelet_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let settings = fixture::settings(dir.path());
        let first = Root::take(&settings).unwrap();
        let why = Root::take(&settings).unwrap_err().to_string();
        assert!(why.contains("in use by another kubelet") && why.contains("--root-dir"), "{why}");
        drop(first);
        Root::take(&settings).unwrap();
    }

    #[test]
    fn pods_of_another_containerd_are_anothers_while_it_runs() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = fixture::settings(dir.path());
        let socket = |name: &str| fs::canonicalize(dir.path()).unwrap().join(name);
        let mut take = |name: &str| {
            settings.containerd = socket(name);
            Root::take(&settings).unwrap()
        };
        let leave = |uid: &str| fs::create_dir_all(dir.path().join("pods").join(uid)).unwrap();
        let (first, _second) =
            (UnixListener::bind(socket("1")).unwrap(), UnixListener::bind(socket("2")).unwrap());
        drop(take("1"));
        leave("a");
        fs::create_dir_all(dir.path().join("logs/n_p_b")).unwrap();
        assert!(take("1").others.is_empty(), "as after a crash");
        let root = take("2");
        assert!(root.is_others("a") && root.is_others("b"));
        drop(root);
        leave("c");
        let root = take("2");
        assert!(root.is_others("a") && !root.is_others("c"));
        drop(root);
        std::os::unix::fs::symlink(socket("1"), socket("link")).unwrap();
        let root = take("link");
        assert!(!root.is_others("a") && !root.is_others("b") && root.is_others("c"));
        drop((root, first));
        assert!(!take("2").is_others("a"), "its containerd is gone");
    }
}
