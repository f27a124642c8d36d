//! One connection, from its first request to its end: by its own will, by idleness, or by ours.

use super::answer::answer;
use super::cork::cork;
use super::drain::Phase;
use super::{Body, Connection, RequestBody, Shared};
use http::{Request, Response};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::Duration;
use stdx::limits;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};

/// A year: for what has no limit.
const FOREVER: Duration = Duration::from_secs(365 * 86_400);

/// Serves `io` until it ends. `idle` is how long it may be without a request.
pub(super) async fn serve<H, F, Io>(
    shared: Arc<Shared<H>>,
    io: Io,
    connection: Arc<Connection>,
    idle: Option<Duration>,
) where
    H: Fn(Request<RequestBody>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Boxed, what it takes to find an answer is gone when the body begins: watches keep their bodies only.
    let service = service_fn(|request| {
        let answer = Box::pin(answer(shared.clone(), connection.clone(), request));
        async { Ok::<_, Infallible>(answer.await) }
    });
    let (io, mut cork) = cork(io, connection.clone());
    let http = if connection.peer().remote().is_some() { &shared.http } else { &shared.inside };
    let serving = http.serve_connection_with_upgrades(TokioIo::new(io), service);
    let mut serving = std::pin::pin!(serving);
    let mut phases = shared.drain.phases();
    phases.mark_changed();
    let mut leaving = false;
    let alarm = sleep_until(Instant::now() + idle.unwrap_or(FOREVER));
    let mut alarm = std::pin::pin!(alarm);
    loop {
        let leave = tokio::select! {
            biased;
            ended = poll_fn(|cx| cork.turn(serving.as_mut(), cx)) => return report(&connection, ended),
            _ = phases.changed() => match *phases.borrow_and_update() {
                Phase::Open | Phase::Leaving => false,
                Phase::Draining => true,
                Phase::CutOff => return,
            },
            () = connection.told_to_close() => true,
            () = alarm.as_mut() => {
                let patience = if leaving { limits::GOODBYE_TIMEOUT } else { idle.unwrap_or(FOREVER) };
                let expired = expired(&connection, patience);
                if expired.is_none() && leaving {
                    return;
                }
                alarm.as_mut().reset(expired.unwrap_or(Instant::now() + limits::GOODBYE_TIMEOUT));
                expired.is_none()
            }
        };
        if leave && !leaving {
            leaving = true;
            serving.as_mut().graceful_shutdown();
            alarm.as_mut().reset(Instant::now() + limits::GOODBYE_TIMEOUT);
        }
    }
}

/// `None` when the connection has been without a request for `patience`; else when to look again.
fn expired(connection: &Connection, patience: Duration) -> Option<Instant> {
    let now = Instant::now();
    let due = connection.idle_since().unwrap_or(now) + patience;
    (due > now).then_some(due)
}

fn report(connection: &Connection, ended: Result<(), super::BoxError>) {
    if let Err(error) = ended {
        tracing::debug!(remote = ?connection.peer().remote(), %error, "connection ended");
    }
}
