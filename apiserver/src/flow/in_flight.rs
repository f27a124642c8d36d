//! Without priority and fairness: at most so many reads and so many writes at once.

use super::TooMany;
use super::level::Seat;
use authn::Caller;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What upstream tells those who are sent away.
const RETRY_AFTER_SECS: i64 = 1;

pub struct InFlight {
    /// Nothing: no limit.
    reads: Option<Arc<Semaphore>>,
    writes: Option<Arc<Semaphore>>,
}

impl InFlight {
    pub fn new(reads: u32, writes: u32) -> Self {
        let room = |limit: u32| (limit > 0).then(|| Arc::new(Semaphore::new(limit as usize)));
        InFlight { reads: room(reads), writes: room(writes) }
    }

    /// Room for a request. Administrators always get an answer.
    pub fn enter(&self, caller: &Caller, verb: &str) -> Result<Seat, TooMany> {
        let reads = matches!(verb, "get" | "list" | "watch");
        let Some(room) = (if reads { &self.reads } else { &self.writes }) else { return Ok(Seat::none()) };
        match room.clone().try_acquire_owned() {
            Ok(permit) => Ok(Seat::in_flight(permit)),
            Err(_) if caller.in_group("system:masters") => Ok(Seat::none()),
            Err(_) => Err(TooMany(RETRY_AFTER_SECS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_are_bounded_apart_and_masters_are_not() {
        let room = InFlight::new(1, 1);
        let (jane, master) = (authn::in_process("jane", &[]), authn::in_process("a", &["system:masters"]));
        let seat = room.enter(&jane, "get").unwrap();
        assert_eq!(room.enter(&jane, "list").err(), Some(TooMany(1)));
        assert!(room.enter(&master, "list").is_ok());
        let write = room.enter(&jane, "create").unwrap();
        assert!(room.enter(&jane, "delete").is_err());
        drop((seat, write));
        assert!(room.enter(&jane, "get").is_ok() && room.enter(&jane, "patch").is_ok());
        let open = InFlight::new(0, 1);
        let all: Vec<_> = (0..1_000).map(|_| open.enter(&jane, "get").unwrap()).collect();
        assert_eq!(all.len(), 1_000);
    }
}
