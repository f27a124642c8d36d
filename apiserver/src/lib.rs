//! The API server: door, address, edits, reads, watch hub, answers.
//!
//! Open `corridor` first: one function is the way of every request. Then `edit::change`, where every change of an
//! object ends. The rooms on the way: `door` (connections), `address` and `route` (where to), `negotiate` (in which
//! form), `body` (what came), `edit` (what is wanted), `claim` (what that needs of the cluster), `stored` (what rests
//! in the store), `read` and `watch` (what is there), `answer` (what goes out).

pub mod audit;
pub mod door;
pub mod encryption;

mod address;
mod answer;
mod body;
mod call;
mod claim;
mod command;
mod corridor;
mod custom;
mod deadline;
mod documents;
mod edit;
mod explain;
mod fields;
mod flow;
#[cfg(test)]
mod garbage;
mod impersonate;
mod metadata;
mod metrics;
mod negotiate;
mod objects;
mod outward;
mod query;
mod read;
mod route;
mod selection;
mod server;
mod stored;
mod stream;
mod usage;
mod watch;

pub use command::issuer::TokenIssuer;
pub use corridor::serve;
pub use custom::follow as follow_custom_kinds;
pub use deadline::Limits;
pub use documents::version::GIT_VERSION as VERSION;
pub use flow::Settings as FlowSettings;
pub use objects::Objects;
pub use outward::Outward;
pub use server::{Rooms, Server};
pub use stream::Kubelets;
