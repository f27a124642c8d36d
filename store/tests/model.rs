//! Random operations against a model: an ordered map, and a copy of it for every revision.

#![allow(clippy::unwrap_used)] // it is a test

mod engines;

use bytes::Bytes;
use engines::Engine;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::ops::Bound;
use store::{Error, Key, ListQuery, Revision, Scope, Space, Store, Txn, Write};

const STEPS: usize = 1500;

/// What a key holds, and when it was written and made.
#[derive(Clone, Debug, PartialEq)]
struct Value {
    bytes: Bytes,
    written: Revision,
    made: Revision,
    version: u64,
}

type State = BTreeMap<String, Value>;
/// One change: the revision, the key, whether it is there afterwards.
type Change = (Revision, String, bool);

struct Model {
    random: StdRng,
    space: Space,
    /// The state at each revision since `floor`.
    states: BTreeMap<Revision, State>,
    log: Vec<Change>,
    floor: Revision,
}

impl Model {
    fn new(seed: u64, first: Revision) -> Self {
        Model {
            random: StdRng::seed_from_u64(seed),
            space: Space::new("/registry/configmaps/"),
            states: BTreeMap::from([(first, State::new())]),
            log: Vec::new(),
            floor: first,
        }
    }

    fn current(&self) -> (Revision, &State) {
        let (revision, state) = self.states.last_key_value().unwrap();
        (*revision, state)
    }

    fn any_name(&mut self) -> String {
        let namespace = ["a", "ab", "b"][self.random.random_range(0..3)];
        format!("{namespace}/{}", self.random.random_range(0..12))
    }

    fn any_scope(&mut self) -> Scope {
        match self.random.random_range(0..6) {
            0 => Scope::prefix("a/"),
            1 => Scope::prefix("a"),
            2 => Scope::prefix("b/1"),
            3 => Scope::key(&self.any_name()),
            _ => Scope::All,
        }
    }

    /// Mostly one that is kept, at times one that is forgotten or to come.
    fn any_revision(&mut self) -> Revision {
        let current = self.current().0;
        match self.random.random_range(0..12) {
            0 => current + self.random.random_range(1..3),
            1 => self.random.random_range(0..=current),
            _ => self.random.random_range(self.floor..=current),
        }
    }

    fn key(&self, name: &str) -> Key {
        Key::new(&self.space, name)
    }

    /// A transaction whose compares hold most of the time.
    fn any_txn(&mut self) -> Txn {
        let mut txn = Txn::new();
        let mut names: Vec<_> = (0..self.random.random_range(1..4)).map(|_| self.any_name()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let written = self.current().1.get(&name).map_or(0, |value| value.written);
            let is_wrong = self.random.random_range(0..10) == 0;
            txn = txn.expect(self.key(&name), written + u64::from(is_wrong));
            txn = match self.random.random_range(0..3) {
                0 => txn.delete(self.key(&name)),
                _ => {
                    let length = self.random.random_range(0..200);
                    txn.put(self.key(&name), vec![self.random.random::<u8>(); length])
                }
            };
        }
        txn
    }

    /// What the transaction must do: `None` for a conflict.
    fn apply(&mut self, txn: &Txn) -> Option<Revision> {
        let (current, state) = self.current();
        let mut next = state.clone();
        let written = |key: &Key| state.get(&*key.rest).map_or(0, |value| value.written);
        if txn.compares.iter().any(|(key, expected)| written(key) != *expected) {
            return None;
        }
        let revision = current + 1;
        let mut changes = Vec::new();
        for write in &txn.writes {
            let name = write.key().rest.to_string();
            match write {
                Write::Put(_, bytes, _) => {
                    let (made, version) =
                        next.get(&name).map_or((revision, 0), |old| (old.made, old.version));
                    let value = Value { bytes: bytes.clone(), written: revision, made, version: version + 1 };
                    next.insert(name.clone(), value);
                    changes.push((revision, name, true));
                }
                Write::Delete(_) if next.remove(&name).is_some() => changes.push((revision, name, false)),
                Write::Delete(_) => {}
            }
        }
        if changes.is_empty() {
            return Some(current);
        }
        self.log.extend(changes);
        self.states.insert(revision, next);
        Some(revision)
    }

    async fn commit(&mut self, store: &Store) {
        let txn = self.any_txn();
        match (self.apply(&txn), store.commit(txn.clone()).await) {
            (Some(revision), Ok(committed)) => assert_eq!(committed.revision, revision),
            (None, Err(Error::Conflict(conflict))) => {
                let shown = conflict.current.iter().map(|e| e.as_ref().map(|e| e.mod_revision));
                let state = self.current().1;
                let expected =
                    txn.compares.iter().map(|(key, _)| state.get(&*key.rest).map(|value| value.written));
                assert!(shown.eq(expected));
            }
            (expected, found) => panic!("{txn:?}: expected {expected:?}, found {found:?}"),
        }
    }

    async fn list(&mut self, store: &Store) {
        let scope = self.any_scope();
        let start = match self.random.random_range(0..4) {
            0 => Bound::Included(self.any_name()),
            1 => Bound::Excluded(self.any_name()),
            _ => Bound::Unbounded,
        };
        let limit = if self.random.random() { self.random.random_range(1..10) } else { 0 };
        let at = self.random.random_range(0..3).ne(&0).then(|| self.any_revision());
        let query = ListQuery { scope: scope.clone(), start: start.clone(), limit, at };
        let found = store.list(&self.space, &query).await;
        let (current, _) = self.current();
        let revision = at.unwrap_or(current);
        if revision > current {
            assert!(matches!(found, Err(Error::FutureRevision { .. })), "{query:?}: {found:?}");
        } else if revision < self.floor {
            assert!(matches!(found, Err(Error::Compacted { .. })), "{query:?}: {found:?}");
        } else {
            let expected: Vec<_> = self.states[&revision]
                .range::<String, _>((start, Bound::Unbounded))
                .filter(|(name, _)| scope.contains(name))
                .collect();
            let taken = if limit == 0 { expected.len() } else { limit.min(expected.len()) };
            let page = found.unwrap();
            assert_eq!((page.revision, page.remaining), (revision, expected.len() - taken), "{query:?}");
            assert_eq!(page.more, expected.len() > taken);
            assert_eq!(page.entries.len(), taken, "{query:?}");
            for (entry, (name, value)) in page.entries.iter().zip(expected) {
                assert_eq!((&*entry.key.rest, &value_of(entry)), (name.as_str(), value), "{query:?}");
            }
        }
    }

    async fn watch(&mut self, store: &Store) {
        let (scope, from) = (self.any_scope(), self.any_revision());
        let watch = store.watch(&self.space, scope.clone(), from).await;
        if from < self.floor {
            return assert!(matches!(watch, Err(Error::Compacted { .. })));
        }
        let (mut watch, mut seen) = (watch.unwrap(), Vec::new());
        loop {
            let batch = watch.try_batch().unwrap();
            if batch.is_empty() {
                break;
            }
            seen.extend(batch);
        }
        assert_eq!(watch.progress(), self.current().0.max(from));
        let expected: Vec<_> =
            self.log.iter().filter(|(at, name, _)| *at > from && scope.contains(name)).cloned().collect();
        let found: Vec<_> = seen
            .iter()
            .map(|event| (event.revision, event.key.rest.to_string(), event.entry.is_some()))
            .collect();
        assert_eq!(found, expected);
        for event in seen {
            let before = self.states[&(event.revision - 1)].get(&*event.key.rest);
            let after = self.states[&event.revision].get(&*event.key.rest);
            assert_eq!(event.prev.as_deref().map(value_of).as_ref(), before);
            assert_eq!(event.entry.as_deref().map(value_of).as_ref(), after);
        }
    }

    fn forget_before(&mut self, floor: Revision) {
        self.floor = self.floor.max(floor);
        self.states = self.states.split_off(&self.floor);
        self.log.retain(|(at, ..)| *at > self.floor);
    }

    async fn compact(&mut self, store: &Store) {
        let at = self.random.random_range(self.floor..=self.current().0);
        store.compact(at).await.unwrap();
        self.forget_before(at);
    }
}

fn value_of(entry: &store::Entry) -> Value {
    let store::Entry { value, mod_revision, create_revision, version, .. } = entry;
    Value { bytes: value.clone(), written: *mod_revision, made: *create_revision, version: *version }
}

async fn run(engine: Engine, seed: u64) {
    eprintln!("seed {seed}");
    let mut store = engine.open().await;
    let mut model = Model::new(seed, store.current_revision());
    for _ in 0..STEPS {
        match model.random.random_range(0..100) {
            0..60 => model.commit(&store).await,
            60..80 => model.list(&store).await,
            80..98 => model.watch(&store).await,
            98 => model.compact(&store).await,
            _ if matches!(engine, Engine::Embedded(_)) => {
                drop(store);
                store = engine.open().await;
                // History does not survive.
                model.forget_before(model.current().0);
            }
            _ => {}
        }
    }
}

/// Another seed each run, said on stderr; PINTLE_SEED repeats one.
fn seed() -> u64 {
    match std::env::var("PINTLE_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => rand::random(),
    }
}

#[tokio::test]
async fn memory_does_what_the_model_does() {
    for seed in [1, 2, 3, seed()] {
        run(Engine::Memory, seed).await;
    }
}

#[tokio::test]
async fn embedded_does_what_the_model_does() {
    for seed in [1, seed()] {
        run(Engine::Embedded(tempfile::tempdir().unwrap()), seed).await;
    }
}
