//! Priority and fairness: who may be at work now, who waits, and who is sent away.
//!
//! A request is classified by the FlowSchemas (`schema`) and needs seats of its priority level (`level`), as many as
//! its work is estimated at (`work`). Who finds none waits in fair queues (`queues`); levels lend each other what
//! they do not use (`allocation`, `fair`). Long answers are made in slices, so that few threads stay free for all
//! (`turns`). Without priority and fairness two plain numbers bound what is in flight (`in_flight`).

mod allocation;
mod dropped;
mod dump;
mod fair;
mod in_flight;
mod level;
mod metrics;
mod queues;
mod schema;
mod tally;
mod turns;
mod work;

pub use level::{Kept, Seat};
pub use turns::{Pace, Room, Turns};

use crate::address::{Address, Verb};
use crate::answer::{Answer, bytes_of};
use crate::query::Query;
use crate::server::Server;
use api::Reader;
use authn::Caller;
use authz::Attributes;
use dropped::Dropped;
use fair::Fair;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use in_flight::InFlight;
use queues::Who;
use std::sync::Arc;
use stdx::Clock;

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const SCHEMA_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");
/// Subresources that are streams, or as long as one.
const LONG_RUNNING: [&str; 5] = ["attach", "exec", "log", "portforward", "proxy"];
/// The identity that the server itself has; upstream's loopback client is exempt as well.
const OWN_IDENTITY: &str = "system:apiserver";

/// What the flags say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Reads at once, and writes; with `fair` the sum is what counts. 0 is no limit without `fair`.
    pub max_requests: u32,
    pub max_mutating_requests: u32,
    /// Whether priority and fairness is on.
    pub fair: bool,
    /// Threads that serve requests.
    pub threads: usize,
}

impl Default for Settings {
    /// Upstream's limits, for this machine.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Settings { max_requests: 400, max_mutating_requests: 200, fair: true, threads }
    }
}

/// The queue room of the corridor.
pub struct Flow {
    mode: Mode,
    clock: Clock,
    turns: Turns,
}

enum Mode {
    Fair(Arc<Fair>, Dropped),
    InFlight(InFlight),
}

/// What a request was classified as. Its answer says so, whatever it is.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    uids: Option<(HeaderValue, HeaderValue)>,
    /// Who is calling, as turns know it.
    pub caller: u64,
}

impl Marks {
    pub fn write(self, headers: &mut HeaderMap) {
        if let Some((schema, level)) = self.uids {
            headers.insert(SCHEMA_UID, schema);
            headers.insert(LEVEL_UID, level);
        }
    }
}

/// A request that is sent away; seconds after which it may try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany(pub i64);

impl Flow {
    pub fn new(settings: &Settings, clock: Clock) -> Self {
        let mode = if settings.fair {
            let total = settings.max_requests.saturating_add(settings.max_mutating_requests);
            Mode::Fair(Arc::new(Fair::new(total)), Dropped::new(clock.clone()))
        } else {
            Mode::InFlight(InFlight::new(settings.max_requests, settings.max_mutating_requests))
        };
        Flow { mode, clock, turns: Turns::new(settings.threads) }
    }

    /// Follows the objects that say what is fair, from now on.
    pub async fn follow(&self, reader: &dyn Reader) {
        let Mode::Fair(fair, _) = &self.mode else { return };
        let (levels, schemas) = (fair.clone(), fair.clone());
        let follow = Box::new(move |step| levels.follow_levels(step));
        reader.follow(GROUP, "prioritylevelconfigurations", follow).await;
        let follow = Box::new(move |step| schemas.follow_schemas(step));
        reader.follow(GROUP, "flowschemas", follow).await;
        tokio::spawn(fair.clone().keep_balance());
    }

    /// Appends what Prometheus reads of it.
    pub fn write_metrics(&self, out: &mut String) {
        metrics::write(self, out);
    }

    /// The dump of that name, when there is one.
    pub fn dump(&self, name: &str, query: &Query) -> Option<String> {
        dump::text(self, name, query)
    }

    /// Turns at the processor.
    pub fn turns(&self) -> &Turns {
        &self.turns
    }

    /// A seat for a request, at once or after a while. Streams need none.
    pub async fn enter(
        &self,
        server: &Server,
        caller: &Caller,
        asked: &Attributes,
        place: &Address,
        query: &Query,
        marks: &mut Marks,
    ) -> Result<Seat, TooMany> {
        marks.caller = turns::id(caller.name());
        let watches = matches!(place, Address::Resource(target) if target.verb == Some(Verb::Watch));
        let own = caller.is_in_process() && caller.name() == OWN_IDENTITY;
        if own || is_long_running(asked) && !watches {
            return Ok(Seat::none());
        }
        let (fair, dropped) = match &self.mode {
            Mode::Fair(fair, dropped) => (fair, dropped),
            Mode::InFlight(_) if watches => return Ok(Seat::none()),
            Mode::InFlight(in_flight) => return in_flight.enter(caller, &asked.verb),
        };
        let config = fair.config();
        let Some(schema) = config.classify(caller, asked) else { return Ok(Seat::none()) };
        marks.uids = Some((schema.uid.clone(), schema.level_uid.clone()));
        let seats = match place {
            Address::Resource(target) => work::seats(server, target, asked, query, &schema.level),
            Address::Other => 1,
        };
        if let Some(seat) = schema.level.try_enter(schema, seats) {
            return Ok(seat);
        }
        let schema = schema.clone();
        drop(config);
        let distinguisher = schema.spec.distinguisher(caller, asked);
        let who = Who {
            schema: schema.spec.name.clone(),
            distinguisher: distinguisher.to_owned(),
            caller: caller.clone(),
            asked: asked.clone(),
            arrived: self.clock.now(),
        };
        let entered = schema.level.wait(&schema, seats, schema.hash(distinguisher), who);
        // Rarely needed, so that it takes no room in the state of every request.
        Box::pin(entered).await.map_err(|_| TooMany(dropped.note(&schema.level.name)))
    }
}

/// Streams, and requests as long as one, hold no seat.
fn is_long_running(asked: &Attributes) -> bool {
    matches!(asked.verb.as_str(), "watch" | "proxy")
        || asked.is_resource && LONG_RUNNING.contains(&asked.subresource.as_str())
        || !asked.is_resource && asked.path.starts_with("/debug/pprof/")
}

/// The answer to who is sent away: plain text, as upstream's.
pub fn too_many(TooMany(retry_after_secs): TooMany) -> Answer {
    let text = "Too many requests, please try again later.\n";
    let mut answer = bytes_of(429, "text/plain; charset=utf-8", text.into());
    let headers = answer.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_secs));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

#[cfg(test)]
mod tests;
