//! The log of a container, as the kubelet sends it. Refusals of the kubelet become a `Status`.
//! Source: upstream's `registry/generic/rest` (streamer, response checker).

use super::place::{Place, asks_for_upgrade};
use super::{Held, exchange, upgrade};
use crate::answer::{Answer, gzip::AsIs};
use crate::call::Call;
use crate::door::Body;
use api::status::Details;
use api::{NoAnswer, Status};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::request::Parts;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

/// Bytes of a refusal that are read.
const MAX_REFUSAL_BYTES: usize = 50_000;
/// What a log is sent in over a WebSocket.
const PROTOCOLS: [&str; 2] = ["binary.k8s.io", "base64.binary.k8s.io"];

pub async fn read(call: &Call, place: &Place, parts: &Parts) -> Result<Answer, Status> {
    let request = Request::get(place.target())
        .header(header::HOST, place.authority())
        .header(header::USER_AGENT, "Go-http-client/1.1")
        .body(Empty::<Bytes>::new())
        .map_err(Status::internal)?;
    let (response, held) =
        exchange(&call.server, place, request).await.map_err(|none| place.unreachable(&none.why()))?;
    if !(200..=206).contains(&response.status().as_u16()) {
        return Err(refused(call, response).await);
    }
    if asks_for_upgrade(call) && header_text(call, &header::UPGRADE).eq_ignore_ascii_case("websocket") {
        return web_socket(call, response.into_body(), held, parts);
    }
    let mut answer = Response::new(Body::passed_on(response.into_body()).keeping(held));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    answer.extensions_mut().insert(AsIs);
    Ok(answer)
}

/// What the kubelet said.
async fn refused(call: &Call, response: Response<Incoming>) -> Status {
    let code = response.status().as_u16();
    let text = match Limited::new(response.into_body(), MAX_REFUSAL_BYTES).collect().await {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        Err(why) => return Status::internal(why),
    };
    match code {
        500 => Status::internal(text),
        400 => Status::bad_request(text),
        _ => generic(code, &text, &call.target.name),
    }
}

/// A code that says little, in upstream's words.
fn generic(code: u16, text: &str, pod: &str) -> Status {
    let (reason, message) = NoAnswer::meaning(code, text, false);
    let details = Details { name: pod.into(), kind: "pods/log".into(), ..Details::default() };
    let status = Status::new(code, reason, format!("{message} ( pods/log {pod})"));
    Status { details: Some(Box::new(details)), ..status }
}

fn header_text<'a>(call: &'a Call, name: &http::HeaderName) -> &'a str {
    call.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Sends the log as messages of a WebSocket, without channels.
fn web_socket(call: &Call, body: Incoming, held: Held, parts: &Parts) -> Result<Answer, Status> {
    let key = header_text(call, &header::SEC_WEBSOCKET_KEY);
    let upgrading = upgrade::of(parts)?;
    let asked = call.headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|v| v.to_str().ok());
    let asked: Vec<&str> = asked.flat_map(|value| value.split(',')).map(str::trim).collect();
    let chosen = PROTOCOLS.into_iter().find(|known| asked.contains(known));
    let mut answer = upgrade::switching();
    let headers = answer.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(key) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    }
    if let Some(chosen) = chosen {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(chosen));
    }
    let base64 = chosen == Some(PROTOCOLS[1]);
    let pumping = upgrade::lasting(call, parts, &mut answer, async move {
        let _held = held;
        let client = upgrading.await.map_err(|why| why.to_string())?;
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(client), Role::Server, None).await;
        let (mut sink, mut incoming) = socket.split();
        let send = async {
            let mut pieces = body.into_data_stream();
            while let Some(piece) = pieces.next().await {
                let piece = piece.map_err(|why| why.to_string())?;
                sink.send(message(piece, base64)).await.map_err(|why| why.to_string())?;
            }
            sink.close().await.map_err(|why| why.to_string())
        };
        // Reading answers pings, and notices that the client is gone.
        let gone = async { while let Some(Ok(_)) = incoming.next().await {} };
        tokio::select! {
            sent = send => sent,
            () = gone => Ok(()),
        }
    });
    tokio::spawn(pumping);
    Ok(answer)
}

fn message(piece: Bytes, base64: bool) -> Message {
    use base64::{Engine, engine::general_purpose::STANDARD};
    if base64 { Message::text(STANDARD.encode(&piece)) } else { Message::binary(piece) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_a_kubelet_read_as_upstreams() {
        let status = generic(404, "x", "p");
        assert_eq!(status.message, "the server could not find the requested resource ( pods/log p)");
        assert_eq!(generic(403, "Forbidden (user=a)", "p").message, "Forbidden (user=a) ( pods/log p)");
        assert_eq!(
            generic(502, "x", "p").message,
            "an error on the server (\"x\") has prevented the request from succeeding ( pods/log p)"
        );
    }
}
