//! A `pintle` of one's own: started in a temporary folder on a free port, gone when the test is.
//!
//! A test process may end in any way (a panic, a kill, a static that is never dropped), so a watchdog holds the other
//! end of a pipe and kills the server's process group when the pipe closes.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use crate::{Machine, binary, kubeconfig::Access, wait};

/// How long a server may take to say that it is ready. It takes milliseconds; a loaded machine takes longer.
const READY_SECS: u64 = 60;

/// A running server.
pub struct Server {
    child: Child,
    watchdog: Child,
    folder: Arc<TempDir>,
    machine: Option<Arc<Machine>>,
    arguments: Vec<String>,
    ready: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts `pintle up --no-node` with an empty data folder.
    ///
    /// # Panics
    /// When the server is not ready in time: its last lines on stderr are in the message.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts `pintle up --no-node` with more flags, such as `--store memory`.
    ///
    /// # Panics
    /// As `start`.
    pub fn start_with(flags: &[&str]) -> Self {
        let folder =
            Arc::new(tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}")));
        let flags = ["--no-node"].iter().chain(flags);
        Self::start_in(folder, None, flags.map(|flag| (*flag).to_owned()).collect())
    }

    /// Starts `pintle up` on a machine of its own, of which it makes a node.
    ///
    /// # Panics
    /// As `start`.
    pub fn start_on(machine: &Arc<Machine>, flags: &[&str]) -> Self {
        let folder =
            Arc::new(tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}")));
        Self::start_in(folder, Some(machine.clone()), flags.iter().map(|flag| (*flag).to_owned()).collect())
    }

    fn start_in(folder: Arc<TempDir>, machine: Option<Arc<Machine>>, arguments: Vec<String>) -> Self {
        let program = binary::path();
        let mut command = match &machine {
            Some(machine) => machine.command(&program.to_string_lossy()),
            None => Command::new(program),
        };
        let node = machine.as_ref().map(|machine| {
            let cgroup = format!("--cgroup-root={}", machine.cgroup());
            // The disk belongs to the machine that runs the tests, and may be as full as it likes.
            [cgroup, "--eviction-hard=memory.available<100Mi".into(), "--image-gc-high-threshold=100".into()]
        });
        let mut child = command
            .args(["up", "--listen", "127.0.0.1:0"])
            .args(node.into_iter().flatten())
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .arg("--write-kubeconfig")
            .arg(folder.path().join("kubeconfig"))
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start pintle: {error}"));
        let watchdog = watchdog(child.id());
        let log = Arc::new(Mutex::new(Vec::new()));
        let complaints = child.stderr.take().map(|stderr| collect(stderr, log.clone()));
        let ready = child.stdout.take().and_then(first_line);
        let mut server = Self { child, watchdog, folder, machine, arguments, ready: String::new(), log };
        match ready {
            Some(line) if line.starts_with("ready ") => server.ready = line,
            other => {
                let _ = server.child.kill();
                let _ = complaints.map(std::thread::JoinHandle::join);
                panic!("pintle is not ready: it said {other:?}; stderr:\n{}", server.log());
            }
        }
        server
    }

    /// The line that the server printed when it was ready.
    pub fn ready_line(&self) -> &str {
        &self.ready
    }

    /// The server's URL, `https://ADDR:PORT`.
    pub fn url(&self) -> &str {
        self.ready.split_whitespace().nth(1).unwrap_or_default()
    }

    /// The server's address, `ADDR:PORT`.
    pub fn address(&self) -> &str {
        self.url().trim_start_matches("https://")
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// The data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder for the files of a test, removed with the server.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The machine it runs on, when it has one of its own.
    pub fn machine(&self) -> Option<&Arc<Machine>> {
        self.machine.as_ref()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the server wrote to stderr so far.
    pub fn log(&self) -> String {
        self.log.lock().map(|lines| lines.join("\n")).unwrap_or_default()
    }

    /// What the administrator's kubeconfig holds.
    ///
    /// # Panics
    /// When the kubeconfig cannot be read.
    pub fn access(&self) -> Access {
        Access::read(&self.kubeconfig()).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills the process as a power cut would (SIGKILL), and starts another one on the same data.
    ///
    /// # Panics
    /// When the server does not come back.
    pub fn crash_and_restart(mut self) -> Self {
        self.kill();
        Self::start_in(self.folder.clone(), self.machine.clone(), self.arguments.clone())
    }

    /// As `crash_and_restart`, with other flags.
    ///
    /// # Panics
    /// As `crash_and_restart`.
    pub fn crash_and_restart_with(mut self, flags: &[&str]) -> Self {
        self.arguments = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self.crash_and_restart()
    }

    /// Asks the server to stop with a signal (`TERM`, `INT`) and waits, 20 s at most. (On a machine of its own, the
    /// status is that of the way there.)
    pub fn stop(&mut self, signal: &str) -> Option<ExitStatus> {
        let group = if self.machine.is_some() { "-" } else { "" };
        send(signal, &format!("{group}{}", self.pid()));
        wait::until(20, || self.child.try_wait().ok().flatten())
    }

    /// Kills the server's process group, and waits until it is gone.
    pub fn kill(&mut self) {
        let group = format!("-{}", self.pid());
        send("KILL", &group);
        let _ = self.child.wait();
        wait::until(20, || (!send("0", &group)).then_some(()));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.is_alive() {
            self.kill();
        }
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// Sends a signal by the shell's own `kill`, which every system has; whether there was somebody to take it.
fn send(signal: &str, target: &str) -> bool {
    let kill =
        Command::new("sh").args(["-c", "kill -s \"$0\" -- \"$1\" 2>/dev/null", signal, target]).status();
    kill.is_ok_and(|status| status.success())
}

/// A shell that waits for its input to end, then kills the group; the input ends when this process does.
pub(crate) fn watchdog(group: u32) -> Child {
    Command::new("sh")
        .args(["-c", "cat >/dev/null; kill -s KILL -- \"-$0\" 2>/dev/null; exit 0", &group.to_string()])
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start a shell: {error}"))
}

fn collect(
    output: impl std::io::Read + Send + 'static,
    into: Arc<Mutex<Vec<String>>>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Ok(mut lines) = into.lock() {
                lines.push(line);
            }
        }
    })
}

/// The first line, waited for with a deadline; later output is read and dropped, so that the server never blocks on it.
fn first_line(output: impl std::io::Read + Send + 'static) -> Option<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
    });
    receive.recv_timeout(Duration::from_secs(READY_SECS)).ok()
}
