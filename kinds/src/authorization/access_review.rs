//! Access reviews: may somebody do something? Of anybody, within a namespace, of the caller.

use crate::internal_form::internal_form;
use crate::{Cx, Info, Kind, NameRule, Verbs};
use api::selector::label_selector_faults;
use api::{Fault, Path, Value, tree};

const NON_RESOURCE: &str = "io.k8s.api.authorization.v1.NonResourceAttributes";

/// Whose access is asked for.
#[derive(Clone, Copy, PartialEq)]
pub enum Form {
    /// Anybody's, within one namespace.
    Local,
    /// The caller's.
    Own,
    /// The caller's, as a list of rules; its body is not checked.
    Rules,
    /// Anybody's, anywhere.
    Any,
}

pub struct AccessReview(Info, Form);

impl AccessReview {
    pub fn new(kind: &str, form: Form) -> Self {
        let plural = format!("{}s", kind.to_lowercase());
        let info = Info::new("authorization.k8s.io", "v1", kind, &plural);
        let info = info.verbs(Verbs::CREATE).names(NameRule::Own);
        AccessReview(if form == Form::Local { info } else { info.cluster_scoped() }, form)
    }
}

fn spec_faults(obj: &Value, names_subject: bool) -> Vec<Fault> {
    let at = Path::new("spec");
    let attributes = |field: &str| obj.at(&["spec", field]).filter(|a| !a.is_null());
    let (resource, other) = (attributes("resourceAttributes"), attributes("nonResourceAttributes"));
    let mut faults = Vec::new();
    if resource.is_some() && other.is_some() {
        let text = "cannot be specified in combination with resourceAttributes";
        faults.push(Fault::invalid(
            at.child("nonResourceAttributes"),
            internal_form(other, NON_RESOURCE),
            text,
        ));
    }
    if resource.is_none() && other.is_none() {
        let text = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        faults.push(Fault::invalid(at.child("resourceAttributes"), Value::Null, text));
    }
    let user = obj.str_at(&["spec", "user"]);
    if names_subject && user.is_empty() && obj.list_at(&["spec", "groups"]).is_empty() {
        let text = "at least one of user or group must be specified";
        faults.push(Fault::invalid(at.child("user"), user, text));
    }
    if let Some(resource) = resource {
        let path = at.child("resourceAttributes");
        for field in ["fieldSelector", "labelSelector"] {
            if let Some(selector) = resource.get(field).filter(|s| !s.is_null()) {
                faults.extend(selector_faults(selector, field == "labelSelector", &path.child(field)));
            }
        }
    }
    faults
}

fn selector_faults(selector: &Value, of_labels: bool, at: &Path) -> Vec<Fault> {
    let raw = selector.str_at(&["rawSelector"]);
    let requirements = selector.list_at(&["requirements"]);
    let mut faults = Vec::new();
    if !raw.is_empty() && !requirements.is_empty() {
        let text = "may not specified at the same time as requirements";
        faults.push(Fault::invalid(at.child("rawSelector"), raw, text));
    }
    if raw.is_empty() && requirements.is_empty() {
        let text = format!("when {at} is specified, requirements or rawSelector is required");
        faults.push(Fault::required(at.child("requirements"), text));
    }
    for (i, requirement) in requirements.iter().enumerate() {
        let path = at.child("requirements").index(i);
        if !of_labels && requirement.str_at(&["key"]).is_empty() {
            faults.push(Fault::required(path.child("key"), "must be specified"));
        }
        faults.extend(operator_faults(requirement, &path));
        if of_labels {
            faults.extend(label_faults(requirement, &path));
        }
    }
    faults
}

/// Values fit the operator; operators that are not known are let pass.
fn operator_faults(requirement: &Value, at: &Path) -> Option<Fault> {
    let empty = requirement.list_at(&["values"]).is_empty();
    match requirement.str_at(&["operator"]) {
        "In" | "NotIn" if empty => {
            let text = "must be specified when `operator` is 'In' or 'NotIn'";
            Some(Fault::required(at.child("values"), text))
        }
        "Exists" | "DoesNotExist" if !empty => {
            let text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            Some(Fault::forbidden(at.child("values"), text))
        }
        _ => None,
    }
}

/// Key and values are those of labels, whatever the operator.
fn label_faults(requirement: &Value, at: &Path) -> Vec<Fault> {
    let mut plain = requirement.clone();
    plain.set(&["operator"], if plain.list_at(&["values"]).is_empty() { "Exists" } else { "In" });
    let prefix = Path::new("s").child("matchExpressions").index(0);
    let faults = label_selector_faults(&tree!({"matchExpressions": [plain]}), false, &Path::new("s"));
    let moved = faults.into_iter().map(|mut fault| {
        fault.field = fault.field.replacen(prefix.as_str(), at.as_str(), 1);
        fault
    });
    moved.collect()
}

fn meta_fault(obj: &Value, but: &[&str], text: &str) -> Option<Fault> {
    let meta = obj.map_at(&["metadata"])?;
    let other = |key: &str| key != "managedFields" && !but.contains(&key);
    let extra = meta.iter().any(|(key, value)| other(key) && !value.is_empty());
    extra.then(|| Fault::invalid("metadata", meta.clone(), text))
}

fn local_faults(obj: &Value) -> Vec<Fault> {
    let namespace = obj.str_at(&["metadata", "namespace"]);
    let mut faults = Vec::new();
    if let Some(resource) = obj.at(&["spec", "resourceAttributes"]).filter(|r| !r.is_null())
        && resource.str_at(&["namespace"]) != namespace
    {
        let asked = resource.str_at(&["namespace"]);
        let text = "must match metadata.namespace";
        faults.push(Fault::invalid("spec.resourceAttributes.namespace", asked, text));
    }
    if let Some(other) = obj.at(&["spec", "nonResourceAttributes"]).filter(|o| !o.is_null()) {
        let shown = internal_form(Some(other), NON_RESOURCE);
        faults.push(Fault::invalid(
            "spec.nonResourceAttributes",
            shown,
            "disallowed on this kind of request",
        ));
    }
    faults
}

impl Kind for AccessReview {
    fn info(&self) -> &Info {
        &self.0
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        if self.1 == Form::Rules {
            return Vec::new();
        }
        let mut faults = spec_faults(obj, self.1 != Form::Own);
        if self.1 == Form::Local {
            faults.extend(meta_fault(obj, &["namespace"], "must be empty except for namespace"));
            faults.extend(local_faults(obj));
        } else {
            faults.extend(meta_fault(obj, &[], "must be empty"));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(faults: Vec<Fault>) -> Vec<String> {
        faults.iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn a_review_asks_about_one_thing_and_somebody() {
        assert_eq!(
            texts(spec_faults(&tree!({"spec": {}}), true)),
            [
                "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or \
                 resourceAttributes must be specified",
                "spec.user: Invalid value: \"\": at least one of user or group must be specified",
            ]
        );
    }

    #[test]
    fn selectors_are_text_or_requirements() {
        let selector = tree!({"requirements": [{"key": "a b", "operator": "In"}]});
        let found = texts(selector_faults(&selector, true, &Path::new("l")));
        assert_eq!(
            found[0],
            "l.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
        );
        assert!(found[1].starts_with("l.requirements[0].key: Invalid value: \"a b\""));
        assert_eq!(
            texts(selector_faults(&tree!({}), false, &Path::new("f"))),
            ["f.requirements: Required value: when f is specified, requirements or rawSelector is required"]
        );
    }

    #[test]
    fn local_reviews_stay_in_their_namespace() {
        let obj =
            tree!({"metadata": {"namespace": "n"}, "spec": {"resourceAttributes": {"namespace": "other"}}});
        assert_eq!(
            texts(local_faults(&obj)),
            ["spec.resourceAttributes.namespace: Invalid value: \"other\": must match metadata.namespace"]
        );
    }
}
