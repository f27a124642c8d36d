//! One file per kind: what is special about it and nothing else, and the registry that everything else is
//! computed from (routes, discovery, OpenAPI, tables, selectors, codecs, patches, garbage collection).
//!
//! To add a kind: write `<group>/<kind>.rs` with a type that implements [`Kind`], list it in its group's `KINDS`.

pub mod conditions;
mod info;
pub mod internal_form;
mod kind;
pub mod lens;
pub mod metadata_checks;
pub mod print;
mod registry;
#[cfg(test)]
mod testing;
pub mod unified_diff;
pub mod validation;

pub mod admissionregistration;
pub mod apiextensions;
pub mod apiregistration;
pub mod apps;
pub mod authentication;
pub mod authorization;
pub mod autoscaling;
pub mod batch;
pub mod certificates;
pub mod coordination;
pub mod core;
pub mod custom;
pub mod discovery;
pub mod events;
pub mod flowcontrol;
pub mod metrics;
pub mod networking;
pub mod node;
pub mod policy;
pub mod rbac;
pub mod resource;
pub mod scheduling;
pub mod storage;

pub use info::{Column, Doc, Form, Info, NameRule, ScalePaths, Subresource, Verbs};
pub use kind::{Claim, Cx, HotField, Kind, Propagation, Read, keep_all_but, keep_field, reset_status};
pub use registry::{Registry, Served};
