//! What probes a pod has, and when what they answer counts.

use crate::pod::spec;
use api::Value;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Startup,
    Readiness,
    Liveness,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Startup, Kind::Readiness, Kind::Liveness];

    /// As events say it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Readiness => "Readiness",
            Kind::Liveness => "Liveness",
        }
    }

    /// The probe of this kind that a container has.
    pub fn of(self, container: &Value) -> Option<&Value> {
        let field = match self {
            Kind::Startup => "startupProbe",
            Kind::Readiness => "readinessProbe",
            Kind::Liveness => "livenessProbe",
        };
        container.get(field).filter(|probe| !probe.is_null())
    }

    /// What holds before the first answer; nothing for startup, which then is just not known.
    pub const fn at_first(self) -> Option<bool> {
        match self {
            Kind::Startup => None,
            Kind::Readiness => Some(false),
            Kind::Liveness => Some(true),
        }
    }
}

/// Containers and the kinds of their probes; those of init containers that end are not asked.
pub fn probed(pod: &Value) -> impl Iterator<Item = (&str, Kind)> {
    spec::List::Main.of(pod).iter().chain(spec::sidecars(pod)).flat_map(|container| {
        let kinds = Kind::ALL.into_iter().filter(|kind| kind.of(container).is_some());
        kinds.map(|kind| (container.str_at(&["name"]), kind))
    })
}

/// The id in a container's status, "" when there is none.
pub fn container_id(container_status: &Value) -> &str {
    let id = container_status.str_at(&["containerID"]);
    id.split_once("://").map_or(id, |(_, id)| id)
}

/// `running`, `terminated` or `waiting`.
pub fn state_of(container_status: &Value) -> &'static str {
    let is = |state| container_status.at(&["state", state]).is_some_and(|found| !found.is_null());
    ["running", "terminated"].into_iter().find(|state| is(state)).unwrap_or("waiting")
}

/// The times and thresholds of a probe, with upstream's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    pub initial_delay: Duration,
    pub period: Duration,
    pub timeout: Duration,
    pub successes: i64,
    pub failures: i64,
}

impl Pace {
    pub fn of(probe: &Value) -> Self {
        let number = |field, usual| probe.i64_at(&[field]).filter(|n| *n > 0).unwrap_or(usual);
        let seconds = |field, usual| Duration::from_secs(number(field, usual).unsigned_abs());
        Pace {
            initial_delay: seconds("initialDelaySeconds", 0),
            period: seconds("periodSeconds", 10),
            timeout: seconds("timeoutSeconds", 1),
            successes: number("successThreshold", 1),
            failures: number("failureThreshold", 3),
        }
    }
}

/// Counts equal answers in a row.
#[derive(Debug, Default)]
pub struct Judge {
    last: Option<bool>,
    run: i64,
}

impl Judge {
    /// Hears an answer; gives it back once it has come often enough to count.
    pub fn hear(&mut self, good: bool, pace: &Pace) -> Option<bool> {
        if self.last == Some(good) {
            self.run += 1;
        } else {
            (self.last, self.run) = (Some(good), 1);
        }
        let enough = if good { pace.successes } else { pace.failures };
        (self.run >= enough).then_some(good)
    }

    /// Begins to count anew.
    pub fn reset(&mut self) {
        self.run = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn an_answer_counts_when_it_came_often_enough_in_a_row() {
        let pace = Pace { successes: 2, failures: 3, ..Pace::of(&tree!({})) };
        let mut judge = Judge::default();
        let answers = [false, false, true, false, false, false, false, true, true, false, true];
        let heard: Vec<_> = answers.iter().map(|good| judge.hear(*good, &pace)).collect();
        let (no, yes) = (Some(false), Some(true));
        assert_eq!(heard, [None, None, None, None, None, no, no, None, yes, None, None]);
    }

    #[test]
    fn init_containers_are_probed_only_when_they_stay() {
        let probe = tree!({"tcpSocket": {"port": 1}});
        let pod = tree!({"spec": {
            "containers": [{"name": "a", "livenessProbe": probe.clone(), "readinessProbe": probe.clone()}, {"name": "b"}],
            "initContainers": [
                {"name": "once", "readinessProbe": probe.clone()},
                {"name": "side", "restartPolicy": "Always", "startupProbe": probe},
            ],
        }});
        let found: Vec<_> = probed(&pod).collect();
        assert_eq!(found, [("a", Kind::Readiness), ("a", Kind::Liveness), ("side", Kind::Startup)]);
    }

    #[test]
    fn a_probe_that_says_nothing_has_upstreams_times() {
        let pace = Pace::of(&tree!({"periodSeconds": 0}));
        assert_eq!((pace.period.as_secs(), pace.timeout.as_secs()), (10, 1));
        assert_eq!((pace.successes, pace.failures, pace.initial_delay.as_secs()), (1, 3, 0));
    }
}
