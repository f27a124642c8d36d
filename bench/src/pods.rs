//! The life of pods, one after another, on a node that runs containers and has the image: how long from just before the
//! create is sent until the pod is seen to be ready, and from the delete until it is seen to be gone, beyond the grace
//! that was asked for (one second, which the container uses up).

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::Args;
use crate::connection::Call;
use crate::figures::Figures;
use crate::server::Server;

const GRACE: Duration = Duration::from_secs(1);
/// How long a pod may take before the round has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs one round: until ready, until gone.
///
/// # Errors
/// When a request is refused, or a pod does not become ready or go in a minute.
pub async fn run(args: &Args, server: &Server, round: usize) -> Result<[Figures; 2]> {
    let start = Instant::now();
    let (mut ready, mut gone) = (Vec::new(), Vec::new());
    for index in 0..args.pods {
        let [came, went] = one(args, server, &format!("life-{round}-{index}")).await?;
        ready.push(came);
        gone.push(went);
    }
    Ok([Figures::of(ready, start.elapsed()), Figures::of(gone, start.elapsed())])
}

async fn one(args: &Args, server: &Server, name: &str) -> Result<[Duration; 2]> {
    let collection = format!("/api/v1/namespaces/{}/pods", server.namespace);
    let query = format!("?watch=true&fieldSelector=metadata.name%3D{name}");
    let mut connection = server.dialer.dial().await?;
    let watch = connection.open(&server.dialer, &Call::get(format!("{collection}{query}"))).await?;
    let mut events = Events { body: watch.into_body(), gathered: Vec::new() };
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": GRACE.as_secs(), "containers": [{
            "name": "c", "image": args.image, "imagePullPolicy": "IfNotPresent", "command": ["sleep", "1000"]
        }]}
    });
    let start = Instant::now();
    server.one(&Call::with_body("POST", collection.clone(), "application/json", pod.to_string())).await?;
    events.until(is_ready).await.with_context(|| format!("{name} is not ready"))?;
    let ready = start.elapsed();
    let start = Instant::now();
    server.one(&Call { method: "DELETE", ..Call::get(format!("{collection}/{name}")) }).await?;
    events.until(|event| event["type"] == "DELETED").await.with_context(|| format!("{name} does not go"))?;
    Ok([ready, start.elapsed().saturating_sub(GRACE)])
}

fn is_ready(event: &Value) -> bool {
    let conditions = event["object"]["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// The events of a watch, one a line.
struct Events {
    body: hyper::body::Incoming,
    gathered: Vec<u8>,
}

impl Events {
    async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<()> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            while let Some(end) = self.gathered.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.gathered.drain(..=end).collect();
                if wanted(&serde_json::from_slice(&line)?) {
                    return Ok(());
                }
            }
            match tokio::time::timeout_at(deadline, self.body.frame()).await {
                Ok(frame) => {
                    let frame = frame.context("the watch ended")??;
                    self.gathered.extend(frame.data_ref().into_iter().flatten());
                }
                Err(_) => bail!("a minute has passed"),
            }
        }
    }
}
