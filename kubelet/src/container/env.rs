//! The variables of a container, in the order in which they were declared: those of `envFrom`, those of `env`, and
//! those that tell of services where nothing else has the name.

use super::{ContainerFacts, Context, env_file, expand, fields, services};
use crate::volumes::{Kind, Missing, texts};
use api::Value;

/// Names and values; each name once.
#[derive(Default)]
struct Variables(Vec<(String, String)>);

impl Variables {
    fn set(&mut self, name: String, value: String) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(there) => there.1 = value,
            None => self.0.push((name, value)),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The variables of a container.
///
/// # Errors
/// When one comes from what is not there and is not optional; in upstream's words.
pub async fn of(
    ctx: &Context,
    pod: &Value,
    container: &Value,
    facts: &ContainerFacts,
) -> Result<Vec<(String, String)>, String> {
    let source = Source { ctx, pod, container, facts };
    let is_static = pod.str_at(&["metadata", "annotations", "kubernetes.io/config.source"]) == "file";
    if !is_static {
        ctx.services.synced().await;
    }
    let links = pod.at(&["spec", "enableServiceLinks"]).and_then(Value::as_bool).unwrap_or(true);
    let all = ctx.services.cache().list("");
    let of_services = services::of(&all, pod.str_at(&["metadata", "namespace"]), links);
    let mut variables = Variables::default();
    for from in container.list_at(&["envFrom"]) {
        source.add_all(from, &mut variables).await?;
    }
    for variable in container.list_at(&["env"]) {
        let known = |name: &str| {
            variables.get(name).or_else(|| of_services.get(name).map(String::as_str)).map(str::to_owned)
        };
        let value = match (variable.str_at(&["value"]), variable.get("valueFrom").filter(|v| !v.is_null())) {
            ("", Some(from)) => source.value(from).await?,
            (text, _) => Some(expand::expand(text, known)),
        };
        if let Some(value) = value {
            variables.set(variable.str_at(&["name"]).to_owned(), value);
        }
    }
    for (name, value) in of_services {
        if variables.get(&name).is_none() {
            variables.0.push((name, value));
        }
    }
    Ok(variables.0)
}

struct Source<'a> {
    ctx: &'a Context,
    pod: &'a Value,
    container: &'a Value,
    facts: &'a ContainerFacts,
}

impl Source<'_> {
    /// The texts of an object; nothing when it is missing and may be.
    async fn object(&self, kind: Kind, reference: &Value) -> Result<Option<Vec<(String, String)>>, String> {
        let (uid, namespace) = (self.meta("uid"), self.meta("namespace"));
        match self.ctx.volumes.objects().get(kind, uid, namespace, reference.str_at(&["name"])).await {
            Ok(object) => Ok(Some(texts(kind, &object))),
            Err(Missing::Absent(_)) if reference.bool_at(&["optional"]) => Ok(None),
            Err(missing) => Err(missing.to_string()),
        }
    }

    fn meta(&self, field: &str) -> &str {
        self.pod.str_at(&["metadata", field])
    }

    async fn add_all(&self, from: &Value, variables: &mut Variables) -> Result<(), String> {
        let (kind, reference) = match (from.get("configMapRef"), from.get("secretRef")) {
            (Some(reference), _) if !reference.is_null() => (Kind::ConfigMap, reference),
            (_, Some(reference)) if !reference.is_null() => (Kind::Secret, reference),
            _ => return Ok(()),
        };
        let prefix = from.str_at(&["prefix"]);
        for (key, value) in self.object(kind, reference).await?.unwrap_or_default() {
            variables.set(format!("{prefix}{key}"), value);
        }
        Ok(())
    }

    /// The value that a variable takes from elsewhere; nothing when that is missing and may be.
    async fn value(&self, from: &Value) -> Result<Option<String>, String> {
        let given = |field| from.get(field).filter(|v| !v.is_null());
        let node = || (self.ctx.node)();
        if let Some(field) = given("fieldRef") {
            let path = field.str_at(&["fieldPath"]);
            return fields::of_pod(self.pod, path, &self.facts.pod_ips, node().as_deref()).map(Some);
        }
        if let Some(selector) = given("resourceFieldRef") {
            let value = fields::of_resources(self.pod, Some(self.container), selector, node().as_deref());
            return value.map(Some);
        }
        if let Some(reference) = given("configMapKeyRef") {
            return self.key(Kind::ConfigMap, "ConfigMap", reference).await;
        }
        if let Some(reference) = given("secretKeyRef") {
            return self.key(Kind::Secret, "Secret", reference).await;
        }
        given("fileKeyRef").map_or(Ok(Some(String::new())), |reference| self.file_key(reference))
    }

    async fn key(&self, kind: Kind, word: &str, reference: &Value) -> Result<Option<String>, String> {
        let Some(texts) = self.object(kind, reference).await? else { return Ok(None) };
        let key = reference.str_at(&["key"]);
        match texts.into_iter().find(|(name, _)| name == key) {
            Some((_, value)) => Ok(Some(value)),
            None if reference.bool_at(&["optional"]) => Ok(None),
            None => {
                let (namespace, name) = (self.meta("namespace"), reference.str_at(&["name"]));
                Err(format!("couldn't find key {key} in {word} {namespace}/{name}"))
            }
        }
    }

    fn file_key(&self, reference: &Value) -> Result<Option<String>, String> {
        let (volume, key) = (reference.str_at(&["volumeName"]), reference.str_at(&["key"]));
        let mounted = self.ctx.volumes.mounted(self.meta("uid"));
        let Some(root) = mounted.get(volume).and_then(|mounted| mounted.path.as_deref()) else {
            return Err(format!("cannot find the volume {volume:?} referenced by FileKeyRef"));
        };
        let path = reference.str_at(&["path"]);
        let parsed = super::sub_path::read(root, path).map_err(|why| why.to_string());
        let value = parsed.and_then(|text| env_file::find(&text, key)).map_err(|why| {
            tracing::debug!(volume, path, why, "a file of variables cannot be read");
            "couldn't parse env file".to_owned()
        })?;
        match (value.as_str(), reference.bool_at(&["optional"])) {
            ("", true) => Ok(None),
            ("", false) => {
                let file = root.join(path);
                Err(format!(
                    "environment variable key {key:?} not found in file {:?}",
                    file.to_string_lossy()
                ))
            }
            _ => Ok(Some(value)),
        }
    }
}
