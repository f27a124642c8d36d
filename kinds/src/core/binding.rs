//! Binding: the command that puts a pod onto a node, on its own or as `pods/binding`.

use crate::{Cx, Info, Kind, Verbs};
use api::{Fault, Path, Value};

pub struct Binding(Info);

impl Binding {
    pub fn new() -> Self {
        Binding(Info::new("", "v1", "Binding", "bindings").verbs(Verbs::CREATE))
    }
}

impl Kind for Binding {
    fn info(&self) -> &Info {
        &self.0
    }

    /// The target is a node with a name. (Upstream answers these faults with 500, as plain text.)
    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let (path, kind) = (Path::new("target"), obj.str_at(&["target", "kind"]));
        let mut faults = Vec::new();
        if !matches!(kind, "" | "Node") {
            faults.push(Fault::not_supported(path.child("kind"), kind, &["Node", "<empty>"]));
        }
        if obj.str_at(&["target", "name"]).is_empty() {
            faults.push(Fault::required(path.child("name"), ""));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cx, texts};
    use api::tree;

    #[test]
    fn a_target_is_a_node_with_a_name() {
        assert_eq!(
            texts(&Binding::new().validate(&tree!({"target": {"kind": "Pod"}}), &cx(""))),
            [
                "target.kind: Unsupported value: \"Pod\": supported values: \"Node\", \"<empty>\"",
                "target.name: Required value",
            ]
        );
    }
}
