//! Reading and writing as the Go library does.

use super::*;
use crate::{Value, json, tree};

fn as_json(text: &str) -> String {
    parse(text.as_bytes()).map_or_else(|e| e.to_string(), |v| json::to_string(&v))
}

#[test]
fn scalars_mean_what_yaml_1_1_says() {
    for (text, expected) in [
        ("n: yes", r#"{"false":true}"#),
        ("[1, 017, 0x1F, 0b11, 1_000, 08, 1e3, 1.50, -5, +5]", "[1,15,31,3,1000,8,1000,1.5,-5,5]"),
        (
            "[~, null, '', \"\", 'no', off, 2026-11-21, 1:20]",
            r#"[null,null,"","","no",false,"2026-11-21","1:20"]"#,
        ),
        ("{1: a, 1.5: b, true: c, 99999999999999999999: d}", r#"{"1":"a","1.5":"b","1e+20":"d","true":"c"}"#),
        ("a: !!str 5\nb: !!int \"7\"\nc: !!binary aGk=", r#"{"a":"5","b":7,"c":"hi"}"#),
        ("a: |\n  s\n  t\nb: >-\n  s\n  t", r#"{"a":"s\nt\n","b":"s t"}"#),
        ("a: |\n  s", r#"{"a":"s"}"#),
        ("a: |\n  s\n", r#"{"a":"s\n"}"#),
        ("a: &x {k: 1}\nb: *x\nc: {<<: *x, l: 2}", r#"{"a":{"k":1},"b":{"k":1},"c":{"k":1,"l":2}}"#),
        ("a: 1\n---\nb: 2", r#"{"a":1}"#),
        ("", "null"),
        ("# nothing\n", "null"),
        ("{\"a\": [1, {\"b\": \"c\"}]}", r#"{"a":[1,{"b":"c"}]}"#),
    ] {
        assert_eq!(as_json(text), expected, "{text}");
    }
}

#[test]
fn refusals_read_as_gos() {
    for (text, message) in [
        ("a: b: c\n", "yaml: mapping values are not allowed in this context"),
        ("metadata: {name: [}\n", "yaml: did not find expected node content"),
        ("a: 1\nb: c: d\n", "yaml: line 2: mapping values are not allowed in this context"),
        ("a: *x\n", "yaml: unknown anchor 'x' referenced"),
        ("a: &x [*x]\n", "yaml: anchor 'x' value contains itself"),
        ("a: !!int x\n", "yaml: cannot decode !!str `x` as a !!int"),
        ("\t- x", "yaml: found character that cannot start any token"),
        ("a: .nan", "json: unsupported value: NaN"),
        ("<<: 5", "yaml: map merge requires map or sequence of maps as the value"),
        ("[!,]", "yaml: did not find expected whitespace or line break"),
        ("a: \"\\", "yaml: line 2: found unexpected end of stream"),
        ("a: [b", "yaml: line 1: did not find expected ',' or ']'"),
        ("a: [b\n", "yaml: line 1: did not find expected ',' or ']'"),
        ("a: \u{1}", "yaml: control characters are not allowed"),
    ] {
        assert_eq!(as_json(text), message, "{text}");
    }
}

#[test]
fn keys_that_come_twice_are_told_with_their_lines() {
    let (value, found) = parse_tracking_duplicates(b"data:\n  k: a\n  k: b\n  5: v\n  5: w\n").unwrap();
    assert_eq!(value, tree!({"data": {"k": "b", "5": "w"}}));
    assert_eq!(found, ["line 3: key \"k\" already set in map", "line 5: key 5 already set in map"]);
}

#[test]
fn documents_that_blow_up_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let item = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![item; 10].join(", ")));
    }
    assert_eq!(as_json(&text), "yaml: document contains excessive aliasing");
    assert_eq!(as_json(&"[".repeat(20_000)), "yaml: exceeded max depth of 10000");
}

#[test]
fn trees_are_written_as_the_library_writes_them() {
    let value = tree!({
        "b": ["x", {"k": 1, "a": {}}, [], ["n"]], "a10": "1", "a2": "true", "empty": "", "f": 0.5,
        "text": "one\ntwo\n", "keep": "x\n\n", "strip": "x\ny", "colon": "a: b", "dash": "- a", "time": "2026-11-21T00:00:00Z",
        "tab": "a\tb", "quote": "it's", "lead": " x", "z": {"": 1.0}, "big": 1234567.5
    });
    let expected = "a2: \"true\"\na10: \"1\"\nb:\n- x\n- a: {}\n  k: 1\n- []\n- - \"n\"\nbig: 1.2345675e+06\n\
                    colon: 'a: b'\ndash: '- a'\nempty: \"\"\nf: 0.5\nkeep: |+\n  x\n\nlead: ' x'\nquote: it's\n\
                    strip: |-\n  x\n  y\ntab: \"a\\tb\"\ntext: |\n  one\n  two\ntime: \"2026-11-21T00:00:00Z\"\n\
                    z:\n  \"\": 1\n";
    assert_eq!(to_string(&value), expected);
    assert_eq!(to_string(&Value::Null), "null\n");
    assert_eq!(to_string(&tree!(["a"])), "- a\n");
}

#[test]
fn long_lines_are_folded_after_column_80() {
    let words = vec!["word"; 30].join(" ");
    let text = to_string(&tree!({"a": {"b": words.as_str()}}));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[1].len() > 80 && lines[1].len() <= 85 && lines[2].starts_with("    word"));
    assert_eq!(parse(text.as_bytes()).unwrap(), tree!({"a": {"b": words}}));
}

#[test]
fn utf_16_is_read_by_its_first_two_bytes() {
    let be: Vec<u8> = "\u{feff}a: \u{1f600}".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let le: Vec<u8> = "\u{feff}a: \u{1f600}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for text in [be, le] {
        assert_eq!(parse(&text).unwrap(), tree!({"a": "\u{1f600}"}));
    }
    assert_eq!(parse("\u{feff}a: b".as_bytes()).unwrap(), tree!({"a": "b"}));
    assert_eq!(parse("\u{ff91}: b".as_bytes()).unwrap(), tree!({"\u{ff91}": "b"}));
    let refused = |text: &[u8]| parse(text).unwrap_err().0;
    assert_eq!(refused(b"\xFE\xFF\0a\0"), "yaml: incomplete UTF-16 character");
    assert_eq!(refused(b"\xFE\xFF\xDC\x00\0a"), "yaml: unexpected low surrogate area");
    assert_eq!(refused(b"\xFE\xFF\xD9\x2D"), "yaml: expected low surrogate area");
}
