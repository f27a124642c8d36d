//! Connections from inside the network namespace of a pod. A socket belongs to the namespace in which it was made: a
//! thread of its own enters the namespace, makes the socket and ends.

use crate::{Runtime, cri};
use api::{Value, json};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;

/// The network namespace of a sandbox.
#[derive(Clone)]
pub struct Namespace {
    sandbox_id: String,
    /// As containerd names it: its path, or `host`.
    name: String,
    /// None: the one that we are in.
    file: Option<Arc<File>>,
}

impl Namespace {
    /// # Errors
    /// When the sandbox does not run.
    pub async fn of(runtime: &Runtime, sandbox_id: &str) -> Result<Self, String> {
        let request = cri::PodSandboxStatusRequest { pod_sandbox_id: sandbox_id.to_owned(), verbose: true };
        let answer = runtime.containers().pod_sandbox_status(request).await;
        let answer = answer.map_err(|why| why.message().to_owned())?.into_inner();
        let info = answer.info.get("info").map_or("{}", String::as_str);
        let info = json::parse(info.as_bytes()).map_err(|why| why.to_string())?;
        let pid = info.i64_at(&["pid"]).unwrap_or(0);
        let closed = |_| format!("network namespace for sandbox {sandbox_id:?} is closed");
        if pid <= 0 {
            return Err(closed(io::Error::from(io::ErrorKind::NotFound)));
        }
        let file = File::open(format!("/proc/{pid}/ns/net")).map_err(closed)?;
        let file = if is_ours(&file).map_err(closed)? { None } else { Some(Arc::new(file)) };
        Ok(Namespace { sandbox_id: sandbox_id.to_owned(), name: name(&info), file })
    }

    /// Connects to a port of the pod's own address, by IPv4 or else by IPv6.
    ///
    /// # Errors
    /// When nobody listens; in containerd's words.
    pub async fn connect(&self, port: u16) -> Result<TcpStream, String> {
        let v4 = match self.connect_to(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await {
            Ok(stream) => return Ok(stream),
            Err(why) => why,
        };
        let v6 = match self.connect_to(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await {
            Ok(stream) => return Ok(stream),
            Err(why) => why,
        };
        let (name, id) = (&self.name, &self.sandbox_id);
        Err(format!(
            "failed to execute portforward in network namespace {name:?}: failed to connect to localhost:{port} \
             inside namespace {id:?}, IPv4: {v4} IPv6 {v6} "
        ))
    }

    async fn connect_to(&self, to: SocketAddr) -> Result<TcpStream, String> {
        let network = if to.is_ipv4() { "tcp4" } else { "tcp6" };
        let told = |call: &str, why: io::Error| format!("dial {network} {to}: {call}: {}", words(&why));
        let socket = self.socket(to.ip()).await.map_err(|why| told("socket", why))?;
        let stream = socket.connect(to).await.map_err(|why| told("connect", why))?;
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    async fn socket(&self, family: IpAddr) -> io::Result<TcpSocket> {
        let Some(file) = self.file.clone() else { return made(family) };
        let (done, socket) = oneshot::channel();
        std::thread::Builder::new().name("port-forward".to_owned()).spawn(move || {
            let _ = done.send(inside(&file, family));
        })?;
        socket.await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
impl Namespace {
    /// For tests: the one that we are in.
    pub fn ours(sandbox_id: &str) -> Self {
        Namespace { sandbox_id: sandbox_id.to_owned(), name: "host".to_owned(), file: None }
    }
}

/// On a thread that ends after it.
fn inside(namespace: &File, family: IpAddr) -> io::Result<TcpSocket> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    made(family)
}

fn made(family: IpAddr) -> io::Result<TcpSocket> {
    if family.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}

/// A pod in the host's network needs no entering.
fn is_ours(namespace: &File) -> io::Result<bool> {
    let (other, own) = (namespace.metadata()?, std::fs::metadata("/proc/self/ns/net")?);
    Ok((other.dev(), other.ino()) == (own.dev(), own.ino()))
}

fn name(info: &Value) -> String {
    let namespaces = info.list_at(&["runtimeSpec", "linux", "namespaces"]);
    let network = namespaces.iter().find(|namespace| namespace.str_at(&["type"]) == "network");
    match network.map_or("", |network| network.str_at(&["path"])) {
        "" => "host".to_owned(),
        path => path.to_owned(),
    }
}

/// The system's words as Go has them: in small letters and without a number.
fn words(why: &io::Error) -> String {
    let text = why.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_namespace_is_named_by_its_path_or_as_the_hosts() {
        let path = "/var/run/netns/cni-1";
        let info = tree!({"runtimeSpec": {"linux": {"namespaces": [{"type": "pid"}, {"type": "network", "path": path}]}}});
        assert_eq!(name(&info), path);
        assert_eq!(name(&tree!({"runtimeSpec": {"linux": {"namespaces": [{"type": "pid"}]}}})), "host");
    }

    #[tokio::test]
    async fn connections_come_from_inside_and_refusals_read_as_containerds() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let namespace = Namespace::ours("abc");
        assert!(namespace.connect(port).await.is_ok());
        drop(listener);
        let why = namespace.connect(port).await.unwrap_err();
        let start = format!(
            "failed to execute portforward in network namespace \"host\": failed to connect to localhost:{port} \
             inside namespace \"abc\", IPv4: dial tcp4 127.0.0.1:{port}: connect: connection refused IPv6 dial \
             tcp6 [::1]:{port}: "
        );
        assert!(why.starts_with(&start), "{why}");
    }

    #[tokio::test]
    async fn another_namespace_is_entered_and_not_kept() {
        if !rustix::process::geteuid().is_root() {
            return eprintln!("entering a namespace is for root: not tried");
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // One that nobody listens in: its loopback is not even up.
        let (sender, other) = oneshot::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let holder = std::thread::spawn(move || {
            #[expect(deprecated, reason = "a new network namespace leaves memory alone")]
            rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET).unwrap();
            sender.send(File::open("/proc/thread-self/ns/net").unwrap()).unwrap();
            let _ = ended.recv();
        });
        let file = other.await.unwrap();
        assert!(!is_ours(&file).unwrap());
        let namespace = Namespace { file: Some(Arc::new(file)), ..Namespace::ours("abc") };
        assert!(namespace.connect(port).await.unwrap_err().contains("network is unreachable"));
        assert!(Namespace::ours("abc").connect(port).await.is_ok());
        drop(end);
        holder.join().unwrap();
    }
}
