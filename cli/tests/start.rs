//! The binary from outside: how it starts, who it lets in, how it ends, and how it refuses to start.

#![allow(clippy::unwrap_used)] // everything here is a test

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use tempfile::TempDir;
use tokio_rustls::TlsConnector;

fn pintle(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pintle"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> Output {
    pintle(arguments).output().unwrap()
}

/// A server on a free port, killed when dropped.
struct Server {
    child: Child,
    ready: String,
    dir: TempDir,
}

impl Server {
    fn start() -> Self {
        Server::start_in(tempfile::tempdir().unwrap(), &[])
    }

    fn start_in(dir: TempDir, more: &[&str]) -> Self {
        let data = dir.path().join("data");
        let arguments = ["up", "--no-node", "--listen", "127.0.0.1:0", "--data-dir", text(&data)];
        let mut command = pintle(&arguments);
        let mut child = command.args(more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        if !ready.starts_with("ready ") {
            let _ = child.kill();
            panic!("{ready:?}: {:?}", child.wait_with_output());
        }
        Server { child, ready, dir }
    }

    fn address(&self) -> SocketAddr {
        let url = self.ready.split(' ').nth(1).unwrap();
        url.strip_prefix("https://").unwrap().parse().unwrap()
    }

    fn data(&self) -> String {
        text(&self.dir.path().join("data")).to_owned()
    }

    fn kubeconfig(&self) -> String {
        std::fs::read_to_string(self.ready.split(' ').nth(2).unwrap().strip_prefix("kubeconfig=").unwrap())
            .unwrap()
    }

    /// Sends a signal and answers how the process ended.
    fn end(mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What a kubeconfig has under a key, decoded.
fn decoded(kubeconfig: &str, key: &str) -> Vec<u8> {
    let key = format!("{key}: ");
    let value = kubeconfig.lines().find_map(|line| line.trim().strip_prefix(key.as_str())).unwrap();
    STANDARD.decode(value).unwrap()
}

/// Asks for `path`, as the user of `kubeconfig` or, with the same trust, as nobody.
fn get(
    address: SocketAddr,
    kubeconfig: &str,
    as_user: bool,
    path: &str,
    bearer: Option<&str>,
) -> (u16, String) {
    let mut roots = RootCertStore::empty();
    let ca = decoded(kubeconfig, "certificate-authority-data");
    roots.add(CertificateDer::from_pem_slice(&ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots);
    let config = if as_user {
        let chain =
            vec![CertificateDer::from_pem_slice(&decoded(kubeconfig, "client-certificate-data")).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(&decoded(kubeconfig, "client-key-data")).unwrap();
        config.with_client_auth_cert(chain, key).unwrap()
    } else {
        config.with_no_client_auth()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let name = ServerName::from(address.ip());
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::get(path).header("host", address.to_string());
        if let Some(token) = bearer {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(body.to_vec()).unwrap())
    })
}

/// A start that must fail with `code` and one line, which is answered.
fn refused(arguments: &[&str], code: i32) -> String {
    let output = output(arguments);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {complaint}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    assert!(complaint.starts_with("error: ") && complaint.lines().count() == 1, "{complaint}");
    complaint
}

#[test]
fn it_says_when_it_is_ready_and_lets_in_whom_it_should() {
    let server = Server::start();
    let words: Vec<&str> = server.ready.trim_end().split(' ').collect();
    assert!(matches!(words[..], ["ready", _, _, "in", ms, "ms"] if ms.parse::<u64>().is_ok()), "{words:?}");
    let (address, admin) = (server.address(), server.kubeconfig());
    assert!(admin.contains(&format!("server: \"https://{address}\"")), "{admin}");
    assert_eq!(get(address, &admin, true, "/readyz", None), (200, "ok".to_owned()));
    assert_eq!(get(address, &admin, false, "/healthz", None), (200, "ok".to_owned()));
    let (code, body) = get(address, &admin, false, "/foo", None);
    assert_eq!(code, 403);
    assert!(body.contains(r#"forbidden: User \"system:anonymous\" cannot get path \"/foo\""#), "{body}");
    let (code, body) = get(address, &admin, false, "/healthz", Some("nonsense"));
    assert!(code == 401 && body.contains(r#""message":"Unauthorized""#), "{code} {body}");
    assert_eq!(get(address, &admin, true, "/foo", None).0, 404, "an admin gets past the gate");
    assert_eq!(server.end("TERM"), Some(0));
}

#[test]
fn kubeconfigs_are_made_for_any_user() {
    let server = Server::start();
    let data = server.data();
    let made = output(&["kubeconfig", "--data-dir", &data, "--user", "jane", "--group", "a", "--group", "b"]);
    let jane = String::from_utf8(made.stdout).unwrap();
    let (address, admin) = (server.address(), server.kubeconfig());
    assert!(jane.contains(&format!("server: \"https://{address}\"")), "{jane}");
    let (code, body) = get(address, &jane, true, "/foo", None);
    assert_eq!(code, 403);
    assert!(body.contains(r#"User \"jane\" cannot"#), "{body}");
    let again = output(&["kubeconfig", "--data-dir", &data, "--server", "https://example.org:1"]);
    let again = String::from_utf8(again.stdout).unwrap();
    assert!(again.contains("server: \"https://example.org:1\""), "{again}");
    assert_eq!(get(address, &again, true, "/foo", None).0, get(address, &admin, true, "/foo", None).0);
    let none = tempfile::tempdir().unwrap();
    refused(&["kubeconfig", "--data-dir", text(none.path())], 1);
}

#[test]
fn a_second_start_keeps_the_identity() {
    let mut server = Server::start();
    let before = decoded(&server.kubeconfig(), "certificate-authority-data");
    let dir = std::mem::replace(&mut server.dir, tempfile::tempdir().unwrap());
    assert_eq!(server.end("INT"), Some(0));
    let elsewhere = dir.path().join("more/kubeconfig");
    let elsewhere = text(&elsewhere).to_owned();
    let server = Server::start_in(dir, &["--write-kubeconfig", &elsewhere, "--store", "memory"]);
    assert!(server.ready.contains(&format!("kubeconfig={elsewhere} ")), "{}", server.ready);
    assert_eq!(decoded(&server.kubeconfig(), "certificate-authority-data"), before);
}

#[test]
fn what_cannot_be_had_is_one_line_and_exit_code_1() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = refused(&["up", "--listen", &address, "--data-dir", text(&data)], 1);
    assert!(line.contains(&address), "{line}");
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let up = |data: &Path| refused(&["up", "--listen", "127.0.0.1:0", "--data-dir", text(data)], 1);
    assert!(up(&file).contains(text(&file)));
    assert!(up(Path::new("/proc/pintle")).contains("/proc/pintle"));
    std::fs::write(data.join("format"), "999").unwrap();
    assert!(up(&data).contains("newer"));
    let server = Server::start();
    assert!(up(Path::new(&server.data())).contains("in use"));
}

#[test]
fn a_wrong_flag_is_one_line_and_exit_code_2() {
    for arguments in [
        &["up", "--listen", "nowhere"][..],
        &["up", "--store", "paper"],
        &["up", "--store", "etcd="],
        &["up", "--no-such-flag"],
        &["apiserver", "--no-node"],
        &["sideways"],
    ] {
        refused(arguments, 2);
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (arguments, says) in
        [(&["version"][..], "Kubernetes v1.36."), (&["up", "--help"], "--write-kubeconfig")]
    {
        let output = output(arguments);
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().contains(says), "{arguments:?}");
    }
}
