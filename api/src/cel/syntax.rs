//! From text to tree, with the `cel` crate's parser; refusals as upstream prints them.

use super::expr::{self, Expr};
use cel::parser::{ParseErrors, Parser};

/// Code points of an expression.
const MAX_LENGTH: usize = 100_000;
/// How deep an expression may nest.
pub const MAX_DEPTH: usize = 250;
/// Operators, dots and brackets of an expression: what the parser's own trees are deep by.
const MAX_MARKS: usize = 20_000;
/// The parser recurses by some hundred kilobytes a bracket; memory is taken only as it is used.
const STACK_BYTES: usize = 64 << 20;

/// Parses an expression.
pub fn parse(text: &str) -> Result<Expr, String> {
    let length = text.chars().count();
    if length > MAX_LENGTH {
        return Err(report(
            text,
            1,
            0,
            &format!("expression code point size exceeds limit: size: {length}, limit {MAX_LENGTH}"),
        ));
    }
    if nests_too_deep(text) {
        return Err(report(text, 1, 0, &format!("expression recursion limit exceeded: {MAX_DEPTH}")));
    }
    let parsed = stdx::deep(STACK_BYTES, || run(text));
    parsed.unwrap_or_else(|| Err(report(text, 1, 0, "the expression cannot be parsed")))
}

fn run(text: &str) -> Result<Expr, String> {
    let parser = Parser::new()
        .max_recursion_depth(u16::MAX)
        .enable_optional_syntax(true)
        .enable_ident_escape_syntax(true);
    match parser.parse_with_source_info(text) {
        Ok((parsed, source)) => {
            expr::convert(parsed, &source).map_err(|fault| report_at(text, fault.at, &fault.text))
        }
        Err(errors) => Err(reports(text, &errors)),
    }
}

/// A cheap bound before the parser recurses.
fn nests_too_deep(text: &str) -> bool {
    let (mut depth, mut deepest, mut questions, mut marks) = (0usize, 0usize, 0usize, 0usize);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'?' => questions += 1,
            _ => {}
        }
        marks += usize::from(b"([{?.+-*/%!<>=&|,".contains(&byte));
        deepest = deepest.max(depth);
    }
    deepest + questions > MAX_DEPTH || marks > MAX_MARKS
}

fn reports(text: &str, errors: &ParseErrors) -> String {
    let is_syntax = |msg: &str| msg.starts_with("Syntax error");
    let any_syntax = errors.errors.iter().any(|e| is_syntax(&e.msg));
    let shown = errors.errors.iter().filter(|e| is_syntax(&e.msg) || !any_syntax || !e.msg.contains('`'));
    let lines: Vec<String> = shown
        .map(|e| {
            let line = usize::try_from(e.pos.0).unwrap_or(1);
            report(text, line, usize::try_from(e.pos.1 - 1).unwrap_or(0), &e.msg)
        })
        .collect();
    lines.join("\n")
}

/// The most refusals that are told of one text.
const MAX_REPORTS: usize = 100;

/// Refusals at byte offsets, in the order of the text; those beyond a hundred are only counted.
pub fn report_all(text: &str, mut faults: Vec<(usize, String)>) -> String {
    let truncated = faults.len().saturating_sub(MAX_REPORTS);
    faults.truncate(MAX_REPORTS);
    faults.sort_by_key(|(at, _)| *at);
    let mut lines: Vec<String> = faults.iter().map(|(at, message)| report_at(text, *at, message)).collect();
    if truncated > 0 {
        lines.push(format!("{truncated} more errors were truncated"));
    }
    lines.join("\n")
}

/// A refusal at a byte offset.
fn report_at(text: &str, at: usize, message: &str) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    report(text, line, before.get(start..).unwrap_or_default().chars().count(), message)
}

/// `ERROR: <input>:LINE:COLUMN: …`, the line and a pointer below it. `column` counts from 0.
fn report(text: &str, line: usize, column: usize, message: &str) -> String {
    let head = format!("ERROR: <input>:{line}:{}: {message}", column + 1);
    let Some(snippet) = text.split('\n').nth(line.saturating_sub(1)) else { return head };
    if snippet.len() > 16_384 {
        return head;
    }
    let snippet = snippet.replace('\t', " ");
    let wide = |c: char| c.len_utf8() > 1;
    let dots: String = snippet.chars().take(column).map(|c| if wide(c) { '．' } else { '.' }).collect();
    let mark = if snippet.chars().nth(column).is_some_and(wide) { '＾' } else { '^' };
    format!("{head}\n | {snippet}\n | {dots}{mark}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_errors_are_worded_and_placed_as_upstream_does() {
        let error = |text: &str| parse(text).err().unwrap_or_default();
        assert_eq!(
            error("1 +"),
            "ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', \
             'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | 1 +\n | ...^"
        );
        assert_eq!(
            error("object."),
            "ERROR: <input>:1:8: Syntax error: no viable alternative at input '.'\n | object.\n | .......^"
        );
        assert!(error("has(x)").contains("invalid argument to has() macro"));
    }

    #[test]
    fn deep_and_long_expressions_are_refused_without_harm() {
        for (open, close) in [("(", ")"), ("[", "]"), ("!(", ")"), ("{1:", "}"), ("a?b:", "")] {
            let ok = format!("{}1{}", open.repeat(249), close.repeat(249));
            assert!(parse(&ok).is_ok(), "{open}");
            let text = format!("{}1{}", open.repeat(5000), close.repeat(5000));
            assert!(parse(&text).is_err_and(|e| e.contains("recursion limit")), "{open}");
        }
        // Macros are deeper trees than what is written.
        let _ = parse(&format!("{}true{}", "[1].all(x, ".repeat(249), ")".repeat(249)));
        for chain in ["1+", "a.", "!", "a&&", "-", "a==", "a[0]+"] {
            let _ = parse(&format!("{}a", chain.repeat(19000 / chain.len())));
        }
    }
}
