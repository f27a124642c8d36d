//! YAML as upstream's libraries read and write it: YAML 1.1 in, through JSON, and block style with sorted keys out.
//!
//! `n`, `yes` and `on` are booleans, `017` is octal, keys that are no strings become strings, maps come out sorted.
//! Refusals carry the texts of the Go library; the tokens come from a port of the same C library that it is one of.

mod compose;
mod convert;
mod emit;
mod resolve;

pub use convert::{parse, parse_tracking_duplicates};
pub use emit::to_string;

/// Why a text is no YAML: `yaml: line 3: mapping values are not allowed in this context`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(pub String);

impl Error {
    fn new(what: impl std::fmt::Display) -> Self {
        Error(format!("yaml: {what}"))
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests;
