//! A priority level: so many seats, and queues for those who find none free.
//!
//! While nobody waits a seat costs one compare-and-swap, and the queues are not looked at. Seats in use and requests
//! waiting are one atomic number, so that nobody overtakes who waits and no seat given back goes unnoticed.

use super::queues::{Queues, Shape, Who};
use super::schema::Schema;
use super::tally::{Reason, Tally};
use api::Value;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

/// How long a request may wait: a quarter of the time it has altogether, as upstream.
const WAIT: Duration = Duration::from_secs(stdx::limits::REQUEST_TIMEOUT.as_secs() / 4);
/// One waiting request in `Level::state`; seats in use are counted below.
const ONE_WAITING: u64 = 1 << 32;

/// What a PriorityLevelConfiguration says.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    pub name: String,
    pub uid: String,
    pub exempt: bool,
    pub shares: f64,
    pub lendable_percent: f64,
    /// Nothing: as much as there is.
    pub borrowing_percent: Option<f64>,
    /// Nothing: who finds no seat is sent away.
    pub queuing: Option<Shape>,
}

impl Spec {
    /// Nothing when the object contradicts itself, so that it counts as missing.
    pub fn read(obj: &Value) -> Option<Self> {
        let name = obj.str_at(&["metadata", "name"]);
        let exempt = obj.str_at(&["spec", "type"]) == "Exempt";
        let part = obj.at(&["spec", if exempt { "exempt" } else { "limited" }]).filter(|p| !p.is_null())?;
        if exempt != (name == "exempt") {
            return None;
        }
        let number = |value: Option<i64>| value.and_then(|v| u32::try_from(v).ok()).map(f64::from);
        let queuing = part.at(&["limitResponse", "queuing"]).filter(|q| !q.is_null());
        let shape = |q: &Value| {
            let size = |field| usize::try_from(q.i64_at(&[field])?).ok().filter(|n| *n > 0);
            Some(Shape {
                queues: size("queues")?,
                hand: size("handSize")?,
                length: size("queueLengthLimit")?,
            })
        };
        let queues = part.str_at(&["limitResponse", "type"]) == "Queue";
        if queues != queuing.is_some() {
            return None;
        }
        Some(Spec {
            name: name.to_owned(),
            uid: obj.str_at(&["metadata", "uid"]).to_owned(),
            exempt,
            shares: number(part.i64_at(&["nominalConcurrencyShares"])).unwrap_or_default(),
            lendable_percent: number(part.i64_at(&["lendablePercent"])).unwrap_or_default(),
            borrowing_percent: number(part.i64_at(&["borrowingLimitPercent"])),
            queuing: queuing.map(shape).unwrap_or_default(),
        })
    }

    /// The level that is there even when its object is not: `exempt` or `catch-all`.
    pub fn mandatory(name: &str) -> Self {
        let exempt = name == "exempt";
        Spec {
            name: name.to_owned(),
            uid: String::new(),
            exempt,
            shares: if exempt { 0.0 } else { 5.0 },
            lendable_percent: 0.0,
            borrowing_percent: None,
            queuing: None,
        }
    }
}

/// How many seats a level has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub nominal: u32,
    pub min: u32,
    pub max: u32,
    /// What one request may have at most; 0 where the level does not say.
    pub widest: u32,
}

/// How many seats a level could have used over some time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demand {
    pub peak: f64,
    pub average: f64,
    pub deviation: f64,
    /// Falls slowly, with a half-life of 5 minutes.
    pub smoothed: f64,
}

pub struct Level {
    pub name: String,
    exempt: bool,
    /// Seats in use, and `ONE_WAITING` for each request that waits.
    state: AtomicU64,
    waiting_seats: AtomicU32,
    /// How many seats there are now.
    limit: AtomicU32,
    limits: Mutex<Limits>,
    /// Whether it has queues.
    queuing: AtomicBool,
    pub queues: Mutex<Queues>,
    /// The most seats used and waited for at once since this was last asked, and seat-microseconds since then.
    peak: AtomicU32,
    busy_micros: AtomicU64,
    pub demand: Mutex<Demand>,
    pub executing: AtomicU32,
    pub dispatched: AtomicU64,
    pub rejected: AtomicU64,
    pub timed_out: AtomicU64,
    pub cancelled: AtomicU64,
    /// Told when a request finds no seat.
    contended: Arc<Notify>,
}

/// The right to be at work. Given back when dropped, or before.
#[derive(Debug)]
pub struct Seat(Held);

#[derive(Debug)]
enum Held {
    /// Nothing: the request needs no seat.
    Nothing,
    Seats(Taken),
    /// One of those in flight, held until it is dropped.
    InFlight {
        _permit: OwnedSemaphorePermit,
    },
}

struct Taken {
    level: Arc<Level>,
    tally: Arc<Tally>,
    seats: u32,
    since: Instant,
    queue: Option<usize>,
    released: AtomicBool,
}

impl Level {
    pub fn new(name: &str, exempt: bool, contended: Arc<Notify>) -> Self {
        Level {
            name: name.to_owned(),
            exempt,
            state: AtomicU64::new(0),
            waiting_seats: AtomicU32::new(0),
            limit: AtomicU32::new(0),
            limits: Mutex::default(),
            queuing: AtomicBool::new(false),
            queues: Mutex::default(),
            peak: AtomicU32::new(0),
            busy_micros: AtomicU64::new(0),
            demand: Mutex::default(),
            executing: AtomicU32::new(0),
            dispatched: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            contended,
        }
    }

    pub fn is_exempt(&self) -> bool {
        self.exempt
    }

    pub fn limits(&self) -> Limits {
        *self.limits.lock()
    }

    /// Changes what the level has; its limit of the moment is set apart.
    pub fn configure(&self, limits: Limits, shape: Option<Shape>) {
        *self.limits.lock() = limits;
        self.queuing.store(shape.is_some(), Ordering::Relaxed);
        self.queues.lock().reshape(shape);
    }

    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    pub fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::SeqCst);
        self.dispatch(&mut self.queues.lock());
    }

    /// Seats in use, and requests that wait.
    pub fn load(&self) -> (u32, u32) {
        split(self.state.load(Ordering::Relaxed))
    }

    pub fn is_idle(&self) -> bool {
        self.state.load(Ordering::Relaxed) == 0
    }

    /// Whether `seats` more find room. Who is wider than the level runs alone; who waits for a level without seats
    /// waits until it borrows some.
    fn fits(&self, used: u32, seats: u32) -> bool {
        let limit = self.limit();
        let alone = || seats > limit && used == 0 && (limit > 0 || !self.queuing.load(Ordering::Relaxed));
        self.exempt || used + seats <= limit || alone()
    }

    /// A seat for a request of `schema`, if one is free and nobody waits.
    pub fn try_enter(self: &Arc<Self>, schema: &Schema, seats: u32) -> Option<Seat> {
        self.try_take(seats).then(|| self.seat(schema, seats, None))
    }

    /// A seat when it is this request's turn; `hash` picks the queues of its flow.
    pub async fn wait(
        self: &Arc<Self>,
        schema: &Schema,
        seats: u32,
        hash: u64,
        who: Who,
    ) -> Result<Seat, Reason> {
        self.contended.notify_one();
        let outcome = self.queue(schema, seats, hash, who).await;
        if let Err(reason) = outcome {
            self.rejected.fetch_add(1, Ordering::Relaxed);
            schema.tally.reject(reason);
        }
        outcome
    }

    /// Takes seats unless somebody waits, or too few are free.
    fn try_take(&self, seats: u32) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let (used, waiting) = split(state);
            if !self.exempt && (waiting > 0 || !self.fits(used, seats)) {
                return false;
            }
            let wanted = state + u64::from(seats);
            match self.state.compare_exchange_weak(state, wanted, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => {
                    self.note_demand(used + seats);
                    return true;
                }
                Err(found) => state = found,
            }
        }
    }

    fn note_demand(&self, seats: u32) {
        if seats > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(seats, Ordering::Relaxed);
        }
    }

    fn seat(self: &Arc<Self>, schema: &Schema, seats: u32, queue: Option<usize>) -> Seat {
        self.executing.fetch_add(1, Ordering::Relaxed);
        self.dispatched.fetch_add(1, Ordering::Relaxed);
        schema.tally.began(seats);
        Seat(Held::Seats(Taken {
            level: self.clone(),
            tally: schema.tally.clone(),
            seats,
            since: Instant::now(),
            queue,
            released: AtomicBool::new(false),
        }))
    }

    async fn queue(
        self: &Arc<Self>,
        schema: &Schema,
        seats: u32,
        hash: u64,
        who: Who,
    ) -> Result<Seat, Reason> {
        let since = Instant::now();
        let mut turn = self.enqueue(schema, seats, hash, who)?;
        let granted = timeout(WAIT, &mut turn.granted).await;
        let waited = since.elapsed();
        match granted {
            Ok(Ok(queue)) => {
                turn.begun = true;
                schema.tally.waited.add(waited);
                Ok(self.seat(schema, seats, Some(queue)))
            }
            _ => {
                schema.tally.waited_in_vain.add(waited);
                self.timed_out.fetch_add(1, Ordering::Relaxed);
                Err(Reason::TimeOut)
            }
        }
    }

    fn enqueue<'a>(
        self: &'a Arc<Self>,
        schema: &'a Schema,
        seats: u32,
        hash: u64,
        who: Who,
    ) -> Result<Turn<'a>, Reason> {
        let (grant, granted) = oneshot::channel();
        let mut queues = self.queues.lock();
        if queues.shape().is_none() {
            return Err(Reason::ConcurrencyLimit);
        }
        let (used, _) = self.load();
        let full = used >= self.limit();
        let (id, queue) = queues.enqueue(hash, seats, who, full, grant).ok_or(Reason::QueueFull)?;
        self.state.fetch_add(ONE_WAITING, Ordering::SeqCst);
        let waiting = self.waiting_seats.fetch_add(seats, Ordering::Relaxed) + seats;
        self.note_demand(used + waiting);
        schema.tally.queued(1, seats);
        // Somebody may have left between the attempt without a lock and this.
        self.dispatch(&mut queues);
        Ok(Turn { level: self, tally: &schema.tally, seats, id, queue, granted, begun: false })
    }

    /// Lets those begin whose turn it is, as long as there are seats.
    fn dispatch(&self, queues: &mut Queues) {
        while let Some((index, seats)) = queues.next() {
            if !self.take_for_waiting(seats) {
                return;
            }
            self.waiting_seats.fetch_sub(seats, Ordering::Relaxed);
            let Some(ticket) = queues.begin(index) else { return };
            if ticket.grant.send(index).is_err() {
                queues.end(index, seats, 0.0);
                self.state.fetch_sub(u64::from(seats), Ordering::SeqCst);
            }
        }
    }

    /// Turns one waiting request into seats in use, if they are free.
    fn take_for_waiting(&self, seats: u32) -> bool {
        let fits = |state| {
            let (used, waiting) = split(state);
            (waiting > 0 && self.fits(used, seats)).then(|| state - ONE_WAITING + u64::from(seats))
        };
        self.state.fetch_update(Ordering::SeqCst, Ordering::Relaxed, fits).is_ok()
    }

    /// Seats are free again.
    fn release(&self, seats: u32, queue: Option<usize>, took: Duration) {
        self.executing.fetch_sub(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.busy_micros.fetch_add(micros.saturating_mul(u64::from(seats)), Ordering::Relaxed);
        self.give_back(seats, queue, took);
    }

    fn give_back(&self, seats: u32, queue: Option<usize>, took: Duration) {
        let (_, waiting) = split(self.state.fetch_sub(u64::from(seats), Ordering::SeqCst));
        if queue.is_none() && waiting == 0 {
            return;
        }
        let mut queues = self.queues.lock();
        if let Some(queue) = queue {
            queues.end(queue, seats, took.as_secs_f64());
        }
        self.dispatch(&mut queues);
    }

    /// What was used and waited for since this was last asked, `period` ago.
    pub fn take_demand(&self, period: Duration) -> Demand {
        let (used, _) = self.load();
        let now = used + self.waiting_seats.load(Ordering::Relaxed);
        let peak = f64::from(self.peak.swap(now, Ordering::Relaxed).max(now));
        let micros = self.busy_micros.swap(0, Ordering::Relaxed);
        // Requests that began before the period, or have not ended, are not told apart.
        let average = (micros as f64 / period.as_micros().max(1) as f64).clamp(0.0, peak);
        let average = average.max(if micros == 0 { f64::from(now) } else { 0.0 });
        // The most that a number between 0 and the peak can vary around its average.
        let deviation = ((peak - average).max(0.0) * average).sqrt();
        let mut demand = self.demand.lock();
        let envelope = average + deviation;
        const DECAY: f64 = 0.977;
        let smoothed = envelope.max(DECAY * demand.smoothed + (1.0 - DECAY) * envelope);
        *demand = Demand { peak, average, deviation, smoothed };
        *demand
    }
}

impl std::fmt::Debug for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.seats, self.level.name)
    }
}

fn split(state: u64) -> (u32, u32) {
    let low = u32::try_from(state & (ONE_WAITING - 1)).unwrap_or(u32::MAX);
    (low, u32::try_from(state >> 32).unwrap_or(u32::MAX))
}

/// A place in a queue; left when dropped, whatever became of it.
struct Turn<'a> {
    level: &'a Arc<Level>,
    tally: &'a Tally,
    seats: u32,
    id: u64,
    queue: usize,
    granted: oneshot::Receiver<usize>,
    /// The grant was taken up.
    begun: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.tally.queued(-1, self.seats);
        if self.begun {
            return;
        }
        self.granted.close();
        self.level.cancelled.fetch_add(1, Ordering::Relaxed);
        if let Ok(queue) = self.granted.try_recv() {
            // Granted in the moment of giving up.
            self.level.give_back(self.seats, Some(queue), Duration::ZERO);
            return;
        }
        let mut queues = self.level.queues.lock();
        if queues.leave(self.queue, self.id).is_some() {
            self.level.state.fetch_sub(ONE_WAITING, Ordering::SeqCst);
            self.level.waiting_seats.fetch_sub(self.seats, Ordering::Relaxed);
            // A narrower request may be next now.
            self.level.dispatch(&mut queues);
        }
    }
}

impl Seat {
    /// For requests that need none.
    pub fn none() -> Self {
        Seat(Held::Nothing)
    }

    pub fn in_flight(permit: OwnedSemaphorePermit) -> Self {
        Seat(Held::InFlight { _permit: permit })
    }

    /// Gives the seat back before the request ends, as watches do once they are under way.
    pub fn release(&self) {
        let Held::Seats(taken) = &self.0 else { return };
        if !taken.released.swap(true, Ordering::Relaxed) {
            let took = taken.since.elapsed();
            taken.tally.ended(taken.seats, took);
            taken.level.release(taken.seats, taken.queue, took);
        }
    }
}

/// A seat that goes with an answer, and is given back when the request's time is over all the same: who reads slowly
/// keeps nobody waiting.
#[derive(Clone, Debug)]
pub struct Kept {
    _seat: Arc<Keeping>,
}

#[derive(Debug)]
struct Keeping {
    seat: Arc<Seat>,
    timer: AbortHandle,
}

impl Seat {
    pub fn keep(self) -> Kept {
        let seat = Arc::new(self);
        let held = seat.clone();
        let timer = tokio::spawn(async move {
            tokio::time::sleep(stdx::limits::REQUEST_TIMEOUT).await;
            held.release();
        });
        Kept { _seat: Arc::new(Keeping { seat, timer: timer.abort_handle() }) }
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.timer.abort();
        self.seat.release();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.release();
    }
}
