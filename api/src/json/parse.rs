//! JSON text to a tree, without a schema.

use super::cursor::{Cursor, Error, Kind, number_value};
use crate::{Map, Str, Value};
use std::borrow::Cow;

/// Reads one document. Of equal keys the last value wins.
pub fn parse(text: &[u8]) -> Result<Value, Error> {
    let mut cursor = Cursor::new(text);
    let value = parse_next(&mut cursor)?;
    cursor.end()?;
    Ok(value)
}

/// Reads the next value at a cursor, whatever it is.
pub fn parse_next(cursor: &mut Cursor<'_>) -> Result<Value, Error> {
    Ok(match cursor.peek()? {
        Kind::Null => {
            cursor.null()?;
            Value::Null
        }
        Kind::Bool => Value::Bool(cursor.bool()?),
        Kind::Number => number_value(cursor.number()?)?,
        Kind::Str => Value::Str(own(cursor.string()?)),
        Kind::List => Value::List(list(cursor)?),
        Kind::Map => Value::Map(map(cursor)?),
    })
}

fn list(cursor: &mut Cursor<'_>) -> Result<Vec<Value>, Error> {
    cursor.open()?;
    let mut items = Vec::new();
    while cursor.next_item(items.is_empty())? {
        items.push(parse_next(cursor)?);
    }
    Ok(items)
}

fn map(cursor: &mut Cursor<'_>) -> Result<Map, Error> {
    cursor.open()?;
    let mut pairs = Vec::new();
    while let Some(key) = cursor.next_key(pairs.is_empty())? {
        let key = own(key);
        pairs.push((key, parse_next(cursor)?));
    }
    Ok(Map::from_pairs(pairs))
}

pub(super) fn own(text: Cow<'_, str>) -> Str {
    match text {
        Cow::Borrowed(s) => s.into(),
        Cow::Owned(s) => s.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    fn refusal(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().message
    }

    #[test]
    fn documents_become_trees() {
        let text =
            br#" {"a": [1, -2, 1.5, 1e3, true, null], "b": {"c": "x\u00e9\n\ud83d\ude00\ud800"}, "a": 7} "#;
        let tree = parse(text).unwrap();
        assert_eq!(tree, tree!({"a": 7, "b": {"c": "xé\n😀\u{fffd}"}}));
        assert_eq!(parse(b"-0").unwrap(), Value::Int(0));
        assert_eq!(parse(b"9223372036854775807").unwrap(), Value::Int(i64::MAX));
        assert_eq!(parse(b"9223372036854775808").unwrap(), Value::Float(9_223_372_036_854_775_808.0));
        assert_eq!(parse(b"\"a\xff\xfeb\"").unwrap(), Value::from("a\u{fffd}\u{fffd}b"));
    }

    #[test]
    fn refusals_read_as_gos() {
        for (text, message) in [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("{\"a", "unexpected end of JSON input"),
            ("{\"a\":", "unexpected end of JSON input"),
            ("nul", "invalid character ' ' in literal null (expecting 'l')"),
            ("-", "invalid character ' ' in numeric literal"),
            ("1.", "invalid character ' ' after decimal point in numeric literal"),
            ("1ex", "invalid character 'x' in exponent of numeric literal"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("[1 2]", "invalid character '2' after array element"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
            ("{} tr", "invalid character 't' after top-level value"),
            ("01", "invalid character '1' after top-level value"),
            ("'a'", "invalid character '\\'' looking for beginning of value"),
            ("\"a\nb\"", "invalid character '\\n' in string literal"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape"),
            ("\u{81}", "invalid character 'Â' looking for beginning of value"),
            ("1e999", "json: cannot unmarshal number 1e999 into Go value of type float64"),
        ] {
            assert_eq!(refusal(text), message, "{text}");
        }
        assert_eq!(
            parse(b"\x81").unwrap_err().message,
            "invalid character '\\u0081' looking for beginning of value"
        );
    }

    #[test]
    fn depth_has_an_end() {
        let deep = "[".repeat(100_000);
        assert_eq!(refusal(&deep), "invalid character '[' exceeded max depth");
        let fine = format!("{}{}", "[".repeat(256), "]".repeat(256));
        assert!(parse(fine.as_bytes()).is_ok());
        let skipped = |depth: usize| {
            let text = format!("{}1{}", "[{\"a\":".repeat(depth / 2), "}]".repeat(depth / 2));
            let mut cursor = Cursor::new(text.as_bytes());
            cursor.skip().and_then(|()| cursor.end()).map_err(|e| e.message)
        };
        assert_eq!(skipped(10_000), Ok(()));
        assert_eq!(skipped(10_002), Err("invalid character '[' exceeded max depth".to_owned()));
    }
}
