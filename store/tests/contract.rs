//! What every engine must do, on every engine.

#![allow(clippy::unwrap_used)] // it is a test

mod engines;

use engines::{Engine, EtcdServer};
use std::ops::Bound;
use std::time::Duration;
use store::{
    Committed, Conflict, Error, Event, EventKind, Key, ListQuery, Page, Revision, Scope, Space, Store, Txn,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// One test a line: its name is what must hold, its body runs on each engine.
macro_rules! contract {
    ($($name:ident)*) => {
        mod memory { $(#[tokio::test] async fn $name() { super::$name(super::Engine::Memory).await })* }
        mod embedded {
            $(#[tokio::test] async fn $name() {
                super::$name(super::Engine::Embedded(tempfile::tempdir().unwrap())).await
            })*
        }
        mod etcd {
            $(#[tokio::test] async fn $name() {
                let Some(server) = super::EtcdServer::start() else { return };
                super::$name(super::Engine::Etcd(server)).await
            })*
        }
    };
}

contract! {
    revisions_only_grow_and_begin_above_zero
    entries_know_their_birth_their_last_write_and_their_version
    a_conflict_changes_nothing_and_shows_what_is_there
    a_txn_happens_whole_at_one_revision
    a_txn_without_effect_has_no_revision_of_its_own
    a_key_twice_in_a_txn_is_refused
    lists_are_sorted_scoped_and_paged
    a_pinned_list_does_not_see_later_writes
    a_list_before_the_compaction_is_refused_and_after_it_exact
    the_future_is_refused_and_can_be_waited_for
    a_watch_has_no_gap_and_no_repetition
    a_watch_from_the_past_replays_it
    a_watch_before_the_compaction_is_refused
    a_watch_of_a_scope_sees_only_its_keys
    many_watches_see_the_same_shared_entries
    progress_reaches_what_sync_says
    of_racing_writers_one_wins
    concurrent_increments_are_all_counted
    a_lifetime_ends_with_a_deletion_that_watches_see
    a_put_without_a_lifetime_takes_it_away
    closing_refuses_commits_and_ends_watches
    odd_values_and_names_come_back_unchanged
}

fn pods() -> Space {
    Space::new("/registry/pods/")
}

fn key(rest: &str) -> Key {
    Key::new(&pods(), rest)
}

async fn put(store: &Store, rest: &str, value: &str) -> Revision {
    store.commit(Txn::new().put(key(rest), value.to_owned())).await.unwrap().revision
}

async fn delete(store: &Store, rest: &str) -> Revision {
    store.commit(Txn::new().delete(key(rest))).await.unwrap().revision
}

async fn list(store: &Store, query: ListQuery) -> Page {
    store.sync(&pods()).await.unwrap();
    store.list(&pods(), &query).await.unwrap()
}

fn names(page: &Page) -> Vec<&str> {
    page.entries.iter().map(|entry| &*entry.key.rest).collect()
}

/// A past event as `a/1=value`, `-a/1`.
fn text(event: &Event) -> String {
    match &event.entry {
        Some(entry) => format!("{}={}", event.key.rest, String::from_utf8_lossy(&entry.value)),
        None => format!("-{}", event.key.rest),
    }
}

async fn take(watch: &mut store::Watch, count: usize) -> Vec<(Revision, String)> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let batch =
            tokio::time::timeout(PATIENCE, watch.next_batch()).await.expect("events must come").unwrap();
        seen.extend(batch.iter().map(|event| (event.revision, text(event))));
    }
    assert_eq!(seen.len(), count, "{seen:?}");
    seen
}

async fn revisions_only_grow_and_begin_above_zero(engine: Engine) {
    let store = engine.open().await;
    store.sync(&pods()).await.unwrap();
    let mut last = store.revision(&pods()).await.unwrap();
    assert!(last > 0);
    for (rest, value) in [("a", "1"), ("a", "2"), ("b", "1")] {
        let next = put(&store, rest, value).await;
        assert!(next > last);
        last = next;
    }
    let next = delete(&store, "a").await;
    assert!(next > last);
    assert!(store.current_revision() >= next);
}

async fn entries_know_their_birth_their_last_write_and_their_version(engine: Engine) {
    let store = engine.open().await;
    let first = put(&store, "a", "1").await;
    let second = put(&store, "a", "2").await;
    let entry = store.get(&key("a")).await.unwrap().unwrap();
    assert_eq!((entry.create_revision, entry.mod_revision, entry.version), (first, second, 2));
    assert_eq!((&*entry.value, &entry.key), (&b"2"[..], &key("a")));
    let Committed { entries, .. } = store.commit(Txn::new().delete(key("a"))).await.unwrap();
    assert_eq!(entries[0].as_ref().unwrap().mod_revision, second);
    assert!(store.get(&key("a")).await.unwrap().is_none());
    assert!(store.get_stale(&key("a")).await.unwrap().is_none());
    let third = put(&store, "a", "3").await;
    let entry = store.get_stale(&key("a")).await.unwrap().unwrap();
    assert_eq!((entry.create_revision, entry.mod_revision, entry.version), (third, third, 1));
}

async fn a_conflict_changes_nothing_and_shows_what_is_there(engine: Engine) {
    let store = engine.open().await;
    let a = put(&store, "a", "1").await;
    let must_not_exist = Txn::new().expect(key("a"), 0).put(key("a"), "2");
    let gone = Txn::new().expect(key("b"), a).put(key("b"), "2");
    let half = Txn::new().expect(key("a"), a).expect(key("b"), a + 100).put(key("a"), "2").delete(key("b"));
    for (txn, shown) in [(must_not_exist, vec![Some(a)]), (gone, vec![None]), (half, vec![Some(a), None])] {
        let Err(Error::Conflict(Conflict { current })) = store.commit(txn).await else {
            panic!("no conflict")
        };
        let revisions: Vec<_> = current.iter().map(|e| e.as_ref().map(|e| e.mod_revision)).collect();
        assert_eq!(revisions, shown);
    }
    assert_eq!(&*store.get(&key("a")).await.unwrap().unwrap().value, b"1");
    assert!(store.get(&key("b")).await.unwrap().is_none());
    let won =
        store.commit(Txn::new().expect(key("a"), a).expect(key("b"), 0).put(key("a"), "2")).await.unwrap();
    assert_eq!(won.entries[0].as_ref().unwrap().mod_revision, won.revision);
}

async fn a_txn_happens_whole_at_one_revision(engine: Engine) {
    let store = engine.open().await;
    let nodes = Space::new("/registry/minions/");
    put(&store, "old", "1").await;
    let from = store.revision(&pods()).await.unwrap();
    let mut watch = store.watch(&pods(), Scope::All, from).await.unwrap();
    let txn =
        Txn::new().put(key("a"), "1").delete(key("old")).put(Key::new(&nodes, "n"), "2").put(key("b"), "3");
    let Committed { revision, entries } = store.commit(txn).await.unwrap();
    assert_eq!(entries.len(), 4);
    let seen = take(&mut watch, 3).await;
    assert!(seen.iter().all(|(at, _)| *at == revision));
    let node = store.get(&Key::new(&nodes, "n")).await.unwrap().unwrap();
    assert_eq!((node.mod_revision, node.create_revision), (revision, revision));
}

async fn a_txn_without_effect_has_no_revision_of_its_own(engine: Engine) {
    let store = engine.open().await;
    let a = put(&store, "a", "1").await;
    let nothing = store.commit(Txn::new().expect(key("a"), a).delete(key("b"))).await.unwrap();
    assert_eq!(nothing.revision, a);
    assert!(nothing.entries[0].is_none());
    assert_eq!(put(&store, "a", "2").await, a + 1);
}

async fn a_key_twice_in_a_txn_is_refused(engine: Engine) {
    let store = engine.open().await;
    let txn = Txn::new().put(key("a"), "1").put(key("a"), "2");
    assert!(matches!(store.commit(txn).await, Err(Error::BadTxn { .. })));
    assert!(store.get(&key("a")).await.unwrap().is_none());
}

async fn lists_are_sorted_scoped_and_paged(engine: Engine) {
    let store = engine.open().await;
    for rest in ["b/1", "a/2", "a-b/1", "a/1", "a/3", "c"] {
        put(&store, rest, rest).await;
    }
    let all = list(&store, ListQuery::default()).await;
    assert_eq!(names(&all), ["a-b/1", "a/1", "a/2", "a/3", "b/1", "c"]);
    assert!(!all.more);
    let a = ListQuery { scope: Scope::prefix("a/"), ..ListQuery::default() };
    assert_eq!(names(&list(&store, a.clone()).await), ["a/1", "a/2", "a/3"]);
    let first = list(&store, ListQuery { limit: 2, ..a.clone() }).await;
    assert_eq!((names(&first), first.more, first.remaining), (vec!["a/1", "a/2"], true, 1));
    let start = Bound::Excluded("a/2".to_owned());
    let second = list(&store, ListQuery { limit: 2, start, at: Some(first.revision), ..a }).await;
    assert_eq!((names(&second), second.more, second.remaining), (vec!["a/3"], false, 0));
    let one = list(&store, ListQuery { scope: Scope::key("a/2"), ..ListQuery::default() }).await;
    assert_eq!(names(&one), ["a/2"]);
    let none = list(&store, ListQuery { scope: Scope::prefix("d/"), ..ListQuery::default() }).await;
    assert!(none.entries.is_empty() && none.revision >= all.revision);
}

async fn a_pinned_list_does_not_see_later_writes(engine: Engine) {
    let store = engine.open().await;
    for i in 0..10 {
        put(&store, &format!("a/{i}"), "old").await;
    }
    let first = list(&store, ListQuery { limit: 4, ..ListQuery::default() }).await;
    put(&store, "a/5", "new").await;
    put(&store, "a/55", "new").await;
    delete(&store, "a/7").await;
    delete(&store, "a/0").await;
    let start = Bound::Excluded("a/3".to_owned());
    let rest = list(&store, ListQuery { start, at: Some(first.revision), ..ListQuery::default() }).await;
    assert_eq!(names(&rest), ["a/4", "a/5", "a/6", "a/7", "a/8", "a/9"]);
    assert!(rest.entries.iter().all(|entry| &*entry.value == b"old"));
    assert_eq!(rest.revision, first.revision);
}

async fn a_list_before_the_compaction_is_refused_and_after_it_exact(engine: Engine) {
    let store = engine.open().await;
    let before = put(&store, "a", "1").await;
    let at = put(&store, "b", "1").await;
    put(&store, "a", "2").await;
    store.compact(at).await.unwrap();
    let query = |at| ListQuery { at: Some(at), ..ListQuery::default() };
    let refused = store.list(&pods(), &query(before)).await;
    assert!(matches!(refused, Err(Error::Compacted { oldest }) if oldest == at), "{refused:?}");
    let page = list(&store, query(at)).await;
    assert_eq!(&*page.entries[0].value, b"1");
    assert_eq!(names(&page), ["a", "b"]);
}

async fn the_future_is_refused_and_can_be_waited_for(engine: Engine) {
    let store = engine.open().await;
    let now = put(&store, "a", "1").await;
    let next = ListQuery { at: Some(now + 1), ..ListQuery::default() };
    let refused = store.list(&pods(), &next).await;
    assert!(matches!(refused, Err(Error::FutureRevision { current }) if current == now), "{refused:?}");
    let soon = Duration::from_millis(50);
    let late = store.wait_for(&pods(), now + 1, soon).await;
    assert!(matches!(late, Err(Error::FutureRevision { .. })), "{late:?}");
    let waiter = store.clone();
    let waiting = tokio::spawn(async move { waiter.wait_for(&pods(), now + 1, PATIENCE).await });
    tokio::task::yield_now().await;
    put(&store, "a", "2").await;
    waiting.await.unwrap().unwrap();
    assert_eq!(list(&store, next).await.revision, now + 1);
}

async fn a_watch_has_no_gap_and_no_repetition(engine: Engine) {
    let store = engine.open().await;
    let from = put(&store, "start", "1").await;
    let mut watch = store.watch(&pods(), Scope::All, from).await.unwrap();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut made = Vec::new();
                for i in 0..50 {
                    let rest = format!("w{writer}/{}", i % 7);
                    made.push((put(&store, &rest, &i.to_string()).await, format!("{rest}={i}")));
                }
                made
            })
        })
        .collect();
    let seen = take(&mut watch, 400).await;
    let mut made = Vec::new();
    for writer in writers {
        made.extend(writer.await.unwrap());
    }
    made.sort();
    assert_eq!(seen, made);
}

async fn a_watch_from_the_past_replays_it(engine: Engine) {
    let store = engine.open().await;
    let from = put(&store, "a", "1").await;
    let b = put(&store, "b", "1").await;
    let c = put(&store, "b", "2").await;
    let d = delete(&store, "a").await;
    let mut watch = store.watch(&pods(), Scope::All, from).await.unwrap();
    let seen = take(&mut watch, 3).await;
    assert_eq!(seen, [(b, "b=1".into()), (c, "b=2".into()), (d, "-a".into())]);
    let mut watch = store.watch(&pods(), Scope::All, from).await.unwrap();
    let batch = watch.next_batch().await.unwrap();
    let kinds: Vec<_> =
        batch.iter().map(|event| (event.kind, event.prev.as_ref().map(|p| p.version))).collect();
    assert_eq!(kinds, [(EventKind::Put, None), (EventKind::Put, Some(1)), (EventKind::Delete, Some(1))]);
}

async fn a_watch_before_the_compaction_is_refused(engine: Engine) {
    let store = engine.open().await;
    let from = put(&store, "a", "1").await;
    let mut behind = store.watch(&pods(), Scope::All, from).await.unwrap();
    let at = put(&store, "b", "1").await;
    store.compact(at).await.unwrap();
    assert!(matches!(store.watch(&pods(), Scope::All, from).await, Err(Error::Compacted { .. })));
    assert!(matches!(behind.next_batch().await, Err(Error::Compacted { .. })));
    let mut ahead = store.watch(&pods(), Scope::All, at).await.unwrap();
    put(&store, "c", "1").await;
    assert_eq!(take(&mut ahead, 1).await[0].1, "c=1");
}

async fn a_watch_of_a_scope_sees_only_its_keys(engine: Engine) {
    let store = engine.open().await;
    let from = put(&store, "a/0", "0").await;
    let mut namespace = store.watch(&pods(), Scope::prefix("a/"), from).await.unwrap();
    let mut one = store.watch(&pods(), Scope::key("a/1"), from).await.unwrap();
    for rest in ["b/1", "a/11", "a/1", "ab/1", "a/2"] {
        put(&store, rest, "x").await;
    }
    let seen: Vec<_> = take(&mut namespace, 3).await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(seen, ["a/11=x", "a/1=x", "a/2=x"]);
    assert_eq!(take(&mut one, 1).await[0].1, "a/1=x");
    assert!(one.try_batch().unwrap().is_empty());
}

async fn many_watches_see_the_same_shared_entries(engine: Engine) {
    let store = engine.open().await;
    let from = put(&store, "a", "1").await;
    let mut tasks = Vec::new();
    for _ in 0..100 {
        let mut watch = store.watch(&pods(), Scope::All, from).await.unwrap();
        tasks.push(tokio::spawn(async move { watch.next_batch().await.unwrap().remove(0) }));
    }
    tokio::task::yield_now().await;
    let made = store.commit(Txn::new().put(key("a"), "2")).await.unwrap().entries.remove(0).unwrap();
    made.ext.get_or_init(|| std::sync::Arc::new(42_u32));
    for task in tasks {
        let event = tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
        let ext = event.entry.as_ref().unwrap().ext.get().unwrap().downcast_ref::<u32>();
        assert_eq!(ext, Some(&42));
    }
    assert!(store.get(&key("a")).await.unwrap().unwrap().ext.get().is_some());
}

async fn progress_reaches_what_sync_says(engine: Engine) {
    let store = engine.open().await;
    let from = put(&store, "a", "1").await;
    let watch = store.watch(&pods(), Scope::All, from).await.unwrap();
    let mut read = store.watch(&pods(), Scope::All, from).await.unwrap();
    let last = put(&store, "b", "1").await;
    let synced = store.sync(&pods()).await.unwrap();
    assert!(synced >= last);
    assert_eq!(watch.progress(), from);
    take(&mut read, 1).await;
    assert!(read.progress() >= synced);
}

async fn of_racing_writers_one_wins(engine: Engine) {
    let store = engine.open().await;
    for round in 0..20 {
        let name = format!("r{round}");
        let racers: Vec<_> = (0..8)
            .map(|i| {
                let (store, key) = (store.clone(), key(&name));
                tokio::spawn(async move {
                    store.commit(Txn::new().expect(key.clone(), 0).put(key, i.to_string())).await
                })
            })
            .collect();
        let mut won = 0;
        for racer in racers {
            match racer.await.unwrap() {
                Ok(_) => won += 1,
                Err(Error::Conflict(Conflict { current })) => assert!(current[0].is_some()),
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(won, 1);
    }
}

async fn concurrent_increments_are_all_counted(engine: Engine) {
    let store = engine.open().await;
    put(&store, "counter", "0").await;
    let workers: Vec<_> = (0..6).map(|_| tokio::spawn(count_up(store.clone(), 20))).collect();
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(&*store.get(&key("counter")).await.unwrap().unwrap().value, b"120");
}

/// Adds one, `times` times, going on from what a conflict shows.
async fn count_up(store: Store, times: usize) {
    let mut entry = store.get(&key("counter")).await.unwrap().unwrap();
    for _ in 0..times {
        loop {
            let next = std::str::from_utf8(&entry.value).unwrap().parse::<u32>().unwrap() + 1;
            let txn =
                Txn::new().expect(key("counter"), entry.mod_revision).put(key("counter"), next.to_string());
            match store.commit(txn).await {
                Ok(mut committed) => {
                    entry = committed.entries.remove(0).unwrap();
                    break;
                }
                Err(Error::Conflict(mut conflict)) => entry = conflict.current.remove(0).unwrap(),
                Err(other) => panic!("{other}"),
            }
        }
    }
}

async fn a_lifetime_ends_with_a_deletion_that_watches_see(engine: Engine) {
    let store = engine.open().await;
    let ttl = Duration::from_secs(1);
    let put = store.commit(Txn::new().put_ttl(key("short"), "1", ttl).put(key("stays"), "1")).await.unwrap();
    assert!(store.get(&key("short")).await.unwrap().is_some());
    let mut watch = store.watch(&pods(), Scope::All, put.revision).await.unwrap();
    let seen = take(&mut watch, 1).await;
    assert!(seen[0].0 > put.revision);
    assert_eq!(seen[0].1, "-short");
    assert!(store.get(&key("short")).await.unwrap().is_none());
    assert!(store.get(&key("stays")).await.unwrap().is_some());
}

async fn a_put_without_a_lifetime_takes_it_away(engine: Engine) {
    let store = engine.open().await;
    let ttl = Duration::from_secs(1);
    store.commit(Txn::new().put_ttl(key("kept"), "1", ttl)).await.unwrap();
    let from = put(&store, "kept", "2").await;
    let mut watch = store.watch(&pods(), Scope::All, from).await.unwrap();
    store.commit(Txn::new().put_ttl(key("short"), "1", ttl)).await.unwrap();
    let seen: Vec<_> = take(&mut watch, 2).await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(seen, ["short=1", "-short"]);
    assert!(store.get(&key("kept")).await.unwrap().is_some());
}

async fn closing_refuses_commits_and_ends_watches(engine: Engine) {
    let store = engine.open().await;
    let from = put(&store, "a", "1").await;
    let mut watch = store.watch(&pods(), Scope::All, from).await.unwrap();
    let waiting = tokio::spawn(async move { watch.next_batch().await });
    tokio::task::yield_now().await;
    store.close().await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(Error::Closed)));
    assert!(matches!(store.commit(Txn::new().put(key("b"), "1")).await, Err(Error::Closed)));
}

async fn odd_values_and_names_come_back_unchanged(engine: Engine) {
    let store = engine.open().await;
    let long = format!("ns/{}", "n".repeat(900));
    let values: [(&str, Vec<u8>); 4] = [
        ("empty", Vec::new()),
        ("binary", (0..=255).collect()),
        (&long, b"k8s\0".to_vec()),
        ("ünï:cödé/%2F name", vec![7; 700_000]),
    ];
    for (rest, value) in &values {
        store.commit(Txn::new().put(key(rest), value.clone())).await.unwrap();
    }
    for (rest, value) in &values {
        assert_eq!(&*store.get(&key(rest)).await.unwrap().unwrap().value, &value[..]);
        assert_eq!(&*store.get_stale(&key(rest)).await.unwrap().unwrap().value, &value[..]);
    }
}
