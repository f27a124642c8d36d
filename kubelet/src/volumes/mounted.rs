//! What is mounted where, as the kernel tells it: also what an earlier process mounted.

use rustix::mount::{UnmountFlags, unmount};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const MOUNTS: &str = "/proc/self/mountinfo";

/// The places beneath a folder where something is mounted, innermost and latest first.
///
/// # Errors
/// When the kernel does not tell.
fn mounts_under(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let text = std::fs::read(MOUNTS)?;
    let mut found: Vec<PathBuf> =
        text.split(|b| *b == b'\n').filter_map(place).filter(|p| p.starts_with(folder)).collect();
    found.reverse();
    Ok(found)
}

/// True when something is mounted exactly here.
pub fn is_mounted(path: &Path) -> bool {
    mounts_under(path).is_ok_and(|found| found.iter().any(|p| p == path))
}

/// True when what is mounted here is mounted elsewhere beneath a folder.
pub fn is_shared(path: &Path, folder: &Path) -> bool {
    let text = std::fs::read(MOUNTS).unwrap_or_default();
    let parts =
        |line: &[u8]| line.split(|b| *b == b' ').skip(2).take(2).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let all: Vec<_> =
        text.split(|b| *b == b'\n').filter_map(|line| Some((place(line)?, parts(line)))).collect();
    let here = all.iter().rev().find(|(at, _)| at == path);
    here.is_some_and(|(_, what)| all.iter().any(|(at, w)| w == what && at != path && at.starts_with(folder)))
}

/// True when a folder is a file system of its own; cheaper to tell than `is_mounted`.
pub fn is_file_system(path: &Path) -> bool {
    let device = |path: &Path| std::fs::symlink_metadata(path).map(|m| m.dev()).ok();
    path.parent().is_some_and(|parent| device(path).is_some() && device(path) != device(parent))
}

/// Takes away all that is mounted exactly here; who has it elsewhere keeps it.
pub fn unmount_all(path: &Path) {
    while unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).is_ok() {}
}

/// Takes away all that is mounted beneath a folder.
///
/// # Errors
/// When something stays.
pub fn unmount_under(folder: &Path) -> io::Result<()> {
    for path in mounts_under(folder)? {
        match unmount(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // Gone with what it was mounted in.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) | Ok(()) => {}
            Err(why) => return Err(why.into()),
        }
    }
    match mounts_under(folder)?.first() {
        Some(left) => Err(io::Error::other(format!("{} is still mounted", left.display()))),
        None => Ok(()),
    }
}

/// The fifth field of a line, with its escapes (`\040` for a space) resolved.
fn place(line: &[u8]) -> Option<PathBuf> {
    let field = line.split(|b| *b == b' ').nth(4)?;
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'\\').then(|| after.get(..3)).flatten();
        let code = escaped.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match code {
            Some(code) => {
                out.push(code);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    Some(std::ffi::OsString::from_vec(out).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_with_their_escapes() {
        let line = b"36 35 98:0 /mnt1 /mnt\\0402\\134x rw,noatime master:1 - ext3 /dev/root rw";
        assert_eq!(place(line).unwrap(), Path::new("/mnt 2\\x"));
        assert!(is_mounted(Path::new("/proc")));
        assert!(!is_mounted(Path::new("/proc/self")));
        assert!(is_file_system(Path::new("/proc")) && !is_file_system(Path::new("/proc/self")));
        assert!(!is_file_system(Path::new("/proc/none")));
    }

    #[test]
    fn what_is_mounted_twice_beneath_a_folder_is_shared() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let [source, one, other, out] = ["source", "in/one", "in/other", "out"].map(|name| {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
            dir.path().join(name)
        });
        let (folder, bind) =
            (dir.path().join("in"), |at: &Path| rustix::mount::mount_bind(&source, at).unwrap());
        bind(&one);
        bind(&out);
        assert!(!is_shared(&one, &folder));
        assert!(!is_shared(&other, &folder));
        bind(&other);
        assert!(is_shared(&one, &folder) && is_shared(&other, &folder));
        unmount_under(dir.path()).unwrap();
    }
}
