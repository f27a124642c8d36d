//! Files that change all at once. The files are in a folder of their own, `..2006_01_02_15_04_05.RANDOM`; `..data` is a
//! link to it, and each name at the top a link through `..data`. Renaming another `..data` over the first changes all.

use super::set_mode;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{lchown, symlink};
use std::path::{Path, PathBuf};
use stdx::{Ids, Time};

/// What leads to the files of now.
pub const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";
const LONGEST_PATH: usize = 4096;
const LONGEST_NAME: usize = 255;

/// A file to be there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct File {
    pub data: Vec<u8>,
    pub mode: u32,
    /// Who owns it, when not root.
    pub owner: Option<u32>,
}

/// Files by their path in the volume.
pub type Payload = BTreeMap<String, File>;

/// Writes the files into `root`, and removes those that were there before and are not wanted any more; true when
/// something was to be changed. `set_permissions` is called before new files can be seen.
///
/// # Errors
/// When a path is none of a file inside, or the disk refuses.
pub fn write(
    root: &Path,
    payload: &Payload,
    (now, ids): (Time, &Ids),
    set_permissions: impl FnOnce() -> io::Result<()>,
) -> io::Result<bool> {
    payload.keys().try_for_each(|path| check(path).map_err(io::Error::other))?;
    let payload: BTreeMap<PathBuf, &File> =
        payload.iter().map(|(path, file)| (Path::new(path).components().collect(), file)).collect();
    let old = fs::read_link(root.join(DATA)).ok().and_then(|link| Some(root.join(link.file_name()?)));
    let stale = old.as_deref().map(|old| stale_paths(old, &payload)).transpose()?.unwrap_or_default();
    let fresh = |old: &PathBuf| payload.iter().all(|(path, file)| holds(&old.join(path), &file.data));
    if stale.is_empty() && old.as_ref().is_some_and(fresh) {
        return link_names(root, &payload).map(|()| false);
    }
    let folder = new_folder(root, now, ids)?;
    let written =
        write_files(&folder, &payload).and_then(|()| set_permissions()).and_then(|()| swap(root, &folder));
    if let Err(why) = written {
        let _ = fs::remove_dir_all(&folder);
        return Err(why);
    }
    link_names(root, &payload)?;
    // Only names at the top have links.
    for path in stale.iter().filter(|path| path.components().count() == 1) {
        remove_link(&root.join(path))?;
    }
    match old.map_or(Ok(()), fs::remove_dir_all) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(true),
    }
}

fn check(path: &str) -> Result<(), String> {
    let parts: Vec<&str> = path.split('/').collect();
    match path {
        "" => Err("invalid path: must not be empty: \"\"".to_owned()),
        _ if path.starts_with('/') => Err(format!("invalid path: must be relative path: {path}")),
        _ if path.len() > LONGEST_PATH => {
            Err(format!("invalid path: must be less than or equal to {LONGEST_PATH} characters"))
        }
        _ if parts.contains(&"..") => Err(format!("invalid path: must not contain '..': {path}")),
        _ if parts.iter().any(|part| part.len() > LONGEST_NAME) => {
            Err(format!("invalid path: filenames must be less than or equal to {LONGEST_NAME} characters"))
        }
        _ if path.starts_with("..") => Err(format!("invalid path: must not start with '..': {path}")),
        _ => Ok(()),
    }
}

fn holds(path: &Path, data: &[u8]) -> bool {
    fs::read(path).is_ok_and(|there| there == data)
}

/// What the old folder has and the payload has not, relative to the folder.
fn stale_paths(old: &Path, payload: &BTreeMap<PathBuf, &File>) -> io::Result<BTreeSet<PathBuf>> {
    let wanted: BTreeSet<&Path> = payload.keys().flat_map(|path| path.ancestors()).collect();
    let (mut stale, mut folders) = (BTreeSet::new(), vec![old.to_owned()]);
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let inside = path.strip_prefix(old).map_err(io::Error::other)?.to_owned();
            if !wanted.contains(inside.as_path()) {
                stale.insert(inside);
            }
            if entry.file_type()?.is_dir() {
                folders.push(path);
            }
        }
    }
    Ok(stale)
}

fn new_folder(root: &Path, now: Time, ids: &Ids) -> io::Result<PathBuf> {
    let date: String = now.rfc3339().chars().filter(|c| *c != 'Z').collect();
    let name = format!("..{}.{}", date.replace(['-', 'T', ':'], "_"), ids.below(1 << 32));
    let folder = root.join(name);
    fs::create_dir(&folder)?;
    set_mode(&folder, 0o755)?;
    Ok(folder)
}

fn write_files(folder: &Path, payload: &BTreeMap<PathBuf, &File>) -> io::Result<()> {
    for (path, file) in payload {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, &file.data)?;
        set_mode(&path, file.mode)?;
        if let Some(owner) = file.owner {
            lchown(&path, Some(owner), None)?;
        }
    }
    Ok(())
}

fn swap(root: &Path, folder: &Path) -> io::Result<()> {
    let (new, name) = (root.join(NEW_DATA), folder.file_name().unwrap_or_default());
    remove_link(&new)?;
    symlink(name, &new)?;
    fs::rename(&new, root.join(DATA))
}

fn remove_link(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}

fn link_names(root: &Path, payload: &BTreeMap<PathBuf, &File>) -> io::Result<()> {
    for (path, file) in payload {
        let Some(top) = path.components().next() else { continue };
        let link = root.join(top);
        if link.symlink_metadata().is_ok() {
            continue;
        }
        symlink(Path::new(DATA).join(top), &link)?;
        if let Some(owner) = file.owner {
            lchown(&link, Some(owner), None)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn payload(files: &[(&str, &str)]) -> Payload {
        let file = |data: &str| File { data: data.into(), mode: 0o640, owner: None };
        files.iter().map(|(path, data)| ((*path).to_owned(), file(data))).collect()
    }

    fn put(root: &Path, files: &[(&str, &str)]) -> bool {
        let now = Time::from_secs(1_795_267_445);
        write(root, &payload(files), (now, &Ids::system()), || Ok(())).unwrap()
    }

    fn names(root: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(root).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_links_through_one_folder_that_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert!(put(root, &[("a", "1"), ("d/b", "2"), ("d/e/c", "3")]));
        assert_eq!(fs::read_link(root.join("a")).unwrap(), Path::new("..data/a"));
        assert_eq!(fs::read_to_string(root.join("d/e/c")).unwrap(), "3");
        assert_eq!(fs::metadata(root.join("a")).unwrap().permissions().mode() & 0o777, 0o640);
        let first = fs::read_link(root.join(DATA)).unwrap();
        assert!(first.to_str().unwrap().starts_with("..2026_11_21_13_24_05."), "{first:?}");
        assert!(!put(root, &[("a", "1"), ("d/b", "2"), ("d/e/c", "3")]));
        assert_eq!(fs::read_link(root.join(DATA)).unwrap(), first);
        assert!(put(root, &[("a", "9"), ("d/b", "2")]));
        assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "9");
        assert!(!root.join("d/e").exists() && !root.join(first).exists());
        assert!(put(root, &[("x", "1")]));
        let names = names(root);
        assert_eq!((names.len(), names[1].as_str(), names[2].as_str()), (3, "..data", "x"));
        assert!(put(root, &[]));
        assert_eq!(super::tests::names(root).len(), 2);
    }

    #[test]
    fn what_was_begun_and_not_ended_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        symlink("..gone", dir.path().join(NEW_DATA)).unwrap();
        symlink("..gone", dir.path().join(DATA)).unwrap();
        assert!(put(dir.path(), &[("a", "1")]));
        assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "1");
    }

    #[test]
    fn files_that_cannot_get_their_permissions_are_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), &[("a", "1")]);
        let now = (Time::from_secs(0), &Ids::system());
        let failed = write(dir.path(), &payload(&[("a", "2")]), now, || Err(io::Error::other("no")));
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "1");
        assert_eq!(names(dir.path()).len(), 3);
    }

    #[test]
    fn paths_stay_inside() {
        for path in ["", "/a", "a/../b", "..", "..a", "..a/b"] {
            assert!(check(path).is_err(), "{path}");
        }
        for path in ["a", "a/b", "a/..b", ".a"] {
            assert!(check(path).is_ok(), "{path}");
        }
    }
}
