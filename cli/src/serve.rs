//! The API server, wired: store, who, may they, door.
//!
//! Today behind the door there are health checks and refusals; the corridor takes the place of `respond`.

use anyhow::Context;
use api::{Status, json};
use apiserver::door::{Body, Connection, Door, Drain, HeaderView, RequestBody, ServerTls};
use authn::{Authenticator, Credentials, Peer, Settings};
use authz::{Attributes, Authorizer};
use certs::Pki;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use std::net::TcpListener;
use std::sync::Arc;
use stdx::Clock;
use store::{Backend, Store, StoreConfig};
use tokio::task::JoinHandle;

/// A server at work.
pub struct Running {
    drain: Drain,
    listening: JoinHandle<std::io::Result<()>>,
    drained: JoinHandle<bool>,
    tls: ServerTls,
    _store: Store,
}

struct Rooms {
    authenticator: Authenticator,
    authorizer: Authorizer,
}

/// Opens the store and then the door.
pub async fn start(
    listener: TcpListener,
    pki: Pki,
    backend: Backend,
    clock: Clock,
) -> anyhow::Result<Running> {
    let config = StoreConfig { backend, clock: clock.clone(), ..StoreConfig::memory() };
    let store = Store::open(config).await?;
    let client_cas = vec![pki.ca.certificate_der().to_vec().into()];
    let settings = Settings { client_cas, anonymous: true, clock };
    let authenticator = Authenticator::new(&settings).map_err(anyhow::Error::msg)?;
    let rooms = Arc::new(Rooms { authenticator, authorizer: Authorizer::new() });
    let tls = ServerTls::new(&pki.server, &[pki.ca.certificate_der()]).context("cannot set up TLS")?;
    let drain = Drain::new();
    let door = Door::new(drain.clone(), move |request| respond(rooms.clone(), request));
    let (listens, ends) = (door.clone(), drain.clone());
    let shown = tls.clone();
    let listening = tokio::spawn(async move { listens.listen(listener, shown).await });
    let drained = tokio::spawn(async move {
        ends.started().await;
        door.drained().await
    });
    Ok(Running { drain, listening, drained, tls, _store: store })
}

impl Running {
    /// Returns when the server ends by itself, which is always a failure.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        (&mut self.listening).await?.context("cannot go on listening")
    }

    /// Shows another certificate to clients to come.
    pub fn show(&self, server: &certs::Credential) -> anyhow::Result<()> {
        self.tls.replace(server).context("cannot use the new server certificate")
    }

    /// Lets requests finish, then closes everything.
    pub async fn stop(self) {
        self.drain.start();
        if !self.drained.await.unwrap_or(false) {
            tracing::warn!("some requests did not finish in time");
        }
    }
}

async fn respond(rooms: Arc<Rooms>, request: Request<RequestBody>) -> Response<Body> {
    match permitted(&rooms, &request).await {
        Ok(()) if ["/healthz", "/livez", "/readyz"].contains(&request.uri().path()) => {
            answer(StatusCode::OK, "text/plain; charset=utf-8", "ok".to_owned())
        }
        Ok(()) => {
            answer(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "404 page not found\n".to_owned())
        }
        Err(status) => {
            let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            answer(code, "application/json", json::to_string(&status.to_value()))
        }
    }
}

async fn permitted(rooms: &Rooms, request: &Request<RequestBody>) -> Result<(), Status> {
    let path = request.uri().path();
    let nobody = Peer::default();
    let connection = request.extensions().get::<Arc<Connection>>();
    let peer = connection.map_or(&nobody, |connection| connection.peer());
    let headers = HeaderView(request.headers());
    let credentials = Credentials { peer, headers: &headers, path };
    let caller = rooms.authenticator.authenticate(&credentials).await?;
    let asked = Attributes::path(&request.method().as_str().to_ascii_lowercase(), path);
    rooms.authorizer.authorize(caller, asked).await.map(|_| ())
}

fn answer(code: StatusCode, content_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
