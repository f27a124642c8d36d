//! A kind is named in its own file and by what acts on it; the machinery that treats all kinds alike asks the registry.
//!
//! What acts on a kind: controllers, scheduler, kubelet, proxy, admission and authorization rules, the rules of
//! quotas, the API server's claims and commands, and other kinds that refer to it (a claim for a volume to its storage
//! class).

use std::collections::BTreeMap;

use super::{Code, Finding};

/// Rooms that treat all kinds alike.
const MACHINERY: [&str; 5] = ["api", "authn", "apiserver", "openapi", "store"];
/// Folders in them that act on certain kinds.
const ACTING: [&str; 3] = ["api/src/quota/", "apiserver/src/claim/", "apiserver/src/command/"];

/// Kinds that machinery names for a reason that is Kubernetes' own.
const KNOWN: [(&str, &str); 3] = [
    ("Namespace", "every namespaced create asks whether its namespace is there"),
    ("CustomResourceDefinition", "its objects are kinds themselves"),
    ("Event", "may own nothing, by the rules of owner references"),
];

/// Checks that string literals naming a kind stand in the kind's own file only.
pub fn check(codes: &[Code<'_>], found: &mut Vec<Finding>) {
    let mut homes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for code in codes.iter().filter(|code| code.source.room() == "kinds" && !code.source.is_generated()) {
        for kind in declared(code) {
            homes.entry(kind).or_default().push(&code.source.path);
        }
    }
    let searched = |code: &&Code<'_>| {
        let acting = ACTING.iter().any(|folder| code.source.path.starts_with(folder));
        MACHINERY.contains(&code.source.room()) && !acting && !code.source.is_generated()
    };
    for code in codes.iter().filter(searched) {
        for (number, literal) in literals(code) {
            let Some(files) = homes.get(literal.as_str()) else { continue };
            let known = KNOWN.iter().any(|(kind, _)| *kind == literal);
            if !known {
                let message = format!("names the kind {literal}, which is {}'s business", files[0]);
                found.push(Finding::new(&code.source.path, number, message));
            }
        }
    }
}

/// The kinds that a file declares: in each `Info::new("group", "version", "Kind", "plural")`, whose first two may be
/// constants, the first text that begins with a capital.
fn declared(code: &Code<'_>) -> Vec<String> {
    let all = literals(code);
    let mut kinds = Vec::new();
    for (number, line) in code.product() {
        if line.contains("Info::new(") {
            let texts = all.iter().filter(|(at, _)| *at >= number).map(|(_, text)| text);
            kinds.extend(texts.take(4).find(|text| text.starts_with(char::is_uppercase)).cloned());
        }
    }
    kinds
}

/// The string literals of product code with their lines: what the mask blanked between two quotes.
fn literals(code: &Code<'_>) -> Vec<(usize, String)> {
    let raw: Vec<&str> = code.source.text.lines().collect();
    let mut all = Vec::new();
    for (number, masked) in code.product() {
        let Some(raw) = raw.get(number - 1) else { continue };
        let raw: Vec<char> = raw.chars().collect();
        let quotes: Vec<usize> =
            masked.chars().enumerate().filter(|(_, c)| *c == '"').map(|(at, _)| at).collect();
        for pair in quotes.chunks_exact(2) {
            if let Some(text) = raw.get(pair[0] + 1..pair[1]) {
                all.push((number, text.iter().collect()));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Source;

    fn findings(files: &[(&str, &str)]) -> usize {
        let sources: Vec<Source> = files
            .iter()
            .map(|(path, text)| Source { path: (*path).into(), text: format!("//! Why.\n{text}\n") })
            .collect();
        let codes: Vec<Code<'_>> = sources.iter().map(Code::new).collect();
        let mut found = Vec::new();
        check(&codes, &mut found);
        found.len()
    }

    const LEASE: (&str, &str) = (
        "kinds/src/coordination/lease.rs",
        "let i = Info::new(\n \"coordination.k8s.io\",\n \"v1\",\n \"Lease\", \"leases\");",
    );

    #[test]
    fn a_kind_named_by_the_machinery_is_found() {
        assert_eq!(findings(&[LEASE]), 0);
        assert_eq!(findings(&[LEASE, ("apiserver/src/a.rs", "if kind == \"Lease\" {}")]), 1);
        assert_eq!(findings(&[LEASE, ("openapi/src/a.rs", "let all = [\"Node\", \"Lease\"];")]), 1);
    }

    #[test]
    fn components_comments_and_tests_may_name_it() {
        assert_eq!(findings(&[LEASE, ("kubelet/src/a.rs", "let kind = \"Lease\";")]), 0);
        assert_eq!(findings(&[LEASE, ("kinds/src/core/node.rs", "let kind = \"Lease\";")]), 0);
        assert_eq!(findings(&[LEASE, ("apiserver/src/claim/a.rs", "let kind = \"Lease\";")]), 0);
        assert_eq!(findings(&[LEASE, ("apiserver/src/a.rs", "// a \"Lease\"")]), 0);
        assert_eq!(
            findings(&[LEASE, ("apiserver/src/a.rs", "#[cfg(test)]\nmod tests {\n let k = \"Lease\";\n}")]),
            0
        );
        assert_eq!(findings(&[LEASE, ("apiserver/src/a.rs", "let text = \"a Lease is\";")]), 0);
    }
}
