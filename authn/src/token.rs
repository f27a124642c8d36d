//! Bearer tokens: the kinds there are, and the rule that makes one answer of theirs.
//!
//! The rule is upstream's: kinds are asked in order, the first that recognizes the token decides; refusals are kept,
//! and do not stop the others. What was recognized holds for some seconds without asking again.

mod cache;

pub use cache::TokenCache;

use crate::{
    Caller, Settings, bootstrap_token, legacy_token, oidc, service_account, static_token, webhook_token,
};
use api::Later;
use std::time::Duration;

/// How long a recognized token holds: upstream's 10 seconds. What is refused is asked again at once.
const KNOWN_TTL: Duration = Duration::from_secs(10);
/// Tokens that are remembered at once.
const REMEMBERED: usize = 32_768;

/// What a kind of tokens makes of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenVerdict {
    /// It is this one's, good for these of the audiences asked for; kinds that know nothing of audiences leave the
    /// list empty.
    Known { caller: Caller, audiences: Vec<String> },
    /// No token of this kind.
    NotMine,
    /// A token of this kind, and wrong: why, in upstream's words, which reviews of tokens show.
    Refused(Vec<String>),
}

impl TokenVerdict {
    /// Recognized by a kind that knows nothing of audiences.
    pub fn known(caller: Caller) -> Self {
        TokenVerdict::Known { caller, audiences: Vec::new() }
    }

    /// Wrong for one reason.
    pub fn refused(why: impl Into<String>) -> Self {
        TokenVerdict::Refused(vec![why.into()])
    }
}

/// One kind of bearer tokens.
pub trait TokenKind: Send + Sync {
    /// As upstream names it.
    fn name(&self) -> &'static str;

    /// Whether its tokens say for whom they are. Tokens of other kinds are for this API server and nobody else:
    /// such a kind is asked only when one of `Settings::api_audiences` is wanted.
    fn knows_audiences(&self) -> bool {
        false
    }

    /// Looks at a token that is to be good for one of `audiences` (never empty, unless the server has none).
    fn judge<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> Later<'a, TokenVerdict>;
}

/// Makes a kind, unless the settings leave it out. An error text when the settings are wrong.
pub type MakeTokenKind = fn(&Settings) -> Result<Option<Box<dyn TokenKind>>, String>;

/// Every kind of bearer tokens, in the order they are asked: local ones before those that ask elsewhere.
pub const TOKENS: &[MakeTokenKind] = &[
    static_token::make,
    legacy_token::make,
    service_account::make,
    bootstrap_token::make,
    oidc::make,
    webhook_token::make,
];

/// The kinds that are in use.
pub(crate) struct Tokens {
    kinds: Vec<Box<dyn TokenKind>>,
    api_audiences: Vec<String>,
    cache: TokenCache,
}

impl Tokens {
    /// The kinds of `TOKENS` that `settings` ask for.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let mut kinds = Vec::new();
        for make in TOKENS {
            kinds.extend(make(settings)?);
        }
        let cache = TokenCache::new(settings.clock.clone(), KNOWN_TTL, Duration::ZERO, REMEMBERED);
        Ok(Tokens { kinds, api_audiences: settings.api_audiences.clone(), cache })
    }

    /// Whose token is this?
    pub async fn judge(&self, token: &str, audiences: &[String]) -> TokenVerdict {
        if self.kinds.is_empty() {
            return TokenVerdict::NotMine;
        }
        self.cache.judge(token, audiences, || self.ask(token, audiences)).await
    }

    async fn ask(&self, token: &str, audiences: &[String]) -> TokenVerdict {
        let mut reasons = Vec::new();
        for kind in &self.kinds {
            match self.ask_one(&**kind, token, audiences).await {
                TokenVerdict::NotMine => {}
                TokenVerdict::Refused(why) => reasons.extend(why),
                TokenVerdict::Known { caller, audiences } => {
                    return TokenVerdict::Known { caller: caller.by(kind.name()).authenticated(), audiences };
                }
            }
        }
        if reasons.is_empty() { TokenVerdict::NotMine } else { TokenVerdict::Refused(reasons) }
    }

    async fn ask_one(&self, kind: &dyn TokenKind, token: &str, audiences: &[String]) -> TokenVerdict {
        if kind.knows_audiences() || audiences.is_empty() {
            return kind.judge(token, audiences).await;
        }
        let ours: Vec<String> =
            audiences.iter().filter(|a| self.api_audiences.contains(a)).cloned().collect();
        if ours.is_empty() {
            return TokenVerdict::NotMine;
        }
        match kind.judge(token, audiences).await {
            TokenVerdict::Known { caller, .. } => TokenVerdict::Known { caller, audiences: ours },
            verdict => verdict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use stdx::{Clock, Time};

    /// Knows one token; counts how often it was asked.
    struct One {
        token: &'static str,
        asked: Arc<AtomicUsize>,
        aware: bool,
    }

    impl TokenKind for One {
        fn name(&self) -> &'static str {
            "one"
        }

        fn knows_audiences(&self) -> bool {
            self.aware
        }

        fn judge<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> Later<'a, TokenVerdict> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let verdict = match token {
                "bad" => TokenVerdict::refused(format!("not {}", self.token)),
                known if known == self.token => {
                    let audiences = if self.aware { audiences.to_vec() } else { Vec::new() };
                    TokenVerdict::Known { caller: Caller::new(self.token, Vec::new()), audiences }
                }
                _ => TokenVerdict::NotMine,
            };
            Box::pin(std::future::ready(verdict))
        }
    }

    fn tokens(clock: &Clock, aware: bool) -> (Tokens, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let kind = |token| {
            let one: Box<dyn TokenKind> = Box::new(One { token, asked: asked.clone(), aware });
            one
        };
        let cache = TokenCache::new(clock.clone(), KNOWN_TTL, Duration::ZERO, REMEMBERED);
        let kinds = vec![kind("a"), kind("b")];
        (Tokens { kinds, api_audiences: vec!["api".to_owned()], cache }, asked)
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn the_first_kind_that_knows_decides_and_its_answer_holds_for_ten_seconds() {
        let clock = Clock::manual(Time::from_secs(1000));
        let (tokens, asked) = tokens(&clock, false);
        for _ in 0..3 {
            let verdict = tokens.judge("b", &texts(&["api"])).await;
            let TokenVerdict::Known { caller, audiences } = verdict else { panic!("{verdict:?}") };
            assert_eq!((caller.name(), caller.recognized_by(), audiences), ("b", "one", texts(&["api"])));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        clock.advance(KNOWN_TTL);
        tokens.judge("b", &texts(&["api"])).await;
        assert_eq!(asked.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn refusals_are_kept_together_and_never_remembered() {
        let (tokens, asked) = tokens(&Clock::manual(Time::from_secs(1000)), false);
        for round in 1..3 {
            assert_eq!(tokens.judge("bad", &[]).await, TokenVerdict::Refused(texts(&["not a", "not b"])));
            assert_eq!(asked.load(Ordering::Relaxed), 2 * round);
        }
        assert_eq!(tokens.judge("c", &[]).await, TokenVerdict::NotMine);
    }

    #[tokio::test]
    async fn tokens_without_audiences_are_for_this_server_alone() {
        let clock = Clock::manual(Time::from_secs(1000));
        let (agnostic, asked) = tokens(&clock, false);
        assert_eq!(agnostic.judge("a", &texts(&["other"])).await, TokenVerdict::NotMine);
        assert_eq!(asked.load(Ordering::Relaxed), 0);
        let verdict = tokens(&clock, true).0.judge("a", &texts(&["other"])).await;
        assert!(matches!(verdict, TokenVerdict::Known { audiences, .. } if audiences == ["other"]));
    }
}
