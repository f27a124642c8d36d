//! `fsGroup`: the group that owns a volume, so that the pod's processes can read and write it.

use super::set_mode;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;

const SETGID: u32 = 0o2000;

/// The group of a volume's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    pub gid: u32,
    /// The volume cannot be written: the group may read.
    pub read_only: bool,
    /// Only when the root of the volume is not as it should be (`fsGroupChangePolicy: OnRootMismatch`).
    pub on_root_mismatch: bool,
}

impl Group {
    fn mask(self, is_dir: bool) -> u32 {
        let files = if self.read_only { 0o440 } else { 0o660 };
        if is_dir { files | 0o110 | SETGID } else { files }
    }

    /// Gives a volume to the group. What vanishes meanwhile, or belongs to a file system without owners, is passed
    /// over.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn own(self, root: &Path) -> io::Result<()> {
        let there = fs::symlink_metadata(root)?;
        if self.on_root_mismatch && self.is_right(&there) {
            return Ok(());
        }
        self.own_all(root, &there)
    }

    fn is_right(self, root: &Metadata) -> bool {
        let mask = self.mask(true);
        root.is_dir() && root.gid() == self.gid && root.mode() & mask == mask
    }

    /// The root last: it tells that all of it is done.
    fn own_all(self, path: &Path, there: &Metadata) -> io::Result<()> {
        if there.is_dir() {
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                match entry.metadata() {
                    Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                    metadata => self.own_all(&entry.path(), &metadata?)?,
                }
            }
        }
        let owned = lchown(path, None, Some(self.gid)).and_then(|()| match there.is_symlink() {
            true => Ok(()),
            false => set_mode(path, there.mode() & 0o7777 | self.mask(there.is_dir())),
        });
        if let Err(why) = owned {
            tracing::debug!(%why, ?path, "a file cannot be given to a group");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn group() -> Group {
        // A group that the test may give files to.
        let gid = rustix::process::getegid().as_raw();
        Group { gid, read_only: false, on_root_mismatch: false }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_group_may_write_all_and_folders_pass_it_on() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, file) = (dir.path().join("d"), dir.path().join("d/f"));
        fs::create_dir(&folder).unwrap();
        fs::write(&file, "").unwrap();
        symlink("/nowhere", dir.path().join("l")).unwrap();
        set_mode(&folder, 0o700).unwrap();
        set_mode(&file, 0o600).unwrap();
        group().own(dir.path()).unwrap();
        assert_eq!((mode(&folder), mode(&file)), (0o2770, 0o660));
        assert_eq!(mode(dir.path()) & 0o2770, 0o2770);
    }

    #[test]
    fn of_what_cannot_be_written_the_group_may_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::write(&file, "").unwrap();
        set_mode(&file, 0o400).unwrap();
        Group { read_only: true, ..group() }.own(dir.path()).unwrap();
        assert_eq!(mode(&file), 0o440);
    }

    #[test]
    fn a_root_that_is_right_is_proof_enough_when_so_asked() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::write(&file, "").unwrap();
        set_mode(&file, 0o600).unwrap();
        let sparing = Group { on_root_mismatch: true, ..group() };
        set_mode(dir.path(), 0o2770).unwrap();
        sparing.own(dir.path()).unwrap();
        assert_eq!(mode(&file), 0o600);
        set_mode(dir.path(), 0o770).unwrap();
        sparing.own(dir.path()).unwrap();
        assert_eq!(mode(&file), 0o660);
    }
}
