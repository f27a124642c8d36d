//! Control loops, one file each, as clients of the API server.
//!
//! A controller watches what it is about, works on keys from a queue, looks at the world afresh each time and moves
//! it one step. It has its own identity, and no way to the store. All controllers share one local copy of each
//! resource.

mod api_service;
mod authentication_trust;
mod bootstrap;
mod bootstrap_token;
mod certificate_approving;
mod certificate_cleaner;
mod certificate_rules;
mod certificate_signing;
mod cluster_role_aggregation;
mod conditions;
mod context;
mod cron_job;
mod custom_resource_definition;
mod daemon_set;
mod deployment;
mod discovery;
mod disruption;
mod endpoint_slice;
mod endpoint_slice_mirroring;
mod endpoints;
mod ephemeral_volume;
mod flow_control;
mod garbage_collector;
mod heads;
mod history;
mod horizontal_pod_autoscaler;
mod identity;
mod job;
mod kubernetes_service;
mod legacy_token;
mod list;
mod namespace;
mod node_fit;
mod node_ipam;
mod node_lifecycle;
mod node_ttl;
mod owner;
mod persistent_volume_binder;
mod pod_batch;
mod pod_gc;
mod pods;
mod reconcile;
mod replica_set;
mod resource_quota;
mod resources;
mod root_ca;
mod service_account;
mod service_cidr;
mod service_pods;
mod start;
mod stateful_set;
mod status;
mod template_hash;
mod token_secret;
mod ttl_after_finished;
mod volume_expand;
mod volume_protection;

pub use bootstrap::{bootstrap, bootstrap_metrics};
pub use context::Context;
pub use identity::groups;
pub use node_ipam::PodRange;
pub use start::{Connect, Parts, Settings, start, start_elected};

pub(crate) use client::Recorder;
