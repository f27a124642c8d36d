//! Priority and fairness as it is configured now: schemas in their order, the levels they lead to, and how the
//! server's seats are divided among levels.

use super::allocation::{Wish, allocate};
use super::level::{self, Level, Limits};
use super::schema::{self, Schema};
use super::tally::Tally;
use api::{Followed, Value};
use arc_swap::ArcSwap;
use authn::Caller;
use authz::Attributes;
use http::HeaderValue;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How often seats are divided anew while some wait.
pub const PERIOD: Duration = Duration::from_secs(10);
/// The widest that a request of a level with queues may be, as a part of the level's seats.
const WIDEST: f64 = 0.15;
/// What must always be there.
const MANDATORY: [&str; 2] = ["exempt", "catch-all"];

/// Schemas and levels at work.
pub struct Fair {
    /// Seats of the server.
    total: u32,
    current: ArcSwap<Config>,
    /// What the configuration is made of; held while it is made.
    objects: Mutex<Objects>,
    /// Told when a request finds no seat.
    pub contended: Arc<Notify>,
}

#[derive(Default)]
struct Objects {
    schemas: BTreeMap<String, schema::Spec>,
    levels: BTreeMap<String, Option<level::Spec>>,
    tallies: BTreeMap<(String, String), Arc<Tally>>,
}

/// The configuration of the moment.
#[derive(Default)]
pub struct Config {
    /// In the order in which they are asked.
    pub schemas: Vec<Arc<Schema>>,
    pub levels: BTreeMap<String, Arc<Level>>,
    /// The sum of what the levels have by their shares: somewhat more than the total, by rounding up.
    nominal: u32,
}

impl Config {
    /// The first schema that matches; the last is a catch-all.
    pub fn classify(&self, caller: &Caller, asked: &Attributes) -> Option<&Arc<Schema>> {
        let found = self.schemas.iter().find(|schema| schema.spec.matches(caller, asked));
        found.or_else(|| self.schemas.iter().find(|schema| schema.spec.name == "catch-all"))
    }
}

impl Fair {
    /// With nothing but what must be there.
    pub fn new(total: u32) -> Self {
        let fair = Fair {
            total,
            current: ArcSwap::default(),
            objects: Mutex::default(),
            contended: Arc::new(Notify::new()),
        };
        fair.digest(&mut fair.objects.lock());
        fair
    }

    pub fn config(&self) -> arc_swap::Guard<Arc<Config>> {
        self.current.load()
    }

    /// Takes a step of following FlowSchemas.
    pub fn follow_schemas(&self, step: Followed) {
        let mut objects = self.objects.lock();
        let read = |obj: &Value| (name(obj), schema::Spec::read(obj));
        if apply(&mut objects.schemas, step, read) {
            self.digest(&mut objects);
        }
    }

    /// Takes a step of following PriorityLevelConfigurations.
    pub fn follow_levels(&self, step: Followed) {
        let mut objects = self.objects.lock();
        let read = |obj: &Value| (name(obj), level::Spec::read(obj));
        if apply(&mut objects.levels, step, read) {
            self.digest(&mut objects);
        }
    }

    /// Makes the configuration from the objects. Levels that were there go on with what they have in them.
    fn digest(&self, objects: &mut Objects) {
        let old = self.current.load();
        let mut specs: Vec<level::Spec> = objects.levels.values().flatten().cloned().collect();
        for must in MANDATORY {
            if !specs.iter().any(|spec| spec.name == must) {
                specs.push(level::Spec::mandatory(must));
            }
        }
        let shares: f64 = specs.iter().map(|spec| spec.shares).sum();
        let mut config = Config::default();
        for spec in &specs {
            let known = old.levels.get(&spec.name).filter(|level| level.is_exempt() == spec.exempt);
            let fresh = || Arc::new(Level::new(&spec.name, spec.exempt, self.contended.clone()));
            let level = known.cloned().unwrap_or_else(fresh);
            let limits = limits(spec, f64::from(self.total), shares);
            config.nominal += limits.nominal;
            level.configure(limits, spec.queuing);
            config.levels.insert(spec.name.clone(), level);
        }
        config.schemas = schemas(objects, &specs, &config.levels);
        divide(&config, None);
        self.current.store(Arc::new(config));
    }

    /// Divides seats by what levels could have used in the last `period`. Says whether any wanted more than it has.
    pub fn rebalance(&self, period: Duration) -> bool {
        let _one = self.objects.lock();
        divide(&self.current.load(), Some(period))
    }

    /// Divides seats anew as long as some wait, and for as long after that as it takes to forget.
    pub async fn keep_balance(self: Arc<Self>) {
        loop {
            self.contended.notified().await;
            let mut since = Instant::now();
            loop {
                tokio::time::sleep(PERIOD).await;
                let busy = self.rebalance(since.elapsed());
                since = Instant::now();
                if !busy {
                    break;
                }
            }
        }
    }
}

fn name(obj: &Value) -> String {
    obj.str_at(&["metadata", "name"]).to_owned()
}

/// Whether anything that counts has changed.
fn apply<T: PartialEq>(
    known: &mut BTreeMap<String, T>,
    step: Followed,
    read: impl Fn(&Value) -> (String, T),
) -> bool {
    match step {
        Followed::All(all) => {
            *known = all.iter().map(read).collect();
            true
        }
        Followed::Set(obj) => {
            let (name, spec) = read(&obj);
            let same = known.get(&name) == Some(&spec);
            known.insert(name, spec);
            !same
        }
        Followed::Gone { name, .. } => known.remove(&name).is_some(),
    }
}

fn limits(spec: &level::Spec, total: f64, shares: f64) -> Limits {
    let seats = |number: f64| number.clamp(0.0, f64::from(i32::MAX)) as u32;
    let nominal = if shares > 0.0 { (total * spec.shares / shares).ceil() } else { 0.0 };
    let lendable = (nominal * spec.lendable_percent / 100.0).round();
    let borrowing = spec.borrowing_percent.map_or(total, |percent| (nominal * percent / 100.0).round());
    let widest = |hand: usize| (nominal * WIDEST).ceil().min((nominal / hand as f64).floor()).max(1.0);
    Limits {
        nominal: seats(nominal),
        min: seats(nominal - lendable),
        max: seats(nominal + borrowing),
        widest: spec.queuing.map_or(0, |shape| seats(widest(shape.hand))),
    }
}

/// Schemas whose level is there, in order, with those that must be.
fn schemas(
    objects: &mut Objects,
    specs: &[level::Spec],
    levels: &BTreeMap<String, Arc<Level>>,
) -> Vec<Arc<Schema>> {
    let there = |spec: &&schema::Spec| levels.contains_key(&spec.level);
    let mut used: Vec<schema::Spec> = objects.schemas.values().filter(there).cloned().collect();
    for must in MANDATORY {
        if !used.iter().any(|spec| spec.name == must) {
            used.push(schema::Spec::mandatory(must));
        }
    }
    used.sort_by(|a, b| a.order().cmp(&b.order()));
    let header = |uid: &str| HeaderValue::from_str(uid).unwrap_or(HeaderValue::from_static(""));
    let mut tallies = BTreeMap::new();
    let schemas = used.into_iter().filter_map(|spec| {
        let level = levels.get(&spec.level)?.clone();
        let key = (spec.level.clone(), spec.name.clone());
        let tally = objects.tallies.get(&key).cloned().unwrap_or_default();
        tallies.insert(key, tally.clone());
        let level_uid = specs.iter().find(|s| s.name == spec.level).map_or("", |s| s.uid.as_str());
        let (uid, level_uid) = (header(&spec.uid), header(level_uid));
        Some(Arc::new(Schema { spec, level, tally, uid, level_uid }))
    });
    let schemas = schemas.collect();
    objects.tallies = tallies;
    schemas
}

/// Sets the limits of the moment, by the demand of the last `period` or, without one, by what is known of it.
fn divide(config: &Config, period: Option<Duration>) -> bool {
    let mut busy = false;
    let (mut limited, mut wishes, mut left) = (Vec::new(), Vec::new(), f64::from(config.nominal));
    for level in config.levels.values() {
        let demand = match period {
            Some(period) => level.take_demand(period),
            None => *level.demand.lock(),
        };
        let limits = level.limits();
        if level.is_exempt() {
            let limit = f64::from(limits.min).max(demand.peak);
            left -= limit;
            level.set_limit(limit as u32);
            continue;
        }
        // What is smoothed never gets to 0; less than half a seat is nothing.
        busy |= demand.smoothed > f64::from(limits.min).max(0.5);
        let min = demand.peak.min(f64::from(limits.nominal)).max(f64::from(limits.min));
        wishes.push(Wish { target: demand.smoothed.max(min), min, max: f64::from(limits.max) });
        limited.push((level, f64::from(limits.min)));
    }
    let lowest: f64 = limited.iter().map(|(_, min)| min).sum();
    let lower: f64 = wishes.iter().map(|wish| wish.min).sum();
    let seats: Vec<f64> = if left <= lowest {
        limited.iter().map(|(_, min)| *min).collect()
    } else if left <= lower {
        let part = (left - lowest) / (lower - lowest);
        limited.iter().zip(&wishes).map(|((_, min), wish)| min + (wish.min - min) * part).collect()
    } else {
        allocate(f64::from(config.nominal), &wishes).0
    };
    for ((level, _), seats) in limited.iter().zip(seats) {
        level.set_limit(seats.round() as u32);
    }
    busy
}
