//! What nodes and pods use, for metrics.k8s.io: kubelets are asked when somebody asks, and their answers hold for a
//! while. CPU is a rate between two readings; where there is no earlier one, a second is taken a moment later.
//!
//! ```text
//! GET /apis/metrics.k8s.io/v1beta1/nodes → each node's GET https://NODE:10250/metrics/resource → NodeMetrics
//! ```

mod metrics_text;
mod objects;
mod readings;

pub use readings::Usage;

use crate::call::Call;
use crate::server::Server;
use crate::stream;
use api::{Status, Value};
use metrics_text::Reading;
use readings::Pair;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The objects that a request on the group is about.
pub async fn objects(call: &Call) -> Vec<Value> {
    let server = &call.server;
    if !call.info().namespaced {
        let nodes = server.find_all("", "nodes", "").await;
        let wanted: Vec<&Value> = nodes.iter().filter(|node| wants(call, node)).collect();
        let pairs = pairs(server, wanted.clone()).await;
        return wanted.into_iter().filter_map(|node| objects::node(node, &pairs)).collect();
    }
    let mut pods = server.find_all("", "pods", call.namespace()).await;
    pods.retain(|pod| wants(call, pod));
    let busy: HashSet<&str> = pods.iter().map(|pod| pod.str_at(&["spec", "nodeName"])).collect();
    let nodes = server.find_all("", "nodes", "").await;
    let pairs = pairs(server, nodes.iter().filter(|node| busy.contains(Call::name_of(node))).collect()).await;
    pods.iter().filter_map(|pod| objects::pod(pod, &pairs)).collect()
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

async fn pairs(server: &Arc<Server>, nodes: Vec<&Value>) -> HashMap<String, Pair> {
    let asking = server.clone();
    let read = move |node: Arc<Value>| {
        let server = asking.clone();
        async move { read(&server, &node).await }
    };
    server.usage.pairs(nodes, &server.clock, read).await
}

/// What a node says; nothing when it does not.
async fn read(server: &Server, node: &Value) -> Option<Reading> {
    let asked = stream::ask_kubelet(server, node, "/metrics/resource");
    match tokio::time::timeout(server.kubelets.timeout, asked).await {
        Ok(Ok(text)) => Some(Reading::parse(&text, server.clock.now())),
        Ok(Err(why)) => {
            tracing::debug!(node = Call::name_of(node), why, "a kubelet does not tell what is used");
            None
        }
        Err(_) => None,
    }
}
