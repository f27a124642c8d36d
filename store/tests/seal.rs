//! Values that rest sealed: the index shows what was put in, the engine keeps something else, and what cannot be opened
//! says so instead of looking like a value.

#![allow(clippy::unwrap_used)] // it is a test

mod engines;

use bytes::Bytes;
use engines::{Engine, EtcdServer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use store::{Entry, Error, Key, ListQuery, Seal, Space, Store, StoreConfig, Txn};

const SECRET: &[u8] = b"the plain text of a secret";

/// Turns the bits of values of one space around, behind a mark.
#[derive(Debug)]
struct Mirror {
    mark: u8,
}

impl Seal for Mirror {
    fn seal(&self, key: &Key, plain: &Bytes) -> Result<Option<Bytes>, String> {
        match (key.space.as_str(), &plain[..]) {
            ("/registry/secrets/", b"unwanted") => Err("no".to_owned()),
            ("/registry/secrets/", _) => {
                Ok(Some([self.mark].into_iter().chain(plain.iter().map(|byte| !byte)).collect()))
            }
            _ => Ok(None),
        }
    }

    fn open(&self, key: &Key, kept: &Bytes) -> Result<Option<Bytes>, String> {
        match (key.space.as_str(), kept.split_first()) {
            ("/registry/secrets/", Some((mark, rest))) if *mark <= self.mark => {
                Ok(Some(rest.iter().map(|byte| !byte).collect()))
            }
            ("/registry/secrets/", _) => Err("a strange mark".to_owned()),
            _ => Ok(None),
        }
    }

    fn is_stale(&self, key: &Key, kept: &Bytes) -> bool {
        key.space.as_str() == "/registry/secrets/" && kept.first() != Some(&self.mark)
    }
}

fn key(rest: &str) -> Key {
    Key::new(&Space::new("/registry/secrets/"), rest)
}

async fn open(engine: &Engine, mark: u8) -> Store {
    let config = match engine {
        Engine::Memory => StoreConfig::memory(),
        Engine::Embedded(dir) => StoreConfig::embedded(dir.path()),
        Engine::Etcd(server) => StoreConfig::etcd([server.url.as_str()]),
    };
    Store::open(StoreConfig { seal: Some(Arc::new(Mirror { mark })), ..config }).await.unwrap()
}

async fn get(store: &Store, rest: &str) -> Arc<Entry> {
    store.get(&key(rest)).await.unwrap().unwrap()
}

async fn survives_and_stales(engine: &Engine) {
    let store = open(engine, 1).await;
    let mut watch = {
        let revision = store.revision(&key("").space).await.unwrap();
        store.watch(&key("").space, store::Scope::All, revision).await.unwrap()
    };
    let committed = store.commit(Txn::new().put(key("a/s"), SECRET)).await.unwrap();
    assert_eq!(committed.entries[0].as_ref().unwrap().value, SECRET);
    assert_eq!(watch.next_batch().await.unwrap()[0].entry.as_ref().unwrap().value, SECRET);
    assert_eq!(get(&store, "a/s").await.value, SECRET);
    let refused = store.commit(Txn::new().put(key("a/t"), "unwanted")).await;
    assert!(matches!(refused, Err(Error::Seal(why)) if why == "no"));
    assert!(!store.is_stale(&*get(&store, "a/s").await));
    store.close().await.unwrap();
    drop((store, watch));

    let newer = open(engine, 2).await;
    let found = get(&newer, "a/s").await;
    assert_eq!(found.value, SECRET);
    assert!(newer.is_stale(&found) && found.fault().is_none());
    newer.commit(Txn::new().put(key("a/s"), SECRET)).await.unwrap();
    assert!(!newer.is_stale(&*get(&newer, "a/s").await));
    newer.close().await.unwrap();
    drop(newer);

    let older = open(engine, 1).await;
    let page = older.list(&key("").space, &ListQuery::default()).await.unwrap();
    assert_eq!(page.entries[0].fault(), Some("a strange mark"));
    assert_ne!(page.entries[0].value, SECRET);
    older.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_engine_keeps_no_plain_text() {
    survives_and_stales(&Engine::Embedded(tempfile::tempdir().unwrap())).await;
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::Embedded(dir);
    let store = open(&engine, 1).await;
    store.commit(Txn::new().put(key("a/s"), SECRET)).await.unwrap();
    let Engine::Embedded(dir) = &engine else { panic!() };
    let mut read = 0;
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        read += bytes.len();
        assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET));
    }
    assert!(read > SECRET.len());
    store.close().await.unwrap();
}

/// A mirror whose mark may change while it is used.
#[derive(Debug, Default)]
struct Changing {
    mark: AtomicU8,
    opens: AtomicUsize,
}

impl Changing {
    fn now(&self) -> Mirror {
        Mirror { mark: self.mark.load(Ordering::Relaxed) }
    }
}

impl Seal for Changing {
    fn seal(&self, key: &Key, plain: &Bytes) -> Result<Option<Bytes>, String> {
        self.now().seal(key, plain)
    }

    fn open(&self, key: &Key, kept: &Bytes) -> Result<Option<Bytes>, String> {
        self.opens.fetch_add(1, Ordering::Relaxed);
        self.now().open(key, kept)
    }

    fn is_stale(&self, key: &Key, kept: &Bytes) -> bool {
        self.now().is_stale(key, kept)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_opened_at_start_is_opened_once_the_key_has_come() {
    let engine = Engine::Embedded(tempfile::tempdir().unwrap());
    let store = open(&engine, 2).await;
    let written = store.commit(Txn::new().put(key("a/s"), SECRET).put(key("a/t"), SECRET)).await.unwrap();
    store.close().await.unwrap();
    drop(store);

    let Engine::Embedded(dir) = &engine else { panic!() };
    let seal = Arc::new(Changing::default());
    let config = StoreConfig { seal: Some(seal.clone()), ..StoreConfig::embedded(dir.path()) };
    let store = Store::open(config).await.unwrap();
    let before = store.stats()[0].bytes;
    assert_eq!(get(&store, "a/s").await.fault(), Some("a strange mark"));
    seal.mark.store(2, Ordering::Relaxed);
    let found = get(&store, "a/s").await;
    assert_eq!((found.fault(), &found.value[..]), (None, SECRET));
    assert_eq!((found.mod_revision, found.version), (written.revision, 1));
    let page = store.list(&key("").space, &ListQuery::default()).await.unwrap();
    assert!(page.entries.iter().all(|entry| entry.value == SECRET && entry.fault().is_none()));
    // The index has them now, and its sums are right.
    let opens = seal.opens.load(Ordering::Relaxed);
    assert!(Arc::ptr_eq(&found, &get(&store, "a/s").await));
    assert_eq!(seal.opens.load(Ordering::Relaxed), opens);
    assert_eq!(store.stats()[0].bytes + 2, before);
    store.commit(Txn::new().expect(key("a/s"), found.mod_revision).put(key("a/s"), "new")).await.unwrap();
    assert_eq!(get(&store, "a/s").await.version, 2);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_is_given_no_plain_text() {
    let Some(server) = EtcdServer::start() else { return };
    let engine = Engine::Etcd(server);
    survives_and_stales(&engine).await;
    let bare = engine.open().await;
    let raw = bare.get(&key("a/s")).await.unwrap().unwrap();
    assert_eq!(raw.value.first(), Some(&2));
    assert!(!raw.value.windows(SECRET.len()).any(|window| window == SECRET));
}
