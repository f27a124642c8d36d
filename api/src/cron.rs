//! Schedules of CronJobs: five fields (`0 3 * * mon-fri`), names (`@daily`) or intervals (`@every 1h30m`), with an
//! optional time zone in front (`TZ=Europe/Paris`, only in objects from old days). Errors are the texts that clients
//! read. Source: upstream's cron library.

use crate::time::parse_duration;

/// When a CronJob runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CronSchedule {
    Fields(CronFields),
    /// Every so many nanoseconds, in whole seconds, at least one.
    Every(i64),
}

/// One bit a value; bit 63 says that the field was `*` or `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronFields {
    pub minute: u64,
    pub hour: u64,
    /// Day of the month, from 1.
    pub day: u64,
    /// From 1.
    pub month: u64,
    /// Day of the week, Sunday is 0.
    pub weekday: u64,
    /// The zone named in the schedule itself.
    pub time_zone: Option<String>,
}

/// Set when a field does not restrict anything, which matters where days of month and week are combined.
pub const STAR: u64 = 1 << 63;

const NANOS_PER_SEC: i64 = 1_000_000_000;

struct Bounds {
    min: u64,
    max: u64,
    names: &'static [&'static str],
}

const MINUTES: Bounds = Bounds { min: 0, max: 59, names: &[] };
const HOURS: Bounds = Bounds { min: 0, max: 23, names: &[] };
const DAYS: Bounds = Bounds { min: 1, max: 31, names: &[] };
const MONTHS: Bounds = Bounds {
    min: 1,
    max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAYS: Bounds = Bounds { min: 0, max: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

/// Tells whether there is such a time zone, or why not.
pub type Zones = fn(&str) -> Result<(), String>;

impl CronSchedule {
    /// # Errors
    /// What clients are told is wrong.
    pub fn parse(spec: &str, zones: Zones) -> Result<Self, String> {
        if spec.is_empty() {
            return Err("empty spec string".to_owned());
        }
        let (time_zone, spec) = split_time_zone(spec, zones)?;
        if spec.starts_with('@') {
            return named(spec, time_zone);
        }
        let fields: Vec<&str> = spec.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
        };
        Ok(CronSchedule::Fields(CronFields {
            minute: field(minute, &MINUTES)?,
            hour: field(hour, &HOURS)?,
            day: field(day, &DAYS)?,
            month: field(month, &MONTHS)?,
            weekday: field(weekday, &WEEKDAYS)?,
            time_zone,
        }))
    }
}

fn split_time_zone(spec: &str, zones: Zones) -> Result<(Option<String>, &str), String> {
    let Some(rest) = spec.strip_prefix("TZ=").or_else(|| spec.strip_prefix("CRON_TZ=")) else {
        return Ok((None, spec));
    };
    let Some((zone, rest)) = rest.split_once(' ') else {
        // Upstream's parser breaks here, and its server says so.
        let why = "runtime error: slice bounds out of range [:-1]";
        return Err(format!("invalid schedule format: {why}"));
    };
    zones(zone).map_err(|e| format!("provided bad location {zone}: {e}"))?;
    Ok((Some(zone.to_owned()), rest.trim()))
}

fn named(spec: &str, time_zone: Option<String>) -> Result<CronSchedule, String> {
    let fields = match spec {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => {
            let Some(interval) = spec.strip_prefix("@every ") else {
                return Err(format!("unrecognized descriptor: {spec}"));
            };
            let nanos =
                parse_duration(interval).map_err(|e| format!("failed to parse duration {spec}: {e}"))?;
            let nanos = nanos.max(NANOS_PER_SEC);
            return Ok(CronSchedule::Every(nanos - nanos % NANOS_PER_SEC));
        }
    };
    let schedule = CronSchedule::parse(fields, |_| Ok(()))?;
    Ok(match schedule {
        CronSchedule::Fields(fields) => CronSchedule::Fields(CronFields { time_zone, ..fields }),
        every => every,
    })
}

/// A comma-separated list of ranges.
fn field(text: &str, bounds: &Bounds) -> Result<u64, String> {
    text.split(',').filter(|part| !part.is_empty()).try_fold(0, |bits, part| Ok(bits | range(part, bounds)?))
}

/// `number | number "-" number [ "/" step ]`.
fn range(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let (span, step) = match text.split('/').collect::<Vec<_>>().as_slice() {
        [span] => (*span, None),
        [span, step] => (*span, Some(*step)),
        [span, ..] => {
            // The range's own errors come first.
            ends(span, text, bounds)?;
            return Err(format!("too many slashes: {text}"));
        }
        [] => return Err(format!("too many slashes: {text}")),
    };
    let (start, mut end, mut star) = ends(span, text, bounds)?;
    let step = match step {
        None => 1,
        Some(step) => {
            let step = number(step)?;
            if !span.contains('-') {
                end = bounds.max;
            }
            if step > 1 {
                star = 0;
            }
            step
        }
    };
    let (min, max) = (bounds.min, bounds.max);
    if start < min {
        return Err(format!("beginning of range ({start}) below minimum ({min}): {text}"));
    }
    if end > max {
        return Err(format!("end of range ({end}) above maximum ({max}): {text}"));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    let Ok(step @ 1..) = usize::try_from(step) else {
        return Err(format!("step of range should be a positive number: {text}"));
    };
    Ok((start..=end).step_by(step).fold(star, |bits, bit| bits | 1 << bit))
}

/// The two ends of a range and its star bit.
fn ends(span: &str, text: &str, bounds: &Bounds) -> Result<(u64, u64, u64), String> {
    let parts: Vec<&str> = span.split('-').collect();
    if matches!(parts.first(), Some(&"*" | &"?")) {
        return Ok((bounds.min, bounds.max, STAR));
    }
    match parts.as_slice() {
        [one] => number_or_name(one, bounds).map(|n| (n, n, 0)),
        [start, end] => Ok((number_or_name(start, bounds)?, number_or_name(end, bounds)?, 0)),
        [start, ..] => {
            number_or_name(start, bounds)?;
            Err(format!("too many hyphens: {text}"))
        }
        [] => Err(format!("too many hyphens: {text}")),
    }
}

fn number_or_name(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let lower = text.to_lowercase();
    match bounds.names.iter().zip(bounds.min..).find(|(name, _)| **name == lower) {
        Some((_, number)) => Ok(number),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u64, String> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    let parsed: i64 = text.parse().map_err(|e: std::num::ParseIntError| {
        let why = if matches!(e.kind(), PosOverflow | NegOverflow) {
            "value out of range"
        } else {
            "invalid syntax"
        };
        format!("failed to parse int from {text}: strconv.Atoi: parsing {}: {why}", crate::quote(text))
    })?;
    u64::try_from(parsed).map_err(|_| format!("negative number ({parsed}) not allowed: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(name: &str) -> Result<(), String> {
        if name == "Europe/Paris" { Ok(()) } else { Err(format!("unknown time zone {name}")) }
    }

    fn error(spec: &str) -> String {
        CronSchedule::parse(spec, zones).unwrap_err()
    }

    fn fields(spec: &str) -> CronFields {
        match CronSchedule::parse(spec, zones) {
            Ok(CronSchedule::Fields(fields)) => fields,
            other => panic!("{spec}: {other:?}"),
        }
    }

    #[test]
    fn fields_become_bits() {
        let parsed = fields("*/15 3 1,15 jan-mar mon");
        assert_eq!(parsed.minute, 1 | 1 << 15 | 1 << 30 | 1 << 45);
        assert_eq!(parsed.hour, 1 << 3);
        assert_eq!(parsed.day, 1 << 1 | 1 << 15);
        assert_eq!(parsed.month, 1 << 1 | 1 << 2 | 1 << 3);
        assert_eq!(parsed.weekday, 1 << 1);
        assert_eq!(fields("5/20 ? * * *").minute, 1 << 5 | 1 << 25 | 1 << 45);
        assert_ne!(fields("* ? * * *").hour & STAR, 0);
    }

    #[test]
    fn names_stand_for_fields() {
        assert_eq!(fields("@yearly"), fields("0 0 1 1 *"));
        assert_eq!(CronSchedule::parse("@every 90m", zones), Ok(CronSchedule::Every(5400 * NANOS_PER_SEC)));
    }

    #[test]
    fn wrong_schedules_are_refused_in_upstreams_words() {
        assert_eq!(error("* * *"), "expected exactly 5 fields, found 3: [* * *]");
        assert_eq!(error("60 * * * *"), "end of range (60) above maximum (59): 60");
        assert_eq!(error("* * 0 * *"), "beginning of range (0) below minimum (1): 0");
        assert_eq!(error("5-3 * * * *"), "beginning of range (5) beyond end of range (3): 5-3");
        assert_eq!(error("*/0 * * * *"), "step of range should be a positive number: */0");
        assert_eq!(
            error("x * * * *"),
            "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"
        );
        assert_eq!(error("1-2-3 * * * *"), "too many hyphens: 1-2-3");
        assert_eq!(error("1/2/3 * * * *"), "too many slashes: 1/2/3");
        assert_eq!(error("@sometimes"), "unrecognized descriptor: @sometimes");
        assert_eq!(error("TZ=X * * * * *"), "provided bad location X: unknown time zone X");
        assert_eq!(fields("TZ=Europe/Paris @daily").time_zone.as_deref(), Some("Europe/Paris"));
        assert!(error("TZ=0").starts_with("invalid schedule format: "));
    }
}
