//! A KMS plugin for tests: it seals by turning bits around, names its keys, and may be told to fail.

use super::message::Annotations;
use api::proto::wire::{self, BYTES, Reader};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::UnixListener;

/// What the plugin does.
pub struct Behaviour {
    pub key_id: String,
    pub fails: Option<String>,
    pub annotations: Annotations,
    /// Methods called so far.
    pub calls: Vec<String>,
}

/// A plugin at work, until its runtime ends.
pub struct FakePlugin {
    pub behaviour: Arc<Mutex<Behaviour>>,
    pub endpoint: String,
    _dir: tempfile::TempDir,
}

impl FakePlugin {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path: PathBuf = dir.path().join("kms.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let behaviour = Arc::new(Mutex::new(Behaviour {
            key_id: "key-1".into(),
            fails: None,
            annotations: vec![("a.example.com".into(), b"x".to_vec())],
            calls: Vec::new(),
        }));
        let shared = behaviour.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                let service = service_fn(move |request| answer(shared.clone(), request));
                let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
            }
        });
        FakePlugin { behaviour, endpoint: format!("unix://{}", path.display()), _dir: dir }
    }

    pub fn calls(&self, method: &str) -> usize {
        self.behaviour.lock().calls.iter().filter(|call| *call == method).count()
    }
}

type Frames =
    http_body_util::StreamBody<futures::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

async fn answer(
    behaviour: Arc<Mutex<Behaviour>>,
    request: Request<Incoming>,
) -> Result<Response<Frames>, Infallible> {
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    assert_eq!(request.uri().path(), format!("/v2.KeyManagementService/{method}"));
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut behaviour = behaviour.lock();
    behaviour.calls.push(method.clone());
    let mut trailers = HeaderMap::new();
    let mut frames = Vec::new();
    match &behaviour.fails {
        Some(why) => {
            trailers.insert("grpc-status", HeaderValue::from_static("7"));
            trailers.insert("grpc-message", HeaderValue::from_str(why).unwrap());
        }
        None => {
            let message = respond(&behaviour, &method, &body[5..]);
            let mut framed = BytesMut::new();
            framed.put_u8(0);
            framed.put_u32(message.len() as u32);
            framed.put_slice(&message);
            frames.push(Ok(Frame::data(framed.freeze())));
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
        }
    }
    frames.push(Ok(Frame::trailers(trailers)));
    let response = Response::builder().header("content-type", "application/grpc");
    Ok(response.body(http_body_util::StreamBody::new(futures::stream::iter(frames))).unwrap())
}

fn respond(behaviour: &Behaviour, method: &str, request: &[u8]) -> Vec<u8> {
    let mut first = Vec::new();
    let mut reader = Reader(request);
    while let Some((number, wire_type)) = reader.tag("request").unwrap() {
        match (number, wire_type) {
            (1, BYTES) => first = reader.bytes().unwrap().to_vec(),
            (_, other) => reader.skip(other).unwrap(),
        }
    }
    let turned: Vec<u8> = first.iter().map(|byte| !byte).collect();
    let mut out = Vec::new();
    match method {
        "Status" => {
            wire::put_bytes(1, b"v2", &mut out);
            wire::put_bytes(2, b"ok", &mut out);
            wire::put_bytes(3, behaviour.key_id.as_bytes(), &mut out);
        }
        "Encrypt" => {
            wire::put_bytes(1, &turned, &mut out);
            wire::put_bytes(2, behaviour.key_id.as_bytes(), &mut out);
            for (name, value) in &behaviour.annotations {
                wire::put_message(3, &mut out, |out| {
                    wire::put_bytes(1, name.as_bytes(), out);
                    wire::put_bytes(2, value, out);
                });
            }
        }
        "Decrypt" => {
            wire::put_bytes(1, &turned, &mut out);
        }
        other => panic!("no method {other}"),
    }
    out
}
