//! What becomes of an event, with regard to those before: the same again is counted, many that differ in their
//! message only become one, and who causes too many is not heard for a while.

use api::Value;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use stdx::Time;

/// How many events one source causes about one object at once, and how soon another may follow.
const BURST: f64 = 25.0;
const REFILL: Duration = Duration::from_secs(300);
/// From how many different messages on, at most so far apart, similar events are told as one.
const SIMILAR: usize = 10;
const SIMILAR_WITHIN: Duration = Duration::from_secs(600);
/// How many keys each memory holds.
const REMEMBERED: usize = 4096;

/// What becomes of an event.
#[derive(Debug, PartialEq)]
pub enum Plan {
    Create(Value),
    /// One that exists gets this count, time and message.
    Count(Value),
    Drop,
}

/// Remembers what went before.
#[derive(Default)]
pub struct Correlator {
    similar: Memory<Similar>,
    seen: Memory<Seen>,
    left: Memory<Left>,
}

/// Events that differ in their message only.
struct Similar {
    messages: HashSet<String>,
    last: Time,
}

/// An event that was told.
struct Seen {
    name: String,
    count: i64,
    first: String,
}

/// How many events may still come, as of when.
struct Left {
    tokens: f64,
    since: Time,
}

impl Correlator {
    /// Decides on one event, which happened now.
    pub fn plan(&mut self, mut event: Value, now: Time) -> Plan {
        let key = self.aggregate(&mut event, now);
        let seen = self.observe(&mut event, key);
        if !self.admit(&event, now) {
            return Plan::Drop;
        }
        if seen { Plan::Count(event) } else { Plan::Create(event) }
    }

    /// Makes one of many of the event when there are many like it. Gives the key by which it is counted.
    fn aggregate(&mut self, event: &mut Value, now: Time) -> String {
        let group = format!("{}\n{}", source_key(event), event.str_at(&["reason"]));
        let fresh = || Similar { messages: HashSet::new(), last: now };
        let similar = self.similar.entry(&group, fresh);
        if now.since(similar.last) > SIMILAR_WITHIN {
            similar.messages.clear();
        }
        similar.last = now;
        let message = event.str_at(&["message"]).to_owned();
        let is_many = similar.messages.len() + usize::from(!similar.messages.contains(&message)) >= SIMILAR;
        if !is_many {
            let field = event.str_at(&["involvedObject", "fieldPath"]);
            let key = format!("{group}\n{field}\n{message}");
            similar.messages.insert(message);
            return key;
        }
        event.set(&["message"], format!("(combined from similar events): {message}"));
        for field in ["reportingComponent", "reportingInstance"] {
            event.set(&[field], "");
        }
        group
    }

    /// Counts the event. True when it was told before.
    fn observe(&mut self, event: &mut Value, key: String) -> bool {
        let (name, first) = (event.str_at(&["metadata", "name"]), event.str_at(&["firstTimestamp"]));
        let fresh = || Seen { name: name.to_owned(), count: 0, first: first.to_owned() };
        let seen = self.seen.entry(&key, fresh);
        seen.count += 1;
        event.set(&["metadata", "name"], seen.name.clone());
        event.set(&["firstTimestamp"], seen.first.clone());
        event.set(&["count"], seen.count);
        seen.count > 1
    }

    fn admit(&mut self, event: &Value, now: Time) -> bool {
        let left = self.left.entry(&source_key(event), || Left { tokens: BURST, since: now });
        let refilled = now.since(left.since).as_secs_f64() / REFILL.as_secs_f64();
        left.tokens = BURST.min(left.tokens + refilled);
        left.since = now;
        if left.tokens < 1.0 {
            return false;
        }
        left.tokens -= 1.0;
        true
    }
}

/// Source, object and type.
fn source_key(event: &Value) -> String {
    let about = |field: &str| event.str_at(&["involvedObject", field]);
    let source = |field: &str| event.str_at(&["source", field]);
    [
        source("component"),
        source("host"),
        about("kind"),
        about("namespace"),
        about("name"),
        about("uid"),
        about("apiVersion"),
        event.str_at(&["type"]),
    ]
    .join("\n")
}

/// A bounded memory: what was not asked for the longest is forgotten, in two generations.
struct Memory<T> {
    young: HashMap<String, T>,
    old: HashMap<String, T>,
}

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Memory { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<T> Memory<T> {
    fn entry(&mut self, key: &str, fresh: impl FnOnce() -> T) -> &mut T {
        if self.young.len() >= REMEMBERED / 2 && !self.young.contains_key(key) {
            self.old = std::mem::take(&mut self.young);
        }
        let old = &mut self.old;
        self.young.entry(key.to_owned()).or_insert_with(|| old.remove(key).unwrap_or_else(fresh))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    const NOW: Time = Time::from_secs(1_000_000);

    fn event(object: &str, reason: &str, message: &str) -> Value {
        tree!({
            "metadata": {"name": (format!("{object}.{reason}.{message}"))}, "involvedObject": {"name": object},
            "reason": reason, "message": message, "count": 1, "firstTimestamp": message
        })
    }

    fn count(plan: &Plan) -> Option<i64> {
        match plan {
            Plan::Count(event) => event.i64_at(&["count"]),
            _ => None,
        }
    }

    #[test]
    fn a_repeated_event_is_counted_under_its_first_name() {
        let mut correlator = Correlator::default();
        let Plan::Create(first) = correlator.plan(event("p", "r", "m"), NOW) else { panic!("created") };
        let second = correlator.plan(event("p", "r", "m"), NOW);
        assert_eq!(count(&second), Some(2));
        let Plan::Count(second) = second else { panic!("counted") };
        assert_eq!(second.at(&["metadata", "name"]), first.at(&["metadata", "name"]));
    }

    #[test]
    fn the_tenth_similar_event_and_those_after_it_become_one() {
        let mut correlator = Correlator::default();
        for i in 1..SIMILAR {
            assert!(matches!(correlator.plan(event("p", "r", &i.to_string()), NOW), Plan::Create(_)));
        }
        let Plan::Create(one) = correlator.plan(event("p", "r", "x"), NOW) else { panic!("created") };
        assert_eq!(one.str_at(&["message"]), "(combined from similar events): x");
        let Plan::Count(two) = correlator.plan(event("p", "r", "y"), NOW) else { panic!("counted") };
        assert_eq!(two.str_at(&["message"]), "(combined from similar events): y");
        assert_eq!(two.i64_at(&["count"]), Some(2));
        let later = NOW.plus(SIMILAR_WITHIN + Duration::from_secs(1));
        let Plan::Create(alone) = correlator.plan(event("p", "r", "z"), later) else { panic!("created") };
        assert_eq!(alone.str_at(&["message"]), "z");
    }

    #[test]
    fn who_causes_many_is_not_heard_until_some_time_has_passed() {
        let mut correlator = Correlator::default();
        for i in 0..25 {
            let reason = (i / 5).to_string();
            assert_ne!(correlator.plan(event("p", &reason, &i.to_string()), NOW), Plan::Drop);
        }
        assert_eq!(correlator.plan(event("p", "other", ""), NOW), Plan::Drop);
        assert_ne!(correlator.plan(event("q", "other", ""), NOW), Plan::Drop, "another object");
        let later = NOW.plus(REFILL);
        assert_ne!(correlator.plan(event("p", "next", ""), later), Plan::Drop);
        assert_eq!(correlator.plan(event("p", "next", ""), later), Plan::Drop);
    }

    #[test]
    fn a_memory_forgets_what_is_long_unused() {
        let mut memory = Memory::default();
        for i in 0..2 * REMEMBERED {
            *memory.entry(&i.to_string(), || 0) += 1;
            *memory.entry("often", || 0) += 1;
        }
        assert!(memory.young.len() + memory.old.len() <= REMEMBERED);
        assert_eq!(*memory.entry("often", || 0), 2 * REMEMBERED);
        assert_eq!(*memory.entry("0", || 0), 0);
    }
}
