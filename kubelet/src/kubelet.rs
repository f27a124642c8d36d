//! The kubelet: puts its parts together.

use crate::cgroups::Cgroups;
use crate::container::Context;
use crate::container::fields::NodeObject;
use crate::garbage::Garbage;
use crate::hooks::Hooks;
use crate::images::Images;
use crate::logs;
use crate::node::{self, Node};
use crate::pod::{Admitted, Parts, Worker};
use crate::pods::{self, Pods, Source, Start};
use crate::probes::Probes;
use crate::root::Root;
use crate::runtime::events::{self, Happened};
use crate::volumes::Volumes;
use crate::{Runtime, Settings, resources};
use client::{Client, Informer, Recorder, trim_managed_fields};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

/// How long until a worker that broke off is replaced, and until containerd is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// A kubelet at work. It ends with the runtime; containers go on.
#[derive(Clone)]
pub struct Kubelet {
    pub pods: Pods,
    pub runtime: Runtime,
    pub(crate) parts: Arc<Parts>,
}

/// Starts a kubelet; `client` has the identity of the node.
///
/// # Errors
/// When a folder cannot be made or is another kubelet's, or the machine cannot be read.
pub async fn start(mut settings: Settings, client: Client) -> std::io::Result<Kubelet> {
    settings.log_root = std::path::absolute(&settings.log_root)?;
    let root = Arc::new(Root::take(&settings)?);
    settings.root.clone_from(&root.path);
    let settings = Arc::new(settings);
    let runtime = Runtime::new(&settings.containerd);
    crate::streams::sweep(&runtime, &crate::streams::folder(&settings.root));
    let (pods, starts) = Pods::new();
    let garbage = Garbage::new(runtime.clone(), &pods, &settings, root.clone());
    let parts = Arc::new(parts(&settings, &client, &runtime, &pods, &garbage)?);
    tokio::spawn(run(parts.clone(), client, starts, root, garbage));
    Ok(Kubelet { pods, runtime, parts })
}

fn parts(
    settings: &Arc<Settings>,
    client: &Client,
    runtime: &Runtime,
    pods: &Pods,
    garbage: &Garbage,
) -> std::io::Result<Parts> {
    let recorder = Recorder::on_host(client.clone(), "kubelet", &settings.node_name, settings.clock.clone());
    let images = Arc::new(Images::new(runtime.clone(), client.clone(), recorder.clone(), settings.clone()));
    let node = Node::start(node::Parts {
        settings: settings.clone(),
        client: client.clone(),
        recorder: recorder.clone(),
        runtime: runtime.clone(),
        images: images.clone(),
    });
    let object = node.clone();
    let object: NodeObject = Arc::new(move || object.object());
    let services = Informer::follow(client.clone(), resources::services(), "", trim_managed_fields);
    let woken = pods.clone();
    let wake = Arc::new(move |uid: &str| woken.wake(uid));
    let volumes = Volumes::new(settings.clone(), client.clone(), object.clone(), wake);
    let cgroups = Arc::new(Cgroups::new(settings)?);
    node.evict_from(node::Sources {
        pods: pods.clone(),
        cgroups: cgroups.clone(),
        volumes: volumes.clone(),
        runtime: runtime.clone(),
        log_root: settings.log_root.clone(),
        garbage: garbage.clone(),
    });
    let probed = pods.clone();
    let context = Context {
        settings: settings.clone(),
        client: client.clone(),
        recorder: recorder.clone(),
        cgroups,
        volumes,
        services,
        node: object,
    };
    Ok(Parts {
        settings: settings.clone(),
        client: client.clone(),
        recorder: recorder.clone(),
        runtime: runtime.clone(),
        pods: pods.clone(),
        context,
        images,
        node,
        probes: Probes::new(runtime.clone(), recorder.clone(), settings, move |uid| probed.probed(uid)),
        hooks: Hooks { runtime: runtime.clone(), recorder },
        admitted: Admitted::default(),
    })
}

/// Workers start as their pods come; what is nobody's is cleaned up once all pods are known.
async fn run(
    parts: Arc<Parts>,
    client: Client,
    mut starts: UnboundedReceiver<Start>,
    root: Arc<Root>,
    garbage: Garbage,
) {
    let informer = pods::follow(&parts.pods, client, &parts.settings.node_name);
    if parts.settings.static_pods.is_none() {
        parts.pods.heard_from(Source::Folder);
    }
    let pods = parts.pods.clone();
    tokio::spawn(async move {
        informer.synced().await;
        pods.heard_from(Source::Api);
    });
    let (pods, clear) = (parts.pods.clone(), garbage.clone());
    tokio::spawn(async move {
        pods.settled().await;
        clear.run().await;
    });
    let (log_root, clock) = (parts.settings.log_root.clone(), parts.settings.clock.clone());
    tokio::spawn(logs::rotate(parts.runtime.clone(), log_root, logs::LIMITS, clock));
    tokio::spawn(listen(parts.clone(), garbage.clone(), root));
    note_found(&parts).await;
    while let Some(start) = starts.recv().await {
        let (parts, garbage) = (parts.clone(), garbage.clone());
        tokio::spawn(async move {
            work(&parts.pods, start, |start| Worker::run(parts.clone(), start)).await;
            garbage.wake();
        });
    }
}

/// Takes note of the pods that run already; before, no other can be taken.
async fn note_found(parts: &Parts) {
    loop {
        match parts.runtime.find_pods().await {
            Ok(found) => return parts.admitted.found(found.into_iter().map(|pod| pod.uid)),
            Err(status) => tracing::debug!(%status, "containerd does not tell of its pods"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Has a worker work for a pod; one that breaks off is replaced.
async fn work<W>(pods: &Pods, start: Start, worker: impl Fn(Start) -> W)
where
    W: Future<Output = ()> + Send + 'static,
{
    let (uid, mut next) = (start.uid.clone(), Some(start));
    while let Some(start) = next {
        match tokio::spawn(worker(start)).await {
            Err(error) if error.is_panic() => tracing::error!(uid, %error, "the worker of a pod broke off"),
            // Done, or the runtime ends.
            _ => return,
        }
        tokio::time::sleep(AGAIN).await;
        next = pods.start_again(&uid);
    }
}

/// Tells workers what happens to their containers, and looks for pods that nobody wants any more.
async fn listen(parts: Arc<Parts>, garbage: Garbage, root: Arc<Root>) {
    let told = parts.clone();
    let tell = move |happened| match happened {
        Happened::Listening => {
            told.pods.look();
            told.node.look();
            tokio::spawn(adopt(told.clone(), root.clone()));
        }
        Happened::Exited(id) => {
            garbage.wake();
            if !told.pods.exited(&id) {
                tokio::spawn(find_owner(told.clone(), id));
            }
        }
    };
    events::follow(parts.runtime.clone(), tell).await;
}

async fn find_owner(parts: Arc<Parts>, id: String) {
    if let Ok(Some(uid)) = parts.runtime.owner_of(&id).await {
        parts.pods.exited_of(&uid, &id);
    }
}

/// Has pods cleaned up that only containerd still has.
async fn adopt(parts: Arc<Parts>, root: Arc<Root>) {
    parts.pods.settled().await;
    match parts.runtime.find_pods().await {
        Ok(found) => {
            for pod in found.into_iter().filter(|pod| !parts.pods.has(&pod.uid)) {
                tracing::info!(pod.namespace, pod.name, "a pod is gone; what is left of it is removed");
                parts.pods.adopt(Arc::new(pod.object()));
            }
            // Of others, no more than folders is left.
            parts.context.volumes.orphans(|uid| parts.pods.has(uid) || root.is_others(uid)).await;
        }
        Err(status) => tracing::debug!(%status, "containerd does not tell of its pods"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::Message;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_breaks_off_is_replaced_and_hears_what_comes_then() {
        let (pods, mut starts) = Pods::new();
        pods.put(Source::Folder, Arc::new(api::tree!({"metadata": {"uid": "u"}})));
        let tries = Arc::new(AtomicU32::new(0));
        let (told, tried) = (pods.clone(), tries.clone());
        let worker = move |mut start: Start| {
            let (told, tries) = (told.clone(), tried.clone());
            async move {
                assert_ne!(tries.fetch_add(1, Ordering::Relaxed), 0, "the first breaks off");
                told.wake(&start.uid);
                assert!(matches!(start.inbox.recv().await, Some(Message::Wake)));
                told.remove(&start.uid);
                told.finish(&start.uid);
            }
        };
        work(&pods, starts.recv().await.unwrap(), worker).await;
        assert_eq!(tries.load(Ordering::Relaxed), 2);
        assert!(!pods.has("u") && pods.start_again("u").is_none());
    }
}
