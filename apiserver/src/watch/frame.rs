//! Frames: one event each, as a line of JSON or as a length and a protobuf `WatchEvent`.

use crate::answer::{self, partial, table};
use crate::call::Call;
use crate::edit::tidy;
use crate::negotiate::{Form, Media, Shape};
use crate::selection::Selection;
use crate::stored;
use api::{Status, Value, json, proto, tree};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use store::{Entry, Event, EventKind};

/// Writes events in the negotiated form.
pub struct Frames {
    form: Form,
    table: Option<table::Options>,
    /// Tables tell their columns once.
    columns_sent: bool,
}

/// What an event is to a watcher with selectors.
enum Seen {
    Added,
    Modified,
    Deleted,
    Nothing,
}

impl Frames {
    pub fn new(call: &Call, form: Form) -> Result<Self, Status> {
        let table = match form.shape {
            Shape::Table(_) => Some(table::Options::read(&call.query)?),
            _ => None,
        };
        Ok(Frames { form, table, columns_sent: false })
    }

    fn is_plain_json(&self) -> bool {
        self.form.media == Media::Json && self.form.shape == Shape::Whole
    }

    /// An object of the initial state.
    pub fn added(&mut self, call: &Call, entry: &Entry, out: &mut BytesMut) -> Result<(), Status> {
        self.entry(call, "ADDED", entry, out)
    }

    fn entry(&mut self, call: &Call, ty: &str, entry: &Entry, out: &mut BytesMut) -> Result<(), Status> {
        if self.is_plain_json() {
            json_frame(ty, &stored::json(&*call.kind, entry, call.version())?, out);
            return Ok(());
        }
        if self.form.media == Media::Protobuf
            && self.form.shape == Shape::Whole
            && let Some(bytes) = answer::enveloped(call, entry)
        {
            out.extend_from_slice(&proto::watch_frame(ty, &bytes));
            return Ok(());
        }
        self.object(call, ty, stored::decode(&*call.kind, entry)?, out)
    }

    /// A change, as the selectors let it be seen.
    pub fn event(
        &mut self,
        call: &Call,
        selection: &Selection,
        event: &Event,
        out: &mut BytesMut,
    ) -> Result<(), Status> {
        match (seen(call, selection, event)?, &event.entry) {
            (Seen::Added, Some(entry)) => self.entry(call, "ADDED", entry, out),
            (Seen::Modified, Some(entry)) => self.entry(call, "MODIFIED", entry, out),
            (Seen::Deleted, _) => self.deleted(call, event, out),
            _ => Ok(()),
        }
    }

    /// A deletion shows the last state with the revision of the deletion. Its JSON is shared as that of entries is.
    fn deleted(&mut self, call: &Call, event: &Event, out: &mut BytesMut) -> Result<(), Status> {
        let Some(prev) = &event.prev else { return Ok(()) };
        let last = || stored::decode_at(&*call.kind, &prev.value, event.revision);
        let stored_version =
            call.version() == call.info().storage_version.as_str() && !call.kind.stored_as_json();
        if self.is_plain_json() && stored_version {
            let cached = match event.ext.get().and_then(|any| any.downcast_ref::<Bytes>()) {
                Some(bytes) => bytes.clone(),
                None => {
                    let bytes = Bytes::from(json::to_vec(&last()?));
                    let _ = event.ext.set(Arc::new(bytes.clone()));
                    bytes
                }
            };
            json_frame("DELETED", &cached, out);
            return Ok(());
        }
        self.object(call, "DELETED", last()?, out)
    }

    /// An object in the stored version, in whatever shape is asked for.
    fn object(&mut self, call: &Call, ty: &str, obj: Value, out: &mut BytesMut) -> Result<(), Status> {
        let shaped = match (self.form.shape, self.table) {
            (Shape::Table(version), Some(options)) => {
                let columns = (!self.columns_sent).then(|| table::columns(&*call.kind));
                self.columns_sent = true;
                let meta = tree!({"resourceVersion": obj.str_at(&["metadata", "resourceVersion"])});
                table::table(version, meta, columns, vec![table::row(call, version, obj, options.include)?])
            }
            (Shape::Partial(version) | Shape::PartialList(version), _) => partial::object(&obj, version),
            _ => stored::to_version(&*call.kind, obj, call.version())?,
        };
        self.write(ty, &shaped, out)
    }

    /// A bookmark: nothing but a kind and a resource version.
    pub fn bookmark(
        &mut self,
        call: &Call,
        revision: u64,
        initial_end: bool,
        out: &mut BytesMut,
    ) -> Result<(), Status> {
        let info = call.info();
        let mut meta = tree!({"resourceVersion": revision.to_string()});
        if initial_end {
            meta.set(&["annotations"], tree!({"k8s.io/initial-events-end": "true"}));
        }
        let mut obj = tree!({
            "kind": info.kind.clone(), "apiVersion": info.api_version(&info.storage_version), "metadata": meta
        });
        tidy(call, &mut obj)?;
        if let (Shape::Table(version), Some(_)) = (self.form.shape, self.table) {
            let meta = obj.get("metadata").cloned().unwrap_or_else(Value::map);
            let row = table::row(call, version, obj, table::Include::Metadata)?;
            let columns = (!self.columns_sent).then(|| table::columns(&*call.kind));
            self.columns_sent = true;
            return self.write("BOOKMARK", &table::table(version, meta, columns, vec![row]), out);
        }
        self.object(call, "BOOKMARK", obj, out)
    }

    /// An ERROR event.
    pub fn error(&mut self, status: &Status) -> Result<Bytes, Status> {
        let mut out = BytesMut::new();
        self.write("ERROR", &status.to_value(), &mut out)?;
        Ok(out.freeze())
    }

    fn write(&self, ty: &str, value: &Value, out: &mut BytesMut) -> Result<(), Status> {
        match self.form.media {
            Media::Protobuf => {
                out.extend_from_slice(&proto::watch_frame(ty, &answer::protobuf(value)?));
            }
            _ => json_frame(ty, &json::to_vec(value), out),
        }
        Ok(())
    }
}

fn json_frame(ty: &str, object: &[u8], out: &mut BytesMut) {
    out.reserve(object.len() + 32);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(ty.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out.extend_from_slice(object);
    out.extend_from_slice(b"}\n");
}

fn seen(call: &Call, selection: &Selection, event: &Event) -> Result<Seen, Status> {
    let is_wanted = |entry: &Option<Arc<Entry>>| -> Result<bool, Status> {
        match entry {
            None => Ok(false),
            Some(_) if selection.is_everything() => Ok(true),
            Some(entry) => Ok(selection.matches(&*stored::facts(&*call.kind, entry)?)),
        }
    };
    let before = is_wanted(&event.prev)?;
    let now = event.kind == EventKind::Put && is_wanted(&event.entry)?;
    Ok(match (before, now) {
        (false, true) => Seen::Added,
        (true, true) => Seen::Modified,
        (true, false) => Seen::Deleted,
        (false, false) => Seen::Nothing,
    })
}
