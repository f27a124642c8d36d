//! Credentials for registries: docker's configuration files, from secrets of pods and from the node, by registry and
//! path.

use api::{Value, json, pem};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::Path;

/// A user and a password of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    pub username: String,
    pub password: String,
    /// True for one of a secret: only pods that bring it may use what was pulled with it.
    pub of_pod: bool,
}

impl Credential {
    /// Tells credentials apart without holding them (hex).
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(format!("{}:{}:{}", self.username.len(), self.username, self.password));
        hasher.finalize().iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// All credentials at hand, those that a pod brings first.
#[derive(Debug, Default)]
pub struct Keyring {
    /// Registry and path, and the credential.
    keys: Vec<(String, Credential)>,
}

impl Keyring {
    /// Takes what a secret of one of docker's types holds.
    pub fn add_secret(&mut self, secret: &Value) {
        let (field, is_new) = match secret.str_at(&["type"]) {
            "kubernetes.io/dockerconfigjson" => (".dockerconfigjson", true),
            "kubernetes.io/dockercfg" => (".dockercfg", false),
            _ => return,
        };
        if let Some(text) = pem::decode_base64(secret.str_at(&["data", field])) {
            self.add_file(&text, is_new, true);
        }
    }

    /// Takes what the node's own files hold: `config.json` in the kubelet's folder, then `/.docker/config.json`.
    pub fn add_node(&mut self, root: &Path) {
        for file in [root.join("config.json"), "/.docker/config.json".into()] {
            if let Ok(text) = std::fs::read(file) {
                self.add_file(&text, true, false);
                return;
            }
        }
    }

    fn add_file(&mut self, text: &[u8], is_new: bool, of_pod: bool) {
        let Ok(file) = json::parse(text) else { return };
        let entries = if is_new { file.get("auths") } else { Some(&file) };
        let mut keys: Vec<_> = entries
            .and_then(Value::as_map)
            .into_iter()
            .flat_map(api::Map::iter)
            .filter_map(|(place, entry)| Some((key_of(place), credential(entry, of_pod)?)))
            .collect();
        // More specific paths first.
        keys.sort_by(|(one, _), (other, _)| other.cmp(one));
        self.keys.extend(keys);
    }

    /// The credentials that may fit a repository, `docker.io/library/busybox`.
    pub fn lookup(&self, repository: &str) -> Vec<Credential> {
        let fitting = |of_pod: bool| {
            let own = self.keys.iter().filter(move |(_, key)| key.of_pod == of_pod);
            let exact: Vec<_> = own.clone().filter(|(place, _)| matches(place, repository)).collect();
            match exact.is_empty() && repository.starts_with("docker.io/") {
                true => own.filter(|(place, _)| place == "index.docker.io").collect(),
                false => exact,
            }
        };
        [fitting(true), fitting(false)].concat().into_iter().map(|(_, key)| key.clone()).collect()
    }
}

/// Host and path of an entry, without scheme and the API's version.
fn key_of(place: &str) -> String {
    let place = place.strip_prefix("https://").or(place.strip_prefix("http://")).unwrap_or(place);
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    let path = path.strip_prefix("v1/").or(path.strip_prefix("v2/")).unwrap_or(path);
    if path.is_empty() { host.to_owned() } else { format!("{host}/{path}") }
}

/// `auth` is base64 of `user:password` and goes before the fields.
fn credential(entry: &Value, of_pod: bool) -> Option<Credential> {
    let auth = entry.str_at(&["auth"]).trim().trim_end_matches('=');
    if auth.is_empty() {
        let field = |name| entry.str_at(&[name]).to_owned();
        return Some(Credential { username: field("username"), password: field("password"), of_pod });
    }
    let padded = format!("{auth}{}", "=".repeat((4 - auth.len() % 4) % 4));
    let text = String::from_utf8(pem::decode_base64(&padded)?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some(Credential { username: username.to_owned(), password: password.to_owned(), of_pod })
}

/// Hosts match label by label with `*`, ports exactly, paths as prefixes.
fn matches(place: &str, repository: &str) -> bool {
    fn parts(text: &str) -> (&str, &str, &str) {
        let (host, path) = text.find('/').map_or((text, ""), |at| text.split_at(at));
        let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
        (name, port, path)
    }
    let ((pattern, port, path), (host, other_port, other_path)) = (parts(place), parts(repository));
    let (patterns, labels): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), host.split('.').collect());
    port == other_port
        && patterns.len() == labels.len()
        && other_path.starts_with(path)
        && patterns.iter().zip(labels).all(|(pattern, label)| is_like(pattern.as_bytes(), label.as_bytes()))
}

/// `*` is any run of characters, `?` any one.
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            (0..=text.len()).any(|skip| is_like(rest, text.get(skip..).unwrap_or(&[])))
        }
        (Some((b'?', rest)), Some((_, more))) => is_like(rest, more),
        (Some((one, rest)), Some((other, more))) => one == other && is_like(rest, more),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn keyring(file: &str) -> Keyring {
        let mut keyring = Keyring::default();
        keyring.add_file(file.as_bytes(), true, true);
        keyring
    }

    fn users(keyring: &Keyring, repository: &str) -> Vec<String> {
        keyring.lookup(repository).into_iter().map(|key| key.username).collect()
    }

    #[test]
    fn the_most_specific_entry_comes_first() {
        let keyring = keyring(
            r#"{"auths": {"reg.io": {"username": "host"}, "https://reg.io/team": {"username": "team"},
            "*.reg.io": {"username": "any"}, "https://index.docker.io/v1/": {"username": "hub"}}}"#,
        );
        assert_eq!(users(&keyring, "reg.io/team/app"), ["team", "host"]);
        assert_eq!(users(&keyring, "reg.io/other"), ["host"]);
        assert_eq!(users(&keyring, "eu.reg.io/x"), ["any"]);
        assert_eq!(users(&keyring, "docker.io/library/busybox"), ["hub"]);
        assert!(users(&keyring, "reg.io:5000/x").is_empty());
    }

    #[test]
    fn secrets_of_both_types_are_read() {
        let mut keyring = Keyring::default();
        let data = "eyJhdXRocyI6eyJyZWcuaW8iOnsiYXV0aCI6ImJXVTZjR0Z6Y3c9PSJ9fX0=";
        keyring.add_secret(
            &tree!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": data}}),
        );
        keyring.add_secret(&tree!({"type": "Opaque", "data": {".dockerconfigjson": data}}));
        let keys = keyring.lookup("reg.io/a");
        assert_eq!(keys, [Credential { username: "me".into(), password: "pass".into(), of_pod: true }]);
    }

    #[test]
    fn a_hash_tells_credentials_apart() {
        let key = |username: &str, password: &str| {
            Credential { username: username.into(), password: password.into(), of_pod: true }.hash()
        };
        assert_eq!(key("a", "b"), key("a", "b"));
        assert_ne!(key("a:b", "c"), key("a", "b:c"));
    }
}
