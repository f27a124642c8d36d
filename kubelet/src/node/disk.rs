//! How full file systems are.

use std::io;
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
}
