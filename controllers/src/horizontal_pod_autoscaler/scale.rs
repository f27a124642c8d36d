//! What an autoscaler scales: anything that has a `scale`, found by kind.

use crate::discovery;
use api::Value;
use client::{Client, Error, Method, Resource};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer of discovery is believed.
const BELIEVED: Duration = Duration::from_secs(30);

/// All resources, and since when they are known.
type Known = (Instant, Arc<Vec<discovery::Discovered>>);

/// Finds resources by kind. Cheap to clone.
#[derive(Clone)]
pub struct Targets {
    client: Client,
    known: Arc<Mutex<Option<Known>>>,
}

impl Targets {
    pub fn new(client: Client) -> Self {
        Targets { client, known: Arc::default() }
    }

    async fn all(&self) -> Result<Arc<Vec<discovery::Discovered>>, Error> {
        if let Some((since, all)) = &*self.known.lock()
            && since.elapsed() < BELIEVED
        {
            return Ok(all.clone());
        }
        let all = Arc::new(discovery::resources(&self.client).await?);
        *self.known.lock() = Some((Instant::now(), all.clone()));
        Ok(all)
    }

    /// The resource of a kind.
    ///
    /// # Errors
    /// When there is none, in upstream's words.
    pub async fn find(&self, api_version: &str, kind: &str) -> Result<Resource, String> {
        let group = match api_version.split('/').collect::<Vec<_>>().as_slice() {
            [_] => "",
            [group, _] => group,
            _ => return Err(format!("unexpected GroupVersion string: {api_version}")),
        };
        let all = self.all().await.map_err(|error| error.to_string())?;
        let found = all.iter().find(|d| d.kind == kind && d.resource.group == group);
        let none = || format!("no matches for kind {kind:?} in group {group:?}");
        found.map(|d| d.resource.clone()).ok_or_else(none)
    }

    pub async fn scale(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Value, Error> {
        let path = format!("{}/scale", resource.object(namespace, name));
        self.client.call(Method::GET, &path, None).await
    }

    /// Has a target have so many replicas; somebody else's write in between is no hindrance.
    pub async fn rescale(&self, resource: &Resource, mut scale: Value, replicas: i64) -> Result<(), Error> {
        const ATTEMPTS: u32 = 5;
        let meta = |scale: &Value, field: &str| scale.str_at(&["metadata", field]).to_owned();
        let (namespace, name) = (meta(&scale, "namespace"), meta(&scale, "name"));
        for attempt in 1.. {
            scale.set(&["spec", "replicas"], replicas);
            match self.client.update_lens(resource, &namespace, "scale", &scale).await {
                Err(error) if error.is_conflict() && attempt < ATTEMPTS => {
                    scale = self.scale(resource, &namespace, &name).await?;
                }
                done => return done.map(drop),
            }
        }
        Ok(())
    }
}
