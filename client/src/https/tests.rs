//! Connections to servers in the test's own process: good ones, strangers, and those that are none.

use super::*;
use crate::{Client, Error, Method};
use api::Remote;
use bytes::Bytes;
use certs::{Authority, Credential, ServerNames};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use stdx::{Clock, Time};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const DAY: Duration = Duration::from_secs(86_400);

fn authority() -> Authority {
    Authority::new("test-ca", Clock::system().now()).unwrap()
}

fn server_credential(ca: &Authority, now: Time) -> Credential {
    let names = ServerNames::new(vec!["hooks.example.org".into()], vec![Ipv4Addr::LOCALHOST.into()]);
    ca.issue_server(&names, now, DAY).unwrap()
}

struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
}

/// Answers every request with its version, path and headers of interest; demands client certificates of `clients`.
async fn serve(credential: &Credential, clients: Option<&Authority>, protocols: &[&str]) -> Server {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(ca.certificate_der().to_vec().into()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
        None => builder.with_no_client_auth(),
    };
    let chain = vec![CertificateDer::from(credential.certificate_der.clone())];
    let key = PrivateKeyDer::try_from(credential.key_der.clone()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let (acceptor, count) = (acceptor.clone(), count.clone());
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(tcp).await else { return };
                count.fetch_add(1, Ordering::SeqCst);
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(tls), service_fn(answer)).await;
            });
        }
    });
    Server { port, connections }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let token = request.headers().get("authorization").map_or("", |value| value.to_str().unwrap());
    let text =
        format!(r#"{{"via":"{:?}","path":"{}","token":"{token}"}}"#, request.version(), request.uri().path());
    Ok(Response::new(Full::new(Bytes::from(text))))
}

fn remote(server: &Server, ca: &Authority) -> Remote {
    let ca = Some(ca.certificate_pem().as_bytes().to_vec());
    Remote { url: format!("https://127.0.0.1:{}", server.port), ca, ..Remote::default() }
}

async fn ask(remote: &Remote) -> Result<String, String> {
    let pool = Pool::new(remote).map_err(|why| why.to_string())?;
    let request = Request::builder().uri(&remote.url).body(Full::default()).unwrap();
    let response = pool.send(request).await.map_err(|why| why.to_string())?;
    Ok(String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn a_client_works_over_the_network_as_it_does_in_process() {
    let ca = authority();
    for (protocols, via) in [(ANY_HTTP, "HTTP/2.0"), (&["http/1.1"][..], "HTTP/1.1"), (&[][..], "HTTP/1.1")] {
        let server = serve(&server_credential(&ca, Clock::system().now()), None, protocols).await;
        let mut remote = remote(&server, &ca);
        remote.authorization = Some("Bearer abc".to_owned());
        remote.url.push_str("/prefix/");
        let client = Client::connect(&remote, "test").unwrap();
        for _ in 0..3 {
            let answer = client.call(Method::GET, "/version", None).await.unwrap();
            assert_eq!(answer.str_at(&["via"]), via);
            assert_eq!(answer.str_at(&["path"]), "/prefix/version");
            assert_eq!(answer.str_at(&["token"]), "Bearer abc");
        }
        assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn certificates_are_judged_as_go_judges_them() {
    let (ca, other, now) = (authority(), authority(), Clock::system().now());
    let server = serve(&server_credential(&ca, now), None, ANY_HTTP).await;
    let good = remote(&server, &ca);
    assert!(ask(&good).await.is_ok());
    let fails = async |remote: Remote, text: &str| assert_eq!(ask(&remote).await.unwrap_err(), text);
    let start = "tls: failed to verify certificate: x509: ";
    let stranger = remote(&server, &other);
    fails(stranger.clone(), &format!("{start}certificate signed by unknown authority")).await;
    assert!(ask(&Remote { ca: None, insecure: true, ..stranger }).await.is_ok());
    let named = |name: &str| Remote { server_name: name.to_owned(), ..good.clone() };
    assert!(ask(&named("hooks.example.org")).await.is_ok());
    let text = format!("{start}certificate is valid for hooks.example.org, not a.example.org");
    fails(named("a.example.org"), &text).await;
    let text = format!("{start}certificate is valid for 127.0.0.1, not 127.0.0.2");
    fails(named("127.0.0.2"), &text).await;
    let past = Time { secs: now.secs - 10 * 86_400, nanos: 0 };
    let expired = serve(&server_credential(&ca, past), None, ANY_HTTP).await;
    let why = ask(&remote(&expired, &ca)).await.unwrap_err();
    assert!(
        why.starts_with(&format!("{start}certificate has expired or is not yet valid: current time 20")),
        "{why}"
    );
}

#[tokio::test]
async fn a_trusted_certificate_may_be_the_servers_own() {
    let now = Clock::system().now();
    let ca = authority();
    let credential = server_credential(&ca, now);
    let server = serve(&credential, None, ANY_HTTP).await;
    let own = Some(credential.certificate_pem.clone().into_bytes());
    assert!(ask(&Remote { ca: own.clone(), ..remote(&server, &ca) }).await.is_ok());
    let elsewhere = Remote { ca: own, server_name: "a".to_owned(), ..remote(&server, &ca) };
    assert!(ask(&elsewhere).await.is_err());
}

#[tokio::test]
async fn a_client_certificate_is_shown_when_there_is_one() {
    let (ca, now) = (authority(), Clock::system().now());
    let server = serve(&server_credential(&ca, now), Some(&ca), ANY_HTTP).await;
    let nobody = remote(&server, &ca);
    assert_eq!(ask(&nobody).await.unwrap_err(), "remote error: tls: certificate required");
    let client = ca.issue_client("jane", &[], now, DAY).unwrap();
    let client = Some((client.certificate_pem.into_bytes(), client.key_pem.into_bytes()));
    assert!(ask(&Remote { client, ..nobody.clone() }).await.is_ok());
    let broken = Remote { client: Some((b"x".to_vec(), b"y".to_vec())), ..nobody };
    assert!(matches!(Client::connect(&broken, "test"), Err(Error::Broken(why)) if why.contains("PEM")));
}

#[tokio::test]
async fn the_address_replaces_the_host_for_the_connection_alone() {
    let ca = authority();
    let server = serve(&server_credential(&ca, Clock::system().now()), None, ANY_HTTP).await;
    let address = Some(format!("127.0.0.1:{}", server.port));
    let url = "https://hooks.example.org:443/x".to_owned();
    let text = ask(&Remote { url, address, ..remote(&server, &ca) }).await.unwrap();
    assert!(text.contains(r#""path":"/x""#), "{text}");
}

#[tokio::test]
async fn failures_are_said_as_go_says_them() {
    let plain = |url: &str| Remote { url: url.to_owned(), insecure: true, ..Remote::default() };
    let refused = "dial tcp 127.0.0.1:1: connect: connection refused";
    assert_eq!(ask(&plain("https://127.0.0.1:1/")).await.unwrap_err(), refused);
    let nobody = "dial tcp: lookup no-such-host.invalid: no such host";
    assert_eq!(ask(&plain("https://no-such-host.invalid/")).await.unwrap_err(), nobody);
    let scheme = "unsupported protocol scheme \"ftp\"";
    assert_eq!(ask(&plain("ftp://a/")).await.unwrap_err(), scheme);
    let listener = TcpListener::bind((IpAddr::from(Ipv4Addr::LOCALHOST), 0)).await.unwrap();
    let url = format!("//{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b""] {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            let _ = tokio::io::AsyncReadExt::read(&mut tcp, &mut head).await;
            tokio::io::AsyncWriteExt::write_all(&mut tcp, answer).await.unwrap();
        }
    });
    let not_tls = "http: server gave HTTP response to HTTPS client";
    assert_eq!(ask(&plain(&format!("https:{url}"))).await.unwrap_err(), not_tls);
    assert_eq!(ask(&plain(&format!("http:{url}"))).await.unwrap_err(), "EOF");
}
