//! How fast nodes that are not ready lose their pods, zone by zone: one node every ten seconds, none in a small zone
//! that is mostly down, and nobody at all when everything is down (then the watcher is more likely cut off than all
//! nodes are gone).

use super::health::{Leaving, ready};
use api::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

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
    last: HashMap<String, Instant>,
}

/// Region and zone.
fn zone(node: &Value) -> String {
    let label = |key: &str| node.str_at(&["metadata", "labels", key]).to_owned();
    format!("{}/{}", label("topology.kubernetes.io/region"), label("topology.kubernetes.io/zone"))
}

/// What a node adds to the state of the cluster: its zone, and whether it is ready there.
pub fn standing(node: &Value) -> (String, bool) {
    (zone(node), ready(node) == "True")
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
        now: Instant,
    ) -> (Leaving, Option<Duration>) {
        let mut counts: HashMap<String, Count> = HashMap::new();
        for other in nodes {
            let (zone, is_ready) = standing(other);
            let count = counts.entry(zone).or_default();
            count.all += 1;
            count.down += usize::from(!is_ready);
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
        let past = self.last.get(&own).map(|last| now.saturating_duration_since(*last));
        let left = past.map_or(Duration::ZERO, |past| pace.saturating_sub(past));
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
    use std::sync::LazyLock;

    static START: LazyLock<Instant> = LazyLock::new(Instant::now);

    fn nodes(up: usize, down: usize) -> Vec<Arc<Value>> {
        let node =
            |ready: &str| Arc::new(tree!({"status": {"conditions": [{"type": "Ready", "status": ready}]}}));
        (0..up).map(|_| node("True")).chain((0..down).map(|_| node("Unknown"))).collect()
    }

    fn ask(zones: &mut Zones, up: usize, down: usize, secs: u64) -> Leaving {
        let nodes = nodes(up, down);
        zones.leaving(nodes.last().unwrap(), &nodes, false, *START + Duration::from_secs(secs)).0
    }

    #[test]
    fn one_node_after_the_other_loses_its_pods() {
        let mut zones = Zones::default();
        assert_eq!(ask(&mut zones, 5, 2, 100), Leaving::Now);
        assert_eq!(ask(&mut zones, 5, 2, 105), Leaving::NotYet);
        assert_eq!(ask(&mut zones, 5, 2, 110), Leaving::Now);
    }

    #[test]
    fn pods_leave_a_dead_node_once_another_is_ready_and_no_longer_when_that_dies_too() {
        let mut zones = Zones::default();
        let mut told =
            |nodes: &[Arc<Value>], told| zones.leaving(&nodes[nodes.len() - 1], nodes, told, *START);
        assert_eq!(told(&nodes(0, 1), false), (Leaving::Never, None));
        assert_eq!(told(&nodes(1, 1), false), (Leaving::Now, None));
        assert_eq!(told(&nodes(0, 2), true), (Leaving::Never, None));
        let standing = |nodes: &[Arc<Value>]| standing(&nodes[0]);
        assert_ne!(standing(&nodes(1, 0)), standing(&nodes(0, 1)));
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
