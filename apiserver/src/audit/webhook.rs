//! The webhook: batches of events are posted as an `EventList` to a server that a kubeconfig names, again and again with
//! longer pauses when it does not take them.

use super::sink::{Sink, SinkSettings, wrapped};
use super::{event, lost};
use api::{Later, Network, Question, Remote, Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use stdx::Ids;

/// How often events are posted before they are lost.
const ATTEMPTS: u32 = 5;
/// Each pause is so much longer than the one before it, and longer still by chance.
const FACTOR: f64 = 1.5;
const JITTER: f64 = 0.2;
const TIMEOUT: Duration = Duration::from_secs(30);

/// Whom to tell, and how.
pub struct WebhookSettings {
    /// A kubeconfig.
    pub config: PathBuf,
    pub initial_backoff: Duration,
    pub network: Arc<dyn Network>,
    pub sink: SinkSettings,
}

struct Webhook {
    remote: Remote,
    initial_backoff: Duration,
    network: Arc<dyn Network>,
    ids: Ids,
}

/// Reads the kubeconfig; one line when it cannot be used.
pub fn open(settings: WebhookSettings) -> Result<Box<dyn Sink>, String> {
    let WebhookSettings { config, initial_backoff, network, sink } = settings;
    let failed = |why: String| format!("initializing audit webhook: {}: {why}", config.display());
    let text = std::fs::read(&config).map_err(|e| failed(e.to_string()))?;
    let dir = config.parent().map(PathBuf::from).unwrap_or_default();
    let read = |file: &str| std::fs::read(dir.join(file)).map_err(|e| e.to_string());
    let remote = Remote::from_kubeconfig(&text, &read).map_err(failed)?;
    Ok(wrapped(Arc::new(Webhook { remote, initial_backoff, network, ids: Ids::system() }), sink))
}

impl Webhook {
    async fn post(&self, body: &[u8]) -> Result<(), String> {
        let question = Question { body: Some(body.to_vec()), ..Question::default() };
        let reply = self.network.ask(&self.remote, question, TIMEOUT).await.map_err(|e| e.to_string())?;
        if (200..300).contains(&reply.status) {
            return Ok(());
        }
        Err(format!("the server answered {}", reply.status))
    }

    async fn deliver(&self, events: &[Value]) -> bool {
        let body = json::to_vec(&event::list(events));
        let mut pause = self.initial_backoff;
        let mut attempt = 1;
        loop {
            match self.post(&body).await {
                Ok(()) => return true,
                Err(why) if attempt == ATTEMPTS => {
                    lost("webhook", events, &why);
                    return false;
                }
                Err(why) => tracing::debug!(why, "the audit webhook does not take events; trying again"),
            }
            tokio::time::sleep(pause.mul_f64(1.0 + self.ids.fraction() * JITTER)).await;
            pause = pause.mul_f64(FACTOR);
            attempt += 1;
        }
    }
}

impl Sink for Webhook {
    fn take<'a>(&'a self, events: &'a [Value]) -> Later<'a, bool> {
        Box::pin(self.deliver(events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::{RemoteError, Reply, tree};
    use parking_lot::Mutex;

    /// Answers with these codes, one after the other.
    struct Scripted {
        codes: Mutex<Vec<u16>>,
        bodies: Mutex<Vec<Vec<u8>>>,
    }

    impl Network for Scripted {
        fn ask<'a>(
            &'a self,
            _: &'a Remote,
            question: Question,
            _: Duration,
        ) -> Later<'a, Result<Reply, RemoteError>> {
            self.bodies.lock().extend(question.body);
            let code = self.codes.lock().pop();
            let failed = || RemoteError::Failed("gone".into());
            let reply = code.map(|status| Reply { status, ..Reply::default() }).ok_or_else(failed);
            Box::pin(std::future::ready(reply))
        }
    }

    async fn deliver(codes: &[u16]) -> (bool, usize, Duration) {
        let codes = Mutex::new(codes.iter().rev().copied().collect());
        let network = Arc::new(Scripted { codes, bodies: Mutex::default() });
        let webhook = Webhook {
            remote: Remote::default(),
            initial_backoff: Duration::from_secs(10),
            network: network.clone(),
            ids: Ids::seeded(1),
        };
        let began = tokio::time::Instant::now();
        let kept = webhook.take(&[tree!({"kind": "Event", "auditID": "a"})]).await;
        let bodies = network.bodies.lock();
        assert!(bodies.iter().all(|body| {
            let list = json::parse(body).unwrap();
            list.str_at(&["kind"]) == "EventList" && list.list_at(&["items"])[0].str_at(&["auditID"]) == "a"
        }));
        (kept, bodies.len(), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_posted_until_they_are_taken_or_it_has_been_tried_enough() {
        let (kept, posts, _) = deliver(&[200]).await;
        assert!(kept && posts == 1);
        let (kept, posts, took) = deliver(&[500, 503, 200]).await;
        assert!(kept && posts == 3);
        assert!(took >= Duration::from_secs(25) && took <= Duration::from_secs(31), "{took:?}");
        let (kept, posts, _) = deliver(&[]).await;
        assert!(!kept && posts == 5);
    }
}
