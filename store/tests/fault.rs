//! Kill -9 at random moments under load: what was acknowledged is there, whole, and revisions go on forward.
//!
//! The test runs itself as the victim: a process with many writers, which says every acknowledgement on stdout.

#![allow(clippy::unwrap_used)] // it is a test

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use store::{Key, ListQuery, Revision, Scope, Space, Store, StoreConfig, Txn};

const ROUNDS: usize = 8;
const WRITERS: u64 = 48;
/// Each writer keeps its last so many numbered keys, and deletes the older ones.
const KEPT: u64 = 5;

fn space() -> Space {
    Space::new("/registry/pods/")
}

fn key(writer: u64, name: impl std::fmt::Display) -> Key {
    Key::new(&space(), format!("w{writer:02}/{name}"))
}

/// A value that tells whether it is whole: a number, and as many bytes made from it as it says.
fn value(writer: u64, turn: u64) -> Vec<u8> {
    let length = (writer * 131 + turn * 977) % 6000;
    let mut bytes = format!("{turn} {length} ").into_bytes();
    bytes.extend((0..length).map(|at| (turn.wrapping_mul(31) + at) as u8));
    bytes
}

fn turn_of(bytes: &[u8]) -> u64 {
    let number = bytes.split(|byte| *byte == b' ').next().unwrap();
    std::str::from_utf8(number).unwrap().parse().unwrap()
}

/// One turn changes four keys at once.
fn turn_txn(writer: u64, turn: u64) -> Txn {
    let txn = Txn::new()
        .put(key(writer, "left"), value(writer, turn))
        .put(key(writer, "right"), value(writer, turn))
        .put(key(writer, turn), value(writer, turn));
    if turn > KEPT { txn.delete(key(writer, turn - KEPT)) } else { txn }
}

async fn turn_on_disk(store: &Store, writer: u64) -> u64 {
    store.get(&key(writer, "left")).await.unwrap().map_or(0, |entry| turn_of(&entry.value))
}

/// Not a test of its own: what the test below starts and kills.
#[test]
#[ignore = "the victim of the test below"]
fn victim() {
    let Ok(dir) = std::env::var("PINTLE_FAULT_DIR") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(StoreConfig::embedded(dir)).await.unwrap();
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let store = store.clone();
            writers.push(tokio::spawn(async move {
                for turn in turn_on_disk(&store, writer).await + 1.. {
                    let committed = store.commit(turn_txn(writer, turn)).await.unwrap();
                    // One write call a line: a pipe takes it whole or not at all.
                    let line = format!("ack {writer} {turn} {}\n", committed.revision);
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            }));
        }
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

/// The last acknowledged turn of each writer, and the newest acknowledged revision.
type Acknowledged = (BTreeMap<u64, u64>, Revision);

/// Runs the victim for a while, kills it, and returns what it said.
fn run_and_kill(dir: &Path, lifetime: Duration) -> Acknowledged {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--ignored", "--nocapture", "--test-threads=1"])
        .env("PINTLE_FAULT_DIR", dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut turns, mut newest) = (BTreeMap::new(), 0);
    let mut note = |line: &str| {
        let Some(ack) = line.strip_prefix("ack ") else { return false };
        let numbers: Vec<u64> = ack.split(' ').map(|number| number.parse().unwrap()).collect();
        turns.insert(numbers[0], numbers[1]);
        newest = newest.max(numbers[2]);
        true
    };
    while !note(&lines.next().expect("the victim must come to its first write").unwrap()) {}
    let killer = std::thread::spawn(move || {
        std::thread::sleep(lifetime);
        child.kill().unwrap();
        child.wait().unwrap();
    });
    for line in lines {
        note(&line.unwrap());
    }
    killer.join().unwrap();
    (turns, newest)
}

async fn check(store: &Store, (turns, newest): &Acknowledged) {
    assert!(store.current_revision() >= *newest, "the revision went back");
    for writer in 0..WRITERS {
        let acknowledged = turns.get(&writer).copied().unwrap_or(0);
        let turn = turn_on_disk(store, writer).await;
        assert!(turn >= acknowledged, "writer {writer}: turn {acknowledged} is lost, found {turn}");
        let query = ListQuery { scope: Scope::prefix(&format!("w{writer:02}/")), ..ListQuery::default() };
        let page = store.list(&space(), &query).await.unwrap();
        let found: BTreeMap<_, _> =
            page.entries.iter().map(|entry| (entry.key.clone(), entry.value.to_vec())).collect();
        let mut expected = BTreeMap::new();
        if turn > 0 {
            expected.insert(key(writer, "left"), value(writer, turn));
            expected.insert(key(writer, "right"), value(writer, turn));
        }
        for kept in turn.saturating_sub(KEPT) + 1..=turn {
            expected.insert(key(writer, kept), value(writer, kept));
        }
        assert!(found == expected, "writer {writer} at turn {turn}: torn");
    }
}

#[tokio::test]
async fn a_killed_process_loses_nothing_acknowledged_and_tears_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut newest, mut turns) = (0, 0);
    for round in 0..ROUNDS {
        let lifetime = Duration::from_millis(rand::random_range(20..500));
        let acknowledged = run_and_kill(dir.path(), lifetime);
        assert!(acknowledged.1 > newest, "a new process must go on after the revisions of the old one");
        let store = Store::open(StoreConfig::embedded(dir.path())).await.unwrap();
        check(&store, &acknowledged).await;
        let own = store.commit(Txn::new().put(key(99, "mark"), "x")).await.unwrap();
        assert!(own.revision > acknowledged.1);
        newest = own.revision;
        turns = acknowledged.0.values().sum::<u64>().max(turns);
        eprintln!("round {round}: killed after {lifetime:?} at revision {}, {turns} turns", acknowledged.1);
    }
}
