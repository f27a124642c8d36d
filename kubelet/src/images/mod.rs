//! The images of containers: found on the machine or pulled as the policy says, with the pod's credentials; and
//! removed again when the disk fills up.
//!
//! Reasons, messages and events are upstream's (`kubernetes/pkg/kubelet/images`).

mod back_off;
mod credentials;
mod garbage;
mod name;
pub mod pause;
mod pull;
mod records;

pub use garbage::GarbageCollector;

use crate::container::Wait;
use crate::hooks::field_path;
use crate::{Runtime, Settings, cri};
use api::{Value, quote};
use back_off::BackOff;
use client::{Client, Recorder};
use name::ImageName;
use records::Records;
use std::sync::Arc;

/// An image that is on the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// What the runtime calls it, `sha256:…`.
    pub reference: String,
    /// The user that it says its command runs as; at most one of both. Neither is root.
    pub uid: Option<i64>,
    pub username: String,
    /// Bytes.
    pub size: u64,
}

/// Has images there when containers need them.
pub struct Images {
    runtime: Runtime,
    client: Client,
    recorder: Recorder,
    settings: Arc<Settings>,
    back_off: BackOff,
    records: Records,
    /// One pull at a time.
    pulling: tokio::sync::Mutex<()>,
}

/// A container that needs an image, and what it says about it.
struct Need<'a> {
    pod: &'a Value,
    /// The part of the pod that events are about.
    field: String,
    /// As the container names it.
    asked: &'a str,
    spec: cri::ImageSpec,
    name: ImageName,
}

impl Images {
    pub fn new(runtime: Runtime, client: Client, recorder: Recorder, settings: Arc<Settings>) -> Self {
        let records = Records::open(&settings.root);
        let back_off = BackOff::new(settings.clock.clone());
        Images {
            runtime,
            client,
            recorder,
            settings,
            back_off,
            records,
            pulling: tokio::sync::Mutex::default(),
        }
    }

    /// The image of a container, pulled if need be. `sandbox` is the configuration of the pod's sandbox.
    ///
    /// # Errors
    /// When it cannot be had now; `back_off` tells when to ask again.
    pub async fn ensure(
        &self,
        pod: &Value,
        container: &Value,
        sandbox: &cri::PodSandboxConfig,
    ) -> Result<Image, Wait> {
        let image = container.str_at(&["image"]);
        let policy = container.str_at(&["imagePullPolicy"]);
        let field = field_path(pod, container.str_at(&["name"]));
        self.ensure_reference(pod, field, image, policy, sandbox).await
    }

    /// As `ensure`, of an image that a volume holds or that is named otherwise; `field` is what events are about, all of
    /// the pod if empty.
    ///
    /// # Errors
    /// When it cannot be had now.
    pub async fn ensure_reference(
        &self,
        pod: &Value,
        field: String,
        asked: &str,
        policy: &str,
        sandbox: &cri::PodSandboxConfig,
    ) -> Result<Image, Wait> {
        let name = match ImageName::parse(asked) {
            Ok(name) => name,
            Err(why) => {
                let message = format!("Failed to apply default image tag {}: {why}", quote(asked));
                self.recorder.part_event(pod, &field, "Warning", "InspectFailed", &message);
                return Err(Wait::new("InvalidImageName", message));
            }
        };
        let annotations = pod.map_at(&["metadata", "annotations"]).into_iter().flat_map(api::Map::iter);
        let spec = cri::ImageSpec {
            image: name.with_default_tag(asked),
            annotations: annotations
                .map(|(k, v)| (k.to_string(), v.as_str().unwrap_or("").to_owned()))
                .collect(),
            user_specified_image: String::new(),
            runtime_handler: String::new(),
        };
        let need = Need { pod, field, asked, spec, name };
        match policy {
            "Always" => self.pull(&need, sandbox).await,
            _ => self.present_or_pulled(&need, policy == "Never", sandbox).await,
        }
    }

    async fn present_or_pulled(
        &self,
        need: &Need<'_>,
        never: bool,
        sandbox: &cri::PodSandboxConfig,
    ) -> Result<Image, Wait> {
        let found = match self.find(&need.spec).await {
            Ok(found) => found,
            Err(status) => {
                let why = crate::runtime::words(&status);
                let message = format!("Failed to inspect image \"\": {why}");
                self.record(need, "Warning", "InspectFailed", &message);
                return Err(Wait::new("ImageInspectError", message));
            }
        };
        if let Some(image) = found
            && self.may_use(need, &image).await
        {
            let there = "already present on machine and can be accessed by the pod";
            self.record(need, "Normal", "Pulled", &format!("Container image {} {there}", quote(need.asked)));
            return Ok(image);
        }
        if never {
            let absent = "is not present with pull policy of Never";
            let message = format!("Container image {} {absent}", quote(need.asked));
            self.record(need, "Warning", "ErrImageNeverPull", &message);
            return Err(Wait::new("ErrImageNeverPull", message));
        }
        self.pull(need, sandbox).await
    }

    /// What was pulled with credentials is for pods that have them; what was there before is for all.
    async fn may_use(&self, need: &Need<'_>, image: &Image) -> bool {
        match self.records.holders(&need.name.repository, &image.reference) {
            None => true,
            Some(holders) => {
                let keys = self.pull_secrets(need.pod).await;
                keys.lookup(&need.name.repository).iter().any(|key| holders.contains(&key.hash()))
            }
        }
    }

    /// The image under a name or `sha256:…`, if it is there.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub async fn find(&self, spec: &cri::ImageSpec) -> Result<Option<Image>, tonic::Status> {
        let request = cri::ImageStatusRequest { image: Some(spec.clone()), verbose: false };
        let answer = self.runtime.images().image_status(request).await?.into_inner();
        Ok(answer.image.map(|image| Image {
            reference: image.id,
            uid: image.uid.map(|uid| uid.value),
            username: image.username,
            size: image.size,
        }))
    }

    /// All images on the machine.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub async fn list(&self) -> Result<Vec<cri::Image>, tonic::Status> {
        let answer = self.runtime.images().list_images(cri::ListImagesRequest { filter: None }).await?;
        Ok(answer.into_inner().images)
    }

    fn record(&self, need: &Need<'_>, ty: &'static str, reason: &str, message: &str) {
        self.recorder.part_event(need.pod, &need.field, ty, reason, message);
    }
}

fn back_off_key(pod: &Value, image: &str) -> String {
    format!("{}_{image}", pod.str_at(&["metadata", "uid"]))
}
