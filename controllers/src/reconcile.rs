//! The loop that all controllers share: take a key, work on it, bring it back later when that failed.

use client::{Error, WorkQueue};
use std::future::Future;

/// What one piece of work came to.
pub type Outcome = Result<(), Error>;

/// Works on the queue's keys, `workers` at a time.
pub fn run<F, W>(name: &'static str, queue: &WorkQueue, workers: usize, work: W)
where
    W: Fn(String) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Outcome> + Send,
{
    for _ in 0..workers {
        let (queue, work) = (queue.clone(), work.clone());
        tokio::spawn(async move {
            loop {
                let key = queue.next().await;
                match work(key.clone()).await {
                    Ok(()) => queue.done(&key),
                    Err(error) => {
                        tracing::debug!(controller = name, key, %error, "will be tried again");
                        queue.failed(&key);
                    }
                }
            }
        });
    }
}
