//! What only a shared etcd can show: two servers on one etcd, a restart, a compaction behind our back, and the
//! bytes as another client sees them.

#![allow(clippy::unwrap_used)] // it is a test

mod engines;

use engines::EtcdServer;
use std::time::Duration;
use store::{Error, Key, ListQuery, Scope, Space, Store, StoreConfig, Txn};

const PATIENCE: Duration = Duration::from_secs(30);

fn pods() -> Space {
    Space::new("/registry/pods/")
}

fn key(rest: &str) -> Key {
    Key::new(&pods(), rest)
}

async fn open(server: &EtcdServer) -> Store {
    Store::open(StoreConfig::etcd([&server.url])).await.unwrap()
}

async fn put(store: &Store, rest: &str, value: impl ToString) -> u64 {
    store.commit(Txn::new().put(key(rest), value.to_string())).await.unwrap().revision
}

#[tokio::test]
async fn after_a_sync_a_server_sees_what_another_one_wrote() {
    let Some(server) = EtcdServer::start() else { return };
    let (one, other) = (open(&server).await, open(&server).await);
    put(&one, "start", 0).await;
    other.sync(&pods()).await.unwrap();
    for i in 0..200 {
        // A write to another space, so that this one's watch hears nothing of the newest revision.
        one.commit(Txn::new().put(Key::new(&Space::new("/registry/x/"), "n"), "x")).await.unwrap();
        if i % 3 == 2 {
            one.commit(Txn::new().delete(key("a"))).await.unwrap();
        } else {
            put(&one, "a", i).await;
        }
        let expected = one.get(&key("a")).await.unwrap().map(|entry| entry.mod_revision);
        assert_eq!(other.get(&key("a")).await.unwrap().map(|entry| entry.mod_revision), expected);
        let synced = other.sync(&pods()).await.unwrap();
        let page = other.list(&pods(), &ListQuery::default()).await.unwrap();
        assert!(page.revision >= synced);
        let found = page.entries.iter().find(|entry| &*entry.key.rest == "a").map(|entry| entry.mod_revision);
        assert_eq!(found, expected, "round {i}");
    }
}

#[tokio::test]
async fn servers_count_together_and_watches_agree() {
    let Some(server) = EtcdServer::start() else { return };
    let stores = [open(&server).await, open(&server).await, open(&server).await];
    let from = put(&stores[0], "counter", 0).await;
    let mut tasks = Vec::new();
    for store in &stores {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..40 {
                loop {
                    let entry = store.get(&key("counter")).await.unwrap().unwrap();
                    let next = std::str::from_utf8(&entry.value).unwrap().parse::<u64>().unwrap() + 1;
                    let txn = Txn::new().expect(key("counter"), entry.mod_revision);
                    match store.commit(txn.put(key("counter"), next.to_string())).await {
                        Ok(_) => break,
                        Err(Error::Conflict(_)) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    for store in &stores {
        let mut watch = match store.watch(&pods(), Scope::All, from).await {
            Ok(watch) => watch,
            // A space that was opened later has no history from before.
            Err(Error::Compacted { .. }) => continue,
            Err(other) => panic!("{other}"),
        };
        let mut counts = Vec::new();
        while counts.len() < 120 {
            let batch = tokio::time::timeout(PATIENCE, watch.next_batch()).await.unwrap().unwrap();
            counts.extend(batch.iter().map(|event| event.entry.as_ref().unwrap().value.clone()));
        }
        let counts: Vec<_> =
            counts.iter().map(|bytes| std::str::from_utf8(bytes).unwrap().to_owned()).collect();
        assert_eq!(counts, (1..=120).map(|n| n.to_string()).collect::<Vec<_>>());
    }
    assert_eq!(&*stores[1].get(&key("counter")).await.unwrap().unwrap().value, b"120");
}

#[tokio::test]
async fn a_watch_goes_on_without_a_gap_when_etcd_starts_again() {
    let Some(mut server) = EtcdServer::start() else { return };
    let store = open(&server).await;
    let from = put(&store, "a", 1).await;
    let mut watch = store.watch(&pods(), Scope::All, from).await.unwrap();
    server.crash_and_restart();
    // Written past the store, before its watch is back.
    let mut client = etcd_client::Client::connect([&server.url], None).await.unwrap();
    for i in 0..20 {
        client.put(format!("/registry/pods/b{i:02}"), "x", None).await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 20 {
        let batch = tokio::time::timeout(PATIENCE, watch.next_batch()).await.unwrap().unwrap();
        seen.extend(batch.iter().map(|event| event.key.rest.to_string()));
    }
    assert_eq!(seen, (0..20).map(|i| format!("b{i:02}")).collect::<Vec<_>>());
    put(&store, "c", 1).await;
}

#[tokio::test]
async fn a_watch_that_etcd_cannot_continue_is_told_and_the_index_is_right_again() {
    let Some(server) = EtcdServer::start() else { return };
    let store = open(&server).await;
    put(&store, "gone", 1).await;
    let from = put(&store, "stays", 1).await;
    let attached = store.get_stale(&key("stays")).await.unwrap().unwrap();
    attached.ext.get_or_init(|| std::sync::Arc::new("attached"));
    let mut watch = store.watch(&pods(), Scope::All, from).await.unwrap();
    // The store's connection breaks; meanwhile another client writes and compacts.
    let url = server.url.clone();
    let stopped = server.stop_for_a_while();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let aside = stopped.start_elsewhere();
    let mut client = etcd_client::Client::connect([&aside.url], None).await.unwrap();
    client.delete("/registry/pods/gone", None).await.unwrap();
    let put = client.put("/registry/pods/new", "x", None).await.unwrap();
    client.compact(put.header().unwrap().revision(), None).await.unwrap();
    let _server = aside.stop_for_a_while().start_at(&url);
    let told = tokio::time::timeout(PATIENCE, watch.next_batch()).await.unwrap();
    assert!(matches!(told, Err(Error::Compacted { .. })), "{told:?}");
    let page = store.list(&pods(), &ListQuery::default()).await.unwrap();
    let names: Vec<_> = page.entries.iter().map(|entry| &*entry.key.rest).collect();
    assert_eq!(names, ["new", "stays"]);
    assert!(page.entries[1].ext.get().is_some(), "what did not change keeps what is attached to it");
    let mut watch = store.watch(&pods(), Scope::All, page.revision).await.unwrap();
    store.commit(Txn::new().put(key("after"), "1")).await.unwrap();
    assert_eq!(&*watch.next_batch().await.unwrap()[0].key.rest, "after");
}

#[tokio::test]
async fn keys_and_values_are_the_raw_ones() {
    let Some(server) = EtcdServer::start() else { return };
    let store = open(&server).await;
    let value = b"k8s\0\n\x0c\n\x02v1\x12\x06".to_vec();
    let committed = store.commit(Txn::new().put(key("default/web"), value.clone())).await.unwrap();
    let mut client = etcd_client::Client::connect([&server.url], None).await.unwrap();
    let answer = client.get("/registry/pods/default/web", None).await.unwrap();
    let kv = answer.kvs().first().unwrap();
    assert_eq!(kv.value(), value);
    assert_eq!((kv.mod_revision() as u64, kv.lease()), (committed.revision, 0));
    let ttl = Duration::from_secs(3600);
    store.commit(Txn::new().put_ttl(key("event"), "1", ttl).put_ttl(key("event2"), "1", ttl)).await.unwrap();
    let leases: Vec<_> = ["event", "event2"].map(|rest| format!("/registry/pods/{rest}")).into();
    let mut ids = Vec::new();
    for full in leases {
        ids.push(client.get(full, None).await.unwrap().kvs()[0].lease());
    }
    assert!(ids[0] != 0 && ids[0] == ids[1], "keys of one lifetime share a lease");
}

#[tokio::test]
async fn a_space_of_thousands_of_keys_is_read_in_pages() {
    let Some(server) = EtcdServer::start() else { return };
    let store = open(&server).await;
    for chunk in 0..25 {
        let txn = (0..100).fold(Txn::new(), |txn, i| txn.put(key(&format!("n/{:04}", chunk * 100 + i)), "x"));
        store.commit(txn).await.unwrap();
    }
    let other = open(&server).await;
    let page = other.list(&pods(), &ListQuery::default()).await.unwrap();
    assert_eq!(page.entries.len(), 2500);
    assert_eq!(&*page.entries[2499].key.rest, "n/2499");
}

#[tokio::test]
async fn an_etcd_that_is_not_there_is_an_error_in_time() {
    let refused = Store::open(StoreConfig::etcd(["http://127.0.0.1:1"])).await;
    assert!(matches!(refused.err(), Some(Error::Unavailable(_))));
}
