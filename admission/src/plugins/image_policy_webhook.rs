//! ImagePolicyWebhook: a server elsewhere says which images may run.
//!
//! It is asked with an `ImageReview` (`imagepolicy.k8s.io/v1alpha1`) that holds the images of a pod, and its answers
//! are kept for a while. `status: {allowed: false, reason: too old}` refuses: `image policy webhook backend denied one
//! or more images: too old`. Source: upstream's `plugin/pkg/admission/imagepolicy`.

use super::{Plugin, Settings};
use crate::configuration::beside;
use crate::review::{Cluster, Operation, Review};
use api::{Map, Network, Question, Remote, Status, Value, json, tree};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use stdx::{Backoff, Clock, Ids, Time};
use tokio::time::Instant;

const PREFIX: &str = "imagepolicywebhook.image-policy.k8s.io/";
const FAILED_OPEN: &str = "alpha.image-policy.k8s.io/failed-open";
const ATTEMPTS: usize = 5;
const TIMEOUT: Duration = Duration::from_secs(30);
/// So many answers are kept.
const MAX_ANSWERS: usize = 1024;
const MAX_SECS: u64 = 30 * 60;

pub struct ImagePolicyWebhook {
    network: Arc<dyn Network>,
    remote: Remote,
    clock: Clock,
    allow_ttl: Duration,
    deny_ttl: Duration,
    retry_backoff: Duration,
    /// What happens when nobody answers.
    default_allow: bool,
    /// By the digest of what was asked: the status, and until when it holds.
    answers: Mutex<HashMap<[u8; 32], (Value, Time)>>,
}

impl ImagePolicyWebhook {
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let configuration = settings.configurations.get("ImagePolicyWebhook").ok_or("no config specified")?;
        let empty = Value::map();
        let policy = configuration.get("imagePolicy").unwrap_or(&empty);
        let (secs, millis) = (Duration::from_secs(1), Duration::from_millis(1));
        let bounds = (secs, Duration::from_secs(MAX_SECS));
        let backoff_bounds = (Duration::from_nanos(1), Duration::from_secs(300));
        let retry_backoff =
            duration(policy, "retryBackoff", millis, backoff_bounds, Duration::from_millis(500))?;
        let allow_ttl = duration(policy, "allowTTL", secs, bounds, Duration::from_secs(300))?;
        let deny_ttl = duration(policy, "denyTTL", secs, bounds, Duration::from_secs(30))?;
        let path = policy.str_at(&["kubeConfigFile"]);
        let read = |named: &str| (settings.read_file)(&beside(path, named));
        Ok(ImagePolicyWebhook {
            network: settings.network.clone(),
            remote: Remote::from_kubeconfig(&(settings.read_file)(path)?, &read)?,
            clock: settings.clock.clone(),
            allow_ttl,
            deny_ttl,
            retry_backoff,
            default_allow: policy.bool_at(&["defaultAllow"]),
            answers: Mutex::default(),
        })
    }

    /// The status for such images, kept or asked for.
    async fn status(&self, spec: Value, deadline: Instant) -> Result<Value, String> {
        let key: [u8; 32] = Sha256::digest(json::to_vec(&spec)).into();
        let now = self.clock.now();
        let kept = self.answers.lock().get(&key).filter(|(_, until)| *until > now).cloned();
        if let Some((status, _)) = kept {
            return Ok(status);
        }
        let status = self.ask(spec, deadline).await?;
        let ttl = if status.bool_at(&["allowed"]) { self.allow_ttl } else { self.deny_ttl };
        let mut answers = self.answers.lock();
        if answers.len() >= MAX_ANSWERS {
            let first = answers.iter().min_by_key(|(_, (_, until))| *until).map(|(key, _)| *key);
            first.and_then(|key| answers.remove(&key));
        }
        answers.insert(key, (status.clone(), now.plus(ttl)));
        Ok(status)
    }

    /// Asks, and again after what may pass, as long as somebody waits for the answer.
    async fn ask(&self, spec: Value, deadline: Instant) -> Result<Value, String> {
        let review = tree!({
            "kind": "ImageReview", "apiVersion": "imagepolicy.k8s.io/v1alpha1", "metadata": {},
            "spec": spec, "status": {"allowed": false}
        });
        let body = json::to_vec(&review);
        let mut backoff = Backoff::new(self.retry_backoff, Duration::from_secs(300));
        for attempt in 1.. {
            let question = Question { body: Some(body.clone()), ..Question::default() };
            let timeout = TIMEOUT.min(deadline.saturating_duration_since(Instant::now()));
            let (why, may_pass) = match self.network.ask(&self.remote, question, timeout).await {
                Ok(reply) => match reply.object("imagepolicy.k8s.io", "v1alpha1", "ImageReview") {
                    Ok(mut review) => {
                        return Ok(review.get_mut("status").map(Value::take).unwrap_or_default());
                    }
                    Err(why) => (why.message.clone(), why.may_pass()),
                },
                Err(why) => {
                    let text = why.to_string();
                    let reset = text.ends_with("connection reset by peer");
                    (text, reset)
                }
            };
            if !may_pass || attempt >= ATTEMPTS {
                return Err(why);
            }
            let delay = backoff.next_delay(&Ids::system());
            if Instant::now() + delay >= deadline {
                return Err(why);
            }
            tokio::time::sleep(delay).await;
        }
        Err(String::new())
    }
}

impl Plugin for ImagePolicyWebhook {
    fn handles(&self, review: &Review<'_>) -> bool {
        matches!(review.operation, Operation::Create | Operation::Update)
            && review.group().is_empty()
            && review.resource() == "pods"
            && matches!(review.subresource, "" | "ephemeralcontainers")
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        _: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let Some(pod) = review.object.as_deref() else { return Ok(()) };
            let status = match self.status(spec(pod, review), review.details.deadline()).await {
                Ok(status) => status,
                Err(why) if !self.default_allow => return Err(review.forbidden(&why)),
                Err(_) => {
                    review.audit_annotations.push((format!("{PREFIX}failed-open"), "true".to_owned()));
                    if let Some(pod) = review.object.as_deref_mut() {
                        pod.set(&["metadata", "annotations", FAILED_OPEN], "true");
                    }
                    return Ok(());
                }
            };
            let told = status.map_at(&["auditAnnotations"]).into_iter().flat_map(Map::iter);
            for (key, value) in told {
                let value = value.as_str().unwrap_or_default().to_owned();
                review.audit_annotations.push((format!("{PREFIX}{key}"), value));
            }
            match (status.bool_at(&["allowed"]), status.str_at(&["reason"])) {
                (true, _) => Ok(()),
                (false, "") => Err(review.forbidden("one or more images rejected by webhook backend")),
                (false, reason) => Err(review
                    .forbidden(&format!("image policy webhook backend denied one or more images: {reason}"))),
            }
        })
    }
}

/// What is asked about: images, and the annotations that are meant for the webhook.
fn spec(pod: &Value, review: &Review<'_>) -> Value {
    let lists: &[&str] = match review.subresource {
        "" => &["containers", "initContainers"],
        _ => &["ephemeralContainers"],
    };
    let containers = lists.iter().flat_map(|list| pod.list_at(&["spec", list]));
    let containers: Vec<Value> =
        containers.map(|container| tree!({"image": container.str_at(&["image"])})).collect();
    let mut annotations = pod.map_at(&["metadata", "annotations"]).cloned().unwrap_or_default();
    annotations.retain(|key, _| key.contains(".image-policy.k8s.io/"));
    let mut spec = Value::map();
    if !containers.is_empty() {
        spec.set(&["containers"], containers);
    }
    if !annotations.is_empty() {
        spec.set(&["annotations"], annotations);
    }
    spec.set(&["namespace"], review.namespace);
    spec
}

/// A number of units: -1 for none, 0 for the default.
fn duration(
    policy: &Value,
    field: &str,
    unit: Duration,
    (min, max): (Duration, Duration),
    default: Duration,
) -> Result<Duration, String> {
    let count = policy.i64_at(&[field]).unwrap_or(0);
    match count {
        -1 => return Ok(Duration::ZERO),
        0 => return Ok(default),
        _ => {}
    }
    let wanted = u32::try_from(count).ok().and_then(|count| unit.checked_mul(count));
    wanted.filter(|wanted| (min..=max).contains(wanted)).ok_or_else(|| {
        let shown = |d: Duration| api::time::format_duration(i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
        let got = wanted.map_or_else(|| format!("{count} of {field}"), shown);
        format!("valid value is between {} and {}, got {got}", shown(min), shown(max))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Outcome, Request};
    use super::*;
    use api::{Later, RemoteError, Reply};
    use stdx::Time;

    /// Answers with a status, or not at all; notes what it was asked.
    struct Elsewhere {
        status: Option<Value>,
        asked: Mutex<Vec<Value>>,
    }

    impl Network for Elsewhere {
        fn ask<'a>(
            &'a self,
            remote: &'a Remote,
            question: Question,
            _: Duration,
        ) -> Later<'a, Result<Reply, RemoteError>> {
            assert_eq!(remote.url, "https://images.example.com/policy");
            let mut review = json::parse(&question.body.unwrap()).unwrap();
            self.asked.lock().push(review.clone());
            let answer = match &self.status {
                Some(status) => {
                    review.set(&["status"], status.clone());
                    Ok(Reply { status: 200, body: json::to_vec(&review), ..Reply::default() })
                }
                None => Err(RemoteError::Failed("Post \"u\": nobody there".to_owned())),
            };
            Box::pin(std::future::ready(answer))
        }
    }

    fn plugin(status: Option<Value>, default_allow: bool) -> (ImagePolicyWebhook, Arc<Elsewhere>, Clock) {
        let clock = Clock::manual(Time::default());
        let elsewhere = Arc::new(Elsewhere { status, asked: Mutex::default() });
        let mut settings = Settings { network: elsewhere.clone(), ..Settings::new(clock.clone()) };
        settings.read_file = |path| {
            match path {
            "/k" => Ok(b"current-context: c\ncontexts: [{name: c, context: {cluster: i, user: u}}]\nclusters: [{name: i, cluster: {server: 'https://images.example.com/policy'}}]\nusers: [{name: u, user: {}}]\n".to_vec()),
            _ => Err("no such file".to_owned()),
        }
        };
        let value =
            tree!({"imagePolicy": {"kubeConfigFile": "/k", "allowTTL": 50, "defaultAllow": default_allow}});
        settings.configurations.insert("ImagePolicyWebhook".to_owned(), value);
        (ImagePolicyWebhook::new(&settings).unwrap(), elsewhere, clock)
    }

    async fn run(plugin: &ImagePolicyWebhook) -> Outcome {
        let pod = tree!({
            "metadata": {"name": "p", "annotations": {"a.image-policy.k8s.io/x": "1", "other": "2"}},
            "spec": {"containers": [{"image": "x"}], "initContainers": [{"image": "y"}]}
        });
        Request::new(("", "pods"), pod, None).run(plugin, &testing::Cluster::new()).await
    }

    #[tokio::test]
    async fn answers_are_kept_for_a_while() {
        let (plugin, elsewhere, clock) =
            plugin(Some(tree!({"allowed": true, "auditAnnotations": {"k": "v"}})), false);
        for _ in 0..2 {
            let outcome = run(&plugin).await;
            assert!(outcome.result.is_ok());
            assert_eq!(outcome.audit_annotations[0].0, "imagepolicywebhook.image-policy.k8s.io/k");
        }
        assert_eq!(elsewhere.asked.lock().len(), 1);
        clock.advance(Duration::from_secs(51));
        run(&plugin).await;
        assert_eq!(elsewhere.asked.lock().len(), 2);
        assert_eq!(
            elsewhere.asked.lock()[0].get("spec"),
            Some(
                &tree!({"containers": [{"image": "x"}, {"image": "y"}], "annotations": {"a.image-policy.k8s.io/x": "1"}, "namespace": "n"})
            )
        );
    }

    #[tokio::test]
    async fn refusals_say_why() {
        let (plugin, ..) = plugin(Some(tree!({"allowed": false, "reason": "too old"})), true);
        assert_eq!(
            run(&plugin).await.result.unwrap_err().message,
            "pods \"p\" is forbidden: image policy webhook backend denied one or more images: too old"
        );
    }

    #[tokio::test]
    async fn without_an_answer_the_default_decides() {
        let (closed, ..) = plugin(None, false);
        assert!(run(&closed).await.result.unwrap_err().message.ends_with("nobody there"));
        let (open, ..) = plugin(None, true);
        let outcome = run(&open).await;
        assert!(outcome.result.is_ok());
        assert_eq!(outcome.object.str_at(&["metadata", "annotations", FAILED_OPEN]), "true");
    }

    /// Breaks every connection; notes how long it may take.
    #[derive(Default)]
    struct Resetting(Mutex<Vec<Duration>>);

    impl Network for Resetting {
        fn ask<'a>(
            &'a self,
            _: &'a Remote,
            _: Question,
            timeout: Duration,
        ) -> Later<'a, Result<Reply, RemoteError>> {
            self.0.lock().push(timeout);
            let why = "read: connection reset by peer".to_owned();
            Box::pin(std::future::ready(Err(RemoteError::Failed(why))))
        }
    }

    #[tokio::test]
    async fn nobody_is_asked_for_longer_than_the_request_lasts() {
        let (mut plugin, ..) = plugin(None, true);
        let network = Arc::new(Resetting::default());
        plugin.network = network.clone();
        let deadline = Instant::now() + Duration::from_millis(200);
        let refused = plugin.status(tree!({"namespace": "n"}), deadline).await.unwrap_err();
        assert!(refused.ends_with("connection reset by peer") && Instant::now() < deadline);
        assert!(matches!(network.0.lock()[..], [timeout] if timeout <= Duration::from_millis(200)));
        plugin.retry_backoff = Duration::from_millis(1);
        let deadline = Instant::now() + Duration::from_secs(60);
        plugin.status(tree!({"namespace": "n"}), deadline).await.unwrap_err();
        assert_eq!(network.0.lock()[1..], [TIMEOUT; ATTEMPTS]);
    }

    #[test]
    fn durations_have_bounds() {
        let of = |secs: i64| {
            let bounds = (Duration::from_secs(1), Duration::from_secs(1800));
            duration(
                &tree!({"allowTTL": secs}),
                "allowTTL",
                Duration::from_secs(1),
                bounds,
                Duration::from_secs(300),
            )
        };
        assert_eq!(
            (of(-1), of(0), of(9)),
            (Ok(Duration::ZERO), Ok(Duration::from_secs(300)), Ok(Duration::from_secs(9)))
        );
        assert_eq!(of(1801).unwrap_err(), "valid value is between 1s and 30m0s, got 30m1s");
    }
}
