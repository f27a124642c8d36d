//! Paths and queries of URLs, decoded.

/// The pairs of a query (`a=b&c=d`, with `+` and `%XX`), in the order given; a name may occur more than once.
pub fn pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (unescape(name, true), unescape(value, true))
    });
    pairs.collect()
}

/// `%XX` (and `+` for a blank in queries); what is no escape stays as it is.
pub fn unescape(text: &str, plus: bool) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(&b) = bytes.get(i) {
        let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (b, hex(i + 1), hex(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                i += 3;
                continue;
            }
            (b'+', ..) if plus => out.push(b' '),
            _ => out.push(b),
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_others_kept() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [pair("a", "b c d"), pair("f", "ü"), pair("x", "%zz%"), pair("y", ""), pair("a", "e")];
        assert_eq!(pairs("a=b%20c+d&f=%C3%BC&x=%zz%&y&&a=e"), expected);
        assert_eq!(unescape("a+b%2Fc", false), "a+b/c");
    }
}
