//! The engines that a test runs on. etcd is the real server, started here on a free port and ended with the
//! test.

#![allow(clippy::unwrap_used)] // it is a test

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use store::{Store, StoreConfig};

/// Where a store keeps its things while a test runs.
#[allow(dead_code)] // not every test uses every engine
pub enum Engine {
    Memory,
    Embedded(tempfile::TempDir),
    Etcd(EtcdServer),
}

#[allow(dead_code)]
impl Engine {
    /// Opens a store on it.
    pub async fn open(&self) -> Store {
        let config = match self {
            Engine::Memory => StoreConfig::memory(),
            Engine::Embedded(dir) => StoreConfig::embedded(dir.path()),
            Engine::Etcd(server) => StoreConfig::etcd([server.url.as_str()]),
        };
        Store::open(config).await.unwrap()
    }
}

/// A running etcd.
#[allow(dead_code)]
pub struct EtcdServer {
    pub url: String,
    binary: PathBuf,
    dir: std::sync::Arc<tempfile::TempDir>,
    process: Child,
}

/// A stopped etcd: its data.
#[allow(dead_code)]
pub struct StoppedEtcd {
    binary: PathBuf,
    dir: std::sync::Arc<tempfile::TempDir>,
}

#[allow(dead_code)]
impl StoppedEtcd {
    /// Starts it again where nobody knows it.
    pub fn start_elsewhere(self) -> EtcdServer {
        self.start_at(&format!("http://127.0.0.1:{}", free_port()))
    }

    /// Starts it again at an address.
    pub fn start_at(self, url: &str) -> EtcdServer {
        let client = url.rsplit(':').next().unwrap().parse().unwrap();
        let process = spawn(&self.binary, self.dir.path(), client, free_port());
        let mut server = EtcdServer { url: url.to_owned(), binary: self.binary, dir: self.dir, process };
        assert!(server.wait_until_ready(), "etcd does not start again");
        server
    }
}

#[allow(dead_code)]
impl EtcdServer {
    /// Starts one. `None`, said on stderr, when there is no etcd on this machine; with PINTLE_REQUIRE_ETCD=1
    /// that is a failure. PINTLE_ETCD names another binary than the one in the PATH.
    pub fn start() -> Option<Self> {
        let Some(binary) = find_binary() else {
            let required = std::env::var("PINTLE_REQUIRE_ETCD").is_ok_and(|value| value == "1");
            assert!(!required, "PINTLE_REQUIRE_ETCD=1, but there is no etcd binary (Debian: etcd-server)");
            eprintln!("SKIPPED: there is no etcd binary; install etcd-server to run this test");
            return None;
        };
        for _ in 0..5 {
            let dir = std::sync::Arc::new(tempfile::tempdir().unwrap());
            let (client, peer) = (free_port(), free_port());
            let process = spawn(&binary, dir.path(), client, peer);
            let url = format!("http://127.0.0.1:{client}");
            let mut server = EtcdServer { url, binary: binary.clone(), dir, process };
            if server.wait_until_ready() {
                return Some(server);
            }
            // Somebody took the port meanwhile: once more.
        }
        panic!("etcd does not start");
    }

    /// Ends the process without a warning and starts it again, on the same data and port.
    pub fn crash_and_restart(&mut self) {
        self.stop();
        let client = self.url.rsplit(':').next().unwrap().parse().unwrap();
        self.process = spawn(&self.binary, self.dir.path(), client, free_port());
        assert!(self.wait_until_ready(), "etcd does not start again");
    }

    /// Ends the process without a warning and keeps its data.
    pub fn stop_for_a_while(self) -> StoppedEtcd {
        StoppedEtcd { binary: self.binary.clone(), dir: self.dir.clone() }
    }

    fn wait_until_ready(&mut self) -> bool {
        let address = self.url.trim_start_matches("http://").to_owned();
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            if is_healthy(&address) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn stop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether an etcd answers there. That somebody takes the connection is not enough: it may be the peer's port of
/// another one, or this very socket, which the kernel gave the port that it looks for.
fn is_healthy(address: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let patience = Some(Duration::from_secs(2));
    let asked =
        stream.set_read_timeout(patience).and_then(|()| stream.write_all(b"GET /health HTTP/1.0\r\n\r\n"));
    let mut answer = String::new();
    asked.and_then(|()| stream.read_to_string(&mut answer)).is_ok() && answer.contains("\"health\"")
}

fn find_binary() -> Option<PathBuf> {
    if let Ok(named) = std::env::var("PINTLE_ETCD") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join("etcd")).find(|binary| binary.is_file())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn spawn(binary: &Path, dir: &Path, client: u16, peer: u16) -> Child {
    let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    Command::new(binary)
        .arg("--data-dir")
        .arg(dir)
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
