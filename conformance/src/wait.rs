//! Waiting for something that becomes true, with a deadline instead of a guess.

use std::time::{Duration, Instant};

/// Tries every 50 ms until the answer is some, for `secs` seconds at most.
pub fn until<T>(secs: u64, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + Duration::from_secs(secs);
    loop {
        if let Some(answer) = attempt() {
            return Some(answer);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
