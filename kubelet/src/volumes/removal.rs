//! Removes a folder without entering what is mounted in it. The kernel refuses the way into a mount, also one of the same
//! file system, and through a link: what belongs to others stays even when the table of mounts was misread.

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, ResolveFlags, openat2, unlinkat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Removes a folder and all in it. What is above it may be reached through links.
///
/// # Errors
/// When something is mounted in it, or the disk refuses; what was removed by then is gone.
pub fn remove_tree(folder: &Path) -> io::Result<()> {
    let (Some(parent), Some(_)) = (folder.parent(), folder.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = openat2(CWD, parent, flags, Mode::empty(), ResolveFlags::empty())?;
    let mut path = folder.to_owned();
    // The folders that are being emptied, each in the one before.
    let mut open = vec![enter(&parent, &path)?];
    while let Some(dir) = open.last_mut() {
        let Some(entry) = dir.read() else {
            open.pop();
            let removed = match open.last() {
                Some(outer) => unlinkat(outer.fd()?, name(&path), AtFlags::REMOVEDIR),
                None => unlinkat(&parent, name(&path), AtFlags::REMOVEDIR),
            };
            removed.map_err(|why| failed(&path, why))?;
            path.pop();
            continue;
        };
        let entry = entry?;
        let entry = OsStr::from_bytes(entry.file_name().to_bytes());
        if entry == "." || entry == ".." {
            continue;
        }
        let fd = dir.fd()?;
        match unlinkat(fd, entry, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR) => {
                path.push(entry);
                let inner = enter(fd, &path)?;
                open.push(inner);
            }
            Err(why) => return Err(failed(&path.join(entry), why)),
        }
    }
    Ok(())
}

fn name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

/// Opens the folder with the last name of a path in `outer`.
fn enter(outer: impl AsFd, path: &Path) -> io::Result<Dir> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    let opened = openat2(outer, name(path), flags, Mode::empty(), resolve);
    Ok(Dir::new(opened.map_err(|why| failed(path, why))?)?)
}

fn failed(path: &Path, why: Errno) -> io::Error {
    match why {
        Errno::XDEV | Errno::BUSY => io::Error::other(format!("{} is still mounted", path.display())),
        Errno::NOENT => io::ErrorKind::NotFound.into(),
        why => io::Error::new(io::Error::from(why).kind(), format!("{}: {why}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::mount::{UnmountFlags, mount_bind, unmount};
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn all_goes_but_what_links_lead_to() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, kept) = (dir.path().join("tree"), dir.path().join("kept"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "x").unwrap();
        fs::write(tree.join("a/b/file"), "x").unwrap();
        symlink(&kept, tree.join("a/link")).unwrap();
        (0..300).for_each(|n| fs::write(tree.join(format!("a/{n}")), "").unwrap());
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && kept.join("file").exists());
        assert_eq!(remove_tree(&tree).unwrap_err().kind(), io::ErrorKind::NotFound);
        symlink(&kept, &tree).unwrap();
        assert!(remove_tree(&tree).is_err() && kept.join("file").exists());
    }

    #[test]
    fn what_is_mounted_is_not_entered() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (tree, kept) = (dir.path().join("tree"), dir.path().join("kept"));
        fs::create_dir_all(tree.join("a/mounted")).unwrap();
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "x").unwrap();
        // Of the same file system: no number of a device tells.
        mount_bind(&kept, tree.join("a/mounted")).unwrap();
        let why = remove_tree(&tree).unwrap_err().to_string();
        unmount(tree.join("a/mounted"), UnmountFlags::DETACH).unwrap();
        fs::write(tree.join("a/key"), "").unwrap();
        mount_bind(kept.join("file"), tree.join("a/key")).unwrap();
        let of_file = remove_tree(&tree).unwrap_err().to_string();
        unmount(tree.join("a/key"), UnmountFlags::DETACH).unwrap();
        assert!(why.ends_with("tree/a/mounted is still mounted"), "{why}");
        assert!(of_file.ends_with("tree/a/key is still mounted"), "{of_file}");
        assert_eq!(fs::read_to_string(kept.join("file")).unwrap(), "x");
        remove_tree(&tree).unwrap();
        assert!(kept.join("file").exists());
    }
}
