//! Black box: the real binary, seen from outside through its command line, its files and its sockets.
//!
//! `Server` starts a `pintle` of its own in a temporary folder on a port that the kernel chooses; `Kubectl` drives a
//! stock kubectl against it; `Wire` speaks HTTP byte by byte, also wrongly; `clients` run scripts of other languages;
//! `Machine` is a
//! machine of one's own, `Node` a cluster there that runs containers; `scenarios` replays what a real server was recorded to answer. The tests are in `tests/`.

pub mod binary;
pub mod clients;
pub mod etcd;
pub mod https_server;
pub mod kubeconfig;
pub mod kubectl;
pub mod machine;
pub mod node;
pub mod scenarios;
pub mod server;
pub mod tools;
pub mod wait;
pub mod webhook;
pub mod wire;

pub use etcd::Etcd;
pub use https_server::HttpsServer;
pub use kubectl::{Kubectl, Outcome};
pub use machine::Machine;
pub use node::Node;
pub use server::Server;
pub use webhook::Webhook;
pub use wire::{Answer, Wire};
