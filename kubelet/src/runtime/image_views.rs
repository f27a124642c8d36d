//! Images as folders: views of the files that they hold, for pods that have them as volumes. A lease keeps each until its
//! pod ends. The labels of leases tell of which pod and image they are, also to a kubelet that starts later.

use super::{Runtime, labels};
use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::leases_client::LeasesClient;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::snapshots::{MountsRequest, ViewSnapshotRequest};
use containerd_client::services::v1::{CreateRequest, DeleteRequest, InfoRequest, Lease, ListRequest};
use containerd_client::types::Mount;
use std::collections::HashMap;
use tonic::{Code, Status};

/// The label of a lease that says of which image it keeps a view.
const IMAGE: &str = "pintle.local/image";
/// The label of an image's configuration that says, for a snapshotter, under which name its files are there.
const UNPACKED: &str = "containerd.io/gc.ref.snapshot.";

impl Runtime {
    /// What is to be mounted to see an image (`sha256:…`) as a volume of a pod.
    ///
    /// # Errors
    /// When containerd refuses, or has no files of the image.
    pub async fn view_image(&self, uid: &str, volume: &str, image: &str) -> Result<Vec<Mount>, Status> {
        let id = format!("image-volume-{uid}-{volume}-{image}");
        let labels = [(labels::POD_UID, uid), (IMAGE, image)];
        let labels = labels.map(|(label, value)| (label.to_owned(), value.to_owned()));
        let lease = CreateRequest { id: id.clone(), labels: HashMap::from(labels) };
        match LeasesClient::new(self.channel()).create(Runtime::within(lease)).await {
            Err(status) if status.code() != Code::AlreadyExists => return Err(status),
            _ => {}
        }
        let request = Runtime::within(InfoRequest { digest: image.to_owned() });
        let info = ContentClient::new(self.channel()).info(request).await?.into_inner().info;
        let mut refusal = Status::not_found(format!("image {image} is not unpacked"));
        for (label, chain) in info.unwrap_or_default().labels {
            let Some(snapshotter) = label.strip_prefix(UNPACKED).and_then(|name| name.split('/').next())
            else {
                continue;
            };
            match self.view(snapshotter, &chain, &id).await {
                Ok(mounts) => return Ok(mounts),
                Err(status) => refusal = status,
            }
        }
        Err(refusal)
    }

    async fn view(&self, snapshotter: &str, chain: &str, id: &str) -> Result<Vec<Mount>, Status> {
        let mut snapshots = SnapshotsClient::new(self.channel());
        let (snapshotter, key) = (snapshotter.to_owned(), id.to_owned());
        let view = ViewSnapshotRequest {
            snapshotter: snapshotter.clone(),
            key: key.clone(),
            parent: chain.to_owned(),
            labels: HashMap::new(),
        };
        match snapshots.view(Runtime::leased(view, id)).await {
            Err(status) if status.code() == Code::AlreadyExists => {
                let there = snapshots.mounts(Runtime::within(MountsRequest { snapshotter, key })).await?;
                Ok(there.into_inner().mounts)
            }
            made => Ok(made?.into_inner().mounts),
        }
    }

    /// Drops the views of a pod; returns when they are gone.
    ///
    /// # Errors
    /// When containerd refuses.
    pub async fn release_images(&self, uid: &str) -> Result<(), Status> {
        let leases = self.image_leases().await?;
        for lease in leases.into_iter().filter(|l| l.labels.get(labels::POD_UID).is_some_and(|of| of == uid))
        {
            let request = Runtime::within(DeleteRequest { id: lease.id, sync: true });
            match LeasesClient::new(self.channel()).delete(request).await {
                Err(status) if status.code() != Code::NotFound => return Err(status),
                _ => {}
            }
        }
        Ok(())
    }

    /// The images that pods have as volumes.
    ///
    /// # Errors
    /// When containerd refuses.
    pub async fn viewed_images(&self) -> Result<Vec<String>, Status> {
        let leases = self.image_leases().await?;
        Ok(leases.into_iter().filter_map(|mut lease| lease.labels.remove(IMAGE)).collect())
    }

    async fn image_leases(&self) -> Result<Vec<Lease>, Status> {
        let request = Runtime::within(ListRequest { filters: Vec::new() });
        let mut leases = LeasesClient::new(self.channel()).list(request).await?.into_inner().leases;
        leases.retain(|lease| lease.labels.contains_key(IMAGE));
        Ok(leases)
    }
}
