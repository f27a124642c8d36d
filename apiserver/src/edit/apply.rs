//! Server-side apply: the body is what one manager wants, merged over what is there by who owns what.

use super::change::{Change, Wanted};
use super::create::new_object;
use super::replace::check_name;
use super::{Written, settle_namespace};
use crate::call::Call;
use crate::query::{FieldValidation, WriteOptions};
use crate::{fields, stored};
use api::{Status, Value, yaml};
use bytes::Bytes;

pub async fn apply(call: &Call, body: &Bytes, options: &WriteOptions) -> Result<Written, Status> {
    let config = parse(call, body, options.field_validation)?;
    let name = call.target.name.as_str();
    let manager = options.field_manager.as_str();
    let change = Change { call, name, dry_run: options.dry_run, as_main: false };
    let wanted = |live: &Value| -> Result<Value, Status> {
        let merged = fields::applied(call, live, &config, manager, options.force)?;
        let mut object = read(call, merged.unwrap_or_else(|| live.clone()))?;
        check_name(&object, name)?;
        settle_namespace(call, &mut object)?;
        Ok(object)
    };
    let written = change.run(|current| Ok(Wanted { object: wanted(current)?, uid: String::new() })).await?;
    if let Some(written) = written {
        return Ok(written);
    }
    if !call.target.subresource.is_empty() {
        return Err(call.not_found(name));
    }
    if !config.str_at(&["metadata", "uid"]).is_empty() {
        let why = format!(
            "uid mismatch: the provided object specified uid {}, and no existing object was found",
            config.str_at(&["metadata", "uid"])
        );
        return Err(call.conflict(name, &why));
    }
    let mut object = wanted(&empty(call))?;
    object.unset(&["metadata", "resourceVersion"]);
    new_object(call, object, options.dry_run).await
}

/// The object that apply merges into when there is none yet.
fn empty(call: &Call) -> Value {
    let mut live = Value::map();
    live.set(&["kind"], call.info().kind.clone());
    live.set(&["apiVersion"], call.info().api_version(call.version()));
    live
}

/// The applied configuration. Duplicate keys are warned of or refused as upstream's YAML library words them.
pub fn parse(call: &Call, body: &Bytes, validation: FieldValidation) -> Result<Value, Status> {
    let (value, duplicates) = yaml::parse_tracking_duplicates(body).map_err(|e| {
        Status::bad_request(format!("error decoding YAML: error converting YAML to JSON: {e}"))
    })?;
    let value = match value {
        Value::Map(_) => value,
        Value::Null => Value::map(),
        other => {
            return Err(Status::bad_request(format!(
                "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                other.json_type()
            )));
        }
    };
    if !duplicates.is_empty() && validation != FieldValidation::Ignore {
        let text =
            format!("error converting YAML to JSON: yaml: unmarshal errors:\n  {}", duplicates.join("\n  "));
        if validation == FieldValidation::Strict {
            return Err(Status::bad_request(format!("error strict decoding YAML: {text}")));
        }
        duplicates.into_iter().for_each(|text| call.warn(text));
    }
    Ok(value)
}

/// The merged tree as an object with defaults.
fn read(call: &Call, merged: Value) -> Result<Value, Status> {
    let info = call.info();
    let read = call.kind.read(call.version(), merged).map_err(|e| {
        Status::unclassified(format!("failed to convert merged object to last applied version: {e}"))
    })?;
    let mut object = read.object;
    object.set(&["kind"], info.kind.clone());
    object.set(&["apiVersion"], info.api_version(call.version()));
    call.kind.fill(&mut object, call.version());
    stored::normalise(&*call.kind, call.version(), &mut object)?;
    Ok(object)
}
