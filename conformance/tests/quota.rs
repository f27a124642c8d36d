//! Quotas are exact: however many create at once, over each store, what is used never exceeds what is allowed, and
//! nothing that was let in is left out of the count.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use conformance::{Server, Wire, wait};
use serde_json::{Value, json};

const WRITERS: usize = 16;
const QUOTA: &str = "/api/v1/namespaces/default/resourcequotas/q";
const PODS: &str = "/api/v1/namespaces/default/pods";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[test]
fn use_stays_within_quotas_in_memory() {
    use_stays_within_quotas(&Server::start_with(&["--store", "memory"]));
}

#[test]
fn use_stays_within_quotas_on_disk() {
    use_stays_within_quotas(&Server::start());
}

/// Pods of 100m each: thirty by number, but only twenty-five by their cpu. Maps: forty with those that are there.
fn use_stays_within_quotas(server: &Server) {
    let mut wire = Wire::open(server).expect("it serves");
    // The authority's map comes by itself.
    wait::until(20, || (count(&mut wire, MAPS) > 0).then_some(())).expect("the namespace is furnished");
    wait::until(20, || {
        (wire.get("/api/v1/namespaces/default/serviceaccounts/default").ok()?.status == 200).then_some(())
    })
    .expect("an account");
    let hard = json!({"pods": "30", "requests.cpu": "2500m", "count/configmaps": "40"});
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}});
    assert_eq!(post(&mut wire, QUOTA.trim_end_matches("/q"), &quota).0, 201);
    wait::until(20, || wire.get(QUOTA).ok()?.json().pointer("/status/used/pods").cloned()).expect("a status");
    let maps_before = count(&mut wire, MAPS);

    // Creates alone: exactly as many as fit are let in.
    let created = storm(server, |writer, number, wire| {
        let name = format!("w{writer}-{number}");
        let pod = post(wire, PODS, &pod(&name)).0 == 201;
        (pod, post(wire, MAPS, &map(&name)).0 == 201)
    });
    assert_eq!(created, (25, 40 - maps_before));
    assert_eq!((count(&mut wire, PODS), count(&mut wire, MAPS)), (25, 40));
    let used = wire.get(QUOTA).expect("it is there").json()["status"]["used"].clone();
    assert_eq!(used, json!({"pods": "25", "requests.cpu": "2500m", "count/configmaps": "40"}));

    // Creates and deletes: the controller counts again while others are charged.
    storm(server, |writer, number, wire| {
        for (collection, object) in
            [(PODS, pod(&format!("x{writer}-{number}"))), (MAPS, map(&format!("x{writer}-{number}")))]
        {
            let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
            if post(wire, collection, &object).0 == 201 {
                delete(wire, collection, &name);
            }
            delete(wire, collection, &format!("w{writer}-{number}"));
        }
        (false, false)
    });
    let (pods, maps) = (count(&mut wire, PODS), count(&mut wire, MAPS));
    assert_eq!((pods, maps), (0, maps_before), "everything of ours is gone");
    let settled = json!({"pods": "0", "requests.cpu": "0", "count/configmaps": maps.to_string()});
    wait::until(30, || (wire.get(QUOTA).ok()?.json()["status"]["used"] == settled).then_some(()))
        .unwrap_or_else(|| panic!("{}", wire.get(QUOTA).expect("it is there").text()));
}

/// Lets all writers work at once, and looks meanwhile; how many pods and maps they say that they made.
fn storm(server: &Server, work: impl Fn(usize, usize, &mut Wire) -> (bool, bool) + Sync) -> (usize, usize) {
    let (pods, maps, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(server, &done));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (work, pods, maps) = (&work, &pods, &maps);
                let mut wire = Wire::open(server).expect("it serves");
                scope.spawn(move || {
                    for number in 0..6 {
                        let (pod, map) = work(writer, number, &mut wire);
                        pods.fetch_add(usize::from(pod), Ordering::Relaxed);
                        maps.fetch_add(usize::from(map), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().expect("a writer ends"));
        done.store(true, Ordering::Relaxed);
        watcher.join().expect("what is there stays within the quota");
    });
    (pods.into_inner(), maps.into_inner())
}

/// Neither the objects nor the use that the quota shows are ever more than allowed.
fn watch(server: &Server, done: &AtomicBool) {
    let mut wire = Wire::open(server).expect("it serves");
    while !done.load(Ordering::Relaxed) {
        assert!(count(&mut wire, PODS) <= 25 && count(&mut wire, MAPS) <= 40);
        let used = wire.get(QUOTA).expect("it is there").json()["status"]["used"].clone();
        let number =
            |name: &str| used[name].as_str().and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
        assert!(number("pods") <= 25 && number("count/configmaps") <= 40, "{used}");
    }
}

fn pod(name: &str) -> Value {
    let resources = json!({"requests": {"cpu": "100m"}});
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "containers": [{"name": "c", "image": "x", "resources": resources}],
            "schedulingGates": [{"name": "example.com/hold"}]
        }
    })
}

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

fn count(wire: &mut Wire, collection: &str) -> usize {
    wire.get(collection).expect("a list").json()["items"].as_array().map_or(0, Vec::len)
}

/// The status; a refusal must be one for want of room.
fn post(wire: &mut Wire, collection: &str, object: &Value) -> (u16, String) {
    let body = object.to_string();
    let answer = wire.request("POST", collection, "application/json", body.as_bytes()).expect("an answer");
    let text = answer.text();
    let is_full = answer.status == 403 && text.contains("exceeded quota: q, requested: ");
    assert!(answer.status == 201 || is_full, "{}: {text}", answer.status);
    (answer.status, text)
}

fn delete(wire: &mut Wire, collection: &str, name: &str) {
    let path = format!("{collection}/{name}?gracePeriodSeconds=0");
    let answer = wire.request("DELETE", &path, "application/json", b"").expect("an answer");
    assert!(matches!(answer.status, 200 | 404), "{}: {}", answer.status, answer.text());
}
