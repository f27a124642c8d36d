//! The ends of one stream on a connection that carries several: an `Inlet` gives what the client sends, an `Outlet`
//! takes what goes to it. Both are bounded; `Outgoing` is what the task that writes a connection is told to write.

use super::spdy::Headers;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};

/// How many pieces wait in one direction of a stream, and on the way out of a connection.
const WAITING_PIECES: usize = 32;
/// The largest piece that is sent at once.
pub const PIECE: usize = 32 << 10;
/// How many bytes SPDY lets a side send on a stream before it is told that some were taken.
pub const FIRST_WINDOW: u32 = 64 << 10;

/// The other side is not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// To be written on a connection, in order.
#[derive(Debug)]
pub enum Outgoing {
    Data(u32, Bytes),
    /// Nothing more comes on this stream.
    Finish(u32),
    /// The stream is over, in both directions.
    Reset(u32, u32),
    /// Asks whether the other side is there, or answers that.
    Ping(u32),
    /// SPDY: makes a stream, accepts one, tells that bytes were taken (stream 0: on the connection),
    /// announces the end.
    Open(u32, Headers),
    Reply(u32),
    Credit(u32, u32),
    GoAway(u32),
}

/// How often we look whether the other side is there while nobody takes what it sent.
const PING_EVERY: Duration = Duration::from_secs(10);

/// Hands a piece on; it goes nowhere when nobody takes any. The socket is not read until there is room, and its end not
/// seen: `ping` is called meanwhile, as what is written to nobody shows it.
pub async fn hand_on(taker: &mpsc::Sender<Bytes>, piece: Bytes, ping: impl Fn()) {
    let Err(TrySendError::Full(piece)) = taker.try_send(piece) else { return };
    let room = taker.send(piece);
    tokio::pin!(room);
    while tokio::time::timeout(PING_EVERY, &mut room).await.is_err() {
        ping();
    }
}

pub type Outbox = mpsc::Sender<Outgoing>;

pub fn outbox() -> (Outbox, mpsc::Receiver<Outgoing>) {
    mpsc::channel(WAITING_PIECES)
}

/// Gives what the other side sends on a stream.
#[derive(Debug)]
pub struct Inlet {
    pieces: mpsc::Receiver<Bytes>,
    credit: Option<Credit>,
}

/// Tells the other side, now and then, how much was taken.
#[derive(Debug)]
struct Credit {
    stream: u32,
    taken: u32,
    outbox: mpsc::WeakSender<Outgoing>,
}

impl Inlet {
    pub fn new() -> (mpsc::Sender<Bytes>, Inlet) {
        let (sender, pieces) = mpsc::channel(WAITING_PIECES);
        (sender, Inlet { pieces, credit: None })
    }

    /// From now on it says what it took.
    pub fn credit(&mut self, stream: u32, outbox: &Outbox) {
        self.credit = Some(Credit { stream, taken: 0, outbox: outbox.downgrade() });
    }

    /// None: the other side has ended the stream, or is gone.
    pub async fn next(&mut self) -> Option<Bytes> {
        let piece = self.pieces.recv().await?;
        if let Some(credit) = &mut self.credit {
            credit.take(piece.len());
        }
        Some(piece)
    }

    /// All that comes until the end, as far as it is not longer than `most` bytes.
    pub async fn rest(&mut self, most: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(piece) = self.next().await {
            let room = most.saturating_sub(all.len()).min(piece.len());
            all.extend_from_slice(&piece[..room]);
        }
        all
    }
}

impl Credit {
    fn take(&mut self, bytes: usize) {
        self.taken = self.taken.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if self.taken < FIRST_WINDOW / 2 {
            return;
        }
        // Full: what was taken is told with the next piece.
        let Some(outbox) = self.outbox.upgrade() else { return };
        if outbox.try_send(Outgoing::Credit(self.stream, self.taken)).is_ok() {
            self.taken = 0;
        }
    }
}

/// Takes what goes to the other side on a stream.
#[derive(Clone, Debug)]
pub struct Outlet {
    stream: u32,
    outbox: Outbox,
    gate: Arc<Gate>,
    /// That of the whole connection.
    all: Arc<Gate>,
}

impl Outlet {
    pub fn new(stream: u32, outbox: Outbox, gate: Arc<Gate>, all: Arc<Gate>) -> Self {
        Outlet { stream, outbox, gate, all }
    }

    /// # Errors
    /// When the other side has ended the stream or is gone.
    pub async fn send(&self, mut data: Bytes) -> Result<(), Gone> {
        while !data.is_empty() {
            let allowed = self.gate.take(data.len().min(PIECE)).await?;
            let piece = self.all.take(allowed).await?;
            self.gate.give(allowed - piece);
            self.write(Outgoing::Data(self.stream, data.split_to(piece))).await?;
        }
        Ok(())
    }

    /// An empty piece, that only shows that the stream is there.
    pub async fn greet(&self) -> Result<(), Gone> {
        self.write(Outgoing::Data(self.stream, Bytes::new())).await
    }

    /// Nothing more comes.
    pub async fn finish(&self) {
        let _ = self.write(Outgoing::Finish(self.stream)).await;
    }

    /// The stream is over in both directions.
    pub async fn reset(&self) {
        let _ = self.write(Outgoing::Reset(self.stream, super::spdy::CANCEL)).await;
    }

    /// SPDY: accepts the stream.
    pub async fn reply(&self) {
        let _ = self.write(Outgoing::Reply(self.stream)).await;
    }

    /// Waits until the other side does not want any more.
    pub async fn closed(&self) {
        tokio::select! {
            () = self.gate.shut_down() => {}
            () = self.all.shut_down() => {}
        }
    }

    async fn write(&self, outgoing: Outgoing) -> Result<(), Gone> {
        self.outbox.send(outgoing).await.map_err(|_| Gone)
    }
}

/// How much may be sent. SPDY says how much the other side takes, but the SPDY of Kubernetes never did: a gate counts from
/// the start, and holds back only once the other side has shown that it counts too.
#[derive(Debug)]
pub struct Gate {
    state: Mutex<GateState>,
    changed: Notify,
}

#[derive(Debug)]
struct GateState {
    left: i64,
    counts: bool,
    shut: bool,
}

impl Gate {
    pub fn new(left: u32, counts: bool) -> Arc<Self> {
        let state = Mutex::new(GateState { left: i64::from(left), counts, shut: false });
        Arc::new(Gate { state, changed: Notify::new() })
    }

    /// Waits until some may be sent, and takes at most `wanted`.
    async fn take(&self, wanted: usize) -> Result<usize, Gone> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(taken) = self.try_take(wanted)? {
                return Ok(taken);
            }
            changed.await;
        }
    }

    fn try_take(&self, wanted: usize) -> Result<Option<usize>, Gone> {
        let mut state = self.state.lock();
        if state.shut {
            return Err(Gone);
        }
        let left = usize::try_from(state.left).unwrap_or(0);
        let taken = if state.counts { left.min(wanted) } else { wanted };
        state.left = state.left.saturating_sub(i64::try_from(taken).unwrap_or(i64::MAX));
        Ok((taken > 0 || wanted == 0).then_some(taken))
    }

    /// More may be sent: what was not used, what the other side took, how its windows differ from before.
    pub fn widen(&self, by: i64) {
        let mut state = self.state.lock();
        state.left = state.left.saturating_add(by);
        drop(state);
        self.changed.notify_waiters();
    }

    fn give(&self, back: usize) {
        if back > 0 {
            self.widen(i64::try_from(back).unwrap_or(i64::MAX));
        }
    }

    /// The other side counts.
    pub fn count(&self) {
        self.state.lock().counts = true;
    }

    /// Nothing may be sent any more.
    pub fn shut(&self) {
        self.state.lock().shut = true;
        self.changed.notify_waiters();
    }

    async fn shut_down(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.state.lock().shut {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlet(left: u32, counts: bool) -> (Outlet, Arc<Gate>, mpsc::Receiver<Outgoing>) {
        let (outbox, receiver) = outbox();
        let gate = Gate::new(left, counts);
        (Outlet::new(1, outbox, gate.clone(), Gate::new(FIRST_WINDOW, false)), gate, receiver)
    }

    #[tokio::test]
    async fn who_does_not_count_is_never_held_back() {
        let (outlet, _gate, mut receiver) = outlet(10, false);
        outlet.send(Bytes::from(vec![7; 3 * PIECE])).await.unwrap();
        for _ in 0..3 {
            assert!(matches!(receiver.recv().await, Some(Outgoing::Data(1, piece)) if piece.len() == PIECE));
        }
    }

    #[tokio::test]
    async fn who_counts_gets_no_more_than_it_takes() {
        let (outlet, gate, mut receiver) = outlet(10, true);
        let sending = tokio::spawn(async move { outlet.send(Bytes::from_static(b"0123456789abcde")).await });
        assert!(matches!(receiver.recv().await, Some(Outgoing::Data(1, piece)) if piece == "0123456789"));
        assert!(tokio::time::timeout(Duration::from_millis(20), receiver.recv()).await.is_err());
        gate.widen(3);
        assert!(matches!(receiver.recv().await, Some(Outgoing::Data(1, piece)) if piece == "abc"));
        gate.shut();
        assert_eq!(sending.await.unwrap(), Err(Gone));
    }

    #[tokio::test]
    async fn what_is_taken_is_told_when_half_a_window_is_full() {
        let (outbox, mut told) = outbox();
        let (sender, mut inlet) = Inlet::new();
        inlet.credit(5, &outbox);
        for _ in 0..2 {
            sender.send(Bytes::from(vec![0; 20 << 10])).await.unwrap();
            inlet.next().await.unwrap();
        }
        assert!(matches!(told.try_recv(), Ok(Outgoing::Credit(5, 40960))));
        assert!(told.try_recv().is_err());
    }

    #[tokio::test]
    async fn the_rest_is_cut_where_it_gets_too_long() {
        let (sender, mut inlet) = Inlet::new();
        sender.send(Bytes::from_static(b"hello ")).await.unwrap();
        sender.send(Bytes::from_static(b"world")).await.unwrap();
        drop(sender);
        assert_eq!(inlet.rest(8).await, b"hello wo");
    }
}
