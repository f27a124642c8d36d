//! The body of a request, with a limit to the patience for its next piece and for all of it.

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use stdx::limits;
use tokio::time::{Instant, Sleep, sleep_until};

/// A request's body as it arrives.
#[derive(Debug)]
pub struct RequestBody {
    incoming: Incoming,
    /// Armed at the first wait: most bodies are there when they are asked for.
    alarm: Option<Pin<Box<Sleep>>>,
    deadline: Option<Instant>,
    patience: Duration,
}

/// Why a body did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    /// The client sent nothing for too long, or too slowly.
    #[error("the request body did not arrive in time")]
    TimedOut,
    /// The connection or its protocol broke.
    #[error("{0}")]
    Broken(#[from] hyper::Error),
}

impl RequestBody {
    /// `patience` is for all of it.
    pub(super) fn new(incoming: Incoming, patience: Duration) -> Self {
        RequestBody { incoming, alarm: None, deadline: None, patience }
    }

    /// The body without limits of time, for requests that are streams by nature (a proxied one).
    pub fn into_unlimited(self) -> Incoming {
        self.incoming
    }

    /// Waits for the next piece until it is too late.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let alarm = match &mut self.alarm {
            Some(alarm) => alarm,
            None => {
                let now = Instant::now();
                let deadline = *self.deadline.get_or_insert(now + self.patience);
                let until = deadline.min(now + limits::BODY_STALL_TIMEOUT);
                self.alarm.insert(Box::pin(sleep_until(until)))
            }
        };
        alarm.as_mut().poll(cx)
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) {
            self.alarm = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(RequestBodyError::Broken)));
        }
        self.poll_alarm(cx).map(|()| Some(Err(RequestBodyError::TimedOut)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
