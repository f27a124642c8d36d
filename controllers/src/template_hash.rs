//! The hash of a pod template that names replica sets and revisions: FNV-1a (32 bits) over the template and the
//! count of collisions, in the letters of generated names.
//!
//! Upstream hashes a print of Go's structs; ours hashes sorted JSON. Only clusters that change from one to the other
//! could see the difference, and there a deployment finds its replica set by comparing templates, not names.

use api::{Value, json};
use stdx::ids::NAME_LETTERS;

/// The hash of a template, with what to add after collisions.
pub fn of(template: &Value, collisions: Option<i64>) -> String {
    let mut sorted = template.clone();
    sorted.sort();
    let mut hash = fnv(0x811c_9dc5, &json::to_vec(&sorted));
    if let Some(count) = collisions {
        hash = fnv(hash, &count.to_le_bytes());
    }
    safe_encode(&hash.to_string())
}

fn fnv(start: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(start, |hash, b| (hash ^ u32::from(*b)).wrapping_mul(0x0100_0193))
}

/// Each byte as one of the letters of generated names, so that no words appear.
pub fn safe_encode(text: &str) -> String {
    text.bytes().map(|b| char::from(NAME_LETTERS[usize::from(b) % NAME_LETTERS.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_hash_depends_on_what_the_template_says_and_on_collisions() {
        let one = tree!({"metadata": {"labels": {"a": "b"}}, "spec": {"x": 1}});
        let same = tree!({"spec": {"x": 1}, "metadata": {"labels": {"a": "b"}}});
        assert_eq!(of(&one, None), of(&same, None));
        assert_ne!(of(&one, None), of(&tree!({"spec": {"x": 2}}), None));
        assert_ne!(of(&one, None), of(&one, Some(1)));
        assert_eq!(safe_encode("0123456789"), "456789bcdf");
    }
}
