//! Reads what a client needs out of the kubeconfig that `pintle` writes: one cluster, one user, certificates embedded.
//!
//! Reads lines, not YAML: the file is the server's own, and a test of the server must not use the server's decoder.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Where a server is and how to prove who one is.
pub struct Access {
    /// The address, `ADDR:PORT`.
    pub address: String,
    /// The authority that the server's certificate must come from, PEM.
    pub authority: Vec<u8>,
    /// The client's certificate, PEM.
    pub certificate: Vec<u8>,
    /// The client's key, PEM.
    pub key: Vec<u8>,
}

impl Access {
    /// Reads a kubeconfig.
    ///
    /// # Errors
    /// When the file cannot be read or lacks one of the four entries.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().filter_map(|line| line.trim_start_matches([' ', '-']).split_once(':'));
        let entries: HashMap<&str, &str> =
            lines.map(|(key, value)| (key, value.trim().trim_matches(['"', '\'']))).collect();
        let entry =
            |name: &str| entries.get(name).copied().with_context(|| format!("the kubeconfig has no {name}"));
        let bytes =
            |name: &str| STANDARD.decode(entry(name)?).with_context(|| format!("{name} is not base64"));
        Ok(Self {
            address: entry("server")?.trim_start_matches("https://").trim_end_matches('/').to_owned(),
            authority: bytes("certificate-authority-data")?,
            certificate: bytes("client-certificate-data")?,
            key: bytes("client-key-data")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entries_are_found_wherever_they_stand() {
        let text = "clusters:\n- cluster:\n    certificate-authority-data: YQ==\n    server: https://[::1]:6443\n  name: x\n\
                    users:\n- name: x\n  user:\n    client-certificate-data: \"Yg==\"\n    client-key-data: Yw==\n";
        let access = Access::parse(text).unwrap();
        assert_eq!(access.address, "[::1]:6443");
        assert_eq!(
            (access.authority, access.certificate, access.key),
            (b"a".to_vec(), b"b".to_vec(), b"c".to_vec())
        );
    }

    #[test]
    fn a_missing_entry_is_named() {
        let error = Access::parse("server: https://a:1\n").err().unwrap();
        assert!(error.to_string().contains("certificate-authority-data"), "{error}");
    }
}
