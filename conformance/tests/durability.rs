//! Acknowledged means on disk: the server is killed under load, and every write that it answered is there afterwards.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use conformance::{Server, Wire};
use serde_json::{Value, json};

const WRITERS: usize = 8;

/// What one writer was told: name to value, or none for a deletion that was answered. The last write of each name may
/// have been cut off without an answer, so a name that was being written when the server died is left out.
type Acknowledged = BTreeMap<String, Option<u64>>;

#[test]
fn every_acknowledged_write_survives_being_killed_under_load() {
    let mut server = Server::start();
    let mut all = Acknowledged::new();
    for round in 0..3_u64 {
        let stop = AtomicBool::new(false);
        let acknowledged = AtomicUsize::new(0);
        let known = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| (writer, Wire::open(&server).expect("it serves")))
                .map(|(writer, wire)| (writer, wire, (&stop, &acknowledged)))
                .map(|(writer, wire, shared)| scope.spawn(move || write(round, writer, wire, shared)))
                .collect();
            // However slow the machine is, the kill comes in the middle of the load.
            while acknowledged.load(Ordering::Relaxed) < 4 * WRITERS {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_millis(100 + 170 * round));
            server.kill();
            stop.store(true, Ordering::Relaxed);
            writers.into_iter().map(|writer| writer.join().expect("a writer ends")).collect::<Vec<_>>()
        });
        assert!(known.iter().map(Acknowledged::len).sum::<usize>() > WRITERS, "there was load: {known:?}");
        all.extend(known.into_iter().flatten());
        server = server.crash_and_restart();
        assert_eq!(lost(&server, &all), Vec::<String>::new(), "round {round}");
    }
}

/// Creates, replaces and deletes config maps until the server is gone.
fn write(
    round: u64,
    writer: usize,
    mut wire: Wire,
    (stop, acknowledged): (&AtomicBool, &AtomicUsize),
) -> Acknowledged {
    let mut known = Acknowledged::new();
    for number in 0.. {
        let name = format!("w{round}-{writer}-{number}");
        let path = format!("/api/v1/namespaces/default/configmaps/{name}");
        let (collection, _) = path.rsplit_once('/').expect("a path");
        let steps =
            [("POST", collection, Some(1)), ("PUT", path.as_str(), Some(2)), ("DELETE", path.as_str(), None)];
        for (method, path, value) in steps.into_iter().take(1 + number % 3) {
            if stop.load(Ordering::Relaxed) {
                return known;
            }
            let unsure = known.remove(&name);
            let body = match value {
                Some(value) => {
                    json!({"metadata": {"name": name}, "data": {"value": value.to_string()}}).to_string()
                }
                None => String::new(),
            };
            match wire.request(method, path, "application/json", body.as_bytes()) {
                Ok(answer) if answer.status < 300 => {
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    known.insert(name.clone(), value)
                }
                Ok(answer) => panic!("{method} {path} after {unsure:?}: {}", answer.text()),
                Err(_) => return known,
            };
        }
    }
    known
}

/// What is not as it was acknowledged.
fn lost(server: &Server, known: &Acknowledged) -> Vec<String> {
    let mut wire = Wire::open(server).expect("it serves");
    let list = wire.get("/api/v1/namespaces/default/configmaps").expect("it lists").json();
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let value = |item: &Value| item["data"]["value"].as_str().and_then(|text| text.parse().ok());
    let found: BTreeMap<&str, Option<u64>> =
        items.iter().filter_map(|item| Some((item["metadata"]["name"].as_str()?, value(item)))).collect();
    let differs = |(name, value): &(&String, &Option<u64>)| match value {
        Some(value) => found.get(name.as_str()) != Some(&Some(*value)),
        None => found.contains_key(name.as_str()),
    };
    known.iter().filter(differs).map(|(name, value)| format!("{name}: acknowledged as {value:?}")).collect()
}

#[test]
fn revisions_only_move_forward_over_a_crash() {
    let server = Server::start();
    let revision = |server: &Server| {
        let list =
            Wire::open(server).and_then(|mut wire| wire.get("/api/v1/namespaces")).expect("it lists").json();
        list["metadata"]["resourceVersion"]
            .as_str()
            .and_then(|text| text.parse::<u64>().ok())
            .expect("a revision")
    };
    let mut wire = Wire::open(&server).expect("it serves");
    let body = br#"{"metadata":{"name":"forward"}}"#;
    let path = "/api/v1/namespaces/default/configmaps";
    let made = wire.request("POST", path, "application/json", body).expect("it answers").json();
    let made: u64 =
        made["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).expect("a revision");
    let server = server.crash_and_restart();
    assert!(revision(&server) >= made, "{} came after {made}", revision(&server));
}
