//! A kubeconfig's current context as a `Remote`: for clients of an API server, and for webhooks, which are told where
//! to go by files of the same form.

use super::Remote;
use crate::{Value, quote, yaml};

/// Gives the content of a file that a configuration names, or Go's words why not.
type ReadFile<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, String>;

impl Remote {
    /// The server of the current context, and the identity to show it. `read` gives the files that are named.
    ///
    /// # Errors
    /// client-go's texts, as far as it has some.
    pub fn from_kubeconfig(text: &[u8], read: ReadFile<'_>) -> Result<Self, String> {
        let config = yaml::parse(text).map_err(|why| why.to_string())?;
        let current = config.str_at(&["current-context"]);
        if current.is_empty() {
            return Err("invalid configuration: no configuration has been provided, try setting \
                        KUBERNETES_MASTER environment variable"
                .to_owned());
        }
        let context = entry(&config, "contexts", "context", current)
            .ok_or_else(|| format!("context was not found for specified context: {current}"))?;
        let name = context.str_at(&["cluster"]);
        let cluster = entry(&config, "clusters", "cluster", name)
            .ok_or_else(|| format!("invalid configuration: cluster {} does not exist", quote(name)))?;
        let user_name = context.str_at(&["user"]);
        let user = match entry(&config, "users", "user", user_name) {
            Some(user) => user,
            None if user_name.is_empty() => &Value::Null,
            None => return Err(format!("invalid configuration: user {} does not exist", quote(user_name))),
        };
        let mut remote = Remote::default();
        remote.settle_cluster(name, cluster, read)?;
        remote.settle_user(user_name, user, read)?;
        if !remote.url.contains("://") {
            let secure = remote.ca.is_some() || remote.client.is_some() || remote.insecure;
            remote.url = format!("{}://{}", if secure { "https" } else { "http" }, remote.url);
        }
        Ok(remote)
    }

    fn settle_cluster(&mut self, name: &str, cluster: &Value, read: ReadFile<'_>) -> Result<(), String> {
        self.url = cluster.str_at(&["server"]).to_owned();
        if self.url.is_empty() {
            return Err(format!("invalid configuration: no server found for cluster {}", quote(name)));
        }
        if !cluster.str_at(&["proxy-url"]).is_empty() {
            return Err(format!(
                "invalid configuration: cluster {name} has a proxy-url, which is not supported"
            ));
        }
        self.server_name = cluster.str_at(&["tls-server-name"]).to_owned();
        self.insecure = cluster.bool_at(&["insecure-skip-tls-verify"]);
        self.ca = content(cluster, "certificate-authority", name, read)?;
        if self.insecure && self.ca.is_some() {
            return Err("specifying a root certificates file with the insecure flag is not allowed".into());
        }
        Ok(())
    }

    fn settle_user(&mut self, name: &str, user: &Value, read: ReadFile<'_>) -> Result<(), String> {
        let unsupported = ["exec", "auth-provider"].into_iter().find(|key| user.get(key).is_some());
        if let Some(key) = unsupported {
            return Err(format!(
                "invalid configuration: user {name} logs in by {key}, which is not supported"
            ));
        }
        let certificate = content(user, "client-certificate", name, read)?;
        let key = content(user, "client-key", name, read)?;
        self.client = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(_), None) => {
                return Err(format!(
                    "invalid configuration: client-key-data or client-key must be specified for {name} to use \
                     the clientCert authentication method."
                ));
            }
            _ => None,
        };
        let mut token = user.str_at(&["token"]).to_owned();
        let file = user.str_at(&["tokenFile"]);
        if token.is_empty() && !file.is_empty() {
            token = String::from_utf8_lossy(&read(file)?).trim().to_owned();
        }
        let (login, password) = (user.str_at(&["username"]), user.str_at(&["password"]));
        self.authorization = match (token.is_empty(), login.is_empty() && password.is_empty()) {
            (false, true) => Some(format!("Bearer {token}")),
            (true, false) => Some(format!("Basic {}", encode(format!("{login}:{password}").as_bytes()))),
            (true, true) => None,
            (false, false) => {
                return Err(format!(
                    "invalid configuration: more than one authentication method found for {name}; found \
                     [token basicAuth], only one is allowed"
                ));
            }
        };
        Ok(())
    }
}

/// `key-data`, decoded, or the file that `key` names.
fn content(entry: &Value, key: &str, owner: &str, read: ReadFile<'_>) -> Result<Option<Vec<u8>>, String> {
    let data_key = format!("{key}-data");
    let (data, file) = (entry.str_at(&[&data_key]), entry.str_at(&[key]));
    if !data.is_empty() {
        return decode(data).map(Some).ok_or_else(|| format!("illegal base64 data in {data_key} of {owner}"));
    }
    if file.is_empty() {
        return Ok(None);
    }
    let unreadable =
        |why| format!("invalid configuration: unable to read {key} {file} for {owner} due to {why}");
    read(file).map(Some).map_err(unreadable)
}

fn entry<'a>(config: &'a Value, list: &str, part: &str, name: &str) -> Option<&'a Value> {
    config.list_at(&[list]).iter().find(|entry| entry.str_at(&["name"]) == name)?.get(part)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    let text: String = text.split_ascii_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

fn encode(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> Result<Vec<u8>, String> {
        match name {
            "ca.pem" => Ok(b"CA".to_vec()),
            "token" => Ok(b"secret\n".to_vec()),
            other => Err(format!("open {other}: no such file or directory")),
        }
    }

    fn config(cluster: &str, user: &str) -> String {
        format!(
            "current-context: b\ncontexts:\n- {{name: a, context: {{cluster: x, user: x}}}}\n\
             - {{name: b, context: {{cluster: c, user: z}}}}\nclusters:\n- {{name: c, cluster: {{{cluster}}}}}\n\
             users:\n- {{name: z, user: {{{user}}}}}\n"
        )
    }

    #[test]
    fn the_current_context_is_followed_to_its_cluster_and_user() {
        let text = config(
            "server: 'https://[::1]:6443/x', certificate-authority: ca.pem, tls-server-name: hooks",
            "client-certificate-data: Yg==, client-key-data: Yw==, tokenFile: token",
        );
        let remote = Remote::from_kubeconfig(text.as_bytes(), &read).unwrap();
        assert_eq!((remote.url.as_str(), remote.server_name.as_str()), ("https://[::1]:6443/x", "hooks"));
        assert_eq!(remote.ca.as_deref(), Some(&b"CA"[..]));
        assert_eq!(remote.client, Some((b"b".to_vec(), b"c".to_vec())));
        assert_eq!(remote.authorization.as_deref(), Some("Bearer secret"));
    }

    #[test]
    fn data_goes_before_files_and_passwords_are_basic() {
        let text = config(
            "server: h, certificate-authority: nope, certificate-authority-data: YQ==",
            "username: u, password: p",
        );
        let remote = Remote::from_kubeconfig(text.as_bytes(), &read).unwrap();
        assert_eq!((remote.url.as_str(), remote.ca), ("https://h", Some(b"a".to_vec())));
        assert_eq!(remote.authorization.as_deref(), Some("Basic dTpw"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let fails = |text: &str, part: &str| {
            let why = Remote::from_kubeconfig(text.as_bytes(), &read).unwrap_err();
            assert!(why.contains(part), "{why}");
        };
        fails("{}", "no configuration has been provided");
        fails("current-context: a", "context was not found for specified context: a");
        fails(&config("x: z", "x: z"), "no server found for cluster \"c\"");
        fails(
            &config("server: h, certificate-authority: no.pem", "x: z"),
            "unable to read certificate-authority no.pem for c due to open no.pem: no such file or directory",
        );
        fails(&config("server: h", "client-certificate-data: YQ=="), "client-key must be specified");
        fails(&config("server: h", "exec: {command: a}"), "logs in by exec");
        fails("- a: [", "yaml:");
    }
}
