//! Commands: an input and an answer, nothing that stays under its own name. Bindings, evictions and tokens hang below
//! an object; the reviews are kinds that can only be created.

pub mod binding;
pub mod eviction;
pub mod review;
pub mod token;

use crate::answer::Answer;
use crate::call::Call;
use crate::negotiate::Form;
use api::Status;
use bytes::Bytes;
use kinds::Verbs;

/// True for kinds that can only be created: nothing of them is stored.
pub fn is_command(call: &Call) -> bool {
    call.target.subresource.is_empty() && call.info().verbs == Verbs::CREATE
}

/// POST of a kind that is a command.
pub async fn create(call: &Call, form: Form, body: &Bytes) -> Result<Answer, Status> {
    match (call.group(), call.resource()) {
        ("", "bindings") => binding::create(call, form, body).await,
        _ => review::create(call, form, body).await,
    }
}

/// POST to a command below an object.
pub async fn subresource(call: &Call, form: Form, body: &Bytes) -> Result<Answer, Status> {
    match call.target.subresource.as_str() {
        "binding" => binding::create(call, form, body).await,
        "eviction" => eviction::create(call, form, body).await,
        "token" => token::create(call, form, body).await,
        _ => Err(Status::unknown_resource()),
    }
}
