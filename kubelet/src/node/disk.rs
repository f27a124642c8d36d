//! How full file systems are.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A file system, in bytes and inodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    pub capacity: u64,
    /// What users may still take.
    pub available: u64,
    /// What is taken.
    pub used: u64,
    pub inodes: u64,
    pub inodes_free: u64,
    /// Tells file systems apart.
    pub device: u64,
}

impl Disk {
    /// The file system of a path.
    ///
    /// # Errors
    /// When the path is not there.
    pub fn of(path: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(path)?;
        let device = rustix::fs::stat(path)?.st_dev;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Disk {
            capacity: bytes(stat.f_blocks),
            available: bytes(stat.f_bavail),
            used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
            inodes: stat.f_files,
            inodes_free: stat.f_favail,
            device,
        })
    }

    /// What users could ever have: taken and available. Blocks set aside for root or withheld by a quota are in the
    /// capacity, but never come free; counted in, they would make a half-empty disk look full.
    pub fn usable(&self) -> u64 {
        self.used + self.available
    }

    /// As `df` shows it, of what is usable.
    pub fn used_percent(&self) -> u64 {
        match self.usable() {
            0 => 0,
            usable => 100 - (u128::from(self.available) * 100 / u128::from(usable)) as u64,
        }
    }
}

/// What something takes of a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    pub bytes: u64,
    pub inodes: u64,
}

impl Space {
    /// All below a path on its own file system, blocks as they are taken; files with several names count once.
    pub fn of(root: &Path) -> Self {
        let Ok(own) = std::fs::symlink_metadata(root) else { return Space::default() };
        let (mut space, mut seen, mut left) = (Space::default(), HashSet::new(), vec![root.to_owned()]);
        while let Some(path) = left.pop() {
            let Ok(there) = std::fs::symlink_metadata(&path) else { continue };
            if there.dev() != own.dev() || (there.nlink() > 1 && there.is_file() && !seen.insert(there.ino()))
            {
                continue;
            }
            space = space.plus(Space { bytes: there.blocks() * 512, inodes: 1 });
            if there.is_dir() {
                let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
                left.extend(entries.map(|entry| entry.path()));
            }
        }
        space
    }

    pub fn plus(self, other: Space) -> Self {
        Space { bytes: self.bytes + other.bytes, inodes: self.inodes + other.inodes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_does_not_count_as_taken() {
        let disk = Disk { capacity: 252, used: 56, available: 36, ..Disk::default() };
        assert_eq!(disk.usable(), 92);
        assert_eq!(disk.used_percent(), 61);
        assert!(Disk::of(Path::new("/")).unwrap().capacity > 0);
    }

    #[test]
    fn a_file_with_two_names_takes_its_space_once() {
        let folder = std::env::temp_dir().join(format!("space-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a"), vec![1; 64 << 10]).unwrap();
        std::fs::hard_link(folder.join("a"), folder.join("b")).unwrap();
        let space = Space::of(&folder);
        assert!((64 << 10..100 << 10).contains(&space.bytes), "{space:?}");
        assert_eq!(space.inodes, 2);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
