//! The functions of expressions, by library. A library knows its names and answers for the types that it takes.

pub mod cidr;
pub mod conversions;
pub mod format;
mod ip;
mod lists;
mod moments;
mod named_formats;
mod quantity;
mod regex;
pub mod semver;
mod standard;
mod strings;
pub mod url;

use super::authorizer;
use super::eval::Outcome;
use super::{Cel, operators};

/// A library's answer to a call; `None` when these arguments are not for it. A method's target is the first argument.
pub type Function = for<'a> fn(&str, &[Cel<'a>]) -> Option<Outcome<'a>>;

/// Functions that belong together.
pub struct Library {
    /// Called as `f(x)`; qualified ones as `space.f(x)`.
    functions: &'static [&'static str],
    /// Called as `x.f()`.
    methods: &'static [&'static str],
    call: Function,
}

const OPERATORS: Library = Library {
    functions: &[
        "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "!_", "-_", "@in", "_[_]", "_[?_]", "_+_", "_-_",
        "_*_", "_/_", "_%_", "_&&_", "_||_", "_?_:_",
    ],
    methods: &[],
    call: operators::call,
};

/// The methods are evaluated before others: they may need answers from outside.
const AUTHORIZER: Library = Library { functions: &[], methods: authorizer::METHODS, call: |_, _| None };

const LIBRARIES: [&Library; 14] = [
    &OPERATORS,
    &AUTHORIZER,
    &standard::LIBRARY,
    &conversions::LIBRARY,
    &moments::LIBRARY,
    &strings::LIBRARY,
    &lists::LIBRARY,
    &regex::LIBRARY,
    &url::LIBRARY,
    &quantity::LIBRARY,
    &ip::LIBRARY,
    &cidr::LIBRARY,
    &semver::LIBRARY,
    &named_formats::LIBRARY,
];

/// The functions of a name; none when it is unknown.
pub fn find(name: &str, method: bool) -> Vec<Function> {
    let has = |l: &&&Library| (if method { l.methods } else { l.functions }).contains(&name);
    LIBRARIES.iter().filter(has).map(|l| l.call).collect()
}

/// What functions of a name give, where all of them give the same.
pub fn result_type(name: &str) -> Option<&'static str> {
    const BOOL: [&str; 36] = [
        "_==_",
        "_!=_",
        "_<_",
        "_<=_",
        "_>_",
        "_>=_",
        "!_",
        "@in",
        "_&&_",
        "_||_",
        "bool",
        "contains",
        "startsWith",
        "endsWith",
        "matches",
        "isURL",
        "isQuantity",
        "isIP",
        "isCIDR",
        "isSemver",
        "isLessThan",
        "isGreaterThan",
        "isInteger",
        "isSorted",
        "hasValue",
        "sets.contains",
        "sets.equivalent",
        "sets.intersects",
        "allowed",
        "errored",
        "containsIP",
        "containsCIDR",
        "ip.isCanonical",
        "isLoopback",
        "isUnspecified",
        "isGlobalUnicast",
    ];
    const STRING: [&str; 17] = [
        "string",
        "lowerAscii",
        "upperAscii",
        "replace",
        "trim",
        "join",
        "charAt",
        "substring",
        "format",
        "strings.quote",
        "find",
        "getScheme",
        "getHost",
        "getHostname",
        "getPort",
        "getEscapedPath",
        "reason",
    ];
    match name {
        name if BOOL.contains(&name) => Some("bool"),
        name if STRING.contains(&name) => Some("string"),
        "int" | "size" | "compareTo" | "indexOf" | "lastIndexOf" | "getFullYear" => Some("int"),
        "uint" => Some("uint"),
        "double" => Some("double"),
        "bytes" => Some("bytes"),
        "split" | "findAll" | "flatten" | "sort" | "distinct" | "slice" | "lists.range" => Some("list"),
        _ => None,
    }
}
