//! When a probe asks: the life of one probe of one container's name, over all containers that bear it.
//!
//! Turns stand on a grid that begins when the pod is first followed, one each period, as upstream's do; only readiness
//! is asked at once when it may be. A probe sleeps while there is nothing to ask.

use super::ask::Ask;
use super::judge::{Judge, Kind, Pace, container_id, state_of};
use super::results::{Table, ran_before};
use crate::pod::spec;
use api::Value;
use api::resources::is_sidecar;
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Time};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// A pod as it was last told.
pub struct Seen {
    pub pod: Arc<Value>,
    pub status: Arc<Value>,
}

impl Seen {
    /// The status of a container, once it has been made.
    pub fn container(&self, name: &str) -> Option<&Value> {
        let lists = ["containerStatuses", "initContainerStatuses"];
        let mut all = lists.iter().flat_map(|list| self.status.list_at(&[list]));
        all.find(|c| c.str_at(&["name"]) == name && !container_id(c).is_empty())
    }
}

pub struct Turns<A> {
    pub container: String,
    pub kind: Kind,
    pub seen: watch::Receiver<Arc<Seen>>,
    pub asker: Arc<A>,
    pub table: Arc<Table>,
    pub clock: Clock,
    /// When the kubelet started, by both clocks.
    pub kubelet_start: (Instant, Time),
    /// From 0 to 1: where in its first period a probe begins after the kubelet started anew.
    pub chance: f64,
}

/// Where a probe stands.
struct Place {
    /// The container that is asked, "" before there is one.
    id: String,
    /// Nothing is asked until another container follows.
    on_hold: bool,
    judge: Judge,
    due: Instant,
}

/// What is to be done now.
#[derive(Debug, PartialEq)]
enum Step {
    Ask,
    /// Nothing before then.
    At(Instant),
    /// Nothing before the pod changes.
    OnNews,
    Over,
}

impl<A: Ask> Turns<A> {
    /// Probes until the container is through for good, or the pod is forgotten.
    pub async fn run(mut self) {
        let seen = self.seen.borrow_and_update().clone();
        let Some(pace) = self.probe(&seen).map(Pace::of) else { return };
        let mut due = Instant::now();
        if pace.period > due - self.kubelet_start.0 {
            due += pace.period.mul_f64(self.chance);
        }
        let mut place = Place { id: String::new(), on_hold: false, judge: Judge::default(), due };
        loop {
            let seen = self.seen.borrow_and_update().clone();
            match self.step(&seen, &pace, &mut place) {
                Step::Ask => self.ask(&seen, &pace, &mut place).await,
                Step::At(instant) => tokio::select! {
                    () = sleep_until(instant) => {}
                    news = self.seen.changed() => if news.is_err() { return },
                },
                Step::OnNews => {
                    if self.seen.changed().await.is_err() {
                        return;
                    }
                }
                Step::Over => return,
            }
        }
    }

    fn probe<'a>(&self, seen: &'a Seen) -> Option<&'a Value> {
        spec::container(&seen.pod, &self.container).and_then(|(_, container)| self.kind.of(container))
    }

    fn set(&self, seen: &Seen, id: &str, good: bool) {
        self.table.set(spec::uid(&seen.pod), id, self.kind, Some(good));
    }

    fn step(&self, seen: &Seen, pace: &Pace, place: &mut Place) -> Step {
        if spec::is_terminal(seen.status.str_at(&["phase"])) {
            return Step::Over;
        }
        let Some(status) = seen.container(&self.container) else { return Step::OnNews };
        let Some((_, container)) = spec::container(&seen.pod, &self.container) else { return Step::Over };
        if container_id(status) != place.id {
            self.begin(seen, status, is_sidecar(container), pace, place);
        }
        if place.on_hold {
            return Step::OnNews;
        }
        if state_of(status) != "running" {
            self.set(seen, &place.id, false);
            let code = status.i64_at(&["state", "terminated", "exitCode"]);
            let code = code.and_then(|code| i32::try_from(code).ok());
            let comes_back = code.is_none_or(|code| {
                spec::restarts(&seen.pod, container, code) || spec::may_restart_all(&seen.pod)
            });
            return if comes_back { Step::OnNews } else { Step::Over };
        }
        if spec::is_leaving(&seen.pod) && self.kind != Kind::Readiness {
            // Stopping is nothing to complain of.
            self.set(seen, &place.id, true);
            return Step::Over;
        }
        self.turn(status, pace, place)
    }

    /// Another container bears the name.
    fn begin(&self, seen: &Seen, status: &Value, sidecar: bool, pace: &Pace, place: &mut Place) {
        if !place.id.is_empty() {
            self.table.remove(&place.id);
        }
        container_id(status).clone_into(&mut place.id);
        place.on_hold = false;
        let now = Instant::now();
        place.due = on_grid(place.due, pace.period, now);
        if ran_before(status, self.kubelet_start.1) {
            // What the API says of it holds until it is asked.
            if sidecar && self.kind == Kind::Startup && status.bool_at(&["started"]) {
                self.set(seen, &place.id, true);
            }
            return;
        }
        self.table.set(spec::uid(&seen.pod), &place.id, self.kind, self.kind.at_first());
        if self.kind == Kind::Readiness {
            place.due = now;
        }
    }

    /// A running container: asked when it has its time, once it has started.
    fn turn(&self, status: &Value, pace: &Pace, place: &mut Place) -> Step {
        let known = self.table.get(&place.id).started == Some(true);
        let started = known || status.bool_at(&["started"]);
        if started == (self.kind == Kind::Startup) {
            return Step::OnNews;
        }
        let now = Instant::now();
        let ran = api::time::parse(status.str_at(&["state", "running", "startedAt"]));
        let ran = ran.map_or(Duration::MAX, |since| self.clock.now().since(since));
        if let Some(early) = pace.initial_delay.checked_sub(ran).filter(|early| !early.is_zero()) {
            place.due = match self.kind {
                Kind::Readiness => now + early,
                _ => on_grid(place.due, pace.period, now + early),
            };
        }
        if place.due > now {
            return Step::At(place.due);
        }
        if self.kind == Kind::Readiness {
            // Its grid begins anew with an answer that could not be had before.
            place.due = now;
        }
        Step::Ask
    }

    async fn ask(&self, seen: &Seen, pace: &Pace, place: &mut Place) {
        let answer = self.asker.ask(self.kind, seen, &self.container, &place.id).await;
        place.due += pace.period;
        // Of turns that were missed meanwhile one is made up for.
        let missed = on_grid(place.due, pace.period, Instant::now());
        if missed > place.due {
            place.due = missed - pace.period;
        }
        let Some(good) = answer else { return };
        let Some(good) = place.judge.hear(good, pace) else { return };
        if self.kind == Kind::Startup || self.kind == Kind::Liveness && !good {
            place.on_hold = true;
            place.judge.reset();
        }
        self.set(seen, &place.id, good);
    }
}

/// The first turn not before `earliest`, turns being a period apart and `turn` one of them.
fn on_grid(turn: Instant, period: Duration, earliest: Instant) -> Instant {
    let late = earliest.saturating_duration_since(turn).as_nanos();
    let turns = late.div_ceil(period.as_nanos().max(1));
    turn + period.saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX))
}
