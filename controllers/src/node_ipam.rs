//! node-ipam-controller: gives every node a range of addresses for its pods, out of the cluster's.
//!
//! What is taken is read off the nodes themselves, so that it survives restarts. Nodes for which nothing is left wait
//! until another node goes.

use crate::reconcile::{self, Outcome};
use crate::{Context, Recorder, owner, resources};
use api::{Value, tree};
use client::{Client, Error, Informer, WorkQueue, key_of};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

const WORKERS: usize = 4;

/// The addresses of a cluster's pods, and how they are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodRange {
    pub address: IpAddr,
    /// How many leading bits all addresses share.
    pub prefix: u8,
    /// As `prefix`, of the part that one node gets.
    pub node_prefix: u8,
}

impl Default for PodRange {
    fn default() -> Self {
        PodRange { address: IpAddr::V4(Ipv4Addr::new(10, 244, 0, 0)), prefix: 16, node_prefix: 24 }
    }
}

impl PodRange {
    /// `ADDRESS/PREFIX`, with parts for nodes of the usual size (/24, or /64 of IPv6).
    ///
    /// # Errors
    /// When it is no such range, or is too large or too small to be divided.
    pub fn parse(text: &str) -> Result<Self, String> {
        let range = text.split_once('/').and_then(|(a, p)| Some((a.parse().ok()?, p.parse().ok()?)));
        let (address, prefix): (IpAddr, u8) = range.ok_or_else(|| format!("invalid CIDR {text:?}"))?;
        let node_prefix = if address.is_ipv4() { 24 } else { 64 };
        if prefix > node_prefix || node_prefix - prefix > 16 {
            return Err(format!("{text} cannot be divided into ranges of /{node_prefix} for nodes"));
        }
        Ok(PodRange { address, prefix, node_prefix })
    }

    fn bits(&self) -> u32 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// How many nodes get a part.
    fn parts(&self) -> u32 {
        1 << self.node_prefix.saturating_sub(self.prefix)
    }

    fn first(&self) -> u128 {
        let host_bits = self.bits() - u32::from(self.prefix);
        number(self.address).checked_shr(host_bits).and_then(|n| n.checked_shl(host_bits)).unwrap_or(0)
    }

    /// How the part of that number is written.
    fn part(&self, index: u32) -> String {
        let host_bits = self.bits() - u32::from(self.node_prefix);
        let address = self.first() | u128::from(index).checked_shl(host_bits).unwrap_or(0);
        let address = match u32::try_from(address) {
            Ok(v4) if self.address.is_ipv4() => IpAddr::V4(Ipv4Addr::from(v4)),
            _ => IpAddr::V6(Ipv6Addr::from(address)),
        };
        format!("{address}/{}", self.node_prefix)
    }

    /// The parts that a range touches.
    fn touched(&self, text: &str) -> Option<std::ops::RangeInclusive<u32>> {
        let (address, prefix) = text.split_once('/')?;
        let (address, prefix): (IpAddr, u32) = (address.parse().ok()?, prefix.parse().ok()?);
        if address.is_ipv4() != self.address.is_ipv4() || prefix > self.bits() {
            return None;
        }
        let size = 1_u128.checked_shl(self.bits() - prefix).unwrap_or(0).wrapping_sub(1);
        let low = number(address) & !size;
        let part_bits = self.bits() - u32::from(self.node_prefix);
        let end = self.first() | ((u128::from(self.parts()) << part_bits) - 1);
        let (low, high) = (low.max(self.first()), (low | size).min(end));
        if low > high {
            return None;
        }
        let index = |address: u128| u32::try_from((address - self.first()) >> part_bits).ok();
        Some(index(low)?..=index(high)?)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// Which parts are taken, and who waits for one.
struct Ledger {
    range: PodRange,
    taken: BTreeSet<u32>,
    /// By node, the parts that are being written; one stays until it is known what became of it.
    pending: BTreeMap<String, u32>,
    next: u32,
    waiting: BTreeSet<String>,
}

impl Ledger {
    fn new(range: PodRange) -> Self {
        Ledger { range, taken: BTreeSet::new(), pending: BTreeMap::new(), next: 0, waiting: BTreeSet::new() }
    }

    /// Takes the next part that is free, in turn.
    fn take(&mut self) -> Option<u32> {
        let parts = self.range.parts();
        if self.taken.len() >= usize::try_from(parts).unwrap_or(usize::MAX) {
            return None;
        }
        let mut turn = (0..parts).map(|step| (self.next + step) % parts);
        let part = turn.find(|part| !self.taken.contains(part))?;
        self.next = (part + 1) % parts;
        self.taken.insert(part);
        Some(part)
    }

    /// The part that a node is to have: the one tried before if nobody knows whether it has that, or else a free one.
    fn take_for(&mut self, node: &str) -> Option<u32> {
        if let Some(part) = self.pending.get(node) {
            return Some(*part);
        }
        let part = self.take()?;
        self.pending.insert(node.to_owned(), part);
        Some(part)
    }

    /// The node has not got the part that was pending.
    fn give_back(&mut self, node: &str) -> BTreeSet<String> {
        match self.pending.remove(node) {
            Some(part) if self.taken.remove(&part) => std::mem::take(&mut self.waiting),
            _ => BTreeSet::new(),
        }
    }

    /// Notes what became of a node. Gives those that may try again.
    fn note(&mut self, old: Option<&Value>, new: Option<&Value>) -> BTreeSet<String> {
        let Some(name) = new.or(old).map(key_of) else { return BTreeSet::new() };
        let (had, has) = (old.map(ranges_of).unwrap_or_default(), new.map(ranges_of).unwrap_or_default());
        let mut woken = BTreeSet::new();
        if new.is_none() {
            self.waiting.remove(&name);
        }
        if new.is_none() || !has.is_empty() {
            woken.append(&mut self.give_back(&name));
        }
        if had != has {
            woken.append(&mut self.release(&had));
        }
        new.into_iter().for_each(|node| self.occupy(node));
        woken
    }

    fn occupy(&mut self, node: &Value) {
        for range in ranges_of(node) {
            self.taken.extend(self.range.touched(&range).into_iter().flatten());
        }
    }

    /// Gives up what a node had. Who waits may try again.
    fn release(&mut self, ranges: &[String]) -> BTreeSet<String> {
        let parts = ranges.iter().filter_map(|range| self.range.touched(range)).flatten();
        let before = self.taken.len();
        for part in parts {
            self.taken.remove(&part);
        }
        if self.taken.len() < before { std::mem::take(&mut self.waiting) } else { BTreeSet::new() }
    }
}

fn ranges_of(node: &Value) -> Vec<String> {
    let ranges = node.list_at(&["spec", "podCIDRs"]).iter().filter_map(Value::as_str).map(str::to_owned);
    ranges.collect()
}

#[derive(Clone)]
struct Ipam {
    client: Client,
    nodes: Informer,
    recorder: Recorder,
    ledger: Arc<Mutex<Ledger>>,
    queue: WorkQueue,
}

pub fn start(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let ipam = Ipam {
        client: context.client.clone(),
        nodes: context.informer(&resources::nodes()),
        recorder: Recorder::new(context.client.clone(), "cidrAllocator", context.clock()),
        ledger: Arc::new(Mutex::new(Ledger::new(context.settings.pod_range))),
        queue: queue.clone(),
    };
    let (ledger, wake) = (ipam.ledger.clone(), queue.clone());
    ipam.nodes.on_change(Arc::new(move |old, new| {
        let woken = ledger.lock().note(old.map(|n| &**n), new.map(|n| &**n));
        let lacking = new.filter(|node| ranges_of(node).is_empty()).map(|node| key_of(node));
        woken.into_iter().chain(lacking).for_each(|name| wake.add(name));
    }));
    let copy = ipam.nodes.clone();
    reconcile::run_on("node-ipam", &queue, WORKERS, &[&copy], move |name| {
        let ipam = ipam.clone();
        async move { ipam.serve(&name).await }
    });
}

impl Ipam {
    async fn serve(&self, name: &str) -> Outcome {
        let node = self.nodes.cache().get(name);
        let Some(node) = node.filter(|n| ranges_of(n).is_empty() && !owner::is_leaving(n)) else {
            return Ok(());
        };
        let (range, part) = {
            let mut ledger = self.ledger.lock();
            match ledger.take_for(name) {
                Some(part) => (ledger.range, part),
                None => {
                    if ledger.waiting.insert(name.to_owned()) {
                        let message = format!("Node {name} status is now: CIDRNotAvailable");
                        self.recorder.normal(("v1", "Node"), &node, "CIDRNotAvailable", &message);
                    }
                    return Ok(());
                }
            }
        };
        let range = range.part(part);
        let written = match self.give(name, &node, &range).await {
            Ok(written) => written,
            Err(error) => {
                // Without a clear answer it may have been written: it is tried again with the same range.
                if is_refusal(error.code()) {
                    let woken = self.ledger.lock().give_back(name);
                    woken.into_iter().for_each(|name| self.queue.add(name));
                }
                return if error.is_not_found() { Ok(()) } else { Err(error) };
            }
        };
        self.nodes.caught_up(&written).await;
        Ok(())
    }

    /// Writes the range to the node, unless it has become another node or has got one.
    async fn give(&self, name: &str, node: &Value, range: &str) -> Result<Value, Error> {
        let patch = tree!({
            "metadata": {"uid": (owner::uid(node))}, "spec": {"podCIDR": range, "podCIDRs": [range]}
        });
        self.client.strategic_patch(&resources::nodes(), "", name, &patch).await
    }
}

/// Nothing was written, for sure.
fn is_refusal(code: Option<u16>) -> bool {
    code.is_some_and(|code| (400..500).contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(ranges: &[&str]) -> Value {
        let ranges: Vec<Value> = ranges.iter().map(|r| Value::from(*r)).collect();
        tree!({"metadata": {"name": "n"}, "spec": {"podCIDRs": ranges}})
    }

    #[test]
    fn parts_are_given_in_turn_and_those_of_nodes_are_left_out() {
        let mut ledger = Ledger::new(PodRange::default());
        ledger.occupy(&node(&["10.244.1.0/24"]));
        let taken: Vec<u32> = (0..2).filter_map(|_| ledger.take()).collect();
        assert_eq!(taken, [0, 2]);
        assert_eq!(ledger.range.part(2), "10.244.2.0/24");
        ledger.release(&["10.244.0.0/24".to_owned()]);
        assert_eq!(ledger.take(), Some(3), "the next, though an earlier one is free");
    }

    #[test]
    fn who_finds_nothing_waits_until_something_is_given_up() {
        let mut ledger = Ledger::new(PodRange { prefix: 23, ..PodRange::default() });
        assert_eq!((ledger.take(), ledger.take(), ledger.take()), (Some(0), Some(1), None));
        ledger.waiting.insert("n".to_owned());
        assert!(ledger.release(&["192.168.0.0/24".to_owned()]).is_empty());
        assert_eq!(ledger.release(&["10.244.1.0/24".to_owned()]).len(), 1);
        assert_eq!(ledger.take(), Some(1));
    }

    #[test]
    fn larger_and_smaller_ranges_touch_the_parts_they_overlap() {
        let range = PodRange::default();
        assert_eq!(range.touched("10.244.4.0/22"), Some(4..=7));
        assert_eq!(range.touched("10.244.4.128/25"), Some(4..=4));
        assert_eq!(range.touched("10.0.0.0/8"), Some(0..=255));
        assert_eq!(range.touched("10.245.0.0/24"), None);
        assert_eq!(range.touched("fd00::/64"), None);
    }

    #[test]
    fn ranges_of_both_families_are_divided() {
        let range = PodRange::parse("fd00:1::/48").unwrap();
        assert_eq!(range.part(258), "fd00:1:0:102::/64");
        assert_eq!(range.touched("fd00:1:0:102::/64"), Some(258..=258));
        assert_eq!(PodRange::parse("10.244.0.0/16"), Ok(PodRange::default()));
        assert!(PodRange::parse("10.0.0.0/4").is_err() && PodRange::parse("fd00::/32").is_err());
        assert!(PodRange::parse("x").is_err() && PodRange::parse("10.0.0.0/30").is_err());
    }

    #[test]
    fn a_part_that_may_have_been_written_stays_the_nodes_until_it_is_seen() {
        let mut ledger = Ledger::new(PodRange::default());
        assert_eq!(
            (ledger.take_for("n"), ledger.take_for("n"), ledger.take_for("m")),
            (Some(0), Some(0), Some(1))
        );
        ledger.note(None, Some(&node(&[])));
        assert_eq!(ledger.take_for("n"), Some(0), "nothing is known yet");
        ledger.note(Some(&node(&[])), Some(&node(&["10.244.7.0/24"])));
        assert_eq!(ledger.taken, [1, 7].into(), "it got another");
        ledger.give_back("m");
        assert_eq!(ledger.taken, [7].into());
    }

    #[test]
    fn only_a_refusal_says_that_nothing_was_written() {
        assert!(is_refusal(Some(409)) && is_refusal(Some(404)));
        assert!(!is_refusal(Some(500)) && !is_refusal(None), "no answer, or one from in between");
    }

    #[test]
    fn a_node_that_was_made_again_unseen_gives_up_what_it_had() {
        let mut ledger = Ledger::new(PodRange { prefix: 23, ..PodRange::default() });
        ledger.note(None, Some(&node(&["10.244.0.0/24"])));
        ledger.take_for("m");
        ledger.waiting.insert("w".to_owned());
        let woken = ledger.note(Some(&node(&["10.244.0.0/24"])), Some(&node(&[])));
        assert_eq!((woken, ledger.taken.clone()), (["w".to_owned()].into(), [1].into()));
        assert_eq!(ledger.take_for("n"), Some(0));
        ledger.note(Some(&node(&[])), Some(&node(&["10.244.0.0/24"])));
        assert_eq!(ledger.taken, [0, 1].into());
        ledger.note(Some(&node(&["10.244.0.0/24"])), None);
        assert_eq!((ledger.taken.clone(), ledger.pending.len()), ([1].into(), 1));
    }
}
