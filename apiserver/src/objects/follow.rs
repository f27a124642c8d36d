//! Following a kind's objects: all that are there, then every change, and from the beginning after a failure.

use super::Objects;
use crate::stored;
use api::{Follow, Followed, Value};
use kinds::Kind;
use std::sync::Arc;
use std::time::Duration;
use store::{Entry, Error, EventKind, ListQuery, Revision, Scope};

/// How long to wait before beginning again after a failure of the store.
const PAUSE: Duration = Duration::from_millis(200);

/// See `Reader::follow`.
pub async fn follow(objects: &Objects, group: &'static str, resource: &'static str, follow: Follow) {
    let Some(kind) = objects.registry().find(group, resource).cloned() else {
        tracing::error!(group, resource, "a kind that is to be followed is not served");
        return;
    };
    let mut follower = Follower { objects: objects.clone(), kind, follow };
    let Some(revision) = follower.begin().await else { return };
    tokio::spawn(async move { follower.run(revision).await });
}

struct Follower {
    objects: Objects,
    kind: Arc<dyn Kind>,
    follow: Follow,
}

impl Follower {
    /// Lists until a list succeeds. `None` when the store is closed.
    async fn begin(&mut self) -> Option<Revision> {
        loop {
            match self.list().await {
                Ok(revision) => return Some(revision),
                Err(Error::Closed | Error::Stopped(_)) => return None,
                Err(error) => {
                    tracing::warn!(%error, kind = %self.kind.info().kind, "cannot list what is followed");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn list(&mut self) -> Result<Revision, Error> {
        let space = self.objects.space(&*self.kind);
        self.objects.store().sync(&space).await?;
        let page = self.objects.store().list(&space, &ListQuery::default()).await?;
        let all = page.entries.iter().filter_map(|entry| self.decode(entry)).collect();
        (self.follow)(Followed::All(all));
        Ok(page.revision)
    }

    async fn run(mut self, mut revision: Revision) {
        loop {
            match self.watch(revision).await {
                Error::Closed | Error::Stopped(_) => return,
                error => tracing::debug!(%error, kind = %self.kind.info().kind, "following begins again"),
            }
            let Some(again) = self.begin().await else { return };
            revision = again;
        }
    }

    /// Hands on changes until the watch ends.
    async fn watch(&mut self, from: Revision) -> Error {
        let space = self.objects.space(&*self.kind);
        let mut watch = match self.objects.store().watch(&space, Scope::All, from).await {
            Ok(watch) => watch,
            Err(error) => return error,
        };
        loop {
            let events = match watch.next_batch().await {
                Ok(events) => events,
                Err(error) => return error,
            };
            for event in events {
                let step = match (&event.entry, event.kind) {
                    (Some(entry), EventKind::Put) => match self.decode(entry) {
                        Some(object) => Followed::Set(object),
                        None => gone(&event.key.rest),
                    },
                    _ => gone(&event.key.rest),
                };
                (self.follow)(step);
            }
        }
    }

    fn decode(&self, entry: &Entry) -> Option<Value> {
        match stored::decode(&*self.kind, entry) {
            Ok(object) => Some(object),
            Err(status) => {
                tracing::error!(key = %entry.key.rest, %status, "an object in the store cannot be read");
                None
            }
        }
    }
}

fn gone(rest: &str) -> Followed {
    let (namespace, name) = rest.split_once('/').unwrap_or(("", rest));
    Followed::Gone { namespace: namespace.to_owned(), name: name.to_owned() }
}
