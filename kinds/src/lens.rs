//! What writes through lenses leave alone beyond the lens itself.

use crate::keep_field;
use api::Value;

/// What of metadata a status lens of newer kinds leaves alone.
const KEPT: [&str; 4] = ["labels", "annotations", "finalizers", "ownerReferences"];

/// Takes labels, annotations, finalizers and owners from `old`.
pub fn keep_labels_and_owners(new: &mut Value, old: &Value) {
    for field in KEPT {
        match old.at(&["metadata", field]).cloned() {
            Some(value) => new.set(&["metadata", field], value),
            None => drop(new.unset(&["metadata", field])),
        }
    }
}

/// Takes all metadata from `old`, but for who owns which field.
pub fn keep_meta(new: &mut Value, old: &Value) {
    let managed = new.at(&["metadata", "managedFields"]).cloned();
    keep_field(new, old, "metadata");
    match managed {
        Some(managed) => new.set(&["metadata", "managedFields"], managed),
        None => drop(new.unset(&["metadata", "managedFields"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn labels_stay_and_owners_of_fields_change() {
        let old = tree!({"metadata": {"labels": {"a": "b"}, "managedFields": []}});
        let mut new = tree!({"metadata": {"annotations": {"x": "y"}, "managedFields": [{}]}});
        keep_labels_and_owners(&mut new, &old);
        assert_eq!(new, tree!({"metadata": {"labels": {"a": "b"}, "managedFields": [{}]}}));
        new.set(&["metadata", "labels"], Value::map());
        keep_meta(&mut new, &old);
        assert_eq!(new, tree!({"metadata": {"labels": {"a": "b"}, "managedFields": [{}]}}));
    }
}
