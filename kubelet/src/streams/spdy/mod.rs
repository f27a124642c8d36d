//! SPDY/3.1, as much of it as Kubernetes speaks: streams of data in both directions over one connection, made by either
//! side. The API server and clients before WebSockets use it, and containerd's streaming server.

mod connection;
mod dictionary;
mod frame;
mod headers;
mod table;

pub use connection::{Connection, Stream};
pub use frame::CANCEL;
pub use headers::Headers;

/// Which side of the connection we are: streams that the client makes have odd numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Server,
    Client,
}
