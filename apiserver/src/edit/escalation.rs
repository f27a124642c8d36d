//! Escalation: who writes a role or a binding must hold what it grants, or be allowed to `escalate` or `bind`.
//! Between admission and the checks of the kind, where upstream has it too.

use crate::call::Call;
use api::{Status, Value};
use authz::{Attributes, Decision, PolicyRule, Rules};

const GROUP: &str = "rbac.authorization.k8s.io";
/// Whose members may grant anything.
const PRIVILEGED: &str = "system:masters";
/// What garbage collection may change in any object.
const COLLECTED: [&str; 4] = ["ownerReferences", "finalizers", "selfLink", "managedFields"];

/// Refuses with 403 what would give the caller, or others, more than the caller has; 404 of a role that a binding
/// names and that is not there (called after the binding's resource, as upstream does). Objects are in the stored version.
pub async fn check(call: &Call, new: &Value, old: Option<&Value>) -> Result<(), Status> {
    if call.group() != GROUP || call.permit.caller().in_group(PRIVILEGED) {
        return Ok(());
    }
    let roles = call.resource().ends_with("roles");
    if roles && may(call, "escalate", call.resource(), &call.permit.attributes().name).await {
        return Ok(());
    }
    if old.is_some_and(|old| is_same(new, old)) {
        return Ok(());
    }
    if roles { check_role(call, new, old) } else { check_binding(call, new).await }
}

/// Whether nothing changes but what garbage collection may change.
fn is_same(new: &Value, old: &Value) -> bool {
    let rest = |object: &Value| {
        let mut rest = object.clone();
        COLLECTED.iter().for_each(|field| drop(rest.unset(&["metadata", field])));
        rest
    };
    rest(new) == rest(old)
}

async fn may(call: &Call, verb: &str, resource: &str, name: &str) -> bool {
    let mut asked = Attributes::resource(verb, GROUP, "*", resource);
    asked.namespace = call.namespace().into();
    asked.name = name.into();
    matches!(call.server.authorizer.decide(call.permit.caller(), &asked).await, Decision::Allow(_))
}

/// What the caller holds where the object is.
fn held(call: &Call) -> Rules {
    call.server.authorizer.held(call.permit.caller(), call.namespace())
}

fn forbidden(call: &Call, object: &Value, why: &str) -> Status {
    Status::forbidden(GROUP, call.resource(), Call::name_of(object), why)
}

fn check_role(call: &Call, new: &Value, old: Option<&Value>) -> Result<(), Status> {
    let (held, caller) = (held(call), call.permit.caller());
    held.confirm(caller, &PolicyRule::all_of(new)).map_err(|why| forbidden(call, new, &why))?;
    // Who gathers the rules of others may come to hold anything.
    let gathers = |role: &Value| !role.list_at(&["aggregationRule", "clusterRoleSelectors"]).is_empty();
    if (gathers(new) || old.is_some_and(gathers)) && held.confirm(caller, &PolicyRule::everything()).is_err()
    {
        let why = "must have cluster-admin privileges to use the aggregationRule";
        return Err(forbidden(call, new, why));
    }
    Ok(())
}

async fn check_binding(call: &Call, new: &Value) -> Result<(), Status> {
    let (kind, name) = (new.str_at(&["roleRef", "kind"]), new.str_at(&["roleRef", "name"]));
    let (plural, namespace) = authz::place_of_role(kind, call.namespace()).map_err(Status::unclassified)?;
    let known = new.str_at(&["roleRef", "apiGroup"]) == GROUP;
    if known && may(call, "bind", plural, name).await {
        return Ok(());
    }
    let role = call.server.find(GROUP, plural, namespace, name, true).await;
    let role = role.ok_or_else(|| Status::not_found(GROUP, call.resource(), name))?;
    let confirmed = held(call).confirm(call.permit.caller(), &PolicyRule::all_of(&role));
    confirmed.map_err(|why| forbidden(call, new, &why))
}
