//! How values rest where an engine keeps them: as they are, or sealed by the store's owner, who may not want the
//! keeper to read them. The index always shows what was put in; what rests sealed is opened when it comes in.

use crate::entry::{Attachment, Entry};
use crate::key::Key;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// Seals and opens values. `open` may block while a remote key is fetched.
pub trait Seal: fmt::Debug + Send + Sync {
    /// What to keep in place of `plain`; `None`: itself.
    fn seal(&self, key: &Key, plain: &Bytes) -> Result<Option<Bytes>, String>;

    /// What was put in for what is kept; `None`: itself.
    fn open(&self, key: &Key, kept: &Bytes) -> Result<Option<Bytes>, String>;

    /// Whether the value would be kept otherwise if it were written now.
    fn is_stale(&self, key: &Key, kept: &Bytes) -> bool;
}

/// The seal of a store, where it has one.
pub(crate) type Sealing = Option<Arc<dyn Seal>>;

/// How a value rests, where that is not as it is.
pub(crate) struct Kept {
    bytes: Bytes,
    /// Why it could not be opened.
    fault: Option<String>,
}

impl Kept {
    /// The bytes that an engine is given for a value.
    pub fn sealed(bytes: Bytes) -> Box<Self> {
        Box::new(Kept { bytes, fault: None })
    }
}

impl Entry {
    /// The bytes that rest in the engine.
    pub(crate) fn at_rest(&self) -> &Bytes {
        self.kept.as_ref().map_or(&self.value, |kept| &kept.bytes)
    }

    /// Why the value could not be opened; then `value` is what rests, which is of no use.
    pub fn fault(&self) -> Option<&str> {
        self.kept.as_ref()?.fault.as_deref()
    }

    /// Opens what an engine has read.
    pub(crate) fn open(&mut self, sealing: &Sealing) {
        let Some(seal) = sealing else { return };
        match seal.open(&self.key, &self.value) {
            Ok(None) => {}
            Ok(Some(plain)) => self.kept = Some(Kept::sealed(std::mem::replace(&mut self.value, plain))),
            Err(fault) => self.kept = Some(Box::new(Kept { bytes: self.value.clone(), fault: Some(fault) })),
        }
    }

    /// Tries again to open what could not be opened: the keys may have come meanwhile. Nothing when it fails as before.
    pub(crate) fn reopened(&self, sealing: &Sealing) -> Option<Arc<Entry>> {
        let (fault, _) = (self.fault()?, sealing.as_ref()?);
        let mut entry = Entry {
            key: self.key.clone(),
            value: self.at_rest().clone(),
            ext: Attachment::new(),
            kept: None,
            ..*self
        };
        entry.open(sealing);
        (entry.fault() != Some(fault)).then(|| Arc::new(entry))
    }
}
