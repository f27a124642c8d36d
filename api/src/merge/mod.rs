//! Structured merge: server-side apply and field ownership.
//!
//! `FieldManager` is the door: it writes `metadata.managedFields` on every update and merges configurations on
//! apply. Below it are field sets (`FieldSet`, on the wire `FieldsV1`), and walks over typed values: which fields a
//! value sets, how two values differ, merging, removing, validating. Semantics and texts are those of
//! structured-merge-diff v6 and apimachinery's `managedfields`.

mod collect;
mod combine;
mod compare;
mod conflict;
mod element;
mod field_manager;
mod field_set;
mod last_applied;
mod managed_fields;
mod remove;
pub mod scale;
mod typing;
mod updater;
mod validate;

pub use collect::to_field_set;
pub use combine::merge;
pub use compare::{Comparison, compare};
pub use element::PathElement;
pub use field_manager::{FieldManager, MAX_UPDATE_MANAGERS};
pub use field_set::{FieldSet, Node};
pub use managed_fields::{
    Managed, Operation, Owner, check, decode, encode, keep_times, manager_or_user_agent,
};
pub use remove::remove_items;
pub use typing::Typing;
pub use updater::{OneVersion, Versions};
pub use validate::{Violation, validate, violations_text};
