//! ImageLocality: prefers nodes that have the pod's images, the more the larger they are and the more nodes have them.

use super::{MOST, Plugin};
use crate::node::Node;
use crate::pod::Pod;
use crate::snapshot::Snapshot;
use std::sync::Arc;

const LEAST_BYTES: i64 = 23 * 1024 * 1024;
/// For each container.
const MOST_BYTES: i64 = 1000 * 1024 * 1024;

pub struct ImageLocality;

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn score(&self, snapshot: &Snapshot, pod: &Pod, nodes: &[&Arc<Node>]) -> Option<Vec<i64>> {
        let spread: Vec<_> = pod.images.iter().map(|i| (i, snapshot.image_spread(i))).collect();
        if spread.iter().all(|(_, part)| *part == 0.0) {
            return None;
        }
        let most = MOST_BYTES * pod.images.len().max(1) as i64;
        let score = |node: &&Arc<Node>| {
            let bytes = |(image, part): &(&api::Str, f64)| {
                node.images.get(*image).map_or(0, |bytes| (*bytes as f64 * part) as i64)
            };
            let sum: i64 = spread.iter().map(bytes).sum();
            MOST * (sum.clamp(LEAST_BYTES, most) - LEAST_BYTES) / (most - LEAST_BYTES)
        };
        Some(nodes.iter().map(score).collect())
    }
}
