//! `managedFields` through the scale subresource: an owner of the object's replicas owns the scale's, and back.

use super::element::PathElement;
use super::field_set::FieldSet;
use super::managed_fields::{Managed, decode, encode};
use crate::Value;

/// Where the scaled kind keeps its replicas, by API version: (`apps/v1`, [`spec`, `replicas`]).
pub type ReplicasPaths<'p> = &'p [(&'p str, &'p [&'p str])];

const SCALE_VERSION: &str = "autoscaling/v1";
const SCALE_PATH: [&str; 2] = ["spec", "replicas"];

fn elements(path: &[&str]) -> Vec<PathElement> {
    path.iter().map(|name| PathElement::Field((*name).into())).collect()
}

fn path_of(paths: ReplicasPaths<'_>, api_version: &str) -> Option<Vec<PathElement>> {
    paths.iter().find(|(version, _)| *version == api_version).map(|(_, path)| elements(path))
}

/// The entries of a scale, from those of the object.
pub fn to_scale(parent: &Value, paths: ReplicasPaths<'_>) -> Result<Value, String> {
    let mut entries = decode(parent)?;
    entries.retain(|m| path_of(paths, &m.api_version).is_some_and(|p| m.fields.has(&p)));
    for entry in &mut entries {
        entry.api_version = SCALE_VERSION.into();
        entry.fields = FieldSet::of_fields(&[&SCALE_PATH]);
    }
    Ok(encode(entries))
}

/// The object's entries after a write of its scale: who lost the replicas there loses them here, who got them
/// owns them in `api_version`.
pub fn to_parent(
    parent: &Value,
    scale: &Value,
    api_version: &str,
    paths: ReplicasPaths<'_>,
) -> Result<Value, String> {
    let before = decode(parent)?;
    let mut scaled = decode(scale)?;
    let times = before.clone();
    let mut after: Vec<Managed> = Vec::with_capacity(before.len());
    for mut entry in before {
        let Some(path) = path_of(paths, &entry.api_version) else { continue };
        if entry.fields.has(&path) {
            let same = |s: &Managed| s.owner == entry.owner;
            match scaled.iter().position(same) {
                Some(at) => drop(scaled.remove(at)),
                None => {
                    let mut replicas = FieldSet::new();
                    replicas.insert(path);
                    entry.fields = entry.fields.difference(&replicas);
                }
            }
        }
        if !entry.fields.is_empty() {
            after.push(entry);
        }
    }
    let Some(path) = path_of(paths, api_version) else { return Ok(encode(after)) };
    for mut entry in scaled.into_iter().filter(|s| s.fields.has(&elements(&SCALE_PATH))) {
        entry.fields = FieldSet::new();
        entry.fields.insert(path.clone());
        entry.api_version = api_version.into();
        entry.time = times.iter().find(|t| t.owner == entry.owner).and_then(|t| t.time.clone());
        after.push(entry);
    }
    Ok(encode(after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    const PATHS: ReplicasPaths<'static> = &[("apps/v1", &["spec", "replicas"])];

    fn entry(manager: &str, api_version: &str, fields: Value) -> Value {
        tree!({"manager": manager, "operation": "Apply", "apiVersion": api_version, "time": "2026-01-01T00:00:00Z",
               "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    #[test]
    fn only_owners_of_replicas_own_the_scale() {
        let parent = tree!([
            entry("one", "apps/v1", tree!({"f:spec": {"f:replicas": {}, "f:paused": {}}})),
            entry("two", "apps/v1", tree!({"f:spec": {"f:paused": {}}}))
        ]);
        let scale = to_scale(&parent, PATHS).unwrap();
        assert_eq!(scale, tree!([entry("one", "autoscaling/v1", tree!({"f:spec": {"f:replicas": {}}}))]));
        assert_eq!(to_parent(&parent, &scale, "apps/v1", PATHS).unwrap(), parent);
    }

    #[test]
    fn who_takes_the_scale_takes_the_replicas() {
        let parent = tree!([entry("one", "apps/v1", tree!({"f:spec": {"f:replicas": {}, "f:paused": {}}}))]);
        let mut taker = entry("hpa", "autoscaling/v1", tree!({"f:spec": {"f:replicas": {}}}));
        taker.set(&["subresource"], "scale");
        let after = to_parent(&parent, &tree!([taker]), "apps/v1", PATHS).unwrap();
        let mut hpa = entry("hpa", "apps/v1", tree!({"f:spec": {"f:replicas": {}}}));
        hpa.unset(&["time"]);
        hpa.set(&["subresource"], "scale");
        assert_eq!(after, tree!([hpa, entry("one", "apps/v1", tree!({"f:spec": {"f:paused": {}}}))]));
    }
}
