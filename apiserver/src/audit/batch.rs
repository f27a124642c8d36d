//! The batch mode: events wait in a queue of a fixed size and are handed on together. What finds the queue full is
//! lost, and said so; the request goes on.

use super::lost;
use super::sink::Sink;
use api::{Later, Value};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout_at};

/// How long a stopping server waits for events that are on their way.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How events are gathered.
#[derive(Clone, Debug)]
pub struct BatchSettings {
    /// Events that may wait.
    pub buffer_size: usize,
    /// Events handed on together, at most.
    pub max_size: usize,
    /// How long a batch waits to become full.
    pub max_wait: Duration,
    /// Batches a second, and how many at once after a pause; unlimited without.
    pub throttle: Option<(f32, u32)>,
    /// Whether a batch need not wait for the one before it.
    pub concurrent: bool,
}

/// See the head of the file.
pub struct Batch {
    queue: Mutex<Option<mpsc::Sender<Value>>>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl Batch {
    /// Starts the task that hands batches on.
    pub fn start(sink: Arc<dyn Sink>, settings: BatchSettings) -> Self {
        let (sender, receiver) = mpsc::channel(settings.buffer_size.max(1));
        let throttle = settings.throttle.map(|(rate, burst)| Throttle::new(rate, burst));
        let worker = Worker { sink, settings, queue: receiver, throttle };
        Batch { queue: Mutex::new(Some(sender)), worker: Mutex::new(Some(tokio::spawn(worker.run()))) }
    }

    fn put(&self, event: &Value) -> Result<(), &'static str> {
        match &*self.queue.lock() {
            None => Err("audit backend shut down"),
            Some(queue) => queue.try_send(event.clone()).map_err(|_| "audit buffer queue blocked"),
        }
    }
}

impl Sink for Batch {
    fn take<'a>(&'a self, events: &'a [Value]) -> Later<'a, bool> {
        for event in events {
            if let Err(why) = self.put(event) {
                lost("buffered", std::slice::from_ref(event), &why);
            }
        }
        Box::pin(std::future::ready(true))
    }

    fn close(&self) -> Later<'_, ()> {
        drop(self.queue.lock().take());
        let worker = self.worker.lock().take();
        Box::pin(async move {
            if let Some(worker) = worker
                && tokio::time::timeout(CLOSE_TIMEOUT, worker).await.is_err()
            {
                tracing::warn!("some audit events were not delivered in time");
            }
        })
    }
}

struct Worker {
    sink: Arc<dyn Sink>,
    settings: BatchSettings,
    queue: mpsc::Receiver<Value>,
    throttle: Option<Throttle>,
}

impl Worker {
    /// Until nobody can put in more, and nothing is left.
    async fn run(mut self) {
        let mut sending = JoinSet::new();
        while let Some(batch) = self.gather().await {
            if let Some(throttle) = &mut self.throttle {
                throttle.wait().await;
            }
            let sink = self.sink.clone();
            let send = async move {
                sink.take(&batch).await;
            };
            match self.settings.concurrent {
                true => drop(sending.spawn(send)),
                false => send.await,
            }
            while sending.try_join_next().is_some() {}
        }
        while sending.join_next().await.is_some() {}
        self.sink.close().await;
    }

    /// A batch, full or after its time.
    async fn gather(&mut self) -> Option<Vec<Value>> {
        let mut batch = vec![self.queue.recv().await?];
        let end = Instant::now() + self.settings.max_wait;
        while batch.len() < self.settings.max_size {
            match timeout_at(end, self.queue.recv()).await {
                Ok(Some(event)) => batch.push(event),
                Ok(None) | Err(_) => break,
            }
        }
        Some(batch)
    }
}

/// A bucket of tokens: one for each batch.
struct Throttle {
    gap: Duration,
    burst: u32,
    /// When the bucket would be full.
    full_at: Instant,
}

impl Throttle {
    fn new(rate: f32, burst: u32) -> Self {
        let gap = Duration::try_from_secs_f32(1.0 / rate).unwrap_or(Duration::ZERO);
        Throttle { gap, burst, full_at: Instant::now() }
    }

    async fn wait(&mut self) {
        let now = Instant::now();
        self.full_at = self.full_at.max(now) + self.gap;
        let due = self.full_at - self.gap.saturating_mul(self.burst.max(1)).min(self.full_at - now);
        sleep_until(due).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<(Instant, usize)>>);

    impl Sink for Kept {
        fn take<'a>(&'a self, events: &'a [Value]) -> Later<'a, bool> {
            self.0.lock().push((Instant::now(), events.len()));
            Box::pin(std::future::ready(true))
        }
    }

    fn settings() -> BatchSettings {
        BatchSettings {
            buffer_size: 5,
            max_size: 2,
            max_wait: Duration::from_secs(30),
            throttle: None,
            concurrent: false,
        }
    }

    fn sizes(kept: &Kept) -> Vec<usize> {
        kept.0.lock().iter().map(|(_, size)| *size).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn batches_leave_when_they_are_full_or_old() {
        let kept = Arc::new(Kept::default());
        let batch = Batch::start(kept.clone(), settings());
        let began = Instant::now();
        batch.take(&[1.into(), 2.into(), 3.into()]).await;
        tokio::time::sleep(Duration::from_secs(31)).await;
        assert_eq!(sizes(&kept), [2, 1]);
        assert_eq!(kept.0.lock()[1].0 - began, Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_written_at_the_end_and_what_finds_no_room_is_lost() {
        let kept = Arc::new(Kept::default());
        let batch = Batch::start(kept.clone(), settings());
        let events: Vec<Value> = (0..7).map(Value::from).collect();
        assert!(batch.take(&events).await);
        batch.close().await;
        assert_eq!(sizes(&kept).iter().sum::<usize>(), 5);
        assert!(batch.take(&events).await);
        assert_eq!(sizes(&kept).iter().sum::<usize>(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttle_lets_a_burst_pass_and_then_its_rate() {
        let mut throttle = Throttle::new(8.0, 3);
        let began = Instant::now();
        let mut passed = Vec::new();
        for _ in 0..5 {
            throttle.wait().await;
            passed.push((Instant::now() - began).as_millis());
        }
        assert_eq!(passed, [0, 0, 0, 125, 250]);
    }
}
