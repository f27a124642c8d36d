//! Documents that were made from the registry, kept compressed until it changes.

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io::{Read, Write};

/// Documents made from the registry, by name, until it changes.
#[derive(Default)]
pub struct Documents(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// How often the registry has changed: what was made before a change is not kept after it.
    generation: u64,
    documents: HashMap<String, Document>,
}

/// A document and what its ETag says.
#[derive(Clone, Debug)]
pub struct Document {
    /// Upper-case hex.
    pub hash: String,
    /// gzip.
    pub packed: Bytes,
}

impl Documents {
    /// The registry has changed.
    pub fn forget(&self) {
        let mut kept = self.0.lock();
        kept.generation += 1;
        kept.documents = HashMap::new();
    }

    /// A document that was made already.
    pub fn find(&self, name: &str) -> Option<Document> {
        self.0.lock().documents.get(name).cloned()
    }

    /// To be asked before the registry is read.
    pub fn generation(&self) -> u64 {
        self.0.lock().generation
    }

    /// Keeps a document that was made from the registry of a generation, unless that is over.
    pub fn keep(&self, generation: u64, name: &str, document: &Document) {
        let mut kept = self.0.lock();
        if kept.generation == generation {
            kept.documents.insert(name.to_owned(), document.clone());
        }
    }
}

impl Document {
    pub fn new(hash: String, text: &[u8]) -> Self {
        let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::new(4));
        let packed = encoder.write_all(text).and_then(|()| encoder.finish()).unwrap_or_default();
        Document { hash, packed: packed.into() }
    }

    /// As it was before it was compressed.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        match GzDecoder::new(&*self.packed).read_to_end(&mut text) {
            Ok(_) => text,
            Err(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_from_before_a_change_is_not_kept() {
        let documents = Documents::default();
        let document = Document::new("A".into(), b"text");
        assert_eq!(document.text(), b"text");
        let generation = documents.generation();
        documents.keep(generation, "v2", &document);
        assert!(documents.find("v2").is_some());
        documents.forget();
        assert!(documents.find("v2").is_none());
        documents.keep(generation, "v2", &document);
        assert!(documents.find("v2").is_none());
    }
}
