//! PEM: blocks with their type, headers and bytes, read as leniently as Go does.

use base64::Engine;

/// One block of PEM text.
pub struct Block {
    /// `CERTIFICATE`, `CERTIFICATE REQUEST`, …
    pub label: String,
    pub has_headers: bool,
    /// What the base64 stands for.
    pub der: Vec<u8>,
}

/// All well-formed blocks of a text, in order; anything else is passed over, as Go does.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let label = line.trim_end().strip_prefix("-----BEGIN ").and_then(|l| l.strip_suffix("-----"));
        let Some(label) = label else { continue };
        let end = format!("-----END {label}-----");
        let body: Vec<&str> = lines.by_ref().map(str::trim_end).take_while(|l| *l != end).collect();
        let headers = body.iter().take_while(|l| l.contains(':')).count();
        let base64: String = body[headers..].concat();
        if let Some(der) = decode_base64(&base64) {
            found.push(Block { label: label.to_owned(), has_headers: headers > 0, der });
        }
    }
    found
}

/// A block of `label` around `der`.
pub fn encode(label: &str, der: &[u8]) -> String {
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// Standard base64 with padding; nothing when it is malformed.
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_among_other_text() {
        let text = "noise\n-----BEGIN A-----\nMAA=\n-----END A-----\n-----BEGIN B-----\nK: v\n\nMAA=\n-----END B-----\n";
        let found = blocks(text);
        assert_eq!(found.iter().map(|b| b.label.as_str()).collect::<Vec<_>>(), ["A", "B"]);
        assert!(!found[0].has_headers && found[1].has_headers);
        assert_eq!(found[0].der, [0x30, 0]);
    }

    #[test]
    fn base64_is_told_good_from_bad() {
        assert_eq!(decode_base64("aGk="), Some(b"hi".to_vec()));
        assert_eq!(decode_base64("aGk"), None);
        assert_eq!(decode_base64("a!k="), None);
    }
}
