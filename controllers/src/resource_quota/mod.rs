//! resourcequota-controller: what a namespace uses of its quotas, looked up afresh when something in it comes or goes.
//!
//! Pods, services and claims are weighed from local copies; everything else is counted by asking the server for a
//! list of one item, which tells how many more there are.

mod usage;

use crate::discovery;
use crate::reconcile::{self, Outcome};
use crate::{Context, resources, status};
use api::{Value, tree};
use client::{Client, Error, EventKind, Informer, Resource, WorkQueue, key_of};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use usage::Amounts;

/// Changes come in groups.
const SETTLE: Duration = Duration::from_millis(30);
/// Names without `count/` for plain counts, from before there was `count/`.
const ALIASES: [(&str, &str); 4] = [
    ("configmaps", "count/configmaps"),
    ("resourcequotas", "count/resourcequotas"),
    ("replicationcontrollers", "count/replicationcontrollers"),
    ("secrets", "count/secrets"),
];

#[derive(Clone)]
struct Controller {
    client: Client,
    quotas: Informer,
    pods: Informer,
    services: Informer,
    claims: Informer,
    /// By `plural.group`: the resource at its preferred version.
    known: Arc<Mutex<HashMap<String, Resource>>>,
}

pub fn start(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let controller = Controller {
        client: context.client.clone(),
        quotas: context.informer(&resources::resource_quotas()),
        pods: context.informer(&resources::pods()),
        services: context.informer(&resources::services()),
        claims: context.informer(&resources::persistent_volume_claims()),
        known: Arc::default(),
    };
    controller.quotas.on_change(reconcile::enqueue(&queue));
    for informer in [&controller.pods, &controller.services, &controller.claims] {
        let (quotas, queue) = (controller.quotas.cache().clone(), queue.clone());
        informer.on_change(Arc::new(move |old, new| {
            let Some(object) = new.or(old) else { return };
            // What is not counted by itself changes with spec and phase.
            let same = |path: &[&str]| old.zip(new).is_some_and(|(old, new)| old.at(path) == new.at(path));
            if !(same(&["spec"]) && same(&["status", "phase"])) {
                look_at(&quotas, object.str_at(&["metadata", "namespace"]), &queue);
            }
        }));
    }
    let (quotas, changed) = (controller.quotas.cache().clone(), queue.clone());
    context.heads.listen(Arc::new(move |_, event| {
        if matches!(event.kind, EventKind::Added | EventKind::Deleted) {
            look_at(&quotas, &event.meta.namespace, &changed);
        }
    }));
    let copies = [&controller.quotas, &controller.pods, &controller.services, &controller.claims];
    let copies = copies.map(Clone::clone);
    let copies: Vec<&Informer> = copies.iter().collect();
    reconcile::run_on("resource-quota", &queue, 2, &copies, move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    });
}

fn look_at(quotas: &client::Cache, namespace: &str, queue: &WorkQueue) {
    if namespace.is_empty() || quotas.is_empty() {
        return;
    }
    for quota in quotas.list(namespace) {
        queue.add_after(key_of(&quota), SETTLE);
    }
}

impl Controller {
    async fn sync(&self, key: &str) -> Outcome {
        let Some(quota) = self.quotas.cache().get(key) else { return Ok(()) };
        let hard = quota.map_at(&["spec", "hard"]).cloned().unwrap_or_default();
        let namespace = reconcile::split(key).0;
        let weighed = self.weigh(&quota, namespace);
        let mut used = Value::map();
        for name in hard.keys() {
            let amount = match weighed.get(name.as_str()) {
                Some(amount) => amount.to_string(),
                None => self.count(namespace, name).await?.unwrap_or(0).to_string(),
            };
            used.set(&[name], amount);
        }
        let resource = resources::resource_quotas();
        let wanted = tree!({"hard": hard, "used": used});
        // A quota without limits has a status too.
        let is_new =
            quota.at(&["status", "hard"]).is_none() && !wanted.get("hard").is_some_and(Value::is_empty);
        if !is_new && quota.at(&["status"]) == Some(&wanted) {
            return Ok(());
        }
        if let Some(written) = status::write(&self.client, &resource, &quota, wanted).await? {
            self.quotas.caught_up(&written).await;
        }
        Ok(())
    }

    /// Amounts of everything that is not simply counted.
    fn weigh(&self, quota: &Value, namespace: &str) -> Amounts {
        let scoped =
            !quota.list_at(&["spec", "scopes"]).is_empty() || quota.at(&["spec", "scopeSelector"]).is_some();
        let mut total = Amounts::new();
        for pod in self.pods.cache().list(namespace).iter().filter(|p| usage::is_in_scope(quota, p)) {
            usage::pod(pod).iter().for_each(|(name, amount)| usage::add(&mut total, name, amount));
        }
        if !scoped {
            for service in self.services.cache().list(namespace) {
                usage::service(&service)
                    .iter()
                    .for_each(|(name, amount)| usage::add(&mut total, name, amount));
            }
            for claim in self.claims.cache().list(namespace) {
                usage::claim(&claim).iter().for_each(|(name, amount)| usage::add(&mut total, name, amount));
            }
        }
        total
    }

    /// How many objects there are of the resource that a name such as `count/deployments.apps` stands for; nothing
    /// when it stands for none.
    async fn count(&self, namespace: &str, name: &str) -> Result<Option<i64>, Error> {
        let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| *name);
        let Some(name) = name.strip_prefix("count/") else { return Ok(None) };
        let Some(resource) = self.resource(name).await? else { return Ok(None) };
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
        if group.is_empty() {
            return Ok(Some(Resource::namespaced("", "v1", plural)));
        }
        if let Some(known) = self.known.lock().get(name) {
            return Ok(Some(known.clone()));
        }
        let found = discovery::resources(&self.client).await?;
        let mut known = self.known.lock();
        for entry in found.into_iter().filter(|entry| entry.resource.namespaced) {
            known.insert(format!("{}.{}", entry.resource.plural, entry.resource.group), entry.resource);
        }
        Ok(known.get(name).cloned())
    }
}
