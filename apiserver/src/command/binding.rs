//! Bindings: a pod gets its node, once. `POST pods/NAME/binding`, and the older `POST bindings`.

use super::{Input, direct, done, input};
use crate::answer::Answer;
use crate::call::Call;
use crate::edit::{admission_check, admit};
use crate::negotiate::Form;
use admission::Operation;
use api::{Fault, Status, Value};
use bytes::Bytes;

pub async fn create(call: &Call, form: Form, body: &Bytes) -> Result<Answer, Status> {
    let Input { object: mut binding, options } = input(call, "", "Binding", body)?;
    let name = Call::name_of(&binding).to_owned();
    admit(call, Operation::Create, &name, Some(&mut binding), None, options.dry_run).await?;
    if !call.target.name.is_empty() && call.target.name != name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    check(&binding)?;
    admission_check(call, Operation::Create, &name, Some(&mut binding), None, options.dry_run).await?;
    let pods = direct::kind(call, "", "pods")?;
    direct::update(call, &*pods, &name, options.dry_run, |pod| assign(call, &binding, pod)).await?;
    done(form)
}

/// Faults of a binding are no Status upstream, only text.
fn check(binding: &Value) -> Result<(), Status> {
    let mut faults = Vec::new();
    let kind = binding.str_at(&["target", "kind"]);
    if !matches!(kind, "" | "Node") {
        faults.push(Fault::not_supported("target.kind", kind, &["Node", "<empty>"]));
    }
    if binding.str_at(&["target", "name"]).is_empty() {
        faults.push(Fault::required("target.name", ""));
    }
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    match texts.as_slice() {
        [] => Ok(()),
        [one] => Err(Status::unclassified(one.as_str())),
        _ => Err(Status::unclassified(format!("[{}]", texts.join(", ")))),
    }
}

fn assign(call: &Call, binding: &Value, pod: &mut Value) -> Result<(), Status> {
    let name = Call::name_of(pod).to_owned();
    check_preconditions(call, binding, pod)?;
    let conflict = |why: &str| Err(Status::conflict("", "pods/binding", &name, why));
    if crate::metadata::is_deleting(pod) {
        return conflict(&format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let node = pod.str_at(&["spec", "nodeName"]);
    if !node.is_empty() {
        return conflict(&format!("pod {name} is already assigned to node {}", api::quote(node)));
    }
    if !pod.list_at(&["spec", "schedulingGates"]).is_empty() {
        return conflict(&format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    pod.set(&["spec", "nodeName"], binding.str_at(&["target", "name"]));
    pod.unset(&["status", "nominatedNodeName"]);
    for field in ["annotations", "labels"] {
        for (key, value) in binding.map_at(&["metadata", field]).into_iter().flat_map(|m| m.iter()) {
            pod.make_map(&["metadata", field]).insert(key.clone(), value.clone());
        }
    }
    direct::set_condition(pod, "PodScheduled", "True", &[], &call.now);
    Ok(())
}

/// A binding may name the pod that its maker saw.
fn check_preconditions(call: &Call, binding: &Value, pod: &Value) -> Result<(), Status> {
    for (field, what) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
        let wanted = binding.str_at(&["metadata", field]);
        let found = pod.str_at(&["metadata", field]);
        if wanted.is_empty() || wanted == found {
            continue;
        }
        let (namespace, name) = (call.namespace(), Call::name_of(pod));
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/pods/{namespace}/{name}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
        );
        return Err(Status::conflict("", "pods", name, &why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_bad_target_is_told_in_plain_text() {
        let status = check(&tree!({"target": {"kind": "Pod", "name": "x"}})).unwrap_err();
        assert_eq!(
            status.message,
            r#"target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>""#
        );
        assert_eq!((status.code, status.reason), (500, ""));
        let both = check(&tree!({"target": {"kind": "Pod"}})).unwrap_err();
        assert!(both.message.starts_with('[') && both.message.ends_with("target.name: Required value]"));
    }
}
