//! Reads an `apiserver.config.k8s.io/v1 EncryptionConfiguration`, strictly: unknown fields are refused. Keys never
//! occur in what is said about it.

use super::config_faults::faults;
use crate::audit::aggregate;
use api::schema::{self, Field, Presence, Scalar, Shape, Type, TypeId};
use api::{Schema, Value, time, yaml};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::path::Path;
use std::time::Duration;

const API_VERSION: &str = "apiserver.config.k8s.io/v1";
const KIND: &str = "EncryptionConfiguration";
const DEFAULT_KMS_TIMEOUT: Duration = Duration::from_secs(3);

/// Which resources rest how.
#[derive(Clone, Debug)]
pub struct ResourceConfig {
    /// `secrets`, `deployments.apps`, `*.apps`, `*.`, `*.*`.
    pub resources: Vec<GroupResource>,
    /// The first one seals; all of them open.
    pub providers: Vec<ProviderConfig>,
}

/// A resource of a group; `*` is any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct GroupResource {
    pub group: String,
    pub resource: String,
}

/// One way to seal and open.
#[derive(Clone)]
pub enum ProviderConfig {
    Identity,
    AesGcm(Vec<Key>),
    AesCbc(Vec<Key>),
    Secretbox(Vec<Key>),
    /// A plugin that keeps the keys.
    Kms {
        version: String,
        name: String,
        endpoint: String,
        timeout: Duration,
    },
}

/// Without the keys.
impl std::fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ProviderConfig::Identity => "identity",
            ProviderConfig::AesGcm(_) => "aesgcm",
            ProviderConfig::AesCbc(_) => "aescbc",
            ProviderConfig::Secretbox(_) => "secretbox",
            ProviderConfig::Kms { .. } => "kms",
        })
    }
}

/// A key and its name.
#[derive(Clone)]
pub struct Key {
    pub name: String,
    pub secret: Vec<u8>,
}

impl GroupResource {
    /// `RESOURCE[.GROUP]`.
    pub fn parse(text: &str) -> Self {
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        GroupResource { group: group.to_owned(), resource: resource.to_owned() }
    }

    pub fn any_of(group: &str) -> Self {
        GroupResource { group: group.to_owned(), resource: "*".to_owned() }
    }
}

impl std::fmt::Display for GroupResource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.resource.as_str(), self.group.as_str()) {
            ("*", "") => f.write_str("*."),
            (resource, "") => f.write_str(resource),
            (resource, group) => write!(f, "{resource}.{group}"),
        }
    }
}

/// The configuration of a file, and the file's text. `reload`: whether the file is read again and again.
pub fn load(path: &Path, reload: bool) -> Result<(Vec<ResourceConfig>, Vec<u8>), String> {
    let shown = api::quote(&path.display().to_string());
    let failed = |why: String| format!("error while parsing file: {why}");
    let text = std::fs::read(path).map_err(|why| {
        failed(format!(
            "error while loading file: error reading encryption provider configuration file {shown}: {why}"
        ))
    })?;
    if text.is_empty() {
        return Err(failed(format!(
            "error while loading file: encryption provider configuration file {shown} is empty"
        )));
    }
    let value = decode(&text).map_err(|why| {
        failed(format!("error decoding encryption provider configuration file {shown}: {why}"))
    })?;
    Ok((settle(&value, reload).map_err(failed)?, text))
}

/// The configuration of a text.
#[cfg(test)]
pub fn parse(text: &[u8]) -> Result<Vec<ResourceConfig>, String> {
    settle(&decode(text)?, false)
}

fn settle(value: &Value, reload: bool) -> Result<Vec<ResourceConfig>, String> {
    let faults = faults(value, reload);
    if !faults.is_empty() {
        return Err(aggregate(&faults));
    }
    Ok(value.list_at(&["resources"]).iter().map(resource_config).collect())
}

fn decode(text: &[u8]) -> Result<Value, String> {
    let (raw, duplicates) = yaml::parse_tracking_duplicates(text).map_err(|why| why.to_string())?;
    let (kind, version) = (raw.str_at(&["kind"]), raw.str_at(&["apiVersion"]));
    for (name, text) in [("Kind", kind), ("apiVersion", version)] {
        if text.is_empty() {
            return Err(format!("Object '{name}' is missing"));
        }
    }
    if (kind, version) != (KIND, API_VERSION) {
        let (kind, version) = (api::quote(kind), api::quote(version));
        return Err(format!("no kind {kind} is registered for version {version}"));
    }
    let (types, ty) = schema();
    let decoded = schema::decode(&types, ty, raw, true).map_err(|why| why.to_string())?;
    let strict: Vec<String> = duplicates.into_iter().chain(decoded.strict).map(withhold).collect();
    if !strict.is_empty() {
        return Err(format!("strict decoding error: {}", strict.join(", ")));
    }
    Ok(decoded.value)
}

/// A fault about a field, without the field where its name may be a key that slipped.
fn withhold(fault: String) -> String {
    let name = fault.split('"').nth(1).unwrap_or_default().rsplit('.').next().unwrap_or_default();
    let is_name = name.len() <= 24 && name.chars().all(|c| c.is_ascii_alphanumeric() || "[]_-".contains(c));
    if is_name { fault } else { "unknown field \"REDACTED\"".to_owned() }
}

fn schema() -> (Schema, TypeId) {
    let mut types = Schema::new();
    let text = Shape::Scalar(Scalar::Str);
    let mut add = |name: &str, fields: &[(&str, Shape)]| {
        let field = |(name, shape): &(&str, Shape)| Field {
            presence: Presence::Pointer,
            ..Field::new(*name, shape.clone())
        };
        types.add(Type {
            name: format!("{API_VERSION}.{name}").replace('/', ".").into(),
            fields: fields.iter().map(field).collect(),
            ..Type::default()
        })
    };
    let list = |shape: Shape| Shape::List(Box::new(shape));
    let key = add("Key", &[("name", text.clone()), ("secret", text.clone())]);
    let keys = Shape::Struct(add("AESConfiguration", &[("keys", list(Shape::Struct(key)))]));
    let identity = Shape::Struct(add("IdentityConfiguration", &[]));
    let kms = add(
        "KMSConfiguration",
        &[
            ("apiVersion", text.clone()),
            ("name", text.clone()),
            ("cachesize", Shape::Scalar(Scalar::Int32)),
            ("endpoint", text.clone()),
            ("timeout", Shape::Scalar(Scalar::Duration)),
        ],
    );
    let provider = add(
        "ProviderConfiguration",
        &[
            ("aesgcm", keys.clone()),
            ("aescbc", keys.clone()),
            ("secretbox", keys),
            ("identity", identity),
            ("kms", Shape::Struct(kms)),
        ],
    );
    let resource = add(
        "ResourceConfiguration",
        &[("resources", list(text.clone())), ("providers", list(Shape::Struct(provider)))],
    );
    let root = add(
        KIND,
        &[("kind", text.clone()), ("apiVersion", text), ("resources", list(Shape::Struct(resource)))],
    );
    (types, root)
}

fn resource_config(value: &Value) -> ResourceConfig {
    let resources = value.list_at(&["resources"]).iter().filter_map(Value::as_str);
    ResourceConfig {
        resources: resources.map(GroupResource::parse).collect(),
        providers: value.list_at(&["providers"]).iter().filter_map(provider).collect(),
    }
}

fn provider(value: &Value) -> Option<ProviderConfig> {
    let keys = |field: &str| value.get(field).map(keys);
    if let Some(kms) = value.get("kms") {
        return Some(ProviderConfig::Kms {
            version: kms_version(kms).to_owned(),
            name: kms.str_at(&["name"]).to_owned(),
            endpoint: kms.str_at(&["endpoint"]).to_owned(),
            timeout: kms_timeout(kms),
        });
    }
    let gcm = keys("aesgcm").map(ProviderConfig::AesGcm);
    gcm.or_else(|| keys("aescbc").map(ProviderConfig::AesCbc))
        .or_else(|| keys("secretbox").map(ProviderConfig::Secretbox))
        .or_else(|| value.get("identity").map(|_| ProviderConfig::Identity))
}

fn keys(value: &Value) -> Vec<Key> {
    let key = |key: &Value| {
        Some(Key { name: key.str_at(&["name"]).to_owned(), secret: secret(key.str_at(&["secret"]))? })
    };
    value.list_at(&["keys"]).iter().filter_map(key).collect()
}

/// The bytes of a key. Line breaks are allowed, as in Go.
pub fn secret(text: &str) -> Option<Vec<u8>> {
    let text: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    STANDARD.decode(text).ok()
}

/// v1 where nothing is said.
pub fn kms_version(kms: &Value) -> &str {
    match kms.str_at(&["apiVersion"]) {
        "" => "v1",
        version => version,
    }
}

/// Zero when it is not positive.
pub fn kms_timeout(kms: &Value) -> Duration {
    let Some(text) = kms.get("timeout").and_then(Value::as_str) else { return DEFAULT_KMS_TIMEOUT };
    let nanos = time::parse_duration(text).unwrap_or(0);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}
