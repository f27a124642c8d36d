//! The messages of a KMS plugin (`v2.KeyManagementService`), and what rests in the store of a value that was sealed with
//! a key from one: three calls and one record, written and read field by field.

use api::proto::Error;
use api::proto::wire::{self, BYTES, Reader, VARINT};

/// Sizes in bytes that upstream allows.
const MAX_KEY_ID: usize = 1024;
const MAX_SOURCE: usize = 1024;
const MAX_ANNOTATIONS: usize = 32 * 1024;

/// By key, sorted.
pub type Annotations = Vec<(String, Vec<u8>)>;

/// How the data key comes of its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceType {
    /// It is the source, opened.
    #[default]
    AesGcmKey,
    /// The source, opened, is a seed, from which each value derives a key of its own.
    Seed,
}

/// What rests: upstream's `EncryptedObject`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncryptedObject {
    pub data: Vec<u8>,
    /// Which key of the plugin sealed the source.
    pub key_id: String,
    /// The data key or its seed, sealed by the plugin.
    pub source: Vec<u8>,
    pub annotations: Annotations,
    pub source_type: SourceType,
}

impl EncryptedObject {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.data.len() + self.source.len() + 256);
        wire::put_bytes(1, &self.data, &mut out);
        wire::put_bytes(2, self.key_id.as_bytes(), &mut out);
        wire::put_bytes(3, &self.source, &mut out);
        put_annotations(4, &self.annotations, &mut out);
        if self.source_type == SourceType::Seed {
            wire::put_int(5, 1, &mut out);
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut object = EncryptedObject::default();
        let mut ty = 0;
        each_field(bytes, |number, field| {
            match (number, field) {
                (1, Field::Bytes(bytes)) => object.data = bytes.to_vec(),
                (2, Field::Bytes(bytes)) => object.key_id = text(bytes)?,
                (3, Field::Bytes(bytes)) => object.source = bytes.to_vec(),
                (4, Field::Bytes(bytes)) => object.annotations.push(annotation(bytes)?),
                (5, Field::Number(number)) => ty = number,
                _ => {}
            }
            Ok(())
        })?;
        object.source_type = match ty {
            0 => SourceType::AesGcmKey,
            1 => SourceType::Seed,
            other => return Err(format!("unknown encryptedDEKSourceType: {other}")),
        };
        object.annotations.sort();
        if object.data.is_empty() {
            return Err("encrypted data is empty".to_owned());
        }
        object.check()?;
        Ok(object)
    }

    /// Whether what a plugin gave may be kept.
    pub fn check(&self) -> Result<(), String> {
        let source = match self.source.len() {
            0 => Err("encrypted DEK source is empty".to_owned()),
            len if len > MAX_SOURCE => Err(format!(
                "encrypted DEK source is {len} bytes, which exceeds the max size of {MAX_SOURCE}"
            )),
            _ => Ok(()),
        };
        source.map_err(|why| format!("failed to validate encrypted DEK source: {why}"))?;
        check_key_id(&self.key_id).map_err(|why| format!("failed to validate key id: {why}"))?;
        check_annotations(&self.annotations).map_err(|why| format!("failed to validate annotations: {why}"))
    }

    /// Tells sealed data keys apart.
    pub fn cache_key(&self) -> Vec<u8> {
        EncryptedObject { data: Vec::new(), ..self.clone() }.encode()
    }
}

pub fn check_key_id(id: &str) -> Result<(), String> {
    match id.len() {
        0 => Err("keyID is empty".to_owned()),
        len if len > MAX_KEY_ID => {
            Err(format!("keyID is {len} bytes, which exceeds the max size of {MAX_KEY_ID}"))
        }
        _ => Ok(()),
    }
}

fn check_annotations(annotations: &Annotations) -> Result<(), String> {
    let names = annotations.iter().flat_map(|(name, _)| {
        api::names::fully_qualified_domain_name_faults(name, api::Path::new("annotations"))
    });
    let mut faults: Vec<String> = names.map(|fault| fault.to_string()).collect();
    let total: usize = annotations.iter().map(|(name, value)| name.len() + value.len()).sum();
    if total > MAX_ANNOTATIONS {
        faults.push(format!(
            "total size of annotations is {total}, which exceeds the max size of {MAX_ANNOTATIONS}"
        ));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join(", ")) }
}

/// The state of a plugin.
#[derive(Clone, Debug, Default)]
pub struct StatusResponse {
    pub version: String,
    /// `ok`, or what is wrong.
    pub healthz: String,
    pub key_id: String,
}

impl StatusResponse {
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut status = StatusResponse::default();
        each_field(bytes, |number, field| {
            match (number, field) {
                (1, Field::Bytes(bytes)) => status.version = text(bytes)?,
                (2, Field::Bytes(bytes)) => status.healthz = text(bytes)?,
                (3, Field::Bytes(bytes)) => status.key_id = text(bytes)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(status)
    }
}

pub fn encrypt_request(plain: &[u8], uid: &str) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_bytes(1, plain, &mut out);
    wire::put_bytes(2, uid.as_bytes(), &mut out);
    out
}

/// The sealed source with its key's id and annotations; nothing else is set.
pub fn encrypt_response(bytes: &[u8]) -> Result<EncryptedObject, String> {
    let mut object = EncryptedObject { source_type: SourceType::Seed, ..EncryptedObject::default() };
    each_field(bytes, |number, field| {
        match (number, field) {
            (1, Field::Bytes(bytes)) => object.source = bytes.to_vec(),
            (2, Field::Bytes(bytes)) => object.key_id = text(bytes)?,
            (3, Field::Bytes(bytes)) => object.annotations.push(annotation(bytes)?),
            _ => {}
        }
        Ok(())
    })?;
    object.annotations.sort();
    Ok(object)
}

pub fn decrypt_request(object: &EncryptedObject, uid: &str) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_bytes(1, &object.source, &mut out);
    wire::put_bytes(2, uid.as_bytes(), &mut out);
    wire::put_bytes(3, object.key_id.as_bytes(), &mut out);
    put_annotations(4, &object.annotations, &mut out);
    out
}

pub fn decrypt_response(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    each_field(bytes, |number, field| {
        if let (1, Field::Bytes(bytes)) = (number, field) {
            plain = bytes.to_vec();
        }
        Ok(())
    })?;
    Ok(plain)
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn each_field<'a>(
    bytes: &'a [u8],
    mut take: impl FnMut(u32, Field<'a>) -> Result<(), String>,
) -> Result<(), String> {
    let mut reader = Reader(bytes);
    let say = |error: Error| error.0;
    while let Some((number, wire_type)) = reader.tag("message").map_err(say)? {
        match wire_type {
            VARINT => take(number, Field::Number(reader.varint().map_err(say)?))?,
            BYTES => take(number, Field::Bytes(reader.bytes().map_err(say)?))?,
            other => reader.skip(other).map_err(say)?,
        }
    }
    Ok(())
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a text is not UTF-8".to_owned())
}

fn annotation(bytes: &[u8]) -> Result<(String, Vec<u8>), String> {
    let mut pair = (String::new(), Vec::new());
    each_field(bytes, |number, field| {
        match (number, field) {
            (1, Field::Bytes(bytes)) => pair.0 = text(bytes)?,
            (2, Field::Bytes(bytes)) => pair.1 = bytes.to_vec(),
            _ => {}
        }
        Ok(())
    })?;
    Ok(pair)
}

fn put_annotations(number: u32, annotations: &Annotations, out: &mut Vec<u8>) {
    for (name, value) in annotations {
        wire::put_message(number, out, |out| {
            wire::put_bytes(1, name.as_bytes(), out);
            wire::put_bytes(2, value, out);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_went_and_is_checked() {
        let object = EncryptedObject {
            data: vec![1, 2, 3],
            key_id: "key".into(),
            source: vec![9; 40],
            annotations: vec![("a.example.com".into(), vec![0, 255])],
            source_type: SourceType::Seed,
        };
        let bytes = object.encode();
        assert_eq!(EncryptedObject::decode(&bytes), Ok(object.clone()));
        assert_eq!(bytes[..2], [10, 3]);
        for at in 0..bytes.len() {
            // A cut is an error, or lacks what has to be there.
            let cut = EncryptedObject::decode(&bytes[..at]);
            assert!(cut.is_err() || cut.is_ok_and(|cut| cut != object), "{at}");
        }
        let refused = |object: EncryptedObject| EncryptedObject::decode(&object.encode()).unwrap_err();
        let text = refused(EncryptedObject { key_id: String::new(), ..object.clone() });
        assert_eq!(text, "failed to validate key id: keyID is empty");
        let text = refused(EncryptedObject { source: vec![0; 1025], ..object.clone() });
        assert!(text.ends_with("encrypted DEK source is 1025 bytes, which exceeds the max size of 1024"));
        let annotations = vec![("a.example.com".into(), vec![0; 32 * 1024])];
        assert!(
            refused(EncryptedObject { annotations, ..object.clone() }).contains("total size of annotations")
        );
        let annotations = vec![("short".into(), vec![])];
        assert!(refused(EncryptedObject { annotations, ..object }).contains("annotations"));
    }
}
