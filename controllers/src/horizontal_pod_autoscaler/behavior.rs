//! How fast replicas may follow what metrics ask for: limits, policies, and windows in which the past counts. Pure,
//! but for the memory of one autoscaler.

use api::Value;
use std::time::Duration;
use stdx::Time;

/// How long a higher recommendation keeps replicas up, unless the object says otherwise.
const DOWN_WINDOW: i64 = 300;

/// What was recommended and done before.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    recommended: Vec<(i64, Time)>,
    /// How many replicas came and went, and when.
    added: Vec<(i64, Time)>,
    removed: Vec<(i64, Time)>,
}

/// The replicas to have, and two conditions: reason, message; the second also says whether it limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub replicas: i64,
    pub able: (&'static str, &'static str),
    pub limited: (bool, &'static str, &'static str),
}

/// Bounds and present state.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub current: i64,
    pub least: i64,
    pub most: i64,
}

const READY: (&str, &str) = ("ReadyForNewScale", "recommended size matches current size");
const HELD_UP: (&str, &str) = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);
const HELD_DOWN: (&str, &str) = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const WITHIN: (&str, &str) = ("DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_MANY: (&str, &str) =
    ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FEW: (&str, &str) =
    ("TooFewReplicas", "the desired replica count is less than the minimum replica count");
const UP_LIMIT: (&str, &str) =
    ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const DOWN_LIMIT: (&str, &str) =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");

impl Memory {
    /// What was there when we first looked counts as recommended.
    pub fn begin(&mut self, current: i64, now: Time) {
        if self.recommended.is_empty() {
            self.recommended.push((current, now));
        }
    }

    /// The replicas to have when `wanted` are asked for.
    pub fn settle(&mut self, behavior: Option<&Value>, bounds: Bounds, wanted: i64, now: Time) -> Verdict {
        let (stable, held) = self.stabilize(behavior, bounds.current, wanted, now);
        let (replicas, why) = match behavior {
            None => by_rule(bounds, stable),
            Some(behavior) => self.by_policy(behavior, bounds, stable, now),
        };
        Verdict {
            replicas,
            able: if stable == wanted { READY } else { held },
            limited: (replicas != stable, why.0, why.1),
        }
    }

    fn stabilize(
        &mut self,
        behavior: Option<&Value>,
        current: i64,
        wanted: i64,
        now: Time,
    ) -> (i64, (&'static str, &'static str)) {
        let window = |which: &str, otherwise: i64| {
            let secs = behavior.and_then(|b| b.i64_at(&[which, "stabilizationWindowSeconds"]));
            Duration::from_secs(u64::try_from(secs.unwrap_or(otherwise)).unwrap_or(0))
        };
        let (up, down) = (window("scaleUp", 0), window("scaleDown", DOWN_WINDOW));
        let within = |at: &Time, window: Duration| now.since(*at) < window;
        let recent = |window: Duration| {
            self.recommended.iter().filter(move |(_, at)| within(at, window)).map(|(replicas, _)| *replicas)
        };
        let lowest = recent(up).fold(wanted, i64::min);
        let highest = recent(down).fold(wanted, i64::max);
        let stable = match behavior {
            None => highest,
            Some(_) => current.max(lowest).min(highest),
        };
        let longest = up.max(down);
        self.recommended.retain(|(_, at)| within(at, longest));
        self.recommended.push((wanted, now));
        let is_up = behavior.is_some() && wanted >= current;
        (stable, if is_up { HELD_DOWN } else { HELD_UP })
    }

    fn by_policy(
        &self,
        behavior: &Value,
        Bounds { current, least, most }: Bounds,
        wanted: i64,
        now: Time,
    ) -> (i64, (&'static str, &'static str)) {
        if wanted > current {
            let limit = self.limit(behavior.get("scaleUp"), current, true, now).max(current);
            let (highest, why) = if most > limit { (limit, UP_LIMIT) } else { (most, TOO_MANY) };
            if wanted > highest {
                return (highest, why);
            }
        } else if wanted < current {
            let limit = self.limit(behavior.get("scaleDown"), current, false, now).min(current);
            let (lowest, why) = if least < limit { (limit, DOWN_LIMIT) } else { (least, TOO_FEW) };
            if wanted < lowest {
                return (lowest, why);
            }
        }
        (wanted, WITHIN)
    }

    /// How far policies let replicas go.
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "replicas are few")]
    fn limit(&self, rules: Option<&Value>, current: i64, is_up: bool, now: Time) -> i64 {
        let Some(rules) = rules else { return current };
        let policy = |policy: &Value| {
            let period = policy.i64_at(&["periodSeconds"]).unwrap_or(0);
            let start = current - recent(&self.added, period, now) + recent(&self.removed, period, now);
            let value = policy.i64_at(&["value"]).unwrap_or(0);
            match (policy.str_at(&["type"]), is_up) {
                ("Pods", true) => start + value,
                ("Pods", false) => start - value,
                (_, true) => (start as f64 * (1.0 + value as f64 / 100.0)).ceil() as i64,
                (_, false) => (start as f64 * (1.0 - value as f64 / 100.0)) as i64,
            }
        };
        let limits = rules.list_at(&["policies"]).iter().map(policy);
        let limit = match (rules.str_at(&["selectPolicy"]), is_up) {
            ("Disabled", _) => None,
            ("Min", true) | ("Max" | "", false) => limits.min(),
            _ => limits.max(),
        };
        limit.unwrap_or(current)
    }

    /// Replicas have changed.
    pub fn scaled(&mut self, behavior: Option<&Value>, from: i64, to: i64, now: Time) {
        let Some(behavior) = behavior else { return };
        let (rules, events) = match to > from {
            true => (behavior.get("scaleUp"), &mut self.added),
            false => (behavior.get("scaleDown"), &mut self.removed),
        };
        let policies = rules.map(|rules| rules.list_at(&["policies"])).unwrap_or_default();
        let longest = policies.iter().filter_map(|p| p.i64_at(&["periodSeconds"])).max().unwrap_or(0);
        let longest = Duration::from_secs(u64::try_from(longest).unwrap_or(0));
        events.retain(|(_, at)| now.since(*at) <= longest);
        events.push(((to - from).abs(), now));
    }
}

fn recent(events: &[(i64, Time)], period: i64, now: Time) -> i64 {
    let period = Duration::from_secs(u64::try_from(period).unwrap_or(0));
    events.iter().filter(|(_, at)| now.since(*at) < period).map(|(change, _)| change).sum()
}

/// Without policies: between the bounds, and at most to twice as many (or four).
fn by_rule(Bounds { current, least, most }: Bounds, wanted: i64) -> (i64, (&'static str, &'static str)) {
    let limit = (2 * current).max(4);
    let (highest, why) = if most > limit { (limit, UP_LIMIT) } else { (most, TOO_MANY) };
    if wanted < least {
        (least, TOO_FEW)
    } else if wanted > highest {
        (highest, why)
    } else {
        (wanted, WITHIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    const NOW: Time = Time::from_secs(1_000_000);

    fn after(secs: u64) -> Time {
        NOW.plus(Duration::from_secs(secs))
    }

    fn bounds(current: i64) -> Bounds {
        Bounds { current, least: 1, most: 10 }
    }

    #[test]
    fn replicas_at_most_double_and_stay_within_bounds() {
        let mut memory = Memory::default();
        let up = memory.settle(None, Bounds { most: 100, ..bounds(5) }, 50, NOW);
        assert_eq!((up.replicas, up.limited.1), (10, "ScaleUpLimit"));
        let top = Memory::default().settle(None, bounds(9), 50, NOW);
        assert_eq!((top.replicas, top.limited), (10, (true, "TooManyReplicas", TOO_MANY.1)));
        let low = Memory::default().settle(None, Bounds { least: 2, ..bounds(2) }, 0, NOW);
        assert_eq!((low.replicas, low.limited.1), (2, "TooFewReplicas"));
        let fine = Memory::default().settle(None, bounds(2), 3, NOW);
        assert_eq!((fine.replicas, fine.able, fine.limited.0), (3, READY, false));
    }

    #[test]
    fn replicas_stay_up_for_five_minutes_after_they_were_needed() {
        let mut memory = Memory::default();
        memory.begin(6, NOW);
        let held = memory.settle(None, bounds(6), 2, after(60));
        assert_eq!((held.replicas, held.able), (6, HELD_UP));
        let gone = memory.settle(None, bounds(6), 2, after(301));
        assert_eq!((gone.replicas, gone.able), (2, READY));
    }

    #[test]
    fn policies_limit_what_comes_and_goes_in_a_period() {
        let behavior = tree!({
            "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max",
                "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]},
            "scaleDown": {"stabilizationWindowSeconds": 0, "selectPolicy": "Min",
                "policies": [{"type": "Pods", "value": 3, "periodSeconds": 60}, {"type": "Percent", "value": 10, "periodSeconds": 60}]}
        });
        let mut memory = Memory::default();
        let up = memory.settle(Some(&behavior), bounds(2), 9, NOW);
        assert_eq!((up.replicas, up.limited.1), (4, "ScaleUpLimit"));
        memory.scaled(Some(&behavior), 2, 4, NOW);
        assert_eq!(memory.settle(Some(&behavior), bounds(4), 9, after(30)).replicas, 4, "two came already");
        assert_eq!(memory.settle(Some(&behavior), bounds(4), 9, after(61)).replicas, 6);
        let down = memory.settle(Some(&behavior), bounds(10), 1, after(200));
        assert_eq!((down.replicas, down.limited.1), (9, "ScaleDownLimit"));
        let mut off = behavior.clone();
        off.set(&["scaleDown", "selectPolicy"], "Disabled");
        assert_eq!(memory.settle(Some(&off), bounds(10), 1, after(300)).replicas, 10);
    }
}
