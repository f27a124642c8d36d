//! Streams through a server in the test: a backend of its own plays the kubelet, or what is proxied.

use super::place::{Place, Refusing, Trust};
use super::{Kubelets, reverse_proxy};
use crate::address::{Address, address};
use crate::call::Call;
use crate::door::{Body, Door, Drain, RequestBody};
use crate::flow::Seat;
use crate::query::Query;
use crate::server::Rooms;
use crate::{Objects, Server, stored};
use admission::Chain;
use api::{Value, tree};
use authn::Authenticator;
use authz::{Attributes, Authorizer, Configuration, Mode};
use bytes::Bytes;
use certs::{Authority, ServerNames, ServerTls};
use futures::StreamExt;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Ids};
use store::{Key, Store, StoreConfig, Txn};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const DAY: Duration = Duration::from_secs(86_400);
type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// What was asked of the backend: path with query, certificates shown, headers.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<(String, usize, http::HeaderMap)>>>);

impl Asked {
    fn last(&self) -> (String, usize, http::HeaderMap) {
        self.0.lock().last().cloned().unwrap()
    }
}

fn text(code: StatusCode, text: &str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text.to_owned())).boxed_unsync());
    *answer.status_mut() = code;
    answer
}

async fn backend_answer(request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    match path.as_str() {
        "/containerLogs/ns/follow/c" => {
            let lines =
                futures::stream::iter(["one\n", "two\n"]).map(|line| Ok(Frame::data(Bytes::from(line))));
            let never = futures::stream::pending();
            Response::new(StreamBody::new(lines.chain(never)).boxed_unsync())
        }
        "/containerLogs/ns/p/c" => {
            text(StatusCode::BAD_REQUEST, "container \"c\" in pod \"p\" is waiting to start: X")
        }
        "/exec/ns/p/c" => {
            let upgrade = hyper::upgrade::on(request);
            tokio::spawn(async move {
                let mut stream = TokioIo::new(upgrade.await.unwrap());
                let mut said = Vec::new();
                stream.read_to_end(&mut said).await.unwrap();
                said.reverse();
                stream.write_all(&said).await.unwrap();
                stream.shutdown().await.unwrap();
            });
            let mut answer = text(StatusCode::SWITCHING_PROTOCOLS, "");
            answer.headers_mut().insert("connection", "Upgrade".parse().unwrap());
            answer.headers_mut().insert("upgrade", "test".parse().unwrap());
            answer
        }
        "/attach/ns/p/c" => text(StatusCode::FORBIDDEN, "Forbidden (user=x)\n"),
        "/portForward/ns/p" => text(StatusCode::OK, "not upgraded"),
        "/page" => {
            let mut answer = text(StatusCode::OK, "<a href=\"/x\">");
            answer.headers_mut().insert("content-type", "text/html; charset=utf-8".parse().unwrap());
            answer
        }
        "/moved" => {
            let mut answer = text(StatusCode::FOUND, "");
            answer.headers_mut().insert("location", "/there?a=b".parse().unwrap());
            answer.headers_mut().insert("access-control-allow-origin", "*".parse().unwrap());
            answer.headers_mut().insert("x-own", "1".parse().unwrap());
            answer
        }
        _ => {
            let method = request.method().clone();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            text(StatusCode::CREATED, &format!("{method} {path} {}", String::from_utf8_lossy(&body)))
        }
    }
}

/// Serves TLS on a free port.
async fn backend(ca: &Authority) -> (u16, Asked) {
    let names = ServerNames::new(vec!["localhost".to_owned()], vec![Ipv4Addr::LOCALHOST.into()]);
    let own = ca.issue_server(&names, Clock::system().now(), DAY).unwrap();
    let acceptor = TlsAcceptor::from(ServerTls::new(&own, &[ca.certificate_der()]).unwrap().config());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, asked) = (listener.local_addr().unwrap().port(), Asked::default());
    let notes = asked.clone();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let (acceptor, notes) = (acceptor.clone(), notes.clone());
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(tcp).await else { return };
                let shown = tls.get_ref().1.peer_certificates().map_or(0, <[_]>::len);
                let service = service_fn(move |request: Request<Incoming>| {
                    let target = request.uri().path_and_query().unwrap().as_str().to_owned();
                    notes.0.lock().push((target, shown, request.headers().clone()));
                    async { Ok::<_, Infallible>(backend_answer(request).await) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(tls), service).with_upgrades().await;
            });
        }
    });
    (port, asked)
}

/// A server that knows one node, whose kubelet is the backend, and two pods on it.
async fn server(port: u16, kubelets: Kubelets, drain: Drain) -> Arc<Server> {
    let clock = Clock::system();
    let mut may = authz::Settings::new(clock.clone());
    may.configuration = Configuration { authorizers: vec![Mode::AlwaysAllow] };
    let server = Arc::new(Server::new(Rooms {
        objects: Objects::new(Store::open(StoreConfig::memory()).await.unwrap(), Ids::system()),
        authenticator: Authenticator::new(&authn::Settings::new(clock.clone())).unwrap(),
        authorizer: Authorizer::new(&may).unwrap(),
        admission: Chain::new(&admission::Settings::new(clock.clone()), &[], &[]).unwrap(),
        audit: None,
        encryption: None,
        flow: crate::flow::Settings::default(),
        clock,
        ids: Ids::system(),
        tokens: None,
        drain,
        limits: crate::deadline::Limits::default(),
        kubelets,
    }));
    let node = tree!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n"}, "status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": (i64::from(port))}}
    }});
    put(&server, "nodes", "n", &node).await;
    for name in ["p", "follow"] {
        let pod = tree!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "namespace": "ns"},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
        put(&server, "pods", &format!("ns/{name}"), &pod).await;
    }
    server
}

async fn put(server: &Server, resource: &str, rest: &str, object: &Value) {
    let kind = server.registry().find("", resource).unwrap().clone();
    let key = Key::new(&server.space(&*kind), rest);
    server.store.commit(Txn::new().put(key, stored::encode(&*kind, object).unwrap())).await.unwrap();
}

/// One request on a connection of its own.
async fn ask(server: &Arc<Server>, method: &str, path: &str, upgrade: bool) -> Response<Incoming> {
    let served = server.clone();
    let door = Door::new(Drain::new(), move |request| crate::serve(served.clone(), request));
    send(&door, method, path, upgrade).await
}

async fn send<H, F>(door: &Door<H>, method: &str, path: &str, upgrade: bool) -> Response<Incoming>
where
    H: Fn(Request<RequestBody>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let pipe = TokioIo::new(door.connect(authn::in_process("jane", &[])));
    let (mut sender, connection) = http1::handshake(pipe).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::builder().method(method).uri(path).header("host", "api:6443");
    request = request.header("authorization", "Bearer secret").header("x-mine", "1");
    if upgrade {
        request = request.header("connection", "Upgrade").header("upgrade", "test");
    }
    let body = if method == "PUT" { "sent" } else { "" };
    sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap()
}

async fn read(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

struct House {
    server: Arc<Server>,
    drain: Drain,
    asked: Asked,
    _dir: tempfile::TempDir,
}

/// A server with its kubelet, whose certificate it verifies, and to which it shows one of its own.
async fn house() -> House {
    let now = Clock::system().now();
    let (ca, dir, drain) = (Authority::new("ca", now).unwrap(), tempfile::tempdir().unwrap(), Drain::new());
    let client = ca.issue_client("api", &[], now, DAY).unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let kubelets = Kubelets {
        certificate_authority: Some(file("ca", ca.certificate_pem())),
        client: Some((file("crt", &client.certificate_pem), file("key", &client.key_pem))),
        ..Kubelets::default()
    };
    let (port, asked) = backend(&ca).await;
    House { server: server(port, kubelets, drain.clone()).await, drain, asked, _dir: dir }
}

#[tokio::test]
async fn a_log_comes_piece_by_piece_while_it_is_written() {
    let house = house().await;
    let path = "/api/v1/namespaces/ns/pods/follow/log?follow=true&tailLines=5&timestamps=1&sinceSeconds=60";
    let response = ask(&house.server, "GET", path, false).await;
    assert_eq!(
        (response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()),
        (200, "text/plain")
    );
    let mut pieces = response.into_body().into_data_stream();
    let mut read = String::new();
    while read != "one\ntwo\n" {
        let piece = tokio::time::timeout(Duration::from_secs(10), pieces.next()).await.unwrap();
        read.push_str(std::str::from_utf8(&piece.unwrap().unwrap()).unwrap());
    }
    let (target, certificates, headers) = house.asked.last();
    let expected = "/containerLogs/ns/follow/c?follow=true&sinceSeconds=60&tailLines=5&timestamps=true";
    assert_eq!((target.as_str(), certificates), (expected, 1));
    assert!(headers.get("authorization").is_none());
}

#[tokio::test]
async fn what_a_kubelet_says_against_it_becomes_a_status() {
    let house = house().await;
    let response = ask(&house.server, "GET", "/api/v1/namespaces/ns/pods/p/log", false).await;
    assert_eq!(response.status().as_u16(), 400);
    let status = api::json::parse(read(response).await.as_bytes()).unwrap();
    assert_eq!(status.str_at(&["message"]), "container \"c\" in pod \"p\" is waiting to start: X");
    assert_eq!(status.str_at(&["reason"]), "BadRequest");
}

#[tokio::test]
async fn a_stranger_in_the_kubelets_place_is_not_believed_unless_that_is_asked() {
    let mut house = house().await;
    let other = Authority::new("other", Clock::system().now()).unwrap();
    let (port, _) = backend(&other).await;
    let kubelets = house.server.kubelets.clone();
    house.server = server(port, kubelets, house.drain.clone()).await;
    let path = "/api/v1/namespaces/ns/pods/follow/log";
    let refused = ask(&house.server, "GET", path, false).await;
    assert_eq!(refused.status().as_u16(), 500);
    let text = read(refused).await;
    assert!(text.contains("x509: certificate signed by unknown authority"), "{text}");
    let path = format!("{path}?insecureSkipTLSVerifyBackend=true");
    assert_eq!(ask(&house.server, "GET", &path, false).await.status().as_u16(), 200);
}

#[tokio::test]
async fn bytes_go_both_ways_and_the_end_of_one_is_not_the_end_of_the_other() {
    let house = house().await;
    let path =
        "/api/v1/namespaces/ns/pods/p/exec?command=sh&command=-c&command=a%20b&stdin=true&stdout=1&tty=0";
    let mut response = ask(&house.server, "POST", path, true).await;
    assert_eq!((response.status().as_u16(), response.headers()["upgrade"].to_str().unwrap()), (101, "test"));
    let (target, _, headers) = house.asked.last();
    assert_eq!(target, "/exec/ns/p/c?command=sh&command=-c&command=a+b&input=1&output=1");
    assert!(headers.get("authorization").is_none() && headers["x-mine"] == "1");
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    let sent: Vec<u8> = (0..500_000_u32).flat_map(u32::to_le_bytes).collect();
    stream.write_all(&sent).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut echoed = Vec::new();
    stream.read_to_end(&mut echoed).await.unwrap();
    echoed.reverse();
    assert!(echoed == sent);
}

#[tokio::test]
async fn streams_end_when_the_server_does() {
    let house = house().await;
    let mut response = ask(&house.server, "POST", "/api/v1/namespaces/ns/pods/p/exec?stdin=1", true).await;
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    house.drain.start();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut [0; 8])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn refused_upgrades_are_told_with_their_body() {
    let house = house().await;
    let pod = "/api/v1/namespaces/ns/pods/p";
    let refused = ask(&house.server, "POST", &format!("{pod}/attach?stdout=1"), true).await;
    assert_eq!(refused.status().as_u16(), 403);
    assert_eq!(read(refused).await, "Forbidden (user=x)\n");
    let unchanged = ask(&house.server, "POST", &format!("{pod}/portforward"), true).await;
    assert_eq!(unchanged.status().as_u16(), 500);
    assert!(read(unchanged).await.contains("invalid upgrade response: status code 200"));
    let plain = ask(&house.server, "POST", &format!("{pod}/exec?stdout=1"), false).await;
    assert_eq!(plain.status().as_u16(), 400);
    assert!(read(plain).await.contains("Upgrade request required"));
}

/// Proxies whatever is asked to the backend: its address is one that a pod may not have.
async fn proxied(server: Arc<Server>, port: u16, request: Request<RequestBody>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let Address::Resource(target) = address(parts.method.as_str(), parts.uri.path(), &query) else {
        panic!()
    };
    let asked = Attributes::resource("get", "", "v1", "pods");
    let permit = server.authorizer.authorize(authn::in_process("jane", &[]), asked).await.unwrap();
    let path = target.tail.clone();
    let call = Call {
        kind: server.registry().find("", "pods").unwrap().clone(),
        permit,
        seat: Seat::none(),
        query,
        headers: crate::impersonate::without_credentials(&server, &parts.headers),
        now: String::new(),
        now_secs: 0,
        warnings: Mutex::default(),
        trail: None,
        explanation: None,
        target,
        server,
    };
    let place = Place {
        trust: Trust::Anybody,
        host: "127.0.0.1".to_owned(),
        port,
        path,
        query: String::new(),
        refusing: Refusing::Proxy,
    };
    match reverse_proxy::pass(&call, place, body.into_unlimited(), &parts).await {
        Ok(answer) => answer,
        Err(status) => crate::answer::refusal(&status, None),
    }
}

#[tokio::test]
async fn a_proxy_hands_on_requests_and_leads_links_through_itself() {
    let house = house().await;
    let (port, asked) = backend(&Authority::new("any", Clock::system().now()).unwrap()).await;
    let served = house.server.clone();
    let door = Door::new(Drain::new(), move |request| proxied(served.clone(), port, request));
    let proxy = "/api/v1/namespaces/ns/pods/p/proxy";
    let put = send(&door, "PUT", &format!("{proxy}/a/b/?q=1"), false).await;
    assert_eq!(put.status().as_u16(), 201);
    assert_eq!(read(put).await, "PUT /a/b/ sent");
    let (target, certificates, headers) = asked.last();
    assert_eq!((target.as_str(), certificates), ("/a/b/?q=1", 0), "no certificate for strangers");
    assert_eq!((headers["host"].to_str().unwrap(), headers["x-mine"].to_str().unwrap()), ("api:6443", "1"));
    assert_eq!(headers["x-forwarded-uri"], format!("{proxy}/a/b/"));
    assert!(headers.get("authorization").is_none());
    let page = send(&door, "GET", &format!("{proxy}/page"), false).await;
    assert_eq!(read(page).await, format!("<a href=\"{proxy}/x\">"));
    let moved = send(&door, "GET", &format!("{proxy}/moved"), false).await;
    assert_eq!(moved.status().as_u16(), 302);
    assert_eq!(moved.headers()["location"], format!("{proxy}/there?a=b"));
    assert!(moved.headers().get("access-control-allow-origin").is_none() && moved.headers()["x-own"] == "1");
    let root = send(&door, "GET", &format!("{proxy}?a=b"), false).await;
    assert_eq!(root.status().as_u16(), 301);
    assert_eq!(root.headers()["location"], format!("{proxy}/?a=b"));
}

#[tokio::test]
async fn nobody_there_is_told_by_what_was_asked() {
    let house = house().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let server = server(closed, house.server.kubelets.clone(), house.drain.clone()).await;
    let refused = format!("dial tcp 127.0.0.1:{closed}: connect: connection refused");
    let pod = "/api/v1/namespaces/ns/pods/p";
    let log = read(ask(&server, "GET", &format!("{pod}/log"), false).await).await;
    let expected = format!("Get \\\"https://127.0.0.1:{closed}/containerLogs/ns/p/c\\\": {refused}");
    assert!(log.contains(&expected), "{log}");
    let exec = read(ask(&server, "POST", &format!("{pod}/exec?stdout=1"), true).await).await;
    assert!(exec.contains(&format!("error dialing backend: {refused}")), "{exec}");
}
