//! Words that must not be written, or only in their place: clocks and dice outside `stdx`, files and sockets in rooms
//! that compute, names that say nothing, paths of one machine.

use super::{Code, Finding};
use crate::workspace::Source;

/// A word that product code may contain in some rooms only.
struct Rule {
    words: &'static [&'static str],
    /// Where the rule holds; empty for all rooms.
    within: &'static [&'static str],
    /// Rooms that are excepted.
    except: &'static [&'static str],
    why: &'static str,
}

/// Rooms that stand outside the cluster and see it with their own clock.
const OUTSIDE: &[&str] = &["stdx", "cli", "bench", "conformance", "xtask"];

const RULES: [Rule; 7] = [
    Rule {
        words: &["SystemTime::now", "std::time::Instant", "Timestamp::now", "Zoned::now", "Utc::now"],
        within: &[],
        except: OUTSIDE,
        why: "clocks come from stdx (waiting from tokio), so that a paused clock runs the whole cluster",
    },
    Rule {
        words: &["rand::", "getrandom::", "Uuid::new_v4", "fastrand::", "RandomState::new"],
        within: &[],
        except: OUTSIDE,
        why: "randomness and ids come from stdx, so that a seed repeats a run",
    },
    Rule {
        words: &[
            "std::fs",
            "std::process",
            "std::env::",
            "std::thread",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "tokio::",
        ],
        within: &["api", "kinds"],
        except: &[],
        why: "api and kinds only compute",
    },
    Rule {
        words: &[
            "std::fs",
            "std::process",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "tokio::fs",
            "tokio::net",
            "tokio::process",
        ],
        within: &["authn", "authz", "admission"],
        except: &[],
        why: "authn, authz and admission reach out only through traits that are handed to them",
    },
    Rule {
        words: &[".unwrap()", "todo!(", "unimplemented!("],
        within: &[],
        except: &[],
        why: "a fault is a value: no panic that an input can reach",
    },
    Rule {
        words: &["api::", "kinds::", "serde_json::"],
        within: &["store"],
        except: &[],
        why: "the store does not know what an object is",
    },
    Rule {
        words: &["std::thread::sleep"],
        within: &[],
        except: OUTSIDE,
        why: "waiting goes through tokio's clock",
    },
];

/// Endings of type and file names that say nothing.
const EMPTY_ENDINGS: [&str; 6] = ["Manager", "Helper", "Helpers", "Util", "Utils", "Misc"];
/// Kubernetes' own terms that end like that.
const OWN_TERMS: [&str; 2] = ["FieldManager", "ControllerManager"];
const EMPTY_STEMS: [&str; 9] =
    ["common", "misc", "util", "utils", "helper", "helpers", "types", "manager", "shared"];

/// Types that only one room can make: their fields must be private, and only that room may hold the definition.
const TICKETS: [(&str, &str); 2] = [("Caller", "authn"), ("Permit", "authz")];

/// The one place outside the store that commits.
const CORRIDOR: &str = "apiserver/src/edit/";

/// Checks every file.
pub fn check(sources: &[Source], codes: &[Code<'_>], found: &mut Vec<Finding>) {
    for code in codes {
        rules(code, found);
        names(code, found);
        tickets(code, found);
        commits(code, found);
    }
    for source in sources {
        machine_paths(source, found);
    }
}

fn rules(code: &Code<'_>, found: &mut Vec<Finding>) {
    let room = code.source.room();
    let holds = |rule: &&Rule| {
        (rule.within.is_empty() || rule.within.contains(&room)) && !rule.except.contains(&room)
    };
    for rule in RULES.iter().filter(holds) {
        for (number, line) in code.product() {
            let line = expanded(line);
            for word in rule.words.iter().filter(|word| has_word(&line, word)) {
                found.push(Finding::new(&code.source.path, number, format!("`{word}`: {}", rule.why)));
            }
        }
    }
}

/// Whether the line has the word, not as the end of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| word.starts_with('.') || !line[..at].ends_with(inner))
}

/// The line, followed by the paths that a `use a::{b, c}` on it stands for.
fn expanded(line: &str) -> String {
    let mut all = line.to_owned();
    if let Some((path, group)) = line.split_once("::{") {
        let prefix = path.rsplit(char::is_whitespace).next().unwrap_or("");
        for name in group.split([',', '}', ';']).map(str::trim).filter(|name| !name.is_empty()) {
            all.push_str(&format!(" {prefix}::{name}"));
        }
    }
    all
}

fn names(code: &Code<'_>, found: &mut Vec<Finding>) {
    let path = code.source.path.as_str();
    let stem = path.rsplit('/').next().unwrap_or("").trim_end_matches(".rs");
    let folder = path.rsplit('/').nth(1).unwrap_or("");
    if EMPTY_STEMS.contains(&stem) || (stem == "mod" && EMPTY_STEMS.contains(&folder)) {
        found.push(Finding::new(path, 0, "a file's name must say what it is for"));
    }
    for (number, line) in code.product() {
        for keyword in ["struct ", "enum ", "trait ", "type "] {
            let Some((before, rest)) = line.split_once(keyword) else { continue };
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let begins = before.trim().is_empty() || before.trim().starts_with("pub");
            let empty = EMPTY_ENDINGS.iter().any(|ending| name.ends_with(ending));
            if begins && empty && !OWN_TERMS.contains(&name.as_str()) {
                found.push(Finding::new(
                    path,
                    number,
                    format!("`{name}`: what does it do? Name it after that"),
                ));
            }
        }
    }
}

/// A ticket that could be written by hand would be no proof.
fn tickets(code: &Code<'_>, found: &mut Vec<Finding>) {
    for (ticket, room) in TICKETS {
        let product: Vec<(usize, &str)> = code.product().collect();
        for (position, (number, line)) in product.iter().enumerate() {
            let Some(rest) = line.trim_start().strip_prefix(&format!("pub struct {ticket}")) else {
                continue;
            };
            if rest.starts_with(|c: char| c.is_alphanumeric()) {
                continue;
            }
            let path = code.source.path.as_str();
            if code.source.room() != room {
                found.push(Finding::new(path, *number, format!("only {room} makes a {ticket}")));
            }
            let body = product.iter().skip(position + 1).take_while(|(_, line)| !line.starts_with('}'));
            let public = body.filter(|(_, line)| line.trim_start().starts_with("pub "));
            let message = || format!("{ticket} has a public field: then everybody can make one");
            found.extend(public.map(|(number, _)| Finding::new(path, *number, message())));
        }
    }
}

/// A write that goes around the corridor goes around its checks.
fn commits(code: &Code<'_>, found: &mut Vec<Finding>) {
    let path = code.source.path.as_str();
    if code.source.room() == "store" || path.starts_with(CORRIDOR) {
        return;
    }
    for (number, _) in code.product().filter(|(_, line)| line.contains(".commit(")) {
        found.push(Finding::new(path, number, format!("only the corridor ({CORRIDOR}) commits")));
    }
}

/// Absolute paths of one machine's user, in any text file. The needles are put together here, so that this file
/// does not contain them.
fn machine_paths(source: &Source, found: &mut Vec<Finding>) {
    if source.path == "Cargo.lock" || source.path == "LICENSE" {
        return;
    }
    let needles = ["Users", "root", "work", "tmp/ref", "tmp/team"].map(|folder| format!("/{folder}/"));
    for (index, line) in source.text.lines().enumerate() {
        for needle in &needles {
            let starts_path =
                |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "}).-_*>".contains(c));
            if line.match_indices(needle.as_str()).any(|(at, _)| starts_path(at)) {
                found.push(Finding::new(&source.path, index + 1, format!("a path of one machine: {needle}")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> usize {
        let source = Source { path: path.to_owned(), text: format!("//! Why.\n{text}\n") };
        let mut found = Vec::new();
        check(std::slice::from_ref(&source), &[Code::new(&source)], &mut found);
        found.len()
    }

    #[test]
    fn clocks_and_dice_belong_to_stdx() {
        assert_eq!(complaints("store/src/a.rs", "let now = std::time::SystemTime::now();"), 1);
        assert_eq!(complaints("stdx/src/a.rs", "let now = std::time::SystemTime::now();"), 0);
        assert_eq!(complaints("store/src/a.rs", "let x = rand::random();"), 1);
        assert_eq!(complaints("store/src/a.rs", "use std::time::{Duration, Instant};"), 1);
        assert_eq!(complaints("store/src/a.rs", "let x = tokio::time::Instant::now();"), 0);
    }

    #[test]
    fn tests_and_strings_and_comments_are_free() {
        assert_eq!(complaints("api/src/a.rs", "#[cfg(test)]\nmod tests {\n  fn a() { b().unwrap() }\n}"), 0);
        assert_eq!(complaints("api/src/a.rs", "let a = \"b.unwrap()\"; // c.unwrap()"), 0);
        assert_eq!(complaints("api/src/a.rs", "let a = b.unwrap();"), 1);
        assert_eq!(complaints("api/tests/a.rs", "let a = b.unwrap();"), 0);
    }

    #[test]
    fn rooms_that_compute_open_nothing() {
        assert_eq!(complaints("kinds/src/a.rs", "use std::fs;"), 1);
        assert_eq!(complaints("kinds/src/a.rs", "use std::net::IpAddr;"), 0);
        assert_eq!(complaints("authn/src/a.rs", "use tokio::net::TcpStream;"), 2);
    }

    #[test]
    fn names_must_say_something() {
        assert_eq!(complaints("api/src/a.rs", "pub struct PodManager;"), 1);
        assert_eq!(complaints("api/src/a.rs", "pub struct FieldManager;"), 0);
        assert_eq!(complaints("api/src/util.rs", ""), 1);
    }

    #[test]
    fn a_ticket_has_one_issuer() {
        assert_eq!(complaints("authn/src/a.rs", "pub struct Caller {\n    name: String,\n}"), 0);
        assert_eq!(complaints("authn/src/a.rs", "pub struct Caller {\n    pub name: String,\n}"), 1);
        assert_eq!(complaints("apiserver/src/a.rs", "pub struct Permit(());"), 1);
        assert_eq!(complaints("apiserver/src/a.rs", "pub struct PermitCache(());"), 0);
    }

    #[test]
    fn only_the_corridor_commits() {
        assert_eq!(complaints("apiserver/src/edit/mod.rs", "store.commit(txn).await"), 0);
        assert_eq!(complaints("apiserver/src/read.rs", "store.commit(txn).await"), 1);
        assert_eq!(complaints("cli/src/up.rs", "store.commit(txn).await"), 1);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        assert_eq!(complaints("api/src/a.rs", &["// see /", "Users", "/me/x"].concat()), 1);
        assert_eq!(complaints("api/src/a.rs", "// see GET /api/v1/namespaces/home/pods"), 0);
    }
}
