//! How long requests may take, and how connections are shared out: upstream's flags of these names.

use crate::address::{Address, Verb};
use crate::answer::{Answer, bytes_of};
use crate::door::Connection;
use crate::query::Query;
use api::{Status, json, status::Details, time};
use http::request::Parts;
use http::{HeaderValue, Version, header};
use std::sync::Arc;
use std::time::Duration;
use stdx::{Ids, limits};

/// Go's guess at what a body without a content type is.
const TEXT: &str = "text/plain; charset=utf-8";

/// What a server grants its clients.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Time for a request that is not a watch or a stream.
    pub request_timeout: Duration,
    /// A watch without a timeout of its own lasts from this long to twice as long.
    pub min_request_timeout_secs: u64,
    /// How often an answer over HTTP/2 asks the client to connect anew: so that clients of several servers spread.
    pub goaway_chance: f64,
    /// Requests at once on a connection of HTTP/2.
    pub streams_per_connection: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_timeout: limits::REQUEST_TIMEOUT,
            min_request_timeout_secs: 1_800,
            goaway_chance: 0.0,
            streams_per_connection: limits::STREAMS_PER_CONNECTION,
        }
    }
}

impl Limits {
    /// How long a request may take: that long or what the client grants (`?timeout=`), whichever is shorter. Watches and
    /// streams take as long as they like.
    pub fn patience(&self, place: &Address, query: &Query) -> Result<Duration, Status> {
        if is_long_running(place) { Ok(Duration::MAX) } else { self.timeout(query) }
    }

    fn timeout(&self, query: &Query) -> Result<Duration, Status> {
        let given = match query.text("timeout") {
            "" => return Ok(self.request_timeout),
            text => time::parse_duration(text).map_err(|why| {
                Status::bad_request(format!("invalid timeout specified in the request URL - {why}"))
            })?,
        };
        // No time at all, or less, means that the client sets no limit.
        let given = u64::try_from(given).ok().filter(|nanos| *nanos > 0).map(Duration::from_nanos);
        Ok(given.map_or(self.request_timeout, |given| given.min(self.request_timeout)))
    }

    /// Asks a client from outside to connect anew, now and then.
    pub fn spread(&self, version: Version, parts: &Parts, ids: &Ids, answer: &mut Answer) {
        if self.goaway_chance == 0.0 || version != Version::HTTP_2 {
            return;
        }
        let connection = parts.extensions.get::<Arc<Connection>>();
        let is_outside = connection.is_some_and(|connection| connection.peer().remote().is_some());
        if is_outside && ids.fraction() < self.goaway_chance {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

fn is_long_running(place: &Address) -> bool {
    let Address::Resource(target) = place else { return false };
    target.verb == Some(Verb::Watch) || is_stream(&target.subresource)
}

/// Subresources whose answers have no bound in time.
pub fn is_stream(subresource: &str) -> bool {
    matches!(subresource, "attach" | "exec" | "proxy" | "log" | "portforward")
}

/// 504: it took too long.
pub fn timed_out() -> Status {
    let message = "Timeout: request did not complete within the allotted timeout";
    Status { details: Some(Box::<Details>::default()), ..Status::new(504, "Timeout", message) }
}

/// The same as upstream writes it past all negotiation, without saying what it is.
pub fn timed_out_answer() -> Answer {
    let mut value = timed_out().to_value();
    value.unset(&["kind"]);
    value.unset(&["apiVersion"]);
    let mut text = json::to_vec(&value);
    text.push(b'\n');
    bytes_of(504, TEXT, text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::address;

    fn patience(path: &str, query: &str) -> Result<Duration, Status> {
        let query = Query::parse(query);
        Limits::default().patience(&address("GET", path, &query), &query)
    }

    #[test]
    fn requests_end_in_time_and_watches_and_streams_do_not() {
        let pods = "/api/v1/namespaces/a/pods";
        for (path, query, secs) in [
            (pods, "", 60),
            (pods, "timeout=5s", 5),
            (pods, "timeout=0s", 60),
            (pods, "timeout=-1s", 60),
            (pods, "timeout=90s", 60),
            ("/healthz", "timeout=1s", 1),
            (pods, "watch=true&timeout=5s", u64::MAX),
            ("/api/v1/namespaces/a/pods/p/log", "", u64::MAX),
        ] {
            assert_eq!(patience(path, query).unwrap().as_secs(), secs, "{path} {query}");
        }
        let refused = patience("/healthz", "timeout=x").unwrap_err();
        assert_eq!(refused.code, 400);
        assert_eq!(
            refused.message,
            "invalid timeout specified in the request URL - time: invalid duration \"x\""
        );
    }

    #[test]
    fn what_took_too_long_is_told_in_upstreams_bytes() {
        let answer = timed_out_answer();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()[header::CONTENT_TYPE]),
            (504, &HeaderValue::from_static(TEXT))
        );
        assert_eq!(
            std::str::from_utf8(&answer.body().whole().unwrap()).unwrap(),
            "{\"metadata\":{},\"status\":\"Failure\",\"message\":\"Timeout: request did not complete within the allotted timeout\",\
             \"reason\":\"Timeout\",\"details\":{},\"code\":504}\n"
        );
    }

    #[test]
    fn clients_are_asked_to_connect_anew_by_chance_and_over_http_2_alone() {
        let ids = Ids::seeded(1);
        let asked = |chance: f64, version, remote: Option<std::net::SocketAddr>| {
            let limits = Limits { goaway_chance: chance, ..Limits::default() };
            let (mut parts, ()) = http::Request::new(()).into_parts();
            let peer = authn::Peer::new(Vec::new(), remote);
            parts.extensions.insert(Arc::new(Connection::new(peer, None)));
            let mut asked = 0;
            for _ in 0..1000 {
                let mut answer = bytes_of(200, TEXT, "".into());
                limits.spread(version, &parts, &ids, &mut answer);
                asked += usize::from(answer.headers().contains_key(header::CONNECTION));
            }
            asked
        };
        let outside = "127.0.0.1:1".parse().ok();
        assert_eq!(asked(0.0, Version::HTTP_2, outside), 0);
        assert_eq!(asked(1.0, Version::HTTP_11, outside), 0);
        assert_eq!(asked(1.0, Version::HTTP_2, None), 0);
        assert!((5..60).contains(&asked(0.02, Version::HTTP_2, outside)));
    }
}
