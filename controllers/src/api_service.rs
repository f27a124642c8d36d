//! APIServices of what this server serves itself: one for each group and version, made at start for built-in groups
//! and kept in step with the definitions of custom ones; each is always available, for there is no other server to ask.
//!
//! ```text
//! v1.apps  spec {group: apps, version: v1, groupPriorityMinimum: 17800, versionPriority: 15}
//! ```

use crate::reconcile::{self, Outcome, unless_gone};
use crate::{Context, conditions, resources};
use api::{Value, tree};
use client::{Client, Error, Informer, Method, WorkQueue};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stdx::Clock;

/// Who made an object: `onstart` is made once, `true` is kept.
const AUTOMANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
/// How long to wait before asking again what is served.
const PAUSE: Duration = Duration::from_secs(1);
/// The priorities of custom groups and of their versions.
const CUSTOM: (i64, i64) = (1000, 100);

/// Group, version, priority of the group, priority of the version.
const PRIORITIES: &[(&str, &str, i64, i64)] = &[
    ("", "v1", 18000, 1),
    ("admissionregistration.k8s.io", "v1", 16700, 15),
    ("admissionregistration.k8s.io", "v1alpha1", 16700, 9),
    ("admissionregistration.k8s.io", "v1beta1", 16700, 12),
    ("apiextensions.k8s.io", "v1", 16700, 15),
    ("apps", "v1", 17800, 15),
    ("authentication.k8s.io", "v1", 17700, 15),
    ("authorization.k8s.io", "v1", 17600, 15),
    ("autoscaling", "v1", 17500, 15),
    ("autoscaling", "v2", 17500, 30),
    ("batch", "v1", 17400, 15),
    ("certificates.k8s.io", "v1", 17300, 15),
    ("certificates.k8s.io", "v1alpha1", 17300, 1),
    ("certificates.k8s.io", "v1beta1", 17300, 9),
    ("coordination.k8s.io", "v1", 16500, 15),
    ("coordination.k8s.io", "v1alpha2", 16500, 12),
    ("coordination.k8s.io", "v1beta1", 16500, 13),
    ("discovery.k8s.io", "v1", 16200, 15),
    ("events.k8s.io", "v1", 17750, 15),
    ("flowcontrol.apiserver.k8s.io", "v1", 16100, 21),
    ("internal.apiserver.k8s.io", "v1alpha1", 16000, 9),
    ("networking.k8s.io", "v1", 17200, 15),
    ("networking.k8s.io", "v1beta1", 17200, 9),
    ("node.k8s.io", "v1", 16300, 15),
    ("policy", "v1", 17100, 15),
    ("rbac.authorization.k8s.io", "v1", 17000, 15),
    ("resource.k8s.io", "v1", 16200, 21),
    ("resource.k8s.io", "v1beta1", 16200, 9),
    ("resource.k8s.io", "v1beta2", 16200, 15),
    ("scheduling.k8s.io", "v1", 16600, 15),
    ("storage.k8s.io", "v1", 16800, 15),
    ("storage.k8s.io", "v1beta1", 16800, 9),
    ("storagemigration.k8s.io", "v1beta1", 15800, 9),
];

struct Controller {
    client: Client,
    services: Informer,
    definitions: Informer,
    clock: Clock,
    queue: WorkQueue,
    /// Names of built-in ones that are still to be made.
    starting: Mutex<HashSet<String>>,
}

pub fn start(context: &Context<'_>) {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        services: context.informer(&resources::api_services()),
        definitions: context.informer(&resources::custom_resource_definitions()),
        clock: context.clock(),
        queue: WorkQueue::new(),
        starting: Mutex::default(),
    });
    controller.services.on_change(reconcile::enqueue(&controller.queue));
    let queue = controller.queue.clone();
    controller.definitions.on_change(Arc::new(move |old, new| {
        for crd in [old, new].into_iter().flatten() {
            served(crd).for_each(|name| queue.add(name));
        }
    }));
    client::spawn(controller.clone().find_built_in());
    let copies = [&controller.services, &controller.definitions];
    let worker = controller.clone();
    reconcile::run_on("api-service", &controller.queue, 2, &copies, move |name| {
        let controller = worker.clone();
        async move { controller.sync(&name).await }
    });
}

/// The names of the APIServices of a definition's served versions, once its kind is established.
fn served(crd: &Value) -> impl Iterator<Item = String> + '_ {
    let group = crd.str_at(&["spec", "group"]);
    let established = conditions::is_true(crd.list_at(&["status", "conditions"]), "Established");
    let versions =
        crd.list_at(&["spec", "versions"]).iter().filter(move |v| established && v.bool_at(&["served"]));
    versions.map(move |version| format!("{}.{group}", version.str_at(&["name"])))
}

fn priority(group: &str, version: &str) -> Option<(i64, i64)> {
    let found = PRIORITIES.iter().find(|(g, v, _, _)| *g == group && *v == version);
    found.map(|(_, _, group, version)| (*group, *version))
}

fn object(name: &str, (group_priority, version_priority): (i64, i64), automanaged: &str) -> Value {
    let (version, group) = name.split_once('.').unwrap_or((name, ""));
    tree!({
        "metadata": {"name": name, "labels": {(AUTOMANAGED): automanaged}},
        "spec": {
            "group": group, "version": version, "groupPriorityMinimum": group_priority,
            "versionPriority": version_priority
        }
    })
}

impl Controller {
    async fn find_built_in(self: Arc<Self>) {
        let names = loop {
            match self.built_in().await {
                Ok(names) => break names,
                Err(error) => tracing::debug!(%error, "cannot find out what is served"),
            }
            tokio::time::sleep(PAUSE).await;
        };
        self.services.synced().await;
        self.starting.lock().unwrap_or_else(PoisonError::into_inner).extend(names.iter().cloned());
        names.into_iter().for_each(|name| self.queue.add(name));
    }

    /// The names of all that is served and has a priority.
    async fn built_in(&self) -> Result<Vec<String>, Error> {
        let groups = self.client.call(Method::GET, "/apis", None).await?;
        let mut names = vec!["v1.".to_owned()];
        for group in groups.list_at(&["groups"]) {
            let name = group.str_at(&["name"]);
            let versions = group.list_at(&["versions"]).iter().map(|v| v.str_at(&["version"]));
            names.extend(versions.filter(|v| priority(name, v).is_some()).map(|v| format!("{v}.{name}")));
        }
        Ok(names)
    }

    /// What there ought to be under a name.
    fn wanted(&self, name: &str) -> Option<Value> {
        let (version, group) = name.split_once('.')?;
        if let Some(priority) = priority(group, version) {
            return Some(object(name, priority, "onstart"));
        }
        let is_custom = self.definitions.cache().list("").iter().any(|crd| served(crd).any(|n| n == name));
        is_custom.then(|| object(name, CUSTOM, "true"))
    }

    async fn sync(&self, name: &str) -> Outcome {
        let there = self.services.cache().get(name);
        let is_first = self.starting.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        let label = |object: &Value| object.str_at(&["metadata", "labels", AUTOMANAGED]).to_owned();
        let written = match (self.wanted(name), there) {
            (Some(wanted), None) if is_first || label(&wanted) == "true" => {
                match self.client.create(&resources::api_services(), "", &wanted).await {
                    Err(error) if error.is_already_exists() => None,
                    created => Some(created?),
                }
            }
            (Some(wanted), Some(there))
                if !label(&there).is_empty() && there.get("spec") != wanted.get("spec") =>
            {
                let mut changed = (*there).clone();
                changed.set(&["spec"], wanted.get("spec").cloned().unwrap_or_default());
                Some(self.client.update(&resources::api_services(), "", &changed).await?)
            }
            (None, Some(there)) if label(&there) == "true" => {
                unless_gone(self.client.delete(&resources::api_services(), "", name, &Value::Null).await)?;
                return Ok(());
            }
            (_, there) => there.map(|there| (*there).clone()),
        };
        match written {
            Some(object) => self.available(name, object).await,
            None => Ok(()),
        }
    }

    /// Says of what this server serves itself that it is there.
    async fn available(&self, name: &str, mut object: Value) -> Outcome {
        let has_service = object.at(&["spec", "service"]).is_some_and(|service| !service.is_null());
        let mut list = object.list_at(&["status", "conditions"]).to_vec();
        let now = self.clock.now().rfc3339();
        let message = "Local APIServices are always available";
        if has_service
            || !conditions::set(&mut list, conditions::new("Available", "True", &now, "Local", message))
        {
            return Ok(());
        }
        object.set(&["status", "conditions"], Value::List(list));
        let told = self.client.update_lens(&resources::api_services(), "", "status", &object).await;
        if let Some(written) = unless_gone(told)? {
            self.services.caught_up(&written).await;
        }
        tracing::trace!(name, "an API service is available");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_established_definition_has_a_service_for_each_served_version() {
        let crd = |established: &str| {
            tree!({"spec": {"group": "g.io", "versions": [{"name": "v1", "served": true}, {"name": "v0", "served": false}]},
                "status": {"conditions": [{"type": "Established", "status": established}]}})
        };
        assert_eq!(served(&crd("True")).collect::<Vec<_>>(), ["v1.g.io"]);
        assert_eq!(served(&crd("False")).count(), 0);
    }

    #[test]
    fn names_tell_version_and_group() {
        let apps = object("v1.apps", priority("apps", "v1").unwrap(), "onstart");
        assert_eq!(apps.str_at(&["spec", "group"]), "apps");
        assert_eq!(apps.i64_at(&["spec", "groupPriorityMinimum"]), Some(17800));
        let core = object("v1.", priority("", "v1").unwrap(), "onstart");
        assert_eq!((core.str_at(&["spec", "group"]), core.str_at(&["spec", "version"])), ("", "v1"));
    }
}
