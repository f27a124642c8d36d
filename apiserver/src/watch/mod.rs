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
use crate::server::Server;
use crate::stored;
use api::Status;
use bytes::{Bytes, BytesMut};
use frame::Frames;
use http::{HeaderValue, Response, header};
use kinds::Kind;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use store::{Entry, Error, Event, ListQuery, Watch};
use tokio::time::{Instant, Sleep};

/// How often a watcher who wants bookmarks gets one.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// How long before its end a watch sends a last bookmark.
const LAST_BOOKMARK_BEFORE: Duration = Duration::from_secs(2);

/// Pieces without a look at the time: a flood of events must not outlast the end of its watch.
const MOST_IN_A_ROW: u32 = 100;

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
    let opened = match selection.topic(&call) {
        Some(topic) => store.watch_topic(&call.space(), selection.scope.clone(), topic, start.from).await,
        None => store.watch(&call.space(), selection.scope.clone(), start.from).await,
    };
    let cursor = match opened {
        Ok(cursor) => cursor,
        Err(Error::Compacted { oldest }) => {
            return Ok(respond(form, Body::full(frames.error(&too_old(start.from, oldest))?)));
        }
        Err(other) => return Err(store_failure(&other)),
    };
    let timeout =
        Duration::from_secs(options.timeout_secs.unwrap_or_else(|| call.server.watch_timeout_secs()));
    let deadline = Instant::now() + timeout;
    let first = first_piece(&call, &mut frames, &selection, &start).await?;
    // From here on a watch costs next to nothing.
    call.seat.release();
    let stream = Stream {
        first,
        alarm: Box::pin(tokio::time::sleep_until(bookmark_time(&options, deadline, Instant::now()))),
        end: Box::pin(end(call.server.clone(), call.kind.clone())),
        cursor,
        selection,
        frames,
        deadline,
        in_a_row: 0,
        ended: false,
        call,
    };
    Ok(respond(form, Body::stream(stream)))
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

async fn first_piece(
    call: &Call,
    frames: &mut Frames,
    selection: &Selection,
    start: &Start,
) -> Result<Bytes, Status> {
    let mut out = BytesMut::new();
    let mut pace = call.pace();
    for entry in &start.initial {
        pace.step().await;
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

/// Returns when the server stops, or serves the kind differently: clients begin again with what is served then.
async fn end(server: Arc<Server>, kind: Arc<dyn Kind>) {
    tokio::select! {
        () = server.stopping() => {}
        () = server.replaced(&*kind) => {}
    }
}

/// The body of the answer. What it waits for is registered once, not for every event.
struct Stream {
    call: Call,
    selection: Selection,
    frames: Frames,
    cursor: Watch,
    /// What is sent before anything else.
    first: Bytes,
    deadline: Instant,
    /// The time of the next bookmark, or the deadline.
    alarm: Pin<Box<Sleep>>,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Pieces since the end and the alarm were last asked.
    in_a_row: u32,
    ended: bool,
}

impl futures::Stream for Stream {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stream = &mut *self;
        if !stream.first.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut stream.first))));
        }
        while !stream.ended {
            let batch =
                if stream.in_a_row < MOST_IN_A_ROW { stream.cursor.poll_batch(cx) } else { Poll::Pending };
            let piece = match batch {
                Poll::Ready(Ok(events)) => stream.piece(&events),
                Poll::Ready(Err(error)) => stream.fail(&error),
                Poll::Pending if stream.end.as_mut().poll(cx).is_ready() => break,
                Poll::Pending if stream.alarm.as_mut().poll(cx).is_ready() => stream.woken(),
                Poll::Pending if stream.in_a_row < MOST_IN_A_ROW => {
                    stream.in_a_row = 0;
                    return Poll::Pending;
                }
                Poll::Pending => Bytes::new(),
            };
            stream.in_a_row = if stream.in_a_row < MOST_IN_A_ROW { stream.in_a_row + 1 } else { 0 };
            if !piece.is_empty() {
                return Poll::Ready(Some(Ok(piece)));
            }
        }
        stream.ended = true;
        Poll::Ready(None)
    }
}

impl Stream {
    /// The frames of a batch.
    fn piece(&mut self, events: &[Arc<Event>]) -> Bytes {
        let mut out = BytesMut::new();
        for event in events {
            if let Err(status) = self.frames.event(&self.call, &self.selection, event, &mut out) {
                out.extend_from_slice(&self.frames.error(&status).unwrap_or_default());
                self.ended = true;
                break;
            }
        }
        out.freeze()
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
        self.alarm.as_mut().reset(if now >= last { self.deadline } else { next.min(last) });
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
