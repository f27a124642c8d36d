//! The log: a line for each event, in a file that is rotated, or on standard output. A line is in the file before the
//! request goes on.

use super::rotate::{Rotating, Rotation};
use super::sink::{Mode, Sink, SinkSettings, wrapped};
use super::{event, lost};
use api::{Later, Value, json};
use parking_lot::Mutex;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use stdx::Clock;

/// Upstream's `--audit-log-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Legacy,
}

/// Where and how.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// `-` is standard output.
    pub path: PathBuf,
    pub format: Format,
    /// Bytes after which another file is begun; 0: never.
    pub max_bytes: u64,
    /// Days that old files are kept; 0: for ever.
    pub max_age_days: u64,
    /// Old files that are kept; 0: all.
    pub max_backups: usize,
    /// Whether old files are compressed.
    pub compress: bool,
    pub sink: SinkSettings,
}

struct Log {
    out: Mutex<Box<dyn Write + Send>>,
    format: Format,
}

/// Opens the log; one line when it cannot be written.
pub fn open(settings: LogSettings, clock: Clock) -> Result<Box<dyn Sink>, String> {
    let LogSettings { path, format, max_bytes, max_age_days, max_backups, compress, mut sink } = settings;
    let out: Box<dyn Write + Send> = match path.as_os_str().as_encoded_bytes() {
        b"-" => Box::new(std::io::stdout()),
        _ => {
            let rotation = Rotation { max_bytes, max_age_days, max_backups, compress };
            let file = Rotating::open(path.clone(), rotation, clock);
            Box::new(file.map_err(|e| format!("cannot write the audit log {}: {e}", path.display()))?)
        }
    };
    if sink.mode == Mode::Batch {
        sink.batch.concurrent = false;
    }
    Ok(wrapped(Arc::new(Log { out: Mutex::new(out), format }), sink))
}

impl Log {
    fn write(&self, event: &Value) -> std::io::Result<()> {
        let mut line = match self.format {
            Format::Json => json::to_vec(event),
            Format::Legacy => event::legacy_line(event).into_bytes(),
        };
        line.push(b'\n');
        let mut out = self.out.lock();
        out.write_all(&line)?;
        out.flush()
    }
}

impl Sink for Log {
    fn take<'a>(&'a self, events: &'a [Value]) -> Later<'a, bool> {
        let mut kept = true;
        for event in events {
            if let Err(why) = self.write(event) {
                lost("log", std::slice::from_ref(event), &why);
                kept = false;
            }
        }
        Box::pin(std::future::ready(kept))
    }
}
