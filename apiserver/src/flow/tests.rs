//! Levels and schemas at work.

use super::fair::{Fair, PERIOD};
use super::schema::Schema;
use super::tally::Reason;
use super::*;
use api::{Followed, Value, tree};
use std::time::Duration;

fn level(name: &str, shares: i64, response: Value) -> Value {
    tree!({"metadata": {"name": name, "uid": "l"}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": shares, "lendablePercent": 50, "limitResponse": response}}})
}

fn queue(queues: i64, hand: i64, length: i64) -> Value {
    tree!({"type": "Queue", "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": length}})
}

fn schema(name: &str, precedence: i64, level: &str, user: &str) -> Value {
    tree!({"metadata": {"name": name, "uid": "s"}, "spec": {"matchingPrecedence": precedence,
        "priorityLevelConfiguration": {"name": level}, "distinguisherMethod": {"type": "ByUser"},
        "rules": [{"subjects": [{"kind": "User", "user": {"name": user}}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}})
}

fn caller(name: &str) -> Caller {
    authn::in_process(name, &[])
}

fn found(fair: &Fair, name: &str) -> Arc<Schema> {
    fair.config().classify(&caller(name), &Attributes::path("get", "/x")).unwrap().clone()
}

fn who(name: &str) -> Who {
    Who {
        schema: String::new(),
        distinguisher: name.to_owned(),
        caller: caller(name),
        asked: Attributes::default(),
        arrived: stdx::Time::default(),
    }
}

/// A level of 10 seats for everybody, and one of 5 for those who match nothing.
fn fair(response: Value) -> Arc<Fair> {
    let fair = Fair::new(15);
    fair.follow_levels(Followed::All(vec![level("all", 10, response)]));
    fair.follow_schemas(Followed::All(vec![schema("all", 5, "all", "*")]));
    Arc::new(fair)
}

async fn enter(schema: &Arc<Schema>, seats: u32, name: &str) -> Result<Seat, Reason> {
    match schema.level.try_enter(schema, seats) {
        Some(seat) => Ok(seat),
        None => schema.level.wait(schema, seats, schema.hash(name), who(name)).await,
    }
}

#[test]
fn requests_go_by_precedence_and_end_at_the_catch_all() {
    let fair = Fair::new(100);
    assert_eq!(found(&fair, "jane").spec.name, "catch-all");
    let levels = vec![level("a", 1, tree!({"type": "Reject"}))];
    fair.follow_levels(Followed::All(levels));
    fair.follow_schemas(Followed::All(vec![schema("late", 9, "a", "jane"), schema("early", 8, "a", "jane")]));
    assert_eq!(found(&fair, "jane").spec.name, "early");
    fair.follow_schemas(Followed::Set(schema("early", 8, "missing", "jane")));
    assert_eq!(found(&fair, "jane").spec.name, "late", "a schema without its level does not count");
    fair.follow_schemas(Followed::Gone { namespace: String::new(), name: "late".to_owned() });
    assert_eq!(found(&fair, "jane").spec.name, "catch-all");
    let master = authn::in_process("a", &["system:masters"]);
    let config = fair.config();
    assert_eq!(config.classify(&master, &Attributes::path("get", "/")).unwrap().spec.name, "exempt");
}

#[tokio::test]
async fn a_level_without_queues_sends_away_who_finds_no_seat() {
    let fair = fair(tree!({"type": "Reject"}));
    let schema = found(&fair, "jane");
    let seats = schema.level.limit();
    let held: Vec<Seat> = (0..seats).map(|_| schema.level.try_enter(&schema, 1).unwrap()).collect();
    assert_eq!(enter(&schema, 1, "jane").await.unwrap_err(), Reason::ConcurrencyLimit);
    drop(held);
    assert!(schema.level.is_idle() && enter(&schema, 1, "jane").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_waits_gets_the_seat_that_is_given_back() {
    let fair = fair(queue(8, 2, 50));
    let schema = found(&fair, "jane");
    let held = schema.level.try_enter(&schema, schema.level.limit()).unwrap();
    let waits = tokio::spawn({
        let schema = schema.clone();
        async move { enter(&schema, 3, "jane").await.is_ok() }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(schema.level.load().1, 1);
    assert!(schema.level.try_enter(&schema, 1).is_none(), "nobody overtakes");
    held.release();
    assert!(waits.await.unwrap());
    drop(held);
    assert!(schema.level.is_idle(), "released once");
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_after_a_while_or_with_the_request() {
    let fair = fair(queue(8, 2, 50));
    let schema = found(&fair, "jane");
    let held = schema.level.try_enter(&schema, schema.level.limit()).unwrap();
    assert_eq!(enter(&schema, 1, "jane").await.unwrap_err(), Reason::TimeOut);
    let gone = tokio::spawn({
        let schema = schema.clone();
        async move { enter(&schema, 1, "jane").await.is_ok() }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    gone.abort();
    assert!(gone.await.is_err());
    assert_eq!(schema.level.load().1, 0);
    drop(held);
    assert!(schema.level.is_idle());
}

#[tokio::test(start_paused = true)]
async fn full_queues_send_away() {
    let fair = fair(queue(1, 1, 2));
    let schema = found(&fair, "jane");
    let _held = schema.level.try_enter(&schema, schema.level.limit()).unwrap();
    let wait = || {
        let schema = schema.clone();
        tokio::spawn(async move { enter(&schema, 1, "jane").await.err() })
    };
    let (_a, _b) = (wait(), wait());
    tokio::task::yield_now().await;
    assert_eq!(wait().await.unwrap(), Some(Reason::QueueFull));
}

#[tokio::test(start_paused = true)]
async fn a_flood_leaves_every_second_seat_to_another() {
    let fair = fair(queue(64, 4, 1_000));
    let schema = found(&fair, "flood");
    let held = schema.level.try_enter(&schema, schema.level.limit()).unwrap();
    let order = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for name in ["flood"; 200].iter().chain(&["calm"; 5]) {
        let (schema, order) = (schema.clone(), order.clone());
        tasks.push(tokio::spawn(async move {
            let seats = schema.level.limit();
            let _seat = enter(&schema, seats, name).await.unwrap();
            order.lock().push(*name);
            tokio::time::sleep(Duration::from_millis(3)).await;
        }));
        tokio::task::yield_now().await;
    }
    drop(held);
    for task in tasks {
        task.await.unwrap();
    }
    let last = order.lock().iter().rposition(|name| *name == "calm").unwrap();
    assert!(last < 30, "the last of 5 came after {last} others");
}

#[tokio::test(start_paused = true)]
async fn idle_levels_lend_to_those_that_are_in_need() {
    let fair = fair(queue(64, 4, 1_000));
    fair.follow_levels(Followed::Set(level("idle", 15, queue(64, 4, 50))));
    let (schema, keeper) = (found(&fair, "jane"), tokio::spawn(fair.clone().keep_balance()));
    let before = schema.level.limit();
    let mut tasks = Vec::new();
    for i in 0..40 {
        let schema = schema.clone();
        tasks.push(tokio::spawn(async move {
            let _seat = enter(&schema, 1, "jane").await;
            tokio::time::sleep(PERIOD * 2 + Duration::from_millis(i)).await;
        }));
    }
    tokio::time::sleep(PERIOD + Duration::from_secs(1)).await;
    let (after, config) = (schema.level.limit(), fair.config());
    let idle = &config.levels["idle"];
    assert!(after > before, "{before} {after}");
    assert!(idle.limit() >= idle.limits().min && idle.limit() < idle.limits().nominal);
    keeper.abort();
}

#[tokio::test(start_paused = true)]
async fn an_idle_server_ceases_to_divide_its_seats() {
    let fair = fair(queue(64, 4, 50));
    let mut lender = level("lender", 10, queue(64, 4, 50));
    lender.set(&["spec", "limited", "lendablePercent"], 100);
    fair.follow_levels(Followed::Set(lender));
    fair.follow_schemas(Followed::Set(schema("joe", 1, "lender", "joe")));
    assert_eq!(fair.config().levels["lender"].limits().min, 0);
    let keeper = tokio::spawn(fair.clone().keep_balance());
    let seat = enter(&found(&fair, "joe"), 1, "joe").await.unwrap();
    keeper.abort();
    assert!(fair.rebalance(PERIOD));
    drop(seat);
    let rounds = (0..1000).take_while(|_| fair.rebalance(PERIOD)).count();
    assert!((10..500).contains(&rounds), "{rounds}");
}

#[tokio::test(start_paused = true)]
async fn seats_are_neither_lost_nor_made_up() {
    let fair = fair(queue(16, 3, 1_000));
    let schema = found(&fair, "jane");
    let mut tasks = Vec::new();
    for i in 0..500_u32 {
        let schema = schema.clone();
        tasks.push(tokio::spawn(async move {
            let entered = enter(&schema, 1 + i % 4, &format!("user-{}", i % 7)).await;
            assert!(schema.level.load().0 <= schema.level.limit());
            tokio::time::sleep(Duration::from_millis(u64::from(i % 11))).await;
            drop(entered);
        }));
        if i % 5 == 0 {
            tasks.remove(usize::try_from(i).unwrap_or_default() / 9 % tasks.len()).abort();
        }
    }
    for task in tasks {
        let _ = task.await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(schema.level.is_idle(), "{:?}", schema.level.load());
    assert!(schema.level.queues.lock().queues.iter().all(|q| q.waiting.is_empty() && q.seats == 0));
}
