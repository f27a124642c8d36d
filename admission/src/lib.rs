//! Policy on objects: the built-in admission plugins, one file each in `plugins/`, in upstream's order.
//!
//! The corridor calls [`Chain::admit`] once the wanted object is known (plugins may change it), and
//! [`Chain::validate`] just before the commit (plugins may only refuse). A plugin sees the cluster through a small
//! [`Cluster`] and reaches nothing else.

mod chain;
mod configuration;
mod review;
mod webhook;

pub mod plugins;

pub use chain::Chain;
pub use plugins::Settings;
pub use review::{Asks, Charges, Cluster, Details, Operation, Review, Turn, Writes};
pub use webhook::Reinvocation;
