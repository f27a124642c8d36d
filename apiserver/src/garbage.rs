//! Broken variants of good files, for tests: what a configuration makes of them must be one clear line.

use stdx::Ids;

/// Whether what became of a text may be said in one line: no error at all, or one that is not empty.
pub fn is_clear(outcome: &Result<(), String>) -> bool {
    outcome.as_ref().err().is_none_or(|why| !why.trim().is_empty())
}

/// `count` variants of a text: bytes turned, cut out, doubled, lines taken away, words put in the place of others.
pub fn variants(text: &str, count: u64, mut each: impl FnMut(&[u8])) {
    const WORDS: [&str; 12] = [
        "",
        "null",
        "{}",
        "[]",
        "-1",
        "99999999999999999999",
        "true",
        "\"",
        ": :",
        "&a *a",
        "\u{feff}",
        "- - -",
    ];
    for seed in 0..count {
        let ids = Ids::seeded(seed);
        let below = |end: usize| usize::try_from(ids.below(end as u64)).unwrap_or(0);
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=below(3) {
            let at = below(bytes.len().max(1));
            let end = (at + below(12)).min(bytes.len());
            match below(5) {
                0 if at < bytes.len() => bytes[at] ^= 1 << below(8),
                1 => drop(bytes.drain(at..end)),
                2 => bytes.extend_from_within(at..end),
                3 => drop(bytes.splice(at..end, WORDS[below(WORDS.len())].bytes())),
                _ => bytes.truncate(end),
            }
        }
        each(&bytes);
    }
}
