//! Paths and queries as Go's `net/url` writes them.

use std::fmt::Write;

/// A decoded path, escaped: what may stand in one stays as it is.
pub fn escape_path(path: &str) -> String {
    escape(path, |byte| b"-_.~$&+,/:;=@".contains(&byte), "%20")
}

/// Pairs in the order of their names, as `url.Values` writes them.
pub fn query(mut pairs: Vec<(&str, String)>) -> String {
    pairs.sort_by(|a, b| a.0.cmp(b.0));
    let text = |text: &str| escape(text, |byte| b"-_.~".contains(&byte), "+");
    pairs.iter().map(|(name, value)| format!("{}={}", text(name), text(value))).collect::<Vec<_>>().join("&")
}

fn escape(text: &str, plain: fn(u8) -> bool, blank: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push_str(blank),
            byte if byte.is_ascii_alphanumeric() || plain(byte) => out.push(char::from(byte)),
            byte => _ = write!(out, "%{byte:02X}"),
        }
    }
    out
}

/// Go's `path.Clean` of parts joined by `/`, with the slash at its end kept.
pub fn join(parts: &[&str]) -> String {
    let whole = parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/");
    let rooted = whole.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." if kept.last().is_some_and(|last| *last != "..") => _ = kept.pop(),
            ".." if rooted => {}
            part => kept.push(part),
        }
    }
    let mut path = format!("{}{}", if rooted { "/" } else { "" }, kept.join("/"));
    if whole.ends_with('/') && !path.ends_with('/') {
        path.push('/');
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_sorted_by_name_and_keep_the_order_of_values() {
        let pairs = [("tty", "1"), ("command", "sh -c"), ("command", "a&b=ü"), ("a", "")];
        let pairs = pairs.map(|(name, value)| (name, value.to_owned())).to_vec();
        assert_eq!(query(pairs), "a=&command=sh+-c&command=a%26b%3D%C3%BC&tty=1");
    }

    #[test]
    fn paths_are_escaped_and_cleaned_as_go_does() {
        assert_eq!(escape_path("/a b/c?d/e%f/$&+,:;=@"), "/a%20b/c%3Fd/e%25f/$&+,:;=@");
        assert_eq!(join(&["/p/", "/a//b/../c/"]), "/p/a/c/");
        assert_eq!(join(&["", "../a"]), "../a");
        assert_eq!(join(&["/", "../a/."]), "/a");
    }
}
