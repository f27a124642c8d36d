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
use crate::runtime::events::{self, Happened};
use crate::volumes::Volumes;
use crate::{Runtime, Settings, resources};
use client::{Client, Informer, Recorder, trim_managed_fields};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;

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
/// When a folder cannot be made, or the machine cannot be read.
pub async fn start(settings: Settings, client: Client) -> std::io::Result<Kubelet> {
    let settings = Arc::new(settings);
    std::fs::create_dir_all(settings.root.join("pods"))?;
    let runtime = Runtime::new(&settings.containerd);
    crate::streams::sweep(&runtime, &crate::streams::folder(&settings.root));
    let (pods, starts) = Pods::new();
    let parts = Arc::new(parts(&settings, &client, &runtime, &pods)?);
    tokio::spawn(run(parts.clone(), client, starts));
    Ok(Kubelet { pods, runtime, parts })
}

fn parts(
    settings: &Arc<Settings>,
    client: &Client,
    runtime: &Runtime,
    pods: &Pods,
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
async fn run(parts: Arc<Parts>, client: Client, mut starts: UnboundedReceiver<Start>) {
    let informer = pods::follow(&parts.pods, client, &parts.settings.node_name);
    if parts.settings.static_pods.is_none() {
        parts.pods.heard_from(Source::Folder);
    }
    let pods = parts.pods.clone();
    tokio::spawn(async move {
        informer.synced().await;
        pods.heard_from(Source::Api);
    });
    let garbage = Garbage::new(parts.runtime.clone(), &parts.pods, &parts.settings);
    let (pods, clear) = (parts.pods.clone(), garbage.clone());
    tokio::spawn(async move {
        pods.settled().await;
        clear.run().await;
    });
    let (log_root, clock) = (parts.settings.log_root.clone(), parts.settings.clock.clone());
    tokio::spawn(logs::rotate(parts.runtime.clone(), log_root, logs::LIMITS, clock));
    tokio::spawn(listen(parts.clone(), garbage.clone()));
    while let Some(start) = starts.recv().await {
        let (parts, garbage) = (parts.clone(), garbage.clone());
        tokio::spawn(async move {
            Worker::run(parts, start).await;
            garbage.wake();
        });
    }
}

/// Tells workers what happens to their containers, and looks for pods that nobody wants any more.
async fn listen(parts: Arc<Parts>, garbage: Garbage) {
    let told = parts.clone();
    let tell = move |happened| match happened {
        Happened::Listening => {
            told.pods.look();
            told.node.look();
            tokio::spawn(adopt(told.clone()));
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
async fn adopt(parts: Arc<Parts>) {
    parts.pods.settled().await;
    match parts.runtime.find_pods().await {
        Ok(found) => {
            for pod in found.into_iter().filter(|pod| !parts.pods.has(&pod.uid)) {
                tracing::info!(pod.namespace, pod.name, "a pod is gone; what is left of it is removed");
                parts.pods.adopt(Arc::new(pod.object()));
            }
            // Of others, no more than folders is left.
            parts.context.volumes.orphans(|uid| parts.pods.has(uid)).await;
        }
        Err(status) => tracing::debug!(%status, "containerd does not tell of its pods"),
    }
}
