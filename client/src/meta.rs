//! The head of an object, read from JSON without making a tree of the rest: what garbage collection needs of every
//! object of the cluster.

use crate::EventKind;
use api::Str;
use api::json::{Cursor, Error, Kind};

/// Name, ties and state of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    pub namespace: Str,
    pub name: Str,
    pub uid: Str,
    pub resource_version: Str,
    /// Marked for deletion.
    pub is_leaving: bool,
    pub finalizers: Vec<Str>,
    pub owners: Vec<Owner>,
    /// This bookmark ends the initial events.
    pub ends_initial: bool,
}

/// One owner reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    pub api_version: Str,
    pub kind: Str,
    pub name: Str,
    pub uid: Str,
    pub blocks_deletion: bool,
}

/// One event of a watch.
#[derive(Clone, Debug)]
pub struct MetaEvent {
    pub kind: EventKind,
    pub meta: Meta,
}

impl MetaEvent {
    /// From one line of a watch; nothing when it is an ERROR (or something unknown).
    pub fn read(line: &[u8]) -> Result<Option<Self>, Error> {
        let mut cursor = Cursor::new(line);
        let (mut kind, mut meta) = (None, Meta::default());
        each_field(&mut cursor, |name, cursor| match name {
            "type" => {
                kind = match &*cursor.string()? {
                    "ADDED" => Some(EventKind::Added),
                    "MODIFIED" => Some(EventKind::Modified),
                    "DELETED" => Some(EventKind::Deleted),
                    "BOOKMARK" => Some(EventKind::Bookmark),
                    _ => None,
                };
                Ok(())
            }
            "object" => {
                meta = Meta::read(cursor)?;
                Ok(())
            }
            _ => cursor.skip(),
        })?;
        Ok(kind.map(|kind| MetaEvent { kind, meta }))
    }
}

impl Meta {
    /// Reads one object.
    pub fn read(cursor: &mut Cursor<'_>) -> Result<Self, Error> {
        let mut meta = Meta::default();
        each_field(cursor, |name, cursor| match name {
            "metadata" => each_field(cursor, |name, cursor| meta.field(name, cursor)),
            _ => cursor.skip(),
        })?;
        Ok(meta)
    }

    fn field(&mut self, name: &str, cursor: &mut Cursor<'_>) -> Result<(), Error> {
        match name {
            "name" => self.name = text(cursor)?,
            "namespace" => self.namespace = text(cursor)?,
            "uid" => self.uid = text(cursor)?,
            "resourceVersion" => self.resource_version = text(cursor)?,
            "deletionTimestamp" => self.is_leaving = !text(cursor)?.is_empty(),
            "finalizers" => {
                let finalizers = &mut self.finalizers;
                each_item(cursor, |cursor| text(cursor).map(|finalizer| finalizers.push(finalizer)))?;
            }
            "ownerReferences" => {
                let owners = &mut self.owners;
                each_item(cursor, |cursor| Owner::read(cursor).map(|owner| owners.push(owner)))?;
            }
            "annotations" => {
                let ends_initial = &mut self.ends_initial;
                each_field(cursor, |name, cursor| match name {
                    "k8s.io/initial-events-end" => {
                        *ends_initial = text(cursor)?.as_str() == "true";
                        Ok(())
                    }
                    _ => cursor.skip(),
                })?;
            }
            _ => cursor.skip()?,
        }
        Ok(())
    }
}

impl Owner {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Error> {
        let mut owner = Owner::default();
        each_field(cursor, |name, cursor| {
            match name {
                "apiVersion" => owner.api_version = text(cursor)?,
                "kind" => owner.kind = text(cursor)?,
                "name" => owner.name = text(cursor)?,
                "uid" => owner.uid = text(cursor)?,
                "blockOwnerDeletion" if cursor.peek()? == Kind::Bool => {
                    owner.blocks_deletion = cursor.bool()?
                }
                _ => cursor.skip()?,
            }
            Ok(())
        })?;
        Ok(owner)
    }
}

/// A string; anything else counts as "".
fn text(cursor: &mut Cursor<'_>) -> Result<Str, Error> {
    if cursor.peek()? == Kind::Str {
        return cursor.string().map(|s| Str::from(&*s));
    }
    cursor.skip().map(|()| Str::default())
}

/// Walks the fields of a map; anything else is skipped. `each` must take the value.
fn each_field(
    cursor: &mut Cursor<'_>,
    mut each: impl FnMut(&str, &mut Cursor<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    if cursor.peek()? != Kind::Map {
        return cursor.skip();
    }
    cursor.open()?;
    let mut first = true;
    while let Some(name) = cursor.next_key(first)? {
        each(&name, cursor)?;
        first = false;
    }
    Ok(())
}

/// Walks the items of a list; anything else is skipped. `each` must take the item.
fn each_item(
    cursor: &mut Cursor<'_>,
    mut each: impl FnMut(&mut Cursor<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    if cursor.peek()? != Kind::List {
        return cursor.skip();
    }
    cursor.open()?;
    let mut first = true;
    while cursor.next_item(first)? {
        each(cursor)?;
        first = false;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_an_object_is_read_past_everything_else() {
        let line = br#"{"type":"MODIFIED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"n",
            "uid":"u","resourceVersion":"7","deletionTimestamp":"2026-01-01T00:00:00Z","labels":{"a":"b"},
            "finalizers":["f"],"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"r","uid":"o",
            "controller":true,"blockOwnerDeletion":true}],"managedFields":[{}]},"spec":{"x":[1,{"y":null}]}}}"#;
        let event = MetaEvent::read(line).unwrap().unwrap();
        assert_eq!(event.kind, EventKind::Modified);
        let meta = event.meta;
        assert_eq!((meta.name.as_str(), meta.namespace.as_str(), meta.uid.as_str()), ("p", "n", "u"));
        assert_eq!(meta.resource_version.as_str(), "7");
        assert!(meta.is_leaving && !meta.ends_initial);
        assert_eq!(meta.finalizers, [Str::from("f")]);
        let owner = meta.owners.first().unwrap();
        assert_eq!(
            (owner.kind.as_str(), owner.uid.as_str(), owner.blocks_deletion),
            ("ReplicaSet", "o", true)
        );
    }

    #[test]
    fn an_error_is_no_event_and_the_last_bookmark_is_known() {
        assert!(
            MetaEvent::read(br#"{"type":"ERROR","object":{"kind":"Status","code":410}}"#).unwrap().is_none()
        );
        let line = br#"{"type":"BOOKMARK","object":{"metadata":{"annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
        assert!(MetaEvent::read(line).unwrap().unwrap().meta.ends_initial);
    }
}
