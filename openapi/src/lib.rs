//! Documents computed from the registry: OpenAPI v2 and v3, discovery.

mod describe;

pub use describe::describe;
