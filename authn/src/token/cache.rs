//! What was found about a token, remembered for a short time, within bounds.
//!
//! Tokens themselves are not kept, only their digests. Requests that come with the same token at once wait for one
//! answer. The form is upstream's `pkg/authentication/token/cache`.

use super::TokenVerdict;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Time};
use tokio::sync::OnceCell;

/// The digest of a token and the audiences it was shown for.
type Key = [u8; 32];
type Flight = Arc<OnceCell<TokenVerdict>>;

/// Remembers verdicts on tokens.
pub struct TokenCache {
    clock: Clock,
    known_ttl: Duration,
    unknown_ttl: Duration,
    bound: usize,
    shelf: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    found: HashMap<Key, (TokenVerdict, Time)>,
    /// What is in `found`, in the order it came.
    order: VecDeque<(Key, Time)>,
    flights: HashMap<Key, Flight>,
}

impl TokenCache {
    /// `known_ttl` is for recognized tokens, `unknown_ttl` for those that nobody knows; zero remembers nothing, and
    /// refusals are never remembered. At most `bound`
    /// verdicts are held, the oldest goes first.
    pub fn new(clock: Clock, known_ttl: Duration, unknown_ttl: Duration, bound: usize) -> Self {
        TokenCache { clock, known_ttl, unknown_ttl, bound, shelf: Mutex::default() }
    }

    /// The verdict that is remembered, or else the one that `ask` comes to.
    pub async fn judge<F>(&self, token: &str, audiences: &[String], ask: impl FnOnce() -> F) -> TokenVerdict
    where
        F: Future<Output = TokenVerdict>,
    {
        let key = key(token, audiences);
        let flight = {
            let now = self.clock.now();
            let mut shelf = self.shelf.lock();
            match shelf.found.get(&key) {
                Some((verdict, until)) if now < *until => return verdict.clone(),
                _ => shelf.flights.entry(key).or_default().clone(),
            }
        };
        let mut landing = Landing { cache: self, key, flight: None };
        let verdict = landing.flight.insert(flight).get_or_init(ask).await.clone();
        self.keep(key, &verdict);
        verdict
    }

    fn keep(&self, key: Key, verdict: &TokenVerdict) {
        let ttl = match verdict {
            TokenVerdict::Known { .. } => self.known_ttl,
            TokenVerdict::NotMine => self.unknown_ttl,
            // What went wrong may pass.
            TokenVerdict::Refused(_) => Duration::ZERO,
        };
        if ttl.is_zero() {
            return;
        }
        let now = self.clock.now();
        let until = now.plus(ttl);
        let mut shelf = self.shelf.lock();
        if shelf.found.get(&key).is_some_and(|(_, until)| now < *until) {
            return; // by another request that waited for the same answer
        }
        shelf.found.insert(key, (verdict.clone(), until));
        shelf.order.push_back((key, until));
        while let Some((oldest, until)) = shelf.order.front().copied()
            && (until <= now || shelf.order.len() > self.bound)
        {
            shelf.order.pop_front();
            if shelf.found.get(&oldest).is_some_and(|(_, newest)| *newest == until) {
                shelf.found.remove(&oldest);
            }
        }
    }
}

/// Ends a flight, also when the request that it is for is given up.
struct Landing<'a> {
    cache: &'a TokenCache,
    key: Key,
    flight: Option<Flight>,
}

impl Landing<'_> {
    fn land(&mut self) {
        let mut shelf = self.cache.shelf.lock();
        // Within the lock, as it was taken: so whoever is last finds the map to be the only one that holds it.
        drop(self.flight.take());
        let over = |flight: &Flight| flight.initialized() || Arc::strong_count(flight) == 1;
        if shelf.flights.get(&self.key).is_some_and(over) {
            shelf.flights.remove(&self.key);
        }
    }
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.land();
    }
}

/// Lengths stand before texts, so that no two lists of texts have the same digest.
fn key(token: &str, audiences: &[String]) -> Key {
    let mut digest = Sha256::new();
    for text in std::iter::once(token).chain(audiences.iter().map(String::as_str)) {
        digest.update(text.len().to_be_bytes());
        digest.update(text);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Caller;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const TTL: Duration = Duration::from_secs(10);

    fn known(name: &str) -> TokenVerdict {
        TokenVerdict::known(Caller::new(name, Vec::new()))
    }

    fn cache(bound: usize) -> (TokenCache, Clock) {
        let clock = Clock::manual(Time::from_secs(1000));
        (TokenCache::new(clock.clone(), TTL, TTL, bound), clock)
    }

    fn held(cache: &TokenCache) -> (usize, usize) {
        let shelf = cache.shelf.lock();
        (shelf.found.len(), shelf.order.len())
    }

    #[tokio::test]
    async fn no_more_is_held_than_the_bound_and_nothing_for_longer_than_its_time() {
        let (cache, clock) = cache(4);
        for at in 0..20 {
            cache.judge(&at.to_string(), &[], async || known("a")).await;
        }
        assert_eq!(held(&cache), (4, 4));
        clock.advance(TTL);
        cache.judge("x", &[], async || known("a")).await;
        assert_eq!(held(&cache), (1, 1));
        assert!(cache.shelf.lock().flights.is_empty());
    }

    #[tokio::test]
    async fn a_token_is_judged_for_each_list_of_audiences() {
        let (cache, _) = cache(4);
        let audiences = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(cache.judge("t", &audiences(&["a", "b"]), async || known("x")).await, known("x"));
        assert_eq!(cache.judge("t", &audiences(&["ab"]), async || known("y")).await, known("y"));
        assert_eq!(cache.judge("t", &audiences(&["a", "b"]), async || known("z")).await, known("x"));
    }

    #[tokio::test]
    async fn who_comes_at_once_waits_for_one_answer() {
        let (cache, _) = cache(4);
        let asked = AtomicUsize::new(0);
        let ask = async || {
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            known("a")
        };
        let both = tokio::join!(cache.judge("t", &[], ask), cache.judge("t", &[], ask));
        assert_eq!(both, (known("a"), known("a")));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn who_gives_up_leaves_nothing_behind() {
        let (cache, _) = cache(4);
        let never = tokio::time::timeout(
            Duration::from_millis(1),
            cache.judge("t", &[], async || std::future::pending::<TokenVerdict>().await),
        );
        assert!(never.await.is_err());
        assert!(cache.shelf.lock().flights.is_empty());
        assert_eq!(cache.judge("t", &[], async || known("b")).await, known("b"));
    }

    #[test]
    fn two_who_give_up_at_the_same_moment_leave_nothing_behind() {
        let (cache, _) = cache(4);
        let waiting = || {
            let flight = cache.shelf.lock().flights.entry([0; 32]).or_default().clone();
            Landing { cache: &cache, key: [0; 32], flight: Some(flight) }
        };
        let (mut one, mut other) = (waiting(), waiting());
        one.land();
        assert_eq!(cache.shelf.lock().flights.len(), 1, "the other still waits");
        other.land(); // before what is left of the first is gone
        assert!(cache.shelf.lock().flights.is_empty());
    }
}
