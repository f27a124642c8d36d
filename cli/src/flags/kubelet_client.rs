//! `--kubelet-client-certificate` and its like: how the API server reaches kubelets.

use super::duration;
use anyhow::ensure;
use apiserver::Kubelets;
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Kubelets")]
pub struct KubeletClient {
    /// PEM certificates that kubelets' are signed by [default: any certificate of a kubelet is believed]
    #[arg(long, value_name = "FILE")]
    pub kubelet_certificate_authority: Option<PathBuf>,
    /// PEM certificate that is shown to kubelets [default: one of the cluster's own]
    #[arg(long, value_name = "FILE")]
    pub kubelet_client_certificate: Option<PathBuf>,
    /// PEM key of that certificate
    #[arg(long, value_name = "FILE")]
    pub kubelet_client_key: Option<PathBuf>,
    /// Which addresses of nodes are used, the first first; kubeadm's order, as names of nodes need not resolve
    #[arg(
        long,
        value_name = "TYPE,…",
        value_delimiter = ',',
        default_value = "InternalIP,ExternalIP,Hostname,InternalDNS,ExternalDNS"
    )]
    pub kubelet_preferred_address_types: Vec<String>,
    /// How long the server waits for what it asks of a kubelet for itself
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub kubelet_timeout: Duration,
    /// Serve metrics.k8s.io, of which kubectl top lives [default: true where this machine is a node]
    #[arg(long, value_name = "BOOL")]
    pub resource_metrics: Option<bool>,
}

impl KubeletClient {
    /// What the server is told; `pki` is where the cluster's own certificate is kept.
    pub fn kubelets(&self, pki: &Path) -> anyhow::Result<Kubelets> {
        let (certificate, key) = (&self.kubelet_client_certificate, &self.kubelet_client_key);
        ensure!(
            certificate.is_some() == key.is_some(),
            "--kubelet-client-certificate and --kubelet-client-key must be given together"
        );
        let own = || (pki.join("apiserver-kubelet-client.crt"), pki.join("apiserver-kubelet-client.key"));
        Ok(Kubelets {
            certificate_authority: self.kubelet_certificate_authority.clone(),
            client: Some(certificate.clone().zip(key.clone()).unwrap_or_else(own)),
            address_types: self.kubelet_preferred_address_types.clone(),
            timeout: self.kubelet_timeout,
            ..Kubelets::default()
        })
    }
}
