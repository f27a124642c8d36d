//! The data directory: reopening, locking, and every way in which it can be unusable.

use super::lock::{DATA, DirLock};
use super::record::{FORMAT, FORMAT_KEY};
use super::*;
use crate::handle::{Store, StoreConfig};
use crate::key::{Key, Scope};
use std::fs;
use std::time::Duration;

async fn open(dir: &Path) -> Result<Store, Error> {
    Store::open(StoreConfig::embedded(dir)).await
}

fn key(rest: &str) -> Key {
    Key::new(&Space::new("/registry/pods/"), rest)
}

async fn refusal(dir: &Path) -> String {
    let text = open(dir).await.err().expect("the directory must be refused").to_string();
    assert!(!text.contains('\n'), "{text:?}");
    text
}

/// A directory with a store of some values in it.
async fn used_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.unwrap();
    for i in 0..300 {
        store.commit(Txn::new().put(key(&format!("ns/{i:03}")), vec![b'x'; 1000])).await.unwrap();
    }
    dir
}

#[tokio::test]
async fn reopened_it_has_all_values_and_goes_on_from_the_newest_revision() {
    let dir = tempfile::tempdir().unwrap();
    let long = "n/".to_owned() + &"long".repeat(1000);
    let store = open(dir.path()).await.unwrap();
    store.commit(Txn::new().put(key("a"), "1").put(key("b"), "").put(key(&long), "3")).await.unwrap();
    store.commit(Txn::new().put(key("a"), "2")).await.unwrap();
    let last = store.commit(Txn::new().delete(key("b"))).await.unwrap().revision;
    store.close().await.unwrap();
    drop(store);
    let store = open(dir.path()).await.unwrap();
    assert_eq!(store.current_revision(), last);
    let a = store.get(&key("a")).await.unwrap().unwrap();
    assert_eq!((&*a.value, a.create_revision, a.mod_revision, a.version), (&b"2"[..], last - 2, last - 1, 2));
    assert!(store.get(&key("b")).await.unwrap().is_none());
    assert_eq!(&*store.get(&key(&long)).await.unwrap().unwrap().value, b"3");
    // A watch from the newest revision goes on; one from before has lost its history.
    let space = Space::new("/registry/pods/");
    let mut watch = store.watch(&space, Scope::All, last).await.unwrap();
    assert!(matches!(store.watch(&space, Scope::All, last - 1).await, Err(Error::Compacted { .. })));
    let next = store.commit(Txn::new().expect(key("a"), last - 1).put(key("a"), "3")).await.unwrap().revision;
    assert_eq!(next, last + 1);
    assert_eq!(watch.next_batch().await.unwrap()[0].revision, next);
}

#[tokio::test]
async fn a_directory_in_use_is_refused_until_it_is_free() {
    let dir = used_dir().await;
    let store = open(dir.path()).await.unwrap();
    assert!(refusal(dir.path()).await.ends_with("in use by another process"));
    drop(store);
    open(dir.path()).await.unwrap();
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let dir = used_dir().await;
    let disk = Disk::open(dir.path(), 1).unwrap().0;
    disk.put_raw(FORMAT_KEY, &(FORMAT + 1).to_be_bytes()).unwrap();
    drop(disk);
    assert!(
        refusal(dir.path())
            .await
            .contains("written by a newer version (store format 2, this version knows 1)")
    );
    let dir = used_dir().await;
    fs::write(dir.path().join("store.lock"), "pintle store format 7\n").unwrap();
    assert!(refusal(dir.path()).await.contains("written by a newer version (store format 7"));
}

#[tokio::test]
async fn damaged_files_are_refused_in_one_line() {
    type Damage = fn(&mut Vec<u8>);
    let damage: [(&str, Damage); 7] = [
        ("empty", |bytes| bytes.clear()),
        ("half", |bytes| bytes.truncate(bytes.len() / 2)),
        ("cut inside a page", |bytes| bytes.truncate(bytes.len() / 2 + 100)),
        ("one page", |bytes| bytes.truncate(4096)),
        ("noise at the head", |bytes| bytes[..8192].fill(0xA5)),
        ("noise behind the head", |bytes| bytes[8192..].fill(0xA5)),
        ("zeros behind the head", |bytes| bytes[8192..].fill(0)),
    ];
    for (what, damage) in damage {
        let dir = used_dir().await;
        let path = dir.path().join(DATA);
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let text = refusal(dir.path()).await;
        assert!(text.contains("damaged"), "{what}: {text}");
    }
}

#[tokio::test]
async fn noise_anywhere_is_refused_or_harmless() {
    let dir = used_dir().await;
    let store = open(dir.path()).await.unwrap();
    store.commit(Txn::new().put(key("big"), vec![b'y'; 300_000])).await.unwrap();
    for i in 0..100 {
        store.commit(Txn::new().delete(key(&format!("ns/{i:03}")))).await.unwrap();
    }
    drop(store);
    let path = dir.path().join(DATA);
    let (good, mut refused) = (fs::read(&path).unwrap(), 0);
    for at in (64..good.len()).step_by(997) {
        let mut bytes = good.clone();
        bytes[at..].iter_mut().take(64).for_each(|byte| *byte = byte.wrapping_mul(31) ^ 0x5A);
        fs::write(&path, bytes).unwrap();
        match open(dir.path()).await {
            Ok(store) => assert_eq!(store.stats()[0].keys, 201),
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("damaged"), "{error}");
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[tokio::test]
async fn a_lost_database_is_not_taken_for_a_new_directory() {
    let dir = used_dir().await;
    fs::remove_file(dir.path().join(DATA)).unwrap();
    assert!(refusal(dir.path()).await.ends_with("damaged: data.mdb is missing or empty"));
    fs::write(dir.path().join("store.lock"), "something else").unwrap();
    assert!(refusal(dir.path()).await.ends_with("damaged: store.lock is not of a store"));
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(refusal(&file.join("below")).await.contains("cannot be made"));
}

#[tokio::test]
async fn after_a_failed_write_nothing_is_accepted_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let (mut disk, _) = Disk::open(dir.path(), 1).unwrap();
    disk.fail_next_write();
    let store = store_on(disk);
    let error = store.commit(Txn::new().put(key("a"), "1")).await.unwrap_err();
    assert!(matches!(&error, Error::Stopped(_)), "{error}");
    assert!(store.get(&key("a")).await.unwrap().is_none());
    // The disk would work again, but what it kept of the failed write nobody knows.
    let error = store.commit(Txn::new().put(key("b"), "1")).await.unwrap_err();
    assert!(matches!(&error, Error::Stopped(_)), "{error}");
    drop(store);
    let store = open(dir.path()).await.unwrap();
    assert!(store.commit(Txn::new().put(key("b"), "1")).await.is_ok());
}

#[tokio::test]
async fn a_lifetime_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.unwrap();
    let ttl = Duration::from_millis(500);
    store.commit(Txn::new().put_ttl(key("short"), "1", ttl).put(key("stays"), "1")).await.unwrap();
    drop(store);
    let store = open(dir.path()).await.unwrap();
    assert!(store.get(&key("short")).await.unwrap().is_some());
    let space = Space::new("/registry/pods/");
    let mut watch = store.watch(&space, Scope::All, store.current_revision()).await.unwrap();
    let batch = tokio::time::timeout(Duration::from_secs(10), watch.next_batch()).await.unwrap().unwrap();
    assert_eq!(&*batch[0].key.rest, "short");
    assert!(store.get(&key("stays")).await.unwrap().is_some());
}

#[test]
fn the_lock_survives_a_first_start_that_was_cut_short() {
    let dir = tempfile::tempdir().unwrap();
    drop(DirLock::take(dir.path()).unwrap());
    assert!(!DirLock::take(dir.path()).unwrap().is_used);
}

/// A store on an open disk.
fn store_on(disk: Disk) -> Store {
    let index = Arc::new(Index::new(1, HistoryLimits::default()));
    let engine = Embedded::start(disk, index.clone(), Clock::system()).unwrap();
    Store::with_engine(index, engine)
}
