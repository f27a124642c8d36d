//! The fifos between a process and us: a folder for each process, that is removed with it.

use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use tokio::net::unix::pipe::{OpenOptions, Receiver, Sender};

/// A folder of fifos; dropping it removes them.
pub struct Fifos {
    folder: PathBuf,
    is_left: bool,
    pub stdin: Option<PathBuf>,
    pub stdout: Option<PathBuf>,
    pub stderr: Option<PathBuf>,
}

impl Fifos {
    /// Makes those that are asked for.
    pub fn new(folder: PathBuf, stdin: bool, stdout: bool, stderr: bool) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let mut fifos = Fifos { folder, is_left: false, stdin: None, stdout: None, stderr: None };
        fifos.stdin = fifos.make("stdin", stdin)?;
        fifos.stdout = fifos.make("stdout", stdout)?;
        fifos.stderr = fifos.make("stderr", stderr)?;
        Ok(fifos)
    }

    /// Keeps the folder: its process may be there still, and the next sweep ends it.
    pub fn leave(mut self) {
        self.is_left = true;
    }

    fn make(&self, name: &str, wanted: bool) -> io::Result<Option<PathBuf>> {
        if !wanted {
            return Ok(None);
        }
        let path = self.folder.join(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        Ok(Some(path))
    }
}

impl Drop for Fifos {
    fn drop(&mut self) {
        if self.is_left {
            return;
        }
        if let Err(why) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(folder = %self.folder.display(), %why, "fifos are left behind");
        }
    }
}

/// The end that we read. It is at its end until the other side opens its own: read it only after that.
pub fn reader(path: &Path) -> io::Result<Receiver> {
    OpenOptions::new().open_receiver(path)
}

/// The end that we write. Opened for reading as well, since the other side may open its end later.
pub fn writer(path: &Path) -> io::Result<Sender> {
    OpenOptions::new().read_write(true).open_sender(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fifos_are_gone_with_the_process() {
        let folder = std::env::temp_dir().join(format!("fifos-{}", stdx::Ids::system().uuid()));
        let fifos = Fifos::new(folder.clone(), true, true, false).unwrap();
        assert!(fifos.stderr.is_none() && fifos.stdout.as_ref().unwrap().exists());
        reader(fifos.stdout.as_ref().unwrap()).unwrap();
        writer(fifos.stdin.as_ref().unwrap()).unwrap();
        drop(fifos);
        assert!(!folder.exists());
        Fifos::new(folder.clone(), false, true, false).unwrap().leave();
        assert!(folder.join("stdout").exists(), "a sweep finds what is left");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
