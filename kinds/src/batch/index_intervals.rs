//! Sets of indexes as text, as indexed Jobs write them: `0,2-5,9`. Source: upstream's `apis/batch/validation`.

use api::quote;
use std::cmp::Ordering;

/// How many indexes the text names; all must be below `completions` and grow. The error is upstream's text.
pub fn count(text: &str, completions: i64) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let (mut last, mut total) = (None, 0);
    for interval in text.split(',') {
        let (first, end) = parse(interval, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(not_increasing(last, first));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// The first index that two texts share. Intervals that do not parse are left out.
pub fn overlap(a: &str, b: &str, completions: i64) -> Option<i64> {
    let parsed = |text: &str| -> Vec<(i64, i64)> {
        text.split(',').filter_map(|interval| parse(interval, completions).ok()).collect()
    };
    let (a, b) = (parsed(a), parsed(b));
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        if x.0 <= y.1 && y.0 <= x.1 {
            return Some(x.0.max(y.0));
        }
        match x.0.cmp(&y.0) {
            Ordering::Greater => j += 1,
            Ordering::Less | Ordering::Equal => i += 1,
        }
    }
    None
}

fn not_increasing(previous: i64, current: i64) -> String {
    format!("non-increasing order, previous: {previous}, current: {current}")
}

fn parse(interval: &str, completions: i64) -> Result<(i64, i64), String> {
    let parts: Vec<&str> = interval.split('-').collect();
    let (first, end) = match parts.as_slice() {
        [one] => return index(one, completions).map(|i| (i, i)),
        [first, end] => (index(first, completions)?, index(end, completions)?),
        _ => {
            return Err(format!(
                "the fragment {} violates the requirement that an index interval can have at most two parts \
                 separated by '-'",
                quote(interval)
            ));
        }
    };
    if first >= end { Err(not_increasing(first, end)) } else { Ok((first, end)) }
}

fn index(text: &str, completions: i64) -> Result<i64, String> {
    let number: i64 =
        text.parse().map_err(|_| format!("cannot convert string to integer for index: {}", quote(text)))?;
    if number >= completions { Err(format!("too large index: {}", quote(text))) } else { Ok(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_counted() {
        assert_eq!(count("0,2-4,9", 10), Ok(5));
        assert_eq!(count("", 10), Ok(0));
    }

    #[test]
    fn wrong_intervals_are_refused_in_upstreams_words() {
        let error = |text| count(text, 5).unwrap_err();
        assert_eq!(error("5"), "too large index: \"5\"");
        assert_eq!(error("x"), "cannot convert string to integer for index: \"x\"");
        assert_eq!(error("3,1"), "non-increasing order, previous: 3, current: 1");
        assert_eq!(error("3-1"), "non-increasing order, previous: 3, current: 1");
        assert!(error("1-2-3").starts_with("the fragment \"1-2-3\" violates"));
    }

    #[test]
    fn overlaps_are_found() {
        assert_eq!(overlap("0-2,5", "3,5-6", 10), Some(5));
        assert_eq!(overlap("0-2", "3", 10), None);
    }
}
