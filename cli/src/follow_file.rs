//! Follows a configuration file while the server runs: waits for the system to say that something in its folder
//! changed, for editors and mounted ConfigMaps put another file in its place.

use anyhow::Context;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// Several changes in a row are read as one.
const SETTLE: Duration = Duration::from_millis(100);

/// Hands the content of a file to `apply` whenever it is another than before; `current` is what it was at the start.
///
/// # Errors
/// When the folder cannot be watched.
pub fn follow(
    path: &Path,
    mut current: Vec<u8>,
    apply: impl Fn(&[u8]) -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<()> {
    let (path, mut changes) = (path.to_owned(), Changes::new(path)?);
    tokio::spawn(async move {
        while changes.next().await.is_ok() {
            tokio::time::sleep(SETTLE).await;
            let text = match std::fs::read(&path) {
                Ok(text) if text == current => continue,
                Ok(text) => text,
                Err(error) => {
                    tracing::error!(%error, "cannot read {} again", path.display());
                    continue;
                }
            };
            match apply(&text) {
                Ok(()) => tracing::info!("{} was read again", path.display()),
                Err(error) => tracing::error!("{} stays as it was: {error:#}", path.display()),
            }
            current = text;
        }
    });
    Ok(())
}

struct Changes(AsyncFd<OwnedFd>);

impl Changes {
    fn new(path: &Path) -> anyhow::Result<Self> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let watched = || format!("cannot watch {}", folder.display());
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).with_context(watched)?;
        let flags = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::CREATE | WatchFlags::DELETE;
        inotify::add_watch(&inotify, &folder, flags).with_context(watched)?;
        // Sound, as an `OwnedFd` stays the same file for its life; the other way in needs `unsafe`.
        #[allow(deprecated)]
        let events = AsyncFd::new(inotify);
        Ok(Changes(events.with_context(watched)?))
    }

    /// Waits until something changed, and takes all that is told of it.
    async fn next(&mut self) -> std::io::Result<()> {
        let mut buffer = [0_u8; 4096];
        let mut ready = self.0.readable().await?;
        while rustix::io::read(ready.get_inner(), &mut buffer).is_ok_and(|read| read > 0) {}
        ready.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn each_other_content_is_handed_on_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("configuration");
        std::fs::write(&path, "a").unwrap();
        let (sender, changes) = mpsc::channel();
        let apply = move |text: &[u8]| Ok(sender.send(text.to_vec())?);
        follow(&path, b"a".to_vec(), apply).unwrap();
        let next = async || {
            for _ in 0..100 {
                if let Ok(text) = changes.try_recv() {
                    return Some(text);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            None
        };
        std::fs::write(&path, "b").unwrap();
        assert_eq!(next().await.as_deref(), Some(&b"b"[..]));
        let other = folder.path().join("other");
        std::fs::write(&other, "c").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_eq!(next().await.as_deref(), Some(&b"c"[..]));
        std::fs::write(&path, "c").unwrap();
        tokio::time::sleep(SETTLE * 3).await;
        assert!(changes.try_recv().is_err());
    }
}
