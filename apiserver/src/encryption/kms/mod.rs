//! Keys that a plugin keeps (KMS v2): values are sealed here, with a data key that the plugin sealed, and that rests
//! beside each value. The plugin is asked once for each data key, not for each value.
//!
//! Every minute the plugin tells the id of its current key; when that has changed, a new data key is made. A plugin
//! that has not answered for three minutes cannot be written with; what its data keys sealed can still be read.

pub mod grpc;
pub mod message;
#[cfg(test)]
pub mod tests;

use super::cipher::{self, Cipher, SEED};
use super::provider::Opened;
use arc_swap::ArcSwapOption;
use grpc::Plugin;
use message::{EncryptedObject, SourceType, StatusResponse};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use stdx::Ids;
use tokio::time::Instant;

/// How often a plugin is asked how it is, when it was well and when not.
const POLL: Duration = Duration::from_secs(60);
const POLL_SICK: Duration = Duration::from_secs(10);
/// How long a data key seals after the last word from its plugin.
const MAX_SILENCE: Duration = Duration::from_secs(180);
/// How long an answer to a health check holds.
const WELL_FOR: Duration = Duration::from_secs(20);
const SICK_FOR: Duration = Duration::from_secs(3);
/// How long a failure holds: many values want the same data key, and each would wait for the plugin.
const FAILED_FOR: Duration = Duration::from_secs(3);
/// Stands for all data keys: the plugin does not answer at all.
const ALL: &[u8] = b"";
/// Data keys remembered. There is one for each key id and start of a server.
const MAX_DATA_KEYS: usize = 4096;

type SharedCipher = Arc<Box<dyn Cipher>>;

/// What new values are sealed with.
struct State {
    cipher: SharedCipher,
    /// Without data.
    record: EncryptedObject,
    until: Instant,
}

/// When the plugin was last asked, and what was wrong.
struct Health {
    asked: Instant,
    outcome: Result<(), String>,
}

/// One plugin.
pub struct Kms {
    name: String,
    plugin: Plugin,
    ids: Ids,
    state: ArcSwapOption<State>,
    health: tokio::sync::Mutex<Option<Health>>,
    /// The version that the plugin first said; it may not change.
    version: Mutex<String>,
    data_keys: Mutex<HashMap<Vec<u8>, SharedCipher>>,
    /// Why data keys could not be opened, and when.
    failures: Mutex<HashMap<Vec<u8>, (Instant, String)>>,
}

impl Kms {
    /// Connects to a plugin; one that does not answer yet is asked again and again.
    pub fn start(name: &str, endpoint: &str, timeout: Duration, ids: Ids) -> Result<Arc<Self>, String> {
        let plugin = Plugin::start(endpoint, timeout).map_err(|why| {
            format!("could not configure KMSv2-Plugin's probe {}, error: {why}", api::quote(name))
        })?;
        Ok(Arc::new(Kms {
            name: name.to_owned(),
            plugin,
            ids,
            state: ArcSwapOption::empty(),
            health: tokio::sync::Mutex::default(),
            version: Mutex::default(),
            data_keys: Mutex::default(),
            failures: Mutex::default(),
        }))
    }

    /// Asks the plugin for the first time, then as long as anybody uses it.
    pub async fn follow(self: &Arc<Self>) {
        let mut well = self.probe().await;
        let weak: Weak<Kms> = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(if well { POLL } else { POLL_SICK }).await;
                let Some(kms) = weak.upgrade() else { return };
                well = kms.probe().await;
            }
        });
    }

    async fn probe(&self) -> bool {
        let outcome = self.ask().await;
        if let Err(why) = &outcome {
            tracing::warn!(name = self.name, "kms plugin failed health check probe: {why}");
        }
        let well = outcome.is_ok();
        *self.health.lock().await = Some(Health { asked: Instant::now(), outcome });
        well
    }

    /// Whether the plugin is well; what it said holds for some seconds.
    pub async fn check(&self) -> Result<(), String> {
        let mut health = self.health.lock().await;
        if let Some(known) = &*health {
            let holds = if known.outcome.is_ok() { WELL_FOR } else { SICK_FOR };
            if known.asked.elapsed() < holds {
                return known.outcome.clone();
            }
        }
        let outcome = self.ask().await;
        *health = Some(Health { asked: Instant::now(), outcome: outcome.clone() });
        outcome
    }

    /// Asks the plugin how it is, and makes a new data key when it has a new key.
    async fn ask(&self) -> Result<(), String> {
        let answer = self.plugin.call("Status", Vec::new()).await;
        let status = answer.and_then(|bytes| StatusResponse::decode(&bytes)).map_err(|why| {
            format!(
                "failed to perform status section of the healthz check for KMS Provider {}, error: {why}",
                self.name
            )
        })?;
        let mut faults = Vec::new();
        if status.healthz != "ok" {
            faults.push(format!("got unexpected healthz status: {}", status.healthz));
        }
        faults.extend(self.version_fault(&status.version));
        match message::check_key_id(&status.key_id) {
            Err(why) => faults.push(format!("got invalid KMSv2 KeyID: {why}")),
            Ok(()) => faults.extend(self.rotate(&status.key_id).await.err()),
        }
        let text = match faults.as_slice() {
            [] => {
                self.failures.lock().clear();
                return Ok(());
            }
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        Err(format!("kmsv2 Provider {} is not healthy, error: {text}", self.name))
    }

    fn version_fault(&self, version: &str) -> Option<String> {
        if !matches!(version, "v2" | "v2beta1") {
            return Some(format!("expected KMSv2 API version v2, got {version}"));
        }
        let mut first = self.version.lock();
        if first.is_empty() {
            version.clone_into(&mut first);
        }
        (*first != version).then(|| {
            format!(
                "KMSv2 API version should not change after the initial status response version {first}, got {version}"
            )
        })
    }

    /// Goes on with the data key of this key, or makes one.
    async fn rotate(&self, key_id: &str) -> Result<(), String> {
        let until = Instant::now() + MAX_SILENCE;
        if let Some(state) = self.state.load_full().filter(|state| state.record.key_id == key_id) {
            let (cipher, record) = (state.cipher.clone(), state.record.clone());
            self.state.store(Some(Arc::new(State { cipher, record, until })));
            return Ok(());
        }
        let mut seed = [0; SEED];
        self.ids.fill(&mut seed);
        let request = message::encrypt_request(&seed, &self.ids.uuid());
        let answer =
            self.plugin.call("Encrypt", request).await.and_then(|bytes| message::encrypt_response(&bytes));
        let record = answer.map_err(|why| format!("failed to encrypt DEK, error: {why}"))?;
        record.check()?;
        if record.key_id != key_id {
            return Err(
                "failed to rotate DEK: the plugin's status and its answer name different keys".to_owned()
            );
        }
        let cipher: SharedCipher = Arc::new(cipher::extended_gcm(&seed)?);
        self.remember(record.cache_key(), cipher.clone());
        self.state.store(Some(Arc::new(State { cipher, record, until })));
        Ok(())
    }

    fn remember(&self, key: Vec<u8>, cipher: SharedCipher) {
        let mut known = self.data_keys.lock();
        if known.len() >= MAX_DATA_KEYS {
            known.clear();
        }
        known.insert(key, cipher);
    }

    pub fn prefix(&self) -> String {
        format!("k8s:enc:kms:v2:{}:", self.name)
    }

    pub fn seal(&self, plain: &[u8], about: &[u8]) -> Result<Vec<u8>, String> {
        let state = self.state.load_full().ok_or("got unexpected nil transformer")?;
        if Instant::now() > state.until {
            return Err(format!("encryptedDEKSource of KMS provider {} expired", self.name));
        }
        let data = state.cipher.seal(plain, about, &self.ids)?;
        Ok(EncryptedObject { data, ..state.record.clone() }.encode())
    }

    /// Opens; the plugin may have to be waited for.
    pub fn open(&self, sealed: &[u8], about: &[u8]) -> Result<Opened, String> {
        let record = EncryptedObject::decode(sealed)?;
        let plain = self.data_key(&record)?.open(&record.data, about)?;
        let current = self.state.load_full();
        let is_current = current.is_some_and(|state| {
            state.record.key_id == record.key_id && state.record.source_type == record.source_type
        });
        Ok(Opened { plain, stale: !is_current })
    }

    fn data_key(&self, record: &EncryptedObject) -> Result<SharedCipher, String> {
        let cache_key = record.cache_key();
        if let Some(known) = self.data_keys.lock().get(&cache_key) {
            return Ok(known.clone());
        }
        if let Some(why) = self.failure(&cache_key) {
            return Err(why);
        }
        let request = message::decrypt_request(record, &self.ids.uuid());
        let answer = self.plugin.call_blocking("Decrypt", request);
        let key = answer.and_then(|bytes| message::decrypt_response(&bytes));
        let key = key.map_err(|why| self.note_failure(&cache_key, &why))?;
        let cipher = match record.source_type {
            SourceType::Seed => cipher::extended_gcm(&key)?,
            SourceType::AesGcmKey => {
                cipher::gcm(&key).ok_or_else(|| format!("crypto/aes: invalid key size {}", key.len()))?
            }
        };
        let cipher: SharedCipher = Arc::new(cipher);
        self.remember(cache_key, cipher.clone());
        Ok(cipher)
    }

    /// Why this data key could not be opened a moment ago.
    fn failure(&self, cache_key: &[u8]) -> Option<String> {
        let failures = self.failures.lock();
        let found = [ALL, cache_key].into_iter().find_map(|key| {
            let (since, why) = failures.get(key)?;
            (since.elapsed() < FAILED_FOR).then_some(why)
        });
        found.cloned()
    }

    /// Remembers it: of a plugin that does not answer for all data keys.
    fn note_failure(&self, cache_key: &[u8], why: &str) -> String {
        let is_away = ["Unavailable", "DeadlineExceeded"]
            .iter()
            .any(|code| why.starts_with(&format!("rpc error: code = {code} ")));
        let why = format!("failed to decrypt DEK, error: {why}");
        let mut failures = self.failures.lock();
        if failures.len() >= MAX_DATA_KEYS {
            failures.clear();
        }
        let key = if is_away { ALL } else { cache_key };
        failures.insert(key.to_vec(), (Instant::now(), why.clone()));
        why
    }
}
