//! The channel to containerd's socket.

use containerd_client::tonic::transport::{Channel, Endpoint, Uri};
use hyper_util::rt::TokioIo;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;

/// As upstream's: 16 MiB.
pub const LARGEST_MESSAGE: usize = 16 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A channel that connects when it is first used, and again when its connection broke.
pub fn lazy(socket: &Path) -> Channel {
    let socket = socket.to_owned();
    // The address is never looked at: the connector knows where to go.
    Endpoint::from_static("http://containerd.sock")
        .connect_timeout(CONNECT_TIMEOUT)
        .connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
        }))
}
