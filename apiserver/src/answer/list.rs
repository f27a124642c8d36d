//! Lists. As plain JSON the items' bytes are spliced together (`splice`); other forms are made from trees.

use super::long::SHORT_BYTES;
use super::{Answer, bytes_of, go_type, partial, splice, table, tree, without_type};
use crate::call::Call;
use crate::flow::{Pace, Seat};
use crate::negotiate::{Form, Media, Shape};
use crate::read::List;
use crate::stored;
use api::{Map, Status, Value, json, proto, schema, tree as object};
use hyper::body::Body as _;
use std::sync::Arc;
use store::Entry;

/// The answer to a list.
pub async fn list(mut call: Call, form: Form, list: List) -> Result<Answer, Status> {
    let meta = partial::list_meta(&list.revision.to_string(), &list.continue_token, list.remaining);
    if form.media == Media::Json && form.shape == Shape::Whole && !form.pretty {
        return splice::list(call, &meta, list).await;
    }
    let mut answer = at_once(&call, form, &meta, &list).await?;
    if answer.body().size_hint().exact().is_none_or(|size| size > SHORT_BYTES) {
        let seat = std::mem::replace(&mut call.seat, Seat::none());
        answer.extensions_mut().insert(seat.keep());
    }
    Ok(answer)
}

/// Forms that are made whole.
async fn at_once(call: &Call, form: Form, meta: &Value, list: &List) -> Result<Answer, Status> {
    let mut pace = call.pace();
    if form.media == Media::Protobuf
        && form.shape == Shape::Whole
        && let Some(bytes) = messages(call, meta, list, &mut pace).await
    {
        return Ok(bytes_of(200, form.media.content_type(), bytes.into()));
    }
    of_objects(call, form, meta.clone(), Objects::Stored(list.entries.iter()), &mut pace).await
}

/// Where the objects of a list come from.
enum Objects<'a> {
    Stored(std::slice::Iter<'a, Arc<Entry>>),
    Here(std::vec::IntoIter<Value>),
}

impl Objects<'_> {
    /// The next one, in the stored version.
    fn next(&mut self, call: &Call) -> Option<Result<Value, Status>> {
        match self {
            Objects::Stored(entries) => entries.next().map(|entry| stored::decode(&*call.kind, entry)),
            Objects::Here(objects) => objects.next().map(Ok),
        }
    }
}

/// The list in its protobuf envelope, from the items' stored messages; nothing where they cannot be copied.
async fn messages(call: &Call, meta: &Value, list: &List, pace: &mut Pace) -> Option<Vec<u8>> {
    let mut items = Vec::with_capacity(list.entries.len());
    for entry in &list.entries {
        items.push(stored::message(&*call.kind, entry, call.version())?);
        pace.step().await;
    }
    let ty = schema::builtin().find("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta")?;
    let meta = proto::encode(schema::builtin(), ty, meta);
    let raw = proto::list(&meta, items.iter().map(Vec::as_slice));
    let info = call.info();
    Some(proto::wrap(&info.api_version(call.version()), &info.list_kind, &raw))
}

/// A list of objects in the stored version that are not in the store any more (the answer to deleting a collection).
pub async fn deleted(call: &Call, form: Form, revision: u64, objects: Vec<Value>) -> Result<Answer, Status> {
    let meta = partial::list_meta(&revision.to_string(), "", None);
    of_objects(call, form, meta, Objects::Here(objects.into_iter()), &mut call.pace()).await
}

/// A list of objects that are not in the store at all.
pub async fn unstored(call: &Call, form: Form, objects: Vec<Value>) -> Result<Answer, Status> {
    of_objects(call, form, Value::map(), Objects::Here(objects.into_iter()), &mut call.pace()).await
}

async fn of_objects(
    call: &Call,
    form: Form,
    meta: Value,
    objects: Objects<'_>,
    pace: &mut Pace,
) -> Result<Answer, Status> {
    match form.shape {
        Shape::Whole => {
            let shaped =
                |obj| stored::to_version(&*call.kind, obj, call.version()).map(|obj| item(call, obj));
            let items = collect(call, objects, shaped, pace).await?;
            tree(form, 200, &whole(call, meta, items))
        }
        Shape::PartialList(version) => {
            let api_version = format!("meta.k8s.io/{version}");
            let list = object!({
                "kind": "PartialObjectMetadataList", "apiVersion": api_version, "metadata": meta, "items": null
            });
            let shaped = |obj: Value| Ok(partial::object(&obj, version));
            filled(call, form, (list, "items"), objects, shaped, pace).await
        }
        Shape::Partial(_) => {
            let what = go_type(call, "List");
            let message =
                format!("you requested PartialObjectMetadata, but the requested object is a list ({what})");
            Err(Status::new(406, "NotAcceptable", message))
        }
        Shape::Table(version) => {
            let options = table::Options::read(&call.query)?;
            let table = table::table(version, meta, Some(table::columns(&*call.kind)), Vec::new());
            let shaped = |obj| table::row(call, version, obj, options.include);
            filled(call, form, (table, "rows"), objects, shaped, pace).await
        }
    }
}

/// A list whose last field is still to be filled. As plain JSON each item is written as soon as it is made, so that no
/// more than one of them is held as a tree.
async fn filled(
    call: &Call,
    form: Form,
    (mut outer, field): (Value, &str),
    mut objects: Objects<'_>,
    shaped: impl Fn(Value) -> Result<Value, Status>,
    pace: &mut Pace,
) -> Result<Answer, Status> {
    let Some(first) = objects.next(call) else { return tree(form, 200, &outer) };
    if form.media != Media::Json || form.pretty {
        let mut items = vec![shaped(first?)?];
        items.extend(collect(call, objects, shaped, pace).await?);
        outer.set(&[field], Value::List(items));
        return tree(form, 200, &outer);
    }
    outer.set(&[field], Value::List(Vec::new()));
    let mut out = json::to_vec(&outer);
    out.truncate(out.len() - b"]}".len());
    json::write(&shaped(first?)?, &mut out);
    while let Some(obj) = objects.next(call) {
        pace.step().await;
        out.push(b',');
        json::write(&shaped(obj?)?, &mut out);
    }
    out.extend_from_slice(b"]}\n");
    Ok(bytes_of(200, Media::Json.content_type(), out.into()))
}

async fn collect(
    call: &Call,
    mut objects: Objects<'_>,
    shaped: impl Fn(Value) -> Result<Value, Status>,
    pace: &mut Pace,
) -> Result<Vec<Value>, Status> {
    let mut all = Vec::new();
    while let Some(obj) = objects.next(call) {
        all.push(shaped(obj?)?);
        pace.step().await;
    }
    Ok(all)
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
pub(super) fn with_continue(mut meta: Value) -> Value {
    meta.make_map(&[]).entry_or("continue", || "".into());
    kinds::custom::sort(&mut meta);
    meta
}
