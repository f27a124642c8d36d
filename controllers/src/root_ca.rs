//! root-ca-cert-publisher: every active namespace has a ConfigMap `kube-root-ca.crt` with the CA of the API server.

use crate::service_account::{follow_namespaces, is_active, is_leaving};
use crate::{Context, identity, reconcile, resources};
use api::tree;
use client::{Informer, WorkQueue};
use std::sync::Arc;

const NAME: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

pub fn start(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let client = context.client.clone();
    let maps = resources::config_maps();
    let namespaces = follow_namespaces(context, &queue);
    let changed = queue.clone();
    let follower = Informer::start(
        (context.connect)(identity::WATCHER),
        maps.clone(),
        "fieldSelector=metadata.name%3Dkube-root-ca.crt",
        Arc::new(move |old, new| {
            if let Some(map) = new.or(old) {
                changed.add(map.str_at(&["metadata", "namespace"]));
            }
        }),
    );
    let data = tree!({"ca.crt": context.settings.ca_pem.as_str()});
    let copies = [&namespaces.clone(), &follower.clone()];
    reconcile::run_on("root-ca", &queue, 2, &copies, move |namespace| {
        let (client, maps, namespaces, follower, data) =
            (client.clone(), maps.clone(), namespaces.clone(), follower.clone(), data.clone());
        async move {
            if !namespaces.cache().get(&namespace).is_some_and(|ns| is_active(&ns)) {
                return Ok(());
            }
            let written = match follower.cache().get(&format!("{namespace}/{NAME}")) {
                Some(found) if found.get("data") == Some(&data) => return Ok(()),
                Some(found) => {
                    let mut wanted = (*found).clone();
                    wanted.set(&["data"], data);
                    client.update(&maps, &namespace, &wanted).await
                }
                None => {
                    let meta = tree!({
                        "name": NAME, "namespace": namespace.as_str(),
                        "annotations": {"kubernetes.io/description": DESCRIPTION}
                    });
                    client.create(&maps, &namespace, &tree!({"metadata": meta, "data": data})).await
                }
            };
            match written {
                Err(error) if !error.is_already_exists() && !is_leaving(&error) => Err(error),
                _ => Ok(()),
            }
        }
    });
}
