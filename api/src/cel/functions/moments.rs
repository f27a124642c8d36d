//! The parts of points in time and durations: `t.getHours()`, `d.getSeconds()`.

use super::Library;
use crate::cel::eval::Outcome;
use crate::cel::{Cel, CelError};
use crate::time::Time;

pub const LIBRARY: Library = Library {
    functions: &[],
    methods: &[
        "getFullYear",
        "getMonth",
        "getDayOfYear",
        "getDayOfMonth",
        "getDate",
        "getDayOfWeek",
        "getHours",
        "getMinutes",
        "getSeconds",
        "getMilliseconds",
    ],
    call,
};

const DAY: i64 = 86_400;

fn call<'a>(name: &str, args: &[Cel<'a>]) -> Option<Outcome<'a>> {
    Some(match args {
        [Cel::Duration(nanos)] => Ok(Cel::Int(match name {
            "getHours" => nanos / 3_600_000_000_000,
            "getMinutes" => nanos / 60_000_000_000,
            "getSeconds" => nanos / 1_000_000_000,
            "getMilliseconds" => nanos / 1_000_000 % 1000,
            _ => return None,
        })),
        [Cel::Timestamp(time)] => Ok(Cel::Int(part(name, time, 0)?)),
        [Cel::Timestamp(time), Cel::Str(zone)] => match offset(zone) {
            Some(secs) => Ok(Cel::Int(part(name, time, secs)?)),
            None => Err(CelError::new(format!("unknown time zone {zone}"))),
        },
        _ => return None,
    })
}

/// The seconds east of Greenwich of `UTC` or `[+-]HH:MM`.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "" | "UTC" | "Z" | "GMT") {
        return Some(0);
    }
    let (hours, minutes) = zone.trim_start_matches(['+', '-']).split_once(':')?;
    let secs = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
    Some(if zone.starts_with('-') { -secs } else { secs })
}

fn part(name: &str, time: &Time, offset: i64) -> Option<i64> {
    let secs = time.secs.saturating_add(offset);
    let (days, second) = (secs.div_euclid(DAY), secs.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    Some(match name {
        "getFullYear" => year,
        "getMonth" => month - 1,
        "getDayOfYear" => days - first_day(year),
        "getDayOfMonth" => day - 1,
        "getDate" => day,
        "getDayOfWeek" => (days + 4).rem_euclid(7),
        "getHours" => second / 3600,
        "getMinutes" => second / 60 % 60,
        "getSeconds" => second % 60,
        "getMilliseconds" => i64::from(time.nanos) / 1_000_000,
        _ => return None,
    })
}

/// Year, month and day of a day since 1970, in the proleptic Gregorian calendar, counted in eras of 400 years that
/// begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The day since 1970 on which a year begins.
fn first_day(year: i64) -> i64 {
    let y = year - 1;
    365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) - 719_162
}
