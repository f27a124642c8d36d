//! The door from outside, over TLS and sockets, and from inside, over pipes with the clock held still.

use super::*;
use bytes::Bytes;
use certs::{Authority, Credential, ServerNames};
use http::header::{CONNECTION, HeaderValue};
use http::{StatusCode, Version};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use std::net::SocketAddr;
use std::time::Duration;
use stdx::{Clock, Time};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const DAY: Duration = Duration::from_secs(86_400);

/// Answers by path; by default with the number of certificates that the client showed.
async fn handler(request: Request<RequestBody>) -> Response<Body> {
    let connection = request.extensions().get::<Arc<Connection>>().unwrap().clone();
    match request.uri().path() {
        "/panic" => panic!("asked to"),
        "/close" => {
            let mut response = Response::new(Body::full("bye"));
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Response::new(Body::pieces(["sl", "ow"].map(Bytes::from)))
        }
        "/endless" => Response::new(Body::stream(futures::stream::pending::<Result<Bytes, BoxError>>())),
        "/body" => match request.into_body().collect().await {
            Ok(body) => Response::new(Body::full(body.to_bytes())),
            Err(error) => Response::new(Body::full(error.to_string())),
        },
        _ => Response::new(Body::full(connection.peer().certificates().len().to_string())),
    }
}

struct House {
    ca: Authority,
    drain: Drain,
    address: SocketAddr,
    listening: tokio::task::JoinHandle<()>,
    drained: tokio::task::JoinHandle<bool>,
}

fn now() -> Time {
    Clock::system().now()
}

/// A door on a free port.
fn open() -> House {
    let ca = Authority::new("kubernetes", now()).unwrap();
    let names = ServerNames::new(vec!["localhost".into()], Vec::new());
    let server = ca.issue_server(&names, now(), DAY).unwrap();
    let tls = ServerTls::new(&server, &[ca.certificate_der()]).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let drain = Drain::new();
    let door = Door::new(drain.clone(), handler);
    let (listens, ends) = (door.clone(), drain.clone());
    let listening = tokio::spawn(async move { listens.listen(listener, tls).await.unwrap() });
    let drained = tokio::spawn(async move {
        ends.started().await;
        door.drained().await
    });
    House { ca, drain, address, listening, drained }
}

/// Shows one certificate with whatever key.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl House {
    /// A client that shows the certificate of `shown` and signs with the key of `signs`.
    fn client(&self, shown: Option<(&Credential, &Credential)>, protocol: &str) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.certificate_der().into()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match shown {
            None => config.with_no_client_auth(),
            Some((shown, signs)) => {
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signs.key_der.clone()));
                let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
                let pair = CertifiedKey::new(vec![shown.certificate_der.clone().into()], key);
                config.with_client_cert_resolver(Arc::new(Shows(Arc::new(pair))))
            }
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        TlsConnector::from(Arc::new(config))
    }

    async fn connect(&self, client: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        client.connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    async fn http2(&self, client: &TlsConnector) -> http2::SendRequest<Full<Bytes>> {
        over_http2(self.connect(client).await.unwrap()).await
    }
}

async fn over_http2<Io>(io: Io) -> http2::SendRequest<Full<Bytes>>
where
    Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn to(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("https://localhost{path}")).body(Full::default()).unwrap()
}

async fn get(sender: &mut http2::SendRequest<Full<Bytes>>, path: &str) -> (StatusCode, String) {
    let response = sender.send_request(to(path)).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn both_protocols_carry_the_clients_certificate_if_there_is_one() {
    let house = open();
    let jane = house.ca.issue_client("jane", &[], now(), DAY).unwrap();
    let mut with = house.http2(&house.client(Some((&jane, &jane)), "h2")).await;
    assert_eq!(get(&mut with, "/").await, (StatusCode::OK, "1".to_owned()));
    let mut without = house.http2(&house.client(None, "h2")).await;
    assert_eq!(get(&mut without, "/").await.1, "0");
    let stream = house.connect(&house.client(Some((&jane, &jane)), "http/1.1")).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let response = sender.send_request(to("/")).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_11);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "1");
}

#[tokio::test]
async fn a_strangers_certificate_comes_through_for_authn_to_judge() {
    let house = open();
    let stranger = Authority::new("other", now()).unwrap().issue_client("jane", &[], now(), DAY).unwrap();
    let mut sender = house.http2(&house.client(Some((&stranger, &stranger)), "h2")).await;
    assert_eq!(get(&mut sender, "/").await.1, "1");
}

#[tokio::test]
async fn a_certificate_without_its_key_does_not_come_through() {
    let house = open();
    let jane = house.ca.issue_client("jane", &[], now(), DAY).unwrap();
    let thief = house.ca.issue_client("thief", &[], now(), DAY).unwrap();
    let client = house.client(Some((&jane, &thief)), "http/1.1");
    let mut stream = house.connect(&client).await.unwrap();
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let mut answer = Vec::new();
    assert!(stream.read_to_end(&mut answer).await.is_err(), "{answer:?}");
}

#[tokio::test]
async fn a_resumed_session_is_still_the_same_clients() {
    let house = open();
    let jane = house.ca.issue_client("jane", &[], now(), DAY).unwrap();
    let client = house.client(Some((&jane, &jane)), "h2");
    let mut first = house.http2(&client).await;
    assert_eq!(get(&mut first, "/").await.1, "1");
    let stream = house.connect(&client).await.unwrap();
    assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    let mut second = over_http2(stream).await;
    assert_eq!(get(&mut second, "/").await.1, "1");
}

#[tokio::test]
async fn a_client_that_forgot_the_tls_is_told() {
    let house = open();
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n");
}

#[tokio::test]
async fn a_panic_is_one_bad_answer_and_no_more() {
    let house = open();
    let mut sender = house.http2(&house.client(None, "h2")).await;
    let (status, text) = get(&mut sender, "/panic").await;
    assert_eq!(
        (status.as_u16(), text.as_str()),
        (500, "This request caused apiserver to panic. Look in the logs for details.\n")
    );
    assert_eq!(get(&mut sender, "/").await.0, StatusCode::OK);
}

#[tokio::test]
async fn connection_close_ends_an_http2_connection_after_its_answers() {
    let house = open();
    let mut sender = house.http2(&house.client(None, "h2")).await;
    let slow = sender.send_request(to("/slow"));
    let mut other = sender.clone();
    let response = other.send_request(to("/close")).await.unwrap();
    assert!(!response.headers().contains_key(CONNECTION));
    let slow = slow.await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(slow, "slow");
    drop(response);
    assert!(
        timeout(Duration::from_secs(3), async {
            while sender.ready().await.is_ok() {
                tokio::task::yield_now().await
            }
        })
        .await
        .is_ok()
    );
}

#[tokio::test]
async fn a_drain_lets_requests_finish_and_takes_no_more() {
    let house = open();
    let mut sender = house.http2(&house.client(None, "h2")).await;
    let slow = sender.send_request(to("/slow"));
    let slow = tokio::spawn(slow);
    tokio::time::sleep(Duration::from_millis(50)).await;
    house.drain.start();
    house.listening.await.unwrap();
    assert!(TcpStream::connect(house.address).await.is_err());
    let response = slow.await.unwrap().unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "slow");
    assert!(house.drained.await.unwrap());
}

/// A connection over a pipe, served with the idle limit of connections from outside.
fn pipe() -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    let door = Door::new(Drain::new(), handler);
    let connection = Arc::new(Connection::new(Peer::default(), None));
    tokio::spawn(serve::serve(door.shared, ours, connection, Some(limits::IDLE_CONNECTION_TIMEOUT)));
    theirs
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_closed_whatever_its_stage() {
    for (start, wait) in [(&b""[..], 90), (b"GET / HT", 90), (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 95)] {
        let mut stream = pipe();
        stream.write_all(start).await.unwrap();
        let opened = Instant::now();
        let mut rest = Vec::new();
        let _ = timeout(2 * DAY, stream.read_to_end(&mut rest)).await.unwrap();
        let secs = opened.elapsed().as_secs();
        assert!((90..=wait + 6).contains(&secs), "{start:?} took {secs} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_connection_is_not_idle_however_long() {
    let mut stream = pipe();
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut buffer = [0; 1024];
    assert!(stream.read(&mut buffer).await.unwrap() > 0, "the head of the answer");
    assert!(timeout(DAY, stream.read(&mut buffer)).await.is_err(), "still open a day later");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_or_dribbles_ends_in_time() {
    for (every_secs, ends_after) in [(1_000_000, 30), (20, 60)] {
        let mut sender = over_http2_with(pipe()).await;
        let pieces = futures::stream::unfold((), move |()| async move {
            tokio::time::sleep(Duration::from_secs(every_secs)).await;
            Some((Ok::<_, BoxError>(Frame::data(Bytes::from("x"))), ()))
        });
        let body = StreamBody::new(Box::pin(pieces) as Pieces);
        let opened = Instant::now();
        let response =
            sender.send_request(Request::post("https://a/body").body(body).unwrap()).await.unwrap();
        let text = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(text, RequestBodyError::TimedOut.to_string());
        assert_eq!(opened.elapsed().as_secs(), ends_after);
    }
}

type Pieces = std::pin::Pin<Box<dyn futures::Stream<Item = Result<Frame<Bytes>, BoxError>> + Send>>;

async fn over_http2_with(io: DuplexStream) -> http2::SendRequest<StreamBody<Pieces>> {
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test(start_paused = true)]
async fn a_component_connects_as_itself_and_its_connection_stays() {
    let component = authn::in_process("system:kube-scheduler", &[]);
    let seen = component.clone();
    let settings = authn::Settings { anonymous: false, ..authn::Settings::new(Clock::system()) };
    let authenticator = Arc::new(authn::Authenticator::new(&settings).unwrap());
    let door = Door::new(Drain::new(), move |request: Request<RequestBody>| {
        let authenticator = authenticator.clone();
        async move {
            let connection = request.extensions().get::<Arc<Connection>>().unwrap();
            let headers = HeaderView(request.headers());
            let caller = authenticator.authenticate(connection.peer(), &headers, request.uri().path()).await;
            Response::new(Body::full(caller.unwrap().name().to_owned()))
        }
    });
    let mut sender = over_http2(door.connect(component)).await;
    assert_eq!(get(&mut sender, "/").await.1, seen.name());
    tokio::time::sleep(DAY).await;
    assert_eq!(get(&mut sender, "/").await.1, seen.name());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_shakes_hands_is_let_go() {
    let house = open();
    for start in [&b""[..], &[0x16, 3, 1, 2, 0]] {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        stream.write_all(start).await.unwrap();
        let opened = Instant::now();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert_eq!(opened.elapsed().as_secs(), limits::HANDSHAKE_TIMEOUT.as_secs());
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off_when_the_patience_of_the_drain_is_over() {
    let house = open();
    let mut sender = house.http2(&house.client(None, "h2")).await;
    let response = sender.send_request(to("/endless")).await.unwrap();
    tokio::time::pause();
    house.drain.start();
    let began = Instant::now();
    assert!(!house.drained.await.unwrap());
    assert_eq!(began.elapsed().as_secs(), limits::DRAIN_TIMEOUT.as_secs());
    assert!(response.into_body().collect().await.is_err());
}
