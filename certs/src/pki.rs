//! The keys and certificates of a cluster, kept in a directory under kubeadm's file names.
//!
//! The authorities and the service-account key are made once: losing them is losing the cluster, so a damaged
//! one is an error. What they issue is made again whenever it is missing, damaged, near its end, or no longer
//! for the right names. A key is always written before its certificate, so that a crash in between leaves
//! something that can be completed.

use crate::{Authority, Credential, PkiError, ServerNames};
use rcgen::KeyPair;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use stdx::Time;

/// The user of the admin certificate, kubeadm's name for the one that needs no binding.
pub const ADMIN_USER: &str = "kubernetes-super-admin";
/// The group that may do all.
pub const ADMIN_GROUP: &str = "system:masters";
/// Whom kubelets take the API server for, by kubeadm's name; a role lets it do what it must.
pub const KUBELET_CLIENT_USER: &str = "kube-apiserver-kubelet-client";

const DAY: Duration = Duration::from_secs(86_400);
/// Certificates are issued for a year, as kubeadm does.
const LIFETIME: Duration = DAY.saturating_mul(365);
/// And made again at a start within this time of their end.
const RENEW_BEFORE: Duration = DAY.saturating_mul(60);

/// The keys and certificates of a cluster.
#[derive(Debug)]
pub struct Pki {
    /// Signs server and client certificates.
    pub ca: Arc<Authority>,
    /// Signs the certificate that this server shows to aggregated servers.
    pub front_proxy_ca: Authority,
    /// What the API server shows to its clients.
    pub server: Credential,
    /// What an administrator shows: `ADMIN_USER` in `ADMIN_GROUP`.
    pub admin: Credential,
    /// What the API server shows to kubelets: `KUBELET_CLIENT_USER`.
    pub kubelet_client: Credential,
    /// What the API server shows to aggregated servers.
    pub front_proxy_client: Credential,
    pub service_account: ServiceAccountKey,
}

/// The P-256 key that signs service-account tokens, in PEM (PKCS #8, and SubjectPublicKeyInfo).
#[derive(Clone)]
pub struct ServiceAccountKey {
    pub private_pem: String,
    pub public_pem: String,
}

impl std::fmt::Debug for ServiceAccountKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceAccountKey").field("public_pem", &self.public_pem).finish_non_exhaustive()
    }
}

impl Pki {
    /// Reads what is in `dir`, and makes what is missing or due. The directory is made if need be.
    pub fn open(dir: &Path, names: &ServerNames, now: Time) -> Result<Self, PkiError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(PkiError::io("create", dir))?;
        let files = Files { dir: Some(dir) };
        let pki = Pki::from_files(&files, names, now)?;
        files.sync()?;
        Ok(pki)
    }

    /// Keys and certificates that are never written down.
    pub fn ephemeral(names: &ServerNames, now: Time) -> Result<Self, PkiError> {
        Pki::from_files(&Files { dir: None }, names, now)
    }

    fn from_files(files: &Files<'_>, names: &ServerNames, now: Time) -> Result<Self, PkiError> {
        let ca = files.authority("ca", "kubernetes", now)?;
        let front_proxy_ca = files.authority("front-proxy-ca", "front-proxy-ca", now)?;
        let admin_groups = [ADMIN_GROUP.to_owned()];
        Ok(Pki {
            server: files
                .credential("apiserver", &ca, now, Some(names), || ca.issue_server(names, now, LIFETIME))?,
            admin: files.credential("admin", &ca, now, None, || {
                ca.issue_client(ADMIN_USER, &admin_groups, now, LIFETIME)
            })?,
            kubelet_client: files.credential("apiserver-kubelet-client", &ca, now, None, || {
                ca.issue_client(KUBELET_CLIENT_USER, &[], now, LIFETIME)
            })?,
            front_proxy_client: files.credential("front-proxy-client", &front_proxy_ca, now, None, || {
                front_proxy_ca.issue_client("front-proxy-client", &[], now, LIFETIME)
            })?,
            service_account: files.service_account_key()?,
            ca: Arc::new(ca),
            front_proxy_ca,
        })
    }

    /// The authority kept in `dir`, or `None` when there is none yet. Makes and changes nothing.
    pub fn read_ca(dir: &Path) -> Result<Option<Authority>, PkiError> {
        let files = Files { dir: Some(dir) };
        let (Some(certificate), Some(key)) = (files.read("ca.crt")?, files.read("ca.key")?) else {
            return Ok(None);
        };
        let read = Authority::from_pem(&certificate, &key);
        read.map(Some).map_err(|why| PkiError::damaged(&files.path("ca.crt"), why))
    }
}

impl Authority {
    /// A client certificate for any user, valid for a year.
    pub fn issue_user(&self, user: &str, groups: &[String], now: Time) -> Result<Credential, PkiError> {
        self.issue_client(user, groups, now, LIFETIME)
    }

    /// What the kubelet of a node shows to its clients, valid for a year: for the node's name and addresses.
    pub fn issue_node_server(
        &self,
        node: &str,
        names: &ServerNames,
        now: Time,
    ) -> Result<Credential, PkiError> {
        self.issue_server_as(&format!("system:node:{node}"), names, now, LIFETIME)
    }
}

/// The directory, or none for keys that are not kept.
struct Files<'a> {
    dir: Option<&'a Path>,
}

impl Files<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.unwrap_or(Path::new("")).join(name)
    }

    /// A file's text; `None` when it is not there, or empty, as a loss of power may leave it.
    fn read(&self, name: &str) -> Result<Option<String>, PkiError> {
        if self.dir.is_none() {
            return Ok(None);
        }
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                Err(PkiError::damaged(&path, "not a text"))
            }
            Err(error) => Err(PkiError::io("read", &path)(error)),
        }
    }

    /// Replaces a file at once: readers see the old text or the new one.
    fn write(&self, name: &str, text: &str) -> Result<(), PkiError> {
        if self.dir.is_none() {
            return Ok(());
        }
        let (path, unfinished) = (self.path(name), self.path(&format!("{name}.new")));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&unfinished).map_err(PkiError::io("write", &unfinished))?;
        file.write_all(text.as_bytes()).map_err(PkiError::io("write", &unfinished))?;
        if name.ends_with("ca.key") || name == "sa.key" {
            file.sync_all().map_err(PkiError::io("write", &unfinished))?;
        }
        fs::rename(&unfinished, &path).map_err(PkiError::io("write", &path))
    }

    fn sync(&self) -> Result<(), PkiError> {
        let Some(dir) = self.dir else { return Ok(()) };
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(PkiError::io("write", dir))
    }

    fn authority(&self, name: &str, common_name: &str, now: Time) -> Result<Authority, PkiError> {
        let (crt, key) = (format!("{name}.crt"), format!("{name}.key"));
        let made = match (self.read(&crt)?, self.read(&key)?) {
            (Some(certificate), Some(key)) => {
                return Authority::from_pem(&certificate, &key)
                    .map_err(|why| PkiError::damaged(&self.path(&crt), why));
            }
            (Some(_), None) => {
                return Err(PkiError::damaged(&self.path(&key), "missing, but its certificate is there"));
            }
            (None, Some(text)) => {
                let pair =
                    KeyPair::from_pem(&text).map_err(|why| PkiError::damaged(&self.path(&key), why))?;
                Authority::with_key(common_name, pair, now)?
            }
            (None, None) => {
                let made = Authority::new(common_name, now)?;
                self.write(&key, &made.key_pem())?;
                made
            }
        };
        self.write(&crt, made.certificate_pem())?;
        Ok(made)
    }

    /// What is kept under `name`, if `ca` issued it, it has time left, and it covers `names`; else a new one.
    fn credential(
        &self,
        name: &str,
        ca: &Authority,
        now: Time,
        names: Option<&ServerNames>,
        issue: impl FnOnce() -> Result<Credential, PkiError>,
    ) -> Result<Credential, PkiError> {
        let (crt, key) = (format!("{name}.crt"), format!("{name}.key"));
        if let (Ok(Some(certificate)), Ok(Some(key))) = (self.read(&crt), self.read(&key))
            && let Ok(kept) = Credential::from_pem(&certificate, &key)
            && let Some(parsed) = ca.issued(&kept)
            && parsed.not_after > now.plus(RENEW_BEFORE).secs
            && names.is_none_or(|names| parsed.names.cover(names))
        {
            return Ok(kept);
        }
        let made = issue()?;
        self.write(&key, &made.key_pem)?;
        self.write(&crt, &made.certificate_pem)?;
        Ok(made)
    }

    fn service_account_key(&self) -> Result<ServiceAccountKey, PkiError> {
        let (pair, new) = match self.read("sa.key")? {
            Some(text) => {
                (KeyPair::from_pem(&text).map_err(|why| PkiError::damaged(&self.path("sa.key"), why))?, false)
            }
            None => (KeyPair::generate()?, true),
        };
        let key = ServiceAccountKey { private_pem: pair.serialize_pem(), public_pem: pair.public_key_pem() };
        if new {
            self.write("sa.key", &key.private_pem)?;
            self.write("sa.pub", &key.public_pem)?;
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests;
