//! What the server writes of its own accord, in its own name: admission decides it before there is a door to go
//! through, so the way is given later.

use api::{Later, Status, Value};
use client::{Client, Error, Method};
use std::sync::{Arc, OnceLock};

/// Cheap to clone; clones share the way.
#[derive(Clone, Default)]
pub struct OwnWrites(Arc<OnceLock<Client>>);

impl OwnWrites {
    /// From now on writes go through this client.
    pub fn begin(&self, client: Client) {
        let _ = self.0.set(client);
    }
}

impl admission::Writes for OwnWrites {
    fn create<'a>(&'a self, path: &'a str, object: Value) -> Later<'a, Result<(), Status>> {
        Box::pin(async move {
            let Some(client) = self.0.get() else {
                return Err(Status::internal("the server has not started yet"));
            };
            match client.call(Method::POST, path, Some(("application/json", &object))).await {
                Ok(_) => Ok(()),
                Err(error) if error.is_already_exists() => {
                    Err(Status::new(409, "AlreadyExists", text(&error)))
                }
                Err(error) => Err(Status::internal(text(&error))),
            }
        })
    }
}

fn text(error: &Error) -> String {
    error.to_string()
}
