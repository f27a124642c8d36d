//! The way out: webhooks and issuers of tokens are asked over the house's one HTTPS client.
//!
//! A server that hangs costs its timeout and nothing else: each request has its own, which covers the name, the
//! connection, the handshake and the whole answer, and nothing waits for anything else.

use api::{Later, Network, Question, Remote, RemoteError, Reply};
use bytes::Bytes;
use client::https::{Failure, Pool};
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use stdx::limits::REQUEST_BODY_BYTES;

/// Servers whose connections are kept; the one that was asked longest ago makes place.
const POOLS: usize = 256;
/// Who asks, unless the question says.
const USER_AGENT: &str = "kube-apiserver";

/// Connections to servers elsewhere, shared by all who ask. Cheap to clone.
#[derive(Clone, Default)]
pub struct Outward(Arc<Mutex<Vec<(Remote, Pool)>>>);

impl Network for Outward {
    fn ask<'a>(
        &'a self,
        remote: &'a Remote,
        question: Question,
        timeout: Duration,
    ) -> Later<'a, Result<Reply, RemoteError>> {
        Box::pin(async move {
            let verb = if question.body.is_some() { "Post" } else { "Get" };
            let call = format!("{verb} {}", api::quote(&remote.url));
            match tokio::time::timeout(timeout, self.exchange(remote, question)).await {
                Ok(Ok(reply)) => Ok(reply),
                Ok(Err(Failure(why))) => Err(RemoteError::Failed(format!("{call}: {why}"))),
                Err(_) => Err(RemoteError::Timeout(format!("{call}: context deadline exceeded"))),
            }
        })
    }
}

impl Outward {
    async fn exchange(&self, remote: &Remote, question: Question) -> Result<Reply, Failure> {
        let pool = self.pool(remote)?;
        let max_bytes = if question.max_bytes == 0 { REQUEST_BODY_BYTES } else { question.max_bytes };
        let response = pool.send(request(remote, question)?).await?;
        read(response, max_bytes).await
    }

    /// The connections of a server, which are the same for all its paths.
    fn pool(&self, remote: &Remote) -> Result<Pool, Failure> {
        let mut pools = self.0.lock();
        if let Some(at) = pools.iter().position(|(known, _)| same_server(known, remote)) {
            let found = pools.remove(at);
            let pool = found.1.clone();
            pools.push(found);
            return Ok(pool);
        }
        let pool = Pool::new(remote)?;
        if pools.len() >= POOLS {
            pools.remove(0);
        }
        pools.push((remote.clone(), pool.clone()));
        Ok(pool)
    }
}

fn same_server(a: &Remote, b: &Remote) -> bool {
    origin(&a.url) == origin(&b.url)
        && a.address == b.address
        && a.server_name == b.server_name
        && a.insecure == b.insecure
        && a.ca == b.ca
        && a.client == b.client
}

/// `https://HOST:PORT` of a URL.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(host..).and_then(|rest| rest.find(['/', '?', '#'])).map_or(url.len(), |at| host + at);
    url.get(..end).unwrap_or(url)
}

fn request(remote: &Remote, question: Question) -> Result<Request<Full<Bytes>>, Failure> {
    let method = if question.body.is_some() { Method::POST } else { Method::GET };
    let mut builder =
        Request::builder().method(method).uri(&remote.url).header(header::ACCEPT, "application/json, */*");
    if question.body.is_some() {
        builder = builder.header(header::CONTENT_TYPE, "application/json");
    }
    if !question.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
        builder = builder.header(header::USER_AGENT, USER_AGENT);
    }
    if let Some(authorization) = &remote.authorization {
        builder = builder.header(header::AUTHORIZATION, authorization);
    }
    for (name, value) in &question.headers {
        builder = builder.header(name, value);
    }
    let body = Full::new(Bytes::from(question.body.unwrap_or_default()));
    builder.body(body).map_err(|why| Failure(why.to_string()))
}

async fn read(response: Response<Incoming>, max_bytes: usize) -> Result<Reply, Failure> {
    let (head, body) = response.into_parts();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let body = Limited::new(body, max_bytes).collect().await.map_err(|why| {
        let too_large = why.downcast_ref::<http_body_util::LengthLimitError>().is_some();
        Failure(if too_large { "http: response body too large" } else { "unexpected EOF" }.to_owned())
    })?;
    Ok(Reply { status: head.status.as_u16(), body: body.to_bytes().to_vec(), headers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn remote(url: String) -> Remote {
        Remote { url, ..Remote::default() }
    }

    fn post(max_bytes: usize) -> Question {
        Question { body: Some(b"{}".to_vec()), max_bytes, ..Question::default() }
    }

    /// A server of plain HTTP that answers each connection's first request with `answer`, or never.
    async fn server(answer: Option<&'static str>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/review", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut head = vec![0; 4096];
                    let _ = stream.read(&mut head).await;
                    match answer {
                        Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                        None => std::future::pending().await,
                    }
                });
            }
        });
        url
    }

    #[tokio::test]
    async fn a_hung_server_costs_its_timeout_and_nothing_else() {
        let hung = remote(server(None).await);
        let quick = remote(server(Some("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")).await);
        let (outward, begin) = (Outward::default(), Instant::now());
        let waits = outward.ask(&hung, post(0), Duration::from_millis(300));
        let meanwhile = async {
            for _ in 0..20 {
                assert_eq!(outward.ask(&quick, post(0), Duration::from_secs(5)).await.unwrap().body, b"ok");
            }
            begin.elapsed()
        };
        let (refused, took) = tokio::join!(waits, meanwhile);
        let text = format!("Post \"{}\": context deadline exceeded", hung.url);
        assert_eq!(refused.unwrap_err(), RemoteError::Timeout(text));
        assert!(took < Duration::from_millis(290), "{took:?}");
        assert!(begin.elapsed() < Duration::from_millis(1500));
    }

    #[tokio::test]
    async fn nobody_there_is_said_as_go_says_it() {
        let url = "https://127.0.0.1:1/x?timeout=10s".to_owned();
        let why = Outward::default().ask(&remote(url), post(0), Duration::from_secs(5)).await.unwrap_err();
        let text =
            "Post \"https://127.0.0.1:1/x?timeout=10s\": dial tcp 127.0.0.1:1: connect: connection refused";
        assert_eq!(why, RemoteError::Failed(text.to_owned()));
    }

    #[tokio::test]
    async fn answers_are_read_up_to_their_limit() {
        let url = server(Some("HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 5\r\n\r\n12345")).await;
        let (outward, remote) = (Outward::default(), remote(url));
        let reply = outward.ask(&remote, post(5), Duration::from_secs(5)).await.unwrap();
        assert_eq!((reply.status, reply.body.as_slice()), (503, &b"12345"[..]));
        assert!(reply.headers.contains(&("retry-after".to_owned(), "7".to_owned())));
        let why = outward.ask(&remote, post(4), Duration::from_secs(5)).await.unwrap_err();
        assert!(why.to_string().ends_with(": http: response body too large"), "{why}");
    }

    #[test]
    fn servers_are_told_apart_by_origin_and_trust_not_by_path() {
        let a = remote("https://a:1/x".to_owned());
        assert!(same_server(
            &a,
            &Remote { authorization: Some("b".into()), ..remote("https://a:1?y".into()) }
        ));
        assert!(!same_server(&a, &remote("https://a:11/x".to_owned())));
        assert!(!same_server(&a, &Remote { insecure: true, ..a.clone() }));
    }
}
