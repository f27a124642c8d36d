//! A part of a volume as a mount of its own (`subPath`). The volume belongs to the pod, which may put symbolic links
//! where the kubelet looks: every path is resolved by the kernel beneath the volume, and what was opened is what is
//! mounted, whatever happens to the path meanwhile.

use crate::volumes::unmount_all;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fchmod, fstat, mkdirat, openat2};
use rustix::io::Errno;
use rustix::mount::mount_bind;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Under a pod's folder.
const FOLDER: &str = "volume-subpaths";

/// The largest file that is read for its text.
const LARGEST_TEXT: u64 = 64 << 10;

/// Links may name a place beneath the root in full, or lead out and in again: the place they lead to is then opened
/// without them.
fn open_beneath(root: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let open = |path: &Path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    };
    match open(path) {
        Err(Errno::XDEV) => open(&place_beneath(root, path).ok_or(Errno::XDEV)?),
        opened => opened,
    }
}

/// Where a path leads, relative to the root; nothing when that is not beneath it.
fn place_beneath(root: &OwnedFd, path: &Path) -> Option<PathBuf> {
    let root = fs::read_link(format!("/proc/self/fd/{}", root.as_raw_fd())).ok()?;
    let full = root.join(path);
    // The last part may be missing.
    let place = fs::canonicalize(&full).ok().or_else(|| {
        let folder = fs::canonicalize(full.parent()?).ok()?;
        Some(folder.join(full.file_name()?))
    })?;
    place.strip_prefix(&root).map(Path::to_owned).ok()
}

fn open_root(root: &Path) -> io::Result<OwnedFd> {
    Ok(openat2(CWD, root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::empty())?)
}

/// Makes the folders of a path beneath `root` that are missing, as open as `root` is.
///
/// # Errors
/// When the path leads out of `root`, or a folder cannot be made.
pub fn make(root: &Path, path: &str) -> io::Result<()> {
    let root = open_root(root)?;
    if open_beneath(&root, Path::new(path), OFlags::PATH).is_ok() {
        return Ok(());
    }
    let mode = Mode::from_raw_mode(fstat(&root)?.st_mode & 0o7777);
    let mut reached = PathBuf::new();
    for part in Path::new(path).components() {
        let parent = open_beneath(&root, &reached, OFlags::PATH | OFlags::DIRECTORY)?;
        reached.push(part);
        match open_beneath(&root, &reached, OFlags::PATH) {
            Err(Errno::NOENT) => {}
            Err(why) => return Err(why.into()),
            Ok(_) => continue,
        }
        match mkdirat(&parent, part.as_os_str(), mode) {
            Err(why) if why != Errno::EXIST => return Err(why.into()),
            _ => {}
        }
        fchmod(open_beneath(&root, &reached, OFlags::RDONLY | OFlags::DIRECTORY)?, mode)?;
    }
    Ok(())
}

/// Mounts a path beneath `root` at a place of its own in the pod's folder; that place.
///
/// # Errors
/// When the path leads out of `root`, is not there, or cannot be mounted.
pub fn bind(pod_dir: &Path, place: (&str, &str, usize), root: &Path, path: &str) -> io::Result<PathBuf> {
    let (volume, container, index) = place;
    let found = open_beneath(&open_root(root)?, Path::new(path), OFlags::PATH)?;
    let folder = pod_dir.join(FOLDER).join(volume).join(container);
    fs::create_dir_all(&folder)?;
    let target = folder.join(index.to_string());
    // What an earlier container had mounted here; it keeps its own mount.
    unmount_all(&target);
    match FileType::from_raw_mode(fstat(&found)?.st_mode) {
        FileType::Directory => fs::create_dir_all(&target)?,
        _ => drop(File::options().append(true).create(true).open(&target)?),
    }
    mount_bind(format!("/proc/self/fd/{}", found.as_raw_fd()), &target)?;
    Ok(target)
}

/// The text of a file beneath `root`.
///
/// # Errors
/// When the path leads out of `root` or names no file of sensible size.
pub fn read(root: &Path, path: &str) -> io::Result<String> {
    let file = open_beneath(&open_root(root)?, Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK)?;
    let mut text = String::new();
    File::from(file).take(LARGEST_TEXT).read_to_string(&mut text)?;
    Ok(text)
}

/// Takes away all that was mounted for a pod in this way.
///
/// # Errors
/// When something is left that cannot be removed.
pub fn clean(pod_dir: &Path) -> io::Result<()> {
    let folder = pod_dir.join(FOLDER);
    crate::volumes::unmount_under(&folder)?;
    match crate::volumes::remove_tree(&folder) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn folders_are_made_inside_the_volume_with_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o2775)).unwrap();
        make(dir.path(), "a/b").unwrap();
        make(dir.path(), "a/b/c").unwrap();
        for path in ["a", "a/b", "a/b/c"] {
            let mode = fs::metadata(dir.path().join(path)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o2775, "{path}");
        }
    }

    #[test]
    fn no_link_leads_out_of_the_volume() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        symlink(outside.path(), dir.path().join("out")).unwrap();
        symlink("../..", dir.path().join("up")).unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        assert!(make(dir.path(), "out/made").is_err());
        assert!(make(dir.path(), "up/made").is_err());
        assert!(!outside.path().join("made").exists());
        assert!(read(dir.path(), "out/secret").is_err());
        assert!(bind(dir.path(), ("v", "c", 0), dir.path(), "out").is_err());
    }

    #[test]
    fn links_inside_the_volume_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("..1")).unwrap();
        fs::write(dir.path().join("..1/key"), "v").unwrap();
        symlink("..1", dir.path().join("..data")).unwrap();
        symlink("..data/key", dir.path().join("key")).unwrap();
        assert_eq!(read(dir.path(), "key").unwrap(), "v");
        // In full, as a volume of the machine may have them.
        symlink(dir.path().join("..1"), dir.path().join("full")).unwrap();
        assert_eq!(read(dir.path(), "full/key").unwrap(), "v");
        make(dir.path(), "full/a/b").unwrap();
        assert!(dir.path().join("..1/a/b").is_dir());
        symlink(dir.path().parent().unwrap(), dir.path().join("out")).unwrap();
        assert!(read(dir.path(), "out").is_err() && make(dir.path(), "out/made").is_err());
    }

    #[test]
    fn what_was_opened_is_mounted_and_taken_away_again() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let (pod, volume) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(volume.path().join("key"), "v").unwrap();
        make(volume.path(), "sub").unwrap();
        let file = bind(pod.path(), ("v", "c", 0), volume.path(), "key").unwrap();
        let folder = bind(pod.path(), ("v", "c", 1), volume.path(), "sub").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "v");
        fs::write(folder.join("x"), "y").unwrap();
        assert!(volume.path().join("sub/x").exists());
        // Again, as for the next container.
        assert_eq!(bind(pod.path(), ("v", "c", 0), volume.path(), "key").unwrap(), file);
        clean(pod.path()).unwrap();
        assert!(!pod.path().join(FOLDER).exists());
        assert!(volume.path().join("sub/x").exists());
    }
}
