//! What was seen of a schema's requests, for metrics; plain counters, no locks.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of times, in milliseconds; upstream's.
pub const BOUNDS_MS: [u64; 13] = [0, 5, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000];

/// Why a request was sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No seat is free, and the level has no queues.
    ConcurrencyLimit,
    QueueFull,
    TimeOut,
}

impl Reason {
    pub const ALL: [Reason; 3] = [Reason::ConcurrencyLimit, Reason::QueueFull, Reason::TimeOut];

    pub fn as_str(self) -> &'static str {
        match self {
            Reason::ConcurrencyLimit => "concurrency-limit",
            Reason::QueueFull => "queue-full",
            Reason::TimeOut => "time-out",
        }
    }
}

/// How often something took how long.
#[derive(Default)]
pub struct Times {
    buckets: [AtomicU64; BOUNDS_MS.len() + 1],
    micros: AtomicU64,
}

impl Times {
    pub fn add(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MS.partition_point(|bound| bound * 1_000 < micros);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// The count of each bucket, and the sum in microseconds.
    pub fn read(&self) -> ([u64; BOUNDS_MS.len() + 1], u64) {
        let counts = std::array::from_fn(|i| self.buckets[i].load(Ordering::Relaxed));
        (counts, self.micros.load(Ordering::Relaxed))
    }
}

/// Counters of one schema at one level.
#[derive(Default)]
pub struct Tally {
    pub dispatched: AtomicU64,
    rejected: [AtomicU64; Reason::ALL.len()],
    pub waiting: AtomicI64,
    pub waiting_seats: AtomicI64,
    pub executing: AtomicI64,
    pub executing_seats: AtomicI64,
    /// Of those that had to wait, and got a seat; the others did not wait at all.
    pub waited: Times,
    /// Of those that waited in vain.
    pub waited_in_vain: Times,
    pub executed: Times,
}

impl Tally {
    pub fn reject(&self, reason: Reason) {
        self.rejected[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn rejected(&self, reason: Reason) -> u64 {
        self.rejected[reason as usize].load(Ordering::Relaxed)
    }

    /// A request of so many seats begins.
    pub fn began(&self, seats: u32) {
        self.dispatched.fetch_add(1, Ordering::Relaxed);
        self.executing.fetch_add(1, Ordering::Relaxed);
        self.executing_seats.fetch_add(i64::from(seats), Ordering::Relaxed);
    }

    pub fn ended(&self, seats: u32, took: Duration) {
        self.executing.fetch_sub(1, Ordering::Relaxed);
        self.executing_seats.fetch_sub(i64::from(seats), Ordering::Relaxed);
        self.executed.add(took);
    }

    /// A request of so many seats enters a queue (+1) or leaves it (-1).
    pub fn queued(&self, by: i64, seats: u32) {
        self.waiting.fetch_add(by, Ordering::Relaxed);
        self.waiting_seats.fetch_add(by * i64::from(seats), Ordering::Relaxed);
    }
}
