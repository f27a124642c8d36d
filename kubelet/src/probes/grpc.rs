//! Asks a server's health by `grpc.health.v1.Health/Check`, without encryption.

use super::ask::{Answer, seconds};
use super::http::{AGENT_VERSION, authority};
use crate::runtime::words;
use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use std::error::Error;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// Between attempts to connect.
const PAUSE: Duration = Duration::from_secs(1);
/// The answer's only field: an enum.
const SERVING: u64 = 1;
const STATES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/// Connects for as long as the time lasts, then asks once.
pub async fn probe(host: &str, port: u16, service: &str, timeout: Duration) -> Answer {
    let (address, deadline) = (authority(host, port), Instant::now() + timeout);
    let agent = format!("kube-probe/{AGENT_VERSION}");
    let endpoint = Endpoint::from_shared(format!("http://{address}")).and_then(|e| e.user_agent(agent));
    let endpoint = match endpoint {
        Ok(endpoint) => endpoint,
        Err(why) => {
            return Answer::Bad(format!(
                "error: failed to connect service at {}: {why}",
                api::quote(&address)
            ));
        }
    };
    loop {
        let answer = match timeout_at(deadline, endpoint.connect()).await {
            Ok(Ok(channel)) => timeout_at(deadline, check(channel, service)).await.ok(),
            Ok(Err(_)) => Some(Err(None)),
            Err(_) => return unreached(&address, timeout),
        };
        return match answer {
            Some(Ok(state)) if state == SERVING => Answer::Good,
            Some(Ok(state)) => {
                let known = usize::try_from(state).ok().and_then(|at| STATES.get(at));
                let name = known.map_or_else(|| state.to_string(), |name| (*name).to_owned());
                Answer::Bad(format!("service unhealthy (responded with {})", api::quote(&name)))
            }
            Some(Err(Some(status))) => Answer::Bad(refusal(&status, timeout)),
            None => Answer::Bad(format!("timeout: health rpc did not complete within {}", seconds(timeout))),
            Some(Err(None)) if Instant::now() + PAUSE < deadline => {
                sleep(PAUSE).await;
                continue;
            }
            Some(Err(None)) => {
                tokio::time::sleep_until(deadline).await;
                unreached(&address, timeout)
            }
        };
    }
}

fn unreached(address: &str, timeout: Duration) -> Answer {
    let (address, timeout) = (api::quote(address), seconds(timeout));
    Answer::Bad(format!(
        "timeout: failed to connect service {address} within {timeout}: context deadline exceeded"
    ))
}

fn refusal(status: &Status, timeout: Duration) -> String {
    match status.code() {
        Code::Unimplemented => {
            let said = status.message();
            format!(
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {said}"
            )
        }
        Code::DeadlineExceeded => {
            format!("timeout: health rpc did not complete within {}", seconds(timeout))
        }
        _ => format!("error: health rpc probe failed: {}", words(status)),
    }
}

/// The state, or the server's refusal, or nothing when there is no such server.
async fn check(channel: Channel, service: &str) -> Result<u64, Option<Status>> {
    let refused = |status: Status| Some(status).filter(|status| status.source().is_none());
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|_| None)?;
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    let answer = client.unary(Request::new(question(service)), path, Raw).await.map_err(refused)?;
    Ok(state(&answer.into_inner()))
}

/// `HealthCheckRequest`: field 1, a string.
fn question(service: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(service.len() + 4);
    if !service.is_empty() {
        message.push(0x0a);
        let mut len = service.len();
        while len >= 0x80 {
            message.push(u8::try_from(len & 0x7f).unwrap_or(0) | 0x80);
            len >>= 7;
        }
        message.push(u8::try_from(len).unwrap_or(0));
        message.extend_from_slice(service.as_bytes());
    }
    message
}

/// The number in field 1 of `HealthCheckResponse`, 0 when it is not there.
fn state(message: &[u8]) -> u64 {
    let Some((0x08, number)) = message.split_first().map(|(tag, rest)| (*tag, rest)) else { return 0 };
    let mut state = 0;
    for (at, byte) in number.iter().take(9).enumerate() {
        state |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            break;
        }
    }
    state
}

/// Messages as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
