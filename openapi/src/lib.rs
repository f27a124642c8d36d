//! Documents computed from the registry: OpenAPI v2 and v3, discovery.
//!
//! Facts come from the registry and the schema table, descriptions from a crate at build time (`describe`). Everything
//! here is a function of the registry; whoever serves the documents keeps them.

mod describe;
pub mod discovery;
pub mod document;
pub mod gnostic;
mod spec;

pub use describe::describe;
