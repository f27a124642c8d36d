//! The streams of a connection: who takes what comes in on each, how much may go out, which half is over.

use super::Role;
use super::frame::{PROTOCOL_ERROR, REFUSED};
use crate::streams::pipe::{FIRST_WINDOW, Gate};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// The most streams that are open at once; a forwarded connection takes two.
const MOST_STREAMS: usize = 4096;

pub struct Table {
    role: Role,
    /// How much may go out on the whole connection.
    pub all: Arc<Gate>,
    state: Mutex<State>,
}

struct State {
    entries: HashMap<u32, Entry>,
    /// The last stream that the other side made, and the next one of ours.
    last: u32,
    next: u32,
    first_window: u32,
    /// The other side tells how much it takes.
    counts: bool,
}

struct Entry {
    /// None: the other side sends nothing more.
    to: Option<mpsc::Sender<Bytes>>,
    gate: Arc<Gate>,
    /// We send nothing more.
    finished: bool,
    accepted: Option<oneshot::Sender<()>>,
}

impl Table {
    pub fn new(role: Role) -> Self {
        let next = if role == Role::Client { 1 } else { 2 };
        let state =
            State { entries: HashMap::new(), last: 0, next, first_window: FIRST_WINDOW, counts: false };
        Table { role, all: Gate::new(FIRST_WINDOW, false), state: Mutex::new(state) }
    }

    /// The other side made a stream.
    ///
    /// # Errors
    /// The reason of the reset when it may not.
    pub fn opened(&self, stream: u32, to: Option<mpsc::Sender<Bytes>>) -> Result<Arc<Gate>, u32> {
        let mut state = self.state.lock();
        if stream <= state.last || !self.theirs(stream) {
            return Err(PROTOCOL_ERROR);
        }
        if state.entries.len() >= MOST_STREAMS {
            return Err(REFUSED);
        }
        state.last = stream;
        Ok(state.insert(stream, to, None))
    }

    /// Whether a number is one that the other side gives.
    pub fn theirs(&self, id: u32) -> bool {
        (id % 2 == 1) == (self.role == Role::Server)
    }

    /// Room for a stream of ours: its number, its gate, and when it is accepted. None: all numbers are used.
    pub fn open(&self, to: mpsc::Sender<Bytes>) -> Option<(u32, Arc<Gate>, oneshot::Receiver<()>)> {
        let mut state = self.state.lock();
        let stream = state.next;
        if stream > i32::MAX.unsigned_abs() {
            return None;
        }
        state.next = stream.saturating_add(2);
        let (accepted, receiver) = oneshot::channel();
        Some((stream, state.insert(stream, Some(to), Some(accepted)), receiver))
    }

    pub fn accepted(&self, stream: u32) {
        let waiting = self.state.lock().entries.get_mut(&stream).and_then(|entry| entry.accepted.take());
        let _ = waiting.map(|waiting| waiting.send(()));
    }

    /// Who takes what comes in; None: nobody any more.
    pub fn taker(&self, stream: u32) -> Option<mpsc::Sender<Bytes>> {
        self.state.lock().entries.get(&stream)?.to.clone()
    }

    /// The other side sends nothing more.
    pub fn ended(&self, stream: u32) {
        self.half(stream, |entry| entry.to = None);
    }

    /// We send nothing more.
    pub fn finished(&self, stream: u32) {
        self.half(stream, |entry| entry.finished = true);
    }

    fn half(&self, stream: u32, over: impl FnOnce(&mut Entry)) {
        let mut state = self.state.lock();
        let Some(entry) = state.entries.get_mut(&stream) else { return };
        over(entry);
        if entry.finished && entry.to.is_none() {
            state.entries.remove(&stream);
        }
    }

    /// The stream is over.
    pub fn reset(&self, stream: u32) {
        if let Some(entry) = self.state.lock().entries.remove(&stream) {
            entry.gate.shut();
        }
    }

    /// The other side took so much; of stream 0: on the connection.
    pub fn widen(&self, stream: u32, by: u32) {
        let mut state = self.state.lock();
        state.count(&self.all);
        if stream == 0 {
            self.all.widen(i64::from(by));
        } else if let Some(entry) = state.entries.get(&stream) {
            entry.gate.widen(i64::from(by));
        }
    }

    /// How much the other side takes on a stream before it says so.
    pub fn first_window(&self, window: u32) {
        let mut state = self.state.lock();
        state.count(&self.all);
        let more = i64::from(window) - i64::from(state.first_window);
        state.first_window = window;
        state.entries.values().for_each(|entry| entry.gate.widen(more));
    }

    pub fn last(&self) -> u32 {
        self.state.lock().last
    }

    /// The connection is over.
    pub fn clear(&self) {
        self.all.shut();
        let entries = std::mem::take(&mut self.state.lock().entries);
        entries.values().for_each(|entry| entry.gate.shut());
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.state.lock().entries.len()
    }
}

impl State {
    fn insert(
        &mut self,
        stream: u32,
        to: Option<mpsc::Sender<Bytes>>,
        accepted: Option<oneshot::Sender<()>>,
    ) -> Arc<Gate> {
        let gate = Gate::new(self.first_window, self.counts);
        self.entries.insert(stream, Entry { to, gate: gate.clone(), finished: false, accepted });
        gate
    }

    /// The other side has shown that it counts what it takes.
    fn count(&mut self, all: &Gate) {
        if !std::mem::replace(&mut self.counts, true) {
            all.count();
            self.entries.values().for_each(|entry| entry.gate.count());
        }
    }
}
