//! Who charges to the quotas of a namespace goes one at a time, from the look at the quotas to the commit. What another
//! server does meanwhile is found by the commit itself; within one server, nobody has to try twice.

use crate::review::Turn;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// So many namespaces are remembered before those without anybody waiting are forgotten.
const MANY: usize = 64;

#[derive(Default)]
pub struct Turns {
    by_namespace: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl Turns {
    /// Waits for its turn, first come first served.
    pub async fn take(&self, namespace: &str) -> Turn {
        self.of(namespace).lock_owned().await
    }

    fn of(&self, namespace: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.by_namespace.lock();
        if let Some(known) = all.get(namespace).and_then(Weak::upgrade) {
            return known;
        }
        if all.len() >= MANY {
            all.retain(|_, turn| turn.strong_count() > 0);
        }
        let new = Arc::default();
        all.insert(namespace.to_owned(), Arc::downgrade(&new));
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_in_a_namespace() {
        let turns = Turns::default();
        let first = turns.take("a").await;
        drop(turns.take("b").await);
        let second = turns.of("a");
        assert!(second.try_lock().is_err());
        drop(first);
        assert!(second.try_lock().is_ok());
        for name in 0..200 {
            drop(turns.take(&name.to_string()).await);
        }
        assert!(turns.by_namespace.lock().len() <= MANY + 1);
    }
}
