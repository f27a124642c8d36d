//! The data directory: one process at a time, and a first look at whether it can be used.
//!
//! `store.lock` is locked as long as the store is open (LMDB itself would let a second process in). It also
//! tells a directory whose database is lost from a new one: once the database exists, it holds a line that
//! says so, and with which format.

use super::record::FORMAT;
use crate::error::{Error, IN_USE};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const LOCK: &str = "store.lock";
/// The file that LMDB makes.
pub(super) const DATA: &str = "data.mdb";
const LINE: &str = "pintle store format ";

/// The lock; dropping it frees the directory.
pub(super) struct DirLock {
    file: File,
    dir: PathBuf,
    /// Whether the directory has held a store before.
    pub is_used: bool,
}

/// A one-line error about a data directory.
pub(super) fn bad_dir(dir: &Path, what: impl std::fmt::Display) -> Error {
    Error::DataDir(format!("data directory {}: {what}", dir.display()))
}

impl DirLock {
    /// Makes the directory if need be, and takes it.
    pub fn take(dir: &Path) -> Result<Self, Error> {
        // It will hold secrets; what exists already keeps the mode that its owner gave it.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| bad_dir(dir, format_args!("cannot be made: {error}")))?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join(LOCK))
            .map_err(|error| bad_dir(dir, format_args!("{LOCK} cannot be opened: {error}")))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(bad_dir(dir, IN_USE)),
            Err(TryLockError::Error(error)) => {
                return Err(bad_dir(dir, format_args!("{LOCK} cannot be locked: {error}")));
            }
        }
        let is_used = check_line(dir, &mut file)?;
        Ok(DirLock { file, dir: dir.to_owned(), is_used })
    }

    /// Notes, durably, that there is a store now.
    pub fn mark_used(&mut self) -> Result<(), Error> {
        let write = |file: &mut File| {
            file.seek(SeekFrom::Start(0))?;
            file.write_all(format!("{LINE}{FORMAT}\n").as_bytes())?;
            file.sync_all()?;
            // The names of the new files must be on disk, too.
            File::open(&self.dir)?.sync_all()?;
            match self.dir.parent() {
                Some(parent) if parent != Path::new("") => File::open(parent)?.sync_all(),
                _ => Ok(()),
            }
        };
        write(&mut self.file).map_err(|error| bad_dir(&self.dir, format_args!("cannot be written: {error}")))
    }
}

/// Whether a store is said to be there; an error when it is not, or is of another format.
fn check_line(dir: &Path, file: &mut File) -> Result<bool, Error> {
    let mut bytes = Vec::new();
    let read = file.take(256).read_to_end(&mut bytes);
    read.map_err(|error| bad_dir(dir, format_args!("{LOCK} cannot be read: {error}")))?;
    if bytes.is_empty() {
        return Ok(false);
    }
    let text = std::str::from_utf8(&bytes).unwrap_or("");
    let format = text.strip_prefix(LINE).and_then(|format| format.trim_end().parse::<u32>().ok());
    match format {
        Some(format) => check_format(dir, format)?,
        None => return Err(bad_dir(dir, format_args!("damaged: {LOCK} is not of a store"))),
    }
    match std::fs::metadata(dir.join(DATA)) {
        Ok(data) if data.len() > 0 => Ok(true),
        _ => Err(bad_dir(dir, format_args!("damaged: {DATA} is missing or empty"))),
    }
}

/// Refuses formats of other versions.
pub(super) fn check_format(dir: &Path, format: u32) -> Result<(), Error> {
    match format {
        FORMAT => Ok(()),
        newer if newer > FORMAT => Err(bad_dir(
            dir,
            format_args!("written by a newer version (store format {newer}, this version knows {FORMAT})"),
        )),
        other => Err(bad_dir(dir, format_args!("damaged: there is no store format {other}"))),
    }
}
