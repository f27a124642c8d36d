//! A manifest becomes a pod of this node: named after it, with a uid that is the hash of what it says.

use api::{Value, json, tree};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::Path;
use stdx::Time;

const LARGEST: u64 = 10 << 20;
const HASH: &str = "kubernetes.io/config.hash";
const SOURCE: &str = "kubernetes.io/config.source";
const SEEN: &str = "kubernetes.io/config.seen";

/// What an API server would make of a pod, for pods that never come by one.
pub trait PodRules: Send + Sync {
    /// The pod of a manifest in JSON or YAML, with defaults filled in.
    ///
    /// # Errors
    /// Why it is no pod.
    fn read(&self, manifest: &[u8]) -> Result<Value, String>;

    /// What is wrong with a pod.
    fn faults(&self, pod: &Value) -> Vec<String>;
}

/// Reads a manifest.
///
/// # Errors
/// Upstream's texts.
pub fn read(file: &Path, node: &str, rules: &dyn PodRules) -> Result<Value, String> {
    let size = std::fs::metadata(file).map_err(|error| error.to_string())?.len();
    if size > LARGEST {
        return Err("the read limit is reached".to_owned());
    }
    let text = std::fs::read(file).map_err(|error| error.to_string())?;
    let shown = file.display();
    let mut pod = rules
        .read(&text)
        .map_err(|why| format!("{shown}: couldn't parse as pod({why}), please check config file"))?;
    if pod.str_at(&["metadata", "name"]).is_empty() {
        return Err("invalid pod: name is needed for the pod".to_owned());
    }
    settle(&mut pod, &shown.to_string(), node);
    let faults = rules.faults(&pod);
    if !faults.is_empty() {
        return Err(format!("invalid pod: [{}]", faults.join(", ")));
    }
    match reference(&pod) {
        Some(what) => Err(format!("static pods may not reference {what}")),
        None => Ok(pod),
    }
}

/// Makes it a pod of the node.
fn settle(pod: &mut Value, file: &str, node: &str) {
    let uid = match pod.str_at(&["metadata", "uid"]) {
        "" => hash(pod, file, node),
        uid => uid.to_owned(),
    };
    let name = format!("{}-{}", pod.str_at(&["metadata", "name"]), node.to_lowercase());
    pod.set(&["metadata", "name"], name);
    if pod.str_at(&["metadata", "namespace"]).is_empty() {
        pod.set(&["metadata", "namespace"], "default");
    }
    pod.set(&["metadata", "uid"], uid.clone());
    pod.make_map(&["metadata", "annotations"]).insert(HASH, uid);
    pod.set(&["spec", "nodeName"], node);
    let anything = tree!({"operator": "Exists", "effect": "NoExecute"});
    let mut tolerations = pod.list_at(&["spec", "tolerations"]).to_vec();
    if !tolerations.contains(&anything) {
        tolerations.push(anything);
    }
    pod.set(&["spec", "tolerations"], tolerations);
    pod.set(&["status"], tree!({"phase": "Pending"}));
}

fn hash(pod: &Value, file: &str, node: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(json::to_vec(pod));
    hasher.update(format!("host:{node}file:{file}"));
    hasher.finalize().iter().take(16).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Says where the pod comes from and when it was first seen.
pub fn mark(pod: &mut Value, now: Time) {
    let annotations = pod.make_map(&["metadata", "annotations"]);
    annotations.insert(SOURCE, "file");
    annotations.insert(SEEN, now.rfc3339_micro());
    annotations.sort();
}

/// What of the API the pod would need, which may not be there.
fn reference(pod: &Value) -> Option<&'static str> {
    let spec = pod.get("spec")?;
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    let containers = || lists.iter().flat_map(|list| spec.list_at(&[list]));
    let env = |field: &str, source: &str| {
        containers().flat_map(|c| c.list_at(&["env"])).any(|e| e.at(&["valueFrom", field]).is_some())
            || containers().flat_map(|c| c.list_at(&["envFrom"])).any(|e| e.get(source).is_some())
    };
    if !spec.str_at(&["serviceAccountName"]).is_empty() {
        return Some("serviceaccounts");
    }
    if !spec.list_at(&["imagePullSecrets"]).is_empty() || env("secretKeyRef", "secretRef") {
        return Some("secrets");
    }
    if env("configMapKeyRef", "configMapRef") {
        return Some("configmaps");
    }
    if !spec.list_at(&["resourceClaims"]).is_empty() {
        return Some("resourceclaims");
    }
    // A volume of no known kind is a fault of its own.
    spec.list_at(&["volumes"]).iter().find_map(|volume| api::volume::reference(volume).ok().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct AsIs;

    impl PodRules for AsIs {
        fn read(&self, manifest: &[u8]) -> Result<Value, String> {
            api::yaml::parse(manifest).map_err(|error| error.to_string())
        }

        fn faults(&self, pod: &Value) -> Vec<String> {
            if pod.list_at(&["spec", "containers"]).is_empty() {
                vec!["no containers".to_owned()]
            } else {
                Vec::new()
            }
        }
    }

    fn read_text(name: &str, text: &str) -> Result<Value, String> {
        let file = std::env::temp_dir().join(format!("manifest-{name}-{}.yaml", std::process::id()));
        std::fs::write(&file, text).unwrap();
        let pod = read(&file, "Node1", &AsIs);
        std::fs::remove_file(file).unwrap();
        pod
    }

    #[test]
    fn a_manifest_becomes_a_pod_of_the_node() {
        let text = "metadata: {name: web}\nspec: {containers: [{name: a}]}\n";
        let mut pod = read_text("whole", text).unwrap();
        let meta = |pod: &Value, field: &str| pod.str_at(&["metadata", field]).to_owned();
        assert_eq!((meta(&pod, "name"), meta(&pod, "namespace")), ("web-node1".into(), "default".into()));
        assert_eq!(meta(&pod, "uid").len(), 32);
        assert_eq!(pod.str_at(&["metadata", "annotations", HASH]), meta(&pod, "uid"));
        assert_eq!(pod.list_at(&["spec", "tolerations"])[0].str_at(&["effect"]), "NoExecute");
        assert_eq!(meta(&read_text("whole", text).unwrap(), "uid"), meta(&pod, "uid"));
        let other = read_text("whole", &text.replace("name: a", "name: b")).unwrap();
        assert_ne!(meta(&other, "uid"), meta(&pod, "uid"));
        mark(&mut pod, Time::from_secs(0));
        assert_eq!(pod.str_at(&["metadata", "annotations", SOURCE]), "file");
    }

    #[test]
    fn pods_that_need_the_api_are_refused() {
        let why = |spec: &str| {
            let text = format!("metadata: {{name: web}}\nspec: {{containers: [{{name: a}}], {spec}}}\n");
            read_text("needs", &text).unwrap_err()
        };
        assert_eq!(why("serviceAccountName: x"), "static pods may not reference serviceaccounts");
        let volume = "volumes: [{name: v, configMap: {name: c}}]";
        assert_eq!(why(volume), "static pods may not reference configmaps (via configmap volumes)");
        assert_eq!(
            read_text("empty", "metadata: {name: web}\n").unwrap_err(),
            "invalid pod: [no containers]"
        );
        let unnamed = read_text("unnamed", "spec: {containers: [{name: a}]}\n").unwrap_err();
        assert_eq!(unnamed, "invalid pod: name is needed for the pod");
    }
}
