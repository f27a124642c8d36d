//! Regular expressions: `matches`, `find`, `findAll`.

use super::Library;
use crate::cel::eval::Outcome;
use crate::cel::{Cel, CelError};
use regex::Regex;
use std::collections::HashMap;
use std::sync::{LazyLock, RwLock};

pub const LIBRARY: Library = Library { functions: &[], methods: &["find", "findAll"], call };

/// How many compiled patterns are kept.
const KEPT: usize = 256;
static COMPILED: LazyLock<RwLock<HashMap<String, Regex>>> = LazyLock::new(RwLock::default);

fn compile(pattern: &str) -> Result<Regex, String> {
    if let Ok(kept) = COMPILED.read()
        && let Some(regex) = kept.get(pattern)
    {
        return Ok(regex.clone());
    }
    let regex = regex::RegexBuilder::new(pattern).size_limit(1 << 20).build().map_err(|e| e.to_string())?;
    if let Ok(mut kept) = COMPILED.write() {
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(pattern.to_owned(), regex.clone());
    }
    Ok(regex)
}

pub fn matches<'a>(text: &str, pattern: &str) -> Outcome<'a> {
    match compile(pattern) {
        Ok(regex) => Ok(Cel::Bool(regex.is_match(text))),
        Err(why) => Err(CelError::new(why)),
    }
}

fn call<'a>(name: &str, args: &[Cel<'a>]) -> Option<Outcome<'a>> {
    let ([Cel::Str(text), Cel::Str(pattern)] | [Cel::Str(text), Cel::Str(pattern), _]) = args else {
        return None;
    };
    let regex = match compile(pattern) {
        Ok(regex) => regex,
        Err(why) => return Some(Err(CelError::new(format!("Illegal regex: {why}")))),
    };
    let found = || regex.find_iter(text).map(|m| Cel::text(m.as_str()));
    Some(Ok(match (name, args.get(2)) {
        ("find", None) => found().next().unwrap_or_else(|| Cel::text("")),
        ("findAll", None) => Cel::list(found().collect()),
        ("findAll", Some(Cel::Int(count))) => {
            Cel::list(found().take(usize::try_from(*count).unwrap_or(usize::MAX)).collect())
        }
        _ => return None,
    }))
}
