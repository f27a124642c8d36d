//! The trait that a kind implements. Everything has a default: a kind overrides only what is special about it.
//!
//! Objects are trees in the *stored* version unless said otherwise, normalised by the schema (fields in order,
//! zero values as Go would write them). Nothing here does I/O, reads a clock or makes ids: what is needed of the
//! world comes in [`Cx`].

use crate::{Column, Info, validation};
use api::{Fault, Schema, Str, Value, schema::TypeId};
use std::borrow::Cow;
use std::sync::Arc;

/// What a kind may know of the request and the world.
#[derive(Clone, Copy, Debug)]
pub struct Cx<'a> {
    /// The caller, for kinds that record who asked (CertificateSigningRequest).
    pub user: &'a str,
    pub uid: &'a str,
    pub groups: &'a [String],
    pub extra: &'a [(String, Vec<String>)],
    /// RFC 3339 time of the request, in whole seconds.
    pub now: &'a str,
    /// The subresource that is being written, "" for the main resource.
    pub subresource: &'a str,
    /// The version of the API that the request came by.
    pub version: &'a str,
}

/// What becomes of dependents when an object is deleted and the caller does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// Something of the cluster that an object needs, claimed in the same transaction that writes the object.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// Addresses and ports of a Service: the claim room fills `spec.clusterIPs`, `ports[].nodePort`, … in.
    Service,
}

/// A field's label, and how its value is read from the stored bytes: empty where there is none, `None` when these bytes
/// do not tell.
pub type HotField = (&'static str, fn(&[u8]) -> Option<&str>);

pub trait Kind: Send + Sync + 'static {
    fn info(&self) -> &Info;

    /// The kind as a served version has it, for kinds that are worked on in the version of the request (custom ones);
    /// none for kinds that are worked on in the stored version. Its `storage_version` is the version it works in.
    fn at(&self, _version: &str) -> Option<Arc<dyn Kind>> {
        None
    }

    /// What was computed from a stored object holds for one edition of its kind.
    fn edition(&self) -> u64 {
        0
    }

    /// Makes an object, as it rests in the store, one of the version that the kind works in: for kinds stored as JSON.
    fn read_stored(&self, _obj: &mut Value) {}

    /// The reverse of `read_stored`.
    fn make_stored(&self, _obj: &mut Value) {}

    /// Why there may be no new objects, for kinds on their way out: the end of a 403.
    fn creation_refusal(&self) -> Option<&str> {
        None
    }

    /// The schema of a served version and the kind's type in it.
    fn schema(&self, version: &str) -> Option<(&Schema, TypeId)> {
        let info = self.info();
        let schema = api::schema::builtin();
        api::schema::builtin_type(&info.group, version, &info.kind).map(|ty| (schema, ty))
    }

    /// Reads a parsed body as an object of a served version: right types, fields in order, unknown fields dropped and
    /// named. `apiVersion` and `kind` are set already. An error is what upstream says behind `cannot be handled as a X:`.
    fn read(&self, version: &str, raw: Value) -> Result<Read, String> {
        let Some((schema, ty)) = self.schema(version) else {
            return Err(format!("no schema for version {version}"));
        };
        let decoded = api::schema::decode(schema, ty, raw, true).map_err(|e| e.to_string())?;
        Ok(Read { object: decoded.value, strict: decoded.strict })
    }

    /// Fills defaults into an object of `version` (a served version, before conversion), beyond those in the schema table.
    /// Must be idempotent.
    fn fill(&self, _obj: &mut Value, _version: &str) {}

    /// True when defaults find more to do in a stored object than they found in its body: what the server made of it in
    /// between is copied elsewhere.
    fn grows_when_read(&self) -> bool {
        false
    }

    /// Brings an object from one served version into another. Only called when they differ.
    fn convert(&self, _obj: &mut Value, _from: &str, _to: &str) {}

    /// Before a create: drops what clients may not set (by default `status` where there is a status lens) and sets
    /// what the server sets. The corridor does metadata (uid, times, generation).
    fn prepare_create(&self, obj: &mut Value, _cx: &Cx<'_>) {
        if self.info().find_subresource("status").is_some() {
            reset_status(obj);
        }
    }

    /// Before a replace or patch of the main resource: what of `old` stays (by default `status` where there is a
    /// status lens). The corridor keeps metadata and counts generations.
    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        if self.info().find_subresource("status").is_some() {
            keep_field(new, old, "status");
        }
    }

    /// Whether a change of the main resource makes a new `metadata.generation`, for kinds that keep one: by default when
    /// anything but metadata and status differs.
    fn generation_grows(&self, new: &Value, old: &Value) -> bool {
        let fields =
            |obj: &Value| obj.as_map().map(|m| m.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
        let counts = |field: &Str| !matches!(field.as_str(), "metadata" | "status" | "kind" | "apiVersion");
        let differs = |field: &Str| !validation::same(new.get(field), old.get(field));
        fields(new).iter().chain(&fields(old)).any(|field| counts(field) && differs(field))
    }

    /// Before a write through a lens (`cx.subresource`): what of `old` stays. By default (`status`) everything but
    /// `status` and metadata.
    fn prepare_lens(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_all_but(new, old, &["status", "metadata"]);
    }

    /// All faults of a new object. The corridor checks metadata.
    fn validate(&self, _obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        Vec::new()
    }

    /// All faults of a change by replace or patch, those of the new object included. The corridor checks metadata.
    fn validate_update(&self, new: &Value, _old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        self.validate(new, cx)
    }

    /// All faults of a change through a lens.
    fn validate_lens(&self, _new: &Value, _old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        Vec::new()
    }

    /// Warnings (each becomes a `Warning` header) about a new object or a change.
    fn warn(&self, _new: &Value, _old: Option<&Value>, _cx: &Cx<'_>) -> Vec<String> {
        Vec::new()
    }

    /// A warning for every request to a version of the kind that is deprecated; none by default.
    fn deprecation(&self, _version: &str) -> Option<&str> {
        None
    }

    /// The columns of its table.
    fn columns(&self) -> Vec<Column> {
        vec![Column::name(), Column { name: "Created At".into(), ty: "date".into(), ..Column::age() }]
    }

    /// The cells of one row, one a column. `now` is unix seconds (ages are computed from it).
    fn cells(&self, obj: &Value, _now: i64) -> Vec<Value> {
        vec![obj.str_at(&["metadata", "name"]).into(), obj.str_at(&["metadata", "creationTimestamp"]).into()]
    }

    /// `conditions` of its row in a table: that a pod is done. None for most kinds.
    fn row_conditions(&self, _obj: &Value) -> Vec<Value> {
        Vec::new()
    }

    /// The objects of a kind of which nothing is stored (ComponentStatus), made for each request.
    fn unstored(&self) -> Option<Vec<Value>> {
        None
    }

    /// Field selectors beside `metadata.name` and `metadata.namespace`: label and value of this object.
    /// Called with an empty map to learn the labels.
    fn fields(&self, _obj: &Value) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The field that many watches select by, each with another value, and how it is read from the stored bytes.
    fn hot_field(&self) -> Option<HotField> {
        None
    }

    /// `fields`, for kinds whose labels are not known beforehand as well.
    fn selectable_fields(&self, obj: &Value) -> Vec<(Cow<'static, str>, String)> {
        self.fields(obj).into_iter().map(|(label, value)| (Cow::Borrowed(label), value)).collect()
    }

    /// What `fields` calls a label that callers of this kind select by; nothing when they cannot. Kinds that share
    /// their stored form share what is remembered of its fields, by whatever names.
    fn stored_field(&self, label: &str) -> Option<Cow<'static, str>> {
        let fields = self.selectable_fields(&Value::map());
        fields.into_iter().find(|(known, _)| known == label).map(|(known, _)| known)
    }

    /// What upstream says of a field selector that this kind, with fields of its own, does not support.
    fn unsupported_field(&self, label: &str) -> String {
        format!("field label not supported: {label}")
    }

    /// True when the kind words an unsupported field selector as `field label not supported: X`.
    fn words_fields_itself(&self) -> bool {
        !self.fields(&Value::map()).is_empty()
    }

    /// What the object needs of the cluster before it can be written.
    fn claims(&self, _new: &Value, _old: Option<&Value>) -> Vec<Claim> {
        Vec::new()
    }

    /// What happens to dependents when the caller does not say.
    fn default_propagation(&self) -> Propagation {
        Propagation::Background
    }

    /// For kinds that are deleted gracefully (pods): the grace period in seconds for this object, given the one asked
    /// for. `None`: the kind is deleted at once.
    fn grace_secs(&self, _obj: &Value, _asked: Option<i64>) -> Option<i64> {
        None
    }

    /// For kinds whose deletion has phases of its own (namespaces): marks the object as on its way out and answers
    /// true when it stays until its own part is done, whatever its finalizers.
    fn begin_deletion(&self, _obj: &mut Value, _now: &str) -> bool {
        false
    }

    /// True while an object without finalizers stays all the same (namespaces with `spec.finalizers`).
    fn stays_while_deleting(&self, _obj: &Value) -> bool {
        false
    }

    /// Top-level field paths that a write through the main resource (`""`) or a lens does not own in managedFields,
    /// beyond metadata: by default `status` for the main resource and everything but `status` for the status lens.
    fn reset_fields(&self, subresource: &str) -> Vec<Vec<&'static str>> {
        if self.info().find_subresource("status").is_none() {
            return Vec::new();
        }
        match subresource {
            "" => vec![vec!["status"]],
            "status" => vec![vec!["spec"]],
            _ => Vec::new(),
        }
    }

    /// For custom kinds: the OpenAPI v3 schema that a served version publishes, without the metadata of objects.
    fn openapi_schema(&self, _version: &str) -> Option<Value> {
        None
    }

    /// Stored as protobuf (built-in kinds) or as JSON (custom kinds).
    fn stored_as_json(&self) -> bool {
        false
    }
}

/// A body that was read, and what strict validation has against it, such as `unknown field "spec.x"`.
#[derive(Debug)]
pub struct Read {
    pub object: Value,
    pub strict: Vec<String>,
}

/// Replaces a top-level field of `new` by that of `old` (or removes it).
pub fn keep_field(new: &mut Value, old: &Value, field: &str) {
    let Some(map) = new.as_map_mut() else { return };
    match old.get(field) {
        Some(value) => {
            map.insert(field, value.clone());
        }
        None => {
            map.remove(field);
        }
    }
}

/// Makes `new` equal to `old` but for the named top-level fields.
pub fn keep_all_but(new: &mut Value, old: &Value, fields: &[&str]) {
    let mut kept = old.clone();
    if let Some(map) = kept.as_map_mut() {
        for field in fields {
            match new.get(field) {
                Some(value) => {
                    map.insert(*field, value.clone());
                }
                None => {
                    map.remove(field);
                }
            }
        }
    }
    *new = kept;
}

/// Empties `status`: `{}` where it is written always, as the corridor's normalising pass decides.
pub fn reset_status(obj: &mut Value) {
    if let Some(map) = obj.as_map_mut() {
        map.remove("status");
    }
}
