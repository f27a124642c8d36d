//! What a connection writes in one turn leaves in one piece: a thousand watchers on a few connections would otherwise
//! cost a system call and a TLS record for each frame of each of them.
//!
//! Hyper flushes after every frame; here a flush only notes that there is something, and the end of the connection's
//! turn is the flush. A connection with several requests under way also lets the others of the same moment (streams
//! that were woken by the same event) write first.

use super::Connection;
use parking_lot::Mutex;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes gathered at most: one TLS record.
const GATHERED_BYTES: usize = 16 * 1024;
/// Bytes handed on in one turn at most: encrypting and sending more would let all other connections wait.
const TURN_BYTES: usize = 64 * 1024;

/// The connection's bytes, as hyper sees them.
pub(super) struct Corked<Io>(Arc<Mutex<Wire<Io>>>);

/// The end of each turn.
pub(super) struct Cork<Io> {
    wire: Arc<Mutex<Wire<Io>>>,
    connection: Arc<Connection>,
    /// The others were let first.
    has_waited: bool,
}

struct Wire<Io> {
    io: Io,
    gathered: Vec<u8>,
    corked: bool,
    /// Bytes that may still be handed on in this turn.
    left: usize,
}

pub(super) fn cork<Io>(io: Io, connection: Arc<Connection>) -> (Corked<Io>, Cork<Io>) {
    let wire = Arc::new(Mutex::new(Wire { io, gathered: Vec::new(), corked: true, left: TURN_BYTES }));
    (Corked(wire.clone()), Cork { wire, connection, has_waited: false })
}

impl<Io: AsyncWrite + Unpin> Cork<Io> {
    /// One turn of the connection.
    pub fn turn<T, E: From<io::Error>>(
        &mut self,
        serving: Pin<&mut impl Future<Output = Result<T, E>>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, E>> {
        self.has_waited = !self.has_waited && self.connection.is_shared();
        if self.has_waited {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.wire.lock().left = TURN_BYTES;
        let turn = serving.poll(cx);
        let mut wire = self.wire.lock();
        // After an upgrade somebody else writes, and flushes.
        wire.corked = turn.is_pending();
        match (wire.poll_flush(cx), turn) {
            (Poll::Ready(Err(error)), Poll::Pending) => Poll::Ready(Err(error.into())),
            (_, turn) => turn,
        }
    }
}

impl<Io: AsyncWrite + Unpin> Wire<Io> {
    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        if self.corked && self.left == 0 {
            // The rest goes in the next turn, after everybody else's.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.gathered.len() + bytes > GATHERED_BYTES {
            ready!(self.poll_drain(cx))?;
        }
        if bytes > GATHERED_BYTES {
            let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, slices))?;
            self.left = self.left.saturating_sub(written);
            return Poll::Ready(Ok(written));
        }
        self.left = self.left.saturating_sub(bytes);
        if self.gathered.capacity() == 0 {
            self.gathered.reserve_exact(GATHERED_BYTES);
        }
        slices.iter().for_each(|slice| self.gathered.extend_from_slice(slice));
        Poll::Ready(Ok(bytes))
    }

    /// Hands on what was gathered; an idle connection keeps no buffer.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.gathered))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                all if all == self.gathered.len() => self.gathered = Vec::new(),
                some => drop(self.gathered.drain(..some)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Corked<Io> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.lock().io).poll_read(cx, buf)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Corked<Io> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().poll_write(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.0.lock();
        if wire.corked { Poll::Ready(Ok(())) } else { wire.poll_flush(cx) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.0.lock();
        ready!(wire.poll_drain(cx))?;
        Pin::new(&mut wire.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use authn::Peer;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn what_is_written_in_one_turn_leaves_at_its_end() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let connection = Arc::new(Connection::new(Peer::default(), None));
        let (mut corked, mut cork) = cork(ours, connection);
        let mut writing = Box::pin(async {
            for piece in ["a", "b", "c"] {
                corked.write_all(piece.as_bytes()).await?;
                corked.flush().await?;
            }
            tokio::task::yield_now().await;
            corked.write_all(&[b'd'; 40_000]).await?;
            std::future::pending::<io::Result<()>>().await
        });
        let mut buf = [0; 8];
        poll_fn(|cx| Poll::Ready(cork.turn(writing.as_mut(), cx).is_pending())).await;
        assert_eq!(theirs.read(&mut buf).await.unwrap(), 3);
        poll_fn(|cx| Poll::Ready(cork.turn(writing.as_mut(), cx).is_pending())).await;
        let mut all = vec![0; 40_000];
        theirs.read_exact(&mut all).await.unwrap();
        assert!(all.iter().all(|byte| *byte == b'd'));
    }

    #[tokio::test]
    async fn a_turn_hands_on_no_more_than_its_share() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let connection = Arc::new(Connection::new(Peer::default(), None));
        let (mut corked, mut cork) = cork(ours, connection);
        let mut writing = Box::pin(async {
            for _ in 0..40 {
                corked.write_all(&[b'x'; 10_000]).await?;
            }
            std::future::pending::<io::Result<()>>().await
        });
        let mut turns = 0;
        let mut all = vec![0; 400_000];
        let mut reading = Box::pin(theirs.read_exact(&mut all));
        while poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await.is_pending() {
            poll_fn(|cx| Poll::Ready(cork.turn(writing.as_mut(), cx).is_pending())).await;
            turns += 1;
        }
        assert!((5..10).contains(&turns), "{turns}");
    }

    #[tokio::test]
    async fn after_the_last_turn_a_flush_is_a_flush() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let connection = Arc::new(Connection::new(Peer::default(), None));
        let (mut corked, mut cork) = cork(ours, connection);
        let mut done = Box::pin(std::future::ready(Ok::<_, io::Error>(())));
        poll_fn(|cx| cork.turn(done.as_mut(), cx)).await.unwrap();
        corked.write_all(b"upgraded").await.unwrap();
        corked.flush().await.unwrap();
        let mut buf = [0; 8];
        theirs.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"upgraded");
    }
}
