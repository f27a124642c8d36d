//! Runs the pods of a node, as a client of the API server.
//!
//! `hollow` simulates nodes: they register, renew their leases and report their pods as a kubelet does, and run
//! nothing. (The kubelet that runs containers is filled by the issue on running pods.)

pub mod hollow;

mod resources;
