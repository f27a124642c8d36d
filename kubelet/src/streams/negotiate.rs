//! Which protocol a client speaks, and the answer that leaves HTTP for it.

use super::session::Wording;
use super::websocket::Form;
use crate::server::reply::{self, Reply};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const PROTOCOL: &str = "x-stream-protocol-version";
const ACCEPTED: &str = "x-accepted-stream-protocol-versions";
const SPDY: &str = "SPDY/3.1";
const TUNNEL_PREFIX: &str = "SPDY/3.1+";
const PORT_FORWARD: &str = "portforward.k8s.io";
const V5: &str = "v5.channel.k8s.io";

/// An answer that leads nowhere.
pub type Refusal = Box<Reply>;

/// What the client speaks after the upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    WebSocket {
        form: Form,
        wording: Wording,
    },
    Spdy {
        version: u8,
    },
    /// SPDY in the messages of a WebSocket.
    Tunnel,
}

/// For exec and attach.
///
/// # Errors
/// The refusal.
pub fn remote_command<B>(request: &Request<B>) -> Result<(Front, Reply), Refusal> {
    if !is_web_socket(request.headers()) {
        let (protocol, reply) = spdy(
            request.headers(),
            &["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"],
        )?;
        let version = protocol.strip_prefix('v').and_then(|v| v.get(..1)?.parse().ok()).unwrap_or(1);
        return Ok((Front::Spdy { version }, reply));
    }
    let asked = web_socket_protocols(request.headers());
    // Version 5 goes before all others, in whatever order they are asked for.
    let chosen =
        if asked.contains(&V5) { Some(V5) } else { asked.into_iter().find(|p| channel(p).is_some()) };
    let Some((protocol, front)) = chosen.and_then(|protocol| Some((protocol, channel(protocol)?))) else {
        return Err(forbidden());
    };
    Ok((front, web_socket(request, protocol)?))
}

fn channel(protocol: &str) -> Option<Front> {
    let (wording, base64, ends) = match protocol {
        "" | "channel.k8s.io" => (Wording::Text, false, false),
        "base64.channel.k8s.io" => (Wording::Text, true, false),
        "v4.channel.k8s.io" => (Wording::Status, false, false),
        "v4.base64.channel.k8s.io" => (Wording::Status, true, false),
        V5 => (Wording::Retold, false, true),
        _ => return None,
    };
    Some(Front::WebSocket { form: Form { base64, ends }, wording })
}

/// For port-forward.
///
/// # Errors
/// The refusal.
pub fn port_forward<B>(request: &Request<B>) -> Result<(Front, Reply), Refusal> {
    if !is_web_socket(request.headers()) {
        let (_, reply) = spdy(request.headers(), &[PORT_FORWARD])?;
        return Ok((Front::Spdy { version: 1 }, reply));
    }
    let asked = web_socket_protocols(request.headers());
    let tunnels: Vec<&str> = asked.iter().filter_map(|protocol| tunnelled(protocol)).collect();
    if !tunnels.is_empty() {
        if !tunnels.contains(&PORT_FORWARD) {
            return Err(cannot_negotiate(&tunnels, &[PORT_FORWARD]));
        }
        return Ok((Front::Tunnel, web_socket(request, &format!("{TUNNEL_PREFIX}{PORT_FORWARD}"))?));
    }
    let known = ["", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"];
    let chosen = asked.into_iter().find(|protocol| known.contains(protocol));
    let Some((protocol, front)) = chosen.and_then(|protocol| Some((protocol, channel(protocol)?))) else {
        return Err(forbidden());
    };
    Ok((front, web_socket(request, protocol)?))
}

fn tunnelled(protocol: &str) -> Option<&str> {
    protocol.strip_prefix(TUNNEL_PREFIX).filter(|rest| rest.ends_with(".k8s.io"))
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    texts(headers, header::CONNECTION.as_str()).any(|text| text.to_ascii_lowercase().contains("upgrade"))
}

fn is_web_socket(headers: &HeaderMap) -> bool {
    texts(headers, "upgrade").next().is_some_and(|to| to.eq_ignore_ascii_case("websocket"))
        && is_upgrade(headers)
}

/// A client that forwards ports by the older WebSocket protocols says which ones in its query.
pub fn names_ports<B>(request: &Request<B>) -> bool {
    is_web_socket(request.headers())
        && !web_socket_protocols(request.headers()).into_iter().any(|protocol| tunnelled(protocol).is_some())
}

fn texts<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

/// What the client asks for in its order; [""] when it asks for nothing.
fn web_socket_protocols(headers: &HeaderMap) -> Vec<&str> {
    let lists =
        texts(headers, header::SEC_WEBSOCKET_PROTOCOL.as_str()).filter(|list| !list.trim().is_empty());
    let asked: Vec<&str> = lists.flat_map(|list| list.split(',').map(str::trim)).collect();
    if asked.is_empty() { vec![""] } else { asked }
}

/// The server's half of the handshake.
fn web_socket<B>(request: &Request<B>, protocol: &str) -> Result<Reply, Refusal> {
    let header =
        |name: header::HeaderName| request.headers().get(name).map_or(&b""[..], HeaderValue::as_bytes);
    if request.method() != Method::GET {
        return Err(bare(StatusCode::METHOD_NOT_ALLOWED, "bad method"));
    }
    let key = header(header::SEC_WEBSOCKET_KEY);
    if key.is_empty() {
        return Err(bare(StatusCode::BAD_REQUEST, "mismatch challenge/response"));
    }
    if header(header::SEC_WEBSOCKET_VERSION) != b"13" {
        let mut refusal = bare(StatusCode::BAD_REQUEST, "missing or bad WebSocket Version");
        refusal.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(refusal);
    }
    let mut answer = switching("websocket");
    let headers = answer.headers_mut();
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key)) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let (false, Ok(protocol)) = (protocol.is_empty(), HeaderValue::from_str(protocol)) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(answer)
}

/// The first protocol of the client that we know, and the answer.
fn spdy<'a>(headers: &HeaderMap, known: &[&'a str]) -> Result<(&'a str, Reply), Refusal> {
    if !is_upgrade(headers) {
        return Err(Box::new(reply::error(StatusCode::INTERNAL_SERVER_ERROR, "Upgrade request required")));
    }
    if !headers.contains_key(PROTOCOL) {
        let count = headers.keys_len();
        let why = "unable to upgrade: header X-Stream-Protocol-Version does not exist in request with";
        return Err(Box::new(reply::error(StatusCode::BAD_REQUEST, &format!("{why} {count} headers"))));
    }
    let asked: Vec<&str> = texts(headers, PROTOCOL)
        .flat_map(|list| list.split(',').map(str::trim))
        .filter(|p| !p.is_empty())
        .collect();
    if asked.is_empty() {
        let values: Vec<&str> = texts(headers, PROTOCOL).collect();
        let why = format!(
            "unable to upgrade: header X-Stream-Protocol-Version contains [{}], but no valid protocols",
            values.join(" ")
        );
        return Err(Box::new(reply::error(StatusCode::BAD_REQUEST, &why)));
    }
    let chosen = asked.iter().find_map(|asked| known.iter().find(|known| *known == asked));
    let Some(chosen) = chosen else { return Err(cannot_negotiate(&asked, known)) };
    if !texts(headers, "upgrade").any(|to| to.to_ascii_lowercase().contains("spdy/3.1")) {
        let why = "unable to upgrade: missing upgrade headers in request";
        return Err(Box::new(reply::error(StatusCode::BAD_REQUEST, why)));
    }
    let mut answer = switching(SPDY);
    answer.headers_mut().insert(PROTOCOL, HeaderValue::from_str(chosen).map_err(|_| forbidden())?);
    Ok((chosen, answer))
}

fn cannot_negotiate(asked: &[&str], known: &[&str]) -> Refusal {
    let why = format!(
        "unable to upgrade: unable to negotiate protocol: client supports [{}], server accepts [{}]",
        asked.join(" "),
        known.join(" ")
    );
    let mut refusal = Box::new(reply::error(StatusCode::FORBIDDEN, &why));
    for known in known.iter().filter_map(|known| HeaderValue::from_str(known).ok()) {
        refusal.headers_mut().append(ACCEPTED, known);
    }
    refusal
}

fn switching(to: &'static str) -> Reply {
    let mut answer = Response::new(reply::whole(""));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    answer.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(to));
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    answer
}

fn bare(code: StatusCode, why: &'static str) -> Refusal {
    Box::new(reply::of(code, "", reply::whole(why)))
}

fn forbidden() -> Refusal {
    bare(StatusCode::FORBIDDEN, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method("GET").uri("/exec/ns/pod/c?output=1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn over_web_socket(protocols: &str) -> Request<()> {
        request(&[
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Protocol", protocols),
        ])
    }

    fn over_spdy(protocols: &str) -> Request<()> {
        request(&[
            ("Connection", "Upgrade"),
            ("Upgrade", "SPDY/3.1"),
            ("X-Stream-Protocol-Version", protocols),
        ])
    }

    fn chosen(answer: Result<(Front, Reply), Refusal>, name: &str) -> String {
        let (_, reply) = answer.expect("an upgrade");
        assert_eq!(reply.status(), StatusCode::SWITCHING_PROTOCOLS);
        reply.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    #[test]
    fn of_web_socket_protocols_version_5_goes_first_then_the_clients_order() {
        for (asked, expected) in [
            ("v4.channel.k8s.io, v5.channel.k8s.io", "v5.channel.k8s.io"),
            ("base64.channel.k8s.io,v4.channel.k8s.io", "base64.channel.k8s.io"),
            ("v3.channel.k8s.io,v4.base64.channel.k8s.io", "v4.base64.channel.k8s.io"),
            ("", ""),
        ] {
            assert_eq!(chosen(remote_command(&over_web_socket(asked)), "sec-websocket-protocol"), expected);
        }
        let refused = remote_command(&over_web_socket("v3.channel.k8s.io")).unwrap_err();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    }

    #[test]
    fn the_handshake_answers_the_clients_key() {
        let accept = chosen(remote_command(&over_web_socket("v5.channel.k8s.io")), "sec-websocket-accept");
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let old = request(&[
            ("Connection", "keep-alive, Upgrade"),
            ("Upgrade", "WebSocket"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ]);
        let refused = remote_command(&old).unwrap_err();
        assert_eq!(
            (refused.status(), refused.headers()["sec-websocket-version"].as_bytes()),
            (StatusCode::BAD_REQUEST, &b"13"[..])
        );
    }

    #[test]
    fn of_spdy_protocols_the_first_that_is_known_is_taken() {
        let asked = over_spdy("v9.channel.k8s.io, v3.channel.k8s.io,v4.channel.k8s.io");
        assert!(matches!(remote_command(&asked), Ok((Front::Spdy { version: 3 }, _))));
        assert_eq!(chosen(remote_command(&asked), "x-stream-protocol-version"), "v3.channel.k8s.io");
        assert!(matches!(remote_command(&over_spdy("channel.k8s.io")), Ok((Front::Spdy { version: 1 }, _))));
        let refused = remote_command(&over_spdy("v9.channel.k8s.io")).unwrap_err();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        assert_eq!(refused.headers().get_all(ACCEPTED).iter().count(), 4);
    }

    #[test]
    fn ports_are_forwarded_by_spdy_by_a_tunnel_or_by_named_ports() {
        assert!(matches!(port_forward(&over_spdy("portforward.k8s.io")), Ok((Front::Spdy { .. }, _))));
        let tunnel = over_web_socket("SPDY/3.1+portforward.k8s.io");
        assert!(matches!(port_forward(&tunnel), Ok((Front::Tunnel, _))));
        assert_eq!(chosen(port_forward(&tunnel), "sec-websocket-protocol"), "SPDY/3.1+portforward.k8s.io");
        assert!(!names_ports(&tunnel));
        let named = over_web_socket("v4.channel.k8s.io");
        assert!(names_ports(&named) && matches!(port_forward(&named), Ok((Front::WebSocket { .. }, _))));
        assert!(port_forward(&over_web_socket("channel.k8s.io")).is_err());
    }

    #[test]
    fn who_does_not_ask_for_an_upgrade_is_told_to() {
        let refused = remote_command(&request(&[])).unwrap_err();
        assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let refused =
            remote_command(&request(&[("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")])).unwrap_err();
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    }
}
