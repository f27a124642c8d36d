//! Access reviews: may somebody do something? The authorities are asked as they are for a request.

use crate::call::Call;
use api::{Status, Value, tree};
use authn::Caller;
use authz::{Attributes, Decision};

/// Answers about the caller itself or about the subject that the spec names.
pub async fn review(call: &Call, mut object: Value) -> Value {
    let own = call.info().kind == "SelfSubjectAccessReview";
    let caller = if own { call.permit.caller().clone() } else { subject(&object) };
    let decision = call.server.authorizer.decide(&caller, &asked(&object)).await;
    let (allowed, denied, reason) = match decision {
        Decision::Allow(reason) => (true, false, reason),
        Decision::Deny(reason) => (false, true, reason),
        Decision::NoOpinion(reason) => (false, false, reason),
    };
    object.set(&["status"], tree!({"allowed": allowed, "denied": denied, "reason": reason.to_string()}));
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

/// What the spec asks about.
fn asked(object: &Value) -> Attributes {
    if let Some(other) = object.at(&["spec", "nonResourceAttributes"]).filter(|a| !a.is_null()) {
        return Attributes::path(other.str_at(&["verb"]), other.str_at(&["path"]));
    }
    let none = Value::map();
    let given = object.at(&["spec", "resourceAttributes"]).unwrap_or(&none);
    let text = |field: &str| given.str_at(&[field]);
    let version = if text("version").is_empty() { "*" } else { text("version") };
    let mut attributes = Attributes::resource(text("verb"), text("group"), version, text("resource"));
    attributes.subresource = text("subresource").into();
    attributes.namespace = text("namespace").into();
    attributes.name = text("name").into();
    attributes
}

/// The rules that apply to the caller in a namespace, as far as authorities can list theirs.
pub async fn rules(call: &Call, object: &Value) -> Result<Value, Status> {
    if object.str_at(&["spec", "namespace"]).is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    // The authorities of today answer questions but cannot list all that they would allow: they are asked for all.
    let may = async |asked: Attributes| {
        matches!(call.server.authorizer.decide(call.permit.caller(), &asked).await, Decision::Allow(_))
    };
    let all = may(Attributes::resource("*", "*", "*", "*")).await;
    let resources: Vec<Value> =
        all.then(|| tree!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})).into_iter().collect();
    let paths: Vec<Value> = may(Attributes::path("*", "*"))
        .await
        .then(|| tree!({"verbs": ["*"], "nonResourceURLs": ["*"]}))
        .into_iter()
        .collect();
    Ok(tree!({
        "metadata": {},
        "spec": {},
        "status": {"resourceRules": resources, "nonResourceRules": paths, "incomplete": !all}
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_review_asks_what_a_request_would() {
        let review = tree!({"spec": {
            "user": "jane", "groups": ["a"], "extra": {"k": ["v", "w"]},
            "resourceAttributes": {"verb": "get", "resource": "pods", "subresource": "log", "namespace": "n", "name": "p"}
        }});
        let asked = asked(&review);
        assert_eq!(
            (asked.version.as_str(), asked.subresource.as_str(), asked.is_resource),
            ("*", "log", true)
        );
        let jane = subject(&review);
        assert_eq!((jane.name(), jane.groups()), ("jane", &["a".to_owned()][..]));
        assert_eq!(jane.extra(), [("k".to_owned(), vec!["v".to_owned(), "w".to_owned()])]);
        assert!(jane.is_hypothetical());
    }

    #[test]
    fn a_path_is_no_resource() {
        let review = tree!({"spec": {"nonResourceAttributes": {"verb": "get", "path": "/healthz"}}});
        assert_eq!(asked(&review), Attributes::path("get", "/healthz"));
    }
}
