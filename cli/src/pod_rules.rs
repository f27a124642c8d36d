//! What the API server knows of pods, for those that a node runs from a folder without asking it.

use api::{Value, names, yaml};
use kinds::{Cx, Kind, Registry};
use std::sync::Arc;

/// The rules of the kind Pod.
pub struct PodRules(Arc<dyn Kind>);

impl PodRules {
    /// Nothing when the registry has no pods, which would be a mistake of ours.
    pub fn new() -> Option<Self> {
        Registry::builtin().find_kind("", "Pod").cloned().map(PodRules)
    }
}

impl kubelet::PodRules for PodRules {
    fn read(&self, manifest: &[u8]) -> Result<Value, String> {
        let raw = yaml::parse(manifest).map_err(|error| error.to_string())?;
        let (version, kind) = (raw.str_at(&["apiVersion"]), raw.str_at(&["kind"]));
        if (version, kind) != ("v1", "Pod") {
            return Err(format!("invalid pod: it is a {version:?} {kind:?}"));
        }
        let mut pod = self.0.read("v1", raw)?.object;
        self.0.fill(&mut pod, "v1");
        if let Some((schema, ty)) = self.0.schema("v1") {
            api::schema::normalise(schema, ty, &mut pod).map_err(|error| error.to_string())?;
        }
        Ok(pod)
    }

    fn faults(&self, pod: &Value) -> Vec<String> {
        let cx = Cx { user: "", uid: "", groups: &[], extra: &[], now: "", subresource: "", version: "v1" };
        let name = names::name_is_dns_subdomain(pod.str_at(&["metadata", "name"]), false);
        let name = name.into_iter().map(|why| format!("metadata.name: {why}"));
        name.chain(self.0.validate(pod, &cx).iter().map(ToString::to_string)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubelet::PodRules as _;

    #[test]
    fn a_manifest_is_read_with_defaults_and_its_faults_are_told() {
        let rules = PodRules::new().unwrap();
        let text =
            b"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: i}]}\n";
        let pod = rules.read(text).unwrap();
        assert_eq!(pod.str_at(&["spec", "restartPolicy"]), "Always");
        assert_eq!(pod.list_at(&["spec", "containers"])[0].str_at(&["imagePullPolicy"]), "Always");
        assert_eq!(rules.faults(&pod), Vec::<String>::new());
        let empty = rules.read(b"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {}\n").unwrap();
        assert_eq!(rules.faults(&empty), ["spec.containers: Required value"]);
        assert!(rules.read(b"apiVersion: v1\nkind: Service\n").is_err());
    }
}
