//! A client of the API server, over a pipe in the same process (HTTPS follows with the parts that run elsewhere):
//! requests and watches (`Client`), a local copy of a resource that follows the server (`Informer`), and a queue of
//! keys to work on (`WorkQueue`).

mod client;
mod connection;
mod error;
mod informer;
mod resource;
mod watch;
mod work_queue;

pub use client::Client;
pub use connection::Dial;
pub use error::Error;
pub use http::Method;
pub use informer::{Cache, Informer};
pub use resource::Resource;
pub use watch::{Event, EventKind, WatchStream};
pub use work_queue::WorkQueue;
