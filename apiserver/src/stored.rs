//! Between objects and what rests in the store: built-in kinds as upstream's protobuf envelope, custom kinds as JSON.
//!
//! Beside each stored value hangs a `View`: the JSON that answers are made of, and the labels and fields that
//! selectors ask for, each made once when first needed and shared by gets, lists and watches. The resource version
//! is not stored: it is the revision of the write, put in when a value is read.

use api::{Status, Str, Value, json, proto, schema};
use bytes::Bytes;
use kinds::Kind;
use parking_lot::RwLock;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use store::Entry;

/// What is cached beside a stored value. It holds for one edition of the kind: a custom kind may have a new schema, or
/// another version, the next time.
#[derive(Default)]
struct View {
    builtin: Arc<Parts>,
    custom: RwLock<Option<(u64, Arc<Parts>)>>,
}

#[derive(Default)]
struct Parts {
    json: OnceLock<Bytes>,
    facts: OnceLock<Arc<Facts>>,
    /// Of small objects that other rooms look up with many requests.
    tree: OnceLock<Box<Value>>,
}

/// Up to which size of a stored value its tree is kept once it was looked up.
const KEPT_BYTES: usize = 4096;

/// What selectors ask for.
#[derive(Debug, Default)]
pub struct Facts {
    pub name: String,
    pub namespace: String,
    pub labels: Vec<(Str, Str)>,
    pub fields: Vec<(Cow<'static, str>, String)>,
}

impl Facts {
    pub fn of(kind: &dyn Kind, obj: &Value) -> Self {
        let labels = obj.map_at(&["metadata", "labels"]).into_iter().flat_map(|m| m.iter());
        Facts {
            name: obj.str_at(&["metadata", "name"]).to_owned(),
            namespace: obj.str_at(&["metadata", "namespace"]).to_owned(),
            labels: labels.map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().into())).collect(),
            fields: kind.selectable_fields(obj),
        }
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    pub fn field(&self, label: &str) -> Option<&str> {
        match label {
            "metadata.name" => Some(&self.name),
            "metadata.namespace" => Some(&self.namespace),
            _ => self.fields.iter().find(|(k, _)| k == label).map(|(_, v)| v.as_str()),
        }
    }
}

fn parts(kind: &dyn Kind, entry: &Entry) -> Arc<Parts> {
    let any = entry.ext.get_or_init(|| Arc::new(View::default()));
    let Some(view) = any.downcast_ref::<View>() else { return Arc::default() };
    if !kind.stored_as_json() {
        return view.builtin.clone();
    }
    let edition = kind.edition();
    if let Some((found, parts)) = &*view.custom.read()
        && *found == edition
    {
        return parts.clone();
    }
    let fresh = Arc::<Parts>::default();
    *view.custom.write() = Some((edition, fresh.clone()));
    fresh
}

/// The bytes to store of an object in the stored version; the resource version is left out.
pub fn encode(kind: &dyn Kind, obj: &Value) -> Result<Bytes, Status> {
    let mut obj = obj.clone();
    obj.unset(&["metadata", "resourceVersion"]);
    if kind.stored_as_json() {
        kind.make_stored(&mut obj);
        return Ok(json::to_vec(&obj).into());
    }
    let info = kind.info();
    let (schema, ty) = kind_type(kind, &info.storage_version)?;
    let raw = proto::encode(schema, ty, &obj);
    Ok(proto::wrap(&info.api_version(&info.storage_version), &info.kind, &raw).into())
}

/// The object of a stored value, in the stored version, with its resource version.
pub fn decode(kind: &dyn Kind, entry: &Entry) -> Result<Value, Status> {
    if let Some(why) = entry.fault() {
        return Err(Status::internal(why));
    }
    decode_at(kind, &entry.value, entry.mod_revision)
}

/// As `decode`, with another resource version (deletions show the revision of the deletion).
pub fn decode_at(kind: &dyn Kind, bytes: &[u8], revision: u64) -> Result<Value, Status> {
    if bytes.starts_with(b"k8s:enc:") {
        return Err(Status::internal("identity transformer tried to read encrypted data"));
    }
    let mut obj =
        if bytes.first() == Some(&b'{') { decode_json(kind, bytes)? } else { decode_proto(kind, bytes)? };
    obj.set(&["metadata", "resourceVersion"], revision.to_string());
    normalise(kind, &kind.info().storage_version, &mut obj)?;
    Ok(obj)
}

fn decode_json(kind: &dyn Kind, bytes: &[u8]) -> Result<Value, Status> {
    let mut obj = json::parse(bytes).map_err(|e| corrupt(kind, &e))?;
    kind.read_stored(&mut obj);
    Ok(obj)
}

fn decode_proto(kind: &dyn Kind, bytes: &[u8]) -> Result<Value, Status> {
    let info = kind.info();
    let envelope = proto::unwrap(bytes).map_err(|e| corrupt(kind, &e))?;
    let own = info.api_version(&info.storage_version);
    let stored = if envelope.api_version == own {
        info.storage_version.to_string()
    } else {
        envelope.api_version.rsplit('/').next().unwrap_or_default().to_owned()
    };
    let (schema, ty) = kind_type(kind, &stored)?;
    let mut obj = proto::decode(schema, ty, envelope.raw).map_err(|e| corrupt(kind, &e))?;
    schema::set_type_meta(&mut obj, envelope.api_version, &info.kind);
    if stored != info.storage_version.as_str() {
        kind.convert(&mut obj, &stored, &info.storage_version);
        obj.set(&["apiVersion"], info.api_version(&info.storage_version));
    }
    kind.fill(&mut obj, &info.storage_version);
    Ok(obj)
}

/// Makes an object that was just written what it will be when it is read.
pub fn as_read(kind: &dyn Kind, obj: &mut Value) -> Result<(), Status> {
    if kind.stored_as_json() {
        return Ok(());
    }
    let version = &kind.info().storage_version;
    if kind.grows_when_read() {
        kind.fill(obj, version);
        normalise(kind, version, obj)?;
    }
    let (schema, ty) = kind_type(kind, version)?;
    schema::forget_empty(schema, ty, obj);
    Ok(())
}

fn corrupt(kind: &dyn Kind, why: &dyn std::fmt::Display) -> Status {
    Status::internal(format!("a stored {} cannot be decoded: {why}", kind.info().kind))
}

fn kind_type<'a>(kind: &'a dyn Kind, version: &str) -> Result<(&'a api::Schema, schema::TypeId), Status> {
    kind.schema(version)
        .ok_or_else(|| Status::internal(format!("no schema for {} {version}", kind.info().kind)))
}

/// Brings a tree into the form in which Go would write it: order of fields, zero values, empty structs. Custom objects
/// have their fields sorted and are otherwise as they came.
pub fn normalise(kind: &dyn Kind, version: &str, obj: &mut Value) -> Result<(), Status> {
    if kind.stored_as_json() {
        kinds::custom::sort(obj);
        return Ok(());
    }
    let (schema, ty) = kind_type(kind, version)?;
    schema::normalise(schema, ty, obj).map_err(|e| Status::internal(format!("{}: {e}", kind.info().kind)))
}

/// An object from the stored version into a served one.
pub fn to_version(kind: &dyn Kind, mut obj: Value, version: &str) -> Result<Value, Status> {
    convert(kind, &mut obj, &kind.info().storage_version.clone(), version)?;
    Ok(obj)
}

/// An object from one served version into another.
pub fn convert(kind: &dyn Kind, obj: &mut Value, from: &str, to: &str) -> Result<(), Status> {
    if from == to {
        return Ok(());
    }
    kind.convert(obj, from, to);
    obj.set(&["apiVersion"], kind.info().api_version(to));
    normalise(kind, to, obj)
}

/// The JSON of a stored value in a served version, with its resource version and without a final newline. Cached
/// for the stored version.
pub fn json(kind: &dyn Kind, entry: &Entry, version: &str) -> Result<Bytes, Status> {
    if version != kind.info().storage_version.as_str() {
        return Ok(json::to_vec(&to_version(kind, decode(kind, entry)?, version)?).into());
    }
    let parts = parts(kind, entry);
    if let Some(bytes) = parts.json.get() {
        return Ok(bytes.clone());
    }
    let bytes = Bytes::from(json::to_vec(&decode(kind, entry)?));
    Ok(parts.json.get_or_init(|| bytes).clone())
}

/// The protobuf message of a stored value in a served version, with its resource version and without its envelope:
/// a copy of what is stored. Nothing where the stored bytes are of another version, or no protobuf.
pub fn message(kind: &dyn Kind, entry: &Entry, version: &str) -> Option<Vec<u8>> {
    let info = kind.info();
    if kind.stored_as_json() || kind.grows_when_read() || version != info.storage_version.as_str() {
        return None;
    }
    let envelope = proto::unwrap(&entry.value).ok()?;
    if envelope.api_version != info.api_version(version) {
        return None;
    }
    proto::set_resource_version(envelope.raw, &entry.mod_revision.to_string()).ok()
}

/// As `decode`, of an object that is likely to be looked up again.
pub fn look_up(kind: &dyn Kind, entry: &Entry) -> Result<Value, Status> {
    if entry.value.len() > KEPT_BYTES {
        return decode(kind, entry);
    }
    let parts = parts(kind, entry);
    if let Some(tree) = parts.tree.get() {
        return Ok(Value::clone(tree));
    }
    let tree = decode(kind, entry)?;
    // Somebody else may have been first.
    let _ = parts.tree.set(Box::new(tree.clone()));
    Ok(tree)
}

/// Whether a tree is kept beside a stored value.
#[cfg(test)]
pub fn is_kept(kind: &dyn Kind, entry: &Entry) -> bool {
    parts(kind, entry).tree.get().is_some()
}

/// Remembers the JSON of an object of a built-in kind that was just written, and what selectors ask of it. (A custom
/// object may have lost something on its way through the stored version.)
pub fn remember(kind: &dyn Kind, entry: &Entry, object: &Value) {
    if !kind.stored_as_json() {
        let parts = parts(kind, entry);
        // Watchers may have been first.
        let _ = parts.json.set(json::to_vec(object).into());
        let _ = parts.facts.set(Arc::new(Facts::of(kind, object)));
    }
}

/// The labels and fields of a stored value.
pub fn facts(kind: &dyn Kind, entry: &Entry) -> Result<Arc<Facts>, Status> {
    let parts = parts(kind, entry);
    if let Some(facts) = parts.facts.get() {
        return Ok(facts.clone());
    }
    let facts = Arc::new(Facts::of(kind, &decode(kind, entry)?));
    Ok(parts.facts.get_or_init(|| facts).clone())
}
