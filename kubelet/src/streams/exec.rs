//! Runs a command in a running container: a process of its own, with the container's environment and rights, whose
//! standard streams are fifos that we copy.
//!
//! All output is with the client before the status is. A client that goes away takes its terminal along: the process is
//! told so by SIGHUP. Without a terminal its stdin ends, and the first thing that it says to nobody ends it by SIGPIPE.

use super::fifos::{self, Fifos};
use super::options::Options;
use super::pipe::{Inlet, Outlet, PIECE};
use super::session::{Outcome, Session, Sizes};
use crate::Runtime;
use crate::runtime::tasks::{Process, Stdio};
use api::{Value, tree};
use bytes::BytesMut;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

const SIGHUP: u32 = 1;
const SIGKILL: u32 = 9;
const SIGPIPE: u32 = 13;
/// How often and how long we look for containerd when it is away.
const WAIT_TRIES: u32 = 60;
const WAIT_AGAIN: Duration = Duration::from_millis(500);
/// How long a process that was killed may take to end.
const END_TIME: Duration = Duration::from_secs(10);

/// A command to run.
pub struct Command<'a> {
    pub runtime: &'a Runtime,
    pub container_id: &'a str,
    /// Of the process; not used before.
    pub exec_id: &'a str,
    pub options: &'a Options,
    /// Where the folder of its fifos is made.
    pub folder: &'a Path,
}

impl Command<'_> {
    /// Runs it; ends when the client knows how it ended.
    pub async fn serve(&self, mut session: Session) {
        let outcome = match self.run(&mut session).await {
            Ok(0) => Outcome::Success,
            Ok(code) => Outcome::Exit { code, command: self.options.command.clone() },
            Err(why) => Outcome::Failure(format!(
                "error executing command in container: failed to exec in container: {why}"
            )),
        };
        session.status.end(&outcome).await;
    }

    async fn run(&self, session: &mut Session) -> Result<u32, String> {
        let spec = self.spec().await?;
        let fifos = Fifos::new(
            self.folder.join(format!("{}.{}", self.container_id, self.exec_id)),
            session.stdin.is_some(),
            true,
            !self.options.tty,
        )
        .map_err(|why| format!("failed to create exec io: {why}"))?;
        let ends = Ends::open(&fifos).map_err(|why| format!("failed to create exec io: {why}"))?;
        let stdio = Stdio {
            stdin: fifos.stdin.as_deref(),
            stdout: fifos.stdout.as_deref(),
            stderr: fifos.stderr.as_deref(),
            terminal: self.options.tty,
        };
        let mut process = Process::of(self.runtime, self.container_id, self.exec_id);
        let told =
            |what: &str, why: &Status| format!("failed to {what} exec {:?}: {}", self.exec_id, why.message());
        process.create(&spec, &stdio).await.map_err(|why| told("create", &why))?;
        let ended = match process.start().await {
            Ok(()) => self.follow(&process, ends, session).await.map_err(|why| why.message().to_owned()),
            Err(why) => Err(told("start", &why)),
        };
        let deleted = if ended.is_ok() { process.delete().await } else { end(&mut process).await };
        if let Err(why) = deleted.or_else(unless_gone) {
            tracing::debug!(%why, "a process that was added to a container is left to the next sweep");
            fifos.leave();
        }
        ended
    }

    /// The process of the container, with another command.
    async fn spec(&self) -> Result<Value, String> {
        if self.runtime.pid(self.container_id).await.map_err(|why| why.message().to_owned())?.is_none() {
            return Err("container is in CONTAINER_EXITED state".to_owned());
        }
        let spec = self.runtime.process_spec(self.container_id).await;
        let mut spec = spec.map_err(|why| format!("failed to get container spec: {}", why.message()))?;
        spec.set(&["args"], self.options.command.iter().map(|word| tree!(word.as_str())).collect::<Vec<_>>());
        spec.set(&["terminal"], self.options.tty);
        spec.unset(&["commandLine"]);
        if self.options.tty {
            set_env(&mut spec, "TERM", "xterm");
        }
        Ok(spec)
    }

    /// Copies until the process has ended and all its output is out.
    async fn follow(&self, process: &Process, ends: Ends, session: &mut Session) -> Result<u32, Status> {
        let stdin = tokio::spawn(feed(process.clone(), ends.stdin, session.stdin.take()));
        let sizes = tokio::spawn(resize(process.clone(), session.sizes.take()));
        let (gone, over) = (&session.gone, CancellationToken::new());
        let ended = async {
            let code = exit_code(process.clone()).await;
            // Nobody reads any more.
            stdin.abort();
            sizes.abort();
            over.cancel();
            code
        };
        let output = async {
            let stdout = drain(process, ends.stdout, session.stdout.as_ref());
            let stderr = drain(process, ends.stderr, session.stderr.as_ref());
            let nobody = async {
                over.cancelled().await;
                gone.cancelled().await;
            };
            tokio::select! {
                _ = async { tokio::join!(stdout, stderr) } => {}
                () = nobody => {}
            }
        };
        let hang_up = async {
            gone.cancelled().await;
            if self.options.tty {
                let _ = process.clone().kill(SIGHUP).await;
            }
            std::future::pending().await
        };
        tokio::select! {
            (code, ()) = async { tokio::join!(ended, output) } => code,
            code = hang_up => code,
        }
    }
}

/// Ends what an earlier kubelet ran in containers: nobody listens to it any more.
pub async fn sweep(runtime: Runtime, folder: PathBuf) {
    let Ok(left) = std::fs::read_dir(&folder) else { return };
    for folder in left.flatten() {
        let name = folder.file_name();
        if let Some((container_id, exec_id)) = name.to_str().and_then(|name| name.split_once('.')) {
            let ended = end(&mut Process::of(&runtime, container_id, exec_id)).await;
            if let Err(why) = ended.or_else(unless_gone) {
                tracing::debug!(%why, container_id, exec_id, "a process of an earlier kubelet is left");
                continue;
            }
        }
        let _ = std::fs::remove_dir_all(folder.path());
    }
}

/// Ends a process that may run, and forgets it: not before it has ended, since containerd refuses that.
async fn end(process: &mut Process) -> Result<(), Status> {
    if process.kill(SIGKILL).await.is_ok() {
        let _ = tokio::time::timeout(END_TIME, process.wait()).await;
    }
    process.delete().await
}

/// What is not there needs not be forgotten.
fn unless_gone(why: Status) -> Result<(), Status> {
    if why.code() == Code::NotFound { Ok(()) } else { Err(why) }
}

/// Our ends of the fifos.
struct Ends {
    stdin: Option<Sender>,
    stdout: Option<Receiver>,
    stderr: Option<Receiver>,
}

impl Ends {
    fn open(fifos: &Fifos) -> io::Result<Self> {
        Ok(Ends {
            stdin: fifos.stdin.as_deref().map(fifos::writer).transpose()?,
            stdout: fifos.stdout.as_deref().map(fifos::reader).transpose()?,
            stderr: fifos.stderr.as_deref().map(fifos::reader).transpose()?,
        })
    }
}

fn set_env(spec: &mut Value, name: &str, value: &str) {
    let mut env = spec.list_at(&["env"]).to_vec();
    env.retain(|variable| {
        variable.as_str().and_then(|v| v.split_once('=')).is_none_or(|(own, _)| own != name)
    });
    env.push(tree!(format!("{name}={value}")));
    spec.set(&["env"], env);
}

/// What the client writes goes to the process, which then sees the end.
async fn feed(mut process: Process, to: Option<Sender>, from: Option<Inlet>) {
    let (Some(mut to), Some(mut from)) = (to, from) else { return };
    while let Some(piece) = from.next().await {
        if to.write_all(&piece).await.is_err() {
            break;
        }
    }
    drop(to);
    let _ = process.close_stdin().await;
}

async fn resize(mut process: Process, sizes: Option<Sizes>) {
    let Some(mut sizes) = sizes else { return };
    while let Some(size) = sizes.next().await {
        if let Err(why) = process.resize(size.width, size.height).await {
            tracing::debug!(%why, "a terminal keeps its size");
        }
    }
}

/// What the process writes goes to the client, if it wants it.
async fn drain(process: &Process, from: Option<Receiver>, to: Option<&Outlet>) {
    let Some(mut from) = from else { return };
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PIECE);
        match from.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let piece = buffer.split().freeze();
        let Some(to) = to else { continue };
        if to.send(piece).await.is_err() {
            let _ = process.clone().kill(SIGPIPE).await;
            return;
        }
    }
    if let Some(to) = to {
        to.finish().await;
    }
}

/// Outlives a restart of containerd, which the process does as well.
async fn exit_code(mut process: Process) -> Result<u32, Status> {
    let mut tries = 0;
    loop {
        match process.wait().await {
            Err(why) if tries < WAIT_TRIES && matches!(why.code(), Code::Unavailable | Code::Unknown) => {
                tries += 1;
                tokio::time::sleep(WAIT_AGAIN).await;
            }
            code => return code,
        }
    }
}
