//! Asks by HTTP as `httpGet` describes it: probes and hooks. Certificates are not judged; redirects are followed as
//! long as they stay on the host, ten at most. Errors are in Go's words.

use super::ask::{Answer, LONGEST, Unasked};
use api::{Remote, Value};
use bytes::{Bytes, BytesMut};
use client::https::Pool;
use http::header::{ACCEPT, CONNECTION, HOST, HeaderName, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The version that probes and hooks say they are of.
pub const AGENT_VERSION: &str = "1.36";
const MOST_REDIRECTS: usize = 10;

/// A request to make.
#[derive(Clone, Debug)]
pub struct Get {
    url: Url,
    headers: HeaderMap,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Url {
    scheme: String,
    host: String,
    /// `HOST[:PORT]`
    authority: String,
    /// Path and query.
    target: String,
}

/// Why there is no answer: the URL, and the cause.
struct NoAnswer(String, String);

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Get {}: {}", api::quote(&self.0), self.1)
    }
}

impl Get {
    /// From an `httpGet` of a container of the pod with that address; `purpose` is said in `User-Agent`.
    ///
    /// # Errors
    /// When the port or a header makes no sense.
    pub fn new(action: &Value, container: &Value, pod_ip: &str, purpose: &str) -> Result<Self, String> {
        let scheme = Some(action.str_at(&["scheme"])).filter(|scheme| !scheme.is_empty()).unwrap_or("http");
        let host = Some(action.str_at(&["host"])).filter(|host| !host.is_empty()).unwrap_or(pod_ip);
        let port = port(action.get("port").unwrap_or(&Value::Null), container)?;
        let url = Url {
            scheme: scheme.to_lowercase(),
            host: host.trim_matches(['[', ']']).to_owned(),
            authority: authority(host, port),
            target: target(action.str_at(&["path"])),
        };
        let mut headers = HeaderMap::new();
        for header in action.list_at(&["httpHeaders"]) {
            let (name, value) = (header.str_at(&["name"]), header.str_at(&["value"]));
            let parsed = (HeaderName::try_from(name), HeaderValue::try_from(value));
            let (Ok(name), Ok(value)) = parsed else {
                return Err(format!("net/http: invalid header field name or value {}", api::quote(name)));
            };
            headers.append(name, value);
        }
        let agent = HeaderValue::try_from(format!("kube-{purpose}/{AGENT_VERSION}"));
        if let (false, Ok(agent)) = (headers.contains_key(USER_AGENT), agent) {
            headers.insert(USER_AGENT, agent);
        }
        if !headers.contains_key(ACCEPT) {
            headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        }
        // Empty ones are not sent.
        for name in [ACCEPT, USER_AGENT, HOST] {
            if headers.get(&name).is_some_and(HeaderValue::is_empty) {
                headers.remove(name);
            }
        }
        Ok(Get { url, headers })
    }

    /// Whether the answer is a good one: 200 to 399, within the time.
    pub async fn probe(self, timeout: Duration) -> Result<Answer, Unasked> {
        let deadline = Instant::now() + timeout;
        let answer = match self.send(Some(deadline)).await {
            Ok(answer) => answer,
            Err(why) => return Ok(Answer::Bad(why.to_string())),
        };
        let status = answer.status().as_u16();
        let body = match timeout_at(deadline, beginning(answer.into_body())).await {
            Ok(body) => body.map_err(|why| Unasked("failure", why))?,
            Err(_) => {
                let why =
                    "context deadline exceeded (Client.Timeout or context cancellation while reading body)";
                return Err(Unasked("failure", why.to_owned()));
            }
        };
        Ok(match status {
            200..=299 => Answer::Good,
            300..=399 => {
                let body = String::from_utf8_lossy(&body);
                Answer::Odd(format!("Probe terminated redirects, Response body: {body}"))
            }
            _ => Answer::Bad(format!("HTTP probe failed with statuscode: {status}")),
        })
    }

    /// As a hook: any answer is one. True when the server did not speak TLS and was asked without.
    ///
    /// # Errors
    /// When there is none.
    pub async fn hook(self) -> Result<bool, String> {
        let mut plain = self.clone();
        let why = match self.send(None).await {
            Ok(answer) => {
                // What it says is of no interest, but it may finish to say it.
                let _ = beginning(answer.into_body()).await;
                return Ok(false);
            }
            Err(why) => why,
        };
        if !why.1.contains("server gave HTTP response to HTTPS client") {
            return Err(why.to_string());
        }
        "http".clone_into(&mut plain.url.scheme);
        plain.headers.remove(http::header::AUTHORIZATION);
        plain.send(None).await.map(|_| true).map_err(|_| why.to_string())
    }

    pub fn authority(&self) -> &str {
        &self.url.authority
    }

    async fn send(mut self, deadline: Option<Instant>) -> Result<Response<Incoming>, NoAnswer> {
        let first_host = self.url.host.clone();
        for redirects in 0.. {
            let failed = |why: String| NoAnswer(self.url.text(), why);
            let sent = self.send_once();
            let answer = match deadline {
                Some(deadline) => timeout_at(deadline, sent).await.map_err(|_| {
                    failed(
                        "context deadline exceeded (Client.Timeout exceeded while awaiting headers)".into(),
                    )
                })?,
                None => sent.await,
            };
            let answer = answer.map_err(failed)?;
            let Some(next) = redirect(&answer, &self.url) else { return Ok(answer) };
            if next.host != first_host {
                return Ok(answer);
            }
            if redirects + 1 >= MOST_REDIRECTS {
                return Err(NoAnswer(next.text(), "stopped after 10 redirects".to_owned()));
            }
            self.url = next;
        }
        Err(NoAnswer(self.url.text(), "stopped after 10 redirects".to_owned()))
    }

    async fn send_once(&self) -> Result<Response<Incoming>, String> {
        let remote = Remote { url: self.url.text(), insecure: true, ..Remote::default() };
        let uri: Uri = self.url.text().parse().map_err(|why| format!("{why}"))?;
        let server = Pool::new(&remote).map_err(|why| why.to_string())?;
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        if self.url.scheme == "http" {
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let (false, Ok(host)) =
            (self.headers.contains_key(HOST), HeaderValue::try_from(self.url.authority.as_str()))
        {
            request.headers_mut().insert(HOST, host);
        }
        server.send(request).await.map_err(|why| why.to_string())
    }
}

impl Url {
    fn text(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority, self.target)
    }
}

/// The first bytes of a body.
async fn beginning(mut body: Incoming) -> Result<BytesMut, String> {
    let mut read = BytesMut::new();
    while read.len() < LONGEST
        && let Some(frame) = body.frame().await
    {
        let frame = frame.map_err(|why| why.to_string())?;
        if let Some(data) = frame.data_ref() {
            read.extend_from_slice(data);
        }
    }
    read.truncate(LONGEST);
    Ok(read)
}

/// Where an answer sends its reader, if it does and is understood.
fn redirect(answer: &Response<Incoming>, from: &Url) -> Option<Url> {
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    resolve(answer.headers().get(LOCATION)?.to_str().ok()?, from)
}

fn resolve(location: &str, from: &Url) -> Option<Url> {
    let location = location.split('#').next().unwrap_or(location);
    let absolute = if location.starts_with("//") {
        Some(format!("{}:{location}", from.scheme))
    } else {
        location.contains("://").then(|| location.to_owned())
    };
    if let Some(absolute) = absolute {
        let uri: Uri = absolute.parse().ok()?;
        return Some(Url {
            scheme: uri.scheme_str()?.to_owned(),
            host: uri.host()?.trim_matches(['[', ']']).to_owned(),
            authority: uri.authority()?.as_str().to_owned(),
            target: target(uri.path_and_query().map_or("", |target| target.as_str())),
        });
    }
    let path = from.target.split('?').next().unwrap_or("/");
    let next = match location.chars().next() {
        Some('/') => location.to_owned(),
        Some('?') => format!("{path}{location}"),
        None => from.target.clone(),
        Some(_) => format!("{}/{location}", path.rsplit_once('/').map_or("", |(folder, _)| folder)),
    };
    Some(Url { target: target(&next), ..from.clone() })
}

/// Path and query as they are sent: with a slash in front, without fragment, letters encoded that may not stand there.
fn target(path: &str) -> String {
    let path = path.split('#').next().unwrap_or(path);
    // A whole URL counts by its path.
    let path = match path.split_once("://") {
        Some((scheme, rest)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
            rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("")
        }
        _ => path,
    };
    let bytes = path.as_bytes();
    let is_escape = |at: usize| {
        let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
        digit(at + 1) && digit(at + 2)
    };
    // An escape that is none: the text is a path by letters.
    let literal = (0..bytes.len()).any(|at| bytes.get(at) == Some(&b'%') && !is_escape(at));
    let mut out = String::from(if path.starts_with('/') { "" } else { "/" });
    for byte in path.bytes() {
        let plain = match byte {
            b'%' | b'?' => !literal,
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => false,
            byte => byte.is_ascii_graphic(),
        };
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// `HOST:PORT`, with brackets around an IPv6 address.
pub fn authority(host: &str, port: u16) -> String {
    let host = host.trim_matches(['[', ']']);
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A port by number, or by its name in the container.
///
/// # Errors
/// When there is none of that name, in upstream's words.
pub fn port(port: &Value, container: &Value) -> Result<u16, String> {
    let number = match port {
        Value::Int(number) => *number,
        Value::Str(name) => {
            let mut ports = container.list_at(&["ports"]).iter();
            match ports.find(|port| port.str_at(&["name"]) == name.as_str()) {
                Some(port) => port.i64_at(&["containerPort"]).unwrap_or(0),
                None => name
                    .parse()
                    .map_err(|_| format!("strconv.Atoi: parsing {}: invalid syntax", api::quote(name)))?,
            }
        }
        _ => -1,
    };
    let valid = u16::try_from(number).ok().filter(|port| *port > 0);
    valid.ok_or_else(|| format!("invalid port number: {number}"))
}
