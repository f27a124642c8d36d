//! Trees to YAML, byte for byte as upstream's library writes it: block style, sequences not indented, lines folded
//! after column 80, keys in natural order (`a2` before `a10`).

use super::resolve::{Meaning, go_float, is_base60, resolve};
use crate::json::float_text;
use crate::{Str, Value};
use std::cmp::Ordering;

const WIDTH: usize = 80;
const INDENT: isize = 2;
/// Longer keys are written with `?`.
const SIMPLE_KEY_BYTES: usize = 128;

/// A document without marker, with a line end.
pub fn to_string(value: &Value) -> String {
    let mut emitter =
        Emitter { out: String::new(), column: 0, indent: -1, whitespace: true, indention: true };
    emitter.node(value, false);
    emitter.indent = -1;
    emitter.write_indent();
    emitter.out
}

struct Emitter {
    out: String,
    column: usize,
    /// Negative at the root.
    indent: isize,
    /// The last thing written was white space (or an indicator that counts as such).
    whitespace: bool,
    /// Nothing but indentation and indicators stands on this line yet.
    indention: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

impl Emitter {
    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn put_break(&mut self, c: char) {
        self.out.push(c);
        self.column = 0;
    }

    fn write_indent(&mut self) {
        let indent = usize::try_from(self.indent).unwrap_or(0);
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.put_break('\n');
        }
        while self.column < indent {
            self.put(' ');
        }
        self.whitespace = true;
        self.indention = true;
    }

    fn indicator(&mut self, text: &str, need_whitespace: bool, is_whitespace: bool, is_indention: bool) {
        if need_whitespace && !self.whitespace {
            self.put(' ');
        }
        text.chars().for_each(|c| self.put(c));
        self.whitespace = is_whitespace;
        self.indention &= is_indention;
    }

    /// Goes one level in; gives the indentation to go back to.
    fn go_in(&mut self, flow: bool, indentless: bool) -> isize {
        let before = self.indent;
        if before < 0 {
            self.indent = if flow { INDENT } else { 0 };
        } else if !indentless {
            self.indent += INDENT;
        }
        before
    }

    fn node(&mut self, value: &Value, in_map: bool) {
        match value {
            Value::List(items) if items.is_empty() => {
                self.indicator("[", true, true, false);
                self.indicator("]", false, false, false);
            }
            Value::Map(map) if map.is_empty() => {
                self.indicator("{", true, true, false);
                self.indicator("}", false, false, false);
            }
            Value::List(items) => self.list(items, in_map),
            Value::Map(map) => self.map(map.iter().collect()),
            Value::Null => self.scalar("null", Style::Plain, false),
            Value::Bool(bool) => self.scalar(if *bool { "true" } else { "false" }, Style::Plain, false),
            Value::Int(int) => self.scalar(itoa::Buffer::new().format(*int), Style::Plain, false),
            Value::Float(float) => self.scalar(&number_text(*float), Style::Plain, false),
            Value::Str(text) => self.scalar(text, wanted_style(text), false),
        }
    }

    fn list(&mut self, items: &[Value], in_map: bool) {
        let before = self.go_in(false, in_map && !self.indention);
        for item in items {
            self.write_indent();
            self.indicator("-", true, false, true);
            self.node(item, false);
        }
        self.indent = before;
    }

    fn map(&mut self, mut pairs: Vec<(&Str, &Value)>) {
        pairs.sort_by(|a, b| natural_order(a.0, b.0));
        let before = self.go_in(false, false);
        for (key, value) in pairs {
            self.write_indent();
            if key.len() <= SIMPLE_KEY_BYTES && !key.contains(is_break) {
                self.scalar(key, wanted_style(key), true);
                self.indicator(":", false, false, false);
            } else {
                self.indicator("?", true, false, true);
                self.scalar(key, wanted_style(key), false);
                self.write_indent();
                self.indicator(":", true, false, true);
            }
            self.node(value, true);
        }
        self.indent = before;
    }

    fn scalar(&mut self, text: &str, wanted: Style, key: bool) {
        let style = Allowed::of(text).choose(wanted, text, key);
        let before = self.go_in(true, false);
        match style {
            Style::Plain => self.plain(text, !key),
            Style::Single => self.single_quoted(text, !key),
            Style::Double => self.double_quoted(text, !key),
            Style::Literal => self.literal(text),
        }
        self.indent = before;
    }

    fn plain(&mut self, text: &str, fold: bool) {
        if !self.whitespace {
            self.put(' ');
        }
        self.folded(text, fold, |_, _| {});
        self.whitespace = false;
        self.indention = false;
    }

    fn single_quoted(&mut self, text: &str, fold: bool) {
        self.indicator("'", true, false, false);
        self.folded(text, fold, |emitter, c| {
            if c == '\'' {
                emitter.put('\'');
            }
        });
        self.indicator("'", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }

    /// Characters with a line end in place of a single space where the line is full.
    fn folded(&mut self, text: &str, fold: bool, before: impl Fn(&mut Self, char)) {
        let (mut spaces, mut breaks) = (false, false);
        let mut chars = text.chars().enumerate().peekable();
        while let Some((at, c)) = chars.next() {
            if c == ' ' {
                let inside = at > 0 && chars.peek().is_some_and(|(_, next)| *next != ' ');
                if fold && !spaces && self.column > WIDTH && inside {
                    self.write_indent();
                } else {
                    self.put(c);
                }
                spaces = true;
            } else if is_break(c) {
                if !breaks && c == '\n' {
                    self.put_break('\n');
                }
                self.put_break(c);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                before(self, c);
                self.put(c);
                self.indention = false;
                (spaces, breaks) = (false, false);
            }
        }
    }

    fn double_quoted(&mut self, text: &str, fold: bool) {
        self.indicator("\"", true, false, false);
        // Upstream looks for a byte order mark at the text's start only, but at every character.
        let marked = text.starts_with('\u{feff}');
        let mut spaces = false;
        let mut chars = text.chars().enumerate().peekable();
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            if marked || !is_printable(c) || is_break(c) || matches!(c, '"' | '\\') {
                escape(c).chars().for_each(|c| self.put(c));
                spaces = false;
            } else if c == ' ' && fold && !spaces && self.column > WIDTH && at > 0 && next.is_some() {
                self.write_indent();
                if next == Some(' ') {
                    self.put('\\');
                }
                spaces = true;
            } else {
                self.put(c);
                spaces = c == ' ';
            }
        }
        self.indicator("\"", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }

    fn literal(&mut self, text: &str) {
        self.indicator("|", true, false, false);
        if text.starts_with(|c| c == ' ' || is_break(c)) {
            self.indicator("2", false, false, false);
        }
        let mut from_end = text.chars().rev();
        match (from_end.next().is_some_and(is_break), from_end.next().map(is_break)) {
            (false, _) => self.indicator("-", false, false, false),
            (true, None | Some(true)) => self.indicator("+", false, false, false),
            (true, Some(false)) => {}
        }
        self.put_break('\n');
        self.indention = true;
        self.whitespace = true;
        let mut breaks = true;
        for c in text.chars() {
            if is_break(c) {
                self.put_break(c);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                self.put(c);
                self.indention = false;
                breaks = false;
            }
        }
    }
}

/// What a text asks for: quotes when it would be taken for something else, many lines when it has them.
fn wanted_style(text: &str) -> Style {
    if text.contains('\n') {
        Style::Literal
    } else if resolve(text) == Meaning::Str && !is_base60(text) {
        Style::Plain
    } else {
        Style::Double
    }
}

/// Which styles can hold a text.
struct Allowed {
    plain: bool,
    single: bool,
    literal: bool,
}

impl Allowed {
    fn of(text: &str) -> Self {
        if text.is_empty() {
            return Allowed { plain: true, single: true, literal: false };
        }
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let (mut special, mut lines, mut space_break, mut break_space) = (false, false, false, false);
        let mut previous = None;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let blank_follows = chars.peek().is_none_or(|c| matches!(c, ' ' | '\t'));
            indicators |= is_indicator(c, previous, blank_follows);
            special |= !is_printable(c);
            lines |= is_break(c);
            space_break |= previous == Some(' ') && is_break(c);
            break_space |= previous.is_some_and(is_break) && c == ' ';
            previous = Some(c);
        }
        let edge = |c: Option<char>| c.is_some_and(|c| c == ' ' || is_break(c));
        let edges = edge(text.chars().next()) || edge(text.chars().next_back());
        Allowed {
            plain: !(edges || lines || indicators || special || space_break || break_space),
            single: !(special || space_break || break_space),
            literal: !(special || space_break || text.ends_with(' ')),
        }
    }

    fn choose(&self, wanted: Style, text: &str, key: bool) -> Style {
        let style = match wanted {
            Style::Plain if !self.plain || (text.is_empty() && key) => Style::Single,
            Style::Literal if !self.literal || key => Style::Double,
            style => style,
        };
        if style == Style::Single && !self.single { Style::Double } else { style }
    }
}

/// Whether a character would not be text at its place.
fn is_indicator(c: char, previous: Option<char>, blank_follows: bool) -> bool {
    match previous {
        None => match c {
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
            | '`' => true,
            '?' | ':' | '-' => blank_follows,
            _ => false,
        },
        Some(previous) => match c {
            ':' => blank_follows,
            '#' => matches!(previous, ' ' | '\t' | '\0') || is_break(previous),
            _ => false,
        },
    }
}

fn escape(c: char) -> String {
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ => {
            let code = u32::from(c);
            return match code {
                0..=0xff => format!("\\x{code:02X}"),
                0x100..=0xffff => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            };
        }
    };
    format!("\\{short}")
}

/// A number as it looks after JSON has been read as YAML.
fn number_text(float: f64) -> String {
    let text = float_text(float);
    match resolve(&text) {
        Meaning::Float(float) => go_float(float),
        Meaning::Int(int) => int.to_string(),
        _ => text,
    }
}

/// Letters after everything else, runs of digits by their value.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(x, y)| x != y) else { return a.len().cmp(&b.len()) };
    let (x, y) = (a[at], b[at]);
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // Zeros that end a number begun before count, so that 10 comes after 1.
    let begun =
        (x == '0' || y == '0') && a[..at].iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != '0');
    let run = |chars: &[char]| {
        let digits = chars[at..].iter().take_while(|c| c.is_ascii_digit());
        digits.fold((i64::from(begun), 0_usize), |(value, len), c| {
            (value.wrapping_mul(10).wrapping_add(i64::from(u32::from(*c) - 48)), len + 1)
        })
    };
    run(&a).cmp(&run(&b)).then(x.cmp(&y))
}
