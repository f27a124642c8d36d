//! Headers of a request as `authn` looks at them.

use http::HeaderMap;

/// A view of an HTTP library's headers.
#[derive(Clone, Copy, Debug)]
pub struct HeaderView<'a>(pub &'a HeaderMap);

impl authn::Headers for HeaderView<'_> {
    fn first(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(|value| value.as_bytes())
    }

    fn all(&self, name: &str) -> Vec<&[u8]> {
        self.0.get_all(name).iter().map(|value| value.as_bytes()).collect()
    }

    fn starting_with<'a>(&'a self, prefix: &str) -> Vec<(&'a str, &'a [u8])> {
        let starts = |name: &str| name.get(..prefix.len()).is_some_and(|s| s.eq_ignore_ascii_case(prefix));
        let found = self.0.iter().filter(|(name, _)| starts(name.as_str()));
        found.map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
    }
}
