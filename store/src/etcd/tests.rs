//! A feed that has stopped: nothing may be claimed that it did not bring.

#[path = "../../tests/engines/mod.rs"]
mod engines;

use super::*;
use engines::EtcdServer;

const SOON: Duration = Duration::from_millis(700);

/// An engine whose feed of the space has ended, and a client of the same etcd.
async fn deaf(server: &EtcdServer, space: &Space) -> (Arc<Etcd>, Arc<SpaceIndex>, Client) {
    let mut client = Client::connect([&server.url], None).await.unwrap();
    client.put(format!("{space}old"), "1", None).await.unwrap();
    let (engine, _) =
        Etcd::open(std::slice::from_ref(&server.url), HistoryLimits::default(), None).await.unwrap();
    let (index, _) = engine.feed(space).await.unwrap();
    engine.sync_space(&index).await.unwrap();
    engine.tasks.lock().drain(..).for_each(|task| task.abort());
    (engine, index, client)
}

#[tokio::test]
async fn without_the_event_of_a_put_a_sync_does_not_return() {
    let Some(server) = EtcdServer::start() else { return };
    let space = Space::new("/registry/pods/");
    let (engine, index, mut client) = deaf(&server, &space).await;
    client.put("/registry/pods/old", "2", None).await.unwrap();
    assert!(tokio::time::timeout(SOON, engine.sync_space(&index)).await.is_err());
    let fresh = engine.read_remote(&Key::new(&space, "old")).await.unwrap().unwrap();
    assert_eq!((&*fresh.value, &*index.get("old").unwrap().value), (&b"2"[..], &b"1"[..]));
}

#[tokio::test]
async fn without_the_event_of_a_deletion_a_sync_does_not_return() {
    let Some(server) = EtcdServer::start() else { return };
    let space = Space::new("/registry/pods/");
    let (engine, index, mut client) = deaf(&server, &space).await;
    client.delete("/registry/pods/old", None).await.unwrap();
    assert!(tokio::time::timeout(SOON, engine.sync_space(&index)).await.is_err());
}

#[tokio::test]
async fn without_its_event_a_commit_does_not_return() {
    let Some(server) = EtcdServer::start() else { return };
    let space = Space::new("/registry/pods/");
    let (engine, ..) = deaf(&server, &space).await;
    let txn = Txn::new().put(Key::new(&space, "new"), "1");
    assert!(tokio::time::timeout(SOON, engine.commit_remote(txn)).await.is_err());
}
