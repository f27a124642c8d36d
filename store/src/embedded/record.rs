//! How a value lies on disk.
//!
//! The database is one ordered map. Its keys begin with a byte that says what follows:
//!
//! | key | value |
//! |---|---|
//! | `0` `format` | the format's number, u32 |
//! | `0` `revision` | the newest revision, u64: it must not go back, even when the newest commit was a deletion |
//! | `1` id u32 | a space's prefix |
//! | `2` create_revision u64, ordinal u16 | a record |
//!
//! Records are found by their birth, not by their name: the index in memory finds names, births are short, of
//! one length whatever the name's, and what is made anew is always appended. Numbers in keys are big-endian
//! (their order is the map's), in records little-endian:
//! `checksum u64, mod_revision u64, version u64, expires_ms u64, space u32, length of rest u32, rest, value`.

use crate::entry::{Attachment, Entry};
use crate::key::{Key, Revision, Space};
use bytes::Bytes;
use std::collections::HashMap;

/// The format this code writes.
pub(super) const FORMAT: u32 = 1;
pub(super) const FORMAT_KEY: &[u8] = b"\0format";
pub(super) const REVISION_KEY: &[u8] = b"\0revision";
const SPACE: u8 = 1;
const RECORD: u8 = 2;
const HEADER: usize = 40;

/// A space's key.
pub(super) fn space_key(id: u32) -> [u8; 5] {
    let mut key = [SPACE; 5];
    key[1..].copy_from_slice(&id.to_be_bytes());
    key
}

/// The key of an entry's record.
pub(super) fn record_key(entry: &Entry) -> [u8; 11] {
    let mut key = [RECORD; 11];
    key[1..9].copy_from_slice(&entry.create_revision.to_be_bytes());
    key[9..].copy_from_slice(&entry.ordinal.to_be_bytes());
    key
}

/// Writes an entry's record into `buffer`, in place of what is there.
pub(super) fn encode(entry: &Entry, space: u32, buffer: &mut Vec<u8>) {
    let rest = entry.key.rest.as_bytes();
    buffer.clear();
    let value = entry.at_rest();
    buffer.reserve(HEADER + rest.len() + value.len());
    buffer.extend_from_slice(&[0; 8]);
    for number in [entry.mod_revision, entry.version, entry.expires_ms] {
        buffer.extend_from_slice(&number.to_le_bytes());
    }
    buffer.extend_from_slice(&space.to_le_bytes());
    buffer.extend_from_slice(&(rest.len() as u32).to_le_bytes());
    buffer.extend_from_slice(rest);
    buffer.extend_from_slice(value);
    let sum = checksum(&record_key(entry), &buffer[8..]);
    buffer[..8].copy_from_slice(&sum.to_le_bytes());
}

/// What a key and its value say.
pub(super) enum Stored {
    Meta,
    Space(u32, Space),
    Record(Entry),
}

/// Reads one pair of the map; `Err` says what is wrong with it.
pub(super) fn decode(key: &[u8], value: &[u8], spaces: &HashMap<u32, Space>) -> Result<Stored, &'static str> {
    match key.split_first() {
        Some((0, _)) => Ok(Stored::Meta),
        Some((&SPACE, id)) => {
            let id = id.try_into().map_err(|_| "a space's key has a wrong length")?;
            let name = std::str::from_utf8(value).map_err(|_| "a space's name is not text")?;
            Ok(Stored::Space(u32::from_be_bytes(id), Space::new(name)))
        }
        Some((&RECORD, birth)) => decode_record(key, birth, value, spaces).map(Stored::Record),
        _ => Err("an unknown kind of key"),
    }
}

fn decode_record(
    key: &[u8],
    birth: &[u8],
    value: &[u8],
    spaces: &HashMap<u32, Space>,
) -> Result<Entry, &'static str> {
    let short = "a record is cut short";
    let (create_revision, ordinal) = birth.split_first_chunk::<8>().ok_or("a record's key is cut short")?;
    let ordinal: [u8; 2] = ordinal.try_into().map_err(|_| "a record's key has a wrong length")?;
    let (header, body) = value.split_first_chunk::<HEADER>().ok_or(short)?;
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| header[at + i]));
    let small = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| header[at + i]));
    if number(0) != checksum(key, &value[8..]) {
        return Err("a record does not match its checksum");
    }
    let (rest, bytes) = body.split_at_checked(small(36) as usize).ok_or(short)?;
    let space = spaces.get(&small(32)).ok_or("a record's space is not known")?;
    Ok(Entry {
        key: Key::new(space, std::str::from_utf8(rest).map_err(|_| "a record's name is not text")?),
        value: Bytes::copy_from_slice(bytes),
        create_revision: Revision::from_be_bytes(*create_revision),
        mod_revision: number(8),
        version: number(16),
        ext: Attachment::new(),
        ordinal: u16::from_be_bytes(ordinal),
        expires_ms: number(24),
        kept: None,
    })
}

/// Tells a torn or foreign record from a whole one; not meant against forgery.
fn checksum(key: &[u8], body: &[u8]) -> u64 {
    const PRIME: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(PRIME).rotate_left(29);
    let mut sum = PRIME ^ body.len() as u64;
    for part in [key, body] {
        let (words, tail) = part.as_chunks::<8>();
        sum = words.iter().fold(sum, |sum, word| mix(sum, u64::from_le_bytes(*word)));
        let last = tail.iter().fold(1, |word: u64, byte| word << 8 | u64::from(*byte));
        sum = mix(sum, last);
    }
    sum ^ sum >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            key: Key::new(&Space::new("/registry/pods/"), "default/web"),
            value: Bytes::from_static(b"k8s\0some bytes"),
            create_revision: 7,
            mod_revision: 12,
            version: 3,
            ext: Attachment::new(),
            ordinal: 2,
            expires_ms: 99,
            kept: None,
        }
    }

    fn spaces() -> HashMap<u32, Space> {
        HashMap::from([(4, Space::new("/registry/pods/"))])
    }

    #[test]
    fn a_record_comes_back_as_it_went() {
        let (entry, mut buffer) = (entry(), vec![1, 2, 3]);
        encode(&entry, 4, &mut buffer);
        let Ok(Stored::Record(back)) = decode(&record_key(&entry), &buffer, &spaces()) else { panic!() };
        assert_eq!(back.key, entry.key);
        assert_eq!(back.value, entry.value);
        assert_eq!((back.create_revision, back.mod_revision, back.version), (7, 12, 3));
        assert_eq!((back.ordinal, back.expires_ms), (2, 99));
    }

    #[test]
    fn any_changed_byte_and_any_cut_is_noticed() {
        let (entry, mut buffer) = (entry(), Vec::new());
        encode(&entry, 4, &mut buffer);
        let key = record_key(&entry);
        for at in 0..buffer.len() {
            let mut bad = buffer.clone();
            bad[at] ^= 0x20;
            assert!(decode(&key, &bad, &spaces()).is_err(), "byte {at}");
            assert!(decode(&key, &buffer[..at], &spaces()).is_err(), "cut at {at}");
        }
        let mut other = key;
        other[5] ^= 1;
        assert!(decode(&other, &buffer, &spaces()).is_err());
    }
}
