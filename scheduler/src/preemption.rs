//! DefaultPreemption: whom a pod may displace. As few and as unimportant pods as possible leave one node, and budgets
//! are kept where that can be.

use crate::node::Node;
use crate::plan::{self, Filters, Place};
use crate::plugins::Rejection;
use crate::pod::Pod;
use crate::snapshot::Snapshot;
use api::Str;
use api::selector::LabelSelector;
use std::cmp::Reverse;
use std::sync::Arc;

const UNHELPFUL: &str = "Preemption is not helpful for scheduling";

/// The pods that leave, the most important first, and where.
#[derive(Clone, Debug)]
pub struct Preemption {
    pub node: Str,
    pub victims: Vec<Arc<Pod>>,
    violations: usize,
}

/// A PodDisruptionBudget, as far as it matters here.
#[derive(Clone, Debug)]
pub struct Budget {
    pub namespace: Str,
    pub selector: LabelSelector,
    pub allowed: i64,
    /// Pods that are counted as disrupted already.
    pub disrupted: Vec<Str>,
}

pub enum Outcome {
    Preempt(Preemption),
    /// In upstream's words; the node kept for the pod so far may be given up.
    Refused {
        why: String,
        denominates: bool,
    },
}

/// Decides. `rejected` is what each node was turned down for; of those that may do so many are tried: a percentage,
/// and at least a number.
pub fn plan(
    place: Place<'_>,
    pod: &Pod,
    rejected: &[(&Arc<Node>, &'static str, Rejection)],
    budgets: &[Budget],
    (percentage, least): (usize, usize),
) -> Outcome {
    let snapshot = place.1;
    if let Some(why) = not_eligible(snapshot, pod, rejected) {
        return Outcome::Refused { why: why.to_owned(), denominates: false };
    }
    let potential: Vec<&Arc<Node>> =
        rejected.iter().filter(|(_, _, rejection)| !rejection.is_final).map(|(node, _, _)| *node).collect();
    let wanted = (potential.len() * percentage / 100).max(least);
    let (mut clean, mut violating, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for node in potential {
        match victims_on(place, pod, node, budgets) {
            Ok(preemption) if preemption.violations == 0 => clean.push(preemption),
            Ok(preemption) => violating.push(preemption),
            Err(rejection) => failed.push(rejection),
        }
        if !clean.is_empty() && clean.len() + violating.len() >= wanted {
            break;
        }
    }
    clean.extend(violating);
    match clean.into_iter().min_by_key(rank) {
        Some(best) => Outcome::Preempt(best),
        None => {
            let total = snapshot.len();
            let why = plan::told(total, failed.iter(), UNHELPFUL);
            Outcome::Refused { why: format!("0/{total} nodes are available:{why}"), denominates: true }
        }
    }
}

/// Smaller is better: fewer broken budgets, less important victims, fewer of them, and those that began last.
fn rank(candidate: &Preemption) -> (usize, i32, i64, usize, Reverse<i64>) {
    let highest = candidate.victims.first().map_or(i32::MIN, |pod| pod.priority);
    let sum = candidate.victims.iter().map(|pod| i64::from(pod.priority) + (1_i64 << 31)).sum();
    let at_the_top = candidate.victims.iter().filter(|pod| pod.priority == highest);
    let earliest = at_the_top.filter_map(|pod| pod.started).min().unwrap_or(i64::MAX);
    (candidate.violations, highest, sum, candidate.victims.len(), Reverse(earliest))
}

fn not_eligible(
    snapshot: &Snapshot,
    pod: &Pod,
    rejected: &[(&Arc<Node>, &'static str, Rejection)],
) -> Option<&'static str> {
    if !pod.preempts {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let node = snapshot.node(&pod.nominated_node)?;
    let is_lost = rejected.iter().any(|(n, _, rejection)| n.name == node.name && rejection.is_final);
    let leaving =
        |other: &Arc<Pod>| other.priority < pod.priority && other.is_terminating && other.is_preempted;
    (!is_lost && node.pods.iter().any(leaving))
        .then_some("not eligible due to a terminating pod on the nominated node.")
}

/// The fewest pods that must leave a node, found by letting all less important ones go and taking back whom it can.
fn victims_on(
    (profile, snapshot): Place<'_>,
    pod: &Pod,
    node: &Node,
    budgets: &[Budget],
) -> Result<Preemption, Rejection> {
    let mut potential: Vec<Arc<Pod>> =
        node.pods.iter().filter(|other| other.priority < pod.priority).cloned().collect();
    if potential.is_empty() {
        return Err(Rejection::for_good("No preemption victims found for incoming pod"));
    }
    let mut cleared = snapshot.with_pods(&node.name, |node| {
        potential.iter().for_each(|other| node.remove(&other.uid));
    });
    fits((profile, &cleared), pod, &node.name)?;
    potential.sort_by_key(importance);
    let (violating, others) = by_budget(potential, budgets);
    let (mut victims, mut violations) = (Vec::new(), 0);
    for (breaks, other) in violating.into_iter().map(|p| (1, p)).chain(others.into_iter().map(|p| (0, p))) {
        let with = cleared.with_pods(&node.name, |node| node.add(other.clone()));
        if fits((profile, &with), pod, &node.name).is_ok() {
            cleared = with;
        } else {
            violations += breaks;
            victims.push(other);
        }
    }
    victims.sort_by_key(importance);
    Ok(Preemption { node: node.name.clone(), victims, violations })
}

fn fits(place: Place<'_>, pod: &Pod, name: &str) -> Result<(), Rejection> {
    let (profile, snapshot) = place;
    let Some(node) = snapshot.node(name) else { return Err(Rejection::for_good(UNHELPFUL)) };
    plan::check(&Filters::new(profile, snapshot, pod), place, pod, node).map_err(|(_, rejection)| rejection)
}

/// The more important pod has the smaller key: by priority, then by who began first.
fn importance(pod: &Arc<Pod>) -> (Reverse<i32>, i64) {
    (Reverse(pod.priority), pod.started.unwrap_or(i64::MAX))
}

/// Those whose leaving would break a budget, and the others; both in their order.
fn by_budget(pods: Vec<Arc<Pod>>, budgets: &[Budget]) -> (Vec<Arc<Pod>>, Vec<Arc<Pod>>) {
    let mut left: Vec<i64> = budgets.iter().map(|budget| budget.allowed).collect();
    pods.into_iter().partition(|pod| {
        let mut breaks = false;
        for (budget, left) in budgets.iter().zip(&mut left) {
            let concerned = budget.namespace == pod.namespace
                && !pod.labels.is_empty()
                && !budget.selector.is_empty()
                && budget.selector.matches(Some(&pod.labels))
                && !budget.disrupted.contains(&pod.name);
            if concerned {
                *left -= 1;
                breaks |= *left < 0;
            }
        }
        breaks
    })
}
