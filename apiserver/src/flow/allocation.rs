//! How seats are divided among levels that lend and borrow: each gets the same multiple of what it would like,
//! within its bounds. Upstream's `computeConcurrencyAllocation`, solved by halving instead of sorting.

/// What one level would like, and what it gets at least and at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    pub target: f64,
    pub min: f64,
    pub max: f64,
}

/// Below this a level would get nothing by any multiple.
const MIN_TARGET: f64 = 0.001;

/// Seats for each, summing up to `total` where the bounds allow it, and the multiple.
pub fn allocate(total: f64, wishes: &[Wish]) -> (Vec<f64>, f64) {
    let at =
        |wish: &Wish, multiple: f64| (multiple * wish.target.max(MIN_TARGET)).max(wish.min).min(wish.max);
    let sum = |multiple: f64| wishes.iter().map(|wish| at(wish, multiple)).sum::<f64>();
    let (mut low, mut high) = (0.0, 1.0);
    // At this multiple everybody has their maximum.
    let enough = wishes.iter().map(|wish| wish.max / wish.target.max(MIN_TARGET)).fold(1.0, f64::max);
    while sum(high) < total && high < enough {
        high *= 2.0;
    }
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if sum(middle) < total { low = middle } else { high = middle }
    }
    (wishes.iter().map(|wish| at(wish, high)).collect(), high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(total: f64, wishes: &[(f64, f64, f64)]) -> Vec<i64> {
        let wishes: Vec<Wish> = wishes.iter().map(|&(target, min, max)| Wish { target, min, max }).collect();
        allocate(total, &wishes).0.iter().map(|seats| seats.round() as i64).collect()
    }

    #[test]
    fn without_bounds_everybody_gets_in_proportion() {
        assert_eq!(seats(60.0, &[(1.0, 0.0, 100.0), (2.0, 0.0, 100.0)]), [20, 40]);
    }

    #[test]
    fn bounds_hold_and_the_rest_is_shared() {
        assert_eq!(seats(100.0, &[(1.0, 30.0, 100.0), (10.0, 10.0, 50.0), (2.0, 5.0, 90.0)]), [30, 50, 20]);
    }

    #[test]
    fn impossible_totals_end_at_the_bounds() {
        assert_eq!(seats(10.0, &[(20.0, 10.0, 50.0), (9.0, 9.0, 90.0)]), [10, 9]);
        assert_eq!(seats(1_000.0, &[(0.0, 0.0, 50.0), (9.0, 9.0, 90.0)]), [50, 90]);
        assert_eq!(seats(10.0, &[]), [0_i64; 0]);
    }
}
