//! The grammar of label selectors: `key`, `!key`, `key=v`, `key!=v`, `key in (a,b)`, `key>1`, with commas between.
//! Words `in` and `notin` are operators only where an operator is due. Errors quote the token that was found.

use super::label::{Operator, Requirement, key_fault};
use crate::Str;
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Error,
    End,
    Close,
    Comma,
    Not,
    Operator(Operator),
    Identifier,
    Open,
}

struct Item {
    token: Token,
    text: String,
}

impl Item {
    /// The token where a key or value is due: `in` and `notin` are plain words there.
    fn as_value(&self) -> Token {
        match self.token {
            Token::Operator(Operator::In | Operator::NotIn) => Token::Identifier,
            token => token,
        }
    }
}

struct Parser {
    items: Vec<Item>,
    at: usize,
}

const OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, String> {
    let mut parser = Parser { items: scan(text), at: 0 };
    let mut requirements = Vec::new();
    loop {
        let (token, text) = parser.peek();
        match token {
            Token::Identifier | Token::Not => {
                let requirement =
                    parser.requirement().map_err(|e| format!("unable to parse requirement: {e}"))?;
                requirements.push(requirement);
            }
            Token::End => return Ok(requirements),
            _ => return Err(format!("found '{text}', expected: !, identifier, or 'end of string'")),
        }
        let (token, text) = parser.next();
        match token {
            Token::End => return Ok(requirements),
            Token::Comma => match parser.peek() {
                (Token::Identifier | Token::Not, _) => {}
                (_, text) => return Err(format!("found '{text}', expected: identifier after ','")),
            },
            _ => return Err(format!("found '{text}', expected: ',' or 'end of string'")),
        }
    }
}

impl Parser {
    fn item(&self, at: usize) -> &Item {
        &self.items[at.min(self.items.len() - 1)]
    }

    fn peek(&self) -> (Token, &str) {
        let item = self.item(self.at);
        (item.as_value(), &item.text)
    }

    fn next(&mut self) -> (Token, String) {
        let item = self.item(self.at);
        let found = (item.as_value(), item.text.clone());
        self.at += 1;
        found
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let (mut token, mut key) = self.next();
        let negated = token == Token::Not;
        if negated {
            (token, key) = self.next();
        }
        if token != Token::Identifier {
            return Err(format!("found '{key}', expected: identifier"));
        }
        if let Some(fault) = key_fault(&key, "<nil>") {
            return Err(fault.to_string());
        }
        if negated {
            return Requirement::new(&key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Requirement::new(&key, Operator::Exists, Vec::new());
        }
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => self.exact_value()?,
        };
        Requirement::new(&key, operator, values.iter().map(|v| Str::from(v.as_str())).collect())
    }

    fn operator(&mut self) -> Result<Operator, String> {
        let item = self.item(self.at);
        let found = match item.token {
            Token::Operator(operator) => Ok(operator),
            _ => Err(format!("found '{}', expected: {OPERATORS}", item.text)),
        };
        self.at += 1;
        found
    }

    fn exact_value(&mut self) -> Result<BTreeSet<String>, String> {
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Ok(BTreeSet::from([String::new()]));
        }
        match self.next() {
            (Token::Identifier, text) => Ok(BTreeSet::from([text])),
            (_, text) => Err(format!("found '{text}', expected: identifier")),
        }
    }

    fn values(&mut self) -> Result<BTreeSet<String>, String> {
        if let (token, text) = self.next()
            && token != Token::Open
        {
            return Err(format!("found '{text}' expected: '('"));
        }
        let (token, first) = self.peek();
        let first = first.to_owned();
        match token {
            Token::Identifier | Token::Comma => {
                let values = self.identifiers()?;
                match self.next() {
                    (Token::Close, _) => Ok(values),
                    _ => Err(format!("found '{first}', expected: ')'")),
                }
            }
            Token::Close => {
                self.next();
                Ok(BTreeSet::from([String::new()]))
            }
            _ => Err(format!("found '{first}', expected: ',', ')' or identifier")),
        }
    }

    /// Values with commas between; nothing between two commas is the empty value.
    fn identifiers(&mut self) -> Result<BTreeSet<String>, String> {
        let mut values = BTreeSet::new();
        loop {
            match self.next() {
                (Token::Identifier, text) => {
                    values.insert(text);
                    match self.peek() {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => return Ok(values),
                        (_, text) => return Err(format!("found '{text}', expected: ',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    let token = self.peek().0;
                    if values.is_empty() || matches!(token, Token::Close | Token::Comma) {
                        values.insert(String::new());
                    }
                    if token == Token::Close {
                        return Ok(values);
                    }
                }
                (_, text) => return Err(format!("found '{text}', expected: ',', or identifier")),
            }
        }
    }
}

fn token_of(text: &str) -> Option<Token> {
    Some(match text {
        ")" => Token::Close,
        "," => Token::Comma,
        "!" => Token::Not,
        "==" => Token::Operator(Operator::DoubleEquals),
        "=" => Token::Operator(Operator::Equals),
        ">" => Token::Operator(Operator::GreaterThan),
        "in" => Token::Operator(Operator::In),
        "<" => Token::Operator(Operator::LessThan),
        "!=" => Token::Operator(Operator::NotEquals),
        "notin" => Token::Operator(Operator::NotIn),
        "(" => Token::Open,
        _ => return None,
    })
}

fn is_symbol(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// All tokens, `End` last. A NUL ends the text, as it does upstream.
fn scan(text: &str) -> Vec<Item> {
    let mut rest = text.split('\0').next().unwrap_or_default();
    let mut items = Vec::new();
    loop {
        rest = rest.trim_start_matches(is_space);
        let Some(first) = rest.chars().next() else { break };
        let end = if is_symbol(first) {
            let (item, end) = scan_symbol(rest);
            items.push(item);
            end
        } else {
            let end = rest.find(|c| is_symbol(c) || is_space(c)).unwrap_or(rest.len());
            let word = &rest[..end];
            items.push(Item { token: token_of(word).unwrap_or(Token::Identifier), text: word.to_owned() });
            end
        };
        rest = &rest[end..];
    }
    items.push(Item { token: Token::End, text: String::new() });
    items
}

/// The longest known operator that the text starts with, and its length.
fn scan_symbol(text: &str) -> (Item, usize) {
    let run = text.find(|c| !is_symbol(c)).unwrap_or(text.len());
    let mut best: Option<(Token, usize)> = None;
    for end in 1..=run {
        match (token_of(&text[..end]), best) {
            (Some(token), _) => best = Some((token, end)),
            (None, Some(_)) => break,
            (None, None) => {}
        }
    }
    match best {
        Some((token, end)) => (Item { token, text: text[..end].to_owned() }, end),
        None => {
            let text = format!("error expected: keyword found '{}'", &text[..run]);
            (Item { token: Token::Error, text }, run)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::LabelSelector;

    fn shown(text: &str) -> String {
        LabelSelector::parse(text).map_or_else(|e| format!("error: {e}"), |s| s.to_string())
    }

    #[test]
    fn good_selectors_print_in_normal_form() {
        for (text, normal) in [
            ("", ""),
            ("z, a = 1 ,!b", "a=1,!b,z"),
            ("x in (foo,,baz),y,z notin ()", "x in (,baz,foo),y,z notin ()"),
            ("in in (notin,in)", "in in (in,notin)"),
            ("a=", "a="),
            ("a==b,c!=d,e>1", "a==b,c!=d,e>1"),
            ("x in (,)", "x in ()"),
        ] {
            assert_eq!(shown(text), normal, "{text}");
        }
    }

    #[test]
    fn errors_quote_what_was_found() {
        for (text, error) in [
            ("a,", "found '', expected: identifier after ','"),
            ("=a", "found '=', expected: !, identifier, or 'end of string'"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("a in b", "unable to parse requirement: found 'b' expected: '('"),
            ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            (
                "a>x",
                "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value \
                 must be an integer",
            ),
        ] {
            assert_eq!(shown(text), format!("error: {error}"), "{text}");
        }
        assert!(
            shown("a=-").starts_with(
                "error: unable to parse requirement: values[0][a]: Invalid value: \"-\": a valid"
            )
        );
        assert!(
            shown("-a")
                .starts_with("error: unable to parse requirement: <nil>: Invalid value: \"-a\": name part")
        );
    }
}
