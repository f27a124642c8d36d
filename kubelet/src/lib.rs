//! Runs the pods of a node, as a client of the API server.
//!
//! `hollow` simulates nodes: they register, renew their leases and report their pods as a kubelet does, and run
//! nothing. Everything else is the kubelet that runs containers.

pub mod cgroups;
pub mod container;
pub mod garbage;
pub mod hollow;
pub mod hooks;
pub mod images;
pub mod logs;
pub mod probes;

mod kubelet;
mod node;
mod pod;
mod pods;
mod resources;
mod runtime;
pub mod sandbox;
pub mod server;
mod settings;
mod static_pods;
pub mod streams;
pub mod termination;
pub mod volumes;

pub use kubelet::{Kubelet, start};
pub use node::address;
pub use pods::{Pods, Source};
pub use runtime::{Runtime, cri};
pub use settings::{MAX_PODS, Settings};
pub use static_pods::PodRules;
