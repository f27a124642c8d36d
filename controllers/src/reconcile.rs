//! The loop that all controllers share: take a key, work on it, bring it back later when that failed.

use client::{Error, Handler, Informer, WorkQueue, key_of};
use std::future::Future;
use std::sync::Arc;

/// What one piece of work came to.
pub type Outcome = Result<(), Error>;

/// Works on the queue's keys, `workers` at a time.
pub fn run<F, W>(name: &'static str, queue: &WorkQueue, workers: usize, work: W)
where
    W: Fn(String) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Outcome> + Send,
{
    run_on(name, queue, workers, &[], work);
}

/// The same, once the local copies that the work looks at are complete.
pub fn run_on<F, W>(name: &'static str, queue: &WorkQueue, workers: usize, copies: &[&Informer], work: W)
where
    W: Fn(String) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Outcome> + Send,
{
    let copies: Vec<Informer> = copies.iter().map(|&copy| copy.clone()).collect();
    for _ in 0..workers {
        let (queue, work, copies) = (queue.clone(), work.clone(), copies.clone());
        client::spawn(async move {
            for copy in &copies {
                copy.synced().await;
            }
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

/// Adds the key of every object that comes, changes or goes.
pub fn enqueue(queue: &WorkQueue) -> Handler {
    let queue = queue.clone();
    Arc::new(move |old, new| {
        if let Some(object) = new.or(old) {
            queue.add(key_of(object));
        }
    })
}

/// Splits `NS/NAME`; the namespace of `NAME` is "".
pub fn split(key: &str) -> (&str, &str) {
    key.split_once('/').unwrap_or(("", key))
}

/// A failure that means that somebody else was faster, or the object is gone: nothing to report.
pub fn unless_gone<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
