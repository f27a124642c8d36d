//! Who is let in: an API server of the test's own says who somebody is, and what they may.

use super::access::Access;
use api::{Value, json, tree};
use authn::Peer;
use bytes::Bytes;
use certs::Authority;
use client::Client;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Time};

const DAY: Duration = Duration::from_secs(86_400);

/// The specs of reviews that were asked for.
type Asked = Arc<Mutex<Vec<Value>>>;

/// Knows the token `good` as jane, and lets jane get `nodes/proxy` and the API server do all.
fn review(body: &Value) -> Value {
    let mut answer = body.clone();
    let spec = body.get("spec").cloned().unwrap_or_default();
    if body.str_at(&["kind"]) == "TokenReview" {
        let known = spec.str_at(&["token"]) == "good";
        answer.set(
            &["status"],
            tree!({"authenticated": known, "user": {"username": "jane", "groups": ["dev"]}}),
        );
        return answer;
    }
    let asked = |field: &str| spec.str_at(&["resourceAttributes", field]);
    let whole = spec.str_at(&["user"]) == "kube-apiserver-kubelet-client";
    let jane = spec.str_at(&["user"]) == "jane" && asked("verb") == "get" && asked("subresource") == "proxy";
    answer.set(&["status"], tree!({"allowed": (whole || jane)}));
    answer
}

fn api_server(asked: Asked) -> Client {
    let dial = move || {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let asked = asked.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let asked = asked.clone();
            async move {
                let body = json::parse(&request.into_body().collect().await.unwrap().to_bytes()).unwrap();
                asked.lock().push(body.get("spec").cloned().unwrap_or_default());
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(json::to_vec(&review(&body))))))
            }
        });
        tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(ours), service));
        theirs
    };
    Client::new(Arc::new(dial), "kubelet")
}

struct House {
    access: Access,
    asked: Asked,
    clock: Clock,
    ca: Authority,
}

fn house() -> House {
    let (clock, asked) = (Clock::manual(Time::from_secs(1_800_000_000)), Asked::default());
    let ca = Authority::new("ca", clock.now()).unwrap();
    let cas = [ca.certificate_der().to_vec()];
    let access = Access::new("n", &api_server(asked.clone()), &cas, &clock).unwrap();
    House { access, asked, clock, ca }
}

impl House {
    /// The code and the text of a refusal; 200 for who is let in.
    async fn ask(&self, peer: &Peer, token: &str, method: Method, path: &str) -> (u16, String) {
        let mut headers = HeaderMap::new();
        if !token.is_empty() {
            headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        match self.access.admit(peer, &headers, &method, path).await {
            Ok(()) => (200, String::new()),
            Err(reply) => {
                let code = reply.status().as_u16();
                let text = reply.into_body().collect().await.unwrap().to_bytes();
                (code, String::from_utf8(text.to_vec()).unwrap())
            }
        }
    }
}

#[tokio::test]
async fn strangers_are_refused_and_tokens_are_judged_by_the_api_server() {
    let house = house();
    let stranger = Peer::default();
    let refused = (401, "Unauthorized".to_owned());
    assert_eq!(house.ask(&stranger, "", Method::GET, "/pods").await, refused);
    assert_eq!(house.ask(&stranger, "bad", Method::GET, "/pods").await, refused);
    assert_eq!(house.ask(&stranger, "good", Method::GET, "/pods").await.0, 200, "by the wider right");
    let text = "Forbidden (user=jane, verb=create, resource=nodes, subresource(s)=[proxy])\n";
    assert_eq!(house.ask(&stranger, "good", Method::POST, "/run/ns/p/c").await, (403, text.to_owned()));
    let subresources: Vec<String> = house
        .asked
        .lock()
        .iter()
        .filter(|spec| spec.at(&["resourceAttributes"]).is_some())
        .map(|spec| spec.str_at(&["resourceAttributes", "subresource"]).to_owned())
        .collect();
    assert_eq!(subresources, ["pods", "proxy", "proxy"]);
    let asked = house.asked.lock().last().cloned().unwrap();
    assert_eq!(asked.str_at(&["resourceAttributes", "name"]), "n");
    assert_eq!(asked.str_at(&["resourceAttributes", "resource"]), "nodes");
}

#[tokio::test]
async fn answers_hold_for_a_while_refusals_for_less() {
    let house = house();
    let stranger = Peer::default();
    let ask = async |path: &str| house.ask(&stranger, "good", Method::GET, path).await.0;
    assert_eq!((ask("/exec/a/b/c").await, ask("/stats/summary").await), (200, 403));
    let count = || house.asked.lock().len();
    let first = count();
    assert_eq!((ask("/exec/a/b/c").await, ask("/stats/summary").await), (200, 403));
    assert_eq!(count(), first, "nobody is asked again");
    house.clock.advance(Duration::from_secs(31));
    assert_eq!((ask("/exec/a/b/c").await, ask("/stats/summary").await), (200, 403));
    assert_eq!(count(), first + 1, "what was refused is asked again");
    house.clock.advance(Duration::from_secs(301));
    assert_eq!(ask("/exec/a/b/c").await, 200);
    assert_eq!(count(), first + 3, "and then the token and what was allowed");
}

#[tokio::test]
async fn certificates_count_when_the_clusters_ca_signed_them() {
    let house = house();
    let now = house.clock.now();
    let peer = |ca: &Authority| {
        let shown = ca.issue_client(certs::KUBELET_CLIENT_USER, &[], now, DAY).unwrap();
        Peer::new(vec![shown.certificate_der.into()], None)
    };
    let ours = peer(&house.ca);
    assert_eq!(house.ask(&ours, "", Method::POST, "/exec/ns/p/c").await.0, 200);
    let theirs = peer(&Authority::new("ca", now).unwrap());
    assert_eq!(house.ask(&theirs, "", Method::POST, "/exec/ns/p/c").await.0, 401);
}
