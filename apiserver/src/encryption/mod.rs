//! Encryption at rest: which resources rest sealed, and with what, by the rules of an EncryptionConfiguration.
//!
//! The store asks for each value that leaves for its engine, and for each that comes back (`store::Seal`). What rests
//! is in upstream's form, bound to the same keys, so that an original server reads it, and the reverse. `config` reads
//! the file, `provider` chooses among the providers of a resource, `cipher` seals and opens, `kms` fetches keys from
//! plugins.

mod cipher;
mod config;
mod config_faults;
mod kms;
mod provider;

use arc_swap::ArcSwap;
use bytes::Bytes;
use config::{GroupResource, ProviderConfig, ResourceConfig};
use kinds::Registry;
use kms::Kms;
use provider::{Opened, Providers};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;
use stdx::Ids;
use store::Key;

/// How often a file that is reloaded is looked at.
const RELOAD_PERIOD: Duration = Duration::from_secs(60);

/// The encryption of a server's store.
pub struct Encryption {
    rules: ArcSwap<Rules>,
    /// Prefixes of built-in resources.
    places: HashMap<String, GroupResource>,
    ids: Ids,
    path: PathBuf,
}

/// What one version of the file says.
struct Rules {
    providers: HashMap<GroupResource, Providers>,
    plugins: Vec<Arc<Kms>>,
    text: Vec<u8>,
}

impl Encryption {
    /// Reads the file, and asks the plugins that it names. With `reload` the file is looked at every minute: a new one
    /// is used from then on, one that cannot be used is reported. One line when the file cannot be used.
    pub async fn open(path: &Path, reload: bool, ids: Ids) -> Result<Arc<Self>, String> {
        let rules = read(path, reload, &ids).await?;
        let mut places = HashMap::new();
        for kind in Registry::builtin().kinds() {
            let (group, resource) = (kind.info().group.to_string(), kind.info().plural.to_string());
            // Events rest in the core group's place.
            places.entry(kind.info().prefix.to_string()).or_insert(GroupResource { group, resource });
        }
        let rules = ArcSwap::from_pointee(rules);
        let encryption = Arc::new(Encryption { rules, places, ids, path: path.to_owned() });
        if reload {
            tokio::spawn(follow(Arc::downgrade(&encryption)));
        }
        Ok(encryption)
    }

    /// Whether all plugins are well.
    pub async fn check(&self) -> Result<(), String> {
        for plugin in &self.rules.load_full().plugins {
            plugin.check().await?;
        }
        Ok(())
    }

    /// Whether keys are fetched from plugins.
    pub fn has_plugins(&self) -> bool {
        !self.rules.load().plugins.is_empty()
    }

    /// Reads the file again, when it has changed. The old rules stay while a plugin that the new ones need is not well.
    async fn reload(&self) -> Result<(), String> {
        let text = std::fs::read(&self.path).map_err(|why| why.to_string())?;
        if text == self.rules.load().text {
            return Ok(());
        }
        let rules = read(&self.path, true, &self.ids).await?;
        for plugin in &rules.plugins {
            plugin.check().await?;
        }
        self.rules.store(Arc::new(rules));
        tracing::info!(file = %self.path.display(), "the encryption configuration was loaded again");
        Ok(())
    }

    /// The resource of a key; nothing for what is no resource.
    fn resource(&self, key: &Key) -> Option<GroupResource> {
        let prefix = key.space.as_str();
        if let Some(resource) = self.places.get(prefix) {
            return Some(resource.clone());
        }
        let (group, resource) = prefix.strip_prefix("/registry/")?.strip_suffix('/')?.split_once('/')?;
        let is_custom = group.contains('.') && !resource.contains('/');
        is_custom.then(|| GroupResource { group: group.to_owned(), resource: resource.to_owned() })
    }

    /// The providers of a key's resource: its own, its group's, or everybody's.
    fn providers(&self, key: &Key) -> Option<Providers> {
        let (rules, resource) = (self.rules.load(), self.resource(key)?);
        let of = |resource: &GroupResource| rules.providers.get(resource).cloned();
        of(&resource)
            .or_else(|| of(&GroupResource::any_of(&resource.group)))
            .or_else(|| of(&GroupResource::any_of("*")))
    }

    fn read(&self, key: &Key, kept: &[u8]) -> Result<Opened, String> {
        match self.providers(key) {
            Some(providers) => providers.open(kept, key.full().as_bytes()),
            None => provider::read_plain(kept),
        }
    }
}

impl store::Seal for Encryption {
    fn seal(&self, key: &Key, plain: &Bytes) -> Result<Option<Bytes>, String> {
        let Some(providers) = self.providers(key) else { return Ok(None) };
        let sealed = providers.seal(plain, key.full().as_bytes(), &self.ids)?;
        Ok(sealed.map(Bytes::from))
    }

    fn open(&self, key: &Key, kept: &Bytes) -> Result<Option<Bytes>, String> {
        let opened = self.read(key, kept)?;
        Ok((opened.plain != *kept).then(|| opened.plain.into()))
    }

    fn is_stale(&self, key: &Key, kept: &Bytes) -> bool {
        self.read(key, kept).is_ok_and(|opened| opened.stale)
    }
}

impl std::fmt::Debug for Encryption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encryption({})", self.path.display())
    }
}

async fn follow(encryption: Weak<Encryption>) {
    loop {
        tokio::time::sleep(RELOAD_PERIOD).await;
        let Some(encryption) = encryption.upgrade() else { return };
        if let Err(why) = encryption.reload().await {
            tracing::error!("the encryption configuration cannot be loaded again: {why}");
        }
    }
}

async fn read(path: &Path, reload: bool, ids: &Ids) -> Result<Rules, String> {
    let (config, text) = config::load(path, reload)?;
    let mut plugins = Vec::new();
    let providers = rules(&config, ids, &mut plugins)
        .map_err(|why| format!("error while building transformers: {why}"))?;
    for plugin in &plugins {
        plugin.follow().await;
    }
    Ok(Rules { providers, plugins, text })
}

/// The providers of each resource that is named.
fn rules(
    config: &[ResourceConfig],
    ids: &Ids,
    plugins: &mut Vec<Arc<Kms>>,
) -> Result<HashMap<GroupResource, Providers>, String> {
    let mut rules: HashMap<GroupResource, Providers> = HashMap::new();
    for entry in config {
        let providers = Providers::new(&entry.providers, |config| {
            let kms = plugin(config, ids)?;
            plugins.push(kms.clone());
            Ok(kms)
        })?;
        for resource in &entry.resources {
            for earlier in [GroupResource::any_of(&resource.group), GroupResource::any_of("*")] {
                if rules.contains_key(&earlier) {
                    let (one, two) = (api::quote(&resource.to_string()), api::quote(&earlier.to_string()));
                    return Err(format!("resource {one} is masked by earlier rule {two}"));
                }
            }
            rules.entry(resource.clone()).or_default().extend(&providers);
        }
    }
    Ok(rules)
}

fn plugin(config: &ProviderConfig, ids: &Ids) -> Result<Arc<Kms>, String> {
    const V1: &str = "KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead.  Set --feature-gates=KMSv1=true to use the deprecated KMSv1 feature.";
    match config {
        ProviderConfig::Kms { version, name, endpoint, timeout } if version == "v2" => {
            Kms::start(name, endpoint, *timeout, ids.clone())
        }
        _ => Err(V1.to_owned()),
    }
}

#[cfg(test)]
mod tests;
