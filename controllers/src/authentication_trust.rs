//! A part of the API server: the ConfigMap `extension-apiserver-authentication` in `kube-system` tells other servers of
//! the cluster by which certificates users and proxies are known.

use crate::reconcile::run_on;
use crate::{Context, resources};
use api::{Map, Value, tree};
use client::{Informer, WorkQueue};
use std::sync::Arc;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";
const QUERY: &str =
    "fieldSelector=metadata.name%3Dextension-apiserver-authentication,metadata.namespace%3Dkube-system";

pub fn start(context: &Context<'_>) {
    let (queue, maps, client) = (WorkQueue::new(), resources::config_maps(), context.client.clone());
    let changed = queue.clone();
    let copy = Informer::start(client.clone(), maps.clone(), QUERY, Arc::new(move |_, _| changed.add(NAME)));
    queue.add(NAME);
    let told: Map = context.settings.authentication_trust.iter().cloned().collect();
    let copies = [&copy.clone()];
    run_on("authentication-trust", &queue, 1, &copies, move |_| {
        let (client, maps, copy, told) = (client.clone(), maps.clone(), copy.clone(), told.clone());
        async move {
            let written = match copy.cache().get(&format!("{NAMESPACE}/{NAME}")) {
                Some(map) => {
                    let mut wanted = Value::clone(&map);
                    let data = wanted.make_map(&["data"]);
                    told.iter().for_each(|(key, text)| drop(data.insert(key.clone(), text.clone())));
                    if wanted == *map {
                        return Ok(());
                    }
                    client.update(&maps, NAMESPACE, &wanted).await
                }
                None => {
                    let meta = tree!({"name": NAME, "namespace": NAMESPACE});
                    let map = tree!({"metadata": meta, "data": Value::Map(told)});
                    client.create(&maps, NAMESPACE, &map).await
                }
            };
            match written {
                Err(error) if !error.is_already_exists() && !error.is_not_found() => Err(error),
                _ => Ok(()),
            }
        }
    });
}
