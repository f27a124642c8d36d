//! Room of a pod's own: a folder on the disk, or in memory.

use super::mounted::is_file_system;
use super::ownership::Group;
use super::set_mode;
use api::resources::{amounts, is_huge_page, limits, page_size, quantity};
use api::{Quantity, Value};
use rustix::mount::{MountFlags, mount};
use std::ffi::CString;
use std::fs;
use std::io;
use std::path::Path;

/// Where the room is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Medium {
    Disk,
    /// In memory, at most so many bytes; 0 for no limit.
    Memory {
        bytes: i64,
    },
    /// In pages of so many bytes.
    HugePages {
        page: i64,
    },
}

/// The medium that a volume asks for.
///
/// # Errors
/// When there is no such medium.
pub fn medium(pod: &Value, empty_dir: &Value, node: Option<&Value>) -> Result<Medium, String> {
    match empty_dir.str_at(&["medium"]) {
        "" => Ok(Medium::Disk),
        "Memory" => Ok(in_memory(pod, empty_dir.get("sizeLimit").and_then(quantity), node)),
        "HugePages" => one_page_size(pod).map(|page| Medium::HugePages { page }),
        other => {
            let page = other.strip_prefix("HugePages-").and_then(|size| Quantity::parse(size).ok());
            let page = page.ok_or_else(|| format!("unknown storage medium {other:?}"))?;
            Ok(Medium::HugePages { page: page.value() })
        }
    }
}

/// Memory for a volume: no more than it says, than the pod may use, and than pods may use of the node.
pub fn in_memory(pod: &Value, limit: Option<Quantity>, node: Option<&Value>) -> Medium {
    let of_node = amounts(node.and_then(|n| n.at(&["status", "allocatable"]))).remove("memory");
    let limited = |c: &Value| amounts(c.at(&["resources", "limits"])).contains_key("memory");
    let whole = amounts(pod.at(&["spec", "resources", "limits"])).contains_key("memory");
    let of_pod = (whole || pod.list_at(&["spec", "containers"]).iter().all(limited))
        .then(|| limits(pod, false).remove("memory"))
        .flatten();
    let all = [of_node, of_pod, limit].into_iter().flatten().map(|q| q.value()).filter(|bytes| *bytes > 0);
    Medium::Memory { bytes: all.min().unwrap_or(0) }
}

/// The only size of huge pages that the pod asks for.
fn one_page_size(pod: &Value) -> Result<i64, String> {
    let all = ["containers", "initContainers"].into_iter().flat_map(|f| pod.list_at(&["spec", f]));
    let lists = all.map(|c| amounts(c.at(&["resources", "requests"])));
    let names = lists.flat_map(|list| list.into_keys()).filter(|name| is_huge_page(name));
    let mut sizes: Vec<i64> = names.filter_map(|name| page_size(&name)).map(|size| size.value()).collect();
    sizes.sort_unstable();
    sizes.dedup();
    match sizes.as_slice() {
        [one] => Ok(*one),
        [] => Err("medium HugePages can't be used if the hugepages resource is not requested".to_owned()),
        _ => Err("medium: HugePages can't be used if requests multiple huge page sizes".to_owned()),
    }
}

/// Makes the folder, and mounts what it is to be in. What is there stays as it is.
///
/// # Errors
/// When the disk or the kernel refuses.
pub fn set_up(path: &Path, medium: &Medium) -> io::Result<()> {
    fs::create_dir_all(path)?;
    if *medium == Medium::Disk || is_file_system(path) {
        return set_mode_unless(path, 0o777);
    }
    set_mode(path, 0o777)?;
    match medium {
        Medium::Disk => Ok(()),
        // Without swap where the kernel knows of that.
        Medium::Memory { bytes: 0 } => on_tmpfs(path, "noswap").or_else(|_| on_tmpfs(path, "")),
        Medium::Memory { bytes } => on_tmpfs(path, &format!("size={bytes},noswap"))
            .or_else(|_| on_tmpfs(path, &format!("size={bytes}"))),
        Medium::HugePages { page } => {
            mount_at(path, ("nodev", "hugetlbfs"), MountFlags::empty(), &format!("pagesize={page}"))
        }
    }
}

/// A volume whose permissions its owner changed keeps them: only the first time counts.
fn set_mode_unless(path: &Path, mode: u32) -> io::Result<()> {
    let fresh = fs::read_dir(path)?.next().is_none();
    if fresh { set_mode(path, mode) } else { Ok(()) }
}

fn on_tmpfs(path: &Path, options: &str) -> io::Result<()> {
    mount_at(path, ("tmpfs", "tmpfs"), MountFlags::empty(), options)
}

/// Mounts a source of a type.
pub(super) fn mount_at(
    path: &Path,
    (source, ty): (&str, &str),
    flags: MountFlags,
    options: &str,
) -> io::Result<()> {
    let options = CString::new(options)?;
    Ok(mount(source, path, ty, flags, options.as_c_str())?)
}

/// Makes the folder and gives it to the group, once.
///
/// # Errors
/// As above.
pub fn set_up_once(path: &Path, marker: &Path, medium: &Medium, group: Option<Group>) -> io::Result<()> {
    let ready = marker.exists() && path.exists() && (*medium == Medium::Disk || is_file_system(path));
    if ready {
        return Ok(());
    }
    set_up(path, medium)?;
    group.map_or(Ok(()), |group| group.own(path))?;
    if let Some(parent) = marker.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(marker, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn memory_is_what_volume_pod_and_node_allow() {
        let node = tree!({"status": {"allocatable": {"memory": "8Gi"}}});
        let pod = |limits: Value| tree!({"spec": {"containers": [{"name": "a", "resources": {"limits": (limits)}}]}});
        let bytes = |pod: &Value, source: Value| medium(pod, &source, Some(&node)).unwrap();
        let memory = || tree!({"medium": "Memory"});
        assert_eq!(bytes(&pod(tree!({})), memory()), Medium::Memory { bytes: 8 << 30 });
        assert_eq!(bytes(&pod(tree!({"memory": "64Mi"})), memory()), Medium::Memory { bytes: 64 << 20 });
        let small = tree!({"medium": "Memory", "sizeLimit": "1Mi"});
        assert_eq!(bytes(&pod(tree!({"memory": "64Mi"})), small), Medium::Memory { bytes: 1 << 20 });
        assert_eq!(bytes(&pod(tree!({})), tree!({"sizeLimit": "1Mi"})), Medium::Disk);
    }

    #[test]
    fn huge_pages_are_of_the_size_named_or_of_the_only_one_asked_for() {
        let pod = tree!({"spec": {"containers": [{"resources": {"requests": {"hugepages-2Mi": "4Mi"}}}]}});
        let of = |pod: &Value, name: &str| medium(pod, &tree!({"medium": name}), None);
        assert_eq!(of(&pod, "HugePages"), Ok(Medium::HugePages { page: 2 << 20 }));
        assert_eq!(of(&pod, "HugePages-1Gi"), Ok(Medium::HugePages { page: 1 << 30 }));
        assert!(of(&tree!({}), "HugePages").is_err());
        assert_eq!(of(&pod, "Gold"), Err("unknown storage medium \"Gold\"".to_owned()));
    }

    #[test]
    fn a_folder_is_open_to_all_and_set_up_once() {
        let dir = tempfile::tempdir().unwrap();
        let (path, marker) = (dir.path().join("a/v"), dir.path().join("m/ready"));
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        set_up_once(&path, &marker, &Medium::Disk, None).unwrap();
        assert_eq!(mode(), 0o777);
        set_mode(&path, 0o700).unwrap();
        set_up_once(&path, &marker, &Medium::Disk, None).unwrap();
        assert_eq!(mode(), 0o700);
    }

    #[test]
    fn room_in_memory_has_its_size() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v");
        let medium = Medium::Memory { bytes: 1 << 20 };
        set_up_once(&path, &dir.path().join("ready"), &medium, None).unwrap();
        assert!(is_file_system(&path));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o777);
        let full = fs::write(path.join("f"), vec![0; 2 << 20]).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        crate::volumes::unmount_under(dir.path()).unwrap();
        assert!(!is_file_system(&path));
    }
}
