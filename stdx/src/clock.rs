//! The wall clock: what time it is, as `metadata.creationTimestamp`, certificates and tokens see it.
//!
//! A `Clock` is a cheap handle. The real one reads the system; a manual one stands still until it is moved,
//! and a following one asks a function (a simulator hands in its own time).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NANOS_PER_SEC: i64 = 1_000_000_000;
const SECS_PER_DAY: i64 = 86_400;

/// A moment: seconds since 1970-01-01T00:00:00Z and nanoseconds within that second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    pub secs: i64,
    /// Always below 1,000,000,000.
    pub nanos: u32,
}

/// A handle to a wall clock. Clones share it.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
    Following(Arc<dyn Fn() -> Time + Send + Sync>),
}

impl Clock {
    /// The clock of this machine.
    pub const fn system() -> Self {
        Clock(Source::System)
    }

    /// A clock that stands at `start` until `advance` is called on it or a clone of it.
    pub fn manual(start: Time) -> Self {
        Clock(Source::Manual(Arc::new(AtomicI64::new(start.total_nanos()))))
    }

    /// A clock that asks `now` each time.
    pub fn following(now: impl Fn() -> Time + Send + Sync + 'static) -> Self {
        Clock(Source::Following(Arc::new(now)))
    }

    /// What time it is.
    pub fn now(&self) -> Time {
        match &self.0 {
            Source::System => Time::from(SystemTime::now()),
            Source::Manual(nanos) => Time::from_total_nanos(nanos.load(Ordering::SeqCst)),
            Source::Following(now) => now(),
        }
    }

    /// Moves a manual clock forward; other clocks are not moved.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(nanos) = &self.0 {
            nanos.fetch_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.0 {
            Source::System => "system",
            Source::Manual(_) => "manual",
            Source::Following(_) => "following",
        };
        write!(f, "Clock({source})")
    }
}

impl Time {
    /// The start of a second.
    pub const fn from_secs(secs: i64) -> Self {
        Time { secs, nanos: 0 }
    }

    fn from_total_nanos(nanos: i64) -> Self {
        let rest = u32::try_from(nanos.rem_euclid(NANOS_PER_SEC)).unwrap_or(0);
        Time { secs: nanos.div_euclid(NANOS_PER_SEC), nanos: rest }
    }

    fn total_nanos(self) -> i64 {
        self.secs.saturating_mul(NANOS_PER_SEC).saturating_add(i64::from(self.nanos))
    }

    /// `metav1.Time`: `2026-11-21T13:24:05Z`.
    pub fn rfc3339(self) -> String {
        let (date, of_day) = self.date_and_seconds();
        format!("{date}T{:02}:{:02}:{:02}Z", of_day / 3600, of_day / 60 % 60, of_day % 60)
    }

    /// `metav1.MicroTime`: `2026-11-21T13:24:05.123456Z`.
    pub fn rfc3339_micro(self) -> String {
        let mut text = self.rfc3339();
        text.truncate(text.len() - 1);
        format!("{text}.{:06}Z", self.nanos / 1000)
    }

    /// `YYYY-MM-DD` and the seconds since midnight.
    fn date_and_seconds(self) -> (Date, i64) {
        (Date::of_day(self.secs.div_euclid(SECS_PER_DAY)), self.secs.rem_euclid(SECS_PER_DAY))
    }

    /// The moment `by` later, saturating.
    pub fn plus(self, by: Duration) -> Self {
        let nanos = u64::from(self.nanos) + u64::from(by.subsec_nanos());
        let carry = i64::from(nanos >= NANOS_PER_SEC.unsigned_abs());
        let secs = self.secs.saturating_add_unsigned(by.as_secs()).saturating_add(carry);
        Time { secs, nanos: u32::try_from(nanos % NANOS_PER_SEC.unsigned_abs()).unwrap_or(0) }
    }

    /// How long ago `earlier` was; zero when it is not earlier.
    pub fn since(self, earlier: Time) -> Duration {
        let nanos = self.total_nanos().saturating_sub(earlier.total_nanos());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }
}

impl From<SystemTime> for Time {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Time::default().plus(after),
            Err(before) => {
                let nanos = i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX);
                Time::from_total_nanos(-nanos)
            }
        }
    }
}

/// A day of the proleptic Gregorian calendar.
struct Date {
    year: i64,
    month: i64,
    day: i64,
}

impl Date {
    /// From days since 1970-01-01. Years start in March here, so that the leap day is a year's last day and
    /// months have a regular length; 400 years (an era) have 146,097 days.
    fn of_day(day: i64) -> Self {
        let shifted = day + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        Date { year: era * 400 + year_of_era + i64::from(month <= 2), month, day }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_print_as_upstream_prints_them() {
        let time = Time { secs: 1_795_267_445, nanos: 7_123_999 };
        assert_eq!(time.rfc3339(), "2026-11-21T13:24:05Z");
        assert_eq!(time.rfc3339_micro(), "2026-11-21T13:24:05.007123Z");
        assert_eq!(Time::default().rfc3339(), "1970-01-01T00:00:00Z");
        assert_eq!(Time::from_secs(951_782_400).rfc3339(), "2000-02-29T00:00:00Z");
        assert_eq!(Time::from_secs(-1).rfc3339(), "1969-12-31T23:59:59Z");
        assert_eq!(Time::from_secs(4_107_542_399).rfc3339(), "2100-02-28T23:59:59Z");
        assert_eq!(Time::from_secs(4_107_542_400).rfc3339(), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn a_manual_clock_moves_only_when_told_and_for_all_clones() {
        let clock = Clock::manual(Time { secs: 10, nanos: 999_999_999 });
        let other = clock.clone();
        assert_eq!(other.now(), Time { secs: 10, nanos: 999_999_999 });
        clock.advance(Duration::from_nanos(2));
        assert_eq!(other.now(), Time { secs: 11, nanos: 1 });
        assert_eq!(other.now().since(Time::from_secs(11)), Duration::from_nanos(1));
        assert_eq!(Time::from_secs(11).since(other.now()), Duration::ZERO);
    }

    #[test]
    fn a_following_clock_asks_each_time() {
        let source = Clock::manual(Time::from_secs(5));
        let inner = source.clone();
        let clock = Clock::following(move || inner.now());
        source.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), Time::from_secs(6));
    }

    #[test]
    fn the_system_clock_runs() {
        assert!(Clock::system().now() > Time::from_secs(1_700_000_000));
    }
}
