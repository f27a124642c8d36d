//! The streams of exec and attach, as each protocol makes them.

use super::negotiate::Front;
use super::options::Options;
use super::pipe::{Inlet, Outlet};
use super::session::{Session, Sizes, StatusStream, Wording};
use super::spdy::{Connection, Role, Stream};
use super::websocket::{self, Channel, Form, Way};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// How long a client may take to make its streams.
const CREATION_TIME: Duration = Duration::from_secs(30);
/// Channels of a WebSocket.
const STDIN: usize = 0;
const STDOUT: usize = 1;
const STDERR: usize = 2;
const ERROR: usize = 3;
const RESIZE: usize = 4;

/// A session over a connection that was upgraded; None: the client did not make its streams. With SPDY the connection must
/// be closed at the end.
pub async fn session<T>(io: T, front: &Front, options: &Options) -> Option<(Session, Option<Connection>)>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    match front {
        Front::WebSocket { form, wording } => {
            Some((over_websocket(io, *form, *wording, options).await?, None))
        }
        Front::Spdy { version } => {
            let mut connection = Connection::new(io, Role::Server);
            let session = over_spdy(&mut connection, *version, options).await?;
            Some((session, Some(connection)))
        }
        Front::Tunnel => None,
    }
}

async fn over_websocket<T>(io: T, form: Form, wording: Wording, options: &Options) -> Option<Session>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let ways = [Way::In, Way::Out, Way::Out, Way::Out, Way::In];
    let mut channels = websocket::channels(io, form, &ways).await;
    let ends = &mut channels.channels;
    let stdin = inlet(ends, STDIN).filter(|_| options.stdin);
    let stdout = outlet(ends, STDOUT).filter(|_| options.stdout);
    let stderr = outlet(ends, STDERR).filter(|_| options.stderr);
    let status = StatusStream { outlet: outlet(ends, ERROR)?, wording };
    // The client sees that it is connected.
    let _ = stdout.as_ref().or(stderr.as_ref()).unwrap_or(&status.outlet).greet().await;
    let sizes = inlet(ends, RESIZE).filter(|_| options.tty).map(Sizes::new);
    Some(Session { stdin, stdout, stderr, sizes, status, gone: channels.gone })
}

fn inlet(channels: &mut [Channel], number: usize) -> Option<Inlet> {
    channels.get_mut(number)?.inlet.take()
}

fn outlet(channels: &mut [Channel], number: usize) -> Option<Outlet> {
    channels.get_mut(number)?.outlet.take()
}

/// What a client has made so far.
#[derive(Default)]
struct Made {
    stdin: Option<Stream>,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    error: Option<Stream>,
    resize: Option<Stream>,
}

async fn over_spdy(connection: &mut Connection, version: u8, options: &Options) -> Option<Session> {
    let wanted = [options.stdin, options.stdout, options.stderr, options.tty && version >= 3];
    let wanted = 1 + wanted.into_iter().filter(|wanted| *wanted).count();
    let made = tokio::time::timeout(CREATION_TIME, made(connection, wanted)).await;
    let Ok(Some(made)) = made else {
        tracing::debug!("timed out waiting for client to create streams");
        return None;
    };
    let error = made.error?.outlet;
    if version == 1 {
        // The first version ended its streams at once; clients of its time know no better.
        error.reset().await;
        if let Some(stdin) = &made.stdin {
            stdin.outlet.finish().await;
        }
    }
    let wording = if version >= 4 { Wording::Status } else { Wording::Text };
    Some(Session {
        stdin: made.stdin.map(|stream| stream.inlet),
        stdout: made.stdout.map(|stream| stream.outlet),
        stderr: made.stderr.map(|stream| stream.outlet),
        sizes: made.resize.map(|stream| Sizes::new(stream.inlet)),
        status: StatusStream { outlet: error, wording },
        gone: connection.gone(),
    })
}

async fn made(connection: &mut Connection, wanted: usize) -> Option<Made> {
    let mut made = Made::default();
    let mut count = 0;
    while count < wanted {
        let stream = connection.accept().await?;
        stream.outlet.reply().await;
        let place = match stream.headers.get("streamtype") {
            "stdin" => &mut made.stdin,
            "stdout" => &mut made.stdout,
            "stderr" => &mut made.stderr,
            "error" => &mut made.error,
            "resize" => &mut made.resize,
            _ => continue,
        };
        *place = Some(stream);
        count += 1;
    }
    Some(made)
}

#[cfg(test)]
mod tests;
