//! The files of configMap, secret, downwardAPI and projected volumes.

use super::atomic_writer::{File, Payload};
use super::objects::{Kind, Missing, data};
use super::tokens::Wish;
use super::{Inner, trust_bundles};
use crate::container::fields;
use crate::pod::spec::containers;
use api::Value;
use stdx::Time;

/// The files of a volume, and when they should be looked at again though nobody tells of a change.
#[derive(Default)]
pub struct Collected {
    pub files: Payload,
    pub again: Option<Time>,
}

/// Collects the files of one volume of a pod.
pub struct Collector<'a> {
    pub volumes: &'a Inner,
    pub pod: &'a Value,
    pub default_mode: u32,
}

impl Collector<'_> {
    fn meta(&self, field: &str) -> &str {
        self.pod.str_at(&["metadata", field])
    }

    fn mode(&self, item: &Value) -> u32 {
        item.i64_at(&["mode"]).and_then(|mode| u32::try_from(mode).ok()).unwrap_or(self.default_mode)
    }

    /// The keys of an object as files.
    ///
    /// # Errors
    /// When the object or a key is missing and must not be.
    pub async fn object(&self, kind: Kind, name: &str, source: &Value) -> Result<Payload, String> {
        let optional = source.bool_at(&["optional"]);
        let got = self.volumes.objects.get(kind, self.meta("uid"), self.meta("namespace"), name).await;
        let mut keys = match got {
            Ok(object) => data(kind, &object),
            Err(Missing::Absent(_)) if optional => Default::default(),
            Err(missing) => return Err(missing.to_string()),
        };
        let items = source.list_at(&["items"]);
        if items.is_empty() {
            let file = |data| File { data, mode: self.default_mode, owner: None };
            return Ok(keys.into_iter().map(|(key, data)| (key, file(data))).collect());
        }
        let mut files = Payload::new();
        for item in items {
            let key = item.str_at(&["key"]);
            match keys.get_mut(key) {
                Some(data) => {
                    let file = File { data: data.clone(), mode: self.mode(item), owner: None };
                    files.insert(item.str_at(&["path"]).to_owned(), file);
                }
                None if optional => {}
                None if kind == Kind::ConfigMap => {
                    return Err(format!("configmap references non-existent config key: {key}"));
                }
                None => return Err(format!("references non-existent secret key: {key}")),
            }
        }
        Ok(files)
    }

    /// Fields of the pod as files.
    ///
    /// # Errors
    /// When there is no such field.
    pub fn downward(&self, items: &[Value]) -> Result<Payload, String> {
        let node = (self.volumes.node)();
        let (mut files, mut faults) = (Payload::new(), Vec::new());
        for item in items {
            let field = item.at(&["fieldRef", "fieldPath"]).and_then(Value::as_str);
            let text = match (field, item.get("resourceFieldRef")) {
                (Some(path), _) => fields::of_metadata(self.pod, path),
                (None, Some(selector)) => fields::of_resources(self.pod, None, selector, node.as_deref()),
                (None, None) => Ok(String::new()),
            };
            match text {
                Ok(text) => {
                    let file = File { data: text.into_bytes(), mode: self.mode(item), owner: None };
                    files.insert(item.str_at(&["path"]).to_owned(), file);
                }
                Err(why) => faults.push(why),
            }
        }
        all_or(files, faults)
    }

    /// Files from several sources; of equal paths the last wins.
    ///
    /// # Errors
    /// All that is wrong with the sources.
    pub async fn projected(&self, sources: &[Value]) -> Result<Collected, String> {
        let (mut all, mut faults) = (Collected::default(), Vec::new());
        for found in futures::future::join_all(sources.iter().map(|source| self.source(source))).await {
            match found {
                Ok(collected) => {
                    all.files.extend(collected.files);
                    all.again = [all.again, collected.again].into_iter().flatten().min();
                }
                Err(why) => faults.push(why),
            }
        }
        all_or(all, faults)
    }

    async fn source(&self, source: &Value) -> Result<Collected, String> {
        let given = |field| source.get(field).filter(|s| !s.is_null());
        if let Some(secret) = given("secret") {
            return self.object(Kind::Secret, secret.str_at(&["name"]), secret).await.map(Collected::of);
        }
        if let Some(map) = given("configMap") {
            return self.object(Kind::ConfigMap, map.str_at(&["name"]), map).await.map(Collected::of);
        }
        if let Some(downward) = given("downwardAPI") {
            return self.downward(downward.list_at(&["items"])).map(Collected::of);
        }
        if let Some(token) = given("serviceAccountToken") {
            return self.token(token).await;
        }
        if let Some(bundle) = given("clusterTrustBundle") {
            let (text, again) = trust_bundles::collect(self.volumes, bundle).await?;
            let files = [(bundle.str_at(&["path"]).to_owned(), self.own(text.into_bytes()))].into();
            return Ok(Collected { files, again: Some(again) });
        }
        Err("this node has no pod certificates".to_owned())
    }

    async fn token(&self, source: &Value) -> Result<Collected, String> {
        let wish = Wish {
            namespace: self.meta("namespace").to_owned(),
            account: self.pod.str_at(&["spec", "serviceAccountName"]).to_owned(),
            pod: self.meta("name").to_owned(),
            uid: self.meta("uid").to_owned(),
            audience: source.str_at(&["audience"]).to_owned(),
            expiration_secs: source.i64_at(&["expirationSeconds"]).unwrap_or(3600),
        };
        let token = self.volumes.tokens.get(&wish).await?;
        let files = [(source.str_at(&["path"]).to_owned(), self.own(token.text.into_bytes()))].into();
        Ok(Collected { files, again: Some(token.renew) })
    }

    /// A file that is only for the pod's own user or group, where it has one.
    fn own(&self, data: Vec<u8>) -> File {
        let owner = only_user(self.pod);
        let grouped = self.pod.i64_at(&["spec", "securityContext", "fsGroup"]).is_some();
        File { data, mode: if grouped || owner.is_some() { 0o600 } else { self.default_mode }, owner }
    }
}

impl Collected {
    pub fn of(files: Payload) -> Self {
        Collected { files, again: None }
    }
}

/// Faults as upstream joins them.
fn all_or<T>(all: T, mut faults: Vec<String>) -> Result<T, String> {
    let mut seen = std::collections::HashSet::new();
    faults.retain(|fault| seen.insert(fault.clone()));
    match faults.as_slice() {
        [] => Ok(all),
        [one] => Err(one.clone()),
        several => Err(format!("[{}]", several.join(", "))),
    }
}

/// The user as whom all containers of a pod run, when its spec says one.
fn only_user(pod: &Value) -> Option<u32> {
    let of_pod = pod.i64_at(&["spec", "securityContext", "runAsUser"]);
    let mut users = containers(pod).map(|(_, c)| c.i64_at(&["securityContext", "runAsUser"]).or(of_pod));
    let first = users.next().flatten()?;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_token_belongs_to_the_user_of_all_containers() {
        let pod = |a: Value, b: Value| tree!({"spec": {"containers": [{"securityContext": (a)}, {"securityContext": (b)}]}});
        assert_eq!(only_user(&pod(tree!({"runAsUser": 5}), tree!({"runAsUser": 5}))), Some(5));
        assert_eq!(only_user(&pod(tree!({"runAsUser": 5}), tree!({"runAsUser": 6}))), None);
        assert_eq!(only_user(&pod(tree!({"runAsUser": 5}), tree!({}))), None);
        let mut of_pod = pod(tree!({}), tree!({}));
        of_pod.set(&["spec", "securityContext", "runAsUser"], 7);
        assert_eq!(only_user(&of_pod), Some(7));
    }

    #[test]
    fn faults_are_joined_as_upstream_joins_them() {
        let of = |faults: &[&str]| all_or((), faults.iter().map(|f| (*f).to_owned()).collect());
        assert_eq!(of(&[]), Ok(()));
        assert_eq!(of(&["a"]), Err("a".to_owned()));
        assert_eq!(of(&["a", "b", "a"]), Err("[a, b]".to_owned()));
    }
}
