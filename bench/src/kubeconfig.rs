//! What a client needs out of any kubeconfig's current context: address, authority, certificate or token.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// One way to reach one server.
pub struct Access {
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The authority that the server's certificate must come from, PEM.
    pub authority: Vec<u8>,
    /// The client's certificate and key, PEM.
    pub certificate: Option<(Vec<u8>, Vec<u8>)>,
    /// A bearer token.
    pub token: Option<String>,
}

impl Access {
    /// Reads the current context.
    ///
    /// # Errors
    /// When the file is not a kubeconfig with an HTTPS server and an authority.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let config = match serde_json::from_str(&text) {
            Ok(config) => config,
            Err(_) => flattened(path)?,
        };
        Self::of_current_context(&config)
    }

    fn of_current_context(config: &Value) -> Result<Self> {
        let context = named(config, "contexts", "context", config["current-context"].as_str())?;
        let cluster = named(config, "clusters", "cluster", context["cluster"].as_str())?;
        let user = named(config, "users", "user", context["user"].as_str())?;
        let url = cluster["server"].as_str().context("the cluster has no server")?;
        let address = url.strip_prefix("https://").with_context(|| format!("{url} is not https"))?;
        let address = address.split('/').next().unwrap_or(address);
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().context("a port")?),
            _ => (address, 443),
        };
        let certificate = match user.get("client-certificate-data") {
            Some(_) => Some((bytes(user, "client-certificate-data")?, bytes(user, "client-key-data")?)),
            None => None,
        };
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            authority: bytes(cluster, "certificate-authority-data")?,
            certificate,
            token: user["token"].as_str().map(str::to_owned),
        })
    }
}

/// The kubeconfig as JSON with its files embedded, by kubectl: YAML is not this crate's business.
fn flattened(path: &Path) -> Result<Value> {
    let local = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin/kubectl");
    let program = if local.is_file() { local } else { "kubectl".into() };
    let output = Command::new(program)
        .args(["config", "view", "--raw", "--flatten", "--minify", "--output", "json", "--kubeconfig"])
        .arg(path)
        .output()
        .context("kubectl is needed to read a YAML kubeconfig: `cargo xtask tools`")?;
    ensure!(output.status.success(), "kubectl: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn named<'a>(config: &'a Value, list: &str, part: &str, name: Option<&str>) -> Result<&'a Value> {
    let entries = config[list].as_array().with_context(|| format!("no {list}"))?;
    let entry = entries.iter().find(|entry| entry["name"].as_str() == name);
    Ok(&entry.with_context(|| format!("{list} has no {name:?}"))?[part])
}

fn bytes(entry: &Value, key: &str) -> Result<Vec<u8>> {
    let text = entry[key].as_str().with_context(|| format!("no {key}"))?;
    STANDARD.decode(text).with_context(|| format!("{key} is not base64"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_current_context_is_followed() {
        let config = json!({
            "current-context": "b",
            "contexts": [
                {"name": "a", "context": {"cluster": "x", "user": "x"}},
                {"name": "b", "context": {"cluster": "y", "user": "z"}},
            ],
            "clusters": [
                {"name": "y", "cluster": {"server": "https://[::1]:6443", "certificate-authority-data": "YQ=="}},
            ],
            "users": [{"name": "z", "user": {"token": "secret"}}],
        });
        let access = Access::of_current_context(&config).unwrap();
        assert_eq!((access.host.as_str(), access.port), ("::1", 6443));
        assert_eq!((access.authority, access.token.as_deref()), (b"a".to_vec(), Some("secret")));
        assert!(access.certificate.is_none());
    }
}
