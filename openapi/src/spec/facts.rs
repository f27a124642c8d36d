//! Facts of the API that neither the schema table nor the descriptions hold: enumerations and discriminated unions.

use std::collections::HashMap;
use std::sync::LazyLock;

static ENUMS: LazyLock<HashMap<(&'static str, &'static str), &'static str>> = LazyLock::new(|| {
    let rows = include_str!("../enums.tsv").lines().filter(|l| !l.starts_with('#'));
    rows.filter_map(|row| {
        let mut cells = row.split('\t');
        Some(((cells.next()?, cells.next()?), cells.next()?))
    })
    .collect()
});

/// The values that a field may have, sorted; `None` when any.
pub fn enum_values(definition: &str, field: &str) -> Option<impl Iterator<Item = &'static str> + Clone> {
    let definition = definition.strip_prefix("io.k8s.")?;
    ENUMS.get(&(definition, field)).map(|values| values.split('|'))
}

/// A discriminated union: its definition, the discriminating field ("" when there is none), its fields.
type Union = (&'static str, &'static str, &'static [&'static str]);

const UNIONS: &[Union] = &[
    ("io.k8s.api.core.v1.AppArmorProfile", "type", &["localhostProfile"]),
    ("io.k8s.api.core.v1.PodSchedulingGroup", "", &["podGroupName"]),
    ("io.k8s.api.core.v1.SeccompProfile", "type", &["localhostProfile"]),
    ("io.k8s.api.flowcontrol.v1.LimitResponse", "type", &["queuing"]),
    ("io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationSpec", "type", &["exempt", "limited"]),
    ("io.k8s.api.flowcontrol.v1.Subject", "kind", &["group", "serviceAccount", "user"]),
];

/// The union that a definition is.
pub fn union(definition: &str) -> Option<(&'static str, &'static [&'static str])> {
    UNIONS.iter().find(|(name, ..)| *name == definition).map(|(_, by, fields)| (*by, *fields))
}

/// Zero defaults that are declared, not implied by the type: definition and field.
const ZERO_DEFAULTS: &[(&str, &str)] = &[
    ("io.k8s.api.autoscaling.v1.ScaleSpec", "replicas"),
    ("io.k8s.api.core.v1.ConfigMapEnvSource", "name"),
    ("io.k8s.api.core.v1.ConfigMapKeySelector", "name"),
    ("io.k8s.api.core.v1.ConfigMapProjection", "name"),
    ("io.k8s.api.core.v1.ConfigMapVolumeSource", "name"),
    ("io.k8s.api.core.v1.LocalObjectReference", "name"),
    ("io.k8s.api.core.v1.ReplicationControllerSpec", "minReadySeconds"),
    ("io.k8s.api.core.v1.SecretEnvSource", "name"),
    ("io.k8s.api.core.v1.SecretKeySelector", "name"),
    ("io.k8s.api.core.v1.SecretProjection", "name"),
];

/// True when the field declares the zero of its type as its default.
pub fn defaults_to_zero(definition: &str, field: &str) -> bool {
    ZERO_DEFAULTS.contains(&(definition, field))
}

/// Marks that few fields have and nothing of this server reads: definition, field, extension, value.
const EXTENSIONS: &[(&str, &str, &str, &str)] = &[
    (
        "io.k8s.api.core.v1.PersistentVolumeClaimStatus",
        "allocatedResourceStatuses",
        "x-kubernetes-map-type",
        "granular",
    ),
    ("io.k8s.api.core.v1.PersistentVolumeSpec", "claimRef", "x-kubernetes-map-type", "granular"),
    ("io.k8s.api.policy.v1.PodDisruptionBudgetSpec", "selector", "x-kubernetes-patch-strategy", "replace"),
    (
        "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceSpec",
        "caBundle",
        "x-kubernetes-list-type",
        "atomic",
    ),
];

/// The marks of a field that only this table holds.
pub fn extensions(definition: &str, field: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let here = EXTENSIONS.iter().filter(move |(d, f, ..)| *d == definition && *f == field);
    here.map(|(.., name, value)| (*name, *value))
}

/// What the descriptions of the API do not say of a field.
pub fn own_description(definition: &str, field: &str) -> &'static str {
    match (definition, field) {
        ("io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent", "object") => {
            "The object as it is now, or as it was before it was deleted; a Status when the watch failed."
        }
        _ => "",
    }
}

/// Versions of groups that options and watch events exist in, though no kind of theirs is in the schema table.
pub const OLD_VERSIONS: [(&str, &str); 3] = [
    ("apiextensions.k8s.io", "v1beta1"),
    ("apiregistration.k8s.io", "v1beta1"),
    ("authentication.k8s.io", "v1alpha1"),
];
/// Groups of documents only; options and watch events do not exist in them.
pub const DOCUMENT_GROUPS: [&str; 2] = ["apidiscovery.k8s.io", "meta.k8s.io"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enumerations_belong_to_fields_of_the_schema() {
        let schema = api::schema::builtin();
        for (definition, field) in ENUMS.keys() {
            let ty = schema.find(&format!("io.k8s.{definition}")).map(|id| schema.get(id));
            assert!(ty.is_some_and(|ty| ty.field(field).is_some()), "{definition} {field}");
        }
        let policies: Vec<&str> =
            enum_values("io.k8s.api.core.v1.PodSpec", "restartPolicy").unwrap().collect();
        assert_eq!(policies, ["Always", "Never", "OnFailure"]);
    }
}
