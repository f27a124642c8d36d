//! The Node authorizer: a kubelet may read and write what concerns its own node and no more.
//!
//! A node is a user `system:node:NAME` in the group `system:nodes`. What refers to objects (pods, volumes,
//! attachments, resource slices) is followed from the first question about a node on, and kept as a [`Graph`].
//! Source: upstream's `plugin/pkg/auth/authorizer/node`.

mod follow;
mod graph;
mod references;
mod rules;

pub use references::{pod_config_maps, pod_secrets};

use crate::{Attributes, Authority, Decision, Reason, Rules, Ruling, Settings};
use api::Reader;
use authn::Caller;
use graph::{Graph, Sort};
use parking_lot::RwLock;
use std::fmt;
use std::sync::Arc;
use tokio::sync::OnceCell;

const USER_PREFIX: &str = "system:node:";
const GROUP: &str = "system:nodes";

/// The node that a user is, if it is one; empty when it is one without a name.
pub fn node_name<'a>(user: &'a str, groups: &[String]) -> Option<&'a str> {
    user.strip_prefix(USER_PREFIX).filter(|_| groups.iter().any(|group| group == GROUP))
}

struct Node(Arc<Following>);

/// The graph, and how it comes to be.
struct Following {
    reader: Arc<dyn Reader>,
    graph: Arc<RwLock<Graph>>,
    /// Set once the graph is that of the cluster.
    followed: OnceCell<()>,
}

/// See `AUTHORITIES`.
#[allow(clippy::unnecessary_wraps)] // the shape of every authority's maker
pub(crate) fn make(settings: &Settings) -> Result<Box<dyn Authority>, String> {
    let following =
        Following { reader: settings.reader.clone(), graph: Arc::default(), followed: OnceCell::new() };
    Ok(Box::new(Node(Arc::new(following))))
}

impl Authority for Node {
    fn name(&self) -> &'static str {
        "Node"
    }

    fn decide<'a>(&'a self, caller: &'a Caller, asked: &'a Attributes) -> Ruling<'a> {
        let Some(node) = node_name(caller.name(), caller.groups()) else {
            return Ruling::Now(Decision::NoOpinion(Reason::NONE));
        };
        if node.is_empty() {
            let why = format!("unknown node for user {}", api::quote(caller.name()));
            return Ruling::Now(Decision::NoOpinion(why.into()));
        }
        if self.0.followed.initialized() {
            return Ruling::Now(self.judge(node, asked));
        }
        Ruling::Later(Box::pin(async move {
            self.0.clone().begin().await;
            self.judge(node, asked)
        }))
    }

    /// What a node may do depends on what is on it.
    fn rules(&self, caller: &Caller, _: &str) -> Option<Rules> {
        node_name(caller.name(), caller.groups())?;
        let errors = vec!["node authorizer does not support user rule resolution".to_owned()];
        Some(Rules { errors, incomplete: true, ..Rules::default() })
    }
}

impl Following {
    /// Returns once the graph is that of the cluster. It gets there even when whoever asked goes away meanwhile:
    /// what was followed halfway would be followed twice by the next.
    async fn begin(self: Arc<Self>) {
        let work = tokio::spawn(async move {
            self.followed.get_or_init(|| follow::follow(&*self.reader, &self.graph)).await;
        });
        if let Err(why) = work.await {
            tracing::error!("what concerns nodes cannot be followed: {why}");
        }
    }
}

impl Node {
    fn judge(&self, node: &str, asked: &Attributes) -> Decision {
        match rules::rule(node, asked) {
            Ok(rules::Rule::Allowed) => Decision::Allow(Reason::NONE),
            Ok(rules::Rule::Related(sort)) => self.related(node, sort, asked),
            Err(why) => Decision::NoOpinion(why),
        }
    }

    fn related(&self, node: &str, sort: Sort, asked: &Attributes) -> Decision {
        if asked.name.is_empty() {
            return Decision::NoOpinion("No Object name found".into());
        }
        if self.0.graph.read().leads_to(sort, &asked.namespace, &asked.name, node) {
            Decision::Allow(Reason::NONE)
        } else {
            Decision::NoOpinion(Reason::lazy(Arc::new(Unrelated(node.to_owned()))))
        }
    }
}

/// Nothing of the node refers to what is asked for.
struct Unrelated(String);

impl fmt::Display for Unrelated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no relationship found between node '{}' and this object", self.0)
    }
}

#[cfg(test)]
mod tests;
