//! The corridor: door, address, edits, reads, watch hub, answers.

pub mod door;
