//! namespace-controller: empties namespaces that are on their way out, kind by kind as discovery lists them, and takes
//! the finalizer `kubernetes` off when nothing is left.

use crate::discovery::Discovered;
use crate::service_account::follow_namespaces;
use crate::{Context, discovery, reconcile};
use api::{Value, tree};
use client::{Client, Error, EventKind, Resource, WorkQueue};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Time};

const FINALIZER: &str = "kubernetes";
/// How soon a namespace is looked at again after something in it went: what goes, goes in groups.
const SETTLE: Duration = Duration::from_millis(20);
/// How soon one that is not empty is looked at again although nothing in it went.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

pub fn start(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let client = context.client.clone();
    let namespaces = follow_namespaces(context, &queue);
    let (again, gone, known) = (queue.clone(), queue.clone(), namespaces.cache().clone());
    context.heads.listen(Arc::new(move |_, event| {
        let namespace = event.meta.namespace.as_str();
        if event.kind == EventKind::Deleted && known.get(namespace).is_some_and(|ns| is_leaving(&ns)) {
            gone.add_after(namespace, SETTLE);
        }
    }));
    reconcile::run("namespace", &queue, 8, move |name| {
        let (client, namespaces, again) = (client.clone(), namespaces.clone(), again.clone());
        async move {
            let Some(namespace) = namespaces.cache().get(&name) else { return Ok(()) };
            if !is_leaving(&namespace) {
                return Ok(());
            }
            let remaining = empty(&client, &namespace).await?;
            if remaining.is_done() {
                return finalize(&client, &name).await;
            }
            report(&client, &namespace, &remaining).await?;
            again.add_after(name, LOOK_AGAIN);
            Ok(())
        }
    });
}

/// Marked for deletion, and ours still to empty.
fn is_leaving(namespace: &Value) -> bool {
    let ours = namespace.list_at(&["spec", "finalizers"]).iter().any(|f| f.as_str() == Some(FINALIZER));
    namespace.at(&["metadata", "deletionTimestamp"]).is_some() && ours
}

/// What is still in a namespace: objects by resource, and finalizers that hold them.
#[derive(Default)]
struct Remaining {
    /// Only pods were looked at: everything else waits for them.
    only_pods: bool,
    resources: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
    /// What went wrong, and what stays although nothing holds it.
    errors: Vec<String>,
}

impl Remaining {
    fn is_done(&self) -> bool {
        self.resources.is_empty() && self.errors.is_empty()
    }
}

/// Deletes everything in a namespace, pods before all else, and tells what is still there.
async fn empty(client: &Client, namespace: &Value) -> Result<Remaining, Error> {
    let mut remaining = Remaining::default();
    let (pods, others): (Vec<_>, Vec<_>) = contents(client).await?.into_iter().partition(is_pods);
    for resource in pods {
        if let Err(error) = clear(client, namespace, &resource, &mut remaining).await {
            remaining.errors.push(error);
        }
    }
    if !remaining.resources.is_empty() {
        remaining.only_pods = true;
        return Ok(remaining);
    }
    for resource in others {
        if let Err(error) = clear(client, namespace, &resource, &mut remaining).await {
            remaining.errors.push(error);
        }
    }
    Ok(remaining)
}

fn is_pods(resource: &Resource) -> bool {
    resource.group.is_empty() && resource.plural == "pods"
}

/// Deletes all objects of one resource, and notes those that stay.
///
/// # Errors
/// What went wrong, or that objects stay longer than anything explains.
async fn clear(
    client: &Client,
    namespace: &Value,
    resource: &Resource,
    remaining: &mut Remaining,
) -> Result<(), String> {
    let name = namespace.str_at(&["metadata", "name"]);
    let unserved = |error: &Error| matches!(error.code(), Some(404 | 405));
    let found = match client.list(resource, name, "").await {
        Err(error) if unserved(&error) => return Ok(()),
        found => found.map_err(|error| error.to_string())?,
    };
    let found = found.list_at(&["items"]);
    if found.is_empty() {
        return Ok(());
    }
    let waits = is_pods(resource) && has_grace_left(namespace, found, Clock::system().now());
    match client.delete_collection(resource, name, "").await {
        Err(error) if !unserved(&error) => return Err(error.to_string()),
        _ => {}
    }
    let left = client.list(resource, name, "").await.map_err(|error| error.to_string())?;
    let left = left.list_at(&["items"]);
    note(remaining, resource, left);
    if left.is_empty() || waits || left.iter().any(is_held) {
        return Ok(());
    }
    let Resource { group, version, plural, .. } = resource;
    Err(format!(
        "unexpected items still remain in namespace: {name} for gvr: {group}/{version}, Resource={plural}"
    ))
}

/// Whether a pod may still be ending since the namespace was deleted.
fn has_grace_left(namespace: &Value, pods: &[Value], now: Time) -> bool {
    let running =
        pods.iter().filter(|pod| !matches!(pod.str_at(&["status", "phase"]), "Succeeded" | "Failed"));
    let grace = running.filter_map(|pod| pod.i64_at(&["spec", "terminationGracePeriodSeconds"])).max();
    let deleted = api::time::parse(namespace.str_at(&["metadata", "deletionTimestamp"]));
    let since = deleted.map(|deleted| now.since(deleted)).unwrap_or_default();
    since < Duration::from_secs(grace.and_then(|grace| u64::try_from(grace).ok()).unwrap_or(0))
}

fn is_held(object: &Value) -> bool {
    !object.list_at(&["metadata", "finalizers"]).is_empty()
}

fn note(remaining: &mut Remaining, resource: &Resource, left: &[Value]) {
    if left.is_empty() {
        return;
    }
    remaining.resources.insert(format!("{}.{}", resource.plural, resource.group), left.len());
    for object in left {
        for finalizer in object.list_at(&["metadata", "finalizers"]).iter().filter_map(Value::as_str) {
            *remaining.finalizers.entry(finalizer.to_owned()).or_default() += 1;
        }
    }
}

/// Every namespaced resource that can be listed and deleted, at its preferred version.
async fn contents(client: &Client) -> Result<Vec<Resource>, Error> {
    let found = discovery::resources(client).await?;
    let ours = |d: &Discovered| d.resource.namespaced && d.has("list") && d.has("delete");
    Ok(found.into_iter().filter(ours).map(|d| d.resource).collect())
}

/// Takes our finalizer off; the server then ends the namespace.
async fn finalize(client: &Client, name: &str) -> Result<(), Error> {
    let namespaces = Resource::cluster("", "v1", "namespaces");
    let Some(mut namespace) = client.find(&namespaces, "", name).await? else { return Ok(()) };
    if let Some(Value::List(finalizers)) = namespace.at_mut(&["spec", "finalizers"]) {
        finalizers.retain(|f| f.as_str() != Some(FINALIZER));
    }
    match client.update_lens(&namespaces, "", "finalize", &namespace).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Says in the namespace's conditions what holds it.
async fn report(client: &Client, namespace: &Value, remaining: &Remaining) -> Result<(), Error> {
    let conditions = conditions(namespace, remaining, &Clock::system().now().rfc3339());
    if namespace.at(&["status", "conditions"]) == Some(&conditions) {
        return Ok(());
    }
    let mut wanted = namespace.clone();
    wanted.set(&["status", "conditions"], conditions);
    let namespaces = Resource::cluster("", "v1", "namespaces");
    match client.update_lens(&namespaces, "", "status", &wanted).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

fn conditions(namespace: &Value, remaining: &Remaining, now: &str) -> Value {
    let count = |map: &BTreeMap<String, usize>, what: &str| {
        let one = |(name, n): (&String, &usize)| format!("{name} {what} {n} resource instances");
        map.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let failed = (!remaining.errors.is_empty()).then(|| {
        let mut errors = remaining.errors.clone();
        errors.sort();
        let (number, errors) = (errors.len(), errors.join(", "));
        (
            "ContentDeletionFailed",
            format!("Failed to delete all resource types, {number} remaining: {errors}"),
        )
    });
    // While everything waits for the pods, nothing is said of what is there.
    let content = (!remaining.only_pods && !remaining.resources.is_empty()).then(|| {
        let what = count(&remaining.resources, "has");
        ("SomeResourcesRemain", format!("Some resources are remaining: {what}"))
    });
    let held = (!remaining.only_pods && !remaining.finalizers.is_empty()).then(|| {
        let what = count(&remaining.finalizers, "in");
        ("SomeFinalizersRemain", format!("Some content in the namespace has finalizers remaining: {what}"))
    });
    let rows = [
        (
            "NamespaceDeletionDiscoveryFailure",
            None,
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            None,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            failed,
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        ("NamespaceContentRemaining", content, "ContentRemoved", "All content successfully removed"),
        (
            "NamespaceFinalizersRemaining",
            held,
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        ),
    ];
    let row = |(ty, trouble, well, why): (&str, Option<(&str, String)>, &str, &str)| match trouble {
        Some((reason, message)) => condition(namespace, ty, true, reason, &message, now),
        None => condition(namespace, ty, false, well, why, now),
    };
    Value::List(rows.into_iter().map(row).collect())
}

/// A condition; it keeps its time while its status stays.
fn condition(namespace: &Value, ty: &str, on: bool, reason: &str, message: &str, now: &str) -> Value {
    let status = if on { "True" } else { "False" };
    let old = namespace.list_at(&["status", "conditions"]).iter().find(|c| c.str_at(&["type"]) == ty);
    let since =
        old.filter(|c| c.str_at(&["status"]) == status).map_or(now, |c| c.str_at(&["lastTransitionTime"]));
    tree!({
        "type": ty, "status": status, "lastTransitionTime": since, "reason": reason, "message": message
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_told_in_the_conditions() {
        let mut remaining = Remaining::default();
        let held = tree!({"metadata": {"finalizers": ["example.com/hold"]}});
        note(&mut remaining, &Resource::namespaced("", "v1", "configmaps"), &[held]);
        let conditions = conditions(&Value::map(), &remaining, "2026-01-01T00:00:00Z");
        let last = &conditions.list_at(&[])[4];
        assert_eq!(
            last.str_at(&["message"]),
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
        );
        assert!(!remaining.is_done());
    }

    #[test]
    fn while_pods_are_waited_for_nothing_is_said_of_the_rest() {
        let errors = vec!["b".to_owned(), "a".to_owned()];
        let mut remaining = Remaining { only_pods: true, errors, ..Remaining::default() };
        let held = tree!({"metadata": {"finalizers": ["example.com/hold"]}});
        note(&mut remaining, &Resource::namespaced("", "v1", "pods"), &[held]);
        let conditions = conditions(&Value::map(), &remaining, "2026-01-01T00:00:00Z");
        let said =
            conditions.list_at(&[]).iter().map(|row| (row.str_at(&["status"]), row.str_at(&["message"])));
        let said: Vec<_> = said.skip(2).collect();
        assert_eq!(
            said,
            [
                ("True", "Failed to delete all resource types, 2 remaining: a, b"),
                ("False", "All content successfully removed"),
                ("False", "All content-preserving finalizers finished"),
            ]
        );
    }

    #[test]
    fn pods_have_the_longest_grace_since_the_deletion() {
        let namespace = tree!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
        let pod = |phase: &str, grace: i64| tree!({"spec": {"terminationGracePeriodSeconds": grace}, "status": {"phase": phase}});
        let pods = [pod("Running", 5), pod("Running", 30), pod("Failed", 300)];
        let at = |text: &str| api::time::parse(text).unwrap();
        assert!(has_grace_left(&namespace, &pods, at("2026-01-01T00:00:29Z")));
        assert!(!has_grace_left(&namespace, &pods, at("2026-01-01T00:00:30Z")));
        assert!(!has_grace_left(&namespace, &[], at("2026-01-01T00:00:00Z")));
    }
}
