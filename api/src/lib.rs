//! The vocabulary: object tree, metadata, names, quantities, selectors, `Status`, faults, the schema table,
//! codecs, patches and structured merge.
//!
//! No I/O, no clock, no ids here: everything is a function of its arguments.

pub mod cel;
pub mod configuration;
mod convert;
pub mod cron;
mod fault;
pub mod int_or_string;
pub mod json;
pub mod merge;
pub mod names;
pub mod node_selection;
pub mod patch;
pub mod pem;
pub mod proto;
pub mod quantity;
pub mod quota;
mod reader;
mod remote;
pub mod resources;
pub mod schema;
pub mod selector;
pub mod status;
pub mod time;
mod tree;
pub mod uri;
mod value;
pub mod volume;
pub mod x509;
pub mod yaml;

pub use fault::{Fault, FaultKind, Path, quote};
pub use quantity::Quantity;
pub use reader::{Follow, Followed, Later, Reader};
pub use remote::{Network, NoAnswer, Question, Remote, RemoteError, Reply};
pub use schema::Schema;
pub use status::Status;
pub use value::{Map, Str, Value};
