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
use stdx::Clock;

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
            let remaining = empty(&client, &name).await?;
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
    resources: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
}

impl Remaining {
    fn is_done(&self) -> bool {
        self.resources.is_empty()
    }
}

/// Deletes everything in a namespace, and tells what is still there.
async fn empty(client: &Client, namespace: &str) -> Result<Remaining, Error> {
    let mut remaining = Remaining::default();
    for resource in contents(client).await? {
        let found = match client.list(&resource, namespace, "").await {
            Ok(found) => found,
            Err(error) if matches!(error.code(), Some(404 | 405)) => continue,
            Err(error) => return Err(error),
        };
        if found.list_at(&["items"]).is_empty() {
            continue;
        }
        match client.delete_collection(&resource, namespace, "").await {
            Err(error) if !matches!(error.code(), Some(404 | 405)) => return Err(error),
            _ => {}
        }
        let left = client.list(&resource, namespace, "").await?;
        note(&mut remaining, &resource, left.list_at(&["items"]));
    }
    Ok(remaining)
}

fn note(remaining: &mut Remaining, resource: &Resource, left: &[Value]) {
    if left.is_empty() {
        return;
    }
    let name = if resource.group.is_empty() {
        format!("{}.", resource.plural)
    } else {
        format!("{}.{}", resource.plural, resource.group)
    };
    remaining.resources.insert(name, left.len());
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
    let count = |map: &BTreeMap<String, usize>, what: &str, unit: &str| {
        let parts: Vec<String> = map.iter().map(|(name, n)| format!("{name} {what} {n} {unit}")).collect();
        parts.join(", ")
    };
    let content =
        format!("Some resources are remaining: {}", count(&remaining.resources, "has", "resource instances"));
    let held = format!(
        "Some content in the namespace has finalizers remaining: {}",
        count(&remaining.finalizers, "in", "resource instances")
    );
    let rows = [
        (
            "NamespaceDeletionDiscoveryFailure",
            false,
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            false,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            false,
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        ("NamespaceContentRemaining", true, "SomeResourcesRemain", content.as_str()),
    ];
    let mut list: Vec<Value> = rows
        .iter()
        .map(|(ty, on, reason, message)| condition(namespace, ty, *on, reason, message, now))
        .collect();
    list.push(if remaining.finalizers.is_empty() {
        let message = "All content-preserving finalizers finished";
        condition(namespace, "NamespaceFinalizersRemaining", false, "ContentHasNoFinalizers", message, now)
    } else {
        condition(namespace, "NamespaceFinalizersRemaining", true, "SomeFinalizersRemain", &held, now)
    });
    Value::List(list)
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
}
