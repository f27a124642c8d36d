//! Semantic versions: `semver("1.2.3").isLessThan(semver("v1.3", true))`.

use super::Library;
use crate::cel::eval::Outcome;
use crate::cel::{Cel, CelError};
use std::cmp::Ordering;
use std::sync::Arc;

pub const LIBRARY: Library = Library {
    functions: &["semver", "isSemver"],
    methods: &["major", "minor", "patch", "isLessThan", "isGreaterThan", "compareTo"],
    call,
};

/// A version of three numbers, with what comes before a release.
#[derive(Debug, Clone)]
pub struct Semver {
    pub text: String,
    numbers: [u64; 3],
    pre: Vec<String>,
}

impl PartialEq for Semver {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other).is_eq()
    }
}

impl Semver {
    fn compare(&self, other: &Self) -> Ordering {
        let pre = || match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => compare_pre(&self.pre, &other.pre),
        };
        self.numbers.cmp(&other.numbers).then_with(pre)
    }
}

fn compare_pre(a: &[String], b: &[String]) -> Ordering {
    for (a, b) in a.iter().zip(b) {
        let order = match (a.parse::<u64>(), b.parse::<u64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            _ => a.cmp(b),
        };
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

fn call<'a>(name: &str, args: &[Cel<'a>]) -> Option<Outcome<'a>> {
    let number = |n: u64| Cel::Int(i64::try_from(n).unwrap_or(i64::MAX));
    Some(Ok(match (name, args) {
        ("semver" | "isSemver", [Cel::Str(text), rest @ ..]) => {
            let lenient = match rest {
                [] => false,
                [Cel::Bool(lenient)] => *lenient,
                _ => return None,
            };
            let parsed = parse(&if lenient { normalized(text) } else { text.to_string() });
            match (name, parsed) {
                ("isSemver", parsed) => Cel::Bool(parsed.is_ok()),
                (_, Ok(version)) => Cel::Semver(Arc::new(version)),
                (_, Err(why)) => return Some(Err(CelError::new(why))),
            }
        }
        ("major", [Cel::Semver(v)]) => number(v.numbers[0]),
        ("minor", [Cel::Semver(v)]) => number(v.numbers[1]),
        ("patch", [Cel::Semver(v)]) => number(v.numbers[2]),
        ("isLessThan", [Cel::Semver(a), Cel::Semver(b)]) => Cel::Bool(a.compare(b).is_lt()),
        ("isGreaterThan", [Cel::Semver(a), Cel::Semver(b)]) => Cel::Bool(a.compare(b).is_gt()),
        ("compareTo", [Cel::Semver(a), Cel::Semver(b)]) => Cel::Int(a.compare(b) as i64),
        _ => return None,
    }))
}

/// Without a leading `v`, with missing numbers as 0, without leading zeros.
fn normalized(text: &str) -> String {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let trim = |n: &str| match n.trim_start_matches('0') {
        "" if !n.is_empty() => "0".to_owned(),
        n => n.to_owned(),
    };
    let mut numbers: Vec<String> = numbers.split('.').map(trim).collect();
    while numbers.len() < 3 {
        numbers.push("0".to_owned());
    }
    format!("{}{rest}", numbers.join("."))
}

fn parse(text: &str) -> Result<Semver, String> {
    if text.is_empty() {
        return Err("Version string empty".to_owned());
    }
    let (main, build) = text.split_once('+').map_or((text, None), |(m, b)| (m, Some(b)));
    let (main, pre) = main.split_once('-').map_or((main, None), |(m, p)| (m, Some(p)));
    let parts: Vec<&str> = main.splitn(3, '.').collect();
    let [major, minor, patch] = parts.as_slice() else {
        return Err("No Major.Minor.Patch elements found".to_owned());
    };
    let number = |what: &str, text: &str| -> Result<u64, String> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("Invalid character(s) found in {what} number {}", crate::quote(text)));
        }
        if text.len() > 1 && text.starts_with('0') {
            return Err(format!("{what} number must not contain leading zeroes {}", crate::quote(text)));
        }
        text.parse()
            .map_err(|_| format!("strconv.ParseUint: parsing {}: value out of range", crate::quote(text)))
    };
    let numbers = [number("major", major)?, number("minor", minor)?, number("patch", patch)?];
    let identifiers = |text: &str, what: &str| -> Result<Vec<String>, String> {
        let good = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        text.split('.')
            .map(|part| match part {
                "" => Err(format!("{what} is empty")),
                part if !good(part) => Err(format!(
                    "Invalid character(s) found in {} {}",
                    what.to_lowercase(),
                    crate::quote(part)
                )),
                part => Ok(part.to_owned()),
            })
            .collect()
    };
    let pre = pre.map_or(Ok(Vec::new()), |p| identifiers(p, "Prerelease"))?;
    build.map_or(Ok(Vec::new()), |b| identifiers(b, "Build meta data"))?;
    Ok(Semver { text: text.to_owned(), numbers, pre })
}
