//! A node asks for tokens only for pods that are on it, and only for audiences that these pods mount.

use super::wanted;
use crate::plugins::find;
use crate::review::{Cluster, Operation, Review};
use api::{Status, Value, quote};
use authz::{Attributes, Decision};

/// Volumes of old kinds, and the drivers that mount them today.
const MIGRATED: [(&str, &str); 7] = [
    ("awsElasticBlockStore", "ebs.csi.aws.com"),
    ("azureDisk", "disk.csi.azure.com"),
    ("azureFile", "file.csi.azure.com"),
    ("cinder", "cinder.csi.openstack.org"),
    ("gcePersistentDisk", "pd.csi.storage.gke.io"),
    ("portworxVolume", "pxd.portworx.com"),
    ("vsphereVolume", "csi.vsphere.vmware.com"),
];

pub async fn judge(node: &str, review: &Review<'_>, cluster: &dyn Cluster) -> Result<(), Status> {
    if review.operation != Operation::Create || review.subresource != "token" {
        return Ok(());
    }
    let request = wanted(review);
    let bound = |field: &str| request.str_at(&["spec", "boundObjectRef", field]);
    let (name, uid) = (bound("name"), bound("uid"));
    if (bound("apiVersion"), bound("kind")) != ("v1", "Pod") || name.is_empty() {
        return Err(review.forbidden("node requested token not bound to a pod"));
    }
    if uid.is_empty() {
        return Err(review.forbidden("node requested token with a pod binding without a uid"));
    }
    let Some(pod) = find(cluster, "", "pods", review.namespace, name).await else {
        return Err(Status::not_found("", "pod", name));
    };
    if uid != pod.str_at(&["metadata", "uid"]) {
        return Err(review.forbidden(&format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        )));
    }
    if pod.str_at(&["spec", "nodeName"]) != node {
        return Err(review.forbidden("node requested token bound to a pod scheduled on a different node"));
    }
    audience(review, request, &pod, cluster).await.map_err(|why| review.forbidden(&why))
}

/// The audience is mounted by the pod, or the node may ask for it by rule.
async fn audience(
    review: &Review<'_>,
    request: &Value,
    pod: &Value,
    cluster: &dyn Cluster,
) -> Result<(), String> {
    let audience = match request.list_at(&["spec", "audiences"]) {
        [] => "",
        [one] => one.as_str().unwrap_or_default(),
        _ => return Err("node may only request 0 or 1 audiences".to_owned()),
    };
    let quoted = quote(audience);
    let mounted = mounts(pod, audience, review.namespace, cluster).await;
    if mounted.map_err(|why| format!("error validating audience {quoted}: {why}"))? {
        return Ok(());
    }
    let mut asked = Attributes::resource("request-serviceaccounts-token-audience", "", "v1", audience);
    (asked.namespace, asked.name) = (review.namespace.into(), review.name.into());
    if let Decision::Allow(_) = review.asks.may(&asked).await {
        return Ok(());
    }
    Err(format!(
        "audience {quoted} not found in pod spec volume, {} is not authorized to request tokens for this audience",
        review.user
    ))
}

/// Whether a volume of the pod brings a token for the audience.
async fn mounts(pod: &Value, audience: &str, namespace: &str, cluster: &dyn Cluster) -> Result<bool, String> {
    let mut faults: Vec<String> = Vec::new();
    for volume in pod.list_at(&["spec", "volumes"]) {
        let sources = volume.list_at(&["projected", "sources"]).iter();
        let mut tokens =
            sources.filter_map(|source| source.get("serviceAccountToken").filter(|t| !t.is_null()));
        if tokens.any(|token| token.str_at(&["audience"]) == audience) {
            return Ok(true);
        }
        let found = match driver(pod, volume, namespace, cluster).await {
            Ok(None) => continue,
            Ok(Some(driver)) => driver_brings(&driver, audience, cluster).await,
            Err(why) => Err(why),
        };
        match found {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(why) if faults.contains(&why) => {}
            Err(why) => faults.push(why),
        }
    }
    match faults.as_slice() {
        [] => Ok(false),
        [one] => Err(one.clone()),
        _ => Err(format!("[{}]", faults.join(", "))),
    }
}

async fn driver_brings(driver: &str, audience: &str, cluster: &dyn Cluster) -> Result<bool, String> {
    let Some(found) = find(cluster, "storage.k8s.io", "csidrivers", "", driver).await else {
        return Err(format!("csidriver.storage.k8s.io {} not found", quote(driver)));
    };
    let requests = found.list_at(&["spec", "tokenRequests"]);
    Ok(requests.iter().any(|request| request.str_at(&["audience"]) == audience))
}

/// The driver that mounts a volume of a pod.
async fn driver(
    pod: &Value,
    volume: &Value,
    namespace: &str,
    cluster: &dyn Cluster,
) -> Result<Option<String>, String> {
    let ephemeral = volume.at(&["ephemeral", "volumeClaimTemplate"]).is_some_and(|t| !t.is_null());
    let claim = match volume.str_at(&["persistentVolumeClaim", "claimName"]) {
        _ if ephemeral => format!("{}-{}", pod.str_at(&["metadata", "name"]), volume.str_at(&["name"])),
        "" => return Ok(driver_of(volume)),
        claim => claim.to_owned(),
    };
    let Some(found) = find(cluster, "", "persistentvolumeclaims", namespace, &claim).await else {
        return Err(format!("persistentvolumeclaim {} not found", quote(&claim)));
    };
    let name = found.str_at(&["spec", "volumeName"]);
    match find(cluster, "", "persistentvolumes", "", name).await {
        Some(volume) => Ok(volume.get("spec").and_then(driver_of)),
        None => Err(format!("persistentvolume {} not found", quote(name))),
    }
}

/// The driver that a source of a volume names or is mounted by.
fn driver_of(source: &Value) -> Option<String> {
    let named = source.str_at(&["csi", "driver"]);
    if !named.is_empty() {
        return Some(named.to_owned());
    }
    let migrated = MIGRATED.iter().find(|(kind, _)| source.get(kind).is_some_and(|value| !value.is_null()));
    migrated.map(|(_, driver)| (*driver).to_owned())
}
