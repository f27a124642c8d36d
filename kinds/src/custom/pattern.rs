//! Regular expressions of schemas. They are written for Go's engine, whose syntax differs in details from the one here:
//! classes like `\d` are ASCII, brackets within brackets are themselves, any punctuation may be escaped.

use regex::Regex;
use std::sync::OnceLock;

/// A pattern, compiled when first needed.
#[derive(Debug)]
pub struct Pattern {
    text: String,
    compiled: OnceLock<Result<Regex, String>>,
}

impl Pattern {
    pub fn new(text: &str) -> Self {
        Pattern { text: text.to_owned(), compiled: OnceLock::new() }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it matches anywhere in a text. An error says why it is no pattern.
    pub fn is_match(&self, text: &str) -> Result<bool, String> {
        match self.compiled.get_or_init(|| compile(&self.text)) {
            Ok(regex) => Ok(regex.is_match(text)),
            Err(why) => Err(why.clone()),
        }
    }
}

fn compile(text: &str) -> Result<Regex, String> {
    Regex::new(&translate(text)).map_err(|e| format!("error parsing regexp: {e}"))
}

/// Go's syntax in ours.
fn translate(go: &str) -> String {
    let mut out = String::with_capacity(go.len() + 8);
    let mut rest = go.chars().peekable();
    let mut in_class = false;
    // A bracket right behind the opening one is itself.
    let mut class_begins = false;
    while let Some(c) = rest.next() {
        let begins = std::mem::take(&mut class_begins);
        match c {
            '\\' => match rest.next() {
                Some('Q') if !in_class => quoted(&mut rest, &mut out),
                Some(escaped) => escape(escaped, in_class, &mut out),
                None => out.push('\\'),
            },
            '[' if !in_class => {
                (in_class, class_begins) = (true, true);
                out.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
            }
            '[' if rest.peek() == Some(&':') => named_class(&mut rest, &mut out),
            '[' => out.push_str("\\["),
            ']' if begins => out.push_str("\\]"),
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => out.extend(['\\', c]),
            other => out.push(other),
        }
    }
    out
}

/// `[:alpha:]` and its like, as it is.
fn named_class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    out.push('[');
    for c in rest.by_ref() {
        out.push(c);
        if c == ']' {
            return;
        }
    }
}

/// `\Q…\E`: everything in between is itself.
fn quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    while let Some(c) = rest.next() {
        if c == '\\' && rest.next_if_eq(&'E').is_some() {
            return;
        }
        out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }
}

fn escape(c: char, in_class: bool, out: &mut String) {
    let ascii_class = match c {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => "\\t\\n\\f\\r ",
        'D' => "^0-9",
        'W' => "^0-9A-Za-z_",
        'S' => "^\\t\\n\\f\\r ",
        'b' if !in_class => return out.push_str("(?-u:\\b)"),
        'B' if !in_class => return out.push_str("(?-u:\\B)"),
        '<' | '>' | '_' | '/' | '\'' | '"' | '=' | '!' | ':' | ';' | ',' | '@' | '%' | '`' => {
            return out.push(c);
        }
        other => return out.extend(['\\', other]),
    };
    match in_class && !ascii_class.starts_with('^') {
        true => out.push_str(ascii_class),
        false => out.extend(["[", ascii_class, "]"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_to_go() {
        let matches = |pattern: &str, text: &str| Pattern::new(pattern).is_match(text).unwrap();
        assert!(matches("^[a-z]+$", "abc") && !matches("^[a-z]+$", "A"));
        assert!(matches(r"^\d+$", "12") && !matches(r"^\d+$", "٣"));
        assert!(matches(r"^[\w.-]+$", "a_b.c-d") && !matches(r"^\w$", "ä"));
        assert!(matches(r"^[[a]+$", "[a") && matches(r"^[]a]+$", "]a"));
        assert!(matches(r"^a\/b\_c\-d$", "a/b_c-d"));
        assert!(matches(r"^\Qa.b\E$", "a.b") && !matches(r"^\Qa.b\E$", "axb"));
        assert!(matches("^[[:alpha:]]+$", "abc") && matches(r"^[^\s]+$", "abc"));
        assert!(matches("^[a&&b]+$", "a&b"));
        assert!(Pattern::new("(").is_match("").is_err());
    }
}
