//! Reviews: who am I, who is this, may they? Nothing of them is stored.

mod access;
mod token;

use super::Input;
use crate::answer::{self, Answer};
use crate::call::Call;
use crate::edit::{admission_check, admit, settle_namespace};
use crate::negotiate::Form;
use crate::query::{OptionsKind, WriteOptions};
use crate::{body, fields, stored};
use admission::Operation;
use api::{Map, Status, Value, tree};
use authn::Caller;
use bytes::Bytes;

pub async fn create(call: &Call, form: Form, bytes: &Bytes) -> Result<Answer, Status> {
    let options = WriteOptions::read(&call.query, OptionsKind::Create)?;
    let mut object = body::object(call, bytes, options.field_validation)?;
    settle_namespace(call, &mut object)?;
    fields::created(call, &mut object, &call.manager(&options.field_manager))?;
    let dry_run = options.dry_run;
    admit(call, Operation::Create, "", Some(&mut object), None, dry_run).await?;
    let faults = call.kind.validate(&object, &call.cx());
    if !faults.is_empty() {
        // The kind is not named: upstream's decoder has taken it away.
        return Err(Status::invalid(call.group(), "", "", &faults));
    }
    admission_check(call, Operation::Create, "", Some(&mut object), None, dry_run).await?;
    let mut answer = answer_of(call, Input { object, options }).await?;
    answer.set(&["kind"], call.info().kind.as_str());
    answer.set(&["apiVersion"], call.info().api_version(call.version()));
    stored::normalise(&*call.kind, call.version(), &mut answer)?;
    answer::tree(form, 201, &answer)
}

async fn answer_of(call: &Call, input: Input) -> Result<Value, Status> {
    let object = input.object;
    match call.info().kind.as_str() {
        "SelfSubjectReview" => Ok(tree!({
            "metadata": {"creationTimestamp": call.now.as_str()},
            "status": {"userInfo": user_info(call.permit.caller())}
        })),
        "TokenReview" => token::review(call, object).await,
        "SelfSubjectRulesReview" => access::rules(call, &object),
        _ => Ok(access::review(call, object).await),
    }
}

/// `authentication.k8s.io/v1 UserInfo` of a caller.
fn user_info(caller: &Caller) -> Value {
    let mut extra: Vec<_> = caller.extra().to_vec();
    extra.sort();
    let extra: Map = extra.into_iter().collect();
    tree!({
        "username": caller.name(), "uid": caller.uid(), "groups": caller.groups().to_vec(), "extra": extra
    })
}
