//! A file that makes room for a new one when it is full: `audit.log` becomes `audit-2026-11-21T13-24-05.007.log`, which
//! may be compressed, and goes when it is too old or one too many.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use stdx::{Clock, Time};

const SECS_PER_DAY: u64 = 86_400;

/// When another file is begun, and what becomes of old ones. 0 means: never, for ever, all.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    pub max_bytes: u64,
    pub max_age_days: u64,
    pub max_backups: usize,
    pub compress: bool,
}

/// See the head of the file.
pub struct Rotating {
    path: PathBuf,
    rotation: Rotation,
    clock: Clock,
    file: File,
    size: u64,
}

impl Rotating {
    /// Goes on with the file that is there.
    pub fn open(path: PathBuf, rotation: Rotation, clock: Clock) -> io::Result<Self> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        let file = append(&path)?;
        let size = file.metadata()?.len();
        Ok(Rotating { path, rotation, clock, file, size })
    }

    fn rotate(&mut self) -> io::Result<()> {
        let backup = self.backup_path(self.clock.now());
        std::fs::rename(&self.path, &backup)?;
        self.file = append(&self.path)?;
        self.size = 0;
        let (path, rotation, now) = (self.path.clone(), self.rotation, self.clock.now());
        // Compressing takes its time; nobody waits for it.
        std::thread::spawn(move || {
            if let Err(error) = clean(&path, rotation, now) {
                tracing::warn!(%error, "cannot put old audit logs away");
            }
        });
        Ok(())
    }

    fn backup_path(&self, now: Time) -> PathBuf {
        let (stem, extension) = parts(&self.path);
        let (seconds, millis) = (now.rfc3339(), now.nanos / 1_000_000);
        let stamp = seconds.trim_end_matches('Z').replace(':', "-");
        self.path.with_file_name(format!("{stem}-{stamp}.{millis:03}{extension}"))
    }
}

impl Write for Rotating {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let (len, max) = (line.len() as u64, self.rotation.max_bytes);
        if max > 0 && len > max {
            let why = format!("write length {len} exceeds maximum file size {max}");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        if max > 0 && self.size + len > max {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.size += len;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// `audit` and `.log`.
fn parts(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let extension = path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    (text(path.file_stem()), extension)
}

/// Old files of `path`, the newest first, each with the time in its name.
fn backups(path: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let (stem, extension) = parts(path);
    let prefix = format!("{stem}-");
    let dir = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let file = entry?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let inner = name.strip_suffix(".gz").unwrap_or(&name);
        let stamp = inner.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(&*extension));
        if let Some(stamp) = stamp.filter(|stamp| is_stamp(stamp)) {
            found.push((stamp.to_owned(), file));
        }
    }
    found.sort_by(|a, b| b.cmp(a));
    Ok(found)
}

/// `2026-11-21T13-24-05.007`
fn is_stamp(text: &str) -> bool {
    const SHAPE: &str = "0000-00-00T00-00-00.000";
    text.len() == SHAPE.len()
        && text.bytes().zip(SHAPE.bytes()).all(|(c, s)| if s == b'0' { c.is_ascii_digit() } else { c == s })
}

/// Removes what is too old or too much, and compresses the rest where asked to.
fn clean(path: &Path, rotation: Rotation, now: Time) -> io::Result<()> {
    let Rotation { max_age_days, max_backups, compress, .. } = rotation;
    let oldest_secs = now.secs.saturating_sub_unsigned(max_age_days.saturating_mul(SECS_PER_DAY));
    let oldest = Time::from_secs(oldest_secs).rfc3339().trim_end_matches('Z').replace(':', "-");
    for (i, (stamp, file)) in backups(path)?.into_iter().enumerate() {
        let is_one_too_many = max_backups > 0 && i >= max_backups;
        let is_old = max_age_days > 0 && stamp.get(..oldest.len()).is_some_and(|day| *day < *oldest);
        if is_one_too_many || is_old {
            std::fs::remove_file(&file)?;
        } else if compress && file.extension().is_none_or(|e| e != "gz") {
            zip(&file)?;
        }
    }
    Ok(())
}

fn zip(file: &Path) -> io::Result<()> {
    let target = PathBuf::from(format!("{}.gz", file.display()));
    let out = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&target)?;
    let mut encoder = GzEncoder::new(out, Compression::default());
    io::copy(&mut File::open(file)?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    std::fs::remove_file(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_file_makes_room_and_nothing_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/audit.log");
        let clock = Clock::manual(Time::from_secs(1_795_267_445));
        let rotation = Rotation { max_bytes: 10, max_age_days: 0, max_backups: 0, compress: false };
        let mut file = Rotating::open(path.clone(), rotation, clock.clone()).unwrap();
        file.write_all(b"12345\n").unwrap();
        file.write_all(b"abc\n").unwrap();
        clock.advance(Duration::from_millis(7));
        file.write_all(b"next\n").unwrap();
        let dir = path.parent().unwrap();
        assert_eq!(names(dir), ["audit-2026-11-21T13-24-05.007.log", "audit.log"]);
        assert_eq!(std::fs::read(dir.join("audit-2026-11-21T13-24-05.007.log")).unwrap(), b"12345\nabc\n");
        assert_eq!(std::fs::read(&path).unwrap(), b"next\n");
        assert!(file.write_all(b"a line that is too long\n").is_err());
        // A second process goes on where the first one stopped.
        let mut again = Rotating::open(path.clone(), rotation, clock).unwrap();
        again.write_all(b"last\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"next\nlast\n");
    }

    #[test]
    fn old_files_are_compressed_and_go_by_number_and_by_age() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        for name in [
            "audit-2026-11-20T00-00-00.000.log",
            "audit-2026-11-21T00-00-00.000.log",
            "audit-2026-10-01T00-00-00.000.log.gz",
            "audit-2026-11-19T00-00-00.000.log",
            "audit-other.log",
            "audit.log",
        ] {
            std::fs::write(dir.path().join(name), "text").unwrap();
        }
        let now = Time::from_secs(1_795_267_445);
        clean(&path, Rotation { max_bytes: 1, max_age_days: 30, max_backups: 2, compress: true }, now)
            .unwrap();
        assert_eq!(
            names(dir.path()),
            [
                "audit-2026-11-20T00-00-00.000.log.gz",
                "audit-2026-11-21T00-00-00.000.log.gz",
                "audit-other.log",
                "audit.log"
            ]
        );
        clean(&path, Rotation { max_bytes: 1, max_age_days: 1, max_backups: 0, compress: true }, now)
            .unwrap();
        assert_eq!(
            names(dir.path()),
            ["audit-2026-11-21T00-00-00.000.log.gz", "audit-other.log", "audit.log"]
        );
    }
}
