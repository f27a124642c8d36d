//! The LMDB environment: opened once, read whole at start, then only written, by one thread.

use super::lock::{DATA, DirLock, bad_dir, check_format};
use super::record::{self, FORMAT, FORMAT_KEY, REVISION_KEY, Stored};
use super::verify::verify;
use crate::entry::Entry;
use crate::error::Error;
use crate::key::{Revision, Space};
use crate::txn::Change;
use heed::types::Bytes as Raw;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, MdbError, PutFlags, RwTxn, WithoutTls};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

/// Address space for the database. The file grows only as it is filled.
const MAX_MAP_SIZE: usize = 64 << 30;
const MIN_MAP_SIZE: usize = 1 << 30;

type Map = Database<'static, Raw, Raw>;

/// The open environment. Dropping it closes the files and frees the directory.
pub(super) struct Disk {
    env: Env<WithoutTls>,
    map: Map,
    spaces: HashMap<Space, u32>,
    buffer: Vec<u8>,
    #[cfg(test)]
    fails_next_write: bool,
    _lock: DirLock,
}

/// What was on disk.
pub(super) struct Loaded {
    /// The newest revision.
    pub revision: Revision,
    /// The current entries of each space.
    pub spaces: HashMap<Space, BTreeMap<Arc<str>, Arc<Entry>>>,
}

impl Disk {
    /// Opens the directory, makes a store in it if it is new (at revision `first`), and reads it.
    pub fn open(dir: &Path, first: Revision) -> Result<(Self, Loaded), Error> {
        let mut lock = DirLock::take(dir)?;
        let fault = |error: heed::Error| bad_dir(dir, explain(&error));
        let damaged = |what: &str| bad_dir(dir, format_args!("damaged: {what}"));
        verify_file(dir)?;
        let env = open_env(dir).map_err(fault)?;
        let map = open_map(&env).map_err(fault)?;
        match stored_format(&env, map).map_err(fault)? {
            Some(format) => check_format(dir, format)?,
            None if lock.is_used => return Err(damaged("the database says no format")),
            None => create(&env, map, first).map_err(fault)?,
        }
        let (loaded, spaces) = load(&env, map).map_err(fault)?.map_err(damaged)?;
        if !lock.is_used {
            lock.mark_used()?;
        }
        let disk = Disk {
            env,
            map,
            spaces,
            buffer: Vec::new(),
            #[cfg(test)]
            fails_next_write: false,
            _lock: lock,
        };
        Ok((disk, loaded))
    }

    /// Writes the changes of some commits, the newest of which is `revision`; returns when they are on disk.
    pub fn write<'a>(
        &mut self,
        changes: impl Iterator<Item = &'a Change>,
        revision: Revision,
    ) -> Result<(), heed::Error> {
        #[cfg(test)]
        if std::mem::take(&mut self.fails_next_write) {
            return Err(heed::Error::Io(ErrorKind::StorageFull.into()));
        }
        let mut txn = self.env.write_txn()?;
        for change in changes {
            match &change.entry {
                Some(entry) => put(self.map, &mut txn, entry, &mut self.spaces, &mut self.buffer)?,
                None => delete(self.map, &mut txn, change)?,
            }
        }
        self.map.put(&mut txn, REVISION_KEY, &revision.to_be_bytes())?;
        txn.commit()
    }
}

#[cfg(test)]
impl Disk {
    /// Makes the next write fail, as a full disk would.
    pub fn fail_next_write(&mut self) {
        self.fails_next_write = true;
    }

    /// Writes one pair past all rules.
    pub fn put_raw(&self, key: &[u8], value: &[u8]) -> Result<(), heed::Error> {
        let mut txn = self.env.write_txn()?;
        self.map.put(&mut txn, key, value)?;
        txn.commit()
    }
}

fn put(
    map: Map,
    txn: &mut RwTxn<'_>,
    entry: &Entry,
    spaces: &mut HashMap<Space, u32>,
    buffer: &mut Vec<u8>,
) -> Result<(), heed::Error> {
    let space = match spaces.get(&entry.key.space) {
        Some(id) => *id,
        None => {
            let id = spaces.len() as u32 + 1;
            map.put(txn, &record::space_key(id), entry.key.space.as_str().as_bytes())?;
            spaces.insert(entry.key.space.clone(), id);
            id
        }
    };
    record::encode(entry, space, buffer);
    // A newborn's record is the last of the map.
    let flags = if entry.version == 1 { PutFlags::APPEND } else { PutFlags::empty() };
    map.put_with_flags(txn, flags, &record::record_key(entry), buffer)
}

fn delete(map: Map, txn: &mut RwTxn<'_>, change: &Change) -> Result<(), heed::Error> {
    if let Some(prev) = &change.prev {
        map.delete(txn, &record::record_key(prev))?;
    }
    Ok(())
}

/// Refuses a file that LMDB would stumble over.
fn verify_file(dir: &Path) -> Result<(), Error> {
    let fault = |error: std::io::Error| bad_dir(dir, format_args!("{DATA} cannot be read: {error}"));
    match File::open(dir.join(DATA)) {
        Ok(file) => match verify(&file).map_err(fault)? {
            Ok(()) => Ok(()),
            Err(what) => Err(bad_dir(dir, format_args!("damaged: {DATA}: {what}"))),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(fault(error)),
    }
}

/// Opens LMDB, with less address space where there is not enough.
#[allow(unsafe_code)]
fn open_env(dir: &Path) -> Result<Env<WithoutTls>, heed::Error> {
    let mut size = MAX_MAP_SIZE;
    loop {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(size).max_dbs(0);
        // SAFETY: LMDB's own lock is not needed and the mapped file is not changed behind its back: `DirLock`
        // keeps other processes and other opens of this one out, and this process reads before it first writes
        // and has one writer.
        let opened = unsafe { options.flags(EnvFlags::NO_LOCK).open(dir) };
        match opened {
            Err(heed::Error::Io(error)) if error.kind() == ErrorKind::OutOfMemory && size > MIN_MAP_SIZE => {
                size /= 2;
            }
            opened => return opened,
        }
    }
}

fn open_map(env: &Env<WithoutTls>) -> Result<Map, heed::Error> {
    let txn = env.write_txn()?;
    let opened = env.create_databases_and_commit(txn, |opener, txn| {
        opener.create_database::<Raw, Raw>(txn, None).map(CommitOrAbort::<_, ()>::Commit)
    })?;
    match opened {
        CommitOrAbort::Commit(map) => Ok(map),
        CommitOrAbort::Abort(()) => Err(heed::Error::Mdb(MdbError::BadTxn)),
    }
}

/// The format's number; `None` in an empty database.
fn stored_format(env: &Env<WithoutTls>, map: Map) -> Result<Option<u32>, heed::Error> {
    let txn = env.read_txn()?;
    if map.is_empty(&txn)? {
        return Ok(None);
    }
    let bytes = map.get(&txn, FORMAT_KEY)?;
    let format = bytes.and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    // 0 is no format: something is there, and it is not a store.
    Ok(Some(format.unwrap_or(0)))
}

fn create(env: &Env<WithoutTls>, map: Map, first: Revision) -> Result<(), heed::Error> {
    let mut txn = env.write_txn()?;
    map.put(&mut txn, FORMAT_KEY, &FORMAT.to_be_bytes())?;
    map.put(&mut txn, REVISION_KEY, &first.to_be_bytes())?;
    txn.commit()
}

type Contents = (Loaded, HashMap<Space, u32>);

/// Reads everything; the inner error says what is damaged.
fn load(env: &Env<WithoutTls>, map: Map) -> Result<Result<Contents, &'static str>, heed::Error> {
    let txn = env.read_txn()?;
    let revision = map.get(&txn, REVISION_KEY)?.and_then(|bytes| bytes.try_into().ok());
    let Some(revision) = revision.map(Revision::from_be_bytes) else {
        return Ok(Err("the database says no revision"));
    };
    let mut names = HashMap::new();
    let mut found: HashMap<Space, Vec<Arc<Entry>>> = HashMap::new();
    for pair in map.iter(&txn)? {
        let (key, value) = pair?;
        match record::decode(key, value, &names) {
            Err(what) => return Ok(Err(what)),
            Ok(Stored::Meta) => {}
            Ok(Stored::Space(id, space)) => drop(names.insert(id, space)),
            Ok(Stored::Record(entry)) if entry.mod_revision > revision => {
                return Ok(Err("a record is newer than the newest revision"));
            }
            Ok(Stored::Record(entry)) => match found.get_mut(&entry.key.space) {
                Some(entries) => entries.push(Arc::new(entry)),
                None => drop(found.insert(entry.key.space.clone(), vec![Arc::new(entry)])),
            },
        }
    }
    let by_name = |entries: Vec<Arc<Entry>>| entries.into_iter().map(|e| (e.key.rest.clone(), e)).collect();
    let spaces = found.into_iter().map(|(space, entries)| (space, by_name(entries))).collect();
    let ids = names.into_iter().map(|(id, space)| (space, id)).collect();
    Ok(Ok((Loaded { revision, spaces }, ids)))
}

/// LMDB's errors in words that fit after "data directory DIR:".
pub(super) fn explain(error: &heed::Error) -> String {
    match error {
        heed::Error::Mdb(
            MdbError::Invalid | MdbError::Corrupted | MdbError::PageNotFound | MdbError::VersionMismatch,
        ) => format!("damaged: {DATA}: {error}"),
        other => format!("{DATA}: {other}"),
    }
}
