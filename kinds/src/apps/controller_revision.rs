//! ControllerRevision: a frozen state that DaemonSets and StatefulSets roll back to.

use crate::validation::{self, not_negative};
use crate::{Column, Cx, Info, Kind, print};
use api::{Fault, Path, Value};

const DEFINITION: &str = "io.k8s.api.apps.v1.ControllerRevision";

pub struct ControllerRevision(Info);

impl ControllerRevision {
    pub fn new() -> Self {
        ControllerRevision(Info::new("apps", "v1", "ControllerRevision", "controllerrevisions"))
    }
}

impl Kind for ControllerRevision {
    fn info(&self) -> &Info {
        &self.0
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = not_negative(obj.i64_at(&["revision"]), &Path::new("revision"));
        match obj.get("data") {
            None | Some(Value::Null) => faults.push(Fault::required("data", "data is mandatory")),
            Some(Value::Map(_)) => {}
            Some(_) => faults.push(Fault::required("data", "data must be a valid JSON object")),
        }
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = not_negative(new.i64_at(&["revision"]), &Path::new("revision"));
        let (new, old) = (new.get("data"), old.get("data"));
        if new != old {
            faults.push(Fault::invalid("data", new.cloned().unwrap_or_default(), validation::IMMUTABLE));
        }
        faults
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name(),
            Column::text("Controller", "string", "Controller of the object"),
            Column::field("Revision", "string", DEFINITION, "revision"),
            Column::age(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let revision = obj.i64_at(&["revision"]).unwrap_or(0);
        vec![print::name(obj), controller(obj).into(), revision.into(), print::age(obj, now)]
    }
}

/// `statefulset.apps/web`, or `<none>`.
fn controller(obj: &Value) -> String {
    let owners = obj.list_at(&["metadata", "ownerReferences"]);
    let Some(owner) = owners.iter().find(|o| o.bool_at(&["controller"])) else {
        return "<none>".to_owned();
    };
    let (kind, name) = (owner.str_at(&["kind"]).to_lowercase(), owner.str_at(&["name"]));
    match owner.str_at(&["apiVersion"]).split_once('/') {
        Some((group, _)) => format!("{kind}.{}/{name}", group.to_lowercase()),
        None => format!("{kind}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cx, texts};
    use api::tree;

    #[test]
    fn data_is_an_object_that_never_changes() {
        let kind = ControllerRevision::new();
        let faults = kind.validate(&tree!({"revision": (-1)}), &cx(""));
        assert_eq!(
            texts(&faults),
            [
                "revision: Invalid value: -1: must be greater than or equal to 0",
                "data: Required value: data is mandatory",
            ]
        );
        let faults =
            kind.validate_update(&tree!({"data": {"other": 1}}), &tree!({"data": {"any": 1}}), &cx(""));
        assert_eq!(texts(&faults), ["data: Invalid value: {\"other\":1}: field is immutable"]);
    }

    #[test]
    fn its_controller_is_named_with_kind_and_group() {
        let owner =
            tree!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "controller": true});
        let obj = tree!({"metadata": {"name": "c", "ownerReferences": [owner]}, "revision": 3});
        let cells = ControllerRevision::new().cells(&obj, 0);
        assert_eq!(cells[1], "statefulset.apps/web".into());
    }
}
