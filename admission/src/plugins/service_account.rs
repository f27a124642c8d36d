//! ServiceAccount: every pod runs as a service account of its namespace, which must exist, and finds that account's
//! token in its containers.
//!
//! A pod with one container `c` becomes one with `spec.serviceAccountName: default`, a projected volume
//! `kube-api-access-XXXXX` (token, `ca.crt`, namespace) and a mount of it at
//! `/var/run/secrets/kubernetes.io/serviceaccount`, unless pod or account say `automountServiceAccountToken: false`.

use super::{Plugin, push};
use crate::review::{Cluster, Operation, Review};
use api::{Status, Value, quote, tree};
use futures::future::BoxFuture;
use kinds::core::pod_spec::MIRROR;
use std::time::Duration;

const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
const ENFORCE_MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";
/// Seconds that a pod's token lives.
const TOKEN_SECS: i64 = 3607;
/// A controller makes the account `default`: a pod may come some moments earlier.
const DEFAULT_LOOKS: usize = 10;
const LOOK_AGAIN: Duration = Duration::from_millis(100);

pub struct ServiceAccount;

impl Plugin for ServiceAccount {
    fn handles(&self, review: &Review<'_>) -> bool {
        let ephemeral = review.subresource == "ephemeralcontainers" && review.operation == Operation::Update;
        review.group().is_empty()
            && review.resource() == "pods"
            && (review.creates("", "pods") || ephemeral)
            && review.object.is_some()
    }

    fn admit<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            if review.operation == Operation::Create && !is_mirror(review) {
                let name = settle_name(review);
                let account = account(review, reader, &name).await?;
                if let Some(pod) = review.object.as_deref_mut() {
                    if automounts(&account, pod) {
                        mount_token(pod, &reader.name_suffix());
                    }
                    add_pull_secrets(pod, &account);
                }
            }
            check(review, reader).await
        })
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(check(review, reader))
    }
}

fn is_mirror(review: &Review<'_>) -> bool {
    let annotations = review.object.as_ref().and_then(|pod| pod.map_at(&["metadata", "annotations"]));
    annotations.is_some_and(|annotations| annotations.contains_key(MIRROR))
}

fn name_of(review: &Review<'_>) -> String {
    review
        .object
        .as_ref()
        .map(|pod| pod.str_at(&["spec", "serviceAccountName"]))
        .unwrap_or_default()
        .to_owned()
}

/// The account's name, under both of its fields.
fn settle_name(review: &mut Review<'_>) -> String {
    let mut name = name_of(review);
    if name.is_empty() {
        name = "default".to_owned();
    }
    if let Some(pod) = review.object.as_deref_mut() {
        pod.set(&["spec", "serviceAccountName"], name.as_str());
        pod.set(&["spec", "serviceAccount"], name.as_str());
    }
    name
}

async fn account(review: &Review<'_>, reader: &dyn Cluster, name: &str) -> Result<Value, Status> {
    let namespace = review.namespace;
    if let Some(found) = reader.get("", "serviceaccounts", namespace, name).await {
        return Ok(found);
    }
    let looks = if name == "default" { DEFAULT_LOOKS } else { 1 };
    for look in 0..looks {
        if look > 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        if let Some(found) = reader.get_latest("", "serviceaccounts", namespace, name).await {
            return Ok(found);
        }
    }
    let why = format!(
        "error looking up service account {namespace}/{name}: serviceaccount {} not found",
        quote(name)
    );
    Err(review.forbidden(&why))
}

/// The pod decides, then the account.
fn automounts(account: &Value, pod: &Value) -> bool {
    let says = |object: &Value, path: &[&str]| object.at(path).and_then(Value::as_bool);
    says(pod, &["spec", "automountServiceAccountToken"])
        .or_else(|| says(account, &["automountServiceAccountToken"]))
        .unwrap_or(true)
}

fn mount_token(pod: &mut Value, suffix: &str) {
    let volumes = pod.list_at(&["spec", "volumes"]).iter().map(|v| v.str_at(&["name"]));
    let present = volumes.into_iter().find(|name| name.starts_with(VOLUME_PREFIX)).map(str::to_owned);
    let name = present.clone().unwrap_or_else(|| format!("{VOLUME_PREFIX}{suffix}"));
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let containers = pod.at_mut(&["spec", list]).and_then(Value::as_list_mut);
        for container in containers.into_iter().flatten() {
            let taken =
                container.list_at(&["volumeMounts"]).iter().any(|m| m.str_at(&["mountPath"]) == MOUNT_PATH);
            if !taken {
                let mount = tree!({"name": name.as_str(), "readOnly": true, "mountPath": MOUNT_PATH});
                push(container, &[], "volumeMounts", mount);
                mounted = true;
            }
        }
    }
    if mounted && present.is_none() {
        push(pod, &["spec"], "volumes", token_volume(&name));
    }
}

fn token_volume(name: &str) -> Value {
    let namespace =
        tree!({"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}});
    tree!({
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [namespace]}}
            ],
            "defaultMode": 420
        }
    })
}

/// A pod that names no secrets to pull images with has those of its account.
fn add_pull_secrets(pod: &mut Value, account: &Value) {
    let secrets = account.list_at(&["imagePullSecrets"]);
    if !secrets.is_empty() && pod.list_at(&["spec", "imagePullSecrets"]).is_empty() {
        pod.set(&["spec", "imagePullSecrets"], secrets.to_vec());
    }
}

async fn check(review: &mut Review<'_>, reader: &dyn Cluster) -> Result<(), Status> {
    let Some(pod) = review.object.as_deref() else { return Ok(()) };
    let create = review.operation == Operation::Create;
    if create && is_mirror(review) {
        return check_mirror(pod).map_err(|why| review.forbidden(&why));
    }
    let name = name_of(review);
    if name.is_empty() {
        let pod = pod.str_at(&["metadata", "name"]);
        let why = format!("no service account specified for pod {}/{pod}", review.namespace);
        return Err(review.forbidden(&why));
    }
    let account = account(review, reader, &name).await?;
    let enforce = account.str_at(&["metadata", "annotations", ENFORCE_MOUNTABLE]);
    if !matches!(enforce, "1" | "t" | "T" | "TRUE" | "true" | "True") {
        return Ok(());
    }
    let lists: &[(&str, &str)] = match create {
        true => &[("initContainers", "init container"), ("containers", "container")],
        false => &[("ephemeralContainers", "ephemeral container")],
    };
    let checked = if create { check_volumes(pod, &account, &name) } else { Ok(()) }
        .and_then(|()| {
            lists.iter().try_for_each(|(list, what)| check_containers(pod, list, what, &account, &name))
        })
        .and_then(|()| if create { check_pull_secrets(pod, &account, &name) } else { Ok(()) });
    checked.map_err(|why| review.forbidden(&why))
}

/// Mirror pods are shadows of what a node runs by itself: they may not reach into the cluster.
fn check_mirror(pod: &Value) -> Result<(), String> {
    if !pod.str_at(&["spec", "serviceAccountName"]).is_empty() {
        return Err("a mirror pod may not reference service accounts".to_owned());
    }
    let volumes = pod.list_at(&["spec", "volumes"]);
    let containers = ["initContainers", "containers", "ephemeralContainers"];
    let in_containers = containers.iter().flat_map(|list| pod.list_at(&["spec", list])).any(|container| {
        container.list_at(&["env"]).iter().any(|e| e.at(&["valueFrom", "secretKeyRef"]).is_some())
            || container.list_at(&["envFrom"]).iter().any(|e| e.get("secretRef").is_some())
    });
    let pulls = !pod.list_at(&["spec", "imagePullSecrets"]).is_empty();
    let sources = || volumes.iter().flat_map(|v| v.list_at(&["projected", "sources"]));
    if in_containers
        || pulls
        || volumes.iter().any(|v| v.get("secret").is_some())
        || sources().any(|s| s.get("secret").is_some())
    {
        return Err("a mirror pod may not reference secrets".to_owned());
    }
    if sources().any(|s| s.get("serviceAccountToken").is_some()) {
        return Err("a mirror pod may not use ServiceAccountToken volume projections".to_owned());
    }
    Ok(())
}

fn has_secret(account: &Value, list: &str, name: &str) -> bool {
    account.list_at(&[list]).iter().any(|secret| secret.str_at(&["name"]) == name)
}

fn check_volumes(pod: &Value, account: &Value, name: &str) -> Result<(), String> {
    for volume in pod.list_at(&["spec", "volumes"]) {
        let Some(secret) = volume.get("secret") else { continue };
        let secret = secret.str_at(&["secretName"]);
        if !has_secret(account, "secrets", secret) {
            return Err(format!(
                "volume with secret.secretName=\"{secret}\" is not allowed because service account {name} does not reference that secret"
            ));
        }
    }
    Ok(())
}

fn check_containers(pod: &Value, list: &str, what: &str, account: &Value, name: &str) -> Result<(), String> {
    for container in pod.list_at(&["spec", list]) {
        let refuse = |how: String, secret: &str| {
            let container = container.str_at(&["name"]);
            Err(format!(
                "{what} {container} with {how} referencing secret.secretName=\"{secret}\" is not allowed because service account {name} does not reference that secret"
            ))
        };
        for env in container.list_at(&["env"]) {
            if let Some(reference) = env.at(&["valueFrom", "secretKeyRef"]) {
                let secret = reference.str_at(&["name"]);
                if !has_secret(account, "secrets", secret) {
                    return refuse(format!("envVar {}", env.str_at(&["name"])), secret);
                }
            }
        }
        for source in container.list_at(&["envFrom"]) {
            if let Some(reference) = source.get("secretRef") {
                let secret = reference.str_at(&["name"]);
                if !has_secret(account, "secrets", secret) {
                    return refuse("envFrom".to_owned(), secret);
                }
            }
        }
    }
    Ok(())
}

fn check_pull_secrets(pod: &Value, account: &Value, name: &str) -> Result<(), String> {
    for (i, secret) in pod.list_at(&["spec", "imagePullSecrets"]).iter().enumerate() {
        let secret = secret.str_at(&["name"]);
        if !has_secret(account, "imagePullSecrets", secret) {
            return Err(format!(
                "imagePullSecrets[{i}].name=\"{secret}\" is not allowed because service account {name} does not reference that imagePullSecret"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, admit};
    use super::*;

    fn cluster() -> Cluster {
        Cluster::new().with("", "serviceaccounts", tree!({"metadata": {"name": "default", "namespace": "n"}}))
    }

    #[tokio::test]
    async fn a_pod_gets_the_default_account_and_its_token() {
        let pod = tree!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}});
        let pod = admit(&ServiceAccount, &cluster(), "pods", pod).await.unwrap();
        assert_eq!(pod.str_at(&["spec", "serviceAccountName"]), "default");
        let volume = &pod.list_at(&["spec", "volumes"])[0];
        assert_eq!(volume.str_at(&["name"]), "kube-api-access-abcde");
        assert_eq!(volume.list_at(&["projected", "sources"]).len(), 3);
        let mount = &pod.list_at(&["spec", "containers"])[0].list_at(&["volumeMounts"])[0];
        assert_eq!(mount.str_at(&["mountPath"]), MOUNT_PATH);
    }

    #[tokio::test]
    async fn a_mount_of_ones_own_at_the_path_stands() {
        let mount = tree!({"name": "mine", "mountPath": MOUNT_PATH});
        let pod = tree!({"spec": {"containers": [{"name": "c", "volumeMounts": [mount]}]}});
        let pod = admit(&ServiceAccount, &cluster(), "pods", pod).await.unwrap();
        assert!(pod.list_at(&["spec", "volumes"]).is_empty());
    }

    #[tokio::test]
    async fn a_missing_account_is_told_by_place_and_name() {
        let pod =
            tree!({"metadata": {"name": "r"}, "spec": {"serviceAccountName": "none", "containers": []}});
        let status = admit(&ServiceAccount, &cluster(), "pods", pod).await.unwrap_err();
        assert_eq!(
            status.message,
            "pods \"r\" is forbidden: error looking up service account n/none: serviceaccount \"none\" not found"
        );
    }

    #[tokio::test]
    async fn an_account_may_limit_secrets() {
        let account = tree!({
            "metadata": {"name": "s", "namespace": "n", "annotations": {ENFORCE_MOUNTABLE: "true"}},
            "secrets": [{"name": "ok"}]
        });
        let cluster = Cluster::new().with("", "serviceaccounts", account);
        let pod = |secret: &str| {
            tree!({"metadata": {"name": "a"}, "spec": {
                "serviceAccountName": "s", "containers": [], "volumes": [{"name": "v", "secret": {"secretName": secret}}]
            }})
        };
        assert!(admit(&ServiceAccount, &cluster, "pods", pod("ok")).await.is_ok());
        let status = admit(&ServiceAccount, &cluster, "pods", pod("no")).await.unwrap_err();
        assert!(
            status
                .message
                .contains("volume with secret.secretName=\"no\" is not allowed because service account s")
        );
    }
}
