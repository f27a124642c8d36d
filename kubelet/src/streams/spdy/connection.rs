//! A SPDY connection: one task reads frames and hands them to their streams, one writes what the streams send.
//!
//! Who does not take what comes in on a stream holds up the whole connection once the stream's queue is full: the SPDY of
//! Kubernetes knows no windows, so there is no other way to bound what waits here.

use super::frame::{Control, Decoder, Encoder, Head, REFUSED};
use super::headers::{Broken, Headers};
use super::{Role, table::Table};
use crate::streams::idle::Idle;
use crate::streams::pipe::{FIRST_WINDOW, Gone, Inlet, Outbox, Outgoing, Outlet, hand_on, outbox};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long we read on after we said that it is over, so that the other side sees all that we sent.
const LINGER: Duration = Duration::from_secs(5);
/// How long the other side may take to accept a stream.
const ACCEPT_TIME: Duration = Duration::from_secs(30);
const WAITING_STREAMS: usize = 64;
const WAITING_ANSWERS: usize = 64;
/// What is read or written at once.
const CHUNK: u32 = 16 << 10;
const BATCH: usize = 64 << 10;

/// A stream, in both directions.
#[derive(Debug)]
pub struct Stream {
    pub id: u32,
    pub headers: Headers,
    pub inlet: Inlet,
    pub outlet: Outlet,
}

/// Ends, after all was written, when it and all outlets of its streams are dropped.
pub struct Connection {
    streams: mpsc::Receiver<Stream>,
    outbox: Outbox,
    shared: Arc<Shared>,
}

struct Shared {
    table: Table,
    idle: Idle,
    /// Nothing more is written.
    closing: CancellationToken,
    /// Nothing more is read: the other side is not there any more.
    gone: CancellationToken,
}

impl Connection {
    pub fn new<T>(io: T, role: Role) -> Self
    where
        T: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (reading, writing) = tokio::io::split(io);
        let (outbox, outgoing) = outbox();
        let (answers, answering) = mpsc::channel(WAITING_ANSWERS);
        let (opened, streams) = mpsc::channel(WAITING_STREAMS);
        let shared = Arc::new(Shared {
            table: Table::new(role),
            idle: Idle::new(),
            closing: CancellationToken::new(),
            gone: CancellationToken::new(),
        });
        let reader = Reader { shared: shared.clone(), opened, outbox: outbox.downgrade(), answers, taken: 0 };
        tokio::spawn(reader.run(reading));
        tokio::spawn(write(writing, outgoing, answering, shared.clone()));
        Connection { streams, outbox, shared }
    }

    /// The next stream that the other side makes; None: it is gone. It waits for `reply` or `reset`.
    pub async fn accept(&mut self) -> Option<Stream> {
        self.streams.recv().await
    }

    /// Makes a stream and waits until it is accepted.
    ///
    /// # Errors
    /// When the other side does not want it, is gone or says nothing.
    pub async fn open(&mut self, headers: &[(&str, &str)]) -> Result<Stream, Gone> {
        let (to, waiting) = Inlet::new();
        let (id, gate, accepted) = self.shared.table.open(to).ok_or(Gone)?;
        let mut inlet = waiting;
        inlet.credit(id, &self.outbox);
        let headers = Headers::of(headers);
        self.outbox.send(Outgoing::Open(id, headers.clone())).await.map_err(|_| Gone)?;
        match tokio::time::timeout(ACCEPT_TIME, accepted).await {
            Ok(Ok(())) => {}
            _ => return Err(Gone),
        }
        let outlet = Outlet::new(id, self.outbox.clone(), gate, self.shared.table.all.clone());
        Ok(Stream { id, headers, inlet, outlet })
    }

    /// Ends when the other side is gone.
    pub fn gone(&self) -> CancellationToken {
        self.shared.gone.clone()
    }

    /// Says that it is over; ends when the streams are dropped as well.
    pub async fn close(self) {
        let _ = self.outbox.send(Outgoing::GoAway(self.shared.table.last())).await;
    }
}

struct Reader {
    shared: Arc<Shared>,
    opened: mpsc::Sender<Stream>,
    outbox: mpsc::WeakSender<Outgoing>,
    answers: mpsc::Sender<Outgoing>,
    /// How much came in since we last said so.
    taken: u32,
}

impl Reader {
    async fn run<T: AsyncRead + Send>(mut self, from: ReadHalf<T>) {
        let shared = self.shared.clone();
        let over = async {
            shared.closing.cancelled().await;
            tokio::time::sleep(LINGER).await;
        };
        tokio::select! {
            read = self.frames(from) => if let Err(why) = read {
                tracing::debug!(%why, "a SPDY connection broke");
            },
            () = over => {}
            () = shared.idle.expired() => tracing::debug!("a SPDY connection was idle too long"),
        }
        shared.table.clear();
        shared.gone.cancel();
    }

    async fn frames<T: AsyncRead>(&mut self, from: ReadHalf<T>) -> io::Result<()> {
        let (mut from, mut decoder) = (BufReader::new(from), Decoder::new());
        let mut head = [0; Head::LENGTH];
        loop {
            match from.read_exact(&mut head).await {
                Err(end) if end.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                read => read?,
            };
            self.shared.idle.touch();
            match Head::read(head).map_err(broken)? {
                Head::Data { stream, finished, length } => {
                    self.data(&mut from, stream, length).await?;
                    if finished {
                        self.shared.table.ended(stream);
                    }
                }
                Head::Control { kind, flags, length } => {
                    let mut body = vec![0; usize::try_from(length).unwrap_or_default()];
                    from.read_exact(&mut body).await?;
                    self.control(decoder.control(kind, flags, &body).map_err(broken)?).await;
                }
            }
        }
    }

    async fn data(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        stream: u32,
        length: u32,
    ) -> io::Result<()> {
        let (taker, mut left) = (self.shared.table.taker(stream), length);
        while left > 0 {
            let size = left.min(CHUNK);
            let mut piece = vec![0; usize::try_from(size).unwrap_or_default()];
            from.read_exact(&mut piece).await?;
            if let Some(taker) = &taker {
                let own = if self.shared.table.theirs(1) { 2 } else { 1 };
                let ping = || drop(self.answers.try_send(Outgoing::Ping(own)));
                hand_on(taker, Bytes::from(piece), ping).await;
            }
            left -= size;
            self.taken = self.taken.saturating_add(size);
        }
        if self.taken >= FIRST_WINDOW / 2 && self.answers.try_send(Outgoing::Credit(0, self.taken)).is_ok() {
            self.taken = 0;
        }
        Ok(())
    }

    async fn control(&mut self, frame: Control) {
        let table = &self.shared.table;
        match frame {
            Control::Open { stream, finished, headers } => self.opened(stream, finished, headers).await,
            Control::Reply { stream, finished } => {
                table.accepted(stream);
                if finished {
                    table.ended(stream);
                }
            }
            Control::Headers { stream, finished: true } => table.ended(stream),
            Control::Reset { stream } => table.reset(stream),
            Control::FirstWindow(window) => table.first_window(window),
            Control::Window { stream, by } => table.widen(stream, by),
            // A side answers the pings of the other one: those of a client are odd. Who asks more than it reads gets
            // no answer.
            Control::Ping(id) if table.theirs(id) => drop(self.answers.try_send(Outgoing::Ping(id))),
            Control::Ping(_) | Control::GoAway | Control::Headers { .. } | Control::Nothing => {}
        }
    }

    async fn opened(&mut self, id: u32, finished: bool, headers: Headers) {
        let Some(outbox) = self.outbox.upgrade() else { return };
        let (to, mut inlet) = Inlet::new();
        inlet.credit(id, &outbox);
        let gate = match self.shared.table.opened(id, (!finished).then_some(to)) {
            Ok(gate) => gate,
            Err(why) => return drop(self.answers.try_send(Outgoing::Reset(id, why))),
        };
        let outlet = Outlet::new(id, outbox, gate, self.shared.table.all.clone());
        if self.opened.send(Stream { id, headers, inlet, outlet }).await.is_err() {
            self.shared.table.reset(id);
            let _ = self.answers.try_send(Outgoing::Reset(id, REFUSED));
        }
    }
}

fn broken(why: Broken) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.0)
}

async fn write<T: AsyncWrite + Send>(
    mut to: WriteHalf<T>,
    mut outgoing: mpsc::Receiver<Outgoing>,
    mut answers: mpsc::Receiver<Outgoing>,
    shared: Arc<Shared>,
) {
    let written = tokio::select! {
        written = write_all(&mut to, &mut outgoing, &mut answers, &shared) => written,
        () = shared.gone.cancelled() => Ok(()),
    };
    if let Err(why) = written {
        tracing::debug!(%why, "a SPDY connection cannot be written to");
    }
    let _ = tokio::time::timeout(LINGER, to.shutdown()).await;
    shared.closing.cancel();
}

async fn write_all(
    to: &mut (impl AsyncWrite + Unpin),
    outgoing: &mut mpsc::Receiver<Outgoing>,
    answers: &mut mpsc::Receiver<Outgoing>,
    shared: &Shared,
) -> io::Result<()> {
    let (mut encoder, mut batch) = (Encoder::new().map_err(broken)?, Vec::new());
    loop {
        let first = tokio::select! {
            biased;
            Some(answer) = answers.recv() => answer,
            next = outgoing.recv() => match next {
                Some(next) => next,
                None => return Ok(()),
            },
        };
        if !matches!(first, Outgoing::Ping(_)) {
            shared.idle.touch();
        }
        encode(&mut encoder, &mut batch, first, &shared.table).map_err(broken)?;
        while batch.len() < BATCH {
            let Ok(next) = answers.try_recv().or_else(|_| outgoing.try_recv()) else { break };
            encode(&mut encoder, &mut batch, next, &shared.table).map_err(broken)?;
        }
        to.write_all(&batch).await?;
        to.flush().await?;
        batch.clear();
    }
}

fn encode(encoder: &mut Encoder, out: &mut Vec<u8>, next: Outgoing, table: &Table) -> Result<(), Broken> {
    match next {
        Outgoing::Data(stream, data) => Encoder::data(out, stream, &data, false),
        Outgoing::Finish(stream) => {
            Encoder::data(out, stream, &[], true);
            table.finished(stream);
        }
        Outgoing::Reset(stream, why) => {
            Encoder::reset(out, stream, why);
            table.reset(stream);
        }
        Outgoing::Open(stream, headers) => encoder.open(out, stream, &headers)?,
        Outgoing::Reply(stream) => encoder.reply(out, stream)?,
        Outgoing::Ping(id) => Encoder::ping(out, id),
        Outgoing::Credit(stream, by) => Encoder::window(out, stream, by),
        Outgoing::GoAway(last) => Encoder::go_away(out, last),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
