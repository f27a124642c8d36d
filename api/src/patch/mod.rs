//! Patches: JSON patch (RFC 6902), JSON merge patch (RFC 7396) and Kubernetes' strategic merge patch.
//!
//! All take trees and give trees; failures are the `Status` that upstream answers. What comes out still has to go
//! through decoding, which finds unknown fields and wrong types. Maps that a patch walked through come out with
//! sorted keys, as upstream's do: it quotes the patched document when decoding it fails.

mod element_order;
pub mod json;
pub mod merge;
mod restore;
pub mod strategic;
mod strategic_list;

pub use restore::misfit;

use crate::Value;
use std::fmt::Write;

/// A tree as Go's `%v` prints maps and slices: `map[a:1 b:[x y]]`; errors of strategic merge show values this way.
pub fn go_text(value: &Value) -> String {
    let mut out = String::new();
    write_go(value, &mut out);
    out
}

fn write_go(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(i) => {
            let _ = write!(out, "{i}");
        }
        Value::Float(f) => write_go_float(*f, out),
        Value::Str(s) => out.push_str(s),
        Value::List(list) => {
            out.push('[');
            for (i, item) in list.iter().enumerate() {
                out.push_str(if i > 0 { " " } else { "" });
                write_go(item, out);
            }
            out.push(']');
        }
        Value::Map(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            out.push_str("map[");
            for (i, (key, item)) in entries.into_iter().enumerate() {
                out.push_str(if i > 0 { " " } else { "" });
                out.push_str(key);
                out.push(':');
                write_go(item, out);
            }
            out.push(']');
        }
    }
}

/// Go's `%v` of a float: shortest digits, with an exponent below 1e-4 and from 1e21 on.
fn write_go_float(f: f64, out: &mut String) {
    if f != 0.0 && f.is_finite() && !(1e-4..1e21).contains(&f.abs()) {
        let text = format!("{f:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(rest) => ('-', rest),
            None => ('+', exponent),
        };
        let _ = write!(out, "{digits}e{sign}{exponent:0>2}");
    } else {
        let _ = write!(out, "{f}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn trees_print_as_gos() {
        let value = tree!({"b": [1, "x", Value::Null], "a": {"c": true, "f": 1.5, "g": 1e21, "h": 0.00001}});
        assert_eq!(go_text(&value), "map[a:map[c:true f:1.5 g:1e+21 h:1e-05] b:[1 x <nil>]]");
    }
}
