//! Access reviews: may somebody do something? The authorities are asked as they are for a request.

use crate::call::Call;
use api::selector::{FieldSelector, LabelSelector, Operator, Requirement};
use api::{Status, Str, Value, tree};
use authn::Caller;
use authz::{Attributes, Decision, PolicyRule};

/// Answers about the caller itself or about the subject that the spec names.
pub async fn review(call: &Call, mut object: Value) -> Value {
    let own = call.info().kind == "SelfSubjectAccessReview";
    let caller = if own { call.permit.caller().clone() } else { subject(&object) };
    let (asked, mut errors) = asked(&object);
    if let Some(explanation) = call.explanation.as_ref().filter(|_| own) {
        explanation.authorized(&call.server, &caller, &asked).await;
    }
    let decision = call.server.authorizer.decide(&caller, &asked).await;
    let (allowed, denied, reason) = match decision {
        Decision::Allow(reason) => (true, false, reason),
        Decision::Deny(reason) => (false, true, reason),
        Decision::NoOpinion(reason) => (false, false, reason),
    };
    if let Some(error) = reason.error() {
        errors.insert(0, error.to_owned());
    }
    object.set(
        &["status"],
        tree!({
            "allowed": allowed, "denied": denied, "reason": reason.to_string(),
            "evaluationError": errors.join("; ")
        }),
    );
    object
}

fn texts(object: &Value, path: &[&str]) -> Vec<String> {
    object.list_at(path).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn subject(object: &Value) -> Caller {
    let extra = object.map_at(&["spec", "extra"]).into_iter().flat_map(|map| map.iter());
    let extra = extra.map(|(key, values)| (key.to_string(), texts(values, &[]))).collect();
    let (user, uid) = (object.str_at(&["spec", "user"]), object.str_at(&["spec", "uid"]));
    authn::hypothetical(user, uid, texts(object, &["spec", "groups"]), extra)
}

/// What the spec asks about, and which of its selectors could not be read.
fn asked(object: &Value) -> (Attributes, Vec<String>) {
    let Some(given) = object.at(&["spec", "resourceAttributes"]).filter(|a| !a.is_null()) else {
        let text = |field: &str| object.str_at(&["spec", "nonResourceAttributes", field]);
        return (Attributes::path(text("verb"), text("path")), Vec::new());
    };
    let text = |field: &str| given.str_at(&[field]);
    let version = if text("version").is_empty() { "*" } else { text("version") };
    let mut attributes = Attributes::resource(text("verb"), text("group"), version, text("resource"));
    attributes.subresource = text("subresource").into();
    attributes.namespace = text("namespace").into();
    attributes.name = text("name").into();
    let (fields, fields_read) = fields(given.get("fieldSelector"));
    let (labels, labels_read) = labels(given.get("labelSelector"));
    let error = |name: &str, empty: bool| {
        let much = if empty { "ignored" } else { "partially ignored" };
        format!("spec.resourceAttributes.{name} {much} due to parse error")
    };
    let mut errors = Vec::new();
    if !fields_read {
        errors.push(error("fieldSelector", fields.is_empty()));
    }
    if !labels_read {
        errors.push(error("labelSelector", labels.is_empty()));
    }
    (attributes.fields, attributes.labels) = (fields, labels);
    (attributes, errors)
}

/// A selector as text or as requirements; false when not all of it could be read. What can be is used: a narrower
/// question would be refused less.
fn fields(selector: Option<&Value>) -> (FieldSelector, bool) {
    let Some(selector) = selector else { return (FieldSelector::everything(), true) };
    let requirements = selector.list_at(&["requirements"]);
    if requirements.is_empty() {
        let parsed = FieldSelector::parse(selector.str_at(&["rawSelector"]));
        return parsed.map_or((FieldSelector::everything(), false), |selector| (selector, true));
    }
    let (mut text, mut all) = (Vec::new(), true);
    for requirement in requirements {
        let sign = match (requirement.str_at(&["operator"]), requirement.list_at(&["values"])) {
            ("In", [_]) => "=",
            ("NotIn", [_]) => "!=",
            _ => {
                all = false;
                continue;
            }
        };
        let value = requirement.list_at(&["values"]).first().and_then(Value::as_str).unwrap_or_default();
        let value = value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
        text.push(format!("{}{sign}{value}", requirement.str_at(&["key"])));
    }
    let parsed = FieldSelector::parse(&text.join(","));
    parsed.map_or((FieldSelector::everything(), false), |selector| (selector, all))
}

fn labels(selector: Option<&Value>) -> (LabelSelector, bool) {
    let Some(selector) = selector else { return (LabelSelector::everything(), true) };
    let requirements = selector.list_at(&["requirements"]);
    if requirements.is_empty() {
        let parsed = LabelSelector::parse(selector.str_at(&["rawSelector"]));
        return parsed.map_or((LabelSelector::everything(), false), |selector| (selector, true));
    }
    let read = |requirement: &Value| {
        let operator = match requirement.str_at(&["operator"]) {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => return None,
        };
        let values = requirement.list_at(&["values"]).iter().filter_map(Value::as_str).map(Str::from);
        Requirement::new(requirement.str_at(&["key"]), operator, values.collect()).ok()
    };
    let understood: Vec<Requirement> = requirements.iter().filter_map(read).collect();
    let all = understood.len() == requirements.len();
    (LabelSelector::new(understood), all)
}

/// The rules that apply to the caller in a namespace, as far as authorities can list theirs.
pub fn rules(call: &Call, object: &Value) -> Result<Value, Status> {
    let namespace = object.str_at(&["spec", "namespace"]);
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let found = call.server.authorizer.rules(call.permit.caller(), namespace);
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for rule in &found.rules {
        let PolicyRule { verbs, api_groups, resource_names, non_resource_urls, .. } = rule;
        let part = |rule: PolicyRule| rule.to_value();
        if !rule.resources.is_empty() {
            resources.push(part(PolicyRule {
                verbs: verbs.clone(),
                api_groups: api_groups.clone(),
                resources: rule.resources.clone(),
                resource_names: resource_names.clone(),
                ..PolicyRule::default()
            }));
        }
        if !non_resource_urls.is_empty() {
            paths.push(part(PolicyRule {
                verbs: verbs.clone(),
                non_resource_urls: non_resource_urls.clone(),
                ..PolicyRule::default()
            }));
        }
    }
    Ok(tree!({
        "metadata": {},
        "spec": {},
        "status": {
            "resourceRules": resources, "nonResourceRules": paths, "incomplete": found.incomplete,
            "evaluationError": found.error()
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(resource_attributes: Value) -> (Attributes, Vec<String>) {
        asked(&tree!({"spec": {"resourceAttributes": resource_attributes}}))
    }

    #[test]
    fn a_review_asks_what_a_request_would() {
        let review = tree!({"spec": {
            "user": "jane", "groups": ["a"], "extra": {"k": ["v", "w"]},
            "resourceAttributes": {"verb": "get", "resource": "pods", "subresource": "log", "namespace": "n", "name": "p"}
        }});
        let (asked, errors) = asked(&review);
        assert_eq!(
            (asked.version.as_str(), asked.subresource.as_str(), asked.is_resource, errors.len()),
            ("*", "log", true, 0)
        );
        let jane = subject(&review);
        assert_eq!((jane.name(), jane.groups()), ("jane", &["a".to_owned()][..]));
        assert_eq!(jane.extra(), [("k".to_owned(), vec!["v".to_owned(), "w".to_owned()])]);
        assert!(jane.is_hypothetical());
    }

    #[test]
    fn a_path_is_no_resource() {
        let review = tree!({"spec": {"nonResourceAttributes": {"verb": "get", "path": "/healthz"}}});
        assert_eq!(asked(&review), (Attributes::path("get", "/healthz"), Vec::new()));
    }

    #[test]
    fn selectors_are_read_as_those_of_requests() {
        let (asked, errors) = of(tree!({
            "fieldSelector": {"requirements": [
                {"key": "spec.nodeName", "operator": "In", "values": ["a,b"]},
                {"key": "x", "operator": "NotIn", "values": ["y"]},
            ]},
            "labelSelector": {"requirements": [{"key": "a", "operator": "In", "values": ["b", "c"]}]},
        }));
        assert_eq!(asked.fields, FieldSelector::parse(r"spec.nodeName=a\,b,x!=y").unwrap());
        assert_eq!(asked.labels, LabelSelector::parse("a in (b,c)").unwrap());
        assert_eq!(errors, [""; 0]);
        assert_eq!(
            of(tree!({"fieldSelector": {"rawSelector": "a=b"}})).0.fields,
            FieldSelector::equals("a", "b")
        );
    }

    #[test]
    fn what_cannot_be_read_of_a_selector_is_told() {
        let (asked, errors) = of(tree!({
            "fieldSelector": {"requirements": [
                {"key": "a", "operator": "In", "values": ["b"]}, {"key": "c", "operator": "Exists"}
            ]},
            "labelSelector": {"rawSelector": "a in ("},
        }));
        assert_eq!((asked.fields, asked.labels.is_empty()), (FieldSelector::equals("a", "b"), true));
        assert_eq!(
            errors,
            [
                "spec.resourceAttributes.fieldSelector partially ignored due to parse error",
                "spec.resourceAttributes.labelSelector ignored due to parse error",
            ]
        );
    }
}
