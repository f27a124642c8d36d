//! Which objects concern which nodes: every source (a pod, an attachment, a slice) is on one node and leads there
//! from all objects that it refers to; a volume leads to the nodes of its claim, and its secrets with it.
//!
//! ```text
//! node <- pod <- secret, configmap, service account, resource claim
//!         pod <- persistent volume claim <- persistent volume <- secret
//! node <- volume attachment, resource slice
//! ```

use api::Str;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The resources that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sort {
    Attachment,
    ConfigMap,
    Pod,
    ResourceClaim,
    Secret,
    ServiceAccount,
    Slice,
    Volume,
    VolumeClaim,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Vertex {
    sort: Sort,
    namespace: Str,
    name: Str,
}

impl Vertex {
    fn new(sort: Sort, namespace: &str, name: &str) -> Self {
        Vertex { sort, namespace: namespace.into(), name: name.into() }
    }
}

/// What is on a node, and what leads to that node through it, itself among it.
struct Source {
    node: Str,
    leads: Box<[Arc<Vertex>]>,
}

/// A volume that is bound.
struct Volume {
    claim: Arc<Vertex>,
    secrets: Vec<Arc<Vertex>>,
}

/// An object that something refers to.
pub type Reference<'a> = (Sort, &'a str);

#[derive(Default)]
pub struct Graph {
    sources: HashMap<Arc<Vertex>, Source>,
    /// The nodes that an object leads to, sorted, each with the number of sources between.
    nodes: HashMap<Arc<Vertex>, Vec<(Str, u32)>>,
    volumes: HashMap<Str, Volume>,
    /// The volumes that a secret is for.
    secrets: HashMap<Arc<Vertex>, Vec<Str>>,
}

impl Graph {
    /// Whether an object concerns a node.
    pub fn leads_to(&self, sort: Sort, namespace: &str, name: &str, node: &str) -> bool {
        let vertex = Vertex::new(sort, namespace, name);
        match sort {
            Sort::Volume => namespace.is_empty() && self.volume_leads_to(name, node),
            Sort::Secret => {
                let volumes = || self.secrets.get(&vertex).into_iter().flatten();
                self.directly(&vertex, node) || volumes().any(|volume| self.volume_leads_to(volume, node))
            }
            _ => self.directly(&vertex, node),
        }
    }

    fn directly(&self, vertex: &Vertex, node: &str) -> bool {
        self.nodes.get(vertex).is_some_and(|nodes| position(nodes, node).is_ok())
    }

    fn volume_leads_to(&self, name: &str, node: &str) -> bool {
        self.volumes.get(name).is_some_and(|volume| self.directly(&volume.claim, node))
    }

    /// Tells that a source is on `node` and refers to `to` in its namespace.
    pub fn set(&mut self, sort: Sort, namespace: &str, name: &str, node: &str, to: &[Reference<'_>]) {
        let vertex = Vertex::new(sort, namespace, name);
        let mut to: Vec<Reference<'_>> = to.iter().copied().chain([(sort, name)]).collect();
        to.sort_unstable();
        to.dedup();
        if let Some(known) = self.sources.get(&vertex) {
            let same = known.node == node
                && known.leads.len() == to.len()
                && known.leads.iter().zip(&to).all(|(k, (sort, name))| k.sort == *sort && k.name == *name);
            if same {
                return;
            }
            self.remove(sort, namespace, name);
        }
        let leads: Box<[Arc<Vertex>]> =
            to.into_iter().map(|(sort, name)| self.lead(Vertex::new(sort, namespace, name), node)).collect();
        self.sources.insert(Arc::new(vertex), Source { node: node.into(), leads });
    }

    /// Counts one more source between an object and a node.
    fn lead(&mut self, from: Vertex, node: &str) -> Arc<Vertex> {
        let from = match self.nodes.get_key_value(&from) {
            Some((known, _)) => known.clone(),
            None => Arc::new(from),
        };
        let nodes = self.nodes.entry(from.clone()).or_default();
        match position(nodes, node) {
            Ok(at) => nodes[at].1 += 1,
            Err(at) => nodes.insert(at, (node.into(), 1)),
        }
        from
    }

    /// Forgets a source.
    pub fn remove(&mut self, sort: Sort, namespace: &str, name: &str) {
        let Some(source) = self.sources.remove(&Vertex::new(sort, namespace, name)) else { return };
        for from in &source.leads {
            let Some(nodes) = self.nodes.get_mut(from) else { continue };
            let Ok(at) = position(nodes, &source.node) else { continue };
            nodes[at].1 -= 1;
            if nodes[at].1 == 0 {
                nodes.remove(at);
            }
            if nodes.is_empty() {
                self.nodes.remove(from);
            }
        }
    }

    /// Forgets all sources of a sort but these, by namespace and name.
    pub fn retain(&mut self, sort: Sort, kept: &HashSet<(&str, &str)>) {
        let gone =
            |v: &&Arc<Vertex>| v.sort == sort && !kept.contains(&(v.namespace.as_str(), v.name.as_str()));
        let gone: Vec<Arc<Vertex>> = self.sources.keys().filter(gone).cloned().collect();
        gone.iter().for_each(|vertex| self.remove(sort, &vertex.namespace, &vertex.name));
    }

    /// Tells the claim that a volume is bound to, and the secrets that it is mounted with; both by namespace and name.
    pub fn set_volume(&mut self, name: &str, claim: (&str, &str), secrets: &[(&str, &str)]) {
        self.remove_volume(name);
        let claim = Arc::new(Vertex::new(Sort::VolumeClaim, claim.0, claim.1));
        let secrets: Vec<Arc<Vertex>> = secrets
            .iter()
            .map(|(namespace, secret)| Arc::new(Vertex::new(Sort::Secret, namespace, secret)))
            .collect();
        for secret in &secrets {
            self.secrets.entry(secret.clone()).or_default().push(name.into());
        }
        self.volumes.insert(name.into(), Volume { claim, secrets });
    }

    pub fn remove_volume(&mut self, name: &str) {
        let Some(volume) = self.volumes.remove(name) else { return };
        for secret in &volume.secrets {
            let Some(volumes) = self.secrets.get_mut(secret) else { continue };
            volumes.retain(|volume| volume != name);
            if volumes.is_empty() {
                self.secrets.remove(secret);
            }
        }
    }

    pub fn remove_all_volumes(&mut self) {
        self.volumes.clear();
        self.secrets.clear();
    }
}

fn position(nodes: &[(Str, u32)], node: &str) -> Result<usize, usize> {
    nodes.binary_search_by(|(known, _)| known.as_str().cmp(node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_concerns_a_node_as_long_as_a_source_on_it_refers_to_it() {
        let mut graph = Graph::default();
        let may = |graph: &Graph, node: &str| graph.leads_to(Sort::Secret, "a", "s", node);
        graph.set(Sort::Pod, "a", "p", "n1", &[(Sort::Secret, "s"), (Sort::Secret, "s")]);
        graph.set(Sort::Pod, "a", "q", "n1", &[(Sort::Secret, "s")]);
        graph.set(Sort::Pod, "b", "p", "n2", &[(Sort::Secret, "s")]);
        assert!(may(&graph, "n1") && !may(&graph, "n2"));
        assert!(graph.leads_to(Sort::Pod, "a", "q", "n1") && !graph.leads_to(Sort::Pod, "a", "q", "n2"));
        graph.remove(Sort::Pod, "a", "p");
        assert!(may(&graph, "n1"));
        graph.set(Sort::Pod, "a", "q", "n2", &[(Sort::Secret, "s")]);
        assert!(!may(&graph, "n1") && may(&graph, "n2"));
        graph.retain(Sort::Pod, &HashSet::new());
        assert!(graph.nodes.is_empty() && graph.sources.is_empty());
    }

    #[test]
    fn a_volume_and_its_secrets_concern_the_nodes_of_its_claim() {
        let mut graph = Graph::default();
        graph.set_volume("v", ("a", "c"), &[("b", "s")]);
        let may = |graph: &Graph| {
            (graph.leads_to(Sort::Volume, "", "v", "n"), graph.leads_to(Sort::Secret, "b", "s", "n"))
        };
        assert_eq!(may(&graph), (false, false));
        graph.set(Sort::Pod, "a", "p", "n", &[(Sort::VolumeClaim, "c")]);
        assert_eq!(may(&graph), (true, true));
        assert!(!graph.leads_to(Sort::Volume, "a", "v", "n") && !graph.leads_to(Sort::Volume, "", "v", "m"));
        graph.set_volume("v", ("a", "other"), &[]);
        assert_eq!(may(&graph), (false, false));
        assert!(graph.secrets.is_empty());
    }
}
