//! How much the volumes of a pod hold.

use super::Mounted;
use api::Value;
use api::resources::quantity;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The first `emptyDir` on disk that holds more than its limit: what is said to whom the pod belongs.
pub fn over_limit(pod: &Value, mounted: &HashMap<String, Mounted>) -> Option<String> {
    pod.list_at(&["spec", "volumes"]).iter().find_map(|volume| {
        let limit =
            volume.at(&["emptyDir", "sizeLimit"]).and_then(quantity).filter(|limit| limit.value() > 0)?;
        let name = volume.str_at(&["name"]);
        let path = mounted.get(name)?.path.as_deref()?;
        let over = bytes_on_disk(path) > limit.value().unsigned_abs();
        over.then(|| format!("Usage of EmptyDir volume {name:?} exceeds the limit {:?}. ", limit.to_string()))
    })
}

/// The blocks that a folder takes on its own file system; files with several names count once.
pub fn bytes_on_disk(root: &Path) -> u64 {
    let Ok(device) = fs::symlink_metadata(root).map(|m| m.dev()) else { return 0 };
    let (mut bytes, mut seen, mut folders) = (0, HashSet::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(there) = entry.metadata() else { continue };
            if there.dev() != device || there.nlink() > 1 && there.is_file() && !seen.insert(there.ino()) {
                continue;
            }
            bytes += there.blocks() * 512;
            if there.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_volume_that_holds_more_than_its_limit_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Mounted { path: Some(dir.path().to_owned()), ..Mounted::default() };
        let mounted = HashMap::from([("v".to_owned(), mounted)]);
        let pod = tree!({"spec": {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "64Ki"}}]}});
        fs::write(dir.path().join("a"), vec![1; 32 << 10]).unwrap();
        fs::hard_link(dir.path().join("a"), dir.path().join("b")).unwrap();
        assert_eq!(over_limit(&pod, &mounted), None);
        fs::write(dir.path().join("c"), vec![1; 48 << 10]).unwrap();
        let said = "Usage of EmptyDir volume \"v\" exceeds the limit \"64Ki\". ";
        assert_eq!(over_limit(&pod, &mounted).as_deref(), Some(said));
    }
}
