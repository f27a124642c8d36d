//! How fast nodes that are not ready lose their pods, zone by zone: one node every ten seconds, none in a small zone
//! that is mostly down, and nobody at all when everything is down (then the watcher is more likely cut off than all
//! nodes are gone).

use super::health::{Leaving, ready};
use api::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use stdx::Time;

const EVERY: Duration = Duration::from_secs(10);
/// In a large zone that is mostly down.
const SELDOM: Duration = Duration::from_secs(100);
const LARGE: usize = 50;
/// In hundredths: from here on a zone is mostly down.
const UNHEALTHY_PERCENT: usize = 55;
const MOST_OF_A_FEW: usize = 2;

#[derive(Default)]
pub struct Zones {
    /// When the last node of a zone was told that its pods leave.
    last: HashMap<String, Time>,
}

/// Region and zone.
pub fn zone(node: &Value) -> String {
    let label = |key: &str| node.str_at(&["metadata", "labels", key]).to_owned();
    format!("{}/{}", label("topology.kubernetes.io/region"), label("topology.kubernetes.io/zone"))
}

/// Nodes of a zone, and those of them that are not ready.
#[derive(Clone, Copy, Default)]
struct Count {
    all: usize,
    down: usize,
}

impl Count {
    fn is_all_down(self) -> bool {
        self.all > 0 && self.down == self.all
    }

    /// How long must be between two nodes; `None` when none may go.
    fn pace(self) -> Option<Duration> {
        let mostly = self.down > MOST_OF_A_FEW && self.down * 100 >= self.all * UNHEALTHY_PERCENT;
        match mostly && !self.is_all_down() {
            false => Some(EVERY),
            true if self.all > LARGE => Some(SELDOM),
            true => None,
        }
    }
}

impl Zones {
    /// Whether the pods of a node that is not ready are to leave, and if not yet, when to ask again.
    pub fn leaving(
        &mut self,
        node: &Value,
        nodes: &[Arc<Value>],
        was_told: bool,
        now: Time,
    ) -> (Leaving, Option<Duration>) {
        let mut counts: HashMap<String, Count> = HashMap::new();
        for other in nodes {
            let count = counts.entry(zone(other)).or_default();
            count.all += 1;
            count.down += usize::from(ready(other) != "True");
        }
        if counts.values().all(|count| count.is_all_down()) {
            return (Leaving::Never, None);
        }
        if was_told {
            return (Leaving::Now, None);
        }
        let own = zone(node);
        let Some(pace) = counts.get(&own).copied().unwrap_or_default().pace() else {
            return (Leaving::NotYet, Some(EVERY));
        };
        let left = self.last.get(&own).map_or(Duration::ZERO, |last| last.plus(pace).since(now));
        if left.is_zero() {
            self.last.insert(own, now);
            return (Leaving::Now, None);
        }
        (Leaving::NotYet, Some(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn nodes(up: usize, down: usize) -> Vec<Arc<Value>> {
        let node =
            |ready: &str| Arc::new(tree!({"status": {"conditions": [{"type": "Ready", "status": ready}]}}));
        (0..up).map(|_| node("True")).chain((0..down).map(|_| node("Unknown"))).collect()
    }

    fn ask(zones: &mut Zones, up: usize, down: usize, secs: i64) -> Leaving {
        let nodes = nodes(up, down);
        zones.leaving(nodes.last().unwrap(), &nodes, false, Time::from_secs(secs)).0
    }

    #[test]
    fn one_node_after_the_other_loses_its_pods() {
        let mut zones = Zones::default();
        assert_eq!(ask(&mut zones, 5, 2, 100), Leaving::Now);
        assert_eq!(ask(&mut zones, 5, 2, 105), Leaving::NotYet);
        assert_eq!(ask(&mut zones, 5, 2, 110), Leaving::Now);
    }

    #[test]
    fn nobody_leaves_where_all_is_down() {
        let mut zones = Zones::default();
        assert_eq!(ask(&mut zones, 0, 1, 100), Leaving::Never);
        assert_eq!(ask(&mut zones, 1, 3, 100), Leaving::NotYet);
        assert_eq!(ask(&mut zones, 20, 40, 100), Leaving::Now);
        assert_eq!(ask(&mut zones, 20, 40, 150), Leaving::NotYet);
    }
}
