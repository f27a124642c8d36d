//! `Table`: what `kubectl get` prints, made by the server.

use super::partial;
use crate::call::Call;
use crate::query::Query;
use crate::stored;
use api::{Fault, Status, Value, tree};
use kinds::{Doc, Kind};

/// What of the object goes with each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Include {
    None,
    Metadata,
    Object,
}

/// `TableOptions` of the query.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub include: Include,
}

impl Options {
    pub fn read(query: &Query) -> Result<Self, Status> {
        let text = query.text("includeObject");
        let include = match text {
            "" | "Metadata" => Include::Metadata,
            "Object" => Include::Object,
            "None" => Include::None,
            _ => {
                let detail = "must be 'Metadata', 'Object', 'None', or empty";
                let fault = Fault::invalid("includeObject", text, detail);
                return Err(Status::bad_request(format!("Unable to convert to Table as requested: {fault}")));
            }
        };
        Ok(Options { include })
    }
}

/// The columns with their descriptions.
pub fn columns(kind: &dyn Kind) -> Value {
    let columns = kind.columns().into_iter().map(|column| {
        let description = match &column.doc {
            Doc::Text(text) => text.to_string(),
            Doc::Field(definition, field) => {
                openapi::describe(definition, field).unwrap_or_default().to_owned()
            }
        };
        tree!({
            "name": column.name, "type": column.ty, "format": column.format, "description": description,
            "priority": i64::from(column.priority)
        })
    });
    Value::List(columns.collect())
}

/// One row of an object in the stored version; with the whole object, that of the request's.
pub fn row(call: &Call, version: &str, obj: Value, include: Include) -> Result<Value, Status> {
    let mut row = tree!({"cells": Value::List(call.kind.cells(&obj, call.now_secs))});
    let conditions = call.kind.row_conditions(&obj);
    if !conditions.is_empty() {
        row.set(&["conditions"], Value::List(conditions));
    }
    let object = match include {
        Include::None => Value::Null,
        Include::Metadata => partial::object(&obj, version),
        Include::Object => stored::to_version(&*call.kind, obj, call.version())?,
    };
    row.set(&["object"], object);
    Ok(row)
}

/// The whole table; without columns (in watches, after the first event) they are null.
pub fn table(version: &str, meta: Value, columns: Option<Value>, rows: Vec<Value>) -> Value {
    let rows = if rows.is_empty() { Value::List(Vec::new()) } else { Value::List(rows) };
    tree!({
        "kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": meta,
        "columnDefinitions": columns.unwrap_or(Value::Null), "rows": rows
    })
}
