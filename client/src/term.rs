//! A term: tasks that end together, however they came to be.
//!
//! What is started within a term, and what that starts by `spawn`, belongs to it. Outside of any term a task ends with
//! the runtime.

use std::future::Future;
use tokio::sync::watch;
use tokio::task::JoinHandle;

tokio::task_local! {
    /// Becomes true when the term that a task belongs to is over.
    static TERM: watch::Receiver<bool>;
}

/// Starts a task in the term of who calls, if any.
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let Ok(term) = TERM.try_with(Clone::clone) else { return tokio::spawn(task) };
    let mut over = term.clone();
    tokio::spawn(TERM.scope(term, async move {
        tokio::select! {
            biased;
            _ = over.wait_for(|over| *over) => {}
            () = task => {}
        }
    }))
}

/// One term, at the side that ends it. Dropped, it ends too.
pub struct Term {
    over: watch::Sender<bool>,
}

impl Term {
    /// Begins with what `start` starts. Must be called within a tokio runtime.
    pub fn begin(start: impl FnOnce()) -> Self {
        let (over, term) = watch::channel(false);
        TERM.sync_scope(term, start);
        Term { over }
    }

    /// Ends all tasks; returns when none is left.
    pub async fn end(self) {
        // Nobody hears it when nothing was started.
        let _ = self.over.send(true);
        self.over.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn tasks_of_tasks_end_with_their_term_and_others_do_not() {
        let ticks = Arc::new(AtomicUsize::new(0));
        let tick = |ticks: &Arc<AtomicUsize>| {
            let ticks = ticks.clone();
            async move {
                loop {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    ticks.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let outside = Arc::new(AtomicUsize::new(0));
        spawn(tick(&outside));
        let (inner, outer) = (tick(&ticks), tick(&ticks));
        let term = Term::begin(|| {
            spawn(async {
                spawn(inner);
                outer.await;
            });
        });
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert_eq!(ticks.load(Ordering::Relaxed), 4);
        term.end().await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(ticks.load(Ordering::Relaxed), 4);
        assert_eq!(outside.load(Ordering::Relaxed), 12);
    }
}
