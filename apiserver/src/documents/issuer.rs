//! `/.well-known/openid-configuration` and `/openid/v1/jwks`: by what others verify tokens of service accounts.

use super::{not_found, only_get};
use crate::answer::{Answer, bytes_of};
use crate::server::Server;
use api::{Status, Value, json};
use http::request::Parts;
use http::{HeaderValue, header};

/// Others may keep what they read for an hour: keys stay as they are while a server runs.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=3600");

pub fn configuration(server: &Server, parts: &Parts) -> Result<Answer, Status> {
    let document = server.tokens.as_ref().and_then(|tokens| tokens.configuration());
    answer(parts, "application/json", document)
}

pub fn key_set(server: &Server, parts: &Parts) -> Result<Answer, Status> {
    let document = server.tokens.as_ref().and_then(|tokens| tokens.key_set());
    answer(parts, "application/jwk-set+json", document)
}

fn answer(parts: &Parts, media: &'static str, document: Option<Value>) -> Result<Answer, Status> {
    let Some(document) = document else { return Ok(not_found()) };
    only_get(parts)?;
    let mut answer = bytes_of(200, media, json::to_vec(&document).into());
    answer.headers_mut().insert(header::CACHE_CONTROL, CACHE);
    Ok(answer)
}
