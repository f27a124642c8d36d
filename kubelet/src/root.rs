//! The kubelet's folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Makes the folder if there is none; its place as the kernel tells it. What is mounted beneath is found by comparing
/// with that: through links, or from another working folder, it would not be found.
///
/// # Errors
/// When it cannot be made.
pub fn make(folder: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(folder.join("pods"))?;
    fs::canonicalize(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volumes::{is_mounted, unmount_under};

    #[test]
    fn what_is_mounted_below_a_link_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let root = make(&link.join("kubelet")).unwrap();
        assert_eq!(root, fs::canonicalize(&real).unwrap().join("kubelet"));
        if !rustix::process::geteuid().is_root() {
            return;
        }
        rustix::mount::mount_bind(&real, root.join("pods")).unwrap();
        assert!(is_mounted(&root.join("pods")));
        unmount_under(&root).unwrap();
        assert!(!is_mounted(&root.join("pods")));
    }
}
