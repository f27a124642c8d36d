//! Places pods on nodes, as a client of the API server.
//!
//! Informers feed the `cache`, which keeps a `Snapshot` of nodes and the pods on them, and the `queue` of pods that
//! wait. The loop in `run` takes the most important pod, asks `plan` (a pure function of snapshot and pod) where it
//! goes, counts it there at once, and lets the binding go to the server beside the next decision. A pod that fits
//! nowhere is told why and waits for a change that may help, as the plugins that turned it down judge.

mod amounts;
mod bind_volumes;
mod cache;
mod change;
mod configuration;
mod disk;
mod node;
mod plan;
mod plugins;
mod pod;
mod preemption;
mod profile;
mod queue;
mod resources;
mod run;
mod snapshot;
mod storage;
mod tell;
mod terms;

pub use configuration::Configuration;
pub use run::{Settings, start, start_elected};

/// The scheduler that pods name that name none.
pub const DEFAULT_NAME: &str = "default-scheduler";
/// Who it is.
pub const IDENTITY: &str = "system:kube-scheduler";
