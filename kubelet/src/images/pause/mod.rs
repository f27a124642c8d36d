//! The image of sandboxes: when the one that the runtime wants is not on the machine, an image of that name is made of
//! our own program and given to containerd. So a node needs no registry to run its first pod.

mod program;

use crate::{Runtime, cri};
use api::{Value, json, tree};
use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::leases_client::LeasesClient;
use containerd_client::services::v1::{
    CreateImageRequest, CreateRequest, DeleteRequest, Image, UpdateImageRequest, WriteAction,
    WriteContentRequest,
};
use containerd_client::types::Descriptor;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;
use tonic::{Code, Status};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Nobody in particular, as the original's.
const USER: &str = "65535:65535";
/// Told to the runtime: not to be removed.
const PINNED: (&str, &str) = ("io.cri-containerd.pinned", "pinned");
/// How long the CRI may take to see a new image.
const SEEN_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Something of the image, by its digest.
struct Blob {
    media_type: &'static str,
    digest: String,
    bytes: Vec<u8>,
    /// What it refers to, so that containerd keeps it as well.
    labels: HashMap<String, String>,
}

impl Blob {
    fn new(media_type: &'static str, bytes: Vec<u8>, refers: &[&Blob]) -> Self {
        let mut digest = "sha256:".to_owned();
        for byte in Sha256::digest(&bytes) {
            let _ = write!(digest, "{byte:02x}");
        }
        let label = |(index, blob): (usize, &&Blob)| {
            (format!("containerd.io/gc.ref.content.{index}"), blob.digest.clone())
        };
        Blob { media_type, digest, bytes, labels: refers.iter().enumerate().map(label).collect() }
    }

    fn descriptor(&self) -> Value {
        let size = i64::try_from(self.bytes.len()).unwrap_or(i64::MAX);
        tree!({"mediaType": (self.media_type), "digest": (self.digest.clone()), "size": size})
    }
}

/// Sees to it that the image `name` of sandboxes is there. True when it had to be made.
///
/// # Errors
/// When containerd refuses, or this machine has an architecture without a program.
pub async fn provide(runtime: &Runtime, name: &str) -> Result<bool, Status> {
    if is_there(runtime, name).await? {
        return Ok(false);
    }
    let blobs = blobs().ok_or_else(|| Status::unimplemented("no sandbox program for this architecture"))?;
    // Without a lease containerd could collect the parts before the image refers to them.
    let lease = lease(runtime).await?;
    let imported = import(runtime, name, &blobs, &lease).await;
    let gone = Runtime::within(DeleteRequest { id: lease, sync: false });
    LeasesClient::new(runtime.channel()).delete(gone).await?;
    imported?;
    let seen = async {
        while !is_there(runtime, name).await? {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(true)
    };
    let late =
        || Status::deadline_exceeded(format!("the runtime does not see the image {name} that it was given"));
    tokio::time::timeout(SEEN_WITHIN, seen).await.unwrap_or_else(|_| Err(late()))
}

/// Gives the runtime the image that it missed when it refused to make a sandbox; newer ones do not say before which one
/// they want. True when another attempt is worth while.
pub async fn provide_missed(runtime: &Runtime, refusal: &Status) -> bool {
    let Some(name) = missed(refusal.message()) else { return false };
    provide(runtime, name).await.is_ok_and(|made| made)
}

/// The image that is missed, out of `… failed to get sandbox image "NAME": …`.
fn missed(refusal: &str) -> Option<&str> {
    let (_, after) = refusal.split_once("failed to get sandbox image \"")?;
    after.split_once('"').map(|(name, _)| name)
}

async fn is_there(runtime: &Runtime, name: &str) -> Result<bool, Status> {
    let image = Some(cri::ImageSpec { image: name.to_owned(), ..Default::default() });
    let answer = runtime.images().image_status(cri::ImageStatusRequest { image, verbose: false }).await?;
    Ok(answer.into_inner().image.is_some())
}

async fn lease(runtime: &Runtime) -> Result<String, Status> {
    let request =
        CreateRequest { id: format!("sandbox-image-{}", std::process::id()), labels: HashMap::new() };
    let id = request.id.clone();
    match LeasesClient::new(runtime.channel()).create(Runtime::within(request)).await {
        Err(status) if status.code() != Code::AlreadyExists => Err(status),
        _ => Ok(id),
    }
}

async fn import(runtime: &Runtime, name: &str, blobs: &[Blob], lease: &str) -> Result<(), Status> {
    for blob in blobs {
        write(runtime, blob, lease).await?;
    }
    let Some(manifest) = blobs.last() else { return Ok(()) };
    let image = Some(Image {
        name: name.to_owned(),
        labels: HashMap::from([(PINNED.0.to_owned(), PINNED.1.to_owned())]),
        target: Some(Descriptor {
            media_type: manifest.media_type.to_owned(),
            digest: manifest.digest.clone(),
            size: i64::try_from(manifest.bytes.len()).unwrap_or(i64::MAX),
            annotations: HashMap::new(),
        }),
        ..Default::default()
    });
    let mut images = ImagesClient::new(runtime.channel());
    let create = CreateImageRequest { image: image.clone(), ..Default::default() };
    match images.create(Runtime::leased(create, lease)).await {
        Err(status) if status.code() == Code::AlreadyExists => images
            .update(Runtime::leased(UpdateImageRequest { image, ..Default::default() }, lease))
            .await
            .map(drop),
        other => other.map(drop),
    }
}

/// Writes one blob at once; one that is there already is fine.
async fn write(runtime: &Runtime, blob: &Blob, lease: &str) -> Result<(), Status> {
    let request = WriteContentRequest {
        action: WriteAction::Commit.into(),
        r#ref: format!("sandbox-image-{}", blob.digest),
        total: i64::try_from(blob.bytes.len()).unwrap_or(i64::MAX),
        expected: blob.digest.clone(),
        offset: 0,
        data: blob.bytes.clone(),
        labels: blob.labels.clone(),
    };
    let stream = futures::stream::iter([request]);
    let answers = match ContentClient::new(runtime.channel()).write(Runtime::leased(stream, lease)).await {
        Ok(answers) => answers,
        Err(status) if status.code() == Code::AlreadyExists => return Ok(()),
        Err(status) => return Err(status),
    };
    let mut answers = answers.into_inner();
    loop {
        match answers.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(()),
            Err(status) if status.code() == Code::AlreadyExists => return Ok(()),
            Err(status) => return Err(status),
        }
    }
}

/// Layer, configuration and manifest, for this machine.
fn blobs() -> Option<Vec<Blob>> {
    let architecture = crate::node::architecture();
    let layer = Blob::new(LAYER, tar("pause", &program::file(architecture)?), &[]);
    let config = tree!({
        "architecture": architecture, "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": USER, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [(layer.digest.clone())]}
    });
    let config = Blob::new(CONFIG, json::to_vec(&config), &[]);
    let manifest = tree!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": (config.descriptor()), "layers": [(layer.descriptor())]
    });
    let manifest = Blob::new(MANIFEST, json::to_vec(&manifest), &[&config, &layer]);
    Some(vec![layer, config, manifest])
}

/// An archive (`ustar`) of one file that everybody may run.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000755");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", content.len()));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let padding = content.len().next_multiple_of(512) - content.len();
    // Two empty blocks end an archive.
    [header.as_slice(), content, &vec![0; padding + 1024]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_one_that_tar_reads() {
        let archive = tar("pause", b"program");
        assert_eq!(archive.len(), 512 + 512 + 1024);
        let path = std::env::temp_dir().join(format!("pause-{}.tar", std::process::id()));
        std::fs::write(&path, archive).unwrap();
        let listed = std::process::Command::new("tar").args(["-tvf"]).arg(&path).output().unwrap();
        let line = String::from_utf8(listed.stdout).unwrap();
        assert!(line.starts_with("-rwxr-xr-x 0/0") && line.trim_end().ends_with("pause"), "{line}");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn the_manifest_refers_to_what_is_written_before() {
        let Some(blobs) = blobs() else { return };
        let manifest = json::parse(&blobs[2].bytes).unwrap();
        assert_eq!(manifest.str_at(&["config", "digest"]), blobs[1].digest);
        assert_eq!(blobs[2].labels.len(), 2);
    }

    #[test]
    fn the_missed_image_is_read_out_of_a_refusal() {
        let refusal = "rpc error: code = Unknown desc = failed to get sandbox image \"registry.k8s.io/pause:3.6\": failed";
        assert_eq!(missed(refusal), Some("registry.k8s.io/pause:3.6"));
        assert_eq!(missed("no"), None);
    }
}
