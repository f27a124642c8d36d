//! Between etcd's values and ours.

use crate::entry::{Attachment, Entry};
use crate::key::{Key, Revision, Space};
use crate::seal::Sealing;
use bytes::Bytes;
use etcd_client::KeyValue;
use std::sync::Arc;

/// etcd's signed revision as ours; it is never negative.
pub(super) fn revision(revision: i64) -> Revision {
    u64::try_from(revision).unwrap_or(0)
}

/// Our revision as etcd's.
pub(super) fn signed(revision: Revision) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

/// What follows the space in a full key; `None` for keys that no server of ours or the original wrote.
pub(super) fn rest<'a>(space: &Space, full: &'a [u8]) -> Option<&'a str> {
    let rest = full.strip_prefix(space.as_str().as_bytes())?;
    std::str::from_utf8(rest).ok().filter(|rest| !rest.is_empty())
}

/// An entry of etcd's, opened, under a key whose text may be shared.
pub(super) fn entry(key: Key, kv: &KeyValue, sealing: &Sealing) -> Arc<Entry> {
    let mut entry = Entry {
        key,
        value: Bytes::copy_from_slice(kv.value()),
        create_revision: revision(kv.create_revision()),
        mod_revision: revision(kv.mod_revision()),
        version: u64::try_from(kv.version()).unwrap_or(0),
        ext: Attachment::new(),
        ordinal: 0,
        expires_ms: 0,
        kept: None,
    };
    entry.open(sealing);
    Arc::new(entry)
}

/// Whether a progress answer means that all events up to it were sent. Before 3.4.25 and 3.5.8 it could
/// overtake them (etcd issue 15220); the original draws the same line.
pub(super) fn has_progress(version: &str) -> bool {
    let release = version.split(['-', '+']).next().unwrap_or("");
    let mut numbers = release.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    match (next(), next(), next()) {
        (3, 4, patch) => patch >= 25,
        (3, 5, patch) => patch >= 8,
        (major, minor, _) => (major, minor) >= (3, 6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_believed_from_the_repaired_releases_on() {
        for version in ["3.4.25", "3.4.31", "3.5.8", "3.5.21", "3.6.0", "3.6.0-rc.3", "4.0.0"] {
            assert!(has_progress(version), "{version}");
        }
        for version in ["3.3.27", "3.4.23", "3.5.1", "3.5.7+git", "", "not provided"] {
            assert!(!has_progress(version), "{version}");
        }
    }

    #[test]
    fn keys_of_others_are_left_alone() {
        let space = Space::new("/registry/pods/");
        assert_eq!(rest(&space, b"/registry/pods/a/b"), Some("a/b"));
        assert_eq!(rest(&space, b"/registry/pods/"), None);
        assert_eq!(rest(&space, b"/registry/nodes/a"), None);
        assert_eq!(rest(&space, b"/registry/pods/\xFF"), None);
    }
}
