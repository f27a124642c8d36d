//! service-account-controller: every active namespace has a ServiceAccount `default`.

use crate::{Context, reconcile, resources};
use api::{Value, tree};
use client::{Informer, WorkQueue};
use std::sync::Arc;

const NAME: &str = "default";

pub fn start(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let client = context.client.clone();
    let accounts = resources::service_accounts();
    let namespaces = follow_namespaces(context, &queue);
    let deleted = queue.clone();
    // A deleted `default` is made again.
    let follower = context.informer(&accounts);
    follower.on_change(Arc::new(move |old, new| {
        if let (Some(old), None) = (old, new)
            && old.str_at(&["metadata", "name"]) == NAME
        {
            deleted.add(old.str_at(&["metadata", "namespace"]));
        }
    }));
    let copies = [&namespaces.clone(), &follower.clone()];
    reconcile::run_on("service-account", &queue, 2, &copies, move |namespace| {
        let (client, accounts, namespaces, follower) =
            (client.clone(), accounts.clone(), namespaces.clone(), follower.clone());
        async move {
            let active = namespaces.cache().get(&namespace).is_some_and(|ns| is_active(&ns));
            if !active || follower.cache().get(&format!("{namespace}/{NAME}")).is_some() {
                return Ok(());
            }
            let account = tree!({"metadata": {"name": NAME, "namespace": namespace.as_str()}});
            match client.create(&accounts, &namespace, &account).await {
                Err(error) if !error.is_already_exists() && !is_leaving(&error) => Err(error),
                _ => Ok(()),
            }
        }
    });
}

/// Adds every namespace that comes or changes to the queue.
pub fn follow_namespaces(context: &Context<'_>, queue: &WorkQueue) -> Informer {
    let queue = queue.clone();
    let namespaces = context.informer(&resources::namespaces());
    namespaces.on_change(Arc::new(move |_, new| {
        if let Some(namespace) = new {
            queue.add(namespace.str_at(&["metadata", "name"]));
        }
    }));
    namespaces
}

/// True while things can be created in a namespace.
pub fn is_active(namespace: &Value) -> bool {
    namespace.str_at(&["status", "phase"]) != "Terminating"
}

/// The namespace went away meanwhile: nothing to do, and nothing to try again.
pub fn is_leaving(error: &client::Error) -> bool {
    matches!(error.code(), Some(403 | 404))
}
