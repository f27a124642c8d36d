//! resourcequota-controller: what a namespace uses of its quotas, counted afresh when the quota changes and when
//! something in it shrinks, ends or goes.
//!
//! What comes or grows is charged by admission, in the transaction that writes it. So a count may be written only when
//! it has seen all that was charged before it: local copies tell whether anything has to be done, but what is written
//! is counted by asking the server, *after* the quota was read, and is written only while the quota is as it was read.
//! A charge in between changes the quota, and the count begins anew.

mod count;

use crate::reconcile::{self, Outcome};
use crate::{Context, resources, status};
use api::quota::{Around, DeviceClasses, concerns, usage};
use api::resources::amounts;
use api::{Value, tree};
use client::{Client, EventKind, Informer, Resource, WorkQueue, key_of};
use count::Known;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use stdx::Clock;

/// Changes come in groups.
const SETTLE: Duration = Duration::from_millis(30);
/// What was under way when a quota came to be is not charged; after this it is there or refused.
const LATECOMERS: Duration = Duration::from_secs(10);
/// All quotas are counted again now and then, as upstream does.
const RESYNC: Duration = Duration::from_secs(300);

#[derive(Clone)]
struct Controller {
    client: Client,
    clock: Clock,
    queue: WorkQueue,
    quotas: Informer,
    pods: Informer,
    services: Informer,
    claims: Informer,
    known: Arc<Mutex<Known>>,
}

pub fn start(context: &Context<'_>) {
    let controller = Controller {
        client: context.client.clone(),
        clock: context.clock(),
        queue: WorkQueue::new(),
        quotas: context.informer(&resources::resource_quotas()),
        pods: context.informer(&resources::pods()),
        services: context.informer(&resources::services()),
        claims: context.informer(&resources::persistent_volume_claims()),
        known: Arc::default(),
    };
    controller.follow_quotas();
    controller.follow_use(&controller.pods, "pods");
    controller.follow_use(&controller.services, "services");
    controller.follow_use(&controller.claims, "persistentvolumeclaims");
    let listener = controller.clone();
    context.heads.listen(Arc::new(move |resource, event| {
        listener.heard(resource, event.kind, &event.meta.namespace);
    }));
    let everything = controller.clone();
    client::spawn(async move {
        loop {
            tokio::time::sleep(RESYNC).await;
            everything.quotas.cache().list("").iter().for_each(|quota| everything.queue.add(key_of(quota)));
        }
    });
    let copies = [&controller.quotas, &controller.pods, &controller.services, &controller.claims];
    let worker = controller.clone();
    reconcile::run_on("resource-quota", &controller.queue, 5, &copies, move |key| {
        let worker = worker.clone();
        async move { worker.sync(&key).await }
    });
}

/// True for a quota that bounds something it has no use for yet.
fn lacks_use(quota: &Value, concerned: impl Fn(&str) -> bool) -> bool {
    let known = quota.map_at(&["status", "used"]);
    let bounds = quota.map_at(&["spec", "hard"]).into_iter().flat_map(api::Map::keys);
    bounds.into_iter().any(|name| concerned(name) && !known.is_some_and(|known| known.contains_key(name)))
}

fn bounds(quota: &Value, group: &str, resource: &str) -> bool {
    let mut names = quota.map_at(&["spec", "hard"]).into_iter().flat_map(api::Map::keys);
    // Which extended resources claims of devices use is found out when they are counted.
    resource == "resourceclaims"
        || names.any(|name| concerns(group, resource, name, &DeviceClasses::default()))
}

impl Controller {
    fn follow_quotas(&self) {
        let queue = self.queue.clone();
        self.quotas.on_change(Arc::new(move |old, new| {
            let Some(quota) = new else { return };
            let same = |path: &[&str]| old.is_some_and(|old| old.at(path) == quota.at(path));
            if !(same(&["spec"]) && same(&["status", "hard"])) {
                queue.add(key_of(quota));
                queue.add_after(key_of(quota), LATECOMERS);
            }
        }));
    }

    /// Looks at quotas when an object uses less than before, or is another quota's now.
    fn follow_use(&self, informer: &Informer, resource: &'static str) {
        let controller = self.clone();
        informer.on_change(Arc::new(move |old, new| {
            let (Some(old), Some(new)) = (old, new) else { return };
            let around = controller.around();
            let differs = || usage("", resource, old, &around) != usage("", resource, new, &around);
            if old.get("spec") != new.get("spec") || differs() {
                controller.look_at("", resource, new.str_at(&["metadata", "namespace"]));
            }
        }));
    }

    fn around(&self) -> Around {
        Around { now_secs: self.clock.now().secs, ..Around::default() }
    }

    /// Something came, changed or went.
    fn heard(&self, resource: &Resource, kind: EventKind, namespace: &str) {
        let (group, plural) = (&*resource.group, &*resource.plural);
        match kind {
            EventKind::Deleted => self.look_at(group, plural, namespace),
            EventKind::Added if !namespace.is_empty() => {
                let concerned = |name: &str| concerns(group, plural, name, &DeviceClasses::default());
                for quota in self.quotas.cache().list(namespace) {
                    if lacks_use(&quota, concerned) {
                        self.queue.add_after(key_of(&quota), SETTLE);
                    }
                }
            }
            _ => {}
        }
        if plural == "customresourcedefinitions" {
            self.known.lock().forget();
            for quota in self.quotas.cache().list("").iter().filter(|quota| lacks_use(quota, |_| true)) {
                self.queue.add_after(key_of(quota), Duration::from_secs(1));
            }
        }
    }

    fn look_at(&self, group: &str, resource: &str, namespace: &str) {
        if namespace.is_empty() || self.quotas.cache().is_empty() {
            return;
        }
        for quota in self.quotas.cache().list(namespace).iter().filter(|q| bounds(q, group, resource)) {
            self.queue.add_after(key_of(quota), SETTLE);
        }
    }

    async fn sync(&self, key: &str) -> Outcome {
        let Some(seen) = self.quotas.cache().get(key) else { return Ok(()) };
        let count = self.count(&seen, false).await?;
        if let Some(end) = count.next_end_secs {
            let secs = u64::try_from(end - self.clock.now().secs + 1).unwrap_or(0);
            self.queue.add_after(key, Duration::from_secs(secs));
        }
        if is_as_counted(&seen, &count.used) {
            return Ok(());
        }
        let (namespace, name) = reconcile::split(key);
        let list = self.client.list(&resources::resource_quotas(), namespace, &of_name(name)).await?;
        let Some(quota) = list.list_at(&["items"]).first() else { return Ok(()) };
        let used = self.count(quota, true).await?.used;
        if is_as_counted(quota, &used) {
            return Ok(());
        }
        let hard = quota.map_at(&["spec", "hard"]).cloned().unwrap_or_default();
        let wanted = tree!({"hard": hard, "used": used});
        if let Some(written) =
            status::write(&self.client, &resources::resource_quotas(), quota, wanted).await?
        {
            self.quotas.caught_up(&written).await;
        }
        Ok(())
    }
}

fn of_name(name: &str) -> String {
    format!("fieldSelector=metadata.name%3D{name}")
}

/// True when the status says what is bounded and what is used.
fn is_as_counted(quota: &Value, used: &Value) -> bool {
    let of = |path: &[&str]| amounts(quota.at(path));
    let is_there = quota.at(&["status", "hard"]).is_some() || used.is_empty();
    is_there
        && of(&["status", "hard"]) == of(&["spec", "hard"])
        && of(&["status", "used"]) == amounts(Some(used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_in_other_words_is_the_same() {
        let quota = tree!({
            "spec": {"hard": {"cpu": "1000m"}}, "status": {"hard": {"cpu": "1"}, "used": {"cpu": "0.5"}}
        });
        assert!(is_as_counted(&quota, &tree!({"cpu": "500m"})));
        assert!(!is_as_counted(&quota, &tree!({"cpu": "400m"})));
        assert!(!is_as_counted(&quota, &tree!({})));
        assert!(!is_as_counted(&tree!({"spec": {"hard": {"pods": "1"}}}), &tree!({"pods": "0"})));
        assert!(is_as_counted(&tree!({"spec": {}}), &tree!({})));
    }

    #[test]
    fn a_quota_is_looked_at_for_what_it_bounds() {
        let quota = tree!({"spec": {"hard": {"count/widgets.example.com": "1", "requests.cpu": "1"}}});
        assert!(bounds(&quota, "example.com", "widgets") && bounds(&quota, "", "pods"));
        assert!(!bounds(&quota, "", "services") && !bounds(&quota, "apps", "deployments"));
        assert!(lacks_use(&quota, |name| name == "requests.cpu"));
        assert!(!lacks_use(
            &tree!({"spec": {"hard": {"pods": "1"}}, "status": {"used": {"pods": "0"}}}),
            |_| true
        ));
    }
}
