//! A log as a stream of texts: what is there, and with `follow` what is written until the container has ended.

use super::options::Options;
use super::reader::{Reader, Step, unreadable};
use super::watch::Watch;
use bytes::Bytes;
use futures::{FutureExt, Stream, future, stream};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

/// How long containerd may still write to a log after the next one exists.
const LATE_WRITES: Duration = Duration::from_millis(50);

/// Reads the log at `path`. With `options.follow` it goes on with what is written, also over rotations, until `ended`
/// is ready (the container has ended, and containerd knows) and all is read; without, `ended` is not asked.
///
/// The only errors are those of a file that cannot be read; they end the stream.
pub fn read(
    path: PathBuf,
    options: Options,
    ended: impl Future<Output = ()> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let ended: Pin<Box<dyn Future<Output = ()> + Send>> =
        if options.follow { Box::pin(ended) } else { future::ready(()).boxed() };
    let log = Log { path, options, ended, has_ended: false, watch: None, rotated: false };
    stream::try_unfold(Place::Before(Box::new(log)), Place::next)
}

/// Where in the stream we are.
enum Place {
    Before(Box<Log>),
    In(Box<Log>, Box<Reader>),
    Over,
}

struct Log {
    path: PathBuf,
    options: Options,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    has_ended: bool,
    watch: Option<Watch>,
    /// Another file has taken the name; the one at hand gets no more.
    rotated: bool,
}

impl Place {
    async fn next(self) -> io::Result<Option<(Bytes, Place)>> {
        let (mut log, mut reader) = match self {
            Place::Before(log) => {
                let (path, options) = (log.path.clone(), log.options.clone());
                let open = move || Reader::open(&path, &options).map_err(|why| unreadable(&path, &why));
                (log, Box::new(blocking(open).await?))
            }
            Place::In(log, reader) => (log, reader),
            Place::Over => return Ok(None),
        };
        loop {
            let step;
            (reader, step) = blocking(move || {
                let step = reader.step();
                Ok((reader, step))
            })
            .await?;
            match step? {
                Step::Text(text) => return Ok(Some((text, Place::In(log, reader)))),
                Step::Enough => return Ok(None),
                Step::AtEnd if log.wait(&mut reader).await? => {}
                Step::AtEnd => {
                    let last = reader.last()?;
                    return Ok(if last.is_empty() { None } else { Some((last, Place::Over)) });
                }
            }
        }
    }
}

impl Log {
    /// At the end of what is written: waits until there may be more. False when there will be none.
    async fn wait(&mut self, reader: &mut Reader) -> io::Result<bool> {
        if !self.options.follow {
            return Ok(false);
        }
        if self.rotated {
            return self.take_next_file(reader);
        }
        if !is_at(&self.path, reader.file()) {
            self.rotated = true;
            tokio::time::sleep(LATE_WRITES).await;
            return Ok(true);
        }
        if self.has_ended {
            return Ok(false);
        }
        let Some(watch) = &self.watch else {
            // From here on nothing is missed: what was written until now is read first.
            self.watch = Some(Watch::new(self.path.parent().unwrap_or(Path::new("/"))));
            return Ok(true);
        };
        tokio::select! {
            () = &mut self.ended => self.has_ended = true,
            () = watch.changed() => {}
        }
        Ok(true)
    }

    fn take_next_file(&mut self, reader: &mut Reader) -> io::Result<bool> {
        self.rotated = false;
        match File::open(&self.path) {
            Ok(file) => reader.go_on_with(file),
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => return Err(unreadable(&self.path, &why)),
        }
        Ok(true)
    }
}

/// Whether the name still means the file; also while there is none of that name, between a rename and the next file.
fn is_at(path: &Path, file: &File) -> bool {
    let (Ok(named), Ok(open)) = (std::fs::metadata(path), file.metadata()) else { return true };
    (named.dev(), named.ino()) == (open.dev(), open.ino())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
