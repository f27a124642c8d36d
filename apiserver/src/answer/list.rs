//! Lists. As plain JSON the items' bytes are spliced together; other forms are made from trees.

use super::{Answer, bytes_of, go_type, partial, table, tree, without_type};
use crate::call::Call;
use crate::negotiate::{Form, Media, Shape};
use crate::read::List;
use crate::stored;
use api::{Map, Status, Value, json, proto, schema, tree as object};
use std::sync::Arc;
use store::Entry;

/// The answer to a list.
pub fn list(call: &Call, form: Form, list: &List) -> Result<Answer, Status> {
    let meta = partial::list_meta(&list.revision.to_string(), &list.continue_token, list.remaining);
    if form.media == Media::Json && form.shape == Shape::Whole && !form.pretty {
        return spliced(call, &meta, list);
    }
    if form.media == Media::Protobuf
        && form.shape == Shape::Whole
        && let Some(bytes) = messages(call, &meta, list)
    {
        return Ok(bytes_of(200, form.media.content_type(), bytes.into()));
    }
    let objects = list.entries.iter().map(|entry| stored::decode(&*call.kind, entry));
    of_objects(call, form, meta, objects)
}

/// The list in its protobuf envelope, from the items' stored messages; nothing where they cannot be copied.
fn messages(call: &Call, meta: &Value, list: &List) -> Option<Vec<u8>> {
    let message = |entry: &Arc<Entry>| stored::message(&*call.kind, entry, call.version());
    let items = list.entries.iter().map(message).collect::<Option<Vec<_>>>()?;
    let ty = schema::builtin().find("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta")?;
    let meta = proto::encode(schema::builtin(), ty, meta);
    let raw = proto::list(&meta, items.iter().map(Vec::as_slice));
    let info = call.info();
    Some(proto::wrap(&info.api_version(call.version()), &info.list_kind, &raw))
}

/// A list of objects in the stored version that are not in the store any more (the answer to deleting a collection).
pub fn deleted(call: &Call, form: Form, revision: u64, objects: Vec<Value>) -> Result<Answer, Status> {
    let meta = partial::list_meta(&revision.to_string(), "", None);
    of_objects(call, form, meta, objects.into_iter().map(Ok))
}

/// A list of objects that are not in the store at all.
pub fn unstored(call: &Call, form: Form, objects: Vec<Value>) -> Result<Answer, Status> {
    of_objects(call, form, Value::map(), objects.into_iter().map(Ok))
}

fn of_objects(
    call: &Call,
    form: Form,
    meta: Value,
    objects: impl Iterator<Item = Result<Value, Status>>,
) -> Result<Answer, Status> {
    match form.shape {
        Shape::Whole => {
            let objects = objects.map(|obj| stored::to_version(&*call.kind, obj?, call.version()));
            let items = objects.map(|obj| obj.map(|obj| item(call, obj))).collect::<Result<Vec<_>, _>>()?;
            tree(form, 200, &whole(call, meta, items))
        }
        Shape::PartialList(version) => {
            let items = objects.map(|obj| obj.map(|obj| partial::object(&obj, version)));
            let api_version = format!("meta.k8s.io/{version}");
            let list = object!({
                "kind": "PartialObjectMetadataList", "apiVersion": api_version, "metadata": meta, "items": null
            });
            filled(form, list, "items", items)
        }
        Shape::Partial(_) => {
            let what = go_type(call, "List");
            let message =
                format!("you requested PartialObjectMetadata, but the requested object is a list ({what})");
            Err(Status::new(406, "NotAcceptable", message))
        }
        Shape::Table(version) => {
            let options = table::Options::read(&call.query)?;
            let rows = objects.map(|obj| table::row(call, version, obj?, options.include));
            let table = table::table(version, meta, Some(table::columns(&*call.kind)), Vec::new());
            filled(form, table, "rows", rows)
        }
    }
}

/// A list whose last field is still to be filled. As plain JSON each item is written as soon as it is made, so that no
/// more than one of them is held as a tree.
fn filled(
    form: Form,
    mut outer: Value,
    field: &str,
    items: impl Iterator<Item = Result<Value, Status>>,
) -> Result<Answer, Status> {
    let mut items = items.peekable();
    if items.peek().is_none() {
        return tree(form, 200, &outer);
    }
    if form.media != Media::Json || form.pretty {
        outer.set(&[field], Value::List(items.collect::<Result<Vec<_>, _>>()?));
        return tree(form, 200, &outer);
    }
    outer.set(&[field], Value::List(Vec::new()));
    let mut out = json::to_vec(&outer);
    out.truncate(out.len() - b"]}".len());
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        json::write(&item?, &mut out);
    }
    out.extend_from_slice(b"]}\n");
    Ok(bytes_of(200, Media::Json.content_type(), out.into()))
}

/// Items of built-in lists do not say what they are.
fn item(call: &Call, obj: Value) -> Value {
    match obj {
        Value::Map(map) if !call.kind.stored_as_json() => Value::Map(without_type(&map)),
        other => other,
    }
}

fn whole(call: &Call, meta: Value, items: Vec<Value>) -> Value {
    let (kind, api_version) = (call.info().list_kind.clone(), call.info().api_version(call.version()));
    let mut map = Map::new();
    if call.kind.stored_as_json() {
        map.insert("apiVersion", api_version);
        map.insert("items", Value::List(items));
        map.insert("kind", kind);
        map.insert("metadata", with_continue(meta));
    } else {
        map.insert("kind", kind);
        map.insert("apiVersion", api_version);
        map.insert("metadata", meta);
        map.insert("items", Value::List(items));
    }
    Value::Map(map)
}

/// Lists of custom objects have a token always, empty at the end.
fn with_continue(mut meta: Value) -> Value {
    meta.make_map(&[]).entry_or("continue", || "".into());
    kinds::custom::sort(&mut meta);
    meta
}

fn spliced(call: &Call, meta: &Value, list: &List) -> Result<Answer, Status> {
    let info = call.info();
    let api_version = info.api_version(call.version());
    let type_text = format!(
        "{{\"kind\":{},\"apiVersion\":{}",
        json::to_string(&Value::from(info.kind.clone())),
        json::to_string(&Value::from(api_version.as_str()))
    );
    let mut out =
        Vec::with_capacity(256 + list.entries.iter().map(|e| e.value.len() * 5 / 4 + 64).sum::<usize>());
    let custom = call.kind.stored_as_json();
    let kind = json::to_string(&Value::from(info.list_kind.clone()));
    let meta = if custom { json::to_string(&with_continue(meta.clone())) } else { json::to_string(meta) };
    let api_version = json::to_string(&Value::from(api_version));
    let head = match custom {
        true => format!("{{\"apiVersion\":{api_version},\"items\":["),
        false => format!("{{\"kind\":{kind},\"apiVersion\":{api_version},\"metadata\":{meta},\"items\":["),
    };
    out.extend_from_slice(head.as_bytes());
    for (i, entry) in list.entries.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        let bytes = stored::json(&*call.kind, entry, call.version())?;
        match bytes.strip_prefix(type_text.as_bytes()) {
            Some(rest) if !custom => {
                out.push(b'{');
                out.extend_from_slice(rest.strip_prefix(b",").unwrap_or(rest));
            }
            _ => out.extend_from_slice(&bytes),
        }
    }
    out.extend_from_slice(
        if custom {
            "]".to_owned() + &format!(",\"kind\":{kind},\"metadata\":{meta}}}\n")
        } else {
            "]}\n".to_owned()
        }
        .as_bytes(),
    );
    Ok(bytes_of(200, Media::Json.content_type(), out.into()))
}
