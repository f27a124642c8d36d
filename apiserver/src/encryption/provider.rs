//! The providers of a resource, in their order: the first one seals, each opens what bears its mark.

use super::cipher::{self, Cipher};
use super::config::{Key, ProviderConfig};
use super::kms::Kms;
use std::sync::Arc;
use stdx::Ids;

/// What every sealed value begins with.
const SEALED: &[u8] = b"k8s:enc:";
const IDENTITY_READS_SEALED: &str = "identity transformer tried to read encrypted data";
const NO_PREFIX: &str = "no matching prefix found";

/// A value, and whether it would be sealed otherwise now.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened {
    pub plain: Vec<u8>,
    pub stale: bool,
}

enum Provider {
    Identity,
    /// `prefix` and the key's name with a colon stand before what the key has sealed.
    Keys {
        prefix: &'static str,
        keys: Vec<(String, Box<dyn Cipher>)>,
        /// What is said when no key has the name.
        no_key: &'static str,
    },
    Kms(Arc<Kms>),
}

/// See the head of the file. Cheap to clone.
#[derive(Clone, Default)]
pub struct Providers(Vec<Arc<Provider>>);

impl Providers {
    /// `plugin` gives the plugin of a KMS provider.
    pub fn new(
        configs: &[ProviderConfig],
        mut plugin: impl FnMut(&ProviderConfig) -> Result<Arc<Kms>, String>,
    ) -> Result<Self, String> {
        const AES: &str = "no matching key was found for the provided AES transformer";
        const SECRETBOX: &str = "no matching key was found for the provided Secretbox transformer";
        let provider = |config: &ProviderConfig| {
            Ok(Arc::new(match config {
                ProviderConfig::Identity => Provider::Identity,
                ProviderConfig::AesGcm(keys) => of_keys("k8s:enc:aesgcm:v1:", keys, cipher::gcm, AES)?,
                ProviderConfig::AesCbc(keys) => of_keys("k8s:enc:aescbc:v1:", keys, cipher::cbc, AES)?,
                ProviderConfig::Secretbox(keys) => {
                    of_keys("k8s:enc:secretbox:v1:", keys, cipher::secretbox, SECRETBOX)?
                }
                kms @ ProviderConfig::Kms { .. } => Provider::Kms(plugin(kms)?),
            }))
        };
        configs.iter().map(provider).collect::<Result<_, String>>().map(Providers)
    }

    /// The providers of `others` as well, behind these.
    pub fn extend(&mut self, others: &Providers) {
        self.0.extend_from_slice(&others.0);
    }

    /// Seals with the first one; nothing when that leaves values as they are.
    pub fn seal(&self, plain: &[u8], about: &[u8], ids: &Ids) -> Result<Option<Vec<u8>>, String> {
        let Some(first) = self.0.first() else { return Ok(None) };
        match &**first {
            Provider::Identity => Ok(None),
            Provider::Keys { prefix, keys, no_key } => {
                let (name, cipher) = keys.first().ok_or(*no_key)?;
                let sealed = cipher.seal(plain, about, ids)?;
                Ok(Some([prefix.as_bytes(), name.as_bytes(), &sealed].concat()))
            }
            Provider::Kms(kms) => {
                let sealed = kms.seal(plain, about)?;
                Ok(Some([kms.prefix().as_bytes(), &sealed].concat()))
            }
        }
    }

    /// Opens with the first one that can. The error is the only one there is, or all of them.
    pub fn open(&self, kept: &[u8], about: &[u8]) -> Result<Opened, String> {
        let mut faults = Vec::new();
        for (i, provider) in self.0.iter().enumerate() {
            match provider.open(kept, about) {
                None => {}
                Some(Ok(opened)) => return Ok(Opened { stale: opened.stale || i > 0, ..opened }),
                Some(Err(why)) => faults.push(why),
            }
        }
        Err(joined(faults).unwrap_or_else(|| NO_PREFIX.to_owned()))
    }
}

fn of_keys(
    prefix: &'static str,
    keys: &[Key],
    make: fn(&[u8]) -> Option<Box<dyn Cipher>>,
    no_key: &'static str,
) -> Result<Provider, String> {
    let cipher = |key: &Key| {
        let made = make(&key.secret);
        let made = made.ok_or_else(|| format!("error while creating cipher for named key {}", key.name))?;
        Ok((format!("{}:", key.name), made))
    };
    Ok(Provider::Keys { prefix, keys: keys.iter().map(cipher).collect::<Result<_, String>>()?, no_key })
}

impl Provider {
    /// Nothing when the value does not bear the mark.
    fn open(&self, kept: &[u8], about: &[u8]) -> Option<Result<Opened, String>> {
        match self {
            Provider::Identity => read_plain(kept).ok().map(Ok),
            Provider::Keys { prefix, keys, no_key } => {
                Some(open_with(kept.strip_prefix(prefix.as_bytes())?, keys, no_key, about))
            }
            Provider::Kms(kms) => Some(kms.open(kept.strip_prefix(kms.prefix().as_bytes())?, about)),
        }
    }
}

/// A value that nobody has sealed, or the error of reading one that somebody has.
pub fn read_plain(kept: &[u8]) -> Result<Opened, String> {
    if kept.starts_with(SEALED) {
        return Err(IDENTITY_READS_SEALED.to_owned());
    }
    Ok(Opened { plain: kept.to_vec(), stale: false })
}

fn open_with(
    named: &[u8],
    keys: &[(String, Box<dyn Cipher>)],
    no_key: &str,
    about: &[u8],
) -> Result<Opened, String> {
    let mut faults = Vec::new();
    for (i, (name, cipher)) in keys.iter().enumerate() {
        let Some(sealed) = named.strip_prefix(name.as_bytes()) else { continue };
        match cipher.open(sealed, about) {
            Ok(plain) => return Ok(Opened { plain, stale: i > 0 }),
            Err(why) => faults.push(why),
        }
    }
    Err(joined(faults).unwrap_or_else(|| no_key.to_owned()))
}

fn joined(faults: Vec<String>) -> Option<String> {
    match faults.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}
