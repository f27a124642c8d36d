//! Protobuf as Kubernetes' generated code writes and reads it, driven by the schema table.
//!
//! Byte-exact with upstream: fields in the order of their numbers, values that are no pointers written even when
//! zero, maps sorted, times without fractions. Trees in and out are in the normal form of `schema::decode`.
//! `envelope` holds what surrounds messages: the `k8s\0` prefix, watch frames, lists of ready bytes.

mod decode;
mod encode;
mod envelope;
pub mod wire;

pub use decode::decode;
pub use encode::{encode, encode_into};
pub use envelope::{Envelope, PREFIX, list, set_resource_version, text_at, unwrap, watch_frame, wrap};

/// What is wrong with the bytes, in the words of Go's generated code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(pub String);

impl Error {
    fn new(message: impl Into<String>) -> Self {
        Error(message.into())
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests;
