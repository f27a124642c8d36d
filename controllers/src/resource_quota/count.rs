//! Counting what a quota bounds: from local copies, to see whether it has changed, or by asking the server.

use super::Controller;
use crate::{discovery, resources};
use api::Value;
use api::quota::{
    Around, DeviceClasses, concerns, counted, end_secs, is_in_scope, is_over, is_weighed, made_for, usage,
};
use api::resources::{Amounts, add};
use client::{Error, Resource};
use std::collections::HashMap;
use std::sync::Arc;

/// What objects are weighed; everything else is only counted.
const WEIGHED: [(&str, &str); 4] =
    [("", "pods"), ("", "services"), ("", "persistentvolumeclaims"), ("resource.k8s.io", "resourceclaims")];

/// What a quota's namespace uses.
pub struct Count {
    /// By the names that the quota bounds. What nothing is known about stays as it was.
    pub used: Value,
    /// When the next pod will be over without anybody saying so, in unix seconds.
    pub next_end_secs: Option<i64>,
}

/// By `plural.group`: the resource at its preferred version.
#[derive(Default)]
pub struct Known(HashMap<String, Resource>);

impl Known {
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

impl Controller {
    /// What there is now. With `exact` it is at least as new as the last answer of the server.
    pub async fn count(&self, quota: &Value, exact: bool) -> Result<Count, Error> {
        let hard = quota.map_at(&["spec", "hard"]).cloned().unwrap_or_default();
        let names: Vec<&str> = hard.keys().map(|name| name.as_str()).collect();
        let (mut used, mut next_end_secs) = (Amounts::new(), None);
        for (group, resource) in WEIGHED {
            let around = self.surroundings(resource, &names).await?;
            let is_bound = |name: &&&str| concerns(group, resource, name, &around.classes);
            let bound: Vec<&str> = names.iter().filter(is_bound).copied().collect();
            if bound.is_empty() {
                continue;
            }
            for name in &bound {
                used.entry((*name).to_owned()).or_default();
            }
            for object in self.objects(resource, quota.str_at(&["metadata", "namespace"]), exact).await? {
                if resource == "pods" && !is_over(&object, around.now_secs) {
                    next_end_secs = earlier(next_end_secs, end_secs(&object));
                }
                if is_in_scope(quota, group, resource, &object) {
                    let mut own = self.use_of(group, resource, &object, &around);
                    own.retain(|name, _| bound.contains(&name.as_str()));
                    add(&mut used, &own);
                }
            }
        }
        let mut told = Value::map();
        for name in names {
            let amount = match used.get(name) {
                Some(amount) => Some(amount.to_string()),
                None => self.count_plain(quota, name).await?.map(|count| count.to_string()),
            };
            let before = quota.str_at(&["status", "used", name]);
            if let Some(amount) = amount.or_else(|| (!before.is_empty()).then(|| before.to_owned())) {
                told.set(&[name], amount);
            }
        }
        Ok(Count { used: told, next_end_secs })
    }

    /// Classes of devices, where names of a quota may be about them.
    async fn surroundings(&self, resource: &str, names: &[&str]) -> Result<Around, Error> {
        let mut around = self.around();
        let may_be = |name: &&str| name.starts_with("requests.") && name.contains('/');
        if resource == "resourceclaims" && names.iter().any(may_be) {
            let list = Resource::cluster("resource.k8s.io", "v1", "deviceclasses");
            let list = self.client.list(&list, "", "").await?;
            around.classes = DeviceClasses::new(list.list_at(&["items"]));
        }
        Ok(around)
    }

    fn use_of(&self, group: &str, resource: &str, object: &Value, around: &Around) -> Amounts {
        let Some((name, uid)) = made_for(object).filter(|_| resource == "resourceclaims") else {
            return usage(group, resource, object, around);
        };
        let key = format!("{}/{name}", object.str_at(&["metadata", "namespace"]));
        let pod = self.pods.cache().get(&key).filter(|pod| pod.str_at(&["metadata", "uid"]) == uid);
        let of_pod = pod.map(|pod| usage("", "pods", &pod, around));
        let around = Around { of_pod, classes: around.classes.clone(), ..*around };
        usage(group, resource, object, &around)
    }

    async fn objects(&self, resource: &str, namespace: &str, exact: bool) -> Result<Vec<Arc<Value>>, Error> {
        let (copies, at) = match resource {
            "pods" => (Some(&self.pods), resources::pods()),
            "services" => (Some(&self.services), resources::services()),
            "persistentvolumeclaims" => (Some(&self.claims), resources::persistent_volume_claims()),
            other => (None, Resource::namespaced("resource.k8s.io", "v1", other)),
        };
        if let Some(copies) = copies.filter(|_| !exact) {
            return Ok(copies.cache().list(namespace));
        }
        let mut list = self.client.list(&at, namespace, "").await?;
        let items = list.get_mut("items").and_then(Value::as_list_mut).map(std::mem::take);
        Ok(items.unwrap_or_default().into_iter().map(Arc::new).collect())
    }

    /// How many objects there are of the resource that a name such as `count/deployments.apps` stands for; nothing
    /// when it stands for none.
    async fn count_plain(&self, quota: &Value, name: &str) -> Result<Option<i64>, Error> {
        let Some(name) = counted(name) else { return Ok(None) };
        let Some(resource) = self.resource(name).await? else { return Ok(None) };
        if is_weighed(&resource.group, &resource.plural) {
            return Ok(None);
        }
        // Only what is weighed has scopes.
        if !is_in_scope(quota, &resource.group, &resource.plural, &Value::Null) {
            return Ok(Some(0));
        }
        let namespace = quota.str_at(&["metadata", "namespace"]);
        let list = match self.client.list(&resource, namespace, "limit=1").await {
            Ok(list) => list,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let shown = i64::try_from(list.list_at(&["items"]).len()).unwrap_or(0);
        Ok(Some(shown + list.i64_at(&["metadata", "remainingItemCount"]).unwrap_or(0)))
    }

    async fn resource(&self, name: &str) -> Result<Option<Resource>, Error> {
        let (plural, group) = name.split_once('.').unwrap_or((name, ""));
        if let Some(known) = self.known.lock().0.get(name) {
            return Ok(Some(known.clone()));
        }
        if group.is_empty() {
            return Ok(Some(Resource::namespaced("", "v1", plural)));
        }
        let found = discovery::resources(&self.client).await?;
        let mut known = self.known.lock();
        for entry in found.into_iter().filter(|entry| entry.resource.namespaced && entry.has("list")) {
            let name = format!("{}.{}", entry.resource.plural, entry.resource.group);
            known.0.insert(name, entry.resource);
        }
        Ok(known.0.get(name).cloned())
    }
}

fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
