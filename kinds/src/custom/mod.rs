//! Custom kinds: what a CustomResourceDefinition makes of the server. One definition, read once, gives a [`CustomKind`]
//! for each of its versions; everything that built-in kinds have written down by hand is computed here from the
//! structural schema: pruning, defaults, faults, apply's types, columns, selectors, documents.
//!
//! Upstream handles a custom object in the version of the request and converts only between there and the store; so
//! does this: [`crate::Kind::at`] gives the kind as one version has it.

mod apply_schema;
mod check;
mod columns;
mod defaults;
mod definition;
mod embedded;
mod json_path;
mod kind;
mod list_type;
mod old_items;
mod open_api;
mod pattern;
mod props;
mod prune;
mod rules;
mod scale_rules;
mod typed;
mod version_order;

pub(crate) use check::{is_checked_format, validate as check_value};
pub use definition::{Definition, is_served};
pub use json_path::JsonPath;
pub use kind::CustomKind;
pub use pattern::Pattern;
pub use props::{Additional, Props};
pub(crate) use prune::prune;
pub(crate) use typed::unescape;
pub use version_order::compare_versions;

use api::Value;

/// Sorts all maps of a tree by key, as Go writes maps: custom objects have no other order.
pub fn sort(value: &mut Value) {
    match value {
        Value::Map(map) => {
            map.sort();
            map.iter_mut().for_each(|(_, v)| sort(v));
        }
        Value::List(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}
