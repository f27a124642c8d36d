//! An etcd of one's own, for tests of several servers on one store. Gone when the test is, as a `Server` is.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::{server, tools, wait};

/// How long an etcd may take to answer.
const READY_SECS: u64 = 20;

/// A running etcd.
pub struct Etcd {
    url: String,
    process: Child,
    watchdog: Child,
    _data: TempDir,
}

impl Etcd {
    /// Starts one on free ports; `None` when it is not installed (see `tools::find`).
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Option<Self> {
        let program = tools::find("etcd")?;
        let data = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let [client, peer] = [free_port(), free_port()].map(|port| format!("http://127.0.0.1:{port}"));
        let process = Command::new(program)
            .arg("--data-dir")
            .arg(data.path())
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start etcd: {error}"));
        let watchdog = server::watchdog(process.id());
        let etcd = Etcd { url: client, process, watchdog, _data: data };
        let address = etcd.url.trim_start_matches("http://").to_owned();
        wait::until(READY_SECS, || std::net::TcpStream::connect(&address).ok())
            .unwrap_or_else(|| panic!("etcd does not answer at {address}"));
        Some(etcd)
    }

    /// What `--store` is to be.
    pub fn store(&self) -> String {
        format!("etcd={}", self.url)
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.unwrap_or_else(|error| panic!("no free port: {error}")).port()
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}
