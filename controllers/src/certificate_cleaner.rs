//! certificate-controller, cleaning: requests for certificates that are over for a while go.

use crate::reconcile::{self, Outcome, unless_gone};
use crate::{Context, resources};
use api::{Value, pem, time, tree, x509};
use client::{Client, Informer, WorkQueue};
use std::time::Duration;
use stdx::{Clock, Time};

/// How long requests stay once they are decided upon, and how long while nothing comes of them.
const DECIDED: Duration = Duration::from_secs(3600);
const PENDING: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone)]
struct Controller {
    client: Client,
    requests: Informer,
    queue: WorkQueue,
    clock: Clock,
}

pub fn start(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let requests = context.informer(&resources::certificate_signing_requests());
    let (client, clock) = (context.client.clone(), context.clock());
    let controller = Controller { client, requests: requests.clone(), queue: queue.clone(), clock };
    requests.on_change(reconcile::enqueue(&queue));
    reconcile::run_on("certificate-cleaner", &queue, 1, &[&requests], move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    });
}

/// When a request goes.
fn end(object: &Value) -> Option<Time> {
    let after = |time: &str, stay: Duration| time::parse(time).ok().map(|time| time.plus(stay));
    let conditions = object.list_at(&["status", "conditions"]);
    if conditions.is_empty() {
        return after(object.str_at(&["metadata", "creationTimestamp"]), PENDING);
    }
    let issued = !object.str_at(&["status", "certificate"]).is_empty();
    let ends = conditions.iter().flat_map(|condition| {
        let since = condition.str_at(&["lastUpdateTime"]);
        match condition.str_at(&["type"]) {
            "Approved" if issued => [after(since, DECIDED), certificate_end(object)],
            "Approved" => [after(since, PENDING), None],
            "Denied" | "Failed" => [after(since, DECIDED), None],
            _ => [None, None],
        }
    });
    ends.flatten().min()
}

/// When the certificate that was issued ends.
fn certificate_end(object: &Value) -> Option<Time> {
    let bytes = pem::decode_base64(object.str_at(&["status", "certificate"]))?;
    let block = pem::blocks(&String::from_utf8_lossy(&bytes)).into_iter().next()?;
    Some(Time { secs: x509::certificate_end(&block.der).ok()?, nanos: 0 })
}

impl Controller {
    async fn sync(&self, key: &str) -> Outcome {
        let Some(end) = self.requests.cache().get(key).and_then(|object| end(&object)) else { return Ok(()) };
        let now = self.clock.now();
        if now <= end {
            self.queue.add_after(key, end.since(now) + Duration::from_secs(1));
            return Ok(());
        }
        let requests = resources::certificate_signing_requests();
        unless_gone(self.client.delete(&requests, "", key, &tree!({})).await)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(conditions: &[(&str, &str)]) -> Value {
        let list: Vec<Value> = conditions
            .iter()
            .map(|(ty, time)| tree!({"type": *ty, "status": "True", "lastUpdateTime": *time}))
            .collect();
        tree!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}, "status": {"conditions": list}})
    }

    fn goes(object: &Value) -> String {
        end(object).map(Time::rfc3339).unwrap_or_default()
    }

    #[test]
    fn requests_go_an_hour_after_they_are_decided_and_a_day_after_nothing_came_of_them() {
        assert_eq!(goes(&object(&[])), "2026-01-02T00:00:00Z");
        assert_eq!(goes(&object(&[("Denied", "2026-01-01T10:00:00Z")])), "2026-01-01T11:00:00Z");
        let approved = [("Approved", "2026-01-01T10:00:00Z")];
        assert_eq!(goes(&object(&approved)), "2026-01-02T10:00:00Z");
        let mut issued = object(&approved);
        issued.set(&["status", "certificate"], "eA==");
        assert_eq!(goes(&issued), "2026-01-01T11:00:00Z");
        let failed = object(&[approved[0], ("Failed", "2026-01-01T10:30:00Z")]);
        assert_eq!(goes(&failed), "2026-01-01T11:30:00Z");
        assert_eq!(goes(&object(&[("Odd", "2026-01-01T10:00:00Z")])), "");
    }
}
