//! What pods and volumes refer to, as far as the kubelet must read it.

use super::graph::{Reference, Sort};
use api::Value;

/// Kinds of volumes that name a secret in `secretRef`.
const WITH_SECRET_REF: [&str; 7] = ["cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"];
/// What the kubelet mounts a CSI volume with.
const OF_NODE: [&str; 3] = ["nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"];
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Everything that a pod leads its node to. A pod that mirrors a file on its node leads nowhere: nodes make such pods.
pub fn pod(pod: &Value) -> Vec<Reference<'_>> {
    if is_mirror(pod) {
        return Vec::new();
    }
    let account = pod.str_at(&["spec", "serviceAccountName"]);
    let extended = pod.str_at(&["status", "extendedResourceClaimStatus", "resourceClaimName"]);
    let mut all = vec![(Sort::ServiceAccount, account), (Sort::ResourceClaim, extended)];
    all.extend(named(Sort::Secret, pod_secrets(pod)));
    all.extend(named(Sort::ConfigMap, pod_config_maps(pod)));
    all.extend(named(Sort::ResourceClaim, resource_claims(pod)));
    let claims = volumes(pod).map(|volume| volume.str_at(&["persistentVolumeClaim", "claimName"]));
    all.extend(named(Sort::VolumeClaim, claims.collect()));
    all.retain(|(_, name)| !name.is_empty());
    all
}

/// Whether a pod mirrors a file on its node.
pub fn is_mirror(pod: &Value) -> bool {
    pod.map_at(&["metadata", "annotations"]).is_some_and(|annotations| annotations.get(MIRROR).is_some())
}

/// The claims that are made for a pod's ephemeral volumes.
pub fn ephemeral_claims(pod: &Value) -> Vec<String> {
    if is_mirror(pod) {
        return Vec::new();
    }
    let ephemeral = volumes(pod).filter(|volume| volume.at(&["ephemeral"]).is_some_and(|e| !e.is_null()));
    let name = pod.str_at(&["metadata", "name"]);
    ephemeral.map(|volume| format!("{name}-{}", volume.str_at(&["name"]))).collect()
}

fn named<'a>(sort: Sort, names: Vec<&'a str>) -> impl Iterator<Item = Reference<'a>> {
    names.into_iter().map(move |name| (sort, name))
}

fn volumes(pod: &Value) -> impl Iterator<Item = &Value> {
    pod.list_at(&["spec", "volumes"]).iter()
}

/// Names that stand in the containers of a pod: in `envFrom` under one field, in `env` under another.
fn in_containers<'a>(pod: &'a Value, whole: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    let containers = ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|field| pod.list_at(&["spec", field]));
    containers.flat_map(move |container| {
        let whole = container.list_at(&["envFrom"]).iter().map(move |env| env.str_at(&[whole, "name"]));
        let keys = container.list_at(&["env"]).iter().map(move |env| env.str_at(&["valueFrom", key, "name"]));
        whole.chain(keys)
    })
}

fn projected<'a>(volume: &'a Value, field: &'a str) -> impl Iterator<Item = &'a str> {
    volume.list_at(&["projected", "sources"]).iter().map(move |source| source.str_at(&[field, "name"]))
}

/// The secrets that a pod refers to, with repetitions.
pub fn pod_secrets(pod: &Value) -> Vec<&str> {
    let pulls = pod.list_at(&["spec", "imagePullSecrets"]).iter().map(|secret| secret.str_at(&["name"]));
    let mounted = volumes(pod).flat_map(|volume| {
        let own = [
            volume.str_at(&["secret", "secretName"]),
            volume.str_at(&["azureFile", "secretName"]),
            volume.str_at(&["csi", "nodePublishSecretRef", "name"]),
        ];
        let referred = WITH_SECRET_REF.iter().map(|kind| volume.str_at(&[kind, "secretRef", "name"]));
        own.into_iter().chain(referred).chain(projected(volume, "secret"))
    });
    let all = pulls.chain(in_containers(pod, "secretRef", "secretKeyRef")).chain(mounted);
    all.filter(|name| !name.is_empty()).collect()
}

/// The ConfigMaps that a pod refers to, with repetitions.
pub fn pod_config_maps(pod: &Value) -> Vec<&str> {
    let mounted = volumes(pod).flat_map(|volume| {
        std::iter::once(volume.str_at(&["configMap", "name"])).chain(projected(volume, "configMap"))
    });
    let all = in_containers(pod, "configMapRef", "configMapKeyRef").chain(mounted);
    all.filter(|name| !name.is_empty()).collect()
}

/// Named by the pod, or made for it from a template.
fn resource_claims(pod: &Value) -> Vec<&str> {
    let made = pod.list_at(&["status", "resourceClaimStatuses"]);
    let name = |claim: &'_ Value| -> Option<&str> {
        let name = claim.str_at(&["name"]);
        let made = made.iter().find(|status| status.str_at(&["name"]) == name)?;
        Some(made.str_at(&["resourceClaimName"]))
    };
    let claims = pod.list_at(&["spec", "resourceClaims"]).iter();
    claims
        .filter_map(|claim| match claim.str_at(&["resourceClaimName"]) {
            "" => name(claim),
            named => Some(named),
        })
        .collect()
}

/// The secrets that a bound volume is mounted with, by namespace and name.
pub fn volume_secrets(volume: &Value) -> Vec<(&str, &str)> {
    let claim_namespace = volume.str_at(&["spec", "claimRef", "namespace"]);
    let azure = ["secretNamespace", "secretName"].map(|field| volume.str_at(&["spec", "azureFile", field]));
    let referred = WITH_SECRET_REF.iter().filter_map(|kind| volume.at(&["spec", kind, "secretRef"]));
    let csi = OF_NODE.iter().filter_map(|field| volume.at(&["spec", "csi", field]));
    let named = referred.chain(csi).map(|secret| [secret.str_at(&["namespace"]), secret.str_at(&["name"])]);
    let all = std::iter::once(azure).chain(named).filter(|[_, name]| !name.is_empty());
    all.map(|[space, name]| (if space.is_empty() { claim_namespace } else { space }, name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_pod_refers_by_its_containers_its_volumes_and_its_claims() {
        let value = tree!({
            "metadata": {"name": "p"},
            "spec": {
                "serviceAccountName": "sa",
                "imagePullSecrets": [{"name": "pull"}],
                "initContainers": [{"envFrom": [{"secretRef": {"name": "s1"}}, {"configMapRef": {"name": "c1"}}]}],
                "ephemeralContainers": [{"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s2"}}},
                                                 {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "c2"}}}]}],
                "volumes": [
                    {"name": "a", "secret": {"secretName": "s3"}},
                    {"name": "b", "configMap": {"name": "c3"}},
                    {"name": "c", "projected": {"sources": [{"secret": {"name": "s4"}}, {"configMap": {"name": "c4"}}]}},
                    {"name": "d", "iscsi": {"secretRef": {"name": "s5"}}},
                    {"name": "e", "csi": {"nodePublishSecretRef": {"name": "s6"}}},
                    {"name": "f", "persistentVolumeClaim": {"claimName": "v"}},
                    {"name": "g", "ephemeral": {"volumeClaimTemplate": {}}}
                ],
                "resourceClaims": [{"name": "x", "resourceClaimName": "r1"},
                                   {"name": "y", "resourceClaimTemplateName": "t"},
                                   {"name": "z", "resourceClaimTemplateName": "t"}]
            },
            "status": {"resourceClaimStatuses": [{"name": "y", "resourceClaimName": "r2"}, {"name": "z"}]}
        });
        let all = pod(&value);
        let of = |sort| all.iter().filter(|(s, _)| *s == sort).map(|(_, name)| *name).collect::<Vec<_>>();
        assert_eq!(of(Sort::Secret), ["pull", "s1", "s2", "s3", "s4", "s5", "s6"]);
        assert_eq!(of(Sort::ConfigMap), ["c1", "c2", "c3", "c4"]);
        assert_eq!(of(Sort::ResourceClaim), ["r1", "r2"]);
        assert_eq!((of(Sort::ServiceAccount), of(Sort::VolumeClaim)), (vec!["sa"], vec!["v"]));
        assert_eq!(ephemeral_claims(&value), ["p-g"]);
    }

    #[test]
    fn a_pod_of_the_nodes_own_making_leads_nowhere() {
        let mirror = tree!({"metadata": {"annotations": {"kubernetes.io/config.mirror": ""}},
                            "spec": {"serviceAccountName": "sa", "imagePullSecrets": [{"name": "s"}]}});
        assert!(pod(&mirror).is_empty());
        assert_eq!(pod_secrets(&mirror), ["s"]);
    }

    #[test]
    fn secrets_of_volumes_are_where_their_claim_is_unless_said() {
        let volume = tree!({"spec": {"claimRef": {"namespace": "n", "name": "c"},
            "csi": {"nodeStageSecretRef": {"name": "a", "namespace": "m"}, "controllerExpandSecretRef": {"name": "no"}},
            "cephfs": {"secretRef": {"name": "b"}}, "azureFile": {"secretName": "d"}}});
        assert_eq!(volume_secrets(&volume), [("n", "d"), ("n", "b"), ("m", "a")]);
    }
}
