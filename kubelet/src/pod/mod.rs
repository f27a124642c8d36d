//! One pod: what is observed of it, what is to be done about it, and what is said of it.
//!
//! `plan` and `status` compute; a `worker` for each pod looks, lets them decide, and carries out.

mod admission;
mod advance;
mod back_off;
mod ending;
mod init;
mod live;
mod observed;
mod parts;
pub mod plan;
mod resize;
mod retry;
pub mod spec;
pub mod status;
mod stop;
mod worker;

#[cfg(test)]
pub mod fixture;
#[cfg(test)]
mod plan_tests;

pub use admission::Admitted;
pub use observed::{Observed, container_name, has_exited, is_running, restart_count};
pub use parts::Parts;
pub use worker::Worker;

/// Why something cannot be made now: as in `state.waiting` of a container's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    pub reason: String,
    pub message: String,
}

impl Wait {
    pub fn new(reason: &str, message: impl Into<String>) -> Self {
        Wait { reason: reason.to_owned(), message: message.into() }
    }
}
