//! Events: what a component did and why, as `kubectl describe` shows it.
//!
//! Recording never holds up who records, and never fails it: events go through a bounded queue to a task of their
//! own. One that repeats is counted, similar ones are told together, and an object that causes many gets few
//! (`correlator`).

mod correlator;

use crate::{Client, Error, Resource};
use api::{Value, tree};
use correlator::{Correlator, Plan};
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Ids, Time};
use tokio::sync::mpsc;

/// How many events wait to be written; more are dropped.
const WAITING: usize = 1000;
/// How often an event is tried when the server does not answer, and how long the pauses are.
const ATTEMPTS: u32 = 12;
const PAUSE: Duration = Duration::from_secs(10);
/// The longest name of an object.
const NAME_BYTES: usize = 253;

/// Records under the name of one component. Cheap to clone; clones share the queue and what is remembered.
#[derive(Clone)]
pub struct Recorder {
    source: Arc<Source>,
    clock: Clock,
    queue: mpsc::Sender<Note>,
}

/// Who records.
#[derive(Debug, Default)]
struct Source {
    component: String,
    /// The node, of components that are on one; else "".
    host: String,
}

/// What happened, and to what.
struct Note {
    /// The object reference.
    about: Value,
    ty: &'static str,
    reason: String,
    message: String,
    at: Time,
}

impl Recorder {
    /// Records as `component`. Must be called within a tokio runtime.
    pub fn new(client: Client, component: &str, clock: Clock) -> Self {
        Recorder::on_host(client, component, "", clock)
    }

    /// Records as `component` on the node `host`. Must be called within a tokio runtime.
    pub fn on_host(client: Client, component: &str, host: &str, clock: Clock) -> Self {
        let source = Arc::new(Source { component: component.to_owned(), host: host.to_owned() });
        let (queue, notes) = mpsc::channel(WAITING);
        let writer = Writer { client, source: source.clone(), correlator: Correlator::default() };
        crate::spawn(writer.run(notes));
        Recorder { source, clock, queue }
    }

    /// Something as it should be. `kind` is the object's `apiVersion` and `kind`.
    pub fn normal(&self, kind: (&str, &str), object: &Value, reason: &str, message: &str) {
        self.about(reference(kind, object), "Normal", reason, message);
    }

    /// Something that somebody should look at. `kind` is the object's `apiVersion` and `kind`.
    pub fn warning(&self, kind: (&str, &str), object: &Value, reason: &str, message: &str) {
        self.about(reference(kind, object), "Warning", reason, message);
    }

    /// As above, for an object that says its kind itself, as those of a watch do; `ty` is `Normal` or `Warning`.
    pub fn event(&self, object: &Value, ty: &'static str, reason: &str, message: &str) {
        self.about(reference(kind_of(object), object), ty, reason, message);
    }

    /// About a part of the object, such as `spec.containers{NAME}`.
    pub fn part_event(&self, object: &Value, field: &str, ty: &'static str, reason: &str, message: &str) {
        let mut about = reference(kind_of(object), object);
        if !field.is_empty() {
            about.set(&["fieldPath"], field);
        }
        self.about(about, ty, reason, message);
    }

    /// About whatever the reference (`kind`, `apiVersion`, `namespace`, `name`, `uid`, ...) names.
    pub fn about(&self, about: Value, ty: &'static str, reason: &str, message: &str) {
        let at = self.clock.now();
        let note = Note { about, ty, reason: reason.to_owned(), message: message.to_owned(), at };
        if self.queue.try_send(note).is_err() {
            tracing::debug!(component = self.source.component, reason, "an event is dropped: too many wait");
        }
    }
}

/// The reference to an object of a kind (`apiVersion` and `kind`).
pub fn reference((api_version, kind): (&str, &str), object: &Value) -> Value {
    let mut about = tree!({"kind": kind});
    for field in ["namespace", "name", "uid"] {
        if !object.str_at(&["metadata", field]).is_empty() {
            about.set(&[field], object.str_at(&["metadata", field]));
        }
    }
    about.set(&["apiVersion"], api_version);
    about.set(&["resourceVersion"], object.str_at(&["metadata", "resourceVersion"]));
    about
}

fn kind_of(object: &Value) -> (&str, &str) {
    (object.str_at(&["apiVersion"]), object.str_at(&["kind"]))
}

/// Writes events, one after another.
struct Writer {
    client: Client,
    source: Arc<Source>,
    correlator: Correlator,
}

impl Writer {
    async fn run(mut self, mut notes: mpsc::Receiver<Note>) {
        while let Some(note) = notes.recv().await {
            let event = self.event(&note);
            match self.correlator.plan(event, note.at) {
                Plan::Drop => {}
                Plan::Create(event) => self.persist(&event, None).await,
                Plan::Count(event) => {
                    let patch = tree!({
                        "count": (event.i64_at(&["count"])), "lastTimestamp": (event.str_at(&["lastTimestamp"])),
                        "message": (event.str_at(&["message"]))
                    });
                    self.persist(&event, Some(&patch)).await;
                }
            }
        }
    }

    fn event(&self, note: &Note) -> Value {
        let mut source = tree!({"component": (self.source.component.clone())});
        if !self.source.host.is_empty() {
            source.set(&["host"], self.source.host.clone());
        }
        let namespace = match note.about.str_at(&["namespace"]) {
            "" => "default",
            namespace => namespace,
        };
        let name = event_name(note.about.str_at(&["name"]), note.at);
        let at = note.at.rfc3339();
        tree!({
            "metadata": {"name": name, "namespace": namespace}, "involvedObject": (note.about.clone()),
            "reason": (note.reason.clone()), "message": (note.message.clone()), "source": source,
            "firstTimestamp": (at.clone()), "lastTimestamp": at, "count": 1, "type": (note.ty), "eventTime": null,
            "reportingComponent": (self.source.component.clone()), "reportingInstance": (self.source.host.clone())
        })
    }

    /// Tries until the server answers, whatever it says.
    async fn persist(&self, event: &Value, patch: Option<&Value>) {
        for attempt in 1..=ATTEMPTS {
            match self.write(event, patch).await {
                Err(error) if error.code().is_none() && attempt < ATTEMPTS => {
                    let share = if attempt == 1 { Ids::system().fraction() } else { 1.0 };
                    tokio::time::sleep(PAUSE.mul_f64(share)).await;
                }
                Err(error) => {
                    tracing::debug!(%error, "an event is not recorded");
                    return;
                }
                Ok(()) => return,
            }
        }
    }

    async fn write(&self, event: &Value, patch: Option<&Value>) -> Result<(), Error> {
        let events = Resource::namespaced("", "v1", "events");
        let place = (event.str_at(&["metadata", "namespace"]), event.str_at(&["metadata", "name"]));
        if let Some(patch) = patch {
            match self.client.merge_patch(&events, place.0, place.1, "", patch).await {
                // It expired: it is told anew.
                Err(error) if error.is_not_found() => {}
                done => return done.map(drop),
            }
        }
        self.client.create(&events, place.0, event).await.map(drop)
    }
}

/// `NAME.NANOSECONDS` in hexadecimal; names that cannot stand in an event's name are left out.
fn event_name(name: &str, at: Time) -> String {
    let nanos = at.secs.wrapping_mul(1_000_000_000).wrapping_add(i64::from(at.nanos));
    let full = format!("{name}.{nanos:x}");
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let fits = full.chars().all(fits) && full.starts_with(|c: char| c.is_ascii_alphanumeric());
    if fits && full.len() <= NAME_BYTES { full } else { Ids::system().uuid() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_named_after_its_object_when_it_can_be() {
        let at = Time::from_secs(1);
        assert_eq!(event_name("web-0", at), "web-0.3b9aca00");
        assert_eq!(event_name("system:x", at).len(), 36);
        assert_eq!(event_name(&"a".repeat(253), at).len(), 36);
    }

    #[test]
    fn a_reference_names_the_object_as_it_was() {
        let node = tree!({"metadata": {"name": "n", "uid": "u", "resourceVersion": "7"}});
        let wanted =
            tree!({"kind": "Node", "name": "n", "uid": "u", "apiVersion": "v1", "resourceVersion": "7"});
        assert_eq!(reference(("v1", "Node"), &node), wanted);
    }

    #[tokio::test]
    async fn recording_does_not_wait_for_a_server_that_is_away() {
        let client = Client::new(Arc::new(|| tokio::io::duplex(64).0), "test");
        let recorder = Recorder::on_host(client, "kubelet", "n", Clock::system());
        let pod = tree!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "a"}});
        for i in 0..3 * WAITING {
            recorder.part_event(&pod, "spec.containers{c}", "Normal", "Pulled", &i.to_string());
        }
        assert_eq!(recorder.queue.capacity(), 0);
    }
}
