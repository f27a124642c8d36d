//! Addresses and node ports of Services.

use super::Claims;
use crate::call::Call;
use api::{Status, Value};

pub async fn make(
    _call: &Call,
    _new: &mut Value,
    _old: Option<&Value>,
    _dry_run: bool,
    _claims: &mut Claims,
) -> Result<(), Status> {
    Ok(())
}

pub async fn release(_call: &Call, _old: &Value, _claims: &mut Claims) {}
