//! The proxy subresource: requests of all methods are handed on to a pod, a service or a node, and their answers back,
//! with links that lead past the proxy led through it.
//! Source: upstream's `apimachinery/pkg/util/proxy` (`UpgradeAwareHandler`, `Transport`), Go's `httputil.ReverseProxy`.

use super::html::{self, Prefix};
use super::place::Place;
use super::{exchange, url};
use crate::answer::{Answer, gzip::AsIs};
use crate::call::Call;
use crate::door::{Body, Connection};
use crate::query::unescape;
use api::Status;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use std::sync::Arc;

/// Headers that mean the connection, not the message.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "proxy-connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// What a browser may do is for this server to say.
const CORS: [&str; 4] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
];
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

pub async fn pass(call: &Call, mut place: Place, body: Incoming, parts: &Parts) -> Result<Answer, Status> {
    let path = unescape(parts.uri.path(), false);
    if path.ends_with('/') && !place.path.ends_with('/') {
        place.path.push('/');
    }
    if place.path.is_empty() && matches!(parts.method, Method::GET | Method::HEAD) {
        return redirect(parts);
    }
    parts.uri.query().unwrap_or_default().clone_into(&mut place.query);
    let prefix = Prefix {
        path: path.strip_suffix(place.path.as_str()).unwrap_or(&path).to_owned(),
        backend: place.authority(),
        host: String::from_utf8_lossy(host(parts).as_bytes()).into_owned(),
    };
    let mut request = Request::builder().method(parts.method.clone()).uri(place.target());
    if let Some(headers) = request.headers_mut() {
        *headers = end_to_end(&call.headers);
        headers.insert(header::HOST, host(parts));
        forwarded_for(headers, parts);
        if let Ok(uri) = HeaderValue::from_str(&url::join(&[&prefix.path, &url::escape_path(&place.path)])) {
            headers.insert(FORWARDED_URI, uri);
        }
    }
    let request = request.body(body).map_err(Status::internal)?;
    let (response, held) =
        exchange(&call.server, &place, request).await.map_err(|none| place.unreachable(&none.why()))?;
    let (head, body) = response.into_parts();
    let mut headers = end_to_end(&head.headers);
    CORS.iter().for_each(|name| _ = headers.remove(*name));
    let body = if let Some(location) = headers.get(header::LOCATION).and_then(|l| l.to_str().ok()) {
        if let Ok(location) = HeaderValue::from_str(&prefix.link(location)) {
            headers.insert(header::LOCATION, location);
        }
        Body::passed_on(body).keeping(held)
    } else if parts.method != Method::HEAD && html::may_rewrite(&headers) {
        let bytes = html::read(&headers, body).await.map_err(|why| place.unreachable(&why))?;
        headers.remove(header::CONTENT_LENGTH);
        Body::full(html::rewrite(&headers, &bytes, &prefix))
    } else {
        Body::passed_on(body).keeping(held)
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = head.status;
    *answer.headers_mut() = headers;
    answer.extensions_mut().insert(AsIs);
    Ok(answer)
}

/// The root of what is proxied ends with a slash, so that its links lead below it.
fn redirect(parts: &Parts) -> Result<Answer, Status> {
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("{}/{query}", parts.uri.path());
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let location = HeaderValue::from_str(&location).map_err(Status::internal)?;
    answer.headers_mut().insert(header::LOCATION, location);
    Ok(answer)
}

/// The host that the client asked for.
pub fn host(parts: &Parts) -> HeaderValue {
    let authority = || HeaderValue::from_str(parts.uri.authority()?.as_str()).ok();
    let given = parts.headers.get(header::HOST).cloned();
    given.or_else(authority).unwrap_or(HeaderValue::from_static(""))
}

/// Adds where the request came from to who it was forwarded for before.
pub fn forwarded_for(headers: &mut HeaderMap, parts: &Parts) {
    let connection = parts.extensions.get::<Arc<Connection>>();
    let Some(remote) = connection.and_then(|connection| connection.peer().remote()) else { return };
    let before = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let all: Vec<String> =
        before.map(str::to_owned).chain([remote.ip().to_canonical().to_string()]).collect();
    if let Ok(value) = HeaderValue::from_str(&all.join(", ")) {
        headers.insert(FORWARDED_FOR, value);
    }
}

/// Headers without those of the connection, among them those that `Connection` names.
pub fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let of_connection = |name: &str| HOP_BY_HOP.contains(&name) || named.iter().any(|other| other == name);
    let kept = headers.iter().filter(|(name, _)| !of_connection(name.as_str()));
    let mut kept: HeaderMap = kept.fold(HeaderMap::new(), |mut all, (name, value)| {
        all.append(name.clone(), value.clone());
        all
    });
    let trailers = headers.get_all(header::TE).iter().any(|te| te.as_bytes() == b"trailers");
    if trailers {
        kept.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_connection_stay_with_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "X-Mine, close"),
            ("x-mine", "1"),
            ("keep-alive", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("accept", "a"),
            ("accept", "b"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let kept = end_to_end(&headers);
        assert_eq!(kept.get_all("accept").iter().count(), 2);
        assert_eq!((kept.len(), &kept["te"]), (3, &HeaderValue::from_static("trailers")));
    }
}
