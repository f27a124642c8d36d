//! Logs of containers and pods that are gone, and links to them.

use crate::logs::{pod_uid, rotated};
use std::fs;
use std::path::Path;

/// Removes the log of a container, with what it was renamed to; `log` is its place below `root`.
pub fn remove(root: &Path, log: &Path) {
    let path = root.join(log);
    let old = rotated(&path).unwrap_or_default();
    for file in old.iter().chain([&path]) {
        // It may be gone, with its pod.
        let _ = fs::remove_file(file);
    }
}

/// Removes the folders of pods of which `is_gone`, and links that lead nowhere. True when any folder stays.
pub fn clear(root: &Path, is_gone: impl Fn(&str) -> bool) -> bool {
    let mut any_stays = false;
    for folder in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = folder.file_name();
        let gone = name.to_str().and_then(pod_uid).is_some_and(&is_gone);
        if !gone {
            any_stays = true;
        } else if let Err(why) = fs::remove_dir_all(folder.path()) {
            tracing::warn!(%why, folder = %folder.path().display(), "logs are not removed");
            any_stays = true;
        }
    }
    clear_links(&crate::logs::links(root), root);
    any_stays
}

/// A log that is just being renamed is missing for a moment: links go when their pod's folder is gone, or the container's.
fn clear_links(links: &Path, root: &Path) {
    for link in fs::read_dir(links).into_iter().flatten().flatten() {
        let Ok(target) = fs::read_link(link.path()) else { continue };
        let folder_is_gone = target.parent().is_some_and(|folder| !folder.exists());
        if target.starts_with(root) && folder_is_gone {
            let _ = fs::remove_file(link.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_and_links_go_with_their_pod() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("pods");
        let links = dir.path().join("containers");
        fs::create_dir_all(&links).unwrap();
        for uid in ["here", "gone"] {
            let folder = root.join(format!("ns_p_{uid}/c"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("0.log"), "").unwrap();
            let to = links.join(format!("p_ns_c-{uid}.log"));
            std::os::unix::fs::symlink(folder.join("0.log"), to).unwrap();
        }
        assert!(clear(&root, |uid| uid == "gone"));
        assert!(root.join("ns_p_here/c/0.log").exists() && !root.join("ns_p_gone").exists());
        assert!(links.join("p_ns_c-here.log").exists());
        assert!(fs::symlink_metadata(links.join("p_ns_c-gone.log")).is_err());
    }

    #[test]
    fn a_containers_log_goes_with_all_its_files() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["0.log", "0.log.20260101-000000.gz", "0.log.20260101-000001", "1.log"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        remove(dir.path(), Path::new("0.log"));
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().map(|f| f.file_name()).collect();
        assert_eq!(left, ["1.log"]);
    }
}
