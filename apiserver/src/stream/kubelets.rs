//! How kubelets, and what is proxied, are reached: whom the connection believes, and what it shows of this server.
//! Source: upstream's `pkg/kubelet/client` and its transport for proxies.

use super::place::{Place, Trust};
use api::Remote;
use client::https::{Dialer, Failure, Stream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The order in which a node's addresses are tried, upstream's.
const ADDRESS_TYPES: [&str; 5] = ["Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"];

/// The way to the kubelets: upstream's flags that begin with `--kubelet-`. Files are read for each connection, so that
/// they may be renewed.
#[derive(Clone, Debug)]
pub struct Kubelets {
    /// Certificates, in PEM, that sign those of kubelets; without them any is believed.
    pub certificate_authority: Option<PathBuf>,
    /// The certificate and key, in PEM, that are shown to kubelets.
    pub client: Option<(PathBuf, PathBuf)>,
    /// Which addresses of nodes are tried, the first first.
    pub address_types: Vec<String>,
    /// Where kubelets listen whose node does not say.
    pub port: u16,
    /// For what is asked of a kubelet for the server's own sake.
    pub timeout: Duration,
}

impl Default for Kubelets {
    fn default() -> Self {
        Kubelets {
            certificate_authority: None,
            client: None,
            address_types: ADDRESS_TYPES.map(str::to_owned).to_vec(),
            port: 10250,
            timeout: Duration::from_secs(5),
        }
    }
}

impl Kubelets {
    /// Opens a connection for HTTP/1.1, or says in Go's words why there is none.
    pub(super) async fn dial(&self, place: &Place) -> Result<Stream, Failure> {
        Dialer::new(&self.remote(place)?, &["http/1.1"])?.dial().await
    }

    fn remote(&self, place: &Place) -> Result<Remote, Failure> {
        let mut remote = Remote { url: place.origin(), insecure: true, ..Remote::default() };
        if matches!(place.trust, Trust::Nobody | Trust::Anybody) {
            return Ok(remote);
        }
        if let Some((certificate, key)) = &self.client {
            remote.client = Some((read(certificate)?, read(key)?));
        }
        if let (Some(ca), Trust::Kubelet) = (&self.certificate_authority, place.trust) {
            (remote.ca, remote.insecure) = (Some(read(ca)?), false);
        }
        Ok(remote)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|why| {
        let why = why.to_string().to_lowercase();
        Failure(format!("open {}: {}", path.display(), why.split(" (os error").next().unwrap_or_default()))
    })
}
