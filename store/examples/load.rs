//! Measures an embedded store: `cargo run -p store --example load -- DIR [WRITERS] [SECONDS]`.
//! Writers create values of 1 KB; says commits a second and CPU for each, and how fast it opens again.

#![allow(clippy::unwrap_used)] // a broken run shall end

use std::time::{Duration, Instant};
use store::{Key, Space, Store, StoreConfig, Txn};

/// CPU seconds that this process has used.
fn cpu_secs() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |at: usize, default| arguments.get(at).map_or(default, |text| text.parse().unwrap());
    let dir = arguments.get(1).expect("a directory");
    let (writers, secs) = (number(2, 64), number(3, 3));
    let opening = Instant::now();
    let store = Store::open(StoreConfig::embedded(dir)).await.unwrap();
    println!(
        "opened in {:?}, {} keys",
        opening.elapsed(),
        store.stats().iter().map(|s| s.keys).sum::<usize>()
    );
    let space = Space::new("/registry/configmaps/");
    let (start, cpu) = (Instant::now(), cpu_secs());
    let first = store.current_revision();
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let (store, space) = (store.clone(), space.clone());
        tasks.push(tokio::spawn(async move {
            while start.elapsed() < Duration::from_secs(secs) {
                let key = Key::new(&space, format!("ns/{writer}-{}", store.current_revision()));
                store.commit(Txn::new().expect(key.clone(), 0).put(key, vec![b'x'; 1000])).await.ok();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let commits = (store.current_revision() - first) as f64;
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_secs() - cpu);
    println!("{:.0} commits/s, {:.1} us CPU each", commits / wall, cpu / commits * 1e6);
}
