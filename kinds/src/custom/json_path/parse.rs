//! From text to steps.

use super::{JsonPath, Slice, Step};
use api::Value;

/// The steps of a path without braces.
pub fn path(text: &str) -> Result<Vec<Step>, String> {
    let mut parser = Parser { rest: text, steps: Vec::new() };
    while !parser.rest.is_empty() {
        parser.step()?;
    }
    Ok(parser.steps)
}

struct Parser<'t> {
    rest: &'t str,
    steps: Vec<Step>,
}

/// Ends a name.
fn ends_name(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}')
}

impl<'t> Parser<'t> {
    fn step(&mut self) -> Result<(), String> {
        if self.rest.starts_with("[?(") {
            return self.filter();
        }
        if let Some(rest) = self.rest.strip_prefix("..") {
            return self.recursive(rest);
        }
        let Some(first) = self.rest.chars().next() else { return Ok(()) };
        match first {
            '\r' | '\n' => return Err("unclosed action".to_owned()),
            ' ' | '@' | '$' => self.skip(1),
            '[' => return self.brackets(),
            '"' | '\'' => return self.quoted(first),
            '.' => {
                self.skip(1);
                self.field();
            }
            '+' | '-' => return self.number(),
            c if c.is_ascii_digit() => return self.number(),
            c if c == '_' || c.is_alphanumeric() => self.word(),
            c => return Err(format!("unrecognized character in action: {c}")),
        }
        Ok(())
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn recursive(&mut self, rest: &'t str) -> Result<(), String> {
        if self.steps.last() == Some(&Step::Recursive) {
            return Err("invalid multiple recursive descent".to_owned());
        }
        self.rest = rest;
        self.steps.push(Step::Recursive);
        if rest.starts_with(|c: char| c == '_' || c.is_alphanumeric()) {
            self.field();
        }
        Ok(())
    }

    /// A name up to its end; what a backslash precedes belongs to it.
    fn field(&mut self) {
        let mut end = self.rest.len();
        let mut escaped = false;
        for (at, c) in self.rest.char_indices() {
            if !escaped && ends_name(c) {
                end = at;
                break;
            }
            escaped = !escaped && c == '\\';
        }
        let name = self.take(end);
        self.steps.push(if name == "*" { Step::Wildcard } else { Step::Field(name.replace('\\', "")) });
    }

    fn word(&mut self) {
        let end = self.rest.find(ends_name).unwrap_or(self.rest.len());
        let step = match self.take(end) {
            "true" => Step::Literal(Value::Bool(true)),
            "false" => Step::Literal(Value::Bool(false)),
            word => Step::Word(word.to_owned()),
        };
        self.steps.push(step);
    }

    fn number(&mut self) -> Result<(), String> {
        let sign = usize::from(self.rest.starts_with(['+', '-']));
        let digits = self.rest.get(sign..).unwrap_or_default();
        let end = digits.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(digits.len());
        let text = self.take(sign + end);
        let number = match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(int), _) => Value::Int(int),
            (_, Ok(float)) => Value::Float(float),
            _ => return Err(format!("cannot parse number {text}")),
        };
        self.steps.push(Step::Literal(number));
        Ok(())
    }

    fn quoted(&mut self, quote: char) -> Result<(), String> {
        let body = self.rest.get(1..).unwrap_or_default();
        let mut text = String::new();
        let mut escaped = false;
        for (at, c) in body.char_indices() {
            match c {
                '\n' => break,
                c if c == quote && !escaped => {
                    self.skip(at + 2);
                    self.steps.push(Step::Literal(text.into()));
                    return Ok(());
                }
                '\\' if !escaped => escaped = true,
                c => {
                    text.push(match c {
                        'n' if escaped => '\n',
                        't' if escaped => '\t',
                        c => c,
                    });
                    escaped = false;
                }
            }
        }
        Err("unterminated quoted string".to_owned())
    }

    fn brackets(&mut self) -> Result<(), String> {
        let end = self.rest.find([']', '\n']).filter(|at| self.rest.as_bytes().get(*at) == Some(&b']'));
        let Some(end) = end else { return Err("unterminated array".to_owned()) };
        let inner = self.take(end + 1).get(1..end).unwrap_or_default();
        let parts: Vec<&str> = inner.split(',').collect();
        if parts.len() > 1 {
            let part = |part: &&str| path(&format!("[{}]", part.trim_matches(' '))).map(JsonPath);
            let parts = parts.iter().map(part).collect::<Result<_, _>>()?;
            self.steps.push(Step::Union(parts));
            return Ok(());
        }
        let key = inner.strip_prefix('\'').and_then(|k| k.strip_suffix('\'')).filter(|k| !k.contains('\''));
        if let Some(key) = key {
            self.steps.extend(path(&format!(".{key}"))?);
            return Ok(());
        }
        self.steps.push(Step::Slice(slice(inner)?));
        Ok(())
    }

    fn filter(&mut self) -> Result<(), String> {
        let body = self.rest.get(3..).unwrap_or_default();
        let end = filter_end(body).ok_or("unterminated filter")?;
        if !body.get(end + 1..).is_some_and(|rest| rest.starts_with(']')) {
            return Err("unclosed array expect ]".to_owned());
        }
        let text = body.get(..end).unwrap_or_default();
        self.skip(3 + end + 2);
        let is_operator = |c: char| matches!(c, '!' | '<' | '>' | '=');
        let step = match text.find(is_operator).filter(|at| *at > 0) {
            None => Step::Has(JsonPath(path(text)?)),
            Some(at) => {
                let (left, rest) = text.split_at(at);
                let (operator, right) = rest.split_at(rest.find(|c| !is_operator(c)).unwrap_or(rest.len()));
                let (left, right) = (JsonPath(path(left)?), JsonPath(path(right)?));
                Step::Compare(left, operator.to_owned(), right)
            }
        };
        self.steps.push(step);
        Ok(())
    }
}

/// Where the parenthesis closes that is not in quotes.
fn filter_end(text: &str) -> Option<usize> {
    let mut quote: Option<char> = None;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match (c, quote) {
            ('\n', _) => return None,
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(q)) if c == q && before != '\\' => quote = None,
            (')', None) => return Some(at),
            _ => {}
        }
        before = c;
    }
    None
}

/// `*`, `2`, `-1`, `1:3`, `::2`.
fn slice(text: &str) -> Result<Slice, String> {
    let bad = || format!("invalid array index {text}");
    if text == "*" {
        return Ok(Slice::default());
    }
    let parts: Vec<&str> = text.split(':').collect();
    let number = |at: usize| match parts.get(at) {
        None | Some(&"") => Ok(None),
        Some(part) => part.parse::<i64>().map(Some).map_err(|_| bad()),
    };
    if parts.len() > 3 || text.is_empty() {
        return Err(bad());
    }
    Ok(Slice { start: number(0)?, end: number(1)?, step: number(2)?, is_index: parts.len() == 1 })
}
