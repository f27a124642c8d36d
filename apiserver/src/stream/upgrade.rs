//! Connections that become something else: the request for it is handed on as it came, and after the other end's 101
//! bytes go to and fro until one side ends. A refusal is handed back with its body.
//! Source: upstream's `apimachinery/pkg/util/proxy` (`UpgradeAwareHandler`).

use super::place::Place;
use super::reverse_proxy::{forwarded_for, host};
use super::{Held, NoAnswer, exchange};
use crate::answer::{Answer, gzip::AsIs};
use crate::call::Call;
use crate::door::{Body, Connection};
use api::Status;
use http::request::Parts;
use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::time::timeout;

/// How long one direction goes on after the other has ended.
const GOODBYE: Duration = Duration::from_secs(30);

/// Goes with an answer whose connection lives on: what is kept here is dropped when that ends.
#[derive(Clone, Default)]
pub struct Lasting(Arc<Mutex<Vec<Box<dyn Any + Send>>>>);

impl Lasting {
    pub fn keep(&self, companion: impl Any + Send) {
        self.0.lock().push(Box::new(companion));
    }
}

/// The client's side of an upgrade to come.
pub fn of(parts: &Parts) -> Result<OnUpgrade, Status> {
    let upgrade = parts.extensions.get::<OnUpgrade>().cloned();
    upgrade
        .ok_or_else(|| Status::unclassified("request connection cannot be hijacked: HTTP/2 has no upgrades"))
}

/// 101, to be completed with headers.
pub fn switching() -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    answer.headers_mut().insert(header::CONNECTION, http::HeaderValue::from_static("Upgrade"));
    answer
}

/// What is done with an upgraded connection, until it or the server ends. What belongs to the request lives as long.
pub fn lasting(
    call: &Call,
    parts: &Parts,
    answer: &mut Answer,
    work: impl Future<Output = Result<(), String>> + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static {
    let lasting = Lasting::default();
    answer.extensions_mut().insert(lasting.clone());
    // The connection keeps its place among all.
    let (server, connection) = (call.server.clone(), parts.extensions.get::<Arc<Connection>>().cloned());
    async move {
        let done = tokio::select! {
            done = work => done,
            () = server.stopping() => Ok(()),
        };
        if let Err(error) = done {
            tracing::debug!(error, "a stream ended");
        }
        drop((lasting, connection));
    }
}

/// Hands on a request for an upgrade.
pub async fn pass(call: &Call, place: Place, body: Incoming, parts: &Parts) -> Result<Answer, Status> {
    let client = of(parts)?;
    let mut request = Request::builder().method(parts.method.clone()).uri(place.target());
    if let Some(headers) = request.headers_mut() {
        headers.extend(call.headers.clone());
        headers.insert(header::HOST, host(parts));
        forwarded_for(headers, parts);
    }
    let request = request.body(body).map_err(Status::internal)?;
    let (mut response, held) = exchange(&call.server, &place, request).await.map_err(|none| match none {
        NoAnswer::Dial(why) => Status::unclassified(format!("error dialing backend: {why}")),
        NoAnswer::Lost(why) => Status::unclassified(why.to_string()),
    })?;
    let code = response.status().as_u16();
    if code >= 400 {
        return Ok(refusal(response, held));
    }
    if code != 101 {
        return Err(Status::unclassified(format!("invalid upgrade response: status code {code}")));
    }
    let backend = hyper::upgrade::on(&mut response);
    let mut answer = switching();
    *answer.headers_mut() = response.headers().clone();
    let piping = lasting(call, parts, &mut answer, async move {
        let client = client.await.map_err(|why| why.to_string())?;
        let backend = backend.await.map_err(|why| why.to_string())?;
        drop(held);
        pipe(client, backend).await;
        Ok(())
    });
    tokio::spawn(piping);
    Ok(answer)
}

/// What the other end says instead, after which the connection is closed.
fn refusal(response: Response<Incoming>, held: Held) -> Answer {
    let (parts, body) = response.into_parts();
    let mut answer = Response::new(Body::passed_on(body).keeping(held));
    *answer.status_mut() = parts.status;
    *answer.headers_mut() = super::reverse_proxy::end_to_end(&parts.headers);
    answer.headers_mut().insert(header::CONNECTION, http::HeaderValue::from_static("close"));
    answer.extensions_mut().insert(AsIs);
    answer
}

/// Copies both ways. Who ends sending is told on to the other side, which may finish what it has to say.
async fn pipe(client: Upgraded, backend: Upgraded) {
    let (client_out, client_in) = split(TokioIo::new(client));
    let (backend_out, backend_in) = split(TokioIo::new(backend));
    let mut there = std::pin::pin!(one_way(client_out, backend_in));
    let mut back = std::pin::pin!(one_way(backend_out, client_in));
    tokio::select! {
        () = &mut there => drop(timeout(GOODBYE, back).await),
        () = &mut back => drop(timeout(GOODBYE, there).await),
    }
}

/// Errors end a direction like its end: there is nobody to tell.
async fn one_way(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let _ = copy(&mut from, &mut to).await;
    let _ = to.shutdown().await;
}
