//! Replace: PUT of a whole object, or of one seen through a lens.

use super::change::{Change, Wanted, malformed_version};
use super::create::new_object;
use super::{Written, settle_namespace};
use crate::call::Call;
use crate::query::{OptionsKind, WriteOptions};
use crate::{body, fields, metadata};
use api::{Status, Value};
use bytes::Bytes;

pub async fn replace(call: &Call, body: &Bytes) -> Result<Written, Status> {
    let options = WriteOptions::read(&call.query, OptionsKind::Update)?;
    let mut obj = body::object(call, body, options.field_validation)?;
    check_name(&obj, &call.target.name)?;
    settle_namespace(call, &mut obj)?;
    if let Some(text) = metadata::dedup_owner_references(&mut obj) {
        call.warn(text);
    }
    let version = obj.str_at(&["metadata", "resourceVersion"]);
    if !version.is_empty() && version.parse::<u64>().is_err() {
        return Err(malformed_version(version));
    }
    let manager = call.manager(&options.field_manager);
    let name = call.target.name.as_str();
    let change = Change { call, name, dry_run: options.dry_run, as_main: false };
    let written = change
        .run(|current| {
            let mut wanted = Wanted::from(obj.clone());
            fields::updated(call, current, &mut wanted.object, &manager)?;
            Ok(wanted)
        })
        .await?;
    match written {
        Some(written) => Ok(written),
        None => create_missing(call, obj, &manager, options.dry_run).await,
    }
}

/// A PUT to a name that does not exist creates the few kinds that allow it.
async fn create_missing(
    call: &Call,
    mut obj: Value,
    manager: &str,
    dry_run: bool,
) -> Result<Written, Status> {
    if !call.info().create_on_update || !call.target.subresource.is_empty() {
        return Err(call.not_found(&call.target.name));
    }
    obj.unset(&["metadata", "resourceVersion"]);
    fields::created(call, &mut obj, manager)?;
    new_object(call, obj, dry_run).await
}

/// The body of a write to a name must carry that name.
pub fn check_name(obj: &Value, name: &str) -> Result<(), Status> {
    let given = Call::name_of(obj);
    if given == name {
        return Ok(());
    }
    Err(Status::bad_request(if given.is_empty() {
        format!("the name of the object ({name} based on URL) was undeterminable: name must be provided")
    } else {
        format!("the name of the object ({given}) does not match the name on the URL ({name})")
    }))
}
