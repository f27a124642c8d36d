//! Lists as plain JSON: the items' bytes are spliced together, piece by piece. Short lists are answered whole; of
//! longer ones the rest is made as it is sent, so that a list never is in memory at once.

use super::list::with_continue;
use super::long::{self, PIECE_BYTES};
use super::{Answer, bytes_of};
use crate::call::Call;
use crate::door::BoxError;
use crate::flow::{Kept, Pace, Room, Seat};
use crate::negotiate::Media;
use crate::read::List;
use crate::stored;
use api::{Status, Value, json};
use bytes::Bytes;
use http::header;
use std::sync::Arc;
use store::Entry;

/// How many items are spliced between two looks at the time.
const STRIDE: usize = 8;

/// A list on its way.
struct Splice {
    call: Call,
    entries: std::vec::IntoIter<Arc<Entry>>,
    /// What each item begins with, and is left out of.
    type_text: Option<String>,
    /// What follows the items; nothing once it has been written.
    tail: Option<String>,
    /// Whether an item has been written.
    begun: bool,
    head: String,
    /// Held until the last piece is made.
    held: Option<(Kept, Room)>,
}

/// Answers with a list.
pub async fn list(call: Call, meta: &Value, list: List) -> Result<Answer, Status> {
    let mut pace = call.pace();
    // Who tells of answers wants them whole.
    let whole = call.trail.as_ref().is_some_and(|trail| trail.tells_answers());
    let mut splice = Splice::new(call, meta, list);
    let mut first = splice.piece(&mut pace).await?;
    while whole && splice.tail.is_some() {
        first.extend_from_slice(&splice.piece(&mut pace).await?);
    }
    pace.rest();
    let content_type = Media::Json.content_type();
    if splice.tail.is_none() {
        return Ok(bytes_of(200, content_type, first.into()));
    }
    let seat = std::mem::replace(&mut splice.call.seat, Seat::none());
    splice.held = Some((seat.keep(), pace.room().await));
    let state = (Some(Bytes::from(first)), splice, pace);
    let rest = futures::stream::unfold(state, |(first, mut splice, mut pace)| async move {
        if let Some(piece) = first {
            return Some((Ok(piece), (None, splice, pace)));
        }
        splice.tail.as_ref()?;
        let piece = splice.piece(&mut pace).await;
        pace.rest();
        let piece = piece.map(Bytes::from).map_err(|status| {
            splice.tail = None;
            BoxError::from(status.message)
        });
        if splice.tail.is_none() {
            splice.held = None;
        }
        Some((piece, (None, splice, pace)))
    });
    let mut answer = bytes_of(200, content_type, Bytes::new());
    answer.headers_mut().remove(header::CONTENT_LENGTH);
    Ok(long::of(answer, rest))
}

impl Splice {
    fn new(call: Call, meta: &Value, list: List) -> Self {
        let info = call.info();
        let text = |text: &str| json::to_string(&Value::from(text));
        let (kind, list_kind) = (text(&info.kind), text(&info.list_kind));
        let api_version = text(&info.api_version(call.version()));
        let custom = call.kind.stored_as_json();
        let (head, tail) = if custom {
            let meta = json::to_string(&with_continue(meta.clone()));
            let tail = format!("],\"kind\":{list_kind},\"metadata\":{meta}}}\n");
            (format!("{{\"apiVersion\":{api_version},\"items\":["), tail)
        } else {
            let meta = json::to_string(meta);
            let head = format!(
                "{{\"kind\":{list_kind},\"apiVersion\":{api_version},\"metadata\":{meta},\"items\":["
            );
            (head, "]}\n".to_owned())
        };
        let type_text = (!custom).then(|| format!("{{\"kind\":{kind},\"apiVersion\":{api_version}"));
        Splice {
            call,
            entries: list.entries.into_iter(),
            type_text,
            tail: Some(tail),
            begun: false,
            head,
            held: None,
        }
    }

    /// The next piece; the last one sets `tail` to nothing.
    async fn piece(&mut self, pace: &mut Pace) -> Result<Vec<u8>, Status> {
        let rest: usize = self.entries.as_slice().iter().take(256).map(|e| e.value.len() * 5 / 4 + 64).sum();
        let mut out = Vec::with_capacity(rest.min(PIECE_BYTES + PIECE_BYTES / 4) + 256);
        out.extend_from_slice(std::mem::take(&mut self.head).as_bytes());
        while out.len() < PIECE_BYTES {
            for _ in 0..STRIDE {
                let Some(entry) = self.entries.next() else {
                    out.extend_from_slice(self.tail.take().unwrap_or_default().as_bytes());
                    return Ok(out);
                };
                self.item(&entry, &mut out)?;
            }
            pace.step().await;
        }
        Ok(out)
    }

    fn item(&mut self, entry: &Arc<Entry>, out: &mut Vec<u8>) -> Result<(), Status> {
        if std::mem::replace(&mut self.begun, true) {
            out.push(b',');
        }
        let bytes = stored::json(&*self.call.kind, entry, self.call.version())?;
        let rest = self.type_text.as_ref().and_then(|text| bytes.strip_prefix(text.as_bytes()));
        match rest {
            Some(rest) => {
                out.push(b'{');
                out.extend_from_slice(rest.strip_prefix(b",").unwrap_or(rest));
            }
            None => out.extend_from_slice(&bytes),
        }
        Ok(())
    }
}
