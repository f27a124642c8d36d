//! The container runtime: containerd, over its socket. Sandboxes, containers and images go through the CRI; streams,
//! events and imports through containerd's own services.

mod calls;
mod connection;
pub mod events;
pub mod exec_sync;
mod image_views;
pub mod labels;
pub mod tasks;

pub use exec_sync::{ExecFailure, words};
pub use k8s_cri::v1 as cri;

use containerd_client::tonic::transport::Channel;
use cri::image_service_client::ImageServiceClient;
use cri::runtime_service_client::RuntimeServiceClient;
use std::path::{Path, PathBuf};

/// The namespace in which containerd keeps what the CRI made.
pub const NAMESPACE: &str = "k8s.io";

/// A connection to containerd, opened with the first call and again when it broke. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    channel: Channel,
    socket: PathBuf,
}

impl Runtime {
    /// Does not wait: calls fail with `Unavailable` while nobody listens.
    pub fn new(socket: &Path) -> Self {
        Runtime { channel: connection::lazy(socket), socket: socket.to_owned() }
    }

    /// Sandboxes and containers.
    pub fn containers(&self) -> RuntimeServiceClient<Channel> {
        RuntimeServiceClient::new(self.channel.clone()).max_decoding_message_size(connection::LARGEST_MESSAGE)
    }

    pub fn images(&self) -> ImageServiceClient<Channel> {
        ImageServiceClient::new(self.channel.clone()).max_decoding_message_size(connection::LARGEST_MESSAGE)
    }

    /// For containerd's own services, whose requests name the namespace (`within`).
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A request to a service of containerd's own, in the namespace of the CRI.
    pub fn within<T>(message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let namespace = tonic::metadata::MetadataValue::from_static(NAMESPACE);
        request.metadata_mut().insert("containerd-namespace", namespace);
        request
    }

    /// As `within`; a lease keeps what is made.
    pub fn leased<T>(message: T, lease: &str) -> tonic::Request<T> {
        let mut request = Runtime::within(message);
        if let Ok(lease) = lease.parse() {
            request.metadata_mut().insert("containerd-lease", lease);
        }
        request
    }
}
