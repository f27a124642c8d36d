//! Tokens of pods' service accounts: asked for once, kept while they are fresh, asked for again at four fifths of their
//! life or after a day.

use crate::resources;
use api::{Value, quote, time, tree};
use client::{Client, Method};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use stdx::{Clock, Ids, Time};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// However short a token's life, it is not asked for again at once.
const LEAST: Duration = Duration::from_secs(10);
/// So that not all tokens of a cluster are renewed at once.
const JITTER_SECS: u64 = 10;

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wish {
    pub namespace: String,
    pub account: String,
    pub pod: String,
    pub uid: String,
    /// "" for the API server.
    pub audience: String,
    pub expiration_secs: i64,
}

/// A token, and when there should be another.
#[derive(Clone, Debug)]
pub struct Token {
    pub text: String,
    pub renew: Time,
    expires: Time,
}

pub struct Tokens {
    client: Client,
    clock: Clock,
    ids: Ids,
    known: Mutex<HashMap<Wish, Token>>,
}

impl Tokens {
    pub fn new(client: Client, clock: Clock, ids: Ids) -> Self {
        Tokens { client, clock, ids, known: Mutex::default() }
    }

    /// A token that is not due for renewal, or, while no other can be had, one that still holds.
    ///
    /// # Errors
    /// When there is none.
    pub async fn get(&self, wish: &Wish) -> Result<Token, String> {
        let known = self.known.lock().get(wish).cloned();
        let now = self.clock.now();
        if let Some(known) = known.as_ref().filter(|known| now < known.renew) {
            return Ok(known.clone());
        }
        match (self.ask(wish).await, known) {
            (Ok(token), _) => {
                self.known.lock().insert(wish.clone(), token.clone());
                Ok(token)
            }
            (Err(why), None) => Err(format!("failed to fetch token: {why}")),
            (Err(why), Some(known)) if known.expires <= now => {
                let name = quote(&wish.account);
                Err(format!("token {name}/{} expired and refresh failed: {why}", quote(&wish.namespace)))
            }
            (Err(why), Some(known)) => {
                tracing::warn!(%why, pod = wish.pod, "a token could not be renewed; the old one still holds");
                Ok(Token { renew: now.plus(Duration::from_secs(JITTER_SECS)), ..known })
            }
        }
    }

    async fn ask(&self, wish: &Wish) -> Result<Token, client::Error> {
        let mut spec = tree!({
            "audiences": [], "expirationSeconds": (wish.expiration_secs),
            "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": (wish.pod.as_str()), "uid": (wish.uid.as_str())}
        });
        match wish.audience.as_str() {
            "" => drop(spec.unset(&["audiences"])),
            audience => spec.set(&["audiences"], vec![Value::from(audience)]),
        }
        let request =
            tree!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": (spec)});
        let account = resources::service_accounts().object(&wish.namespace, &wish.account);
        let path = format!("{account}/token");
        let answer = self.client.call(Method::POST, &path, Some(("application/json", &request))).await?;
        let now = self.clock.now();
        let granted = answer.i64_at(&["spec", "expirationSeconds"]).unwrap_or(wish.expiration_secs);
        let life = Duration::from_secs(granted.unsigned_abs());
        let expires = time::parse(answer.str_at(&["status", "expirationTimestamp"]));
        let expires = expires.unwrap_or_else(|_| now.plus(life));
        let renew = self.renewal(now, life, expires);
        Ok(Token { text: answer.str_at(&["status", "token"]).to_owned(), renew, expires })
    }

    fn renewal(&self, now: Time, life: Duration, expires: Time) -> Time {
        let jitter = Duration::from_secs(self.ids.below(JITTER_SECS));
        // A life that a server extended beyond what was asked for counts as asked for.
        let fifth = life / 5;
        let left = expires.since(now);
        now.plus(left.saturating_sub(fifth + jitter).min(DAY.saturating_sub(jitter)).max(LEAST))
    }

    pub fn forget(&self, uid: &str) {
        self.known.lock().retain(|wish, _| wish.uid != uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::Dial;

    fn tokens() -> Tokens {
        let dial: Dial = std::sync::Arc::new(|| tokio::io::duplex(1).0);
        Tokens::new(Client::new(dial, "t"), Clock::manual(Time::from_secs(1000)), Ids::seeded(1))
    }

    #[test]
    fn tokens_are_renewed_at_four_fifths_of_their_life_and_at_the_latest_after_a_day() {
        let tokens = tokens();
        let due = |secs: u64| {
            let (now, life) = (Time::from_secs(1000), Duration::from_secs(secs));
            tokens.renewal(now, life, now.plus(life)).since(now).as_secs()
        };
        assert!((470..=480).contains(&due(600)), "{}", due(600));
        assert!((2870..=2880).contains(&due(3600)));
        assert!((86_390..=86_400).contains(&due(90 * 24 * 3600)));
    }
}
