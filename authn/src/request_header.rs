//! Headers of an authenticating proxy: `X-Remote-User` and its like, believed only from a client whose certificate
//! says that it is such a proxy. Source: upstream's `pkg/authentication/request/headerrequest`.

use crate::method::{Method, Settings, Verdict};
use crate::trusted_cas::TrustedCas;
use crate::x509::common_name;
use crate::{Caller, Credentials, Headers};
use api::Later;
use stdx::Clock;

const NAME: &str = "request-header";

/// Which headers are believed, and from whom.
#[derive(Clone, Debug, Default)]
pub struct RequestHeaders {
    /// CA certificates that sign certificates of proxies; none switches the method off.
    pub cas: TrustedCas,
    /// Common names of proxies; empty for any.
    pub allowed_names: Vec<String>,
    /// Headers that may hold the user's name; the first that is not empty counts.
    pub username: Vec<String>,
    pub uid: Vec<String>,
    /// Headers that hold groups, one each time they occur.
    pub group: Vec<String>,
    /// How headers begin that hold more about the user, by a key that follows.
    pub extra_prefixes: Vec<String>,
}

impl RequestHeaders {
    /// The names of upstream's documents and of aggregated servers.
    pub fn standard() -> Self {
        let one = |name: &str| vec![name.to_owned()];
        RequestHeaders {
            username: one("X-Remote-User"),
            uid: one("X-Remote-Uid"),
            group: one("X-Remote-Group"),
            extra_prefixes: one("X-Remote-Extra-"),
            ..RequestHeaders::default()
        }
    }

    /// Whether a header is one of these: such headers go no further than this.
    pub fn contains(&self, header: &str) -> bool {
        let names = [&self.username, &self.uid, &self.group].into_iter().flatten();
        names.into_iter().any(|name| name.eq_ignore_ascii_case(header))
            || self.extra_prefixes.iter().any(|prefix| after(header, prefix).is_some())
    }
}

/// What follows a prefix, in any case.
fn after<'a>(header: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = header.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

struct Proxy {
    headers: RequestHeaders,
    clock: Clock,
}

/// See `METHODS`.
#[allow(clippy::unnecessary_wraps)] // the shape of every method's maker
pub(crate) fn make(settings: &Settings) -> Result<Option<Box<dyn Method>>, String> {
    let headers = settings.request_headers.clone();
    Ok(headers.map(|headers| {
        let proxy: Box<dyn Method> = Box::new(Proxy { headers, clock: settings.clock.clone() });
        proxy
    }))
}

impl Method for Proxy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn judge<'a>(&'a self, credentials: &'a Credentials<'a>) -> Later<'a, Verdict> {
        Box::pin(std::future::ready(self.look(credentials)))
    }
}

impl Proxy {
    fn look(&self, credentials: &Credentials<'_>) -> Verdict {
        let (peer, cas) = (credentials.peer, &self.headers.cas);
        let name = cas.judge(peer, &peer.proxy, self.clock.now(), |_, read| Ok(common_name(read)));
        match name {
            None => Verdict::NotMine,
            Some(Err(why)) => Verdict::refused(why),
            Some(Ok(name)) if !self.is_allowed(&name) => {
                Verdict::refused(format!("x509: subject with cn={name} is not in the allowed list"))
            }
            Some(Ok(_)) => match self.caller(credentials.headers) {
                Some(caller) => Verdict::known(caller),
                None => Verdict::NotMine,
            },
        }
    }

    fn is_allowed(&self, name: &str) -> bool {
        self.headers.allowed_names.is_empty() || self.headers.allowed_names.iter().any(|n| n == name)
    }

    fn caller(&self, headers: &dyn Headers) -> Option<Caller> {
        let name = first(headers, &self.headers.username)?;
        let groups = self.headers.group.iter().flat_map(|name| headers.all(name));
        let groups = groups.map(lossy).filter(|group| !group.is_empty()).collect();
        let uid = first(headers, &self.headers.uid).unwrap_or_default();
        let mut caller = Caller::new(&name, groups).by(NAME).with_uid(uid);
        for (key, values) in self.extra(headers) {
            caller = caller.with_extra(&key, values);
        }
        Some(caller.authenticated())
    }

    fn extra(&self, headers: &dyn Headers) -> Vec<(String, Vec<String>)> {
        let mut extra: Vec<(String, Vec<String>)> = Vec::new();
        for prefix in &self.headers.extra_prefixes {
            for (header, value) in headers.starting_with(prefix) {
                let key = extra_key(after(header, prefix).unwrap_or_default());
                match extra.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, values)) => values.push(lossy(value)),
                    None => extra.push((key, vec![lossy(value)])),
                }
            }
        }
        extra
    }
}

/// The key in a header's name: in small letters, its escapes resolved; as it is when they are wrong.
pub(crate) fn extra_key(encoded: &str) -> String {
    let key = encoded.to_ascii_lowercase();
    unescaped(&key).unwrap_or(key)
}

/// Resolves `%XX`, as Go's `url.PathUnescape`.
fn unescaped(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        });
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// The first of these headers that is not empty.
fn first(headers: &dyn Headers, names: &[String]) -> Option<String> {
    names.iter().filter_map(|name| headers.first(name)).find(|value| !value.is_empty()).map(lossy)
}

fn lossy(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AUTHENTICATED, Authenticator, Peer};
    use certs::Authority;
    use std::time::Duration;
    use stdx::Time;

    const NOW: Time = Time::from_secs(1_800_000_000);

    struct Sent(Vec<(&'static str, &'static str)>);

    impl Headers for Sent {
        fn first(&self, name: &str) -> Option<&[u8]> {
            self.all(name).first().copied()
        }

        fn all(&self, name: &str) -> Vec<&[u8]> {
            self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_bytes()).collect()
        }

        fn starting_with<'a>(&'a self, prefix: &str) -> Vec<(&'a str, &'a [u8])> {
            let found = self.0.iter().filter(|(n, _)| after(n, prefix).is_some());
            found.map(|(n, v)| (*n, v.as_bytes())).collect()
        }
    }

    fn sent() -> Sent {
        Sent(vec![
            ("x-remote-user", "jane"),
            ("x-remote-uid", "7"),
            ("x-remote-group", "dev"),
            ("x-remote-group", ""),
            ("x-remote-group", "ops"),
            ("x-remote-extra-scopes", "a"),
            ("x-remote-extra-scopes", "b"),
            ("x-remote-extra-example.com%2fkey", "v"),
            ("x-remote-extra-bad%2", "w"),
        ])
    }

    fn world(ca: &Authority, names: &[&str]) -> Authenticator {
        let headers = RequestHeaders {
            allowed_names: names.iter().map(ToString::to_string).collect(),
            ..RequestHeaders::standard()
        };
        headers.cas.replace(&[ca.certificate_der().to_vec().into()]).unwrap();
        let settings = Settings { request_headers: Some(headers), ..Settings::new(Clock::manual(NOW)) };
        Authenticator::new(&settings).unwrap()
    }

    fn peer(ca: &Authority, name: &str) -> Peer {
        let made = ca.issue_client(name, &[], NOW, Duration::from_secs(3600)).unwrap();
        Peer::new(vec![made.certificate_der.into()], None)
    }

    #[tokio::test]
    async fn a_proxy_says_who_calls() {
        let ca = Authority::new("front-proxy-ca", NOW).unwrap();
        for names in [&["front-proxy-client"][..], &[]] {
            let world = world(&ca, names);
            let caller = world.authenticate(&peer(&ca, "front-proxy-client"), &sent(), "/").await.unwrap();
            assert_eq!((caller.name(), caller.uid()), ("jane", "7"));
            assert_eq!(caller.groups(), ["dev", "ops", AUTHENTICATED]);
            let extra: Vec<_> = caller.extra().iter().map(|(k, v)| (k.as_str(), v.join(","))).collect();
            let texts = |v: &str| v.to_owned();
            assert_eq!(
                extra,
                [("scopes", texts("a,b")), ("example.com/key", texts("v")), ("bad%2", texts("w"))]
            );
        }
    }

    #[tokio::test]
    async fn nobody_else_is_believed() {
        let ca = Authority::new("front-proxy-ca", NOW).unwrap();
        let stranger = Authority::new("front-proxy-ca", NOW).unwrap();
        let world = world(&ca, &["front-proxy-client"]);
        assert!(world.authenticate(&peer(&ca, "jane"), &sent(), "/").await.is_err());
        assert!(world.authenticate(&peer(&stranger, "front-proxy-client"), &sent(), "/").await.is_err());
        let ended = Authority::new("front-proxy-ca", Time::from_secs(0)).unwrap();
        let proxy = peer(&ended, "front-proxy-client");
        assert!(self::world(&ended, &[]).authenticate(&proxy, &sent(), "/").await.is_err());
        let nobody = world.authenticate(&Peer::default(), &sent(), "/").await.unwrap();
        assert!(nobody.is_anonymous());
        let silent = world.authenticate(&peer(&ca, "front-proxy-client"), &(), "/").await.unwrap();
        assert!(silent.is_anonymous());
    }

    #[test]
    fn the_headers_are_known_in_any_case() {
        let headers = RequestHeaders::standard();
        for name in ["x-remote-user", "X-REMOTE-UID", "X-Remote-Group", "x-remote-extra-", "x-remote-extra-a"]
        {
            assert!(headers.contains(name), "{name}");
        }
        assert!(!headers.contains("x-remote"));
    }
}
