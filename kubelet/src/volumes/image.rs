//! Images as volumes. A runtime may mount them itself, but older ones cannot: the kubelet mounts what containerd shows of
//! the image under the pod's folder, read-only, and containers get that. Texts are those of containerd's CRI.

use super::empty_dir::mount_at;
use super::mounted::unmount_all;
use super::plan::fingerprint;
use super::{Mounted, Volumes};
use crate::container::pod_dir;
use containerd_client::types::Mount;
use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountFlags, mount_bind, mount_remount};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::Ordering;

/// Under a pod's folder.
pub(super) const FOLDER: &str = "volumes/kubernetes.io~image";
/// How messages begin when an image was pulled but cannot be mounted.
pub const FAILED: &str = "ImageVolumeMountFailed";
/// The kernel takes no more than a page of options.
const LONG: usize = 2048;

impl Volumes {
    /// Has an image (`sha256:…`) mounted as a volume of a pod. Containers that run keep the one that they have.
    ///
    /// # Errors
    /// The message of a container that needs it.
    pub async fn mount_image(&self, uid: &str, volume: &str, image: &str) -> Result<(), String> {
        let (this, [pod, name, of]) = (self.clone(), [uid, volume, image].map(str::to_owned));
        // Whoever waits may go: the pod's end must find all that was made by then.
        let work = tokio::spawn(async move { this.mount(&pod, &name, &of).await });
        let failed = |why: String| format!("{FAILED}: failed to mount image {image} as {volume:?}: {why}");
        work.await.unwrap_or_else(|why| Err(why.to_string())).map_err(failed)
    }

    async fn mount(&self, uid: &str, volume: &str, image: &str) -> Result<(), String> {
        let of_pod = self.0.pods.lock().entry(uid.to_owned()).or_default().clone();
        let _turn = of_pod.turn.lock().await;
        let print = fingerprint(&image);
        let is_done = of_pod.volumes.lock().get(volume).is_some_and(|(known, _)| *known == print);
        if is_done || of_pod.is_gone.load(Ordering::Acquire) {
            return Ok(());
        }
        let path = pod_dir(&self.0.settings, uid).join(FOLDER).join(volume);
        fs::create_dir_all(&path).map_err(|why| why.to_string())?;
        let mounts = self.0.runtime.view_image(uid, volume, image).await;
        let mounts = mounts.map_err(|status| status.message().to_owned())?;
        let place = path.clone();
        let mounted = tokio::task::spawn_blocking(move || mount_all(&mounts, &place)).await;
        mounted.map_err(io::Error::other).flatten().map_err(|why| why.to_string())?;
        let mounted = Mounted { path: Some(path), read_only: true, is_image: true, ..Mounted::default() };
        of_pod.volumes.lock().insert(volume.to_owned(), (print, mounted));
        Ok(())
    }
}

/// Mounts what containerd says, in place of what was mounted there before.
fn mount_all(mounts: &[Mount], path: &Path) -> io::Result<()> {
    unmount_all(path);
    mounts.iter().try_for_each(|mount| mount_one(mount, path)).inspect_err(|_| unmount_all(path))
}

fn mount_one(mount: &Mount, path: &Path) -> io::Result<()> {
    if mount.r#type == "bind" {
        mount_bind(&mount.source, path)?;
        return Ok(mount_remount(path, MountFlags::BIND | MountFlags::RDONLY, "")?);
    }
    let mut layers = Vec::new();
    let options = mount.options.iter().filter(|option| *option != "ro");
    let options = options.map(|option| shortened(option, &mut layers)).collect::<io::Result<Vec<_>>>()?;
    mount_at(path, (&mount.source, &mount.r#type), MountFlags::RDONLY, &options.join(","))
}

/// Many layers are named by what was opened, as their paths would be too long together.
fn shortened(option: &str, layers: &mut Vec<OwnedFd>) -> io::Result<String> {
    let Some(paths) = option.strip_prefix("lowerdir=").filter(|_| option.len() > LONG) else {
        return Ok(option.to_owned());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    for path in paths.split(':') {
        layers.push(open(path, flags, Mode::empty())?);
    }
    let names: Vec<_> = layers.iter().map(|layer| format!("/proc/self/fd/{}", layer.as_raw_fd())).collect();
    Ok(format!("lowerdir={}", names.join(":")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volumes::{is_mounted, unmount_under};

    fn layers(dir: &Path, count: usize) -> Vec<String> {
        let layer = |number: usize| {
            let path = dir.join(format!("{number}-{}", "long".repeat(30)));
            fs::create_dir(&path).unwrap();
            fs::write(path.join(number.to_string()), "of a layer").unwrap();
            path.to_string_lossy().into_owned()
        };
        (0..count).map(layer).collect()
    }

    #[test]
    fn all_layers_of_an_image_are_seen_and_none_can_be_written() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (path, layers) = (dir.path().join("v"), layers(dir.path(), 100));
        fs::create_dir(&path).unwrap();
        let written = || fs::write(path.join("new"), "").unwrap_err().kind();
        let mount = |r#type: &str, source: &str, options: &[&str]| Mount {
            r#type: r#type.to_owned(),
            source: source.to_owned(),
            target: String::new(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        };
        mount_all(&[mount("bind", &layers[7], &["ro", "rbind"])], &path).unwrap();
        assert!(path.join("7").exists() && !path.join("8").exists());
        assert_eq!(written(), io::ErrorKind::ReadOnlyFilesystem);
        let lower = format!("lowerdir={}", layers.join(":"));
        mount_all(&[mount("overlay", "overlay", &["index=off", &lower])], &path).unwrap();
        assert!((0..100).all(|layer| path.join(layer.to_string()).exists()));
        assert_eq!(written(), io::ErrorKind::ReadOnlyFilesystem);
        mount_all(&[mount("nothing", "", &[])], &path).unwrap_err();
        assert!(!is_mounted(&path));
        unmount_under(dir.path()).unwrap();
    }
}
