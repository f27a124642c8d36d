//! A client of the API server, over a pipe in the same process or over HTTPS: requests and watches (`Client`), a local
//! copy of a resource that follows the server (`Informer`), a queue of keys to work on (`WorkQueue`), events
//! (`Recorder`), and who of several processes does the work (`Leadership`).
//!
//! `https` is the house's one way to servers elsewhere, also for those that are no API servers.

mod bodiless;
mod client;
mod connection;
mod error;
pub mod https;
mod informer;
mod informers;
pub mod kubeconfig;
mod leader_election;
mod meta;
mod recorder;
mod resource;
mod term;
mod watch;
mod work_queue;

pub use bodiless::bodiless;
pub use client::Client;
pub use connection::Dial;
pub use error::Error;
pub use http::Method;
pub use informer::{Cache, Handler, Informer, Trim, key_of, trim_managed_fields};
pub use informers::Informers;
pub use leader_election::{Candidate, Leadership, Timing};
pub use meta::{Meta, MetaEvent, Owner};
pub use recorder::{Recorder, reference};
pub use resource::Resource;
pub use term::{Term, spawn};
pub use watch::{Event, EventKind, WatchStream};
pub use work_queue::WorkQueue;
