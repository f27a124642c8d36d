//! Conflicts: fields that a configuration would change while others own them.

use super::element::PathElement;
use super::field_set::FieldSet;
use super::managed_fields::Owner;
use crate::Status;
use crate::status::Cause;

/// One field and its owner.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    pub owner: Owner,
    pub path: Vec<PathElement>,
}

impl Conflict {
    fn path_text(&self) -> String {
        self.path.iter().map(ToString::to_string).collect()
    }
}

/// The conflicts of an owner's fields, in the order of paths.
pub(super) fn of_owner(owner: &Owner, fields: &FieldSet, out: &mut Vec<Conflict>) {
    fields.for_each(&mut |path| out.push(Conflict { owner: owner.clone(), path: path.to_vec() }));
}

/// 409 `Conflict` with a cause for each field, ordered by owner.
pub(super) fn to_status(mut conflicts: Vec<Conflict>) -> Status {
    conflicts.sort_by_cached_key(|c| c.owner.sort_key());
    let causes = conflicts.iter().map(|c| Cause {
        reason: "FieldManagerConflict".to_owned(),
        message: format!("conflict with {}", c.owner.shown()),
        field: c.path_text(),
    });
    Status::new(409, "Conflict", message(&conflicts)).with_causes(causes.collect())
}

fn message(conflicts: &[Conflict]) -> String {
    if let [only] = conflicts {
        let (owner, path) = (only.owner.shown(), only.path_text());
        return format!("Apply failed with 1 conflict: conflict with {owner}: {path}");
    }
    let mut lines: Vec<String> = Vec::new();
    let mut last: Option<&Owner> = None;
    for conflict in conflicts {
        if last != Some(&conflict.owner) {
            lines.push(format!("conflicts with {}:", conflict.owner.shown()));
            last = Some(&conflict.owner);
        }
        lines.push(format!("- {}", conflict.path_text()));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}
