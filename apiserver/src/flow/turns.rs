//! Turns at the processor: long answers are made in slices, and a slice needs a turn.
//!
//! Seats bound how many requests are at work, but a server of few threads is busy with a handful of long lists, and
//! whoever comes with a small request would wait for all of them. So what takes longer than a slice gives way: it
//! takes a turn for each slice, there are no more turns than threads, callers get them one after the other whatever
//! the number of their requests, and before a slice the thread looks for new requests. A small request therefore
//! waits for one slice at most, and never takes a turn itself.

use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

/// About a third of what a small request takes from end to end, and a hundred times what a turn costs.
const SLICE: Duration = Duration::from_micros(60);

/// Long answers of one caller that are on their way at once: enough to keep threads and connections busy, and few
/// enough that not all of a flood's connections become writable in the same moment.
const LONG_ANSWERS: usize = 4;
/// How long one more waits. Who reads slowly holds up nobody but himself, and not for long.
const PATIENCE: Duration = Duration::from_secs(1);
/// Callers to remember before those without long answers are forgotten.
const REMEMBERED: usize = 1_000;

/// The turns of a server.
#[derive(Clone)]
pub struct Turns(Arc<Mutex<State>>);

struct State {
    free: usize,
    /// Callers who wait, in the order in which they are served, with their requests.
    callers: VecDeque<(u64, VecDeque<oneshot::Sender<Turn>>)>,
    /// Room for the long answers of each caller.
    rooms: HashMap<u64, Arc<Semaphore>>,
}

/// Room for one long answer, given back when dropped.
pub struct Room {
    _held: Option<OwnedSemaphorePermit>,
}

/// One turn; the next caller has it when it is dropped.
struct Turn(Option<Turns>);

impl Turns {
    pub fn new(count: usize) -> Self {
        Turns(Arc::new(Mutex::new(State {
            free: count.max(1),
            callers: VecDeque::new(),
            rooms: HashMap::new(),
        })))
    }

    /// Pace for the work of one request of a caller.
    pub fn pace(&self, caller: &str) -> Pace {
        self.pace_of(id(caller))
    }

    /// The same, for a caller by its id.
    pub fn pace_of(&self, caller: u64) -> Pace {
        Pace { turns: self.clone(), caller, turn: None, since: Instant::now() }
    }

    async fn take(&self, caller: u64) -> Turn {
        let waiting = {
            let mut state = self.0.lock();
            if state.free > 0 {
                state.free -= 1;
                None
            } else {
                let (sender, receiver) = oneshot::channel();
                match state.callers.iter_mut().find(|(id, _)| *id == caller) {
                    Some((_, requests)) => requests.push_back(sender),
                    None => state.callers.push_back((caller, VecDeque::from([sender]))),
                }
                Some(receiver)
            }
        };
        match waiting {
            None => Turn(Some(self.clone())),
            // The sender is dropped only with the state.
            Some(receiver) => receiver.await.unwrap_or(Turn(None)),
        }
    }

    /// Who is next, or one more free turn.
    fn pass_on(&self) -> Option<oneshot::Sender<Turn>> {
        let mut state = self.0.lock();
        let Some((caller, mut requests)) = state.callers.pop_front() else {
            state.free += 1;
            return None;
        };
        let next = requests.pop_front();
        if !requests.is_empty() {
            state.callers.push_back((caller, requests));
        }
        next
    }
}

/// What tells callers apart here.
pub fn id(caller: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    caller.hash(&mut hasher);
    hasher.finish()
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.0.take() else { return };
        while let Some(next) = turns.pass_on() {
            match next.send(Turn(Some(turns.clone()))) {
                Ok(()) => return,
                // Gone meanwhile: the turn is passed on here, and once.
                Err(mut turn) => turn.0 = None,
            }
        }
    }
}

/// The pace of one request.
pub struct Pace {
    turns: Turns,
    caller: u64,
    turn: Option<Turn>,
    since: Instant,
}

impl Pace {
    /// To be called between small pieces of work: gives way when the slice is over.
    pub async fn step(&mut self) {
        if self.since.elapsed() >= SLICE {
            self.next_slice().await;
        }
    }

    /// Begins a slice, after everybody who is before.
    pub async fn next_slice(&mut self) {
        self.turn = None;
        self.turn = Some(self.turns.take(self.caller).await);
        // Requests that have come meanwhile go first.
        tokio::task::yield_now().await;
        self.since = Instant::now();
    }

    /// Room for a long answer, after a while in any case. The turn is given back.
    pub async fn room(&mut self) -> Room {
        self.rest();
        let rooms = {
            let mut state = self.turns.0.lock();
            if state.rooms.len() >= REMEMBERED {
                state.rooms.retain(|_, room| Arc::strong_count(room) > 1);
            }
            let fresh = || Arc::new(Semaphore::new(LONG_ANSWERS));
            state.rooms.entry(self.caller).or_insert_with(fresh).clone()
        };
        let held = tokio::time::timeout(PATIENCE, rooms.acquire_owned()).await;
        Room { _held: held.ok().and_then(Result::ok) }
    }

    /// Gives the turn back; the next step takes one again if the slice is over.
    pub fn rest(&mut self) {
        self.turn = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn callers_alternate_whatever_the_number_of_their_requests() {
        let turns = Turns::new(1);
        let order = Arc::new(Mutex::new(Vec::new()));
        let first = turns.take(0).await;
        let mut tasks = Vec::new();
        for caller in [1, 1, 1, 1, 2, 2] {
            let (turns, order) = (turns.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                let _turn = turns.take(caller).await;
                order.lock().push(caller);
            }));
            tokio::task::yield_now().await;
        }
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock(), [1, 2, 1, 2, 1, 1]);
        assert_eq!(turns.0.lock().free, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn long_answers_of_one_caller_wait_for_each_other_and_for_nobody_else() {
        let turns = Turns::new(1);
        let mut held = Vec::new();
        for _ in 0..LONG_ANSWERS {
            held.push(turns.pace("a").room().await);
        }
        let begin = tokio::time::Instant::now();
        assert!(turns.pace("b").room().await._held.is_some() && begin.elapsed().is_zero());
        let waits = tokio::spawn({
            let turns = turns.clone();
            async move { turns.pace("a").room().await._held.is_some() }
        });
        tokio::task::yield_now().await;
        drop(held.pop());
        assert!(waits.await.unwrap() && begin.elapsed().is_zero());
        held.push(turns.pace("a").room().await);
        assert!(turns.pace("a").room().await._held.is_none() && begin.elapsed() >= PATIENCE);
    }

    #[tokio::test]
    async fn who_does_not_wait_any_more_is_passed_over() {
        let turns = Turns::new(1);
        let first = turns.take(0).await;
        let gone = tokio::spawn({
            let turns = turns.clone();
            async move { drop(turns.take(1).await) }
        });
        tokio::task::yield_now().await;
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        drop(first);
        assert_eq!(turns.0.lock().free, 1);
        drop(turns.take(2).await);
    }
}
