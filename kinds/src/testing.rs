//! What tests of kinds share: a request's context, and faults as the texts that clients read.

use crate::Cx;
use api::Fault;

/// The context of a request by nobody in particular, through a subresource ("" for none).
pub fn cx(subresource: &str) -> Cx<'_> {
    let now = "2024-01-01T00:00:00Z";
    Cx { user: "", uid: "", groups: &[], extra: &[], now, subresource, version: "v1" }
}

/// Faults as text, in their order.
pub fn texts(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}
