//! Checks of paths in volumes. Source: `validateLocalDescendingPath` and its like.

use api::{Fault, Path};

/// No part of the path is `..`.
pub fn without_backsteps(target: &str, path: &Path) -> Vec<Fault> {
    let climbs = target.split('/').any(|part| part == "..");
    climbs.then(|| Fault::invalid(path, target, "must not contain '..'")).into_iter().collect()
}

/// A relative path that does not climb.
pub fn descending(target: &str, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    if target.starts_with('/') {
        faults.push(Fault::invalid(path, target, "must be a relative path"));
    }
    faults.extend(without_backsteps(target, path));
    faults
}

/// A relative path that does not climb and does not start with two dots.
pub fn not_reserved(target: &str, path: &Path) -> Vec<Fault> {
    let mut faults = descending(target, path);
    if target.starts_with("..") && !target.starts_with("../") {
        faults.push(Fault::invalid(path, target, "must not start with '..'"));
    }
    faults
}
