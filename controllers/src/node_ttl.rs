//! ttl-controller: tells kubelets by an annotation of their node how long they may believe what they know of secrets
//! and config maps: the longer, the more nodes there are.

use crate::reconcile::{self, unless_gone};
use crate::{Context, owner, resources};
use api::{Value, tree};
use client::{WorkQueue, key_of};
use parking_lot::Mutex;
use std::sync::Arc;

const ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";

/// From and up to how many nodes so many seconds hold. They overlap, so that a node more or less changes nothing.
const STEPS: [(usize, usize, u32); 5] =
    [(0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, usize::MAX, 300)];

/// How many nodes there are, and which step that is.
#[derive(Default)]
struct Size {
    nodes: usize,
    step: usize,
}

impl Size {
    fn change(&mut self, by: isize) {
        self.nodes = self.nodes.saturating_add_signed(by);
        let holds =
            |step: usize| STEPS.get(step).is_none_or(|(from, to, _)| (*from..=*to).contains(&self.nodes));
        while !holds(self.step) {
            let up = STEPS.get(self.step).is_some_and(|(_, to, _)| self.nodes > *to);
            self.step = if up { self.step + 1 } else { self.step.saturating_sub(1) };
        }
    }

    fn seconds(&self) -> String {
        STEPS.get(self.step).map_or(0, |step| step.2).to_string()
    }
}

pub fn start(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let nodes = context.informer(&resources::nodes());
    let size = Arc::new(Mutex::new(Size::default()));
    let (changed, counted) = (queue.clone(), size.clone());
    nodes.on_change(Arc::new(move |old, new| {
        match (old, new) {
            (None, Some(_)) => counted.lock().change(1),
            (Some(_), None) => counted.lock().change(-1),
            _ => {}
        }
        if let Some(node) = new.filter(|node| ttl(node) != counted.lock().seconds()) {
            changed.add(key_of(node));
        }
    }));
    let (client, copy) = (context.client.clone(), nodes.clone());
    reconcile::run_on("node-ttl", &queue, 2, &[&copy], move |name| {
        let (client, nodes, wanted) = (client.clone(), nodes.clone(), size.lock().seconds());
        async move {
            let Some(node) = nodes.cache().get(&name) else { return Ok(()) };
            if ttl(&node) == wanted || owner::is_leaving(&node) {
                return Ok(());
            }
            let patch = tree!({"metadata": {"annotations": {(ANNOTATION): wanted}}});
            unless_gone(client.strategic_patch(&resources::nodes(), "", &name, &patch).await)?;
            Ok(())
        }
    });
}

fn ttl(node: &Value) -> &str {
    node.str_at(&["metadata", "annotations", ANNOTATION])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_grows_with_the_cluster_and_shrinks_later() {
        let mut size = Size::default();
        let mut at = |nodes: isize| {
            let by = nodes - isize::try_from(size.nodes).unwrap();
            size.change(by);
            size.seconds()
        };
        assert_eq!(at(100), "0");
        assert_eq!(at(101), "15");
        assert_eq!(at(95), "15", "not at once");
        assert_eq!(at(89), "0");
        assert_eq!(at(5000), "300");
        assert_eq!(at(1), "0");
    }
}
