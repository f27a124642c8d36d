//! Probes and hooks by HTTP and gRPC, against servers that answer what a test wants.

use super::ask::{Answer, Unasked};
use super::http::Get;
use super::{grpc, http};
use api::{Value, tree};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SECOND: Duration = Duration::from_secs(1);

/// A server that answers any connection with `answer(request)`; gives its port.
async fn server(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap_or(0);
            let answer = answer(&String::from_utf8_lossy(&request[..read]));
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

fn said(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

fn action(port: u16, path: &str) -> Value {
    tree!({"port": i64::from(port), "path": path, "scheme": "HTTP"})
}

async fn probe(action: &Value) -> Result<Answer, Unasked> {
    Get::new(action, &Value::Null, "127.0.0.1", "probe").unwrap().probe(SECOND).await
}

#[tokio::test]
async fn a_probe_says_who_it_is_and_takes_headers() {
    let port = server(|request| {
        let has = |line: &str| request.to_lowercase().contains(&format!("\r\n{line}\r\n"));
        let good = request.starts_with("GET /healthz?a=b HTTP/1.1\r\n")
            && has("user-agent: kube-probe/1.36")
            && has("accept: */*")
            && has("host: example.com")
            && has("x-a: 1");
        said(if good { "204 No Content" } else { "500 No" }, "", "")
    })
    .await;
    let mut action = action(port, "/healthz?a=b");
    let headers = tree!([{"name": "Host", "value": "example.com"}, {"name": "X-A", "value": "1"}]);
    action.set(&["httpHeaders"], headers);
    assert_eq!(probe(&action).await, Ok(Answer::Good));
}

#[tokio::test]
async fn statuses_from_200_to_399_are_good() {
    let port = server(|request| {
        let path = request.split_whitespace().nth(1).unwrap_or_default();
        said(&format!("{} X", &path[1..]), "", "body")
    })
    .await;
    assert_eq!(probe(&action(port, "200")).await, Ok(Answer::Good));
    let odd = "Probe terminated redirects, Response body: body".to_owned();
    assert_eq!(probe(&action(port, "/300")).await, Ok(Answer::Odd(odd)));
    for status in [400, 404, 503] {
        let bad = format!("HTTP probe failed with statuscode: {status}");
        assert_eq!(probe(&action(port, &format!("/{status}"))).await, Ok(Answer::Bad(bad)));
    }
}

#[tokio::test]
async fn redirects_are_followed_on_the_host_and_not_beyond() {
    let port = server(|request| match request.split_whitespace().nth(1).unwrap_or_default() {
        "/far" => said("302 Found", "location: http://example.com/\r\n", "go"),
        "/near/a" => said("301 Moved", "location: b\r\n", ""),
        "/near/b" => said("307 Moved", "location: /end?x\r\n", ""),
        "/end?x" => said("200 OK", "", ""),
        _ => said("302 Found", "location: /again\r\n", ""),
    })
    .await;
    assert_eq!(probe(&action(port, "/near/a")).await, Ok(Answer::Good));
    let odd = "Probe terminated redirects, Response body: go".to_owned();
    assert_eq!(probe(&action(port, "/far")).await, Ok(Answer::Odd(odd)));
    let bad = format!("Get \"http://127.0.0.1:{port}/again\": stopped after 10 redirects");
    assert_eq!(probe(&action(port, "/loop")).await, Ok(Answer::Bad(bad)));
}

#[tokio::test]
async fn nobody_there_and_nobody_answering_read_as_gos() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("Get \"http://127.0.0.1:{port}/x\": ");
    let late = format!("{url}context deadline exceeded (Client.Timeout exceeded while awaiting headers)");
    assert_eq!(probe(&action(port, "x")).await, Ok(Answer::Bad(late)));
    drop(listener);
    let refused = format!("{url}dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(probe(&action(port, "x")).await, Ok(Answer::Bad(refused)));
    let closing = server(|_| String::new()).await;
    let eof = format!("Get \"http://127.0.0.1:{closing}/x\": EOF");
    assert_eq!(probe(&action(closing, "x")).await, Ok(Answer::Bad(eof)));
}

#[tokio::test]
async fn a_hook_takes_any_answer_and_does_without_tls_where_there_is_none() {
    let port = server(|request| {
        if request.starts_with("GET") { said("500 No", "", "") } else { said("400 Bad Request", "", "") }
    })
    .await;
    let hook = |scheme: &str| {
        let mut action = action(port, "/");
        action.set(&["scheme"], scheme);
        Get::new(&action, &Value::Null, "127.0.0.1", "lifecycle").unwrap().hook()
    };
    assert_eq!(hook("HTTP").await, Ok(false));
    assert_eq!(hook("HTTPS").await, Ok(true));
}

#[test]
fn ports_have_numbers_or_names() {
    let container = tree!({"ports": [{"name": "web", "containerPort": 80}]});
    assert_eq!(http::port(&"web".into(), &container), Ok(80));
    assert_eq!(http::port(&"8080".into(), &container), Ok(8080));
    assert_eq!(http::port(&70000.into(), &container), Err("invalid port number: 70000".to_owned()));
    let why = "strconv.Atoi: parsing \"db\": invalid syntax";
    assert_eq!(http::port(&"db".into(), &container), Err(why.to_owned()));
    assert_eq!(http::authority("::1", 80), "[::1]:80");
}

/// A gRPC server: the answer's message and the status after it.
async fn grpc_server(message: &'static [u8], status: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = move |request: Request<Incoming>| async move {
                assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                let agent = request.headers()["user-agent"].to_str().unwrap();
                assert!(agent.starts_with("kube-probe/1.36"), "{agent}");
                let mut frame = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
                frame.extend_from_slice(message);
                let mut answer = Response::builder().header("content-type", "application/grpc");
                if !status.is_empty() {
                    answer = answer.header("grpc-status", status).header("grpc-message", "no");
                    frame.clear();
                }
                let body = http_body_util::BodyExt::with_trailers(Full::new(Bytes::from(frame)), async {
                    let mut trailers = hyper::HeaderMap::new();
                    trailers.insert("grpc-status", "0".parse().unwrap());
                    Some(Ok::<_, Infallible>(trailers))
                });
                Ok::<_, Infallible>(answer.body(body).unwrap())
            };
            let io = TokioIo::new(stream);
            let serve = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(serve.serve_connection(io, service_fn(answer)));
        }
    });
    port
}

#[tokio::test]
async fn a_grpc_server_says_how_it_is() {
    let ask = |port| grpc::probe("127.0.0.1", port, "svc", SECOND);
    assert_eq!(ask(grpc_server(&[8, 1], "").await).await, Answer::Good);
    let bad = "service unhealthy (responded with \"NOT_SERVING\")".to_owned();
    assert_eq!(ask(grpc_server(&[8, 2], "").await).await, Answer::Bad(bad));
    let bad = "service unhealthy (responded with \"UNKNOWN\")".to_owned();
    assert_eq!(ask(grpc_server(&[], "").await).await, Answer::Bad(bad));
    let bad = "error: health rpc probe failed: rpc error: code = NotFound desc = no".to_owned();
    assert_eq!(ask(grpc_server(&[], "5").await).await, Answer::Bad(bad));
    let bad = "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): no";
    assert_eq!(ask(grpc_server(&[], "12").await).await, Answer::Bad(bad.to_owned()));
}

#[tokio::test]
async fn a_grpc_server_that_is_none_is_waited_for() {
    let web = server(|_| said("200 OK", "", "")).await;
    let bad = format!(
        "timeout: failed to connect service \"127.0.0.1:{web}\" within 1s: context deadline exceeded"
    );
    assert_eq!(grpc::probe("127.0.0.1", web, "", SECOND).await, Answer::Bad(bad));
}
