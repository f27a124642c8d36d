//! `POST serviceaccounts/NAME/token`: a token for a service account, bound to a pod, node or secret if asked, and to
//! its audiences. Source: upstream's `pkg/registry/core/serviceaccount/storage/token.go`.

use super::issuer::{EXTENDED_SECS, TokenIssuer, WATCHED_SECS};
use super::{Input, direct, input};
use crate::answer::{self, Answer};
use crate::call::Call;
use crate::edit::{admission_check, admit};
use crate::negotiate::Form;
use admission::Operation;
use api::merge::{FieldManager, FieldSet, Typing, Versions};
use api::{Fault, Map, Status, Value, json, schema, tree};
use bytes::Bytes;

const GROUP: &str = "authentication.k8s.io";
const API_VERSION: &str = "authentication.k8s.io/v1";
const KIND: &str = "TokenRequest";
/// Under which key the audit log learns which token was issued.
const ISSUED: &str = "authentication.kubernetes.io/issued-credential-id";
const DEFAULT_SECS: i64 = 3600;
const MIN_SECS: i64 = 600;
const MAX_SECS: i64 = 1 << 32;

pub async fn create(call: &Call, form: Form, body: &Bytes) -> Result<Answer, Status> {
    let Input { object: mut request, options } = input(call, GROUP, KIND, body)?;
    let name = call.target.name.as_str();
    if request.i64_at(&["spec", "expirationSeconds"]).is_none() {
        request.set(&["spec", "expirationSeconds"], DEFAULT_SECS);
    }
    own(call, &mut request, &call.manager(&options.field_manager))?;
    admit(call, Operation::Create, name, Some(&mut request), None, options.dry_run).await?;
    check_place(call, &request)?;
    let accounts = direct::kind(call, "", "serviceaccounts")?;
    let account = direct::get(call, &*accounts, name).await?;
    settle(call, &mut request, &account)?;
    check(&request)?;
    admission_check(call, Operation::Create, name, Some(&mut request), None, options.dry_run).await?;
    let bound = bound(call, &request, name).await?;
    answer::tree(form, 201, &issue(call, request, &account, &bound)?)
}

/// The request as its maker's: nothing of it is stored, but its answer says whose fields are whose.
fn own(call: &Call, request: &mut Value, manager: &str) -> Result<(), Status> {
    struct One;
    impl<'s> Versions<'s> for One {
        fn typing(&self, _: &str) -> Option<Typing<'s>> {
            None
        }
        fn convert(&self, object: &Value, _: &str) -> Option<Value> {
            Some(object.clone())
        }
        fn reset_fields(&self, _: &str) -> Option<&FieldSet> {
            None
        }
    }
    let ty = schema::builtin_type(GROUP, "v1", KIND)
        .ok_or_else(|| Status::internal("no schema for TokenRequest"))?;
    let fields = FieldManager {
        typing: Typing::of(schema::builtin(), ty),
        api_version: API_VERSION,
        kind: KIND,
        subresource: "token",
        reset_fields: &FieldSet::new(),
        versions: &One,
    };
    *request = fields.update(None, request.take(), manager, &call.now);
    Ok(())
}

fn invalid(name: &str, fault: Fault) -> Status {
    Status::invalid(GROUP, KIND, name, &[fault])
}

/// The body may name the account that the path names, and no other.
fn check_place(call: &Call, request: &Value) -> Result<(), Status> {
    let name = call.target.name.as_str();
    let given = Call::name_of(request);
    if given.is_empty() || given == name {
        return Ok(());
    }
    let why = "must match the service account name if specified";
    Err(invalid(name, Fault::invalid("metadata.name", given, why)))
}

/// What the request says of its account, and what it leaves to the server.
fn settle(call: &Call, request: &mut Value, account: &Value) -> Result<(), Status> {
    let (uid, given) = (account.str_at(&["metadata", "uid"]), request.str_at(&["metadata", "uid"]));
    if !given.is_empty() && given != uid {
        let why = format!(
            "the UID in the token request ({given}) does not match the UID of the service account ({uid})"
        );
        return Err(Status::conflict(GROUP, KIND, &call.target.name, &why));
    }
    if request.list_at(&["spec", "audiences"]).is_empty() {
        request.set(&["spec", "audiences"], call.server.authenticator.api_audiences().to_vec());
    }
    request.set(&["metadata", "name"], call.target.name.as_str());
    request.set(&["metadata", "namespace"], call.namespace());
    request.set(&["metadata", "uid"], uid);
    request.set(&["metadata", "creationTimestamp"], call.now.as_str());
    request.unset(&["status"]);
    Ok(())
}

fn lifetime(request: &Value) -> i64 {
    request.i64_at(&["spec", "expirationSeconds"]).unwrap_or(DEFAULT_SECS)
}

fn check(request: &Value) -> Result<(), Status> {
    let secs = lifetime(request);
    let why = match secs {
        ..MIN_SECS => "may not specify a duration less than 10 minutes",
        _ if secs > MAX_SECS => "may not specify a duration larger than 2^32 seconds",
        _ => return Ok(()),
    };
    Err(invalid("", Fault::invalid("spec.expirationSeconds", secs, why)))
}

/// What a token is bound to: it is worth nothing once one of them is gone.
#[derive(Default)]
struct Bound {
    pod: Option<Value>,
    secret: Option<Value>,
    node: Option<Value>,
}

async fn bound(call: &Call, request: &Value, account: &str) -> Result<Bound, Status> {
    let mut bound = Bound::default();
    let Some(reference) = request.at(&["spec", "boundObjectRef"]).filter(|r| !r.is_null()) else {
        return Ok(bound);
    };
    let (api_version, kind, name) =
        (reference.str_at(&["apiVersion"]), reference.str_at(&["kind"]), reference.str_at(&["name"]));
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let object = match (group, kind) {
        ("", "Pod") => direct::get(call, &*direct::kind(call, "", "pods")?, name).await?,
        ("", "Secret") => direct::get(call, &*direct::kind(call, "", "secrets")?, name).await?,
        ("", "Node") => direct::get(call, &*direct::kind(call, "", "nodes")?, name).await?,
        _ => {
            let ty = format!("{group}/{version}, Kind={kind}");
            return Err(Status::bad_request(format!("cannot bind token to object of type {ty}")));
        }
    };
    let (given, uid) = (reference.str_at(&["uid"]), object.str_at(&["metadata", "uid"]));
    if kind == "Pod" && object.str_at(&["spec", "serviceAccountName"]) != account {
        let quoted = api::quote(account);
        return Err(Status::bad_request(format!(
            "cannot bind token for serviceaccount {quoted} to pod running with different serviceaccount name."
        )));
    }
    if !given.is_empty() && given != uid {
        let why = format!(
            "the UID in the bound object reference ({given}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(Status::conflict(group, kind, name, &why));
    }
    match kind {
        "Pod" => {
            bound.node = node_of(call, &object).await;
            bound.pod = Some(object);
        }
        "Secret" => bound.secret = Some(object),
        _ => bound.node = Some(object),
    }
    Ok(bound)
}

/// The node of a pod; only its name when there is no such node.
async fn node_of(call: &Call, pod: &Value) -> Option<Value> {
    let name = Some(pod.str_at(&["spec", "nodeName"])).filter(|name| !name.is_empty())?;
    let found = call.server.find("", "nodes", "", name, false).await;
    Some(found.unwrap_or_else(|| tree!({"metadata": {"name": name}})))
}

fn reference(object: &Value) -> Value {
    let mut map = Map::new();
    for field in ["name", "uid"] {
        let text = object.str_at(&["metadata", field]);
        if !text.is_empty() {
            map.insert(field, text);
        }
    }
    Value::Map(map)
}

/// No token lives longer than the server lets it.
fn shorten(call: &Call, issuer: &TokenIssuer, request: &mut Value) {
    let secs = lifetime(request);
    if let Some(max) = issuer.shortened(secs) {
        call.warn(format!("requested expiration of {secs} seconds shortened to {max} seconds"));
        request.set(&["spec", "expirationSeconds"], max);
    }
}

fn issue(call: &Call, mut request: Value, account: &Value, bound: &Bound) -> Result<Value, Status> {
    let issuer = call.server.tokens.as_ref().ok_or_else(|| Status::internal("no key to sign tokens with"))?;
    shorten(call, issuer, &mut request);
    let (now, secs) = (call.now_secs, lifetime(&request));
    let audiences = request.list_at(&["spec", "audiences"]).to_vec();
    let ours =
        |a: &Value| call.server.authenticator.api_audiences().iter().any(|our| a.as_str() == Some(our));
    let watched = issuer.extend && bound.pod.is_some() && secs == WATCHED_SECS && audiences.iter().all(ours);
    let life = if watched { EXTENDED_SECS } else { secs };
    let mut private = tree!({"namespace": call.namespace()});
    let objects =
        [("node", bound.node.as_ref()), ("pod", bound.pod.as_ref()), ("secret", bound.secret.as_ref())];
    for (field, object) in objects {
        if let Some(object) = object {
            private.set(&[field], reference(object));
        }
    }
    private.set(&["serviceaccount"], reference(account));
    if watched {
        private.set(&["warnafter"], now + secs);
    }
    let jti = call.server.ids.uuid();
    let claims = tree!({
        "aud": audiences,
        "exp": now + life,
        "iat": now,
        "iss": issuer.issuer.as_str(),
        "jti": jti.as_str(),
        "kubernetes.io": private,
        "nbf": now,
        "sub": format!("system:serviceaccount:{}:{}", call.namespace(), call.target.name)
    });
    let token = issuer.signer.sign(&json::to_vec(&claims));
    let token = token.map_err(|e| Status::internal(format!("failed to generate token: {e}")))?;
    call.annotate(vec![(ISSUED.to_owned(), format!("JTI={jti}"))]);
    let ends = crate::metadata::time_plus(&call.now, secs);
    request.set(&["status"], tree!({"token": token, "expirationTimestamp": ends}));
    let ty = schema::builtin_type(GROUP, "v1", KIND)
        .ok_or_else(|| Status::internal("no schema for TokenRequest"))?;
    schema::normalise(schema::builtin(), ty, &mut request).map_err(Status::internal)?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(secs: i64) -> Option<String> {
        check(&tree!({"spec": {"expirationSeconds": secs}})).err().map(|status| status.message)
    }

    #[test]
    fn tokens_live_from_ten_minutes_to_a_lifetime() {
        assert_eq!(
            refused(5).as_deref(),
            Some(
                "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes"
            )
        );
        assert_eq!(refused(600), None);
        assert_eq!(refused(MAX_SECS), None);
        assert!(refused(MAX_SECS + 1).is_some());
    }
}
