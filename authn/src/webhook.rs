//! A server elsewhere that judges one kind of object: the review of a token, of an access, of an image. It is asked
//! again when what went wrong may pass.

use api::{Network, NoAnswer, Question, Remote, RemoteError, Value, json};
use std::sync::Arc;
use std::time::Duration;
use stdx::{Backoff, Ids};

/// Upstream's timeout for one question, where nothing else is said.
pub const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(30);
/// Upstream's patience: five attempts, the second after half a second, each further one after half as long again.
const ATTEMPTS: u32 = 5;
const FIRST_DELAY: Duration = Duration::from_millis(500);
const MAX_DELAY: Duration = Duration::from_secs(10);

/// Where to ask, and for which kind of object.
#[derive(Clone)]
pub struct Webhook {
    network: Arc<dyn Network>,
    remote: Remote,
    timeout: Duration,
    group: &'static str,
    kind: &'static str,
    version: String,
}

impl Webhook {
    /// Objects of `kind` go to the URL of `remote` as it is. Versions are `v1` and `v1beta1`.
    ///
    /// # Errors
    /// When the version is another.
    pub fn new(
        network: Arc<dyn Network>,
        remote: Remote,
        (group, version, kind): (&'static str, &str, &'static str),
        timeout: Duration,
    ) -> Result<Self, String> {
        if !matches!(version, "v1" | "v1beta1") {
            let what = if kind == "TokenReview" { "authentication webhook" } else { "webhook authorizer" };
            let version = api::quote(version);
            return Err(format!(
                "unsupported {what} version {version}, supported versions are \"v1\", \"v1beta1\""
            ));
        }
        Ok(Webhook { network, remote, timeout, group, kind, version: version.to_owned() })
    }

    /// Sends an object with this `spec` and gives the `status` of the one that comes back.
    ///
    /// # Errors
    /// Why there is none, in client-go's words.
    pub async fn review(&self, spec: Value) -> Result<Value, String> {
        let mut object = Value::map();
        object.set(&["apiVersion"], format!("{}/{}", self.group, self.version));
        object.set(&["kind"], self.kind);
        object.set(&["metadata"], Value::map());
        object.set(&["spec"], spec);
        object.set(&["status"], Value::map());
        let body = json::to_vec(&object);
        let mut backoff = Backoff::new(FIRST_DELAY, MAX_DELAY).with_factor(1.5).with_jitter(0.2);
        loop {
            let (why, may_pass, after) = match self.ask(body.clone()).await {
                Ok(mut answer) => return Ok(answer.get_mut("status").map(Value::take).unwrap_or_default()),
                Err(Ask::Network(why)) => {
                    let text = why.to_string();
                    let lost = ["connection reset by peer", "http2: client connection lost"];
                    (text.clone(), lost.iter().any(|end| text.ends_with(end)), None)
                }
                Err(Ask::Answer(why)) => (why.message.clone(), why.may_pass(), why.retry_after_secs),
            };
            if !may_pass || backoff.failures() + 1 >= ATTEMPTS {
                return Err(why);
            }
            let delay = backoff.next_delay(&Ids::system());
            tokio::time::sleep(
                after.map_or(delay, |secs| delay.max(Duration::from_secs(secs).min(MAX_DELAY))),
            )
            .await;
        }
    }

    async fn ask(&self, body: Vec<u8>) -> Result<Value, Ask> {
        let question = Question { body: Some(body), ..Question::default() };
        let reply = self.network.ask(&self.remote, question, self.timeout).await.map_err(Ask::Network)?;
        reply.object(self.group, &self.version, self.kind).map_err(Ask::Answer)
    }
}

/// What became of one question that was not answered.
enum Ask {
    Network(RemoteError),
    Answer(NoAnswer),
}

/// A server elsewhere for tests: answers each question with the next of its answers, the last one for ever.
#[cfg(test)]
pub(crate) mod testing {
    use api::{Later, Network, Question, Remote, RemoteError, Reply, Value, json};
    use std::sync::Mutex;
    use std::time::Duration;

    /// Answers and what was asked.
    #[derive(Default)]
    pub struct Fake {
        pub answers: Mutex<Vec<Result<(u16, String), RemoteError>>>,
        pub asked: Mutex<Vec<Value>>,
    }

    impl Fake {
        pub fn new(answers: &[(u16, &str)]) -> Self {
            let answers = answers.iter().map(|(code, body)| Ok((*code, (*body).to_owned()))).collect();
            Fake { answers: Mutex::new(answers), asked: Mutex::default() }
        }

        pub fn asked(&self) -> usize {
            self.asked.lock().unwrap().len()
        }
    }

    impl Network for Fake {
        fn ask<'a>(
            &'a self,
            _: &'a Remote,
            question: Question,
            _: Duration,
        ) -> Later<'a, Result<Reply, RemoteError>> {
            let body = question.body.map(|body| json::parse(&body).unwrap()).unwrap_or_default();
            self.asked.lock().unwrap().push(body);
            let mut answers = self.answers.lock().unwrap();
            let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
            let reply = |(status, body): (u16, String)| Reply {
                status,
                body: body.into_bytes(),
                headers: Vec::new(),
            };
            Box::pin(std::future::ready(answer.map(reply)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Fake;
    use super::*;

    const REVIEW: (&str, &str, &str) = ("authentication.k8s.io", "v1", "TokenReview");

    fn webhook(fake: &Arc<Fake>) -> Webhook {
        Webhook::new(fake.clone(), Remote::default(), REVIEW, WEBHOOK_TIMEOUT).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_asked_five_times() {
        let fake = Arc::new(Fake::new(&[(500, "down")]));
        let why = webhook(&fake).review(Value::map()).await.unwrap_err();
        assert_eq!(why, "an error on the server (\"down\") has prevented the request from succeeding");
        assert_eq!(fake.asked(), 5);
        let fake =
            Arc::new(Fake::new(&[(500, ""), (429, ""), (200, r#"{"status":{"authenticated":true}}"#)]));
        let status = webhook(&fake).review(Value::map()).await.unwrap();
        assert!(status.bool_at(&["authenticated"]));
        assert_eq!(fake.asked(), 3);
        let reset = RemoteError::Failed("Post \"x\": read tcp: connection reset by peer".to_owned());
        let fake = Arc::new(Fake { answers: vec![Err(reset)].into(), ..Fake::default() });
        assert!(webhook(&fake).review(Value::map()).await.is_err());
        assert_eq!(fake.asked(), 5);
    }

    #[tokio::test]
    async fn what_will_not_pass_is_asked_once() {
        let fake = Arc::new(Fake::new(&[(404, "")]));
        let why = webhook(&fake).review(Value::map()).await.unwrap_err();
        assert_eq!(why, "the server could not find the requested resource");
        let timeout = RemoteError::Timeout("Post \"x\": context deadline exceeded".to_owned());
        let slow = Arc::new(Fake { answers: vec![Err(timeout)].into(), ..Fake::default() });
        assert!(webhook(&slow).review(Value::map()).await.unwrap_err().ends_with("deadline exceeded"));
        assert_eq!((fake.asked(), slow.asked()), (1, 1));
    }

    #[tokio::test]
    async fn other_versions_are_refused_at_the_start() {
        let review = ("authentication.k8s.io", "v2", "TokenReview");
        let why = Webhook::new(Arc::new(()), Remote::default(), review, WEBHOOK_TIMEOUT).err().unwrap();
        assert!(why.starts_with("unsupported authentication webhook version \"v2\", supported"), "{why}");
    }
}
