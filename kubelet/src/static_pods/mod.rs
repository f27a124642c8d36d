//! Pods that the node runs by itself, from manifests in a folder, and their mirrors in the API: copies by which others
//! see them. Source of names and rules: upstream's `kubernetes/pkg/kubelet/config` and `pod/mirror_client.go`.

mod folder;
mod manifest;
mod mirrors;

pub use manifest::PodRules;

use crate::node::Node;
use crate::pods::{Pods, Source};
use crate::{Kubelet, Settings};
use api::Value;
use client::{Client, key_of};
use folder::Folder;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often the folder is read although nothing was noticed.
const SCAN: Duration = Duration::from_secs(20);
/// How long until what could not be done yet is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What static pods are run with.
struct Parts {
    settings: Arc<Settings>,
    /// With the identity of the node.
    client: Client,
    pods: Pods,
    node: Node,
    rules: Arc<dyn PodRules>,
}

struct StaticPods {
    parts: Parts,
    path: PathBuf,
    /// Those that run, by `NS/NAME`.
    running: HashMap<String, Arc<Value>>,
}

impl Kubelet {
    /// Runs the pods of the settings' folder, read by `rules`; nothing when there is none.
    pub fn run_folder(&self, rules: Arc<dyn PodRules>) {
        let parts = &self.parts;
        let Some(path) = parts.settings.static_pods.clone() else { return };
        let parts = Parts {
            settings: parts.settings.clone(),
            client: parts.client.clone(),
            pods: parts.pods.clone(),
            node: parts.node.clone(),
            rules,
        };
        tokio::spawn(StaticPods { parts, path, running: HashMap::new() }.run());
    }
}

impl StaticPods {
    async fn run(mut self) {
        let mut folder = Folder::new(&self.path);
        loop {
            let wanted = self.read();
            let mut is_done = run_only(&self.parts.pods, &mut self.running, wanted);
            self.parts.pods.heard_from(Source::Folder);
            is_done &= mirrors::reconcile(&self.parts, &self.running).await;
            tokio::select! {
                () = folder.changed() => {}
                () = self.parts.pods.mirrors_changed() => {}
                () = tokio::time::sleep(if is_done { SCAN } else { AGAIN }) => {}
            }
        }
    }

    /// The pods of the folder by `NS/NAME`; of two with one name the last counts.
    fn read(&self) -> HashMap<String, Arc<Value>> {
        let settings = &self.parts.settings;
        let mut wanted = HashMap::new();
        for file in folder::files(&self.path) {
            match manifest::read(&file, &settings.node_name, &*self.parts.rules) {
                Ok(mut pod) => {
                    let key = key_of(&pod);
                    // Seen once, it stays the same object.
                    let known = self.running.get(&key).filter(|known| uid(known) == uid(&pod)).cloned();
                    let pod = known.unwrap_or_else(|| {
                        manifest::mark(&mut pod, settings.clock.now());
                        Arc::new(pod)
                    });
                    wanted.insert(key, pod);
                }
                Err(why) => tracing::warn!(file = %file.display(), why, "a manifest is left out"),
            }
        }
        wanted
    }
}

/// Stops what is no longer wanted and starts what is new. False when something has to wait: a pod that changed starts
/// after its former self is gone, one that came back after its mirror is.
fn run_only(
    pods: &Pods,
    running: &mut HashMap<String, Arc<Value>>,
    wanted: HashMap<String, Arc<Value>>,
) -> bool {
    let (mut is_done, mut came_back) = (true, Vec::new());
    running.retain(|key, pod| {
        let runs = pods.by_uid(uid(pod)).is_some();
        let is_wanted = wanted.get(key).is_some_and(|new| uid(new) == uid(pod));
        if runs && is_wanted {
            return true;
        }
        if runs {
            pods.remove(uid(pod));
        }
        let is_leaving = pods.has(uid(pod));
        is_done &= !is_leaving && !is_wanted;
        if is_wanted && !is_leaving {
            came_back.push(key.clone());
        }
        is_leaving
    });
    for (key, pod) in wanted {
        if running.contains_key(&key) || came_back.contains(&key) {
            continue;
        }
        pods.put(Source::Folder, pod.clone());
        running.insert(key, pod);
    }
    is_done
}

fn uid(pod: &Value) -> &str {
    pod.str_at(&["metadata", "uid"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_pod_that_comes_back_to_the_folder_starts_after_its_former_self_is_gone() {
        let (pods, mut starts) = Pods::new();
        let mut running = HashMap::new();
        let pod = Arc::new(tree!({"metadata": {"namespace": "n", "name": "p", "uid": "u"}}));
        let wanted = || HashMap::from([("n/p".to_owned(), pod.clone())]);
        assert!(run_only(&pods, &mut running, wanted()) && run_only(&pods, &mut running, wanted()));
        assert_eq!(starts.try_recv().unwrap().uid, "u");
        assert!(!run_only(&pods, &mut running, HashMap::new()), "it is being stopped");
        assert!(!run_only(&pods, &mut running, wanted()), "still");
        assert!(pods.by_uid("u").is_none() && pods.finish("u"));
        assert!(!run_only(&pods, &mut running, wanted()) && running.is_empty(), "its mirror goes");
        assert!(run_only(&pods, &mut running, wanted()));
        assert!(pods.by_uid("u").is_some());
        assert_eq!(starts.try_recv().unwrap().uid, "u");
    }
}
