//! The plan of the house as data: which room may use which, who may speak HTTP or sleep on a socket, and how large a
//! room may grow. Read from the Cargo.toml files, so that a forbidden dependency is named before it is used.

use std::collections::BTreeMap;

use super::{Code, Finding};
use crate::workspace::Source;

/// One room: its folder, the rooms it may use (their own rooms included), and its budget in lines of code.
struct Room {
    folder: &'static str,
    uses: &'static [&'static str],
    budget: usize,
}

const fn room(folder: &'static str, uses: &'static [&'static str], budget: usize) -> Room {
    Room { folder, uses, budget }
}

/// The plan, lower rooms first.
const PLAN: [Room; 20] = [
    room("stdx", &[], 1_000),
    room("api", &["stdx"], 14_000),
    room("kinds", &["api"], 24_000),
    room("store", &["stdx"], 4_000),
    room("certs", &["stdx"], 1_000),
    room("authn", &["api"], 3_500),
    room("authz", &["api", "authn"], 2_500),
    room("admission", &["api", "kinds", "authz"], 6_500),
    room("openapi", &["api", "kinds"], 3_000),
    room("client", &["stdx", "api", "certs"], 2_000),
    room(
        "apiserver",
        &["kinds", "store", "certs", "authn", "authz", "admission", "openapi", "client"],
        16_000,
    ),
    room("scheduler", &["client"], 6_000),
    room("controllers", &["authz", "client"], 12_000),
    room("kubelet", &["certs", "authn", "authz", "client"], 18_500),
    room("proxy", &["client"], 3_000),
    room("testkit", &["apiserver", "client", "controllers"], 1_000),
    room("cli", &["apiserver", "client", "scheduler", "controllers", "kubelet", "proxy"], 2_700),
    room("conformance", &["client"], 4_000),
    room("bench", &["client"], 2_000),
    room("xtask", &[], 2_000),
];

/// Rooms that tests anywhere may use: a cluster, and certificates to try.
const TEST_ROOMS: [&str; 2] = ["testkit", "certs"];

/// Rooms that may name HTTP types.
const HTTP_ROOMS: [&str; 7] = ["apiserver", "client", "kubelet", "testkit", "cli", "conformance", "bench"];
const HTTP_CRATES: [&str; 12] = [
    "http",
    "http-body",
    "http-body-util",
    "hyper",
    "hyper-util",
    "hyper-rustls",
    "h2",
    "axum",
    "tower",
    "tower-http",
    "reqwest",
    "tokio-tungstenite",
];

/// Rooms that only compute, and the crates that would let them do more.
const PURE_ROOMS: [&str; 2] = ["api", "kinds"];
const IMPURE_CRATES: [&str; 6] = ["tokio", "tokio-util", "rand", "getrandom", "uuid", "tempfile"];

/// Names that say nothing.
const EMPTY_NAMES: [&str; 10] =
    ["common", "core", "util", "utils", "helper", "helpers", "types", "misc", "shared", "base"];

/// Checks every Cargo.toml against the plan, and every room against its budget.
pub fn check(sources: &[Source], codes: &[Code<'_>], found: &mut Vec<Finding>) {
    let manifests: BTreeMap<&str, &Source> =
        sources.iter().filter_map(|file| Some((file.path.strip_suffix("/Cargo.toml")?, file))).collect();
    for room in &PLAN {
        match manifests.get(room.folder) {
            Some(manifest) => manifest_rules(room, manifest, found),
            None => {
                found.push(Finding::new(room.folder, 0, "the plan has this room, the repository does not"))
            }
        }
        let lines = lines_of_code(room.folder, codes);
        if lines > room.budget {
            let message =
                format!("{lines} lines of code, budget {}: does it do another room's work?", room.budget);
            found.push(Finding::new(room.folder, 0, message));
        }
    }
    for (folder, manifest) in manifests {
        if !PLAN.iter().any(|room| room.folder == folder) && !folder.contains('/') {
            found.push(Finding::new(&manifest.path, 0, "a crate outside the plan"));
        }
    }
}

fn manifest_rules(room: &Room, manifest: &Source, found: &mut Vec<Finding>) {
    let folder = room.folder;
    let mut report = |line: usize, message: String| found.push(Finding::new(&manifest.path, line, message));
    let allowed = allowed(room);
    for entry in entries(&manifest.text) {
        let name = entry.name.as_str();
        let runtime = entry.section == "dependencies" || entry.section.ends_with(".dependencies");
        let is_room = PLAN.iter().any(|other| other.folder == name);
        let for_tests = entry.section == "dev-dependencies" && TEST_ROOMS.contains(&name);
        if is_room && !allowed.contains(&name) && !for_tests {
            report(entry.line, format!("{folder} may not use {name}"));
        }
        if runtime && HTTP_CRATES.contains(&name) && !HTTP_ROOMS.contains(&folder) {
            report(entry.line, format!("HTTP ({name}) has no place in {folder}"));
        }
        if runtime && IMPURE_CRATES.contains(&name) && PURE_ROOMS.contains(&folder) {
            report(entry.line, format!("{folder} only computes: no {name}"));
        }
        if entry.section == "package"
            && name == "name"
            && EMPTY_NAMES.contains(&entry.value.trim_matches('"'))
        {
            report(entry.line, "a crate's name must say what it is for".into());
        }
    }
    if !manifest.text.contains("[lints]\nworkspace = true") {
        report(0, "does not take the workspace's lints".into());
    }
}

/// The rooms that a room may use, directly or by way of others.
fn allowed(room: &Room) -> Vec<&'static str> {
    let mut all: Vec<&'static str> = room.uses.to_vec();
    let mut at = 0;
    while at < all.len() {
        let uses = PLAN.iter().find(|other| other.folder == all[at]).map_or(&[][..], |other| other.uses);
        all.extend(uses.iter().filter(|name| !all.contains(name)).copied().collect::<Vec<_>>());
        at += 1;
    }
    all
}

/// One `key = value` of a manifest with the section that it stands in.
struct Entry {
    section: String,
    line: usize,
    name: String,
    value: String,
}

/// The entries of a Cargo.toml; `[dependencies.x]` counts as an entry `x`, dotted keys by their first part.
fn entries(toml: &str) -> Vec<Entry> {
    let mut section = String::new();
    let mut all = Vec::new();
    for (index, line) in toml.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        if let Some(head) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = head.trim_matches(['[', ']']).to_owned();
            if let Some((table, name)) =
                head.rsplit_once('.').filter(|(table, _)| table.ends_with("dependencies"))
            {
                let (section, name) = (table.to_owned(), name.to_owned());
                all.push(Entry { section, line: index + 1, name, value: String::new() });
            }
        } else if let Some((key, value)) = line.split_once('=') {
            let name = key.split('.').next().unwrap_or("").trim().trim_matches('"').to_owned();
            all.push(Entry {
                section: section.clone(),
                line: index + 1,
                name,
                value: value.trim().to_owned(),
            });
        }
    }
    all
}

/// Lines of a room that hold code: no tests, nothing generated, no blanks, no comments.
fn lines_of_code(folder: &str, codes: &[Code<'_>]) -> usize {
    let of_room = codes.iter().filter(|code| code.source.room() == folder && !code.source.is_generated());
    of_room.map(|code| code.product().filter(|(_, line)| !line.trim().is_empty()).count()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(folder: &'static str, text: &str) -> Vec<String> {
        let path = format!("{folder}/Cargo.toml");
        let manifest = Source { path, text: format!("{text}\n[lints]\nworkspace = true\n") };
        let mut found = Vec::new();
        let room = PLAN.iter().find(|room| room.folder == folder).unwrap();
        manifest_rules(room, &manifest, &mut found);
        found.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn components_may_not_reach_into_the_store() {
        assert_eq!(
            complaints("scheduler", "[dependencies]\nstore.workspace = true"),
            ["scheduler may not use store"]
        );
        assert_eq!(complaints("scheduler", "[dependencies]\napi.workspace = true"), [""; 0]);
        assert_eq!(complaints("kubelet", "[dev-dependencies]\ntestkit.workspace = true"), [""; 0]);
        assert_eq!(complaints("store", "[dependencies.api]\nworkspace = true"), ["store may not use api"]);
    }

    #[test]
    fn http_stays_in_its_rooms() {
        assert_eq!(complaints("authn", "[dependencies]\nhttp = \"1\"").len(), 1);
        assert_eq!(complaints("apiserver", "[dependencies]\nhttp = \"1\"").len(), 0);
    }

    #[test]
    fn pure_rooms_take_no_runtime_except_in_tests() {
        assert_eq!(complaints("kinds", "[dependencies]\ntokio = { version = \"1\" }").len(), 1);
        assert_eq!(complaints("kinds", "[dev-dependencies]\nrand = \"0.9\"").len(), 0);
    }

    #[test]
    fn empty_names_are_refused() {
        assert_eq!(complaints("api", "[package]\nname = \"common\"").len(), 1);
    }
}
