//! How much work a request is, in seats. Lists, and watches that begin with one, are as wide as what they load; all
//! else needs one seat.
//!
//! Upstream also widens writes by the number of their watchers, because each event costs it some 50 µs for each of
//! them. Here an event is encoded once for all watchers, and a write stays at one seat.

use super::level::Level;
use crate::address::{Target, Verb};
use crate::query::Query;
use crate::server::Server;
use authz::Attributes;

const BYTES_PER_SEAT: u64 = 100_000;
/// Lists from the cache are streamed, so that they hold at most this much at once.
const STREAMED_BYTES: u64 = 1_000_000;
/// What an object is taken for while nothing is known of its kind's.
const UNKNOWN_BYTES: u64 = 1_500_000;
const WIDEST: u32 = 100;

/// What is in the store of a kind.
struct Stored {
    objects: u64,
    bytes_each: u64,
}

/// The seats that a request needs.
pub fn seats(server: &Server, target: &Target, asked: &Attributes, query: &Query, level: &Level) -> u32 {
    if !matches!(target.verb, Some(Verb::List | Verb::Watch)) || level.is_exempt() {
        return 1;
    }
    let watches = target.verb == Some(Verb::Watch);
    let old = matches!(query.text("resourceVersion"), "" | "0");
    if watches && !old && !query.flag("sendInitialEvents") {
        return 1;
    }
    let registry = server.registry();
    let Some(kind) = registry.find(&target.group, &target.resource) else { return 1 };
    let Some(stats) = server.store.stats_of(&server.space(&**kind)) else { return 1 };
    let objects = stats.keys as u64;
    let bytes_each = stats.bytes.checked_div(objects).filter(|bytes| *bytes > 0).unwrap_or(UNKNOWN_BYTES);
    let widest = match level.limits().widest {
        0 => WIDEST,
        widest => widest.min(WIDEST),
    };
    let stored = Stored { objects, bytes_each };
    width(query, &stored, watches || from_cache(query), !asked.name.is_empty()).clamp(1, widest)
}

/// Whether upstream would answer from its watch cache.
fn from_cache(query: &Query) -> bool {
    let limited = query.integer("limit").is_ok_and(|limit| limit.is_some_and(|limit| limit > 0));
    let exactly = limited && !matches!(query.text("resourceVersion"), "" | "0");
    match query.text("resourceVersionMatch") {
        "" => query.text("continue").is_empty() && !exactly,
        "NotOlderThan" => true,
        _ => false,
    }
}

fn width(query: &Query, stored: &Stored, cached: bool, one: bool) -> u32 {
    let limit = query.integer("limit").ok().flatten().and_then(|limit| u64::try_from(limit).ok());
    let limited = limit.filter(|limit| *limit > 0).map_or(stored.objects, |limit| limit.min(stored.objects));
    let selects = query.has("labelSelector") || query.has("fieldSelector");
    let loaded = match () {
        () if one => 1,
        () if selects && !cached => limited.max(stored.objects / 2),
        () => limited,
    };
    let bytes = loaded.saturating_mul(stored.bytes_each);
    let held = if cached { bytes.min(STREAMED_BYTES) } else { bytes };
    u32::try_from(held.div_ceil(BYTES_PER_SEAT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_as_wide_as_what_they_load() {
        let stored = Stored { objects: 1_000, bytes_each: 2_000 };
        let of = |query: &str| {
            let query = Query::parse(query);
            width(&query, &stored, from_cache(&query), false)
        };
        assert_eq!(of(""), 10);
        assert_eq!(of("limit=100"), 2);
        assert_eq!(of("limit=500&continue=x"), 10);
        assert_eq!(of("limit=500&continue=x&labelSelector=a"), 10);
        assert_eq!(of("resourceVersion=5&resourceVersionMatch=Exact"), 20);
        assert_eq!(of("resourceVersion=5&limit=1&labelSelector=a"), 10);
        let one = Query::parse("");
        assert_eq!(width(&one, &stored, true, true), 1);
    }
}
