//! Commands: an input and an answer, nothing that stays under its own name. Bindings, evictions and tokens hang below
//! an object; the reviews are kinds that can only be created.

pub mod binding;
mod direct;
pub mod eviction;
pub mod issuer;
pub mod review;
pub mod token;

use crate::answer::{self, Answer};
use crate::body::{self, Expected};
use crate::call::Call;
use crate::edit::settle_namespace;
use crate::negotiate::Form;
use crate::query::{OptionsKind, WriteOptions};
use api::{Status, Value, schema, status};
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

/// What a command was given.
struct Input {
    object: Value,
    options: WriteOptions,
}

/// Reads the body of a command, of a built-in type.
fn input(call: &Call, group: &str, kind: &str, body: &Bytes) -> Result<Input, Status> {
    let options = WriteOptions::read(&call.query, OptionsKind::Create)?;
    let ty = schema::builtin_type(group, "v1", kind)
        .ok_or_else(|| Status::internal(format!("{kind} is not in the schema")))?;
    let expected = Expected { group, version: "v1", kind, schema: schema::builtin(), ty };
    let mut object = body::decode(call, &expected, body, options.field_validation)?;
    settle_namespace(call, &mut object)?;
    Ok(Input { object, options })
}

/// 201 without an object.
fn done(form: Form) -> Result<Answer, Status> {
    let mut status = status::success(None);
    status.set(&["code"], 201);
    answer::tree(form, 201, &status)
}
