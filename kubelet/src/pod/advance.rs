//! Brings a pod forward: volumes and groups, sandbox, containers, one step after another. Source: upstream's `SyncPod`
//! and `startContainer`.

use super::parts::{Parts, rpc_error};
use super::plan::Action;
use super::resize::POD;
use super::spec::{self, List, name_of};
use super::stop::{LEAST_GRACE, grace_left};
use super::{Observed, Wait, restart_count};
use crate::container::{self, ContainerFacts, pod_dir};
use crate::hooks::Hooked;
use crate::images::pause;
use crate::logs;
use crate::pods::Message;
use crate::{cri, sandbox};
use api::Value;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::OnceCell;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

const FAILED: &str = "Failed";

/// One advance.
pub struct Advance {
    pub parts: Arc<Parts>,
    pub pod: Arc<Value>,
    pub seen: Arc<Observed>,
    pub inbox: UnboundedSender<Message>,
    pub cancel: CancellationToken,
    pub steps: Vec<Action>,
}

/// How far it came.
#[derive(Debug, Default)]
pub struct Advanced {
    /// Volumes or groups could not be set up.
    pub is_not_set_up: bool,
    /// There is no sandbox.
    pub has_no_sandbox: bool,
    /// Containers whose start was tried, and whether they started.
    pub tried: Vec<(String, bool)>,
    /// Containers (id, name) that were to get other resources, and why they did not.
    pub resized: Vec<(String, String, Option<String>)>,
    /// As it was then.
    pub pod: Arc<Value>,
}

/// The sandbox that containers start in.
struct Place {
    id: String,
    ips: Vec<String>,
    config: cri::PodSandboxConfig,
    /// The images of volumes, or why they cannot be had; known when a container is to start.
    images: OnceCell<HashMap<String, Result<String, Wait>>>,
}

/// While this lives, the hook after a container's start is under way.
struct Hook {
    inbox: UnboundedSender<Message>,
    id: String,
}

impl Hook {
    fn begin(inbox: &UnboundedSender<Message>, id: &str) -> Self {
        // The worker that is told waits for this to end.
        let _ = inbox.send(Message::Hooked(id.to_owned(), true));
        Hook { inbox: inbox.clone(), id: id.to_owned() }
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        let _ = self.inbox.send(Message::Hooked(std::mem::take(&mut self.id), false));
    }
}

impl Advance {
    pub async fn run(self) -> Advanced {
        let mut done = Advanced { pod: self.pod.clone(), ..Advanced::default() };
        // After one that fails no other is tried: the pod's group must not become smaller than its containers.
        let mut refused = self.too_small();
        let Some(set_up) = self.unless_cancelled(self.set_up()).await else { return done };
        if !set_up {
            done.is_not_set_up = true;
            return done;
        }
        let mut place = None;
        for step in &self.steps {
            if self.cancel.is_cancelled() {
                break;
            }
            match step {
                Action::Reset { id, name } => self.reset(id, name).await,
                Action::Sandbox { attempt, replaces } => {
                    place = self.sandbox(*attempt, *replaces).await;
                    if place.is_none() {
                        done.has_no_sandbox = true;
                        break;
                    }
                }
                Action::Start { list, name } => {
                    if place.is_none() {
                        place = self.place();
                    }
                    let Some(place) = &place else { break };
                    let started = self.try_start(place, *list, name).await;
                    done.tried.push((name.clone(), started));
                    let is_step = *list == List::Init && !self.is_sidecar(name);
                    if !started && is_step {
                        break;
                    }
                }
                Action::Resize { id, name, .. } => {
                    if refused.is_none() {
                        refused = self.resize(id, name).await.err();
                    }
                    done.resized.push((id.clone(), name.clone(), refused.clone()));
                }
                Action::KillPod { .. } | Action::Kill(_) | Action::Hold { .. } => {}
            }
        }
        done
    }

    fn is_sidecar(&self, name: &str) -> bool {
        spec::container(&self.pod, name).is_some_and(|(_, container)| api::resources::is_sidecar(container))
    }

    async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.cancel.cancelled() => None,
        }
    }

    fn tell(&self, message: Message) {
        // The worker that is told waits for this to end.
        let _ = self.inbox.send(message);
    }

    /// Group, folders and volumes.
    async fn set_up(&self) -> bool {
        let (parts, pod) = (&self.parts, &self.pod);
        if let Err(why) = self.ensure_group() {
            let message = format!("unable to ensure pod container exists: {why}");
            parts.say(pod, "Warning", "FailedCreatePodContainer", &message);
            return false;
        }
        let folder = pod_dir(&parts.settings, spec::uid(pod));
        for part in ["volumes", "plugins"] {
            if let Err(why) = std::fs::create_dir_all(folder.join(part)) {
                let message = format!("error making pod data directories: {why}");
                parts.say(pod, "Warning", FAILED, &message);
                return false;
            }
        }
        match parts.context.volumes.set_up(pod).await {
            Ok(()) => true,
            Err(fault) => {
                for message in &fault.messages {
                    parts.say(pod, "Warning", "FailedMount", message);
                }
                !fault.is_blocking
            }
        }
    }

    /// Nothing runs in the group before there is a sandbox: all limits can be set. Later they change by a resize alone.
    fn ensure_group(&self) -> io::Result<()> {
        let cgroups = &self.parts.context.cgroups;
        let has = |is: fn(&Action) -> bool| self.steps.iter().any(is);
        match () {
            () if has(|step| matches!(step, Action::Sandbox { .. })) => cgroups.set_pod(&self.pod),
            () if has(|step| matches!(step, Action::Resize { .. })) => Ok(()),
            () => cgroups.ensure_pod(&self.pod),
        }
    }

    /// Why limits of memory cannot become as small as they are to: more is in use.
    fn too_small(&self) -> Option<String> {
        let cgroups = &self.parts.context.cgroups;
        let group = cgroups.pod_parent(&self.pod);
        let errors = self.steps.iter().filter_map(|step| {
            let Action::Resize { id, name, less_memory: Some(limit) } = step else { return None };
            let (group, what) = match name.as_str() {
                POD => (group.clone(), "pod".to_owned()),
                name => (format!("{group}/{id}"), format!("container {name:?}")),
            };
            let usage = cgroups.usage(&group).memory?.usage;
            let said =
                || format!("attempting to set {what} memory limit ({limit}) below current usage ({usage})");
            (usage >= u64::try_from(*limit).unwrap_or(0)).then(said)
        });
        let why = match &*errors.collect::<Vec<_>>() {
            [] => return None,
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        Some(format!("cannot decrease memory limits: {why}"))
    }

    /// The pod's group becomes larger before its containers do and smaller after them: it must hold them at all times.
    async fn resize(&self, id: &str, name: &str) -> Result<(), String> {
        let (parts, pod) = (&self.parts, &self.pod);
        let cgroups = &parts.context.cgroups;
        if name == POD {
            return cgroups.set_pod(pod).map_err(|why| why.to_string());
        }
        cgroups.raise_pod(pod).map_err(|why| why.to_string())?;
        let (_, container) = spec::container(pod, name).ok_or("no such container")?;
        let resources = cgroups.container_resources(pod, container);
        let updated = parts.runtime.update_container(id, resources).await;
        updated.map_err(|status| status.message().to_owned())
    }

    async fn reset(&self, id: &str, name: &str) {
        if let Err(why) = self.parts.runtime.remove_container(id).await {
            tracing::warn!(container = name, %why, "a container cannot be removed");
        }
    }

    /// The sandbox that is there.
    fn place(&self) -> Option<Place> {
        let sandbox = self.seen.sandbox()?;
        let attempt = sandbox.metadata.as_ref().map_or(0, |m| m.attempt);
        let config = sandbox::config(&self.parts.context, &self.pod, attempt).ok()?;
        let ips = self.ips(self.seen.ips().into_iter().map(str::to_owned).collect());
        Some(Place { id: sandbox.id.clone(), ips, config, images: OnceCell::new() })
    }

    /// The addresses of the pod; with the host's network those of the node.
    fn ips(&self, own: Vec<String>) -> Vec<String> {
        if own.is_empty() && spec::uses_host_network(&self.pod) {
            return self.parts.host_ips().iter().map(ToString::to_string).collect();
        }
        own
    }

    /// Makes the sandbox, in place of one that is stopped.
    async fn sandbox(&self, attempt: u32, replaces: bool) -> Option<Place> {
        let (parts, pod) = (&self.parts, &self.pod);
        if replaces {
            let message = "Pod sandbox changed, it will be killed and re-created.";
            parts.say(pod, "Normal", "SandboxChanged", message);
            for container in List::Init.of(pod) {
                for old in self.seen.of(name_of(container)) {
                    self.reset(&old.id, name_of(container)).await;
                }
            }
        }
        match self.make_sandbox(attempt).await {
            Ok(place) => {
                self.tell(Message::Look);
                Some(place)
            }
            Err(_) if self.cancel.is_cancelled() => None,
            Err(why) => {
                let message = format!("Failed to create pod sandbox: {why}");
                parts.say(pod, "Warning", "FailedCreatePodSandBox", &message);
                None
            }
        }
    }

    async fn make_sandbox(&self, attempt: u32) -> Result<Place, String> {
        let (parts, pod) = (&self.parts, &self.pod);
        let config = sandbox::config(&parts.context, pod, attempt).map_err(|wait| wait.message)?;
        std::fs::create_dir_all(&config.log_directory).map_err(|why| why.to_string())?;
        let handler = sandbox::runtime_handler(&parts.context, pod).await.map_err(|wait| wait.message)?;
        let run = || self.unless_cancelled(parts.runtime.run_sandbox(config.clone(), handler.clone()));
        let cancelled = || "context canceled".to_owned();
        let mut made = run().await.ok_or_else(cancelled)?;
        if let Err(refusal) = &made
            && pause::provide_missed(&parts.runtime, refusal).await
        {
            made = run().await.ok_or_else(cancelled)?;
        }
        let id = made.map_err(|status| rpc_error(&status))?;
        parts.pods.set_owner(&id, spec::uid(pod));
        let status = parts.runtime.sandbox_status(&id).await.map_err(|status| rpc_error(&status))?;
        let network = status.and_then(|status| status.network);
        let ips = network.into_iter().flat_map(|network| {
            let more = network.additional_ips.into_iter().map(|ip| ip.ip);
            std::iter::once(network.ip).chain(more).collect::<Vec<_>>()
        });
        let ips = self.ips(ips.filter(|ip| !ip.is_empty()).collect());
        Ok(Place { id, ips, config, images: OnceCell::new() })
    }

    /// Starts a container and says how that went.
    async fn try_start(&self, place: &Place, list: List, name: &str) -> bool {
        let Some(container) = list.of(&self.pod).iter().find(|c| name_of(c) == name) else { return false };
        let Some(started) = self.unless_cancelled_before_start(place, container).await else { return false };
        let is_started = started.is_ok();
        self.tell(Message::Waiting(name.to_owned(), started.err()));
        is_started
    }

    async fn unless_cancelled_before_start(
        &self,
        place: &Place,
        container: &Value,
    ) -> Option<Result<(), Wait>> {
        let prepared = self.unless_cancelled(self.prepare(place, container)).await?;
        Some(match prepared {
            Ok(config) => self.start(place, container, config).await,
            Err(wait) => Err(wait),
        })
    }

    /// The images that a container has as volumes. All of the pod's are pulled before its first container starts; those
    /// that cannot be had keep back the containers that use them.
    async fn image_volumes(&self, place: &Place, container: &Value) -> Result<(), Wait> {
        let (parts, pod, name) = (&self.parts, &self.pod, name_of(container));
        let images = place.images.get_or_init(|| self.pull_volumes(&place.config)).await;
        let mut failed = None;
        for mount in container.list_at(&["volumeMounts"]) {
            let volume = mount.str_at(&["name"]);
            let wait = match images.get(volume) {
                None => continue,
                Some(Err(wait)) => wait.clone(),
                Some(Ok(image)) => {
                    match parts.context.volumes.mount_image(spec::uid(pod), volume, image).await {
                        Ok(()) => continue,
                        Err(why) => Wait::new(container::CREATE_CONTAINER, why),
                    }
                }
            };
            let is_pulled = wait.reason == container::CREATE_CONTAINER;
            let said = if is_pulled { &wait.message } else { &wait.reason };
            parts.say_of(pod, name, "", "Warning", FAILED, &format!("Error: {said}"));
            failed = Some(wait);
        }
        failed.map_or(Ok(()), Err)
    }

    /// The images of the pod's volumes, by the names of volumes.
    async fn pull_volumes(&self, sandbox: &cri::PodSandboxConfig) -> HashMap<String, Result<String, Wait>> {
        let mut images = HashMap::new();
        for volume in self.pod.list_at(&["spec", "volumes"]) {
            let Some(source) = volume.get("image").filter(|source| !source.is_null()) else { continue };
            let (reference, policy) = (source.str_at(&["reference"]), source.str_at(&["pullPolicy"]));
            let pod = String::new();
            let image = self.parts.images.ensure_reference(&self.pod, pod, reference, policy, sandbox).await;
            images.insert(volume.str_at(&["name"]).to_owned(), image.map(|image| image.reference));
        }
        images
    }

    /// Image and configuration.
    async fn prepare(&self, place: &Place, container: &Value) -> Result<cri::ContainerConfig, Wait> {
        let (parts, pod, name) = (&self.parts, &self.pod, name_of(container));
        self.image_volumes(place, container).await?;
        let image = parts.images.ensure(pod, container, &place.config).await.map_err(|wait| {
            parts.say_of(pod, name, "", "Warning", FAILED, &format!("Error: {}", wait.reason));
            Wait::new(&wait.reason, wait.message)
        })?;
        let failed = |wait: Wait| {
            parts.say_of(pod, name, "", "Warning", FAILED, &format!("Error: {}", wait.message));
            wait
        };
        let target = container.str_at(&["targetContainerName"]);
        let target_id = match (target, self.seen.latest(target)) {
            ("", _) => None,
            (_, Some(found)) => Some(found.id.clone()),
            _ => {
                let message = format!("unable to find target container {target}");
                return Err(failed(Wait::new(container::CREATE_CONTAINER_CONFIG, message)));
            }
        };
        let facts = ContainerFacts {
            attempt: self.attempt(name),
            image_ref: image.reference,
            image_uid: image.uid,
            image_user: image.username,
            pod_ips: place.ips.clone(),
            target_id,
            ..ContainerFacts::default()
        };
        container::config(&parts.context, pod, container, &facts).await.map_err(failed)
    }

    /// How often the container was made before; its logs tell when containerd does not.
    fn attempt(&self, name: &str) -> u32 {
        if let Some(last) = self.seen.latest(name) {
            return u32::try_from(restart_count(last) + 1).unwrap_or(u32::MAX);
        }
        let logs = sandbox::log_directory(&self.parts.settings.log_root, &self.pod).join(name);
        logs_in(&logs).max().map_or(0, |last| last + 1)
    }

    async fn start(
        &self,
        place: &Place,
        container: &Value,
        config: cri::ContainerConfig,
    ) -> Result<(), Wait> {
        let (parts, pod, name) = (&self.parts, &self.pod, name_of(container));
        let failed = |reason: &str, id: &str, status: &tonic::Status| {
            let message = status.message();
            parts.say_of(pod, name, id, "Warning", FAILED, &format!("Error: {message}"));
            Wait::new(reason, message)
        };
        let attempt = config.metadata.as_ref().map_or(0, |metadata| metadata.attempt);
        let made = parts.runtime.create_container(&place.id, config, place.config.clone()).await;
        let id = made.map_err(|status| failed(container::CREATE_CONTAINER, "", &status))?;
        parts.pods.set_owner(&id, spec::uid(pod));
        parts.say_of(pod, name, &id, "Normal", "Created", "Container created");
        let _hook = container.at(&["lifecycle", "postStart"]).map(|_| Hook::begin(&self.inbox, &id));
        let started = parts.runtime.start_container(&id).await;
        self.tell(Message::Look);
        started.map_err(|status| failed("RunContainerError", &id, &status))?;
        parts.say_of(pod, name, &id, "Normal", "Started", "Container started");
        if let Err(why) = logs::link(&parts.settings.log_root, pod, name, &id, attempt) {
            tracing::debug!(container = name, %why, "a log is not linked");
        }
        self.post_start(place, container, &id).await
    }

    /// A container whose hook fails is killed.
    async fn post_start(&self, place: &Place, container: &Value, id: &str) -> Result<(), Wait> {
        let (parts, pod, name) = (&self.parts, &self.pod, name_of(container));
        let pod_ip = place.ips.first().map_or("", String::as_str);
        let hooked = Hooked { pod, container, id, pod_ip };
        let Some(Err(message)) = self.unless_cancelled(parts.hooks.post_start(hooked)).await else {
            return Ok(());
        };
        parts.say_of(pod, name, id, "Normal", "Killing", "FailedPostStartHook");
        let grace = pod.i64_at(&["spec", "terminationGracePeriodSeconds"]);
        let grace = grace.and_then(|grace| u64::try_from(grace).ok()).unwrap_or(LEAST_GRACE);
        let stop = async {
            let taken = parts.hooks.pre_stop(hooked, std::time::Duration::from_secs(grace)).await;
            let grace = grace_left(grace, taken);
            parts.runtime.stop_container(id, grace).await
        };
        // When the pod ends meanwhile, its end stops the container.
        if let Some(Err(why)) = self.unless_cancelled(stop).await {
            tracing::warn!(container = name, %why, "a container cannot be stopped");
        }
        Err(Wait::new("PostStartHookError", message))
    }
}

/// The attempts that a folder holds logs of: `0.log`, `1.log.20260102-030405`.
fn logs_in(folder: &Path) -> impl Iterator<Item = u32> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| {
        let name = file.file_name();
        let (attempt, rest) = name.to_str()?.split_once('.')?;
        rest.starts_with("log").then(|| attempt.parse().ok())?
    })
}
