//! One file a plugin, listed in `all` in upstream's order. A plugin looks at a pod once, and answers with what
//! judges nodes for it; it keeps nothing and changes nothing.

mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_balanced_allocation;
mod node_resources_fit;
mod node_unschedulable;
mod node_volume_limits;
mod pod_topology_spread;
mod taint_toleration;
#[cfg(test)]
mod trial;
pub mod volume_binding;
mod volume_restrictions;
mod volume_zone;

use crate::change::Change;
use crate::node::Node;
use crate::pod::Pod;
use crate::snapshot::Snapshot;
use api::Str;
use inter_pod_affinity::InterPodAffinity;
use node_affinity::NodeAffinity;
use node_resources_balanced_allocation::NodeResourcesBalancedAllocation;
use node_resources_fit::NodeResourcesFit;
pub use node_resources_fit::Strategy;
use pod_topology_spread::PodTopologySpread;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// The best that a plugin can say of a node.
pub const MOST: i64 = 100;

/// Why a node will not do; each text counts once for the node in what the pod is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reasons: Vec<Cow<'static, str>>,
    /// Other pods leaving would not help.
    pub is_final: bool,
}

impl Rejection {
    /// Pods leaving may help.
    pub fn for_now(reason: &'static str) -> Self {
        Rejection { reasons: vec![reason.into()], is_final: false }
    }

    pub fn for_good(reason: &'static str) -> Self {
        Rejection { reasons: vec![reason.into()], is_final: true }
    }
}

/// Judges one node.
pub type Check<'a> = Box<dyn Fn(&Node) -> Result<(), Rejection> + 'a>;

/// What a plugin has against nodes.
pub enum Filter<'a> {
    /// Nothing.
    Pass,
    /// Each is to be looked at.
    Check(Check<'a>),
    /// Only these can do at all, and each is to be looked at.
    Among(Vec<Str>, Check<'a>),
    /// None will do; the text is told as it is.
    Never(String),
}

/// A plugin: see the head of the file.
pub trait Plugin: Send + Sync {
    /// Upstream's name.
    fn name(&self) -> &'static str;

    /// How much its scores count; 0 for one that has none.
    fn weight(&self) -> i64 {
        0
    }

    fn filter<'a>(&'a self, _snapshot: &'a Snapshot, _pod: &'a Pod) -> Filter<'a> {
        Filter::Pass
    }

    /// 0 to `MOST` for each of the nodes that will do; `None` when it has no preference.
    fn score(&self, _snapshot: &Snapshot, _pod: &Pod, _nodes: &[&Arc<Node>]) -> Option<Vec<i64>> {
        None
    }

    /// Whether a pod that this plugin turned down may fare better after a change.
    fn may_help(&self, _pod: &Pod, _change: &Change) -> bool {
        false
    }
}

/// What plugins are told.
#[derive(Clone, Debug)]
pub struct Args {
    pub nodes: NodeAffinity,
    pub fit: NodeResourcesFit,
    pub balanced: NodeResourcesBalancedAllocation,
    pub affinity: InterPodAffinity,
    pub spread: PodTopologySpread,
    /// How many nodes DefaultPreemption tries: as a percentage, and at least.
    pub preemption: (usize, usize),
    /// How long VolumeBinding waits.
    pub bind_timeout: Duration,
}

impl Default for Args {
    fn default() -> Self {
        Args {
            nodes: NodeAffinity::default(),
            fit: NodeResourcesFit::default(),
            balanced: NodeResourcesBalancedAllocation::default(),
            affinity: InterPodAffinity::default(),
            spread: PodTopologySpread::default(),
            preemption: (10, 100),
            bind_timeout: Duration::from_secs(600),
        }
    }
}

/// All plugins that judge nodes, in upstream's order.
pub fn all(args: Args) -> Vec<Arc<dyn Plugin>> {
    vec![
        Arc::new(node_unschedulable::NodeUnschedulable),
        Arc::new(node_name::NodeName),
        Arc::new(taint_toleration::TaintToleration),
        Arc::new(args.nodes),
        Arc::new(node_ports::NodePorts),
        Arc::new(args.fit),
        Arc::new(volume_restrictions::VolumeRestrictions),
        Arc::new(node_volume_limits::NodeVolumeLimits),
        Arc::new(volume_binding::VolumeBinding),
        Arc::new(volume_zone::VolumeZone),
        Arc::new(args.spread),
        Arc::new(args.affinity),
        Arc::new(args.balanced),
        Arc::new(image_locality::ImageLocality),
    ]
}

/// Brings scores to 0…`MOST`, the largest to `MOST`; turned round where less is better.
fn normalise(mut scores: Vec<i64>, less_is_better: bool) -> Vec<i64> {
    let largest = scores.iter().copied().max().unwrap_or(0);
    for score in &mut scores {
        let part = if largest == 0 { 0 } else { MOST * *score / largest };
        *score = if less_is_better { MOST - part } else { part };
    }
    scores
}

/// As the server would say it.
fn not_found(resource: &str, name: &str) -> String {
    format!("{resource} \"{name}\" not found")
}
