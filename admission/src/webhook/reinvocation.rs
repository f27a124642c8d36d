//! What a chain remembers to call webhooks once more, when others changed the object after them.

use api::Value;
use std::collections::BTreeSet;

/// Of one request.
#[derive(Default)]
pub struct Reinvocation {
    /// The chain goes through a second time.
    pub again: bool,
    /// It is to go through a second time.
    pub wanted: bool,
    /// Webhooks that were called and want to be called again after later changes.
    called: BTreeSet<String>,
    /// Webhooks that are due in the second time.
    due: BTreeSet<String>,
    /// The object when the last webhook had been called.
    last: Option<Value>,
}

impl Reinvocation {
    /// Before the webhooks are called: in the second time, plugins before them may have changed the object.
    pub fn begin(&mut self, object: Option<&Value>) {
        if self.again && self.last.as_ref() != object {
            self.require();
        }
    }

    pub fn end(&mut self, object: Option<&Value>) {
        self.last = object.cloned();
    }

    /// In the second time no webhook is called for the first time.
    pub fn skips(&self, id: &str) -> bool {
        self.again && !self.due.contains(id)
    }

    /// A webhook changed the object: those before it are due.
    pub fn changed(&mut self) {
        self.require();
        self.wanted = true;
    }

    pub fn was_called(&mut self, id: &str) {
        self.called.insert(id.to_owned());
    }

    fn require(&mut self) {
        self.due.append(&mut self.called);
    }
}
