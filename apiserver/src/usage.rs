//! What nodes and pods use, for metrics.k8s.io: kubelets are asked when somebody asks, and their answers hold for a
//! while. CPU is a rate between two readings; where there is no earlier one, a second is taken a moment later.
//!
//! ```text
//! GET /apis/metrics.k8s.io/v1beta1/nodes → each node's GET https://NODE:10250/metrics/resource → NodeMetrics
//! ```

mod metrics_text;
mod objects;

use crate::call::Call;
use crate::server::Server;
use crate::stream;
use api::{Status, Value};
use futures::future::join_all;
use metrics_text::Reading;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use stdx::Time;

/// How long an answer of a kubelet holds: metrics-server's interval.
const FRESH: Duration = Duration::from_secs(15);
/// An earlier reading is good for a rate when it is younger than this.
const COMPARABLE: Duration = Duration::from_secs(90);
/// The time between two readings where there was none before.
const MOMENT: Duration = Duration::from_secs(1);

/// Two readings of a node, the earlier first.
#[derive(Clone)]
struct Pair {
    before: Arc<Reading>,
    last: Arc<Reading>,
}

/// What kubelets said.
#[derive(Default)]
pub struct Usage {
    nodes: Mutex<HashMap<String, Pair>>,
    /// Held while kubelets are asked: who comes meanwhile wants the same.
    asking: tokio::sync::Mutex<()>,
}

/// The objects that a request on the group is about.
pub async fn objects(call: &Call) -> Vec<Value> {
    let server = &call.server;
    let nodes = server.find_all("", "nodes", "").await;
    let asked = nodes.iter().filter(|node| call.info().namespaced || wants(call, node));
    let pairs = server.usage.pairs(server, asked.collect()).await;
    if call.info().namespaced {
        let pods = server.find_all("", "pods", call.namespace()).await;
        return pods
            .iter()
            .filter(|pod| wants(call, pod))
            .filter_map(|pod| objects::pod(pod, &pairs))
            .collect();
    }
    nodes.iter().filter(|node| wants(call, node)).filter_map(|node| objects::node(node, &pairs)).collect()
}

/// One of them.
pub async fn object(call: &Call) -> Result<Value, Status> {
    let kind = call.info().kind.to_lowercase();
    let name = match call.namespace() {
        "" => call.target.name.clone(),
        namespace => format!("{namespace}/{}", call.target.name),
    };
    let found = objects(call).await.into_iter().next();
    found.ok_or_else(|| Status::not_found(call.group(), &kind, &name))
}

fn wants(call: &Call, object: &Value) -> bool {
    call.target.name.is_empty() || Call::name_of(object) == call.target.name
}

impl Usage {
    /// The readings of nodes by name; without those that do not answer.
    async fn pairs(&self, server: &Server, nodes: Vec<&Value>) -> HashMap<String, Pair> {
        let _asking = self.asking.lock().await;
        let now = server.clock.now();
        let stale: Vec<&Value> =
            nodes.into_iter().filter(|node| !self.is_fresh(Call::name_of(node), now)).collect();
        let first = read(server, &stale).await;
        let mut again = Vec::new();
        for (node, reading) in first {
            if let Some(node) = self.take(node, reading) {
                again.push(node);
            }
        }
        if !again.is_empty() {
            tokio::time::sleep(MOMENT).await;
            for (node, reading) in read(server, &again).await {
                self.take(node, reading);
            }
        }
        let mut known = self.nodes.lock();
        known.retain(|_, pair| now.since(pair.last.taken) < COMPARABLE);
        let is_rate = |pair: &Pair| !Arc::ptr_eq(&pair.before, &pair.last);
        known
            .iter()
            .filter(|(_, pair)| is_rate(pair))
            .map(|(name, pair)| (name.clone(), pair.clone()))
            .collect()
    }

    fn is_fresh(&self, node: &str, now: Time) -> bool {
        let known = self.nodes.lock();
        known
            .get(node)
            .is_some_and(|pair| !Arc::ptr_eq(&pair.before, &pair.last) && now.since(pair.last.taken) < FRESH)
    }

    /// Keeps a reading. The node, when there is no earlier one to compare it with.
    fn take<'a>(&self, node: &'a Value, reading: Option<Reading>) -> Option<&'a Value> {
        let mut known = self.nodes.lock();
        let name = Call::name_of(node).to_owned();
        let Some(reading) = reading.map(Arc::new) else {
            known.remove(&name);
            return None;
        };
        let before = known.get(&name).map(|pair| pair.last.clone());
        match before.filter(|before| reading.taken.since(before.taken) < COMPARABLE) {
            Some(before) => {
                known.insert(name, Pair { before, last: reading });
                None
            }
            None => {
                known.insert(name, Pair { before: reading.clone(), last: reading });
                Some(node)
            }
        }
    }
}

/// Asks all at once.
async fn read<'a>(server: &Server, nodes: &[&'a Value]) -> Vec<(&'a Value, Option<Reading>)> {
    let ask = async |node: &'a Value| {
        let asked = tokio::time::timeout(
            server.kubelets.timeout,
            stream::ask_kubelet(server, node, "/metrics/resource"),
        );
        let text = match asked.await {
            Ok(Ok(text)) => Some(text),
            Ok(Err(why)) => {
                tracing::debug!(node = Call::name_of(node), why, "a kubelet does not tell what is used");
                None
            }
            Err(_) => None,
        };
        (node, text.map(|text| Reading::parse(&text, server.clock.now())))
    };
    join_all(nodes.iter().map(|node| ask(node))).await
}
