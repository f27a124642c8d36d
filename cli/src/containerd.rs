//! Finds the containerd of this machine; where one is installed and none runs, starts one of our own.
//!
//! Ours outlives us: containers do not stop with the process that asked for them, and the next start finds them again.
//! While nobody else listens under the system's name, ours can be found there too, so that `ctr` and `crictl` reach it.
//! Its socket and state are in `/run/pintle/HASH` (a socket's path must be short), its images, log and network
//! configuration in the data folder.

use anyhow::{Context, bail};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

/// Where a system's own containerd listens.
const SYSTEM_SOCKET: &str = "/run/containerd/containerd.sock";
/// Where those that we start listen.
const OWN_SOCKETS: &str = "/run/pintle";
/// Where network plugins are: as upstream's packages and as Debian have them.
const PLUGIN_FOLDERS: [&str; 2] = ["/opt/cni/bin", "/usr/lib/cni"];
/// What nobody asks of ours: other snapshotters than overlayfs, traces, and a loop that restarts containers.
const UNUSED_PLUGINS: &str = "internal.v1.opt internal.v1.restart internal.v1.tracing snapshotter.v1.aufs \
    snapshotter.v1.btrfs snapshotter.v1.devmapper snapshotter.v1.zfs tracing.processor.v1.otlp";
/// How long a new containerd may take to listen, in steps of 20 ms.
const PATIENCE_STEPS: usize = 1500;
const STEP: Duration = Duration::from_millis(20);
/// How long to wait before one that could not be started is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// A containerd to use.
#[derive(Debug, PartialEq)]
pub enum Containerd {
    /// It listens there, or will.
    At(PathBuf),
    /// To be started from this program.
    Ours(PathBuf),
}

/// What this machine has: nothing that a user who is not root could use.
pub async fn find() -> Option<Containerd> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let is_ours = std::fs::read_link(SYSTEM_SOCKET).is_ok_and(|socket| socket.starts_with(OWN_SOCKETS));
    if !is_ours && UnixStream::connect(SYSTEM_SOCKET).await.is_ok() {
        return Some(Containerd::At(SYSTEM_SOCKET.into()));
    }
    program("containerd").map(Containerd::Ours)
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

impl Containerd {
    /// Its socket, with somebody listening there if it is ours; another is started when that one ends.
    pub async fn socket(self, data_dir: &Path) -> anyhow::Result<PathBuf> {
        let program = match self {
            Containerd::At(socket) => return Ok(socket),
            Containerd::Ours(program) => program,
        };
        let own = Own::of(data_dir)?;
        let connection = own.listening(&program).await?;
        let socket = own.socket();
        lend_name(&socket);
        tokio::spawn(async move { own.keep(&program, connection).await });
        Ok(socket)
    }
}

/// Whether this process may protect others from the kernel's choice when memory runs out (CAP_SYS_RESOURCE).
fn may_spare_processes() -> bool {
    const SYS_RESOURCE: u32 = 24;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let held = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    held.and_then(|held| u64::from_str_radix(held.trim(), 16).ok())
        .is_some_and(|held| held >> SYS_RESOURCE & 1 == 1)
}

/// Lets a socket be found under the system's name while nothing is there.
fn lend_name(socket: &Path) {
    let system = Path::new(SYSTEM_SOCKET);
    if system.exists() {
        return;
    }
    // What is left is a link to a socket that is gone.
    let _ = std::fs::remove_file(system);
    let folder = system.parent().unwrap_or(system);
    let linked = std::fs::create_dir_all(folder).and_then(|()| std::os::unix::fs::symlink(socket, system));
    if let Err(error) = linked {
        tracing::info!(%error, "{SYSTEM_SOCKET} does not lead to {}", socket.display());
    }
}

/// The folders of a containerd of ours.
struct Own {
    state: PathBuf,
    data: PathBuf,
}

impl Own {
    fn of(data_dir: &Path) -> anyhow::Result<Self> {
        let data = std::path::absolute(data_dir).context("cannot tell where we are")?;
        let mut hasher = DefaultHasher::new();
        data.hash(&mut hasher);
        let state = Path::new(OWN_SOCKETS).join(format!("{:016x}", hasher.finish()));
        Ok(Own { state, data: data.join("containerd") })
    }

    fn socket(&self) -> PathBuf {
        self.state.join("containerd.sock")
    }

    /// A connection to it; it is started when nobody listens.
    async fn listening(&self, program: &Path) -> anyhow::Result<UnixStream> {
        let socket = self.socket();
        if let Ok(connection) = UnixStream::connect(&socket).await {
            if self.config().is_file() {
                return Ok(connection);
            }
            // Its folders were removed under it: it has no use any more.
            end(connection).await.context("cannot end a containerd without folders")?;
        }
        self.launch(program, &socket).with_context(|| format!("cannot start {}", program.display()))?;
        for _ in 0..PATIENCE_STEPS {
            if let Ok(connection) = UnixStream::connect(&socket).await {
                return Ok(connection);
            }
            tokio::time::sleep(STEP).await;
        }
        bail!("containerd does not listen: see {}", self.log().display())
    }

    /// Starts another whenever the one at the other end of a connection is gone.
    async fn keep(&self, program: &Path, mut connection: UnixStream) {
        loop {
            if let Err(error) = gone(connection).await {
                tracing::warn!(%error, "cannot look after containerd");
                return;
            }
            tracing::warn!("containerd ended");
            connection = loop {
                match self.listening(program).await {
                    Ok(connection) => break connection,
                    Err(error) => tracing::error!("{error:#}"),
                }
                tokio::time::sleep(RETRY).await;
            };
        }
    }

    fn config(&self) -> PathBuf {
        self.data.join("config.toml")
    }

    fn log(&self) -> PathBuf {
        self.data.join("containerd.log")
    }

    /// Starts it in a session of its own, so that what ends us leaves it alone.
    fn launch(&self, program: &Path, socket: &Path) -> anyhow::Result<()> {
        let networks = self.data.join("net.d");
        for folder in [&self.state, &self.data, &networks] {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let config = self.config();
        std::fs::write(&config, self.configuration(socket, &networks))
            .with_context(|| format!("cannot write {}", config.display()))?;
        let log = std::fs::File::create(self.log()).context("cannot write its log")?;
        let mut command = Command::new("setsid");
        command.arg("--fork").arg(program).arg("--config").arg(&config);
        // Garbage of half its objects' size, not of as much: pods start as fast, and it is megabytes smaller.
        command.env("GOGC", std::env::var_os("GOGC").unwrap_or_else(|| "50".into()));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let status = command.status().context("cannot run setsid")?;
        anyhow::ensure!(status.success(), "setsid failed: {status}");
        tracing::info!(socket = %socket.display(), "started a containerd");
        Ok(())
    }

    /// The settings of `config.toml`; texts in quotes are those of Rust, which TOML reads alike.
    fn configuration(&self, socket: &Path, networks: &Path) -> String {
        let has_bridge = |folder: &&str| Path::new(folder).join("bridge").is_file();
        let plugins = PLUGIN_FOLDERS.into_iter().find(has_bridge).unwrap_or(PLUGIN_FOLDERS[0]);
        let unused =
            UNUSED_PLUGINS.split(' ').map(|name| format!("io.containerd.{name}")).collect::<Vec<_>>();
        format!(
            "version = 2\nroot = {root:?}\nstate = {state:?}\n\
             disabled_plugins = {unused:?}\n\
             [grpc]\n  address = {socket:?}\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\n  sandbox_image = \"pintle.local/pause:1\"\n\
             \x20 stream_server_address = \"127.0.0.1\"\n  stream_server_port = \"0\"\n\
             \x20 restrict_oom_score_adj = {restricted}\n  tolerate_missing_hugetlb_controller = true\n\
             \x20 [plugins.\"io.containerd.grpc.v1.cri\".cni]\n    bin_dir = {plugins:?}\n    conf_dir = {networks:?}\n",
            restricted = !may_spare_processes(),
            root = self.data.join("root"),
            state = self.state.join("state"),
        )
    }
}

/// Ends the process at the other end of a connection.
async fn end(connection: UnixStream) -> std::io::Result<()> {
    rustix::process::kill_process(peer(&connection)?, rustix::process::Signal::KILL)?;
    gone(connection).await
}

fn peer(connection: &UnixStream) -> std::io::Result<rustix::process::Pid> {
    let pid = connection.peer_cred()?.pid().and_then(rustix::process::Pid::from_raw);
    pid.ok_or_else(|| std::io::ErrorKind::NotFound.into())
}

/// Returns when the process at the other end of a connection has ended.
#[expect(deprecated, reason = "what replaces it is unsafe; nobody else has this descriptor")]
async fn gone(connection: UnixStream) -> std::io::Result<()> {
    let pid = peer(&connection)?;
    drop(connection);
    let process = match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::NONBLOCK) {
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        other => other?,
    };
    AsyncFd::with_interest(process, Interest::READABLE)?.readable().await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_data_folder_has_a_containerd_of_its_own_with_a_short_socket() {
        let long = "/x".repeat(200);
        let (a, b) = (Own::of(Path::new("/a")).unwrap(), Own::of(Path::new(&long)).unwrap());
        assert_ne!(a.state, b.state);
        assert!(b.state.join("containerd.sock").as_os_str().len() < 108);
        let text = a.configuration(Path::new("/run/s.sock"), Path::new("/a/containerd/net.d"));
        assert!(
            text.contains("address = \"/run/s.sock\"") && text.contains("conf_dir = \"/a/containerd/net.d\"")
        );
    }
}
