//! Where a pod goes: a pure function of the cluster's snapshot and the pod.

use crate::node::Node;
use crate::plugins::{Check, Filter, Rejection};
use crate::pod::Pod;
use crate::preemption::{self, Preemption};
use crate::profile::Profile;
use crate::snapshot::Snapshot;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Nodes that are enough to choose from, at least; more of them as a part of the cluster.
const LEAST_FEASIBLE: usize = 100;
const LEAST_PERCENTAGE: usize = 5;

/// What is to be done about a pod.
#[derive(Debug)]
pub enum Plan {
    /// It goes to this node; the next pod is to be looked at from `next` on, so that all nodes get their turn.
    Bind { node: Arc<Node>, next: usize },
    /// It must wait.
    Wait(Wait),
}

/// Why a pod waits, and what is done so that it need not.
#[derive(Debug, Default)]
pub struct Wait {
    /// As the pod is told, in upstream's words.
    pub message: String,
    /// The plugins that turned it down: changes that matter to them are worth another look.
    pub plugins: Vec<&'static str>,
    /// Pods that are to leave for it.
    pub preemption: Option<Preemption>,
    /// Whether the node that was kept for it is none any more.
    pub denominates: bool,
}

/// The plugins that have something against nodes, for one pod in one snapshot.
pub struct Filters<'a> {
    checks: Vec<(&'static str, Check<'a>)>,
    /// The only nodes that can do, if a plugin knows.
    among: Option<Vec<api::Str>>,
    /// A plugin's word that none will do.
    never: Option<(&'static str, String)>,
}

impl<'a> Filters<'a> {
    pub fn new(profile: &'a Profile, snapshot: &'a Snapshot, pod: &'a Pod) -> Self {
        let mut filters = Filters { checks: Vec::new(), among: None, never: None };
        for plugin in &profile.filters {
            match plugin.filter(snapshot, pod) {
                Filter::Pass => {}
                Filter::Check(check) => filters.checks.push((plugin.name(), check)),
                Filter::Among(names, check) => {
                    filters.checks.push((plugin.name(), check));
                    filters.among = Some(names);
                }
                Filter::Never(message) => {
                    filters.never = Some((plugin.name(), message));
                    break;
                }
            }
        }
        filters
    }

    /// The first plugin that turns the node down, and why.
    pub fn check(&self, node: &Node) -> Result<(), (&'static str, Rejection)> {
        if let Some((plugin, message)) = &self.never {
            return Err((plugin, Rejection { reasons: vec![message.clone().into()], is_final: true }));
        }
        self.checks
            .iter()
            .try_for_each(|(plugin, check)| check(node).map_err(|rejection| (*plugin, rejection)))
    }
}

/// By which rules, and in which cluster.
pub type Place<'a> = (&'a Profile, &'a Snapshot);

/// Whether a pod may go to a node, also when the pods that room is being made for there come first.
pub fn check(
    filters: &Filters<'_>,
    (profile, snapshot): Place<'_>,
    pod: &Pod,
    node: &Node,
) -> Result<(), (&'static str, Rejection)> {
    let first = |other: &&Arc<Pod>| other.priority >= pod.priority && other.uid != pod.uid;
    let expected: Vec<&Arc<Pod>> =
        snapshot.nominated.get(&node.name).into_iter().flatten().filter(first).collect();
    if !expected.is_empty() {
        let fuller = snapshot.with_pods(&node.name, |node| {
            expected.iter().for_each(|other| node.add((*other).clone()));
        });
        if let Some(node) = fuller.node(&node.name) {
            Filters::new(profile, &fuller, pod).check(node)?;
        }
    }
    filters.check(node)
}

/// Decides. `start` is the place of the node that is looked at first.
pub fn plan(place: Place<'_>, pod: &Pod, budgets: &[preemption::Budget], start: usize) -> Plan {
    let (profile, snapshot) = place;
    if snapshot.is_empty() {
        let message = "no nodes available to schedule pods".to_owned();
        return Plan::Wait(Wait { message, ..Wait::default() });
    }
    let filters = Filters::new(profile, snapshot, pod);
    if let Some(node) = snapshot.node(&pod.nominated_node)
        && check(&filters, place, pod, node).is_ok()
    {
        return Plan::Bind { node: node.clone(), next: start };
    }
    let mut search = Search { feasible: Vec::new(), rejected: Vec::new(), looked_at: 0 };
    search.run(place, pod, &filters, start);
    match search.feasible.as_slice() {
        [] => Plan::Wait(wait(place, pod, &filters, &search.rejected, budgets)),
        [only] => Plan::Bind { node: (*only).clone(), next: start + search.looked_at },
        several => Plan::Bind { node: best(place, pod, several).clone(), next: start + search.looked_at },
    }
}

struct Search<'s> {
    feasible: Vec<&'s Arc<Node>>,
    rejected: Vec<(&'s Arc<Node>, &'static str, Rejection)>,
    looked_at: usize,
}

impl<'s> Search<'s> {
    fn run(&mut self, place: Place<'s>, pod: &Pod, filters: &Filters<'_>, start: usize) {
        let (profile, snapshot) = place;
        if filters.never.is_some() {
            return;
        }
        if let Some(names) = &filters.among {
            let mut seen = HashSet::new();
            let known = names.iter().filter(|name| seen.insert(*name)).filter_map(|name| snapshot.node(name));
            known.for_each(|node| self.look_at(place, pod, filters, node));
            return;
        }
        let enough = enough(snapshot.len(), profile.percentage);
        for at in start..start + snapshot.len() {
            self.look_at(place, pod, filters, snapshot.at(at));
            self.looked_at += 1;
            if self.feasible.len() >= enough {
                return;
            }
        }
    }

    fn look_at(&mut self, place: Place<'s>, pod: &Pod, filters: &Filters<'_>, node: &'s Arc<Node>) {
        match check(filters, place, pod, node) {
            Ok(()) => self.feasible.push(node),
            Err((plugin, rejection)) => self.rejected.push((node, plugin, rejection)),
        }
    }
}

/// How many nodes that will do are enough to choose from, of so many.
fn enough(nodes: usize, percentage: Option<usize>) -> usize {
    if nodes < LEAST_FEASIBLE {
        return nodes;
    }
    let percentage = percentage.unwrap_or_else(|| 50_usize.saturating_sub(nodes / 125).max(LEAST_PERCENTAGE));
    (nodes * percentage / 100).max(LEAST_FEASIBLE)
}

/// The node with the highest sum of weighted scores; of several the first.
fn best<'s>((profile, snapshot): Place<'_>, pod: &Pod, nodes: &[&'s Arc<Node>]) -> &'s Arc<Node> {
    let mut sums = vec![0; nodes.len()];
    for (plugin, weight) in &profile.scores {
        let Some(scores) = plugin.score(snapshot, pod, nodes) else { continue };
        sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += weight * score);
    }
    let mut best = 0;
    for (at, sum) in sums.iter().enumerate() {
        if *sum > sums[best] {
            best = at;
        }
    }
    nodes[best]
}

/// What a pod is told that no node takes, and whom it may displace.
fn wait(
    (profile, snapshot): Place<'_>,
    pod: &Pod,
    filters: &Filters<'_>,
    rejected: &[(&Arc<Node>, &'static str, Rejection)],
    budgets: &[preemption::Budget],
) -> Wait {
    let total = snapshot.len();
    let mut message = format!("0/{total} nodes are available:");
    let mut plugins: Vec<&'static str> = Vec::new();
    if let Some((plugin, why)) = &filters.never {
        message.push_str(&format!(" {why}."));
        plugins.push(plugin);
    } else {
        if filters.among.is_some() {
            plugins.push("NodeAffinity");
        }
        message.push_str(&told(total, rejected.iter().map(|(_, _, rejection)| rejection), ELSEWHERE));
        for (_, plugin, _) in rejected {
            if !plugins.contains(plugin) {
                plugins.push(plugin);
            }
        }
    }
    let mut wait = Wait { message, plugins, ..Wait::default() };
    if profile.has_resource_claims && filters.never.is_some() {
        wait.message.push_str(NO_STATE);
        return wait;
    }
    let mut reasons: Vec<String> = Vec::new();
    reasons.extend(profile.has_resource_claims.then(|| NO_CLAIMS.to_owned()));
    match profile.preemption.map(|share| preemption::plan((profile, snapshot), pod, rejected, budgets, share))
    {
        Some(preemption::Outcome::Preempt(preemption)) => {
            wait.preemption = Some(preemption);
            return wait;
        }
        Some(preemption::Outcome::Refused { why, denominates }) => {
            reasons.push(format!("preemption: {why}"));
            wait.denominates = denominates;
        }
        None => wait.denominates = reasons.is_empty(),
    }
    if !reasons.is_empty() {
        wait.message.push_str(&format!(" {}", reasons.join(", ")));
    }
    wait
}

/// What upstream says of resource claims when a pod has none that could be given up, and when it did not come so far.
const NO_CLAIMS: &str = "no new claims to deallocate";
const NO_STATE: &str = " not found";

/// What nodes are told that were not looked at because another plugin knew better.
const ELSEWHERE: &str = "node(s) didn't satisfy plugin(s) [NodeAffinity]";

/// ` 1 Insufficient cpu, 2 node(s) were unschedulable.`: how often each reason was given, in the order of the texts.
/// Nodes without a reason of their own have `others`.
pub fn told<'r>(total: usize, rejected: impl Iterator<Item = &'r Rejection>, others: &str) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut nodes = 0;
    for rejection in rejected {
        nodes += 1;
        for reason in &rejection.reasons {
            *counts.entry(reason).or_default() += 1;
        }
    }
    if nodes < total {
        *counts.entry(others).or_default() += total - nodes;
    }
    let mut parts: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    parts.sort();
    if parts.is_empty() { String::new() } else { format!(" {}.", parts.join(", ")) }
}

#[cfg(test)]
mod tests;
