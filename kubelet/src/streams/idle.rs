//! Ends connections on which nothing moves.

use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// As upstream's kubelet: 4 hours.
const LONGEST: Duration = Duration::from_secs(4 * 3600);

/// When something last moved.
pub struct Idle(Mutex<Instant>);

impl Idle {
    pub fn new() -> Self {
        Idle(Mutex::new(Instant::now()))
    }

    /// Something moved.
    pub fn touch(&self) {
        *self.0.lock() = Instant::now();
    }

    /// Waits until nothing has moved for too long.
    pub async fn expired(&self) {
        loop {
            let end = *self.0.lock() + LONGEST;
            if Instant::now() >= end {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_stands_still_expires() {
        let (idle, start) = (Idle::new(), Instant::now());
        tokio::time::sleep(LONGEST / 2).await;
        idle.touch();
        idle.expired().await;
        assert!(start.elapsed() >= LONGEST + LONGEST / 2);
    }
}
