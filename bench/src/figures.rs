//! What one workload cost on one server in one round, and the median of several rounds.

use std::time::Duration;

/// One round's figures. Latencies are microseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Operations a second.
    pub per_second: f64,
    /// Half of the operations took at most this.
    pub p50_us: f64,
    /// 99 of a hundred operations took at most this.
    pub p99_us: f64,
    /// Server CPU for one operation, when process ids are known.
    pub cpu_us: Option<f64>,
    /// Resident memory at the end of the round, in KiB, when process ids are known.
    pub rss_kib: Option<f64>,
    /// Bytes of answer bodies for one operation.
    pub bytes: f64,
}

impl Figures {
    /// From the latencies of all operations, in any order, and the time that they took together.
    pub fn of(mut latencies: Vec<Duration>, took: Duration) -> Self {
        latencies.sort_unstable();
        Self {
            per_second: latencies.len() as f64 / took.as_secs_f64().max(1e-9),
            p50_us: quantile_us(&latencies, 0.50),
            p99_us: quantile_us(&latencies, 0.99),
            ..Self::default()
        }
    }

    /// The median of each figure on its own.
    pub fn median(rounds: &[Self]) -> Self {
        let of = |pick: fn(&Self) -> f64| middle(rounds.iter().map(pick).collect()).unwrap_or_default();
        let of_some = |pick: fn(&Self) -> Option<f64>| middle(rounds.iter().filter_map(pick).collect());
        Self {
            per_second: of(|round| round.per_second),
            p50_us: of(|round| round.p50_us),
            p99_us: of(|round| round.p99_us),
            cpu_us: of_some(|round| round.cpu_us),
            rss_kib: of_some(|round| round.rss_kib),
            bytes: of(|round| round.bytes),
        }
    }
}

/// The value at a share of a sorted list: the smallest that at least that share does not exceed.
fn quantile_us(sorted: &[Duration], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
}

fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() % 2 {
        1 => values.get(half).copied(),
        _ => Some((values.get(half.checked_sub(1)?)? + values.get(half)?) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let latencies: Vec<Duration> = (1..=200).rev().map(Duration::from_micros).collect();
        let figures = Figures::of(latencies, Duration::from_secs(2));
        assert_eq!((figures.p50_us.round(), figures.p99_us.round()), (100.0, 198.0));
        assert_eq!(figures.per_second, 100.0);
    }

    #[test]
    fn the_median_is_taken_of_each_figure() {
        let round = |per_second, cpu_us| Figures { per_second, cpu_us, ..Figures::default() };
        let median = Figures::median(&[round(3.0, Some(1.0)), round(1.0, Some(9.0)), round(2.0, Some(5.0))]);
        assert_eq!((median.per_second, median.cpu_us), (2.0, Some(5.0)));
        assert_eq!(Figures::median(&[round(1.0, None), round(2.0, None)]).per_second, 1.5);
        assert_eq!(Figures::median(&[]).cpu_us, None);
    }
}
