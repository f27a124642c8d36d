//! Links in pages that come through a proxy: those that lead to the proxied host by an absolute path would lead past
//! the proxy, and get its path before theirs. Source: upstream's `apimachinery/pkg/util/proxy` (`Transport`).

use super::url;
use flate2::Compression;
use flate2::read::{DeflateDecoder, MultiGzDecoder};
use flate2::write::{DeflateEncoder, GzEncoder};
use http::{HeaderMap, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use std::io::{Read, Write};

/// The longest page that is held for its links; of a longer one nothing is shown.
const MAX_PAGE_BYTES: usize = 32 << 20;

/// Attributes that are links, by tag.
const LINKS: [(&str, &[&str]); 25] = [
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];
/// Elements whose content is no markup.
const RAW: [&str; 8] = ["script", "style", "textarea", "title", "iframe", "noembed", "noframes", "xmp"];

/// The path of the proxy, and the names of what is behind it.
pub struct Prefix {
    pub path: String,
    /// `HOST:PORT` of the other end, and as the client calls this server.
    pub backend: String,
    pub host: String,
}

impl Prefix {
    /// A link as it leads through the proxy.
    pub fn link(&self, link: &str) -> String {
        let end = link.find(['?', '#']).unwrap_or(link.len());
        let (place, rest) = link.split_at(end);
        let (scheme, after) = match place.split_once("://") {
            Some((scheme, after)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+') => {
                (scheme, Some(after))
            }
            _ => ("", place.strip_prefix("//")),
        };
        let (host, path) = match after {
            Some(after) => after.split_at(after.find('/').unwrap_or(after.len())),
            None => ("", place),
        };
        let elsewhere = !host.is_empty() && host != self.backend && host != self.host;
        if elsewhere || !path.starts_with('/') {
            return link.to_owned();
        }
        let through =
            if path.starts_with(&self.path) { path.to_owned() } else { url::join(&[&self.path, path]) };
        match scheme {
            _ if host.is_empty() || host != self.host => format!("{through}{rest}"),
            "" => format!("//{host}{through}{rest}"),
            scheme => format!("{scheme}://{host}{through}{rest}"),
        }
    }
}

/// Whether an answer is a page whose links can be found.
pub fn may_rewrite(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim() == "text/html"
        && matches!(text(header::CONTENT_ENCODING), "" | "gzip" | "deflate")
}

/// The page, unpacked.
pub async fn read(headers: &HeaderMap, body: Incoming) -> Result<Vec<u8>, String> {
    let whole = Limited::new(body, MAX_PAGE_BYTES).collect().await.map_err(|why| why.to_string())?;
    let packed = whole.to_bytes();
    let unpacked: Box<dyn Read + Send> = match encoding(headers) {
        b"gzip" => Box::new(MultiGzDecoder::new(&packed[..])),
        b"deflate" => Box::new(DeflateDecoder::new(&packed[..])),
        _ => return Ok(packed.to_vec()),
    };
    let mut page = Vec::new();
    let limit = u64::try_from(MAX_PAGE_BYTES).unwrap_or(u64::MAX);
    unpacked.take(limit).read_to_end(&mut page).map_err(|why| why.to_string())?;
    Ok(page)
}

fn encoding(headers: &HeaderMap) -> &[u8] {
    headers.get(header::CONTENT_ENCODING).map_or(b"", |value| value.as_bytes())
}

/// The page with its links led through the proxy, packed as it came.
pub fn rewrite(headers: &HeaderMap, page: &[u8], prefix: &Prefix) -> Vec<u8> {
    let page = links(page, prefix);
    // Writing to memory does not fail.
    let packed = match encoding(headers) {
        b"gzip" => {
            let mut packer = GzEncoder::new(Vec::new(), Compression::default());
            packer.write_all(&page).and_then(|()| packer.finish())
        }
        b"deflate" => {
            let mut packer = DeflateEncoder::new(Vec::new(), Compression::best());
            packer.write_all(&page).and_then(|()| packer.finish())
        }
        _ => return page,
    };
    packed.unwrap_or_default()
}

fn links(page: &[u8], prefix: &Prefix) -> Vec<u8> {
    let mut out = Vec::with_capacity(page.len() + 1024);
    let mut rest = page;
    while let Some(at) = rest.iter().position(|byte| *byte == b'<') {
        let (text, tag) = rest.split_at(at);
        out.extend_from_slice(text);
        let skipped = skipped(tag);
        if skipped > 0 {
            out.extend_from_slice(&tag[..skipped]);
            rest = &tag[skipped..];
            continue;
        }
        let (name, end) = start_tag(tag, prefix, &mut out);
        rest = &tag[end..];
        if RAW.contains(&name.as_str()) {
            let raw = find_end(rest, &name);
            out.extend_from_slice(&rest[..raw]);
            rest = &rest[raw..];
        }
    }
    out.extend_from_slice(rest);
    out
}

/// Bytes of a comment, an end tag, or what is no tag at all; 0 for a start tag.
fn skipped(tag: &[u8]) -> usize {
    let until = |end: &[u8]| {
        tag.windows(end.len()).position(|window| window == end).map_or(tag.len(), |at| at + end.len())
    };
    match tag {
        [b'<', b'!', b'-', b'-', ..] => until(b"-->"),
        [b'<', b'!' | b'?' | b'/', ..] => until(b">"),
        [b'<', first, ..] if first.is_ascii_alphabetic() => 0,
        _ => 1.min(tag.len()),
    }
}

fn find_end(text: &[u8], name: &str) -> usize {
    let is_end = |window: &[u8]| {
        window.starts_with(b"</")
            && window.get(2..).is_some_and(|rest| rest.eq_ignore_ascii_case(name.as_bytes()))
    };
    text.windows(name.len() + 2).position(is_end).unwrap_or(text.len())
}

/// Writes a start tag with its links changed; its name in lower case and where it ends.
fn start_tag(tag: &[u8], prefix: &Prefix, out: &mut Vec<u8>) -> (String, usize) {
    let at = |i: usize| tag.get(i).copied().unwrap_or(b'>');
    let run = |from: usize, stop: fn(u8) -> bool| {
        tag.iter().skip(from).position(|byte| stop(*byte)).map_or(tag.len(), |length| from + length)
    };
    let space = |byte: u8| byte.is_ascii_whitespace();
    let mut i = run(1, |b| b.is_ascii_whitespace() || b == b'/' || b == b'>');
    let name = String::from_utf8_lossy(&tag[1..i]).to_ascii_lowercase();
    let attributes = LINKS.iter().find(|(tag, _)| *tag == name).map_or(&[][..], |(_, names)| names);
    let mut copied = 0;
    while i < tag.len() && at(i) != b'>' {
        if space(at(i)) || at(i) == b'/' {
            i += 1;
            continue;
        }
        let end = run(i + 1, |b| b.is_ascii_whitespace() || matches!(b, b'=' | b'>' | b'/'));
        let attribute = String::from_utf8_lossy(&tag[i..end]).to_ascii_lowercase();
        i = run(end, |b| !b.is_ascii_whitespace());
        if at(i) != b'=' || i >= tag.len() {
            continue;
        }
        i = run(i + 1, |b| !b.is_ascii_whitespace());
        let (from, to, next) = match at(i) {
            b'"' => quoted(tag, i, run(i + 1, |b| b == b'"')),
            b'\'' => quoted(tag, i, run(i + 1, |b| b == b'\'')),
            _ => {
                let end = run(i, |b| b.is_ascii_whitespace() || b == b'>');
                (i, end, end)
            }
        };
        if attributes.contains(&attribute.as_str())
            && let Ok(link) = std::str::from_utf8(&tag[from..to])
        {
            out.extend_from_slice(&tag[copied..from]);
            out.extend_from_slice(prefix.link(link).as_bytes());
            copied = to;
        }
        i = next;
    }
    let end = (i + 1).min(tag.len());
    out.extend_from_slice(&tag[copied..end]);
    (name, end)
}

/// Where a quoted value begins and ends, and what comes after it.
fn quoted(tag: &[u8], open: usize, close: usize) -> (usize, usize, usize) {
    (open + 1, close, (close + 1).min(tag.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix() -> Prefix {
        Prefix {
            path: "/api/v1/namespaces/a/services/s/proxy/".to_owned(),
            backend: "10.0.0.1:80".to_owned(),
            host: "api:6443".to_owned(),
        }
    }

    #[test]
    fn links_to_the_proxied_host_lead_through_the_proxy() {
        let proxy = "/api/v1/namespaces/a/services/s/proxy";
        for (link, leads) in [
            ("/x/y/?q=/z#f", format!("{proxy}/x/y/?q=/z#f")),
            ("http://10.0.0.1:80/x", format!("{proxy}/x")),
            ("http://api:6443/x", format!("http://api:6443{proxy}/x")),
            ("//10.0.0.1:80/", format!("{proxy}/")),
            (&format!("{proxy}/x"), format!("{proxy}/x")),
        ] {
            assert_eq!(prefix().link(link), leads);
        }
        for same in
            ["x/y", "../x", "#f", "", "mailto:a@b", "http://elsewhere/x", "http://10.0.0.1:81/x", "?q"]
        {
            assert_eq!(prefix().link(same), same);
        }
    }

    #[test]
    fn pages_keep_everything_but_their_links() {
        let proxy = "/api/v1/namespaces/a/services/s/proxy";
        for (page, shown) in [
            ("<A HREF=\"/x\" class='/x'>/x</A>", format!("<A HREF=\"{proxy}/x\" class='/x'>/x</A>")),
            ("<img src=/x alt=/x><br/>", format!("<img src={proxy}/x alt=/x><br/>")),
            ("<form action = '/x' hidden>", format!("<form action = '{proxy}/x' hidden>")),
            (
                "<script src=\"/x\">if (a<b) '<a href=\"/y\">'</script>",
                format!("<script src=\"{proxy}/x\">if (a<b) '<a href=\"/y\">'</script>"),
            ),
            (
                "<!-- <a href=\"/x\"> -->1 < 2 <p title=\">\">&amp;",
                "<!-- <a href=\"/x\"> -->1 < 2 <p title=\">\">&amp;".to_owned(),
            ),
            ("<a href=\"/x", format!("<a href=\"{proxy}/x")),
            ("<a", "<a".to_owned()),
            ("<", "<".to_owned()),
            ("ü<a href=/x\u{fc}>", format!("ü<a href={proxy}/x\u{fc}>")),
        ] {
            assert_eq!(String::from_utf8(links(page.as_bytes(), &prefix())).unwrap(), shown);
        }
    }

    #[test]
    fn packed_pages_stay_packed() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
        let packed = rewrite(&headers, b"<a href=/x>", &prefix());
        let mut text = String::new();
        MultiGzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "<a href=/api/v1/namespaces/a/services/s/proxy/x>");
    }
}
