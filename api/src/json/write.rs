//! Trees to JSON text, as Go's `encoding/json` writes it.

use crate::Value;

/// Appends compact JSON. Keys come in the tree's order.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(i) => out.extend_from_slice(itoa::Buffer::new().format(*i).as_bytes()),
        Value::Float(f) => out.extend_from_slice(float_text(*f).as_bytes()),
        Value::Str(s) => write_str(s, out),
        Value::List(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Map(map) => {
            out.push(b'{');
            for (i, (key, value)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_str(key, out);
                out.push(b':');
                write(value, out);
            }
            out.push(b'}');
        }
    }
}

/// Compact JSON.
pub fn to_vec(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write(value, &mut out);
    out
}

/// Compact JSON.
pub fn to_string(value: &Value) -> String {
    String::from_utf8(to_vec(value)).unwrap_or_default()
}

/// JSON on many lines, indented by two blanks, without a line end.
pub fn to_pretty(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    write_pretty(value, 0, &mut out);
    out
}

fn write_pretty(value: &Value, depth: usize, out: &mut Vec<u8>) {
    match value {
        Value::List(items) if !items.is_empty() => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                new_line(i > 0, depth + 1, out);
                write_pretty(item, depth + 1, out);
            }
            new_line(false, depth, out);
            out.push(b']');
        }
        Value::Map(map) if !map.is_empty() => {
            out.push(b'{');
            for (i, (key, value)) in map.iter().enumerate() {
                new_line(i > 0, depth + 1, out);
                write_str(key, out);
                out.extend_from_slice(b": ");
                write_pretty(value, depth + 1, out);
            }
            new_line(false, depth, out);
            out.push(b'}');
        }
        other => write(other, out),
    }
}

fn new_line(comma: bool, depth: usize, out: &mut Vec<u8>) {
    if comma {
        out.push(b',');
    }
    out.push(b'\n');
    out.extend(std::iter::repeat_n(b' ', depth * 2));
}

/// Bytes written as they are; 0xE2 begins U+2028 and U+2029, which are escaped.
const PLAIN: [bool; 256] = {
    let mut table = [true; 256];
    let mut b = 0;
    while b < 0x20 {
        table[b] = false;
        b += 1;
    }
    table[b'"' as usize] = false;
    table[b'\\' as usize] = false;
    table[b'<' as usize] = false;
    table[b'>' as usize] = false;
    table[b'&' as usize] = false;
    table[0xe2] = false;
    table
};

/// Appends a string with quotes and escapes.
pub(super) fn write_str(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut from = 0;
    for (i, &b) in bytes.iter().enumerate() {
        if PLAIN[usize::from(b)] {
            continue;
        }
        let (escape, len) = match b {
            0xe2 => match bytes.get(i + 1..i + 3) {
                Some([0x80, 0xa8]) => (&b"\\u2028"[..], 3),
                Some([0x80, 0xa9]) => (&b"\\u2029"[..], 3),
                _ => continue,
            },
            _ => (short_escape(b), 1),
        };
        out.extend_from_slice(bytes.get(from..i).unwrap_or_default());
        if escape.is_empty() {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
        } else {
            out.extend_from_slice(escape);
        }
        from = i + len;
    }
    out.extend_from_slice(bytes.get(from..).unwrap_or_default());
    out.push(b'"');
}

/// The two-byte escape of a byte; empty for those that need `\u00XX`.
fn short_escape(byte: u8) -> &'static [u8] {
    match byte {
        b'"' => b"\\\"",
        b'\\' => b"\\\\",
        b'\n' => b"\\n",
        b'\r' => b"\\r",
        b'\t' => b"\\t",
        8 => b"\\b",
        0xc => b"\\f",
        _ => b"",
    }
}

/// A float as Go prints it in JSON: shortest digits, exponents only below 1e-6 and from 1e21 on. What no JSON
/// number can say becomes `null`.
pub fn float_text(float: f64) -> String {
    if !float.is_finite() {
        return "null".to_owned();
    }
    let size = float.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{float:e}");
        return if text.contains("e-") { text } else { text.replace('e', "e+") };
    }
    format!("{float}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn strings_are_escaped_as_go_does() {
        let value = Value::from("<a>&\"\\\n\r\t\u{8}\u{c}\u{1}\u{7f}é\u{2028}\u{2029}\u{2030}");
        assert_eq!(
            to_string(&value),
            "\"\\u003ca\\u003e\\u0026\\\"\\\\\\n\\r\\t\\b\\f\\u0001\u{7f}é\\u2028\\u2029\u{2030}\""
        );
    }

    #[test]
    fn floats_print_as_gos() {
        for (float, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (-2.5e-9, "-2.5e-9"),
        ] {
            assert_eq!(float_text(float), text);
        }
    }

    #[test]
    fn pretty_breaks_lines_but_not_empty_things() {
        let value = tree!({"a": [1, {}], "b": [], "c": {"d": null}});
        let text = "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": [],\n  \"c\": {\n    \"d\": null\n  }\n}";
        assert_eq!(String::from_utf8(to_pretty(&value)).unwrap(), text);
        assert_eq!(to_string(&value), r#"{"a":[1,{}],"b":[],"c":{"d":null}}"#);
    }
}
