//! What the server shows of itself to webhooks: users of the kubeconfig that a WebhookAdmissionConfiguration names, by
//! the webhook's `HOST:PORT` or `*.DOMAIN`.

use crate::plugins::Settings;
use api::{Remote, Value, quote, yaml};
use base64::Engine as _;
use std::collections::BTreeMap;

const GROUP: &str = "apiserver.config.k8s.io";

/// Users by the servers that they are for.
#[derive(Clone, Default)]
pub struct Credentials(BTreeMap<String, Remote>);

impl Credentials {
    /// Those of the plugin's configuration; none without one.
    pub fn read(settings: &Settings, plugin: &str) -> Result<Self, String> {
        let Some(configuration) = settings.configurations.get(plugin) else { return Ok(Self::default()) };
        let (version, kind) = (configuration.str_at(&["apiVersion"]), configuration.str_at(&["kind"]));
        let known = ["v1", "v1alpha1"].iter().any(|v| version == format!("{GROUP}/{v}"));
        if !known || !matches!(kind, "WebhookAdmissionConfiguration" | "WebhookAdmission") {
            return Err(format!("no kind {} is registered for version {}", quote(kind), quote(version)));
        }
        match configuration.str_at(&["kubeConfigFile"]) {
            "" => Ok(Self::default()),
            path if !path.starts_with('/') => {
                Err(format!("Failed to resolve relative path: {}", quote(path)))
            }
            path => Self::load(settings, path),
        }
    }

    fn load(settings: &Settings, path: &str) -> Result<Self, String> {
        let bytes = (settings.read_file)(path)?;
        let config =
            yaml::parse(&bytes).map_err(|why| format!("error loading config file {}: {why}", quote(path)))?;
        let mut users = BTreeMap::new();
        for entry in config.list_at(&["users"]) {
            let user = entry.get("user").cloned().unwrap_or_default();
            users.insert(entry.str_at(&["name"]).to_owned(), identity(settings, &user)?);
        }
        Ok(Credentials(users))
    }

    /// What to show to a server; only the credentials of the answer are set.
    pub fn remote(&self, host_port: &str) -> Remote {
        let bare = host_port.strip_suffix(":443");
        let found = self.find(host_port).or_else(|| bare.and_then(|host| self.find(host)));
        found.cloned().unwrap_or_default()
    }

    fn find(&self, target: &str) -> Option<&Remote> {
        let wild = || target.match_indices('.').map(|(at, _)| format!("*{}", &target[at..]));
        self.0.get(target).or_else(|| wild().find_map(|name| self.0.get(&name)))
    }
}

/// A user of a kubeconfig.
fn identity(settings: &Settings, user: &Value) -> Result<Remote, String> {
    let text = |field: &str| user.str_at(&[field]);
    let bytes = |data: &str, file: &str| -> Result<Option<Vec<u8>>, String> {
        match (text(data), text(file)) {
            ("", "") => Ok(None),
            ("", path) => (settings.read_file)(path).map(Some),
            (data, _) => {
                let decoded = base64::engine::general_purpose::STANDARD.decode(data);
                decoded.map(Some).map_err(|why| format!("{}: {why}", "illegal base64 data"))
            }
        }
    };
    let certificate = bytes("client-certificate-data", "client-certificate")?;
    let key = bytes("client-key-data", "client-key")?;
    let token = match (text("token"), text("tokenFile")) {
        ("", "") => None,
        ("", path) => {
            let read = (settings.read_file)(path)?;
            Some(String::from_utf8_lossy(&read).trim().to_owned())
        }
        (token, _) => Some(token.to_owned()),
    };
    let basic = || {
        let pair = format!("{}:{}", text("username"), text("password"));
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    };
    let authorization = match token {
        Some(token) => Some(format!("Bearer {token}")),
        None => (!text("username").is_empty()).then(basic),
    };
    Ok(Remote { client: certificate.zip(key), authorization, ..Remote::default() })
}
