//! When the node has too little of something: what is left, below which amount that is too little, and what is said.

use super::EvictionHard;
use crate::node::{Disk, Pressures};
use api::Quantity;
use api::quantity::Format;
use std::time::Duration;
use stdx::Time;

/// A pressure lasts that long after it was last seen, so that the node does not go up and down.
const TRANSITION: Duration = Duration::from_secs(300);

/// What may run out. The first in order are looked after first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    Memory,
    NodeFs,
    NodeFsInodes,
    ImageFs,
    ImageFsInodes,
}

/// What is left of how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    pub signal: Signal,
    pub available: i64,
    pub capacity: i64,
}

impl Signal {
    const ALL: [(Signal, &str); 5] = [
        (Signal::Memory, "memory.available"),
        (Signal::NodeFs, "nodefs.available"),
        (Signal::NodeFsInodes, "nodefs.inodesFree"),
        (Signal::ImageFs, "imagefs.available"),
        (Signal::ImageFsInodes, "imagefs.inodesFree"),
    ];

    /// As flags name it.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(signal, _)| *signal == self).map_or("", |(_, name)| name)
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(signal, _)| *signal)
    }

    /// The resource as messages call it, and as pods ask for it.
    pub fn resource(self) -> &'static str {
        match self {
            Signal::Memory => "memory",
            Signal::NodeFs | Signal::ImageFs => "ephemeral-storage",
            Signal::NodeFsInodes | Signal::ImageFsInodes => "inodes",
        }
    }

    fn format(self) -> Format {
        match self {
            Signal::NodeFsInodes | Signal::ImageFsInodes => Format::DecimalSI,
            _ => Format::BinarySI,
        }
    }

    fn is_of_disk(self) -> bool {
        self != Signal::Memory
    }
}

impl Observation {
    pub fn memory(available: i64, capacity: i64) -> Self {
        Observation { signal: Signal::Memory, available, capacity }
    }

    /// Bytes and inodes of a file system.
    pub fn of_disk(bytes: Signal, inodes: Signal, disk: &Disk) -> Vec<Self> {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let observe = |signal, available, capacity| Observation {
            signal,
            available: number(available),
            capacity: number(capacity),
        };
        let mut seen = vec![observe(bytes, disk.available, disk.usable())];
        // Some file systems have no fixed number of inodes, and say 0.
        if disk.inodes > 0 {
            seen.push(observe(inodes, disk.inodes_free, disk.inodes));
        }
        seen.retain(|one| one.capacity > 0);
        seen
    }

    pub fn is_too_little(&self, hard: &EvictionHard) -> bool {
        self.available < hard.least(self.signal, self.capacity)
    }

    /// `The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi. `
    pub fn message(&self, hard: &EvictionHard) -> String {
        let quantity = |value| Quantity::new(value, self.signal.format());
        let (resource, least) = (self.signal.resource(), hard.least(self.signal, self.capacity));
        let left = quantity(self.available);
        format!(
            "The node was low on resource: {resource}. Threshold quantity: {}, available: {left}. ",
            quantity(least)
        )
    }
}

/// When each pressure was last seen.
#[derive(Debug, Default)]
pub struct LastSeen {
    memory: Option<Time>,
    disk: Option<Time>,
}

impl LastSeen {
    /// The pressures that hold now, of what is too little and what was.
    pub fn pressures(&mut self, low: &[Observation], now: Time) -> Pressures {
        if low.iter().any(|one| one.signal == Signal::Memory) {
            self.memory = Some(now);
        }
        if low.iter().any(|one| one.signal.is_of_disk()) {
            self.disk = Some(now);
        }
        let holds = |seen: Option<Time>| seen.is_some_and(|at| now.since(at) < TRANSITION);
        Pressures { memory: holds(self.memory), disk: holds(self.disk) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MI: i64 = 1 << 20;

    #[test]
    fn messages_are_upstreams() {
        let hard = EvictionHard::default();
        let low = Observation::memory(90 * MI, 8192 * MI);
        assert!(low.is_too_little(&hard));
        let said = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi. ";
        assert_eq!(low.message(&hard), said);
        assert!(!Observation::memory(100 * MI, 8192 * MI).is_too_little(&hard));
    }

    #[test]
    fn a_disk_is_measured_by_what_could_be_had() {
        let hard = EvictionHard::default();
        let disk =
            Disk { capacity: 252, used: 56, available: 36, inodes: 1000, inodes_free: 40, ..Disk::default() };
        let seen = Observation::of_disk(Signal::ImageFs, Signal::ImageFsInodes, &disk);
        assert!(!seen[0].is_too_little(&hard));
        assert!(seen[1].is_too_little(&hard));
        let said = "The node was low on resource: inodes. Threshold quantity: 50, available: 40. ";
        assert_eq!(seen[1].message(&hard), said);
    }

    #[test]
    fn a_pressure_lasts_five_minutes_longer_than_it_is_seen() {
        let mut seen = LastSeen::default();
        let low = [Observation::memory(0, 8192 * MI)];
        assert_eq!(seen.pressures(&[], Time::from_secs(0)), Pressures::default());
        let under = Pressures { memory: true, disk: false };
        assert_eq!(seen.pressures(&low, Time::from_secs(10)), under);
        assert_eq!(seen.pressures(&[], Time::from_secs(309)), under);
        assert_eq!(seen.pressures(&[], Time::from_secs(310)), Pressures::default());
    }
}
