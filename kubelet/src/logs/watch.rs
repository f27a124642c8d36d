//! Waits for changes in a folder: inotify, and once a second where the system gives no more of that.

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

const WITHOUT_INOTIFY: Duration = Duration::from_secs(1);

pub struct Watch(Option<AsyncFd<OwnedFd>>);

impl Watch {
    /// Watches what is written, made, renamed and removed in `folder` from now on.
    pub fn new(folder: &Path) -> Self {
        Watch(Self::open(folder).inspect_err(|why| tracing::debug!(%why, "no inotify")).ok())
    }

    fn open(folder: &Path) -> std::io::Result<AsyncFd<OwnedFd>> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let what = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVE | WatchFlags::DELETE;
        inotify::add_watch(&fd, folder, what)?;
        // Sound, as an `OwnedFd` stays the same file for its life; the other way in needs `unsafe`.
        #[allow(deprecated)]
        AsyncFd::new(fd)
    }

    /// Waits until something changed since it was last asked, or may have. Nothing is lost when this is dropped.
    pub async fn changed(&self) {
        let Some(fd) = &self.0 else { return tokio::time::sleep(WITHOUT_INOTIFY).await };
        loop {
            let Ok(mut ready) = fd.readable().await else {
                return tokio::time::sleep(WITHOUT_INOTIFY).await;
            };
            if drain(fd.get_ref()) {
                return;
            }
            ready.clear_ready();
        }
    }
}

/// Takes what is reported; true when that was something.
fn drain(fd: &OwnedFd) -> bool {
    let mut events = [0u8; 4096];
    let mut any = false;
    loop {
        match rustix::io::read(fd, &mut events) {
            Ok(0) | Err(Errno::AGAIN) => return any,
            Err(Errno::INTR) => {}
            Ok(_) => any = true,
            Err(_) => return true,
        }
    }
}
