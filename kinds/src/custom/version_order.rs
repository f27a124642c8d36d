//! The order of versions: `v2` before `v1`, releases before betas before alphas, and other names last.

use std::cmp::Ordering;

/// Kubernetes-aware comparison; `Less` means: preferred.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    match (parse(a), parse(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// Stability (2 release, 1 beta, 0 alpha), major and minor number.
fn parse(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let major = number(rest.get(..digits)?)?;
    let tail = rest.get(digits..)?;
    if tail.is_empty() {
        return Some((2, major, 0));
    }
    let (stability, minor) = match tail.strip_prefix("alpha") {
        Some(minor) => (0, minor),
        None => (1, tail.strip_prefix("beta")?),
    };
    Some((stability, major, number(minor)?))
}

/// A number as the pattern of versions allows it: no zero in front.
fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_by_stability_then_number() {
        let mut versions =
            ["foo10", "v1", "v1alpha1", "v11alpha2", "v10", "v2", "v3beta1", "foo1", "v12alpha1", "v11beta2"];
        versions.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(
            versions,
            ["v10", "v2", "v1", "v11beta2", "v3beta1", "v12alpha1", "v11alpha2", "v1alpha1", "foo1", "foo10"]
        );
    }
}
