//! Local volumes: folders of this machine and its block devices, these as they are or with the file system on them. A
//! device that is empty is given one. Each pod has a mount of its own.
//! Source: upstream's `pkg/volume/local` and `k8s.io/mount-utils` (`FormatAndMount`).

use super::mounted::is_shared;
use super::plan::Place;
use super::{Mounted, host_path, is_mounted, unmount_under};
use api::{Value, quote};
use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};
use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Options of any mount, whatever is mounted.
const FLAGS: [&str; 17] = [
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "nosymfollow",
];

/// Of pods that get the same folder or device, only the first gives it to its group: one is set up after the other.
#[derive(Default)]
pub struct Turns(Mutex<HashMap<PathBuf, Arc<Mutex<()>>>>);

impl Turns {
    fn of(&self, path: &Path) -> Arc<Mutex<()>> {
        let mut turns = self.0.lock();
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        turns.entry(path.to_owned()).or_default().clone()
    }
}

/// A volume as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Local {
    path: PathBuf,
    fs_type: String,
    options: Vec<String>,
    read_only: bool,
    as_device: bool,
}

impl Local {
    /// What the specification of a PersistentVolume says, if it is a local one.
    pub fn of(spec: &Value, read_only: bool, as_device: bool) -> Option<Self> {
        let text = |field| Some(spec.str_at(&["local", field])).filter(|text| !text.is_empty());
        let options = spec.list_at(&["mountOptions"]).iter().filter_map(Value::as_str);
        Some(Local {
            path: text("path")?.into(),
            fs_type: text("fsType").unwrap_or("ext4").to_owned(),
            options: options.map(str::to_owned).collect(),
            read_only,
            as_device,
        })
    }

    /// The options of the pod's own mount. Those that are left out are lost; a file system knows others besides.
    fn own_options(&self, is_folder: bool) -> String {
        let how = if is_folder { "bind" } else { "remount,bind" };
        let read_only = self.read_only.then_some("ro");
        let options = self.options.iter().flat_map(|options| options.split(','));
        let options = options.filter(|option| is_folder || FLAGS.contains(option));
        [how].into_iter().chain(read_only).chain(options).collect::<Vec<_>>().join(",")
    }

    /// Mounts a device with the file system on it.
    fn mount_device(&self, path: &Path) -> Result<(), String> {
        let (device, ty) = (&self.path, &self.fs_type);
        let options = [&["defaults".to_owned()], self.options.as_slice()].concat().join(",");
        let mounted = || {
            let only_us = File::open(device).map_err(|why| why.to_string())?;
            flock(&only_us, FlockOperation::LockExclusive).map_err(|why| why.to_string())?;
            prepare(device, ty, self.read_only)?;
            succeed(Command::new("mount").args(["-t", ty, "-o", &options]).args([device, path]))
        };
        mounted().map_err(|why| {
            let at = path.display();
            format!("local: failed to mount device {} at {at} (fstype: {ty}), error {why}", device.display())
        })
    }
}

impl Place<'_> {
    /// # Errors
    /// The whole text of an event.
    pub fn local(&self, label: &str, local: &Local) -> Result<Mounted, String> {
        let failed = |step: &str, why: String| format!("{step} failed for volume {} : {why}", quote(label));
        let read_only = local.read_only;
        if local.as_device {
            host_path::check(&local.path.to_string_lossy(), "BlockDevice")
                .map_err(|why| failed("MapVolume.MapBlockVolume", why))?;
            return Ok(Mounted { device: Some(local.path.clone()), read_only, ..Mounted::default() });
        }
        let of_source = |why| failed("MountVolume.NewMounter initialization", why);
        let ty = fs::metadata(&local.path).map(|there| there.file_type()).map_err(|_| {
            of_source(format!("path {} does not exist", quote(&local.path.to_string_lossy())))
        })?;
        if !ty.is_dir() && !ty.is_block_device() {
            return Err(of_source("only directory and block device are supported".to_owned()));
        }
        let path = self.path("local-volume", label);
        let turn = self.inner.local_turns.of(&local.path);
        let _turn = turn.lock();
        if !is_mounted(&path) {
            fs::create_dir_all(&path).map_err(|why| failed("MountVolume.SetUp", why.to_string()))?;
            if ty.is_block_device() {
                local.mount_device(&path).map_err(|why| failed("MountVolume.MountDevice", why))?;
            }
            self.mount_folder(local, &path, ty.is_dir()).map_err(|why| {
                // What is only half done is done again.
                let _ = unmount_under(&path);
                failed("MountVolume.SetUp", why)
            })?;
        }
        Ok(Mounted { path: Some(path), read_only, ..Mounted::default() })
    }

    /// The pod's own mount. While other pods have the volume too, it stays with their group.
    fn mount_folder(&self, local: &Local, path: &Path, is_folder: bool) -> Result<(), String> {
        let options = local.own_options(is_folder);
        succeed(Command::new("mount").args(["--make-private", "-o", &options]).args([&*local.path, path]))?;
        match self.group(false) {
            Some(group) if !local.read_only && !is_shared(path, &self.inner.settings.root.join("pods")) => {
                group.own(path).map_err(|why| why.to_string())
            }
            _ => Ok(()),
        }
    }
}

/// Mends the file system on a device, or makes one where nothing is.
fn prepare(device: &Path, ty: &str, read_only: bool) -> Result<(), String> {
    let found = run(Command::new("blkid").args(["-p", "-s", "TYPE", "-s", "PTTYPE"]).arg(device))?;
    match found {
        (Some(0), _) if read_only => Ok(()),
        // Not what is mounted already. Only what it could not mend counts.
        (Some(0), _) => match run(Command::new("fsck").args(["-M", "-a"]).arg(device)) {
            Ok((Some(4), said)) => Err(format!(
                "'fsck' found errors on device {} but could not correct them: {said}",
                device.display()
            )),
            _ => Ok(()),
        },
        (Some(2), _) if read_only => Err("failed to mount unformatted volume as read only".to_owned()),
        (Some(2), _) => {
            let options: &[&str] = match ty {
                "ext3" | "ext4" => &["-F", "-m0"],
                "xfs" => &["-f"],
                _ => &[],
            };
            succeed(Command::new(format!("mkfs.{ty}")).args(options).arg(device))
        }
        (_, said) => Err(said),
    }
}

/// The exit code of a program, and all that it printed.
fn run(command: &mut Command) -> Result<(Option<i32>, String), String> {
    let done = command.stdin(Stdio::null()).output();
    let done = done.map_err(|why| format!("{:?}: {why}", command.get_program()))?;
    let said = [done.stdout, done.stderr].concat();
    Ok((done.status.code(), String::from_utf8_lossy(&said).into_owned()))
}

fn succeed(command: &mut Command) -> Result<(), String> {
    match run(command)? {
        (Some(0), _) => Ok(()),
        (_, said) => Err(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_local_volume_has_ext4_unless_it_says_otherwise() {
        let spec = tree!({"local": {"path": "/x"}, "mountOptions": ["noexec"]});
        let local = Local::of(&spec, true, false).unwrap();
        assert_eq!((local.fs_type.as_str(), local.options.as_slice()), ("ext4", &["noexec".to_owned()][..]));
        assert_eq!(
            Local::of(&tree!({"local": {"path": "/x", "fsType": "xfs"}}), true, true).unwrap().fs_type,
            "xfs"
        );
        assert_eq!(Local::of(&tree!({"hostPath": {"path": "/x"}}), true, true), None);
    }

    #[test]
    fn a_mounted_device_keeps_its_flags() {
        let spec = tree!({"local": {"path": "/x"}, "mountOptions": ["noexec,data=ordered", "nosuid"]});
        let options =
            |read_only, is_folder| Local::of(&spec, read_only, false).unwrap().own_options(is_folder);
        assert_eq!(options(false, false), "remount,bind,noexec,nosuid");
        assert_eq!(options(true, false), "remount,bind,ro,noexec,nosuid");
        assert_eq!(options(true, true), "bind,ro,noexec,data=ordered,nosuid");
    }

    #[test]
    fn one_pod_after_another_gets_the_same_path() {
        let turns = Turns::default();
        let first = turns.of(Path::new("/a"));
        let held = first.lock();
        assert!(turns.of(Path::new("/a")).try_lock().is_none());
        assert!(turns.of(Path::new("/b")).try_lock().is_some());
        drop(held);
        assert!(turns.of(Path::new("/a")).try_lock().is_some());
        drop(first);
        turns.of(Path::new("/b"));
        assert_eq!(turns.0.lock().len(), 1);
    }

    #[test]
    fn an_empty_device_is_given_a_file_system_once() {
        if ["blkid", "mkfs.ext4", "fsck"].iter().any(|tool| Command::new(tool).arg("-V").output().is_err()) {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("device");
        File::create(&device).unwrap().set_len(4 << 20).unwrap();
        assert!(prepare(&device, "ext4", true).unwrap_err().contains("unformatted"));
        prepare(&device, "ext4", false).unwrap();
        let made = fs::read(&device).unwrap();
        assert_eq!(made[1024 + 0x38..][..2], [0x53, 0xef]);
        for read_only in [true, false] {
            prepare(&device, "ext4", read_only).unwrap();
        }
        assert_eq!(fs::read(&device).unwrap()[1024 + 0x68..][..16], made[1024 + 0x68..][..16]);
    }
}
