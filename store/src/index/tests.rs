//! Lists of the past, pages, and watches, on an index alone.

use super::*;
use crate::entry::EventKind;
use crate::error::Error;
use crate::key::Scope;
use crate::txn::{Txn, plan};
use crate::watch::Watch;
use std::ops::Bound;

fn pods() -> Space {
    Space::new("/registry/pods/")
}

struct Fixture(Index);

impl Fixture {
    fn new() -> Self {
        Fixture::with(HistoryLimits::default())
    }

    fn with(limits: HistoryLimits) -> Self {
        Fixture(Index::new(1, limits))
    }

    fn commit(&self, txn: Txn) -> Revision {
        let revision = self.0.horizon.revision() + 1;
        let (changes, _) = plan(txn, revision, 0, |key| self.0.get(key)).unwrap();
        let mut announcement = Announcement::default();
        self.0.publish(revision, changes, &mut announcement);
        self.0.announce(announcement);
        revision
    }

    fn put(&self, rest: &str) -> Revision {
        self.commit(Txn::new().put(Key::new(&pods(), rest), rest.to_owned()))
    }

    fn delete(&self, rest: &str) -> Revision {
        self.commit(Txn::new().delete(Key::new(&pods(), rest)))
    }

    fn list(&self, query: ListQuery) -> (Vec<String>, usize) {
        let page = self.0.space(&pods()).list(&query).unwrap();
        assert_eq!(page.more, page.remaining > 0);
        (page.entries.iter().map(|e| format!("{}@{}", e.key.rest, e.mod_revision)).collect(), page.remaining)
    }
}

#[test]
fn a_list_of_the_past_undoes_puts_updates_and_deletes() {
    let f = Fixture::new();
    f.put("a/1");
    f.put("a/3");
    let then = f.put("b/1");
    f.put("a/2");
    f.put("a/3");
    f.delete("a/1");
    f.put("a/1");
    f.delete("b/1");
    let at =
        |scope: Scope, start: Bound<String>, limit| f.list(ListQuery { scope, start, limit, at: Some(then) });
    assert_eq!(at(Scope::All, Bound::Unbounded, 0).0, ["a/1@2", "a/3@3", "b/1@4"]);
    assert_eq!(at(Scope::prefix("a/"), Bound::Unbounded, 0).0, ["a/1@2", "a/3@3"]);
    assert_eq!(at(Scope::All, Bound::Excluded("a/1".into()), 1), (vec!["a/3@3".into()], 1));
    assert_eq!(at(Scope::key("b/1"), Bound::Unbounded, 0).0, ["b/1@4"]);
    assert_eq!(f.list(ListQuery::default()).0, ["a/1@8", "a/2@5", "a/3@6"]);
}

#[test]
fn pages_count_what_remains() {
    let f = Fixture::new();
    for name in ["a/1", "a/2", "a/3", "b/1"] {
        f.put(name);
    }
    let page = |scope: Scope, start, limit| f.list(ListQuery { scope, start, limit, at: None });
    assert_eq!(page(Scope::All, Bound::Unbounded, 3).1, 1);
    assert_eq!(page(Scope::prefix("a/"), Bound::Unbounded, 2).1, 1);
    assert_eq!(page(Scope::prefix("a/"), Bound::Included("a/2\0".into()), 2), (vec!["a/3@4".into()], 0));
    assert_eq!(page(Scope::prefix("b/"), Bound::Included("a/2".into()), 2), (vec!["b/1@5".into()], 0));
}

#[test]
fn the_future_and_the_forgotten_are_told_apart() {
    let f = Fixture::new();
    f.put("a/1");
    let last = f.put("a/2");
    let space = f.0.space(&pods());
    let at = |revision| space.list(&ListQuery { at: Some(revision), ..ListQuery::default() });
    assert!(matches!(at(last + 1), Err(Error::FutureRevision { current }) if current == last));
    space.compact(2);
    assert!(matches!(at(1), Err(Error::Compacted { oldest: 2 })));
    assert_eq!(at(2).unwrap().entries.len(), 1);
    assert!(matches!(Watch::open(space, Scope::All, 1), Err(Error::Compacted { oldest: 2 })));
}

#[test]
fn a_list_in_pages_ends_when_the_store_has_long_gone_on_but_a_watch_from_there_does_not() {
    let f = Fixture::with(HistoryLimits { age: std::time::Duration::ZERO, ..HistoryLimits::default() });
    let began = f.put("a/1");
    let space = f.0.space(&pods());
    let page = |at| space.list(&ListQuery { limit: 1, at, ..ListQuery::default() });
    assert_eq!(page(None).unwrap().revision, began);
    f.put("a/2");
    assert_eq!(page(Some(began)).unwrap().revision, began, "the store was there when it was last looked at");
    assert!(matches!(page(Some(began)), Err(Error::Compacted { .. })));
    assert!(Watch::open(space.clone(), Scope::All, began).is_ok());
}

#[test]
fn a_commit_over_two_spaces_is_one_revision_in_both() {
    let f = Fixture::new();
    let nodes = Space::new("/registry/minions/");
    let revision = f.commit(Txn::new().put(Key::new(&pods(), "a/1"), "x").put(Key::new(&nodes, "n"), "y"));
    for space in [pods(), nodes] {
        let page = f.0.space(&space).list(&ListQuery::default()).unwrap();
        assert_eq!((page.revision, page.entries[0].mod_revision), (revision, revision));
    }
}

#[tokio::test]
async fn a_watch_gives_its_scope_in_order_and_its_progress_passes_over_the_rest() {
    let f = Fixture::new();
    f.put("a/1");
    let mut watch = Watch::open(f.0.space(&pods()), Scope::prefix("a/"), 2).unwrap();
    f.put("b/1");
    assert_eq!(watch.progress(), 3);
    f.put("a/2");
    f.delete("a/1");
    assert_eq!(watch.progress(), 3);
    let batch = watch.next_batch().await.unwrap();
    let seen: Vec<_> = batch.iter().map(|e| (e.revision, e.kind, e.prev.is_some())).collect();
    assert_eq!(seen, [(4, EventKind::Put, false), (5, EventKind::Delete, true)]);
    assert_eq!(watch.progress(), 5);
    assert!(watch.try_batch().unwrap().is_empty());
}

#[tokio::test]
async fn a_watch_that_falls_behind_is_told_so() {
    let f = Fixture::new();
    f.put("a/1");
    let mut watch = Watch::open(f.0.space(&pods()), Scope::All, 1).unwrap();
    f.put("a/2");
    f.0.compact(2);
    assert!(matches!(watch.next_batch().await, Err(Error::Compacted { oldest: 2 })));
}

/// What a value is about: what stands before its first dash; one without a dash does not tell.
fn about(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()?.split_once('-').map(|(topic, _)| topic)
}

fn topic(f: &Fixture, name: &str, from: Revision) -> Watch {
    let topic = Topic { name: name.into(), about };
    Watch::open_topic(f.0.space(&pods()), Scope::All, topic, from).unwrap()
}

fn put_value(f: &Fixture, rest: &str, value: &'static str) -> Revision {
    f.commit(Txn::new().put(Key::new(&pods(), rest), value))
}

#[tokio::test]
async fn a_watch_of_a_topic_sees_what_is_or_was_about_it_and_nothing_else() {
    let f = Fixture::new();
    let first = put_value(&f, "a/1", "x-1");
    put_value(&f, "a/2", "y-1");
    let mut before = topic(&f, "x", first - 1);
    let mut after = topic(&f, "x", first);
    put_value(&f, "a/3", "y-1");
    let changed = put_value(&f, "a/2", "x-2");
    let moved = put_value(&f, "a/1", "y-2");
    put_value(&f, "a/1", "y-3");
    let gone = f.delete("a/2");
    let revisions = |watch: &mut Watch| -> Vec<Revision> {
        let mut all = Vec::new();
        while let batch @ [_, ..] = &watch.try_batch().unwrap()[..] {
            all.extend(batch.iter().map(|event| event.revision));
        }
        all
    };
    assert_eq!(after.progress(), changed - 1);
    assert_eq!(revisions(&mut before), [first, changed, moved, gone]);
    assert_eq!(revisions(&mut after), [changed, moved, gone]);
    assert_eq!(after.progress(), gone);
}

#[tokio::test]
async fn what_does_not_tell_what_it_is_about_is_shown_to_the_watches_of_all_topics() {
    let f = Fixture::new();
    let start = put_value(&f, "a/1", "x-1");
    let (mut x, mut y) = (topic(&f, "x", start), topic(&f, "y", start));
    let untold = put_value(&f, "a/2", "{}");
    let told = put_value(&f, "a/2", "y-1");
    put_value(&f, "a/3", "-1");
    for watch in [&mut x, &mut y] {
        let revisions: Vec<_> = watch.try_batch().unwrap().iter().map(|event| event.revision).collect();
        assert_eq!(revisions, [untold, told]);
    }
}

#[tokio::test]
async fn a_watch_of_a_topic_is_woken_for_its_events_only_and_outlives_those_of_others() {
    let f = Fixture::new();
    let start = put_value(&f, "a/1", "x-1");
    let mut quiet = topic(&f, "x", start);
    let mut busy = topic(&f, "y", start);
    assert!(quiet.try_batch().unwrap().is_empty() && busy.try_batch().unwrap().is_empty());
    let woken = tokio::spawn(async move {
        let batch = quiet.next_batch().await.unwrap();
        (batch.len(), batch[0].revision)
    });
    tokio::task::yield_now().await;
    for turn in 0..3 {
        put_value(&f, "b/1", if turn % 2 == 0 { "y-1" } else { "y-2" });
        tokio::task::yield_now().await;
    }
    assert!(!woken.is_finished(), "nothing is about it");
    let others = f.0.space(&pods()).list(&ListQuery::default()).unwrap().revision;
    f.0.compact(others);
    assert!(matches!(busy.try_batch(), Err(Error::Compacted { .. })), "its events are gone");
    let last = put_value(&f, "a/2", "x-2");
    assert_eq!(woken.await.unwrap(), (1, last));
}

#[tokio::test]
async fn watches_of_a_namespace_and_of_a_key_are_woken_for_theirs() {
    let f = Fixture::new();
    let space = f.0.space(&pods());
    let mut tasks = Vec::new();
    for scope in [Scope::All, Scope::prefix("a/"), Scope::prefix("a/1"), Scope::key("a/1")] {
        let mut watch = Watch::open(space.clone(), scope, 1).unwrap();
        tasks.push(tokio::spawn(async move { watch.next_batch().await.unwrap()[0].revision }));
    }
    let mut other = Watch::open(space.clone(), Scope::key("b/1"), 1).unwrap();
    tokio::task::yield_now().await;
    assert_eq!(space.stats().watches, 5);
    f.put("a/1");
    for task in tasks {
        assert_eq!(task.await.unwrap(), 2);
    }
    assert!(other.try_batch().unwrap().is_empty());
    drop(other);
    assert_eq!(space.stats().watches, 0);
}

#[tokio::test]
async fn closing_ends_watches_after_their_last_event() {
    let f = Fixture::new();
    let mut watch = Watch::open(f.0.space(&pods()), Scope::All, 1).unwrap();
    f.put("a/1");
    f.0.close();
    assert_eq!(watch.next_batch().await.unwrap().len(), 1);
    assert!(matches!(watch.next_batch().await, Err(Error::Closed)));
}
