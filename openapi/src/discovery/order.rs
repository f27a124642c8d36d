//! The order of versions: released ones before betas before alphas, higher numbers first, anything else last by name.

use std::cmp::Ordering;

/// Which of two versions clients should prefer: `Less` when it is `a`.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    match (parse(a), parse(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// `v2beta3` as (1, 2, 3): stability (released 2, beta 1, alpha 0), major, minor.
fn parse(version: &str) -> Option<(u8, u32, u32)> {
    let text = version.strip_prefix('v')?;
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (major, rest) = text.split_at(digits);
    let major = number(major)?;
    if rest.is_empty() {
        return Some((2, major, 0));
    }
    let (stability, minor) = match rest.strip_prefix("beta") {
        Some(minor) => (1, minor),
        None => (0, rest.strip_prefix("alpha")?),
    };
    Some((stability, major, number(minor)?))
}

fn number(text: &str) -> Option<u32> {
    if text.starts_with('0') || !text.bytes().all(|b| b.is_ascii_digit()) { None } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_versions_come_before_betas_and_alphas() {
        let mut versions =
            ["foo1", "v1alpha2", "v10", "v1beta1", "v2", "v11beta2", "v1", "foo10", "v12alpha1"];
        versions.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(
            versions,
            ["v10", "v2", "v1", "v11beta2", "v1beta1", "v12alpha1", "v1alpha2", "foo1", "foo10"]
        );
    }
}
