//! Selectors: which objects a list, a watch or a controller means, by their labels or by a few of their fields.
//!
//! Two languages, as upstream has them: labels (`app in (a,b),!old`) and fields (`status.phase!=Running`).
//! Parsing, matching, printing and the texts of errors follow apimachinery's `labels` and `fields`.

mod field;
mod label;
mod label_parse;

pub use field::{FieldSelector, FieldTerm};
pub use label::{LabelSelector, Operator, Requirement, label_faults, label_selector_faults};
