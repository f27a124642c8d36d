//! Connections to ports of a pod. Over SPDY each takes a pair of streams, one for data and one for errors, with a request id
//! in common; over the older WebSocket protocols each port that the query names has one, from the start.

use super::namespace::Namespace;
use super::options::parse_port;
use super::pipe::{Inlet, Outlet, PIECE};
use super::spdy::{Connection, Stream};
use super::websocket::{self, Form, Way};
use crate::Runtime;
use bytes::{Bytes, BytesMut};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long the second stream of a pair may take to come.
const PAIR_TIME: Duration = Duration::from_secs(30);

/// The pod whose ports are forwarded.
#[derive(Clone)]
pub struct Pod {
    runtime: Runtime,
    sandbox_id: Arc<str>,
    /// Looked up with the first connection.
    namespace: Arc<OnceCell<Namespace>>,
}

impl Pod {
    pub fn new(runtime: &Runtime, sandbox_id: &str) -> Self {
        Pod { runtime: runtime.clone(), sandbox_id: sandbox_id.into(), namespace: Arc::default() }
    }

    async fn connect(&self, port: u16) -> Result<TcpStream, String> {
        let find = || Namespace::of(&self.runtime, &self.sandbox_id);
        self.namespace.get_or_try_init(find).await?.connect(port).await
    }

    /// Copies both ways until both are over.
    async fn forward(&self, port: u16, inlet: Inlet, outlet: &Outlet) -> Result<(), String> {
        let id = &self.sandbox_id;
        let told = |why| format!("error forwarding port {port} to pod {id}, uid : {why}");
        let (reading, writing) = self.connect(port).await.map_err(told)?.into_split();
        tokio::join!(to_pod(inlet, writing, outlet), from_pod(reading, outlet));
        Ok(())
    }
}

async fn to_pod(mut inlet: Inlet, mut writing: OwnedWriteHalf, outlet: &Outlet) {
    let copied = async {
        while let Some(piece) = inlet.next().await {
            if writing.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = writing.shutdown().await;
    };
    tokio::select! {
        () = copied => {}
        () = outlet.closed() => {}
    }
}

async fn from_pod(mut reading: OwnedReadHalf, outlet: &Outlet) {
    let copied = async {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(PIECE);
            let read = reading.read_buf(&mut buffer).await;
            if !matches!(read, Ok(1..)) || outlet.send(buffer.split().freeze()).await.is_err() {
                return outlet.finish().await;
            }
        }
    };
    tokio::select! {
        () = copied => {}
        () = outlet.closed() => {}
    }
}

/// The first stream of a pair, waiting for the other one.
struct Half {
    stream: Stream,
    since: Instant,
}

/// Serves until the client is gone.
pub async fn over_spdy(mut connection: Connection, pod: &Pod) {
    let (mut halves, mut pairs) = (HashMap::<String, Half>::new(), JoinSet::new());
    loop {
        let first = halves.values().map(|half| half.since + PAIR_TIME).min();
        let late = async {
            match first {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            stream = connection.accept() => match stream {
                Some(stream) => {
                    if let Some((data, error)) = pair(&mut halves, stream).await {
                        pairs.spawn(serve_pair(pod.clone(), data, error));
                    }
                }
                None => break,
            },
            Some(_) = pairs.join_next() => {}
            () = late => give_up(&mut halves).await,
        }
    }
    // Their other ends are gone: they end by themselves.
    pairs.detach_all();
    connection.close().await;
}

/// Accepts a stream; gives data and errors when both are there.
async fn pair(halves: &mut HashMap<String, Half>, stream: Stream) -> Option<(Stream, Stream)> {
    let kind = stream.headers.get("streamtype").to_owned();
    let port = parse_port(stream.headers.get("port"));
    if !matches!(port, Ok(1..)) || !matches!(kind.as_str(), "data" | "error") {
        stream.outlet.reset().await;
        return None;
    }
    let id = request_id(&stream, &kind);
    stream.outlet.reply().await;
    let Some(half) = halves.remove(&id) else {
        halves.insert(id, Half { stream, since: Instant::now() });
        return None;
    };
    if half.stream.headers.get("streamtype") == kind {
        let why = format!("error processing stream for request {id}: {kind} stream already assigned");
        if kind == "error" {
            let _ = half.stream.outlet.send(why.into()).await;
        }
        stream.outlet.reset().await;
        halves.insert(id, half);
        return None;
    }
    Some(if kind == "data" { (stream, half.stream) } else { (half.stream, stream) })
}

/// Old clients do not name their pairs: they make the stream of errors just before that of data.
fn request_id(stream: &Stream, kind: &str) -> String {
    match stream.headers.get("requestid") {
        "" if kind == "data" => stream.id.saturating_sub(2).to_string(),
        "" => stream.id.to_string(),
        id => id.to_owned(),
    }
}

async fn give_up(halves: &mut HashMap<String, Half>) {
    let late = |_: &String, half: &mut Half| half.since.elapsed() >= PAIR_TIME;
    for (id, half) in halves.extract_if(late).collect::<Vec<_>>() {
        if half.stream.headers.get("streamtype") == "error" {
            let why = format!("(request={id}) timed out waiting for streams");
            let _ = half.stream.outlet.send(why.into()).await;
        }
        half.stream.outlet.reset().await;
    }
}

async fn serve_pair(pod: Pod, data: Stream, error: Stream) {
    let port = parse_port(data.headers.get("port")).unwrap_or(0);
    let Err(why) = pod.forward(port, data.inlet, &data.outlet).await else {
        return error.outlet.finish().await;
    };
    tracing::debug!(%why, "a port is not forwarded");
    let _ = error.outlet.send(Bytes::from(why)).await;
    data.outlet.reset().await;
    error.outlet.reset().await;
}

/// Serves until the client is gone or all ports are done.
pub async fn over_web_socket<T>(io: T, form: Form, ports: &[u16], pod: &Pod)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let ways: Vec<Way> = ports.iter().flat_map(|_| [Way::Both, Way::Out]).collect();
    let channels = websocket::channels(io, form, &ways).await;
    let (mut ends, mut served) = (channels.channels.into_iter(), JoinSet::new());
    for port in ports.iter().copied() {
        let (Some(data), Some(error)) = (ends.next(), ends.next()) else { break };
        let (Some(inlet), Some(data), Some(error)) = (data.inlet, data.outlet, error.outlet) else { break };
        let pod = pod.clone();
        served.spawn(async move {
            // Both begin with the port.
            for outlet in [&data, &error] {
                let _ = outlet.send(Bytes::copy_from_slice(&port.to_le_bytes())).await;
            }
            if let Err(why) = pod.forward(port, inlet, &data).await {
                let _ = error.send(Bytes::from(why)).await;
            }
        });
    }
    while served.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests;
