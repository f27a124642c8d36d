//! StorageClass: how volumes of a sort are provisioned.

use super::{GROUP, parameters};
use crate::core::pod_spec;
use crate::{Column, Cx, Info, Kind, print, validation};
use api::{Fault, Path, Value};
use std::collections::{BTreeMap, BTreeSet};

const DEFINITION: &str = "io.k8s.api.storage.v1.StorageClass";
const DEFAULT_ANNOTATIONS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const IMMUTABLE_FIELDS: [&str; 4] = ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"];

pub struct StorageClass(Info);

impl StorageClass {
    pub fn new() -> Self {
        let info = Info::new(GROUP, "v1", "StorageClass", "storageclasses").short(&["sc"]);
        StorageClass(info.cluster_scoped().returns_deleted())
    }
}

type Expressions<'v> = BTreeMap<&'v str, BTreeSet<&'v str>>;

fn topologies_faults(terms: &[Value]) -> Vec<Fault> {
    let mut faults = Vec::new();
    // Upstream starts out with an empty entry for each term, so that an empty term counts as repeated at once.
    let mut seen: Vec<Expressions<'_>> = terms.iter().map(|_| Expressions::new()).collect();
    for (i, term) in terms.iter().enumerate() {
        let at = Path::new("allowedTopologies").index(i).child("matchLabelExpressions");
        let mut expressions = Expressions::new();
        for (j, expression) in term.list_at(&["matchLabelExpressions"]).iter().enumerate() {
            let (values, found) = values_of(expression, &at.index(j));
            faults.extend(found);
            let key = expression.str_at(&["key"]);
            if expressions.insert(key, values).is_some() {
                faults.push(Fault::duplicate(at.index(j).child("key"), key));
            }
        }
        faults.extend(seen.iter().filter(|s| **s == expressions).map(|_| Fault::duplicate(&at, "")));
        seen.push(expressions);
    }
    faults
}

fn values_of<'v>(expression: &'v Value, at: &Path) -> (BTreeSet<&'v str>, Vec<Fault>) {
    let path = at.child("values");
    let list = expression.list_at(&["values"]);
    let mut faults = Vec::new();
    if list.is_empty() {
        faults.push(Fault::required(&path, ""));
    }
    let mut values = BTreeSet::new();
    for (i, value) in list.iter().filter_map(Value::as_str).enumerate() {
        if !values.insert(value) {
            faults.push(Fault::duplicate(path.index(i), value));
        }
    }
    faults.extend(validation::qualified_name(expression.str_at(&["key"]), &at.child("key")));
    (values, faults)
}

impl Kind for StorageClass {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        if let Some(class) = obj.as_map_mut() {
            class.entry_or("reclaimPolicy", || "Delete".into());
            class.entry_or("volumeBindingMode", || "Immediate".into());
        }
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults =
            parameters::provisioner_faults(obj.str_at(&["provisioner"]), &Path::new("provisioner"));
        faults.extend(parameters::faults(obj, true));
        let policy = obj.str_at(&["reclaimPolicy"]);
        if !policy.is_empty() {
            faults.extend(validation::one_of(policy, &["Delete", "Retain"], &Path::new("reclaimPolicy")));
        }
        let modes = ["Immediate", "WaitForFirstConsumer"];
        let mode = obj.str_at(&["volumeBindingMode"]);
        faults.extend(validation::one_of(mode, &modes, &Path::new("volumeBindingMode")));
        faults.extend(topologies_faults(obj.list_at(&["allowedTopologies"])));
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = self.validate(new, cx);
        for field in IMMUTABLE_FIELDS {
            faults.extend(validation::immutable(new.get(field), old.get(field), &Path::new(field)));
        }
        faults
    }

    fn warn(&self, new: &Value, _old: Option<&Value>, _cx: &Cx<'_>) -> Vec<String> {
        let mut warnings = Vec::new();
        for (i, term) in new.list_at(&["allowedTopologies"]).iter().enumerate() {
            let at = Path::new("allowedTopologies").index(i).child("matchLabelExpressions");
            for (j, expression) in term.list_at(&["matchLabelExpressions"]).iter().enumerate() {
                if let Some(text) = pod_spec::deprecated_node_label(expression.str_at(&["key"])) {
                    warnings.push(format!("{}: {text}", at.index(j).child("key")));
                }
            }
        }
        warnings
    }

    fn columns(&self) -> Vec<Column> {
        let field = |name: &str, field| Column::field(name, "string", DEFINITION, field);
        vec![
            Column::name(),
            field("Provisioner", "provisioner"),
            field("ReclaimPolicy", "reclaimPolicy"),
            field("VolumeBindingMode", "volumeBindingMode"),
            field("AllowVolumeExpansion", "allowVolumeExpansion"),
            Column::age(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let name = obj.str_at(&["metadata", "name"]);
        let is_default =
            DEFAULT_ANNOTATIONS.iter().any(|a| obj.str_at(&["metadata", "annotations", a]) == "true");
        vec![
            if is_default { format!("{name} (default)").into() } else { name.into() },
            obj.str_at(&["provisioner"]).into(),
            print::or_else(obj.str_at(&["reclaimPolicy"]), "Delete").into(),
            print::or_else(obj.str_at(&["volumeBindingMode"]), "Immediate").into(),
            obj.bool_at(&["allowVolumeExpansion"]).into(),
            print::age(obj, now),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn topologies_may_not_repeat() {
        let term = tree!({"matchLabelExpressions": [{"key": "zone", "values": ["a", "a"]}]});
        let texts: Vec<String> =
            topologies_faults(&[term.clone(), term]).iter().map(|f| f.to_string()).collect();
        assert_eq!(
            texts,
            [
                "allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: \"a\"",
                "allowedTopologies[1].matchLabelExpressions[0].values[1]: Duplicate value: \"a\"",
                "allowedTopologies[1].matchLabelExpressions: Duplicate value: \"\"",
            ]
        );
    }
}
