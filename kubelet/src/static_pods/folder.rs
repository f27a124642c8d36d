//! The folder of manifests: what is in it, and when that changes.

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::unix::pipe::Receiver;

/// Files are often written in several steps.
const SETTLE: Duration = Duration::from_millis(50);

/// Tells when something changes in a folder. One that cannot be watched, because it is not there, never tells.
pub struct Folder {
    path: PathBuf,
    watch: Option<Receiver>,
}

impl Folder {
    pub fn new(path: &Path) -> Self {
        Folder { path: path.to_owned(), watch: None }
    }

    /// Returns after a change, or never.
    pub async fn changed(&mut self) {
        if self.watch.is_none() {
            self.watch = watch_of(&self.path).ok();
        }
        let Some(watch) = &self.watch else { return std::future::pending().await };
        let noticed = watch.readable().await;
        tokio::time::sleep(SETTLE).await;
        // What was noticed is read anew as a whole, and the folder may be another one by now.
        self.watch = noticed.ok().and_then(|()| watch_of(&self.path).ok());
    }
}

/// Notices of the kernel come as through a pipe.
fn watch_of(path: &Path) -> io::Result<Receiver> {
    let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    let what = WatchFlags::CLOSE_WRITE
        | WatchFlags::MOVED_TO
        | WatchFlags::MOVED_FROM
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF;
    inotify::add_watch(&fd, path, what)?;
    Receiver::from_file_unchecked(fd.into())
}

/// The files of a folder in order, without hidden ones; or the file itself.
pub fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let is_shown = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| !name.starts_with('.')) && path.is_file()
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_shown).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_new_file_is_noticed_and_hidden_ones_are_left_out() {
        let path = std::env::temp_dir().join(format!("manifests-{}", std::process::id()));
        std::fs::create_dir_all(path.join("inner")).unwrap();
        let mut folder = Folder::new(&path);
        let quiet = tokio::time::timeout(Duration::from_millis(100), folder.changed()).await;
        assert!(quiet.is_err());
        std::fs::write(path.join("b.yaml"), "").unwrap();
        std::fs::write(path.join("a.yaml"), "").unwrap();
        std::fs::write(path.join(".hidden"), "").unwrap();
        tokio::time::timeout(Duration::from_secs(10), folder.changed()).await.unwrap();
        assert_eq!(files(&path), [path.join("a.yaml"), path.join("b.yaml")]);
        std::fs::remove_dir_all(&path).unwrap();
    }
}
