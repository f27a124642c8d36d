//! Small foundations every room may lean on: clock, ids, seeded randomness, backoff, limits,
//! deep stacks, metrics as text.
//!
//! Wall clock, randomness and ids come from here and nowhere else, so that a test can hold all three still.
//! Waiting is not here: it goes through tokio's clock.

pub mod backoff;
pub mod clock;
mod deep;
pub mod der;
pub mod ids;
pub mod limits;
pub mod prometheus;

pub use backoff::Backoff;
pub use clock::{Clock, Time};
pub use deep::deep;
pub use ids::Ids;
