//! What surrounds messages, and answers put together from ready bytes.

use super::Error;
use super::wire::{BYTES, Reader, put_bytes, put_message, put_tag};

/// How every enveloped object begins.
pub const PREFIX: &[u8] = b"k8s\0";

/// `runtime.Unknown`: an object's type beside its message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub api_version: &'a str,
    pub kind: &'a str,
    pub raw: &'a [u8],
    pub content_encoding: &'a str,
    /// Empty for protobuf.
    pub content_type: &'a str,
}

/// Puts a message into its envelope.
pub fn wrap(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() + api_version.len() + kind.len() + 24);
    out.extend_from_slice(PREFIX);
    put_message(1, &mut out, |out| {
        put_bytes(1, api_version.as_bytes(), out);
        put_bytes(2, kind.as_bytes(), out);
    });
    put_bytes(2, raw, &mut out);
    put_bytes(3, b"", &mut out);
    put_bytes(4, b"", &mut out);
    out
}

/// The text in a message within its envelope, where the numbers of the fields lead: the last where there are several,
/// empty where there is none. `None` of what cannot be read so (JSON). Nothing else is read.
pub fn text_at<'b>(bytes: &'b [u8], path: &[u32]) -> Option<&'b str> {
    let mut message = unwrap(bytes).ok()?.raw;
    for wanted in path {
        let (mut reader, mut found) = (Reader(message), None);
        while let Some((number, wire_type)) = reader.tag("").ok()? {
            match number == *wanted && wire_type == BYTES {
                true => found = Some(reader.bytes().ok()?),
                false => reader.skip(wire_type).ok()?,
            }
        }
        let Some(found) = found else { return Some("") };
        message = found;
    }
    std::str::from_utf8(message).ok()
}

/// Takes an envelope apart. Errors are upstream's texts.
pub fn unwrap(bytes: &[u8]) -> Result<Envelope<'_>, Error> {
    if bytes.is_empty() {
        return Err(Error::new("empty data"));
    }
    let Some(message) = bytes.strip_prefix(PREFIX) else {
        return Err(Error::new(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
        ));
    };
    if message.is_empty() {
        return Err(Error::new("empty body"));
    }
    let mut envelope = Envelope::default();
    let mut reader = Reader(message);
    while let Some((number, wire_type)) = reader.tag("Unknown")? {
        if !(1..=4).contains(&number) {
            reader.skip(wire_type)?;
            continue;
        }
        if wire_type != BYTES {
            let name = ["TypeMeta", "Raw", "ContentEncoding", "ContentType"][(number - 1) as usize];
            return Err(Error(format!("proto: wrong wireType = {wire_type} for field {name}")));
        }
        let field = reader.bytes()?;
        match number {
            1 => (envelope.api_version, envelope.kind) = type_meta(field)?,
            2 => envelope.raw = field,
            3 => envelope.content_encoding = utf8(field)?,
            _ => envelope.content_type = utf8(field)?,
        }
    }
    Ok(envelope)
}

fn utf8(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|_| Error::new("proto: invalid UTF-8"))
}

fn type_meta(bytes: &[u8]) -> Result<(&str, &str), Error> {
    let (mut api_version, mut kind) = ("", "");
    let mut reader = Reader(bytes);
    while let Some((number, wire_type)) = reader.tag("TypeMeta")? {
        match number {
            1 if wire_type == BYTES => api_version = utf8(reader.bytes()?)?,
            2 if wire_type == BYTES => kind = utf8(reader.bytes()?)?,
            _ => reader.skip(wire_type)?,
        }
    }
    Ok((api_version, kind))
}

/// One event of a protobuf watch: four bytes of length (big-endian), then the `WatchEvent`. The object comes in
/// its envelope.
pub fn watch_frame(event_type: &str, enveloped: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(enveloped.len() + event_type.len() + 24);
    out.extend_from_slice(&[0; 4]);
    put_bytes(1, event_type.as_bytes(), &mut out);
    put_message(2, &mut out, |out| put_bytes(1, enveloped, out));
    let len = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&len.to_be_bytes());
    out
}

/// The message of a list (`PodList`) from its `ListMeta` message and the messages of its items.
pub fn list<'a>(list_meta: &[u8], items: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    put_bytes(1, list_meta, &mut out);
    for item in items {
        put_bytes(2, item, &mut out);
    }
    out
}

/// Sets `metadata.resourceVersion` in an object's message (field 6 of field 1) without decoding the rest.
pub fn set_resource_version(raw: &[u8], revision: &str) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(raw.len() + revision.len() + 4);
    let mut reader = Reader(raw);
    let mut done = false;
    while let Some((number, wire_type)) = reader.tag("object")? {
        if number == 1 && wire_type == BYTES && !done {
            let metadata = with_revision(reader.bytes()?, revision)?;
            put_bytes(1, &metadata, &mut out);
            done = true;
            // Everything after the metadata stays as it is.
            out.extend_from_slice(reader.0);
            break;
        }
        copy(number, wire_type, &mut reader, &mut out)?;
    }
    if !done {
        return Err(Error::new("proto: an object without metadata"));
    }
    Ok(out)
}

fn with_revision(metadata: &[u8], revision: &str) -> Result<Vec<u8>, Error> {
    const RESOURCE_VERSION: u32 = 6;
    let mut out = Vec::with_capacity(metadata.len() + revision.len() + 2);
    let mut reader = Reader(metadata);
    let mut rest = reader;
    while let Some((number, wire_type)) = reader.tag("ObjectMeta")? {
        if number > RESOURCE_VERSION {
            break;
        }
        if number == RESOURCE_VERSION {
            reader.skip(wire_type)?;
        } else {
            copy(number, wire_type, &mut reader, &mut out)?;
        }
        rest = reader;
    }
    put_bytes(RESOURCE_VERSION, revision.as_bytes(), &mut out);
    out.extend_from_slice(rest.0);
    Ok(out)
}

/// Copies a field whose tag was read.
fn copy(number: u32, wire_type: u32, reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    let before = reader.0;
    reader.skip(wire_type)?;
    put_tag(number, wire_type, out);
    out.extend_from_slice(before.get(..before.len() - reader.0.len()).unwrap_or_default());
    Ok(())
}
