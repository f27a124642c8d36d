//! Checks of projected volumes. Source: `validateProjectionSources`. (Sources whose features are off by default,
//! trust bundles and pod certificates, are dropped before and not seen here.)

use super::{paths, set, volume_sources};
use api::{Fault, Path, Value};
use std::collections::BTreeSet;

const SHORTEST_TOKEN_SECS: i64 = 600;
const LONGEST_TOKEN_SECS: i64 = 1 << 32;

/// `projected`.
pub fn volume(source: &Value, path: &Path) -> Vec<Fault> {
    let mut faults: Vec<Fault> = volume_sources::mode(source, "defaultMode", path).into_iter().collect();
    let mut taken = BTreeSet::new();
    for (i, part) in source.list_at(&["sources"]).iter().enumerate() {
        let at = path.child("sources").index(i);
        let mut count = 0;
        for kind in ["secret", "configMap"] {
            if let Some(files) = set(part, kind) {
                count += 1;
                faults.extend(key_files(files, &mut taken, path, &at.child(kind)));
            }
        }
        if let Some(downward) = set(part, "downwardAPI") {
            count += 1;
            for file in downward.list_at(&["items"]) {
                let target = file.str_at(&["path"]);
                faults.extend(volume_sources::downward_file(file, &at.child("downwardAPI")));
                faults.extend(taken_twice(target, target, &mut taken, path));
            }
        }
        if let Some(token) = set(part, "serviceAccountToken") {
            count += 1;
            faults.extend(self::token(token, path, &at.child("serviceAccountToken")));
        }
        if count > 1 {
            faults.push(Fault::forbidden(at, "may not specify more than 1 volume type per source"));
        }
    }
    faults
}

fn key_files<'v>(files: &'v Value, taken: &mut BTreeSet<&'v str>, volume: &Path, at: &Path) -> Vec<Fault> {
    let name = files.str_at(&["name"]);
    let mut faults = volume_sources::needs(files, &["name"], at);
    for (i, item) in files.list_at(&["items"]).iter().enumerate() {
        faults.extend(volume_sources::key_to_path(item, &at.child("items").index(i)));
        faults.extend(taken_twice(item.str_at(&["path"]), name, taken, volume));
    }
    faults
}

fn taken_twice<'v>(
    target: &'v str,
    shown: &str,
    taken: &mut BTreeSet<&'v str>,
    volume: &Path,
) -> Option<Fault> {
    (!target.is_empty() && !taken.insert(target))
        .then(|| Fault::invalid(volume, shown, "conflicting duplicate paths"))
}

fn token(token: &Value, volume: &Path, at: &Path) -> Vec<Fault> {
    let secs = token.i64_at(&["expirationSeconds"]).unwrap_or_default();
    let mut faults = Vec::new();
    if secs < SHORTEST_TOKEN_SECS {
        let detail = "may not specify a duration less than 10 minutes";
        faults.push(Fault::invalid(at.child("expirationSeconds"), secs, detail));
    }
    if secs > LONGEST_TOKEN_SECS {
        let detail = "may not specify a duration larger than 2^32 seconds";
        faults.push(Fault::invalid(at.child("expirationSeconds"), secs, detail));
    }
    match token.str_at(&["path"]) {
        "" => faults.push(Fault::required(volume.child("path"), "")),
        target => faults.extend(paths::not_reserved(target, &volume.child("path"))),
    }
    faults
}
