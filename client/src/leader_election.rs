//! Leader election: of several processes, the one that holds a Lease does the work, as long as it can renew it.
//!
//! Clocks of processes need not agree: a lease that somebody else holds counts as given up when it has not changed for
//! its duration, by the clock of who waits.

use crate::term::Term;
use crate::{Client, Error, Recorder, Resource};
use api::{Value, tree};
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Ids};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How much longer than the pause somebody who waits may wait, so that not all ask at once.
const JITTER: f64 = 1.2;
const NAMESPACE: &str = "kube-system";

/// How an election goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a lease that is not renewed is still held.
    pub lease: Duration,
    /// How long a leader tries to renew before it gives up; less than `lease`.
    pub deadline: Duration,
    /// How long to wait between tries.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Timing { lease: secs(15), deadline: secs(10), retry: secs(2) }
    }
}

/// Who stands for election: another in each process.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub identity: String,
    pub timing: Timing,
    pub clock: Clock,
    pub ids: Ids,
}

/// A part in an election. Cheap to clone; while one is there, it is taken part in.
#[derive(Clone)]
pub struct Leadership {
    shared: Arc<Shared>,
}

struct Shared {
    candidate: Candidate,
    client: Client,
    recorder: Recorder,
    name: String,
    state: Mutex<State>,
}

/// What is known of the lease, and the term when we lead.
#[derive(Default)]
struct State {
    /// The lease as it was last seen to change, and when.
    seen: Option<(Value, Instant)>,
    term: Option<Term>,
    /// Takes no part any more.
    resigned: bool,
}

impl Leadership {
    /// Takes part in the election for the lease `name` in kube-system. `lead` starts the work, by `spawn`, each time
    /// that it is won; when it is lost, all of that ends. Must be called within a tokio runtime.
    pub fn seek(
        client: Client,
        name: &str,
        candidate: Candidate,
        lead: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let recorder = Recorder::new(client.clone(), name, candidate.clock.clone());
        let state = Mutex::default();
        let shared = Arc::new(Shared { candidate, client, recorder, name: name.to_owned(), state });
        let working = shared.clone();
        crate::spawn(async move { working.work(&lead).await });
        Leadership { shared }
    }

    /// Ends the work when we lead, and lets another go on at once.
    pub async fn resign(&self) {
        let mut state = self.shared.state.lock().await;
        state.resigned = true;
        if let Some(term) = state.term.take() {
            term.end().await;
            let released = self.shared.release(&mut state);
            if tokio::time::timeout(self.shared.candidate.timing.retry, released).await.is_err() {
                tracing::debug!(lease = self.shared.name, "a lease is not given back in time");
            }
        }
    }
}

fn leases() -> Resource {
    Resource::namespaced("coordination.k8s.io", "v1", "leases")
}

fn holder(lease: &Value) -> &str {
    lease.str_at(&["spec", "holderIdentity"])
}

impl Shared {
    async fn work(&self, lead: &(impl Fn() + Send + Sync)) {
        loop {
            let timing = self.candidate.timing;
            let won = {
                let mut state = self.state.lock().await;
                if state.resigned {
                    return;
                }
                // A try that hangs must not hold up the next.
                let won = tokio::time::timeout(timing.deadline, self.attempt(&mut state)).await;
                let won = matches!(won, Ok(Ok(true)));
                if won {
                    self.tell(&state, "became leader");
                    state.term = Some(Term::begin(lead));
                }
                won
            };
            if won {
                self.hold().await;
            }
            let more = self.candidate.ids.fraction() * JITTER;
            tokio::time::sleep(timing.retry.mul_f64(1.0 + more)).await;
        }
    }

    /// Renews until that fails for too long, then ends the term.
    async fn hold(&self) {
        let timing = self.candidate.timing;
        let mut renewed = Instant::now();
        while renewed.elapsed() < timing.deadline {
            tokio::time::sleep(timing.retry).await;
            let mut state = self.state.lock().await;
            if state.resigned {
                return;
            }
            let left = timing.deadline.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.attempt(&mut state)).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => break,
                Ok(Err(error)) => tracing::debug!(lease = self.name, %error, "a lease is not renewed"),
                Err(_) => {}
            }
        }
        let mut state = self.state.lock().await;
        self.tell(&state, "stopped leading");
        tracing::warn!(lease = self.name, "no longer the leader");
        if let Some(term) = state.term.take() {
            term.end().await;
        }
    }

    fn tell(&self, state: &State, what: &str) {
        if let Some((lease, _)) = &state.seen {
            let message = format!("{} {what}", self.candidate.identity);
            let kind = ("coordination.k8s.io/v1", "Lease");
            self.recorder.normal(kind, lease, "LeaderElection", &message);
        }
    }

    /// Takes or renews the lease. False when somebody else holds it.
    async fn attempt(&self, state: &mut State) -> Result<bool, Error> {
        let ours = state.seen.as_ref().filter(|(lease, _)| holder(lease) == self.candidate.identity);
        if let Some((lease, _)) = ours
            && let Ok(written) = self.client.update(&leases(), NAMESPACE, &self.claimed(Some(lease))).await
        {
            state.seen = Some((written, Instant::now()));
            return Ok(true);
        }
        let Some(found) = self.client.find(&leases(), NAMESPACE, &self.name).await? else {
            let made = self.client.create(&leases(), NAMESPACE, &self.claimed(None)).await?;
            state.seen = Some((made, Instant::now()));
            return Ok(true);
        };
        let changed = state.seen.as_ref().is_none_or(|(seen, _)| seen.get("spec") != found.get("spec"));
        if changed {
            state.seen = Some((found.clone(), Instant::now()));
        }
        let held_for = state.seen.as_ref().map_or(Duration::ZERO, |(_, since)| since.elapsed());
        let lasts = u64::try_from(found.i64_at(&["spec", "leaseDurationSeconds"]).unwrap_or(0)).unwrap_or(0);
        let is_ours = holder(&found) == self.candidate.identity;
        if !is_ours && !holder(&found).is_empty() && held_for <= Duration::from_secs(lasts) {
            return Ok(false);
        }
        match self.client.update(&leases(), NAMESPACE, &self.claimed(Some(&found))).await {
            Ok(written) => {
                state.seen = Some((written, Instant::now()));
                Ok(true)
            }
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The lease as it is ours, after the one that was.
    fn claimed(&self, lease: Option<&Value>) -> Value {
        let now = self.candidate.clock.now().rfc3339_micro();
        let fresh = || tree!({"metadata": {"name": (self.name.clone()), "namespace": NAMESPACE}});
        let mut claimed = lease.cloned().unwrap_or_else(fresh);
        let is_ours = lease.is_some_and(|lease| holder(lease) == self.candidate.identity);
        if !is_ours {
            let before = claimed.i64_at(&["spec", "leaseTransitions"]).unwrap_or(0);
            claimed.set(&["spec", "leaseTransitions"], before + i64::from(lease.is_some()));
            claimed.set(&["spec", "acquireTime"], now.clone());
        }
        claimed.set(&["spec", "holderIdentity"], self.candidate.identity.clone());
        let lasts = i64::try_from(self.candidate.timing.lease.as_secs()).unwrap_or(i64::MAX);
        claimed.set(&["spec", "leaseDurationSeconds"], lasts);
        claimed.set(&["spec", "renewTime"], now);
        claimed
    }

    /// Lets the lease go: who looks next may have it.
    async fn release(&self, state: &mut State) {
        let Some((lease, _)) = state.seen.take() else { return };
        let now = self.candidate.clock.now().rfc3339_micro();
        let mut released = lease;
        released.set(&["spec", "holderIdentity"], "");
        released.set(&["spec", "leaseDurationSeconds"], 1);
        released.set(&["spec", "acquireTime"], now.clone());
        released.set(&["spec", "renewTime"], now);
        if let Err(error) = self.client.update(&leases(), NAMESPACE, &released).await {
            tracing::debug!(lease = self.name, %error, "a lease is not given back");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(identity: &str) -> Shared {
        let client = Client::new(Arc::new(|| tokio::io::duplex(64).0), "test");
        let recorder = Recorder::new(client.clone(), "test", Clock::system());
        let (clock, ids) = (Clock::system(), Ids::seeded(1));
        let candidate = Candidate { identity: identity.into(), timing: Timing::default(), clock, ids };
        Shared { candidate, client, recorder, name: "l".into(), state: Mutex::default() }
    }

    #[tokio::test]
    async fn a_lease_counts_its_holders() {
        let (one, two) = (shared("one"), shared("two"));
        let first = one.claimed(None);
        assert_eq!(first.i64_at(&["spec", "leaseTransitions"]), Some(0));
        assert_eq!(first.i64_at(&["spec", "leaseDurationSeconds"]), Some(15));
        let renewed = one.claimed(Some(&first));
        assert_eq!(renewed.i64_at(&["spec", "leaseTransitions"]), Some(0));
        assert_eq!(renewed.str_at(&["spec", "acquireTime"]), first.str_at(&["spec", "acquireTime"]));
        let taken = two.claimed(Some(&renewed));
        assert_eq!((holder(&taken), taken.i64_at(&["spec", "leaseTransitions"])), ("two", Some(1)));
    }
}
