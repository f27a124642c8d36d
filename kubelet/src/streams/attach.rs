//! Joins the process that a container runs: its standard streams are with the runtime, which serves them over SPDY at an
//! address that it gives for one connection. What comes is passed on as it is, prompts without a line end too.

use super::options::Options;
use super::pipe::{Gone, Inlet, Outlet};
use super::session::{Outcome, Session, Sizes};
use super::spdy::{Connection, Role, Stream};
use crate::{Runtime, cri};
use api::{json, tree};
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const LONGEST_STATUS: usize = 64 << 10;

/// Ends when the container has, or the client is gone.
pub async fn serve(runtime: &Runtime, container_id: &str, options: &Options, mut session: Session) {
    let outcome = match join(runtime, container_id, options, &mut session).await {
        Ok(outcome) => outcome,
        Err(why) => Outcome::Failure(format!("error attaching to container: {why}")),
    };
    for outlet in [&session.stdout, &session.stderr].into_iter().flatten() {
        outlet.finish().await;
    }
    session.status.end(&outcome).await;
}

async fn join(
    runtime: &Runtime,
    container_id: &str,
    options: &Options,
    session: &mut Session,
) -> Result<Outcome, String> {
    let request = cri::AttachRequest {
        container_id: container_id.to_owned(),
        stdin: options.stdin,
        stdout: options.stdout,
        stderr: options.stderr,
        tty: options.tty,
    };
    let answer = runtime.containers().attach(request).await.map_err(|why| why.message().to_owned())?;
    let io = connect(&answer.into_inner().url).await?;
    let mut remote = Connection::new(TokioIo::new(io), Role::Client);
    let streams = Remote::open(&mut remote, options).await;
    let outcome = streams.map_err(|Gone| "the runtime does not answer".to_owned())?.copy(session).await;
    remote.close().await;
    outcome
}

/// Leaves HTTP for SPDY.
async fn connect(url: &str) -> Result<Upgraded, String> {
    let uri: Uri = url.parse().map_err(|why| format!("{url}: {why}"))?;
    let (Some("http"), Some(host), Some(port)) = (uri.scheme_str(), uri.host(), uri.port_u16()) else {
        return Err(format!("{url}: not an address of plain HTTP"));
    };
    let told = |why: &dyn std::fmt::Display| format!("{host}:{port}: {why}");
    let host_name = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host_name, port)).await.map_err(|why| told(&why))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|why| told(&why))?;
    tokio::spawn(connection.with_upgrades());
    let request = Request::post(uri.path())
        .header(header::HOST, format!("{host}:{port}"))
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "SPDY/3.1")
        .header("X-Stream-Protocol-Version", "v4.channel.k8s.io")
        .body(Empty::<Bytes>::new())
        .map_err(|why| told(&why))?;
    let answer = sender.send_request(request).await.map_err(|why| told(&why))?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let body = answer.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        return Err(String::from_utf8_lossy(&body).trim_end().to_owned());
    }
    hyper::upgrade::on(answer).await.map_err(|why| told(&why))
}

/// The streams of the runtime.
struct Remote {
    error: Stream,
    stdin: Option<Stream>,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    resize: Option<Stream>,
}

impl Remote {
    async fn open(remote: &mut Connection, options: &Options) -> Result<Self, Gone> {
        let error = remote.open(&[("streamType", "error")]).await?;
        let mut made = Vec::new();
        let wanted = [options.stdin, options.stdout, options.stderr, options.tty];
        for (name, wanted) in ["stdin", "stdout", "stderr", "resize"].into_iter().zip(wanted) {
            made.push(if wanted { Some(remote.open(&[("streamType", name)]).await?) } else { None });
        }
        let mut next = made.into_iter().map(Option::into_iter).map(|mut stream| stream.next());
        let mut next = || next.next().flatten();
        Ok(Remote { error, stdin: next(), stdout: next(), stderr: next(), resize: next() })
    }

    async fn copy(mut self, session: &mut Session) -> Result<Outcome, String> {
        let input = feed(session.stdin.take(), self.stdin.as_ref().map(|stream| stream.outlet.clone()));
        let sizes = resize(session.sizes.take(), self.resize.as_ref().map(|stream| stream.outlet.clone()));
        let stdout = copy(self.stdout.as_mut(), session.stdout.as_ref());
        let stderr = copy(self.stderr.as_mut(), session.stderr.as_ref());
        let status = self.error.inlet.rest(LONGEST_STATUS);
        tokio::select! {
            (status, ..) = async { tokio::join!(status, stdout, stderr) } => outcome(&status),
            ((), (), ()) = async { tokio::join!(input, sizes, std::future::pending()) } => Ok(Outcome::Success),
            () = session.gone.cancelled() => Err("the client is gone".to_owned()),
        }
    }
}

async fn feed(from: Option<Inlet>, to: Option<Outlet>) {
    let (Some(mut from), Some(to)) = (from, to) else { return };
    while let Some(piece) = from.next().await {
        if to.send(piece).await.is_err() {
            return;
        }
    }
    to.finish().await;
}

async fn resize(from: Option<Sizes>, to: Option<Outlet>) {
    let (Some(mut from), Some(to)) = (from, to) else { return };
    while let Some(size) = from.next().await {
        let text =
            json::to_vec(&tree!({"Width": (i64::from(size.width)), "Height": (i64::from(size.height))}));
        if to.send(text.into()).await.is_err() {
            return;
        }
    }
}

async fn copy(from: Option<&mut Stream>, to: Option<&Outlet>) {
    let (Some(from), Some(to)) = (from, to) else { return };
    while let Some(piece) = from.inlet.next().await {
        if to.send(piece).await.is_err() {
            return;
        }
    }
}

/// What the runtime says at the end: a Status.
fn outcome(status: &[u8]) -> Result<Outcome, String> {
    let Ok(status) = json::parse(status) else { return Err("the runtime went away".to_owned()) };
    if status.str_at(&["status"]) == "Success" {
        return Ok(Outcome::Success);
    }
    // It is worded as ours is: what it says of itself comes once.
    let why = status.str_at(&["message"]);
    let why = why.strip_prefix("Internal error occurred: ").unwrap_or(why);
    Ok(Outcome::Failure(why.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_runtime_says_is_said_once() {
        assert_eq!(outcome(br#"{"metadata":{},"status":"Success"}"#), Ok(Outcome::Success));
        let text =
            br#"{"status":"Failure","message":"Internal error occurred: error attaching to container: x"}"#;
        assert_eq!(outcome(text), Ok(Outcome::Failure("error attaching to container: x".to_owned())));
        assert!(outcome(b"").is_err());
    }
}
