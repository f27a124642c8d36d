//! Watches: the current state (where asked for), then every change as it is committed, until the time is over.
//!
//! A watch is a cursor in the store's ring of events; the JSON of an object is made once and shared by all watchers.

mod frame;

use crate::answer::Answer;
use crate::call::Call;
use crate::door::Body;
use crate::edit::store_failure;
use crate::negotiate::{Form, Media};
use crate::query::ListOptions;
use crate::read::parse_version;
use crate::selection::Selection;
use crate::stored;
use api::Status;
use bytes::{Bytes, BytesMut};
use frame::Frames;
use http::{HeaderValue, Response, header};
use std::sync::Arc;
use std::time::Duration;
use store::{Entry, Error, Event, ListQuery, Watch};
use tokio::time::Instant;

/// A watch without a timeout of its own ends between this and twice this.
const MIN_TIMEOUT_SECS: u64 = 1_800;
/// How often a watcher who wants bookmarks gets one.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// How long before its end a watch sends a last bookmark.
const LAST_BOOKMARK_BEFORE: Duration = Duration::from_secs(2);
/// Bytes gathered into one piece of the answer.
const PIECE_BYTES: usize = 64 * 1024;

/// What the watch begins with.
struct Start {
    /// Sent as ADDED first.
    initial: Vec<Arc<Entry>>,
    /// Events after this revision follow.
    from: u64,
    /// A bookmark says that the initial events are over.
    marks_initial_end: bool,
}

/// Opens a watch and answers with its stream.
pub async fn watch(call: Call, form: Form, options: ListOptions) -> Result<Answer, Status> {
    let selection = Selection::read(&call, &options)?;
    let mut frames = Frames::new(&call, form)?;
    let start = match start(&call, &options, &selection).await? {
        Ok(start) => start,
        Err(expired) => return Ok(respond(form, Body::full(frames.error(&expired)?))),
    };
    let store = &call.server.store;
    let cursor = match store.watch(&call.space(), selection.scope.clone(), start.from).await {
        Ok(cursor) => cursor,
        Err(Error::Compacted { oldest }) => {
            return Ok(respond(form, Body::full(frames.error(&too_old(start.from, oldest))?)));
        }
        Err(other) => return Err(store_failure(&other)),
    };
    let timeout = Duration::from_secs(
        options.timeout_secs.unwrap_or_else(|| call.server.watch_timeout_secs(MIN_TIMEOUT_SECS)),
    );
    let deadline = Instant::now() + timeout;
    let stream = Stream {
        first: first_piece(&call, &mut frames, &selection, &start)?,
        next_bookmark: bookmark_time(&options, deadline, Instant::now()),
        cursor,
        selection,
        frames,
        deadline,
        bookmarks: options.allow_bookmarks,
        ended: false,
        call,
    };
    let body = futures::stream::unfold(stream, |mut stream| async move {
        let piece = stream.next().await?;
        Some((Ok::<Bytes, std::convert::Infallible>(piece), stream))
    });
    Ok(respond(form, Body::stream(body)))
}

fn respond(form: Form, body: Body) -> Answer {
    let mut response = Response::new(body);
    let ty = HeaderValue::from_static(form.media.stream_type());
    response.headers_mut().insert(header::CONTENT_TYPE, ty);
    response
}

fn too_old(asked: u64, oldest: u64) -> Status {
    Status::expired(format!("too old resource version: {asked} ({oldest})"))
}

/// Where the watch begins; the inner error is sent as an event.
async fn start(
    call: &Call,
    options: &ListOptions,
    selection: &Selection,
) -> Result<Result<Start, Status>, Status> {
    let version = options.resource_version.as_str();
    let asked = match version {
        "" | "0" => 0,
        text => parse_version(text).map_err(Status::unclassified)?,
    };
    let store = &call.server.store;
    let initial = options.send_initial_events.unwrap_or(asked == 0);
    if !initial {
        let from = if asked == 0 {
            store.revision(&call.space()).await.map_err(|e| store_failure(&e))?
        } else {
            asked
        };
        return Ok(Ok(Start { initial: Vec::new(), from, marks_initial_end: false }));
    }
    if version.is_empty() {
        store.sync(&call.space()).await.map_err(|e| store_failure(&e))?;
    } else if asked > 0 {
        crate::read::wait_for(call, asked).await?;
    }
    let query = ListQuery { scope: selection.scope.clone(), ..ListQuery::default() };
    let page = match store.list(&call.space(), &query).await {
        Ok(page) => page,
        Err(Error::Compacted { oldest }) => return Ok(Err(too_old(asked, oldest))),
        Err(other) => return Err(store_failure(&other)),
    };
    let marks_initial_end =
        options.allow_bookmarks && (options.send_initial_events == Some(true) || version.is_empty());
    Ok(Ok(Start { initial: page.entries, from: page.revision, marks_initial_end }))
}

fn first_piece(
    call: &Call,
    frames: &mut Frames,
    selection: &Selection,
    start: &Start,
) -> Result<Bytes, Status> {
    let mut out = BytesMut::new();
    for entry in &start.initial {
        if selection.is_everything() || selection.matches(&*stored::facts(&*call.kind, entry)?) {
            frames.added(call, entry, &mut out)?;
        }
    }
    if start.marks_initial_end {
        frames.bookmark(call, start.from, true, &mut out)?;
    }
    Ok(out.freeze())
}

fn bookmark_time(options: &ListOptions, deadline: Instant, now: Instant) -> Instant {
    if !options.allow_bookmarks {
        return deadline;
    }
    let last = deadline.checked_sub(LAST_BOOKMARK_BEFORE).unwrap_or(deadline);
    let next = now + BOOKMARK_INTERVAL;
    if next < last || now >= last { next } else { last }
}

struct Stream {
    call: Call,
    selection: Selection,
    frames: Frames,
    cursor: Watch,
    /// What is sent before anything else.
    first: Bytes,
    deadline: Instant,
    bookmarks: bool,
    next_bookmark: Instant,
    ended: bool,
}

impl Stream {
    /// The next piece; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.first.is_empty() {
            return Some(std::mem::take(&mut self.first));
        }
        while !self.ended {
            let wake = if self.bookmarks { self.deadline.min(self.next_bookmark) } else { self.deadline };
            let batch = tokio::select! {
                batch = self.cursor.next_batch() => Some(batch),
                () = tokio::time::sleep_until(wake) => None,
                () = self.call.server.stopping() => { self.ended = true; return None; }
                // Clients begin again with what is served then.
                () = self.call.server.replaced(&*self.call.kind) => { self.ended = true; return None; }
            };
            let piece = match batch {
                Some(Ok(events)) => self.pieces(&events),
                Some(Err(error)) => self.fail(&error),
                None => self.woken(),
            };
            if !piece.is_empty() {
                return Some(piece);
            }
        }
        None
    }

    /// The frames of a batch, and of what has come in the meantime up to a full piece.
    fn pieces(&mut self, events: &[Arc<Event>]) -> Bytes {
        let mut out = BytesMut::new();
        self.append(events, &mut out);
        while out.len() < PIECE_BYTES && !self.ended {
            match self.cursor.try_batch() {
                Ok(more) if more.is_empty() => break,
                Ok(more) => self.append(&more, &mut out),
                // Told with the next piece.
                Err(_) => break,
            }
        }
        out.freeze()
    }

    fn append(&mut self, events: &[Arc<Event>], out: &mut BytesMut) {
        for event in events {
            if let Err(status) = self.frames.event(&self.call, &self.selection, event, out) {
                if let Ok(frame) = self.frames.error(&status) {
                    out.extend_from_slice(&frame);
                }
                self.ended = true;
                return;
            }
        }
    }

    fn fail(&mut self, error: &Error) -> Bytes {
        self.ended = true;
        let status = match error {
            Error::Compacted { oldest } => too_old(oldest.saturating_sub(1), *oldest),
            Error::Closed => return Bytes::new(),
            other => store_failure(other),
        };
        self.frames.error(&status).unwrap_or_default()
    }

    /// The time for a bookmark or for the end has come.
    fn woken(&mut self) -> Bytes {
        let now = Instant::now();
        if now >= self.deadline {
            self.ended = true;
            return Bytes::new();
        }
        let last = self.deadline.checked_sub(LAST_BOOKMARK_BEFORE).unwrap_or(self.deadline);
        let next = now + BOOKMARK_INTERVAL;
        self.next_bookmark = if now >= last { self.deadline } else { next.min(last) };
        let mut out = BytesMut::new();
        let revision = self.cursor.progress();
        match self.frames.bookmark(&self.call, revision, false, &mut out) {
            Ok(()) => out.freeze(),
            Err(_) => Bytes::new(),
        }
    }
}

/// Formats that a watch can be written in.
pub fn check_media(form: Form) -> Result<(), Status> {
    match form.media {
        Media::Yaml => Err(crate::negotiate::no_stream()),
        _ => Ok(()),
    }
}
