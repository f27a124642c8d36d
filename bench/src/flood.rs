//! A flood: one user lists everything on many connections while another gets single objects, one at a time. What the
//! other waits then is compared with what it waits when it is quiet; an operation is one of its gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use crate::Args;
use crate::connection::{Call, Dialer};
use crate::figures::Figures;
use crate::objects;
use crate::server::{LISTS, Server};

/// Gets that are not counted, at the beginning of each measurement.
const WARM_UP: usize = 20;
/// How long the flood rises before the measurement begins.
const RISE: Duration = Duration::from_secs(2);

/// What is measured in one round.
pub struct Round {
    /// The calm user alone.
    pub quiet: Figures,
    /// The same during the flood.
    pub flooded: Figures,
    /// Lists that the flood got answered, and that were refused.
    pub lists: usize,
    pub refused: usize,
}

/// Runs one round. Both users' namespaces have their ConfigMaps already.
///
/// # Errors
/// When a user cannot be made or a get fails; the flood may be refused.
pub async fn run(args: &Args, server: &Server) -> Result<Round> {
    let calm = account(server, &server.namespace).await.context("the calm user")?;
    let lists = format!("{}{LISTS}", server.namespace);
    let flood = account(server, &lists).await.context("the flooding user")?;
    let quiet = measure(args, server, &calm).await?;
    let (stop, answered, refused) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let call = Arc::new(Call::get(format!("/api/v1/namespaces/{lists}/configmaps")));
    let tasks: Vec<_> = (0..args.flood_connections)
        .map(|_| {
            let (flood, stop, call) = (flood.clone(), stop.clone(), call.clone());
            let (answered, refused) = (answered.clone(), refused.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let Ok(mut connection) = flood.dial().await else { continue };
                    while !stop.load(Ordering::Relaxed) {
                        let outcome = connection.drain(&flood, &call).await;
                        if outcome.is_ok() { &answered } else { &refused }.fetch_add(1, Ordering::Relaxed);
                        if outcome.is_err() {
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(RISE).await;
    let flooded = measure(args, server, &calm).await;
    stop.store(true, Ordering::Relaxed);
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
    Ok(Round { quiet, flooded: flooded?, lists: count(&answered), refused: count(&refused) })
}

async fn measure(args: &Args, server: &Server, calm: &Arc<Dialer>) -> Result<Figures> {
    let mut connection = calm.dial().await?;
    let (mut latencies, mut begin) = (Vec::with_capacity(args.flood_gets), Instant::now());
    for turn in 0..WARM_UP + args.flood_gets {
        if turn == WARM_UP {
            begin = Instant::now();
        }
        let name = format!("map-{}", turn * 7_919 % args.objects.max(1));
        let call = Call::get(format!("/api/v1/namespaces/{}/configmaps/{name}", server.namespace));
        let sent = Instant::now();
        connection.drain(calm, &call).await?;
        if turn >= WARM_UP {
            latencies.push(sent.elapsed());
        }
        // A user, not a load of its own.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(Figures::of(latencies, begin.elapsed()))
}

/// The default service account of a namespace, allowed to read its ConfigMaps.
async fn account(server: &Server, namespace: &str) -> Result<Arc<Dialer>> {
    let (mut role, mut binding) = (objects::pod_reader(), objects::pod_reader_binding());
    role["rules"][0]["resources"] = json!(["configmaps"]);
    binding["subjects"][0]["namespace"] = json!(namespace);
    binding["roleRef"]["name"] = json!("reader");
    for object in [&mut role, &mut binding] {
        object["metadata"]["name"] = json!("reader");
    }
    for (resource, body) in [("roles", role), ("rolebindings", binding)] {
        let path = objects::rbac_path(namespace, resource);
        let made = server.one(&Call::with_body("POST", path, "application/json", body.to_string())).await;
        if let Err(error) = made
            && !error.to_string().contains("AlreadyExists")
        {
            return Err(error);
        }
    }
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default/token");
    let answer = server.one(&Call::with_body("POST", path, "application/json", body.to_string())).await?;
    Ok(Arc::new(server.dialer.as_bearer(answer["status"]["token"].as_str().context("no token")?)?))
}
