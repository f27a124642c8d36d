//! Streams: log, exec, attach, port-forward and proxy. After the permit the server is a pipe to the node, the pod or
//! an endpoint of the service. `place` and `proxied` say where a stream goes, or why it goes nowhere; `log`, `upgrade`
//! and `reverse_proxy` are the pipes.

mod html;
mod kubelets;
mod log;
mod options;
mod place;
mod proxied;
mod reverse_proxy;
mod upgrade;
mod url;

#[cfg(test)]
mod tests;

pub use kubelets::Kubelets;
pub use upgrade::Lasting;

use crate::answer::Answer;
use crate::call::Call;
use crate::corridor::Refused;
use crate::door::{Body, RequestBody};
use crate::edit;
use crate::server::Server;
use api::{Status, Value};
use authz::{Attributes, Decision};
use bytes::Bytes;
use client::https::Failure;
use http::request::Parts;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Body as HttpBody, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use place::Place;
use tokio::task::JoinHandle;

/// The longest answer to a question of the server's own.
const MAX_ANSWER_BYTES: usize = 32 << 20;

pub async fn serve(call: Call, body: RequestBody, parts: &Parts) -> Result<Answer, Refused> {
    if let Some(mut options) = options::options(&call) {
        edit::admit_stream(&call, &mut options).await?;
    }
    may_open(&call).await?;
    let place = match (call.resource(), call.target.subresource.as_str()) {
        ("pods", "log") => {
            return match place::log(&call).await? {
                Some(place) => Ok(log::read(&call, &place, parts).await?),
                None => Ok(nothing()),
            };
        }
        ("pods", "exec" | "attach") => place::container(&call).await?,
        ("pods", "portforward") => place::port_forward(&call).await?,
        ("pods", _) => proxied::pod(&call).await?,
        ("services", _) => proxied::service(&call).await?,
        ("nodes", _) => proxied::node(&call).await?,
        _ => return Err(Status::unknown_resource().into()),
    };
    if place::asks_for_upgrade(&call) {
        return Ok(upgrade::pass(&call, place, body.into_unlimited(), parts).await?);
    }
    Ok(reverse_proxy::pass(&call, place, body.into_unlimited(), parts).await?)
}

/// Who opens a way into a pod by GET, as WebSocket clients must, needs the right to create it all the same.
async fn may_open(call: &Call) -> Result<(), Status> {
    let opens = matches!(call.target.subresource.as_str(), "exec" | "attach" | "portforward");
    let asked = call.permit.attributes();
    if call.resource() != "pods" || !opens || asked.verb == *"create" {
        return Ok(());
    }
    let asked = Attributes { verb: "create".into(), ..asked.clone() };
    match call.server.authorizer.decide(call.permit.caller(), &asked).await {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(reason) | Decision::NoOpinion(reason) => {
            Err(Status::forbidden("", "pods", &call.target.name, &reason.to_string()))
        }
    }
}

/// 204: there is nothing to read yet.
fn nothing() -> Answer {
    let mut response = Response::new(Body::full(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A connection that ends when this is dropped.
struct Held(JoinHandle<()>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why there is no answer.
enum NoAnswer {
    /// Nobody could be reached.
    Dial(Failure),
    /// Somebody was, and did not answer.
    Lost(Failure),
}

impl NoAnswer {
    fn why(self) -> String {
        match self {
            NoAnswer::Dial(Failure(why)) | NoAnswer::Lost(Failure(why)) => why,
        }
    }
}

/// Sends a request on a connection of its own and waits for the head of the answer.
async fn exchange<B>(
    server: &Server,
    place: &Place,
    request: Request<B>,
) -> Result<(Response<Incoming>, Held), NoAnswer>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = server.kubelets.dial(place).await.map_err(NoAnswer::Dial)?;
    let lost = |why: hyper::Error| NoAnswer::Lost(client::https::failure(&why));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    let held = Held(tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection of a stream ended");
        }
    }));
    let response = sender.send_request(request).await.map_err(lost)?;
    Ok((response, held))
}

/// What the kubelet of a node answers to a question of the server's own; else why it does not.
pub async fn ask_kubelet(server: &Server, node: &Value, path: &str) -> Result<String, String> {
    let place = Place::at_kubelet(&server.kubelets, node, path).map_err(|status| status.message)?;
    let request = Request::get(place.target()).header(header::HOST, place.authority());
    let request = request.body(Empty::<Bytes>::new()).map_err(|why| why.to_string())?;
    let (response, _held) = exchange(server, &place, request).await.map_err(NoAnswer::why)?;
    let code = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
    let text = String::from_utf8_lossy(&body.map_err(|why| why.to_string())?.to_bytes()).into_owned();
    if code.is_success() { Ok(text) } else { Err(format!("{code}: {text}")) }
}
