//! A watch as it arrives: lines of JSON, one event each.

use crate::{Error, MetaEvent};
use api::{Value, json};
use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Added,
    Modified,
    Deleted,
    Bookmark,
}

/// One event; the object is as it is now, or as it was last.
#[derive(Clone, Debug)]
pub struct Event {
    pub kind: EventKind,
    pub object: Value,
}

/// The events of one watch.
pub struct WatchStream {
    body: Incoming,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line's end.
    searched: usize,
}

impl WatchStream {
    pub(crate) fn new(body: Incoming) -> Self {
        WatchStream { body, buffer: BytesMut::new(), searched: 0 }
    }

    /// The next event; `None` when the server ended the watch in order. An ERROR event is an error.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        match self.next_line().await? {
            Some(line) => event(&line).map(Some),
            None => Ok(None),
        }
    }

    async fn next_line(&mut self) -> Result<Option<BytesMut>, Error> {
        loop {
            if let Some(line) = self.line() {
                return Ok(Some(line));
            }
            if self.buffer.is_empty() {
                // A watch that waits keeps no room for what its first list took.
                self.buffer = BytesMut::new();
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let frame = frame.map_err(|e| Error::Broken(e.to_string()))?;
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }

    /// Like `next`, but reads of the object only what a `Meta` holds.
    pub async fn next_meta(&mut self) -> Result<Option<MetaEvent>, Error> {
        let Some(line) = self.next_line().await? else { return Ok(None) };
        match MetaEvent::read(&line).map_err(|e| Error::Unreadable(e.to_string()))? {
            Some(event) => Ok(Some(event)),
            // Not one of the four: an ERROR, which is read in full.
            None => event(&line).map(|_| None),
        }
    }

    fn line(&mut self) -> Option<BytesMut> {
        let found = self.buffer.get(self.searched..)?.iter().position(|b| *b == b'\n');
        match found {
            Some(at) => {
                let line = self.buffer.split_to(self.searched + at + 1);
                self.searched = 0;
                Some(line)
            }
            None => {
                self.searched = self.buffer.len();
                None
            }
        }
    }
}

fn event(line: &[u8]) -> Result<Event, Error> {
    let mut event = json::parse(line).map_err(|e| Error::Unreadable(e.to_string()))?;
    let object = event.get_mut("object").map(Value::take).unwrap_or_default();
    let kind = match event.str_at(&["type"]) {
        "ADDED" => EventKind::Added,
        "MODIFIED" => EventKind::Modified,
        "DELETED" => EventKind::Deleted,
        "BOOKMARK" => EventKind::Bookmark,
        "ERROR" => {
            let code = object.i64_at(&["code"]).and_then(|c| u16::try_from(c).ok()).unwrap_or(500);
            return Err(Error::refused(code, &json::to_vec(&object)));
        }
        other => return Err(Error::Unreadable(format!("an event of type {other:?}"))),
    };
    Ok(Event { kind, object })
}
