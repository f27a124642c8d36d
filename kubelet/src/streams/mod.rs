//! Streams into pods: exec, attach and port-forward, over WebSocket and over SPDY/3.1.
//!
//! A front speaks a protocol with the client and gives a `Session` (standard streams, sizes of the terminal, a status at
//! the end) or streams in pairs; a backend serves them: `exec` by containerd's tasks, `attach` through the streaming
//! server of the runtime, `port_forward` from inside the network namespace of the pod.

mod attach;
mod exec;
mod fifos;
mod idle;
mod namespace;
mod negotiate;
mod options;
mod pipe;
mod port_forward;
mod remote_command;
mod session;
mod spdy;
mod tunnel;
mod websocket;

use crate::Runtime;
use crate::server::reply::{self, Reply};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use negotiate::Front;
use options::Options;
use session::Session;
use spdy::{Connection, Role};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stdx::Ids;

/// What streams need. Cheap to clone.
#[derive(Clone)]
pub struct Streams {
    runtime: Runtime,
    /// Where the fifos of commands are, one folder each.
    folder: Arc<PathBuf>,
    ids: Ids,
}

impl Streams {
    /// `folder` is for this alone (`streams::sweep`).
    pub fn new(runtime: Runtime, folder: &Path, ids: Ids) -> Self {
        Streams { runtime, folder: Arc::new(folder.to_owned()), ids }
    }

    /// Runs a command in a running container: query `command` (one or more), `input`, `output`, `error`, `tty`.
    pub fn exec(&self, container_id: &str, request: Request<Incoming>) -> Reply {
        let (streams, container_id) = (self.clone(), container_id.to_owned());
        remote_command(request, move |session: Session, options: Options| async move {
            let exec_id = streams.ids.uuid();
            let command = exec::Command {
                runtime: &streams.runtime,
                container_id: &container_id,
                exec_id: &exec_id,
                options: &options,
                folder: &streams.folder,
            };
            command.serve(session).await;
        })
    }

    /// Streams of the process that a container runs: query `input`, `output`, `error`, `tty`.
    pub fn attach(&self, container_id: &str, request: Request<Incoming>) -> Reply {
        let (runtime, container_id) = (self.runtime.clone(), container_id.to_owned());
        remote_command(request, move |session: Session, options: Options| async move {
            attach::serve(&runtime, &container_id, &options, session).await;
        })
    }

    /// Connections to ports of the pod; query `port` (one or more) with the older WebSocket protocols.
    pub fn port_forward(&self, sandbox_id: &str, request: Request<Incoming>) -> Reply {
        let ports =
            if negotiate::names_ports(&request) { options::ports(request.uri()) } else { Ok(Vec::new()) };
        let ports = match ports {
            Ok(ports) => ports,
            Err(why) => return reply::text(StatusCode::BAD_REQUEST, why),
        };
        let (front, answer) = match negotiate::port_forward(&request) {
            Ok(chosen) => chosen,
            Err(refusal) => return *refusal,
        };
        let pod = port_forward::Pod::new(&self.runtime, sandbox_id);
        upgraded(request, move |io| async move {
            match front {
                Front::WebSocket { form, .. } => port_forward::over_web_socket(io, form, &ports, &pod).await,
                Front::Spdy { .. } => port_forward::over_spdy(Connection::new(io, Role::Server), &pod).await,
                Front::Tunnel => {
                    let io = tunnel::tunnel(io).await;
                    port_forward::over_spdy(Connection::new(io, Role::Server), &pod).await;
                }
            }
        });
        answer
    }
}

/// Where the fifos are below the kubelet's folder.
pub fn folder(root: &Path) -> PathBuf {
    root.join("streams")
}

/// Ends what an earlier kubelet left in `folder`: to be called once, before streams are served. Does not wait.
pub fn sweep(runtime: &Runtime, folder: &Path) {
    tokio::spawn(exec::sweep(runtime.clone(), folder.to_owned()));
}

/// Answers a request of exec or attach and serves its session by `backend`.
fn remote_command<F, S>(request: Request<Incoming>, backend: F) -> Reply
where
    F: FnOnce(Session, Options) -> S + Send + 'static,
    S: Future<Output = ()> + Send,
{
    let options = match Options::of(request.uri()) {
        Ok(options) => options,
        Err(why) => return reply::text(StatusCode::BAD_REQUEST, why),
    };
    let (front, answer) = match negotiate::remote_command(&request) {
        Ok(chosen) => chosen,
        Err(refusal) => return *refusal,
    };
    upgraded(request, move |io| async move {
        if let Some((session, connection)) = remote_command::session(io, &front, &options).await {
            backend(session, options).await;
            if let Some(connection) = connection {
                connection.close().await;
            }
        }
    });
    answer
}

/// Serves the connection of a request once its answer is out.
fn upgraded<F, S>(request: Request<Incoming>, serve: F)
where
    F: FnOnce(TokioIo<Upgraded>) -> S + Send + 'static,
    S: Future<Output = ()> + Send,
{
    tokio::spawn(async move {
        match hyper::upgrade::on(request).await {
            Ok(io) => serve(TokioIo::new(io)).await,
            Err(why) => tracing::debug!(%why, "a connection was not upgraded"),
        }
    });
}
