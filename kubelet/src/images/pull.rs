//! Pulling: one image after another, with each credential that may fit, and what is said of it.

use super::credentials::{Credential, Keyring};
use super::{Image, Images, Need, Wait, back_off_key};
use crate::{cri, runtime};
use api::{Value, quote};
use client::Resource;
use std::time::Duration;
use tokio::time::Instant;

/// Errors of runtimes that have a reason of their own, and what is said then.
const KNOWN: [(&str, &str); 2] = [
    ("RegistryUnavailable", "the registry is unavailable"),
    ("SignatureValidationFailed", "the signature validation failed"),
];

impl Images {
    pub(super) async fn pull(&self, need: &Need<'_>, sandbox: &cri::PodSandboxConfig) -> Result<Image, Wait> {
        let (image, key) = (quote(need.asked), back_off_key(need.pod, need.asked));
        if self.back_off.left(&key).is_some() {
            let message = format!("Back-off pulling image {image}");
            self.record(need, "Normal", "BackOff", &message);
            let why = self.back_off.why(&key).map_or(String::new(), |why| format!(": {why}"));
            return Err(Wait::new("ImagePullBackOff", message + &why));
        }
        self.record(need, "Normal", "Pulling", &format!("Pulling image {image}"));
        let asked_at = Instant::now();
        let _turn = self.pulling.lock().await;
        let pulling_at = Instant::now();
        match self.pull_with_any(need, sandbox).await {
            Ok(pulled) => {
                let (own, all) = (in_millis(pulling_at.elapsed()), in_millis(asked_at.elapsed()));
                let size = format!("Image size: {} bytes.", pulled.size);
                let message =
                    format!("Successfully pulled image {image} in {own} ({all} including waiting). {size}");
                self.record(need, "Normal", "Pulled", &message);
                Ok(pulled)
            }
            Err(why) => {
                self.record(need, "Warning", "Failed", &format!("Failed to pull image {image}: {why}"));
                let (reason, message) = told(need.asked, &why);
                self.back_off.failed(key, format!("{reason}: {message}"));
                Err(Wait::new(reason, message))
            }
        }
    }

    async fn pull_with_any(&self, need: &Need<'_>, sandbox: &cri::PodSandboxConfig) -> Result<Image, String> {
        let keys = self.pull_secrets(need.pod).await.lookup(&need.name.repository);
        if keys.is_empty() {
            return self.pull_with(need, None, sandbox).await.map_err(|status| runtime::words(&status));
        }
        let mut errors = Vec::new();
        for key in &keys {
            match self.pull_with(need, Some(key), sandbox).await {
                Ok(image) => return Ok(image),
                Err(status) => errors.push(runtime::words(&status)),
            }
        }
        errors.dedup();
        Err(if errors.len() == 1 { errors.concat() } else { format!("[{}]", errors.join(", ")) })
    }

    async fn pull_with(
        &self,
        need: &Need<'_>,
        key: Option<&Credential>,
        sandbox: &cri::PodSandboxConfig,
    ) -> Result<Image, tonic::Status> {
        let request = cri::PullImageRequest {
            image: Some(need.spec.clone()),
            auth: key.map(|key| cri::AuthConfig {
                username: key.username.clone(),
                password: key.password.clone(),
                ..Default::default()
            }),
            sandbox_config: Some(sandbox.clone()),
        };
        let reference = self.runtime.images().pull_image(request).await?.into_inner().image_ref;
        let found = self.find(&need.spec).await.ok().flatten();
        let image = found.unwrap_or_else(|| Image { reference, ..Image::default() });
        self.records.pulled(&need.name.repository, &image.reference, key);
        Ok(image)
    }

    /// The credentials that a pod brings, and those of the node.
    pub(super) async fn pull_secrets(&self, pod: &Value) -> Keyring {
        let mut keyring = Keyring::default();
        let namespace = pod.str_at(&["metadata", "namespace"]);
        let mut missing = Vec::new();
        for secret in pod.list_at(&["spec", "imagePullSecrets"]) {
            let name = secret.str_at(&["name"]);
            let secrets = Resource::namespaced("", "v1", "secrets");
            match self.client.get(&secrets, namespace, name).await {
                Ok(secret) => keyring.add_secret(&secret),
                Err(_) if name.is_empty() => {}
                Err(error) => {
                    tracing::debug!(namespace, name, %error, "an image pull secret cannot be had");
                    missing.push(name);
                }
            }
        }
        if !missing.is_empty() {
            let effect = "attempting to pull the image may not succeed.";
            let message =
                format!("Unable to retrieve some image pull secrets ({}); {effect}", missing.join(", "));
            self.recorder.event(pod, "Warning", "FailedToRetrieveImagePullSecret", &message);
        }
        keyring.add_node(&self.settings.root);
        keyring
    }
}

/// The reason and message of a failed pull.
fn told(image: &str, why: &str) -> (&'static str, String) {
    for (reason, told) in KNOWN {
        if let Some(rest) = why.strip_prefix(reason) {
            return (reason, format!("image pull failed for {image} because {told}{rest}"));
        }
    }
    ("ErrImagePull", why.to_owned())
}

fn in_millis(took: Duration) -> String {
    let millis = i64::try_from(took.as_millis()).unwrap_or(i64::MAX / 1_000_000);
    api::time::format_duration(millis.saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_errors_have_reasons_of_their_own() {
        let (reason, message) = told("a:1", "RegistryUnavailable: no route");
        assert_eq!(reason, "RegistryUnavailable");
        assert_eq!(message, "image pull failed for a:1 because the registry is unavailable: no route");
        assert_eq!(told("a:1", "boom"), ("ErrImagePull", "boom".to_owned()));
        assert_eq!(in_millis(Duration::from_micros(1_234_567)), "1.234s");
    }
}
