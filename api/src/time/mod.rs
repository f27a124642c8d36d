//! Points in time and durations as the API writes them: RFC 3339 and Go's duration text.
//!
//! Parsing follows Go's `time.Parse` and words its refusals the same; printing is `stdx::Time`'s.

mod duration;

pub use duration::{format_duration, parse_duration};
pub use stdx::Time;

use crate::quote;

/// The layout of `metav1.Time`, as refusals show it.
const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
/// The layout of `metav1.MicroTime`.
const MICROS: &str = "2006-01-02T15:04:05.000000Z07:00";

/// 0001-01-01T00:00:00Z, Go's zero time, which is written as `null`.
pub const ZERO: Time = Time { secs: -62_135_596_800, nanos: 0 };

/// `metav1.Time`. Errors are Go's texts: `parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse …`.
pub fn parse(text: &str) -> Result<Time, String> {
    Parser { text, layout: SECONDS, rest: text }.parse()
}

/// `metav1.MicroTime`: exactly six digits of a second's fraction.
pub fn parse_micro(text: &str) -> Result<Time, String> {
    Parser { text, layout: MICROS, rest: text }.parse()
}

/// Reads a text along the layout.
struct Parser<'a> {
    text: &'a str,
    layout: &'static str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn parse(&mut self) -> Result<Time, String> {
        let year = self.year()?;
        self.literal("-")?;
        let month = self.number("01", 1, 12, "month")?;
        self.literal("-")?;
        let day = self.two_digits("02", true)?;
        self.literal("T")?;
        let hour = self.hour()?;
        self.literal(":")?;
        let minute = self.number("04", 0, 59, "minute")?;
        self.literal(":")?;
        let second = self.number("05", 0, 59, "second")?;
        let nanos = if self.layout == MICROS { self.micros()? } else { self.fraction() };
        let offset = self.zone()?;
        if !self.rest.is_empty() {
            return Err(self.range(&format!("extra text: {}", quote(self.rest))));
        }
        if day < 1 || day > days_in(month, year) {
            return Err(self.range("day out of range"));
        }
        let secs = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
        Ok(Time { secs, nanos })
    }

    /// The refusal of what stands at `at` where `element` was due.
    fn bad(&self, at: &str, element: &str) -> String {
        format!(
            "parsing time {} as {}: cannot parse {} as {}",
            quote(self.text),
            quote(self.layout),
            quote(at),
            quote(element)
        )
    }

    fn range(&self, what: &str) -> String {
        format!("parsing time {}: {what}", quote(self.text))
    }

    fn digit(&self, at: usize) -> Option<i64> {
        self.rest.as_bytes().get(at).filter(|b| b.is_ascii_digit()).map(|b| i64::from(b - b'0'))
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn literal(&mut self, text: &str) -> Result<(), String> {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(self.bad(self.rest, text)),
        }
    }

    fn year(&mut self) -> Result<i64, String> {
        let digits: Option<i64> = (0..4).try_fold(0, |sum, at| Some(sum * 10 + self.digit(at)?));
        let year = digits.ok_or_else(|| self.bad(self.rest, "2006"))?;
        self.advance(4);
        Ok(year)
    }

    fn two_digits(&mut self, element: &str, fixed: bool) -> Result<i64, String> {
        match (self.digit(0), self.digit(1)) {
            (Some(tens), Some(ones)) => {
                self.advance(2);
                Ok(tens * 10 + ones)
            }
            (Some(ones), None) if !fixed => {
                self.advance(1);
                Ok(ones)
            }
            _ => Err(self.bad(self.rest, element)),
        }
    }

    fn number(&mut self, element: &str, least: i64, most: i64, what: &str) -> Result<i64, String> {
        let number = self.two_digits(element, true)?;
        let fits = (least..=most).contains(&number);
        if fits { Ok(number) } else { Err(self.range(&format!("{what} out of range"))) }
    }

    /// Hours alone may have one digit.
    fn hour(&mut self) -> Result<i64, String> {
        let hour = self.two_digits("15", false)?;
        if hour < 24 { Ok(hour) } else { Err(self.range("hour out of range")) }
    }

    /// A fraction of any length that the layout does not ask for.
    fn fraction(&mut self) -> u32 {
        if !self.rest.starts_with(['.', ',']) || self.digit(1).is_none() {
            return 0;
        }
        self.advance(1);
        self.fraction_digits(usize::MAX)
    }

    fn micros(&mut self) -> Result<u32, String> {
        let six = (1..=6).all(|at| self.digit(at).is_some());
        if !self.rest.starts_with(['.', ',']) || !six {
            return Err(self.bad(self.rest, ".000000"));
        }
        self.advance(1);
        Ok(self.fraction_digits(6))
    }

    fn fraction_digits(&mut self, most: usize) -> u32 {
        let (mut nanos, mut unit, mut taken) = (0, 100_000_000, 0);
        while taken < most
            && let Some(digit) = self.digit(0)
        {
            nanos += u32::try_from(digit).unwrap_or(0) * unit;
            unit /= 10;
            taken += 1;
            self.advance(1);
        }
        nanos
    }

    /// Seconds east of Greenwich.
    fn zone(&mut self) -> Result<i64, String> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let hold = self.rest;
        let bad = || self.bad(hold, "Z07:00");
        let pair = |at: usize| Some(self.digit(at)? * 10 + self.digit(at + 1)?);
        let sign = match hold.as_bytes().first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(bad()),
        };
        if hold.as_bytes().get(3) != Some(&b':') {
            return Err(bad());
        }
        let (hours, minutes) = (pair(1).ok_or_else(bad)?, pair(4).ok_or_else(bad)?);
        if hours > 24 {
            return Err(self.range("time zone offset hour out of range"));
        }
        if minutes > 60 {
            return Err(self.range("time zone offset minute out of range"));
        }
        self.advance(6);
        Ok(sign * (hours * 60 + minutes) * 60)
    }
}

fn days_in(month: i64, year: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01; years begin in March so that leap days come last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_printed_in_utc() {
        for (text, expected) in [
            ("2026-11-21T13:24:05Z", "2026-11-21T13:24:05Z"),
            ("2026-11-21T13:24:05.999Z", "2026-11-21T13:24:05Z"),
            ("2026-11-21T13:24:05+02:00", "2026-11-21T11:24:05Z"),
            ("1969-12-31T23:59:59-00:30", "1970-01-01T00:29:59Z"),
            ("2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(parse(text).unwrap().rfc3339(), expected);
        }
        assert_eq!(parse("0001-01-01T00:00:00Z").unwrap(), ZERO);
        assert_eq!(
            parse_micro("2026-11-21T13:24:05.000123Z").unwrap().rfc3339_micro(),
            "2026-11-21T13:24:05.000123Z"
        );
    }

    #[test]
    fn refusals_read_as_gos() {
        let layout = "as \"2006-01-02T15:04:05Z07:00\"";
        for (text, message) in [
            ("abc", format!("parsing time \"abc\" {layout}: cannot parse \"abc\" as \"2006\"")),
            ("", format!("parsing time \"\" {layout}: cannot parse \"\" as \"2006\"")),
            ("2026-11-21", format!("parsing time \"2026-11-21\" {layout}: cannot parse \"\" as \"T\"")),
            ("2026-13-21T00:00:00Z", "parsing time \"2026-13-21T00:00:00Z\": month out of range".to_owned()),
            ("2026-02-30T00:00:00Z", "parsing time \"2026-02-30T00:00:00Z\": day out of range".to_owned()),
            ("2026-02-03T00:00:00Zx", "parsing time \"2026-02-03T00:00:00Zx\": extra text: \"x\"".to_owned()),
            (
                "2026-02-03T00:00:00",
                format!("parsing time \"2026-02-03T00:00:00\" {layout}: cannot parse \"\" as \"Z07:00\""),
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), message);
        }
        assert_eq!(
            parse_micro("2026-02-03T00:00:00Z").unwrap_err(),
            "parsing time \"2026-02-03T00:00:00Z\" as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse \"Z\" as \
             \".000000\""
        );
    }
}
