//! Keeps the graph as the cluster is.

use super::graph::{Graph, Sort};
use super::references;
use api::{Follow, Followed, Reader, Value};
use parking_lot::RwLock;
use std::collections::HashSet;
use std::sync::Arc;

/// Returns once the graph is that of the cluster; it then goes on by itself.
pub async fn follow(reader: &dyn Reader, graph: &Arc<RwLock<Graph>>) {
    reader.follow("", "pods", sources(graph, Sort::Pod, set_pod)).await;
    reader.follow("storage.k8s.io", "volumeattachments", sources(graph, Sort::Attachment, set_on_node)).await;
    reader.follow("resource.k8s.io", "resourceslices", sources(graph, Sort::Slice, set_on_node)).await;
    reader.follow("", "persistentvolumes", volumes(graph)).await;
}

fn place(object: &Value) -> (&str, &str) {
    (object.str_at(&["metadata", "namespace"]), object.str_at(&["metadata", "name"]))
}

fn sources(graph: &Arc<RwLock<Graph>>, sort: Sort, set: fn(&mut Graph, Sort, &Value)) -> Follow {
    let graph = graph.clone();
    Box::new(move |step| {
        let mut graph = graph.write();
        match step {
            Followed::All(all) => {
                let kept: HashSet<(&str, &str)> = all.iter().map(place).collect();
                graph.retain(sort, &kept);
                all.iter().for_each(|object| set(&mut graph, sort, object));
            }
            Followed::Set(object) => set(&mut graph, sort, &object),
            Followed::Gone { namespace, name } => graph.remove(sort, &namespace, &name),
        }
    })
}

fn set_pod(graph: &mut Graph, sort: Sort, pod: &Value) {
    let (namespace, name) = place(pod);
    let node = pod.str_at(&["spec", "nodeName"]);
    if node.is_empty() {
        return graph.remove(sort, namespace, name);
    }
    let ephemeral = references::ephemeral_claims(pod);
    let mut to = references::pod(pod);
    to.extend(ephemeral.iter().map(|claim| (Sort::VolumeClaim, claim.as_str())));
    graph.set(sort, namespace, name, node, &to);
}

/// What is on the node that it names, and refers to nothing.
fn set_on_node(graph: &mut Graph, sort: Sort, object: &Value) {
    let (namespace, name) = place(object);
    match object.str_at(&["spec", "nodeName"]) {
        "" => graph.remove(sort, namespace, name),
        node => graph.set(sort, namespace, name, node, &[]),
    }
}

fn volumes(graph: &Arc<RwLock<Graph>>) -> Follow {
    let graph = graph.clone();
    Box::new(move |step| {
        let mut graph = graph.write();
        match step {
            Followed::All(all) => {
                graph.remove_all_volumes();
                all.iter().for_each(|volume| set_volume(&mut graph, volume));
            }
            Followed::Set(volume) => set_volume(&mut graph, &volume),
            Followed::Gone { name, .. } => graph.remove_volume(&name),
        }
    })
}

fn set_volume(graph: &mut Graph, volume: &Value) {
    let name = volume.str_at(&["metadata", "name"]);
    match volume.at(&["spec", "claimRef"]).filter(|claim| !claim.is_null()) {
        Some(claim) => {
            let claim = (claim.str_at(&["namespace"]), claim.str_at(&["name"]));
            graph.set_volume(name, claim, &references::volume_secrets(volume));
        }
        None => graph.remove_volume(name),
    }
}
