//! Delete a collection: every object that the selectors leave, one after another.

use super::delete::delete_named;
use super::delete_options::DeleteOptions;
use crate::call::Call;
use crate::query::ListOptions;
use crate::{read, stored};
use api::{Status, Value};
use bytes::Bytes;

/// The objects that were deleted or marked as they were before, in the stored version, and the revision of the list.
pub struct DeletedCollection {
    pub objects: Vec<Value>,
    pub revision: u64,
}

pub async fn delete_collection(call: &Call, body: &Bytes) -> Result<DeletedCollection, Status> {
    let options = DeleteOptions::read(call, body)?;
    let list_options = ListOptions::read(&call.query, false)?;
    let list = read::select(call, &list_options).await?;
    let mut objects = Vec::with_capacity(list.entries.len());
    for entry in &list.entries {
        let name = entry.key.rest.rsplit('/').next().unwrap_or_default().to_owned();
        let namespaced = call.info().namespaced.then(|| entry.key.rest.split('/').next().unwrap_or_default());
        if namespaced.is_some_and(|ns| ns != call.namespace()) {
            continue;
        }
        match delete_named(call, &name, options.clone()).await {
            Ok(_) => objects.push(stored::decode(&*call.kind, entry)?),
            // Somebody else deleted it in the meantime.
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
        }
    }
    Ok(DeletedCollection { objects, revision: list.revision })
}
