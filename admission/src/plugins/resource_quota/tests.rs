//! ResourceQuota as a whole: what is charged, what is refused, what needs a quota.

use super::super::testing::{Cluster, Request};
use super::*;
use api::tree;

fn quota(spec: Value, hard: Value, used: Value) -> Value {
    tree!({
        "metadata": {"name": "q", "namespace": "n", "resourceVersion": "5"},
        "spec": spec, "status": {"hard": hard, "used": used}
    })
}

fn cluster(hard: Value, used: Value) -> Cluster {
    Cluster::new().with("", "resourcequotas", quota(Value::map(), hard, used))
}

fn plugin(limited: Option<Value>) -> ResourceQuota {
    let mut settings = Settings::new(Clock::system());
    if let Some(limited) = limited {
        let value = tree!({
            "kind": "ResourceQuotaConfiguration", "apiVersion": "apiserver.config.k8s.io/v1",
            "limitedResources": limited
        });
        settings.configurations.insert("ResourceQuota".to_owned(), value);
    }
    ResourceQuota::new(&settings).unwrap()
}

async fn charge(
    plugin: &ResourceQuota,
    cluster: &Cluster,
    resource: &str,
    object: Value,
    old: Option<&Value>,
) -> Result<Vec<Value>, String> {
    let outcome = Request::new(("", resource), object, old).run(plugin, cluster).await;
    outcome.result.map(|()| outcome.charges).map_err(|status| status.message)
}

fn pod(cpu: &str) -> Value {
    tree!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
}

#[tokio::test]
async fn what_fits_is_charged() {
    let cluster =
        cluster(tree!({"pods": "2", "requests.cpu": "1"}), tree!({"pods": "1", "requests.cpu": "600m"}));
    let plugin = plugin(None);
    let charged = charge(&plugin, &cluster, "pods", pod("400m"), None).await.unwrap();
    assert_eq!(charged[0].at(&["status", "used"]), Some(&tree!({"pods": "2", "requests.cpu": "1"})));
    assert_eq!(
        charge(&plugin, &cluster, "pods", pod("600m"), None).await.unwrap_err(),
        "pods \"p\" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1"
    );
    let dry = Request { dry_run: true, ..Request::new(("", "pods"), pod("400m"), None) };
    assert!(dry.run(&plugin, &cluster).await.charges.is_empty());
}

#[tokio::test]
async fn a_quota_without_usage_lets_nothing_in() {
    let cluster = cluster(tree!({"secrets": "2"}), tree!({}));
    let secret = tree!({"metadata": {"name": "s"}});
    let why = charge(&plugin(None), &cluster, "secrets", secret, None).await.unwrap_err();
    assert!(why.ends_with("status unknown for quota: q, resources: secrets"), "{why}");
}

#[tokio::test]
async fn a_change_is_charged_by_what_it_adds() {
    let cluster = cluster(
        tree!({"services": "1", "services.nodeports": "1"}),
        tree!({"services": "1", "services.nodeports": "0"}),
    );
    let service =
        |ty: &str| tree!({"metadata": {"name": "s"}, "spec": {"type": ty, "ports": [{"port": 80}]}});
    let (old, plugin) = (service("ClusterIP"), plugin(None));
    let charged = charge(&plugin, &cluster, "services", service("NodePort"), Some(&old)).await.unwrap();
    assert_eq!(charged[0].str_at(&["status", "used", "services.nodeports"]), "1");
    assert_eq!(charged[0].str_at(&["status", "used", "services"]), "1");
    assert!(charge(&plugin, &cluster, "services", service("ClusterIP"), None).await.is_err());
}

#[tokio::test]
async fn a_resize_is_charged_and_a_status_is_never_refused() {
    let quotas = cluster(tree!({"requests.cpu": "1"}), tree!({"requests.cpu": "500m"}));
    let (old, plugin) = (pod("500m"), plugin(None));
    let resize =
        |cpu: &str| Request { subresource: "resize", ..Request::new(("", "pods"), pod(cpu), Some(&old)) };
    let outcome = resize("1").run(&plugin, &quotas).await;
    assert_eq!(outcome.charges[0].str_at(&["status", "used", "requests.cpu"]), "1");
    assert!(resize("1100m").run(&plugin, &quotas).await.result.is_err());
    let quotas = cluster(tree!({"requests.storage": "1Gi"}), tree!({"requests.storage": "1Gi"}));
    let old = tree!({"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}});
    let mut new = old.clone();
    new.set(&["status", "allocatedResources", "storage"], "3Gi");
    let place = ("", "persistentvolumeclaims");
    let status = Request { subresource: "status", ..Request::new(place, new, Some(&old)) };
    let outcome = status.run(&plugin, &quotas).await;
    assert_eq!(outcome.charges[0].str_at(&["status", "used", "requests.storage"]), "3Gi");
}

#[tokio::test]
async fn a_pod_that_comes_into_scope_is_charged_as_a_whole() {
    let terminating = quota(tree!({"scopes": ["Terminating"]}), tree!({"pods": "1"}), tree!({"pods": "0"}));
    let cluster = Cluster::new().with("", "resourcequotas", terminating);
    let (old, plugin) = (pod("1"), plugin(None));
    let mut new = old.clone();
    new.set(&["spec", "activeDeadlineSeconds"], 5);
    let charged = charge(&plugin, &cluster, "pods", new.clone(), Some(&old)).await.unwrap();
    assert_eq!(charged[0].str_at(&["status", "used", "pods"]), "1");
    assert!(charge(&plugin, &cluster, "pods", new.clone(), Some(&new)).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_limited_needs_a_quota() {
    let plugin = plugin(Some(tree!([
        {"resource": "persistentvolumeclaims", "matchContains": ["gold.storageclass.storage.k8s.io/requests"]},
        {"resource": "pods", "matchScopes": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}
    ])));
    let claim = tree!({"metadata": {"name": "c"}, "spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}});
    let name = "gold.storageclass.storage.k8s.io/requests.storage";
    assert_eq!(
        charge(&plugin, &Cluster::new(), "persistentvolumeclaims", claim.clone(), None).await.unwrap_err(),
        format!("persistentvolumeclaims \"c\" is forbidden: insufficient quota to consume: {name}")
    );
    let (mut hard, mut used) = (Value::map(), Value::map());
    hard.set(&[name], "5Gi");
    used.set(&[name], "0");
    let covered = cluster(hard, used);
    assert!(charge(&plugin, &covered, "persistentvolumeclaims", claim, None).await.is_ok());
    let mut high = pod("1");
    high.set(&["spec", "priorityClassName"], "high");
    let outcome = Request::new(("", "pods"), high, None).run(&plugin, &Cluster::new()).await;
    let status = outcome.result.unwrap_err();
    assert_eq!(status.message, "insufficient quota to match these scopes: [{PriorityClass In [high]}]");
    assert_eq!(status.code, 500);
    assert!(charge(&plugin, &Cluster::new(), "pods", pod("1"), None).await.is_ok());
}

#[test]
fn a_configuration_must_name_its_resources() {
    let settings = |value: Value| {
        let mut settings = Settings::new(Clock::system());
        settings.configurations.insert("ResourceQuota".to_owned(), value);
        ResourceQuota::new(&settings).err().unwrap_or_default()
    };
    let head = tree!({"kind": "Configuration", "apiVersion": "resourcequota.admission.k8s.io/v1beta1"});
    let mut unnamed = head.clone();
    unnamed.set(&["limitedResources"], tree!([{"apiGroup": "apps"}]));
    assert_eq!(settings(unnamed), "limitedResources[0].resource: Required value");
    assert_eq!(settings(head), "");
}
