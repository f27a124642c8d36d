//! JSON text to tree and back, byte for byte as Go's `encoding/json` does it.
//!
//! Reading words its errors like upstream's decoder, keeps integers and floats apart, replaces invalid UTF-8
//! and lets the last of equal keys win. Writing escapes `<`, `>` and `&`, prints floats the Go way and keeps
//! the tree's order of keys. `Cursor` is the tokeniser that typed decoding (`schema::decode_json`) shares.

mod cursor;
mod duplicates;
mod parse;
mod splice;
mod write;

pub use cursor::{Cursor, Error, Kind, MAX_TREE_DEPTH, number_value};
pub use duplicates::parse_tracking_duplicates;
pub use parse::{parse, parse_next};
pub use splice::{list, set_resource_version};
pub use write::{float_text, to_pretty, to_string, to_vec, write};
