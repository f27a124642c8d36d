//! Tokens that a server elsewhere judges: it gets a TokenReview and answers with one.

use crate::token::{TokenCache, TokenKind, TokenVerdict};
use crate::webhook::{WEBHOOK_TIMEOUT, Webhook};
use crate::{Caller, Settings};
use api::{Later, Remote, Value};
use std::time::Duration;

const GROUP: &str = "authentication.k8s.io";
/// Verdicts that are remembered at once: upstream's bound for a server with 5,000 nodes.
const REMEMBERED: usize = 32_768;

/// Which server judges tokens.
#[derive(Clone, Debug)]
pub struct TokenWebhook {
    pub remote: Remote,
    /// The version of TokenReview that it takes: `v1` or `v1beta1`.
    pub version: String,
    /// How long its verdicts hold.
    pub cache_ttl: Duration,
}

struct WebhookToken {
    webhook: Webhook,
    api_audiences: Vec<String>,
    cache: TokenCache,
}

/// See `TOKENS`.
pub(crate) fn make(settings: &Settings) -> Result<Option<Box<dyn TokenKind>>, String> {
    let Some(TokenWebhook { remote, version, cache_ttl }) = &settings.token_webhook else { return Ok(None) };
    let review = (GROUP, version.as_str(), "TokenReview");
    let webhook = Webhook::new(settings.network.clone(), remote.clone(), review, WEBHOOK_TIMEOUT)?;
    let cache = TokenCache::new(settings.clock.clone(), *cache_ttl, *cache_ttl, REMEMBERED);
    let api_audiences = settings.api_audiences.clone();
    Ok(Some(Box::new(WebhookToken { webhook, api_audiences, cache })))
}

impl TokenKind for WebhookToken {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn knows_audiences(&self) -> bool {
        true
    }

    fn judge<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> Later<'a, TokenVerdict> {
        Box::pin(self.cache.judge(token, audiences, move || self.ask(token, audiences)))
    }
}

impl WebhookToken {
    async fn ask(&self, token: &str, audiences: &[String]) -> TokenVerdict {
        let mut spec = Value::map();
        spec.set(&["token"], token);
        if !audiences.is_empty() {
            spec.set(&["audiences"], audiences.to_vec());
        }
        match self.webhook.review(spec).await {
            Ok(status) => verdict(&status, audiences, &self.api_audiences),
            Err(why) => {
                tracing::error!("the token webhook does not answer: {why}");
                TokenVerdict::refused(why)
            }
        }
    }
}

/// What the status of a TokenReview says to somebody who wants the token to be good for one of `wanted`. A server that
/// says nothing of audiences speaks for `implicit`.
fn verdict(status: &Value, wanted: &[String], implicit: &[String]) -> TokenVerdict {
    let said = strings(status.list_at(&["audiences"]));
    let got = if said.is_empty() { implicit } else { &said };
    let audiences: Vec<String> = wanted.iter().filter(|audience| got.contains(audience)).cloned().collect();
    if !wanted.is_empty() && audiences.is_empty() {
        return TokenVerdict::NotMine;
    }
    if !status.bool_at(&["authenticated"]) {
        return match status.str_at(&["error"]) {
            "" => TokenVerdict::NotMine,
            error => TokenVerdict::refused(error),
        };
    }
    TokenVerdict::Known { caller: caller(status.get("user").unwrap_or(&Value::Null)), audiences }
}

/// From a `UserInfo`.
fn caller(user: &Value) -> Caller {
    let groups = strings(user.list_at(&["groups"]));
    let mut caller =
        Caller::new(user.str_at(&["username"]), groups).with_uid(user.str_at(&["uid"]).to_owned());
    for (key, values) in user.map_at(&["extra"]).into_iter().flat_map(|extra| extra.iter()) {
        caller = caller.with_extra(key, strings(values.as_list().unwrap_or_default()));
    }
    caller.authenticated()
}

fn strings(list: &[Value]) -> Vec<String> {
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::testing::Fake;
    use std::sync::Arc;
    use stdx::{Clock, Time};

    fn kind(fake: &Arc<Fake>, clock: &Clock) -> Box<dyn TokenKind> {
        let mut settings = Settings::new(clock.clone());
        settings.network = fake.clone();
        settings.api_audiences = vec!["api".to_owned()];
        let (version, cache_ttl) = ("v1beta1".to_owned(), Duration::from_secs(120));
        settings.token_webhook = Some(TokenWebhook { remote: Remote::default(), version, cache_ttl });
        make(&settings).unwrap().unwrap()
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    const KNOWN: &str = r#"{"apiVersion":"authentication.k8s.io/v1beta1","kind":"TokenReview","status":{
        "authenticated":true,"user":{"username":"jane","uid":"42","groups":["dev"],"extra":{"k":["a","b"]}}}}"#;

    #[tokio::test]
    async fn the_server_is_asked_by_a_review_and_its_answer_holds() {
        let (fake, clock) = (Arc::new(Fake::new(&[(200, KNOWN)])), Clock::manual(Time::from_secs(1000)));
        let kind = kind(&fake, &clock);
        for _ in 0..3 {
            let verdict = kind.judge("abc", &texts(&["api", "x"])).await;
            let TokenVerdict::Known { caller, audiences } = verdict else { panic!("{verdict:?}") };
            assert_eq!((caller.name(), caller.uid(), audiences), ("jane", "42", texts(&["api"])));
            assert_eq!(caller.groups(), ["dev", "system:authenticated"]);
            assert_eq!(caller.extra(), [("k".to_owned(), texts(&["a", "b"]))]);
        }
        assert_eq!(fake.asked(), 1);
        let asked = fake.asked.lock().unwrap()[0].clone();
        assert_eq!(asked.str_at(&["apiVersion"]), "authentication.k8s.io/v1beta1");
        assert_eq!(asked.str_at(&["spec", "token"]), "abc");
        assert_eq!(strings(asked.list_at(&["spec", "audiences"])), ["api", "x"]);
        clock.advance(Duration::from_secs(120));
        kind.judge("abc", &texts(&["api", "x"])).await;
        assert_eq!(fake.asked(), 2);
    }

    #[tokio::test]
    async fn a_token_that_nobody_knows_is_remembered_but_an_error_is_not() {
        let clock = Clock::manual(Time::from_secs(1000));
        let unknown = Arc::new(Fake::new(&[(200, r#"{"status":{"authenticated":false}}"#)]));
        let failing = Arc::new(Fake::new(&[(404, "")]));
        let refusing = Arc::new(Fake::new(&[(200, r#"{"status":{"error":"expired"}}"#)]));
        for _ in 0..2 {
            assert_eq!(kind(&unknown, &clock).judge("a", &[]).await, TokenVerdict::NotMine);
        }
        let (unknown_kind, failing_kind, refusing_kind) =
            (kind(&unknown, &clock), kind(&failing, &clock), kind(&refusing, &clock));
        for _ in 0..2 {
            assert_eq!(unknown_kind.judge("a", &[]).await, TokenVerdict::NotMine);
            assert!(matches!(failing_kind.judge("a", &[]).await, TokenVerdict::Refused(_)));
            assert_eq!(refusing_kind.judge("a", &[]).await, TokenVerdict::refused("expired"));
        }
        assert_eq!((unknown.asked(), failing.asked(), refusing.asked()), (3, 2, 2));
    }

    #[test]
    fn a_server_that_says_nothing_of_audiences_speaks_for_this_one() {
        let mut status = Value::map();
        status.set(&["authenticated"], true);
        let known = |verdict| matches!(verdict, TokenVerdict::Known { .. });
        assert!(known(verdict(&status, &texts(&["api"]), &texts(&["api"]))));
        assert!(known(verdict(&status, &[], &texts(&["api"]))));
        assert_eq!(verdict(&status, &texts(&["other"]), &texts(&["api"])), TokenVerdict::NotMine);
        status.set(&["audiences"], texts(&["other"]));
        assert!(known(verdict(&status, &texts(&["other"]), &texts(&["api"]))));
        assert_eq!(verdict(&status, &texts(&["api"]), &texts(&["api"])), TokenVerdict::NotMine);
    }
}
