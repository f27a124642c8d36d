//! Runs the pods of a node, as a client of the API server.
//!
//! `pods` knows what is to run, from the API and from a folder (`static_pods`). Each pod has a worker (`pod`) that looks
//! at what containerd has, plans, carries out and says what came of it. `sandbox`, `container`, `volumes`, `images` and
//! `cgroups` say what containerd is to make and lay the ground for it; `runtime` is the way there. `probes`, `hooks`,
//! `termination`, `logs` and `garbage` look after what runs and what it leaves. `node` says what the node is and has,
//! `server` and `streams` serve who asks for logs, commands and readings.
//!
//! `hollow` simulates nodes: they register, renew their leases and report their pods as a kubelet does, and run
//! nothing.

mod cgroups;
mod container;
mod garbage;
pub mod hollow;
mod hooks;
mod images;
mod logs;
mod probes;

mod kubelet;
mod node;
mod pod;
mod pods;
mod resources;
mod root;
mod runtime;
mod sandbox;
mod server;
mod settings;
mod static_pods;
mod streams;
mod termination;
mod volumes;

pub use kubelet::{Kubelet, start};
pub use node::{EvictionHard, address};
pub use pods::{Pods, Source};
pub use runtime::{Runtime, cri};
pub use settings::{ImageGc, MAX_PODS, Settings};
pub use static_pods::PodRules;
