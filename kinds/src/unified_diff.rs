//! Unified diffs of texts as upstream prints them in refusals of pod updates (`go-difflib`, three lines around).
//!
//! The matching is Ratcliff and Obershelp's with the shortcut for popular lines: in texts of 200 lines or more, lines
//! that make up more than a hundredth of the text do not start a match.

use std::collections::HashMap;
use std::fmt::Write;

const CONTEXT: usize = 3;
const POPULAR_FROM: usize = 200;

/// A run of equal lines: where in `a`, where in `b`, how many.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Match {
    a: usize,
    b: usize,
    len: usize,
}

/// A difference or a run of equal lines: half-open ranges of `a` and `b`.
#[derive(Clone, Copy, Debug)]
struct Op {
    equal: bool,
    a: (usize, usize),
    b: (usize, usize),
}

/// The difference without a header; "" for equal texts.
pub fn unified_diff(a: &str, b: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.split('\n').collect(), b.split('\n').collect());
    let mut out = String::new();
    for group in grouped(operations(&matching_blocks(&a, &b))) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let _ = writeln!(out, "@@ -{} +{} @@", range(first.a.0, last.a.1), range(first.b.0, last.b.1));
        for op in &group {
            let mut lines = |sign: char, lines: &[&str]| {
                for line in lines {
                    let _ = writeln!(out, "{sign}{line}");
                }
            };
            if op.equal {
                lines(' ', &a[op.a.0..op.a.1]);
            } else {
                lines('-', &a[op.a.0..op.a.1]);
                lines('+', &b[op.b.0..op.b.1]);
            }
        }
    }
    out
}

fn range(start: usize, stop: usize) -> String {
    match stop - start {
        1 => format!("{}", start + 1),
        0 => format!("{start},0"),
        len => format!("{},{len}", start + 1),
    }
}

/// Where each line occurs in `b`, without the popular ones.
fn places<'t>(b: &[&'t str]) -> HashMap<&'t str, Vec<usize>> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (i, line) in b.iter().enumerate() {
        places.entry(line).or_default().push(i);
    }
    if b.len() >= POPULAR_FROM {
        let most = b.len() / 100 + 1;
        places.retain(|_, at| at.len() <= most);
    }
    places
}

fn matching_blocks(a: &[&str], b: &[&str]) -> Vec<Match> {
    let places = places(b);
    let mut queue = vec![(0, a.len(), 0, b.len())];
    let mut found = Vec::new();
    while let Some((a_lo, a_hi, b_lo, b_hi)) = queue.pop() {
        let longest = longest_match(a, b, &places, (a_lo, a_hi, b_lo, b_hi));
        if longest.len > 0 {
            queue.push((a_lo, longest.a, b_lo, longest.b));
            queue.push((longest.a + longest.len, a_hi, longest.b + longest.len, b_hi));
            found.push(longest);
        }
    }
    found.sort_by_key(|m| (m.a, m.b));
    let mut merged: Vec<Match> = Vec::new();
    for next in found {
        match merged.last_mut() {
            Some(last) if last.a + last.len == next.a && last.b + last.len == next.b => last.len += next.len,
            _ => merged.push(next),
        }
    }
    merged.push(Match { a: a.len(), b: b.len(), len: 0 });
    merged
}

/// The longest run of equal lines in the ranges (of those the first in `a`, then in `b`), widened by popular lines.
fn longest_match(
    a: &[&str],
    b: &[&str],
    places: &HashMap<&str, Vec<usize>>,
    (a_lo, a_hi, b_lo, b_hi): (usize, usize, usize, usize),
) -> Match {
    let mut best = Match { a: a_lo, b: b_lo, len: 0 };
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    for (i, line) in a.iter().enumerate().take(a_hi).skip(a_lo) {
        let mut next = HashMap::new();
        for &j in places.get(line).into_iter().flatten().filter(|j| (b_lo..b_hi).contains(*j)) {
            let len = 1 + j.checked_sub(1).and_then(|k| lengths.get(&k)).copied().unwrap_or(0);
            next.insert(j, len);
            if len > best.len {
                best = Match { a: i + 1 - len, b: j + 1 - len, len };
            }
        }
        lengths = next;
    }
    while best.a > a_lo && best.b > b_lo && a[best.a - 1] == b[best.b - 1] {
        best = Match { a: best.a - 1, b: best.b - 1, len: best.len + 1 };
    }
    while best.a + best.len < a_hi && best.b + best.len < b_hi && a[best.a + best.len] == b[best.b + best.len]
    {
        best.len += 1;
    }
    best
}

fn operations(blocks: &[Match]) -> Vec<Op> {
    let (mut i, mut j, mut ops) = (0, 0, Vec::new());
    for block in blocks {
        if i < block.a || j < block.b {
            ops.push(Op { equal: false, a: (i, block.a), b: (j, block.b) });
        }
        (i, j) = (block.a + block.len, block.b + block.len);
        if block.len > 0 {
            ops.push(Op { equal: true, a: (block.a, i), b: (block.b, j) });
        }
    }
    ops
}

/// Differences with the equal lines around them; far ones stand in groups of their own.
fn grouped(mut ops: Vec<Op>) -> Vec<Vec<Op>> {
    if let Some(first) = ops.first_mut().filter(|op| op.equal) {
        first.a.0 = first.a.0.max(first.a.1.saturating_sub(CONTEXT));
        first.b.0 = first.b.0.max(first.b.1.saturating_sub(CONTEXT));
    }
    if let Some(last) = ops.last_mut().filter(|op| op.equal) {
        last.a.1 = last.a.1.min(last.a.0 + CONTEXT);
        last.b.1 = last.b.1.min(last.b.0 + CONTEXT);
    }
    let (mut groups, mut group) = (Vec::new(), Vec::new());
    for op in ops {
        let mut rest = op;
        if op.equal && op.a.1 - op.a.0 > 2 * CONTEXT {
            let head = Op { a: (op.a.0, op.a.0 + CONTEXT), b: (op.b.0, op.b.0 + CONTEXT), ..op };
            group.push(head);
            groups.push(std::mem::take(&mut group));
            rest.a.0 = op.a.1 - CONTEXT;
            rest.b.0 = op.b.1 - CONTEXT;
        }
        group.push(rest);
    }
    if group.len() > 1 || group.first().is_some_and(|op| !op.equal) {
        groups.push(group);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_no_difference() {
        assert_eq!(unified_diff("a\nb", "a\nb"), "");
    }

    #[test]
    fn changes_show_three_lines_around() {
        let a = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14";
        let b = "1\n2\n3\n4\nX\n6\n7\n8\n9\n10\n11\n12\n13\nY\n14";
        let want =
            "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+X\n 6\n 7\n 8\n@@ -11,4 +11,5 @@\n 11\n 12\n 13\n+Y\n 14\n";
        assert_eq!(unified_diff(a, b), want);
    }
}
