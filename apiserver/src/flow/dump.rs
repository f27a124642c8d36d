//! `/debug/api_priority_and_fairness/dump_*`: the state of levels, queues and waiting requests, as tables of text in
//! upstream's columns. Requests that found a seat at once are counted and not kept, so that only those that wait
//! are listed one by one.

use super::queues::Ticket;
use super::{Flow, Mode};
use crate::query::Query;
use std::fmt::Write;
use std::sync::atomic::Ordering;

const LEVELS: [&str; 10] = [
    "PriorityLevelName",
    "ActiveQueues",
    "IsIdle",
    "IsQuiescing",
    "WaitingRequests",
    "ExecutingRequests",
    "DispatchedRequests",
    "RejectedRequests",
    "TimedoutRequests",
    "CancelledRequests",
];
const QUEUES: [&str; 9] = [
    "PriorityLevelName",
    "Index",
    "PendingRequests",
    "ExecutingRequests",
    "SeatsInUse",
    "NextDispatchR",
    "InitialSeatsSum",
    "MaxSeatsSum",
    "TotalWorkSum",
];
const REQUESTS: [&str; 10] = [
    "PriorityLevelName",
    "FlowSchemaName",
    "QueueIndex",
    "RequestIndexInQueue",
    "FlowDistingsher",
    "ArriveTime",
    "InitialSeats",
    "FinalSeats",
    "AdditionalLatency",
    "StartTime",
];
const DETAILS: [&str; 8] =
    ["UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource"];

/// The dump of that name; nothing when there is none.
pub fn text(flow: &Flow, name: &str, query: &Query) -> Option<String> {
    let Mode::Fair(fair, _) = &flow.mode else { return None };
    let config = fair.config();
    let levels = config.levels.values();
    let mut rows = Vec::new();
    match name {
        "dump_priority_levels" => {
            rows.push(LEVELS.map(str::to_owned).to_vec());
            rows.extend(levels.map(|level| level_row(level)));
        }
        "dump_queues" => {
            rows.push(QUEUES.map(str::to_owned).to_vec());
            rows.extend(levels.flat_map(|level| queue_rows(level)));
        }
        "dump_requests" => {
            let details = !query.text("includeRequestDetails").is_empty();
            let mut titles = REQUESTS.map(str::to_owned).to_vec();
            if details {
                titles.extend(DETAILS.map(str::to_owned));
            }
            rows.push(titles);
            rows.extend(levels.flat_map(|level| request_rows(level, details)));
        }
        _ => return None,
    }
    Some(table(&rows))
}

fn level_row(level: &super::level::Level) -> Vec<String> {
    let busy = level.queues.lock().queues.iter().filter(|queue| !queue.waiting.is_empty()).count();
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed).to_string();
    vec![
        level.name.clone(),
        busy.to_string(),
        level.is_idle().to_string(),
        false.to_string(),
        level.load().1.to_string(),
        level.executing.load(Ordering::Relaxed).to_string(),
        count(&level.dispatched),
        count(&level.rejected),
        count(&level.timed_out),
        count(&level.cancelled),
    ]
}

fn queue_rows(level: &super::level::Level) -> Vec<Vec<String>> {
    let queues = level.queues.lock();
    let rows = queues.queues.iter().enumerate().map(|(index, queue)| {
        let seats: u32 = queue.waiting.iter().map(|ticket| ticket.seats).sum();
        vec![
            level.name.clone(),
            index.to_string(),
            queue.waiting.len().to_string(),
            queue.executing.to_string(),
            queue.seats.to_string(),
            format!("{:.8}ss", queue.next),
            seats.to_string(),
            seats.to_string(),
            format!("{:.8}ss", queue.work()),
        ]
    });
    rows.collect()
}

fn request_rows(level: &super::level::Level, details: bool) -> Vec<Vec<String>> {
    let queues = level.queues.lock();
    let all = queues.queues.iter().enumerate();
    let tickets = all.flat_map(|(i, queue)| queue.waiting.iter().enumerate().map(move |(j, t)| (i, j, t)));
    tickets.map(|(queue, index, ticket)| request_row(&level.name, queue, index, ticket, details)).collect()
}

fn request_row(level: &str, queue: usize, index: usize, ticket: &Ticket, details: bool) -> Vec<String> {
    let who = &ticket.who;
    let mut row = vec![
        level.to_owned(),
        who.schema.clone(),
        queue.to_string(),
        index.to_string(),
        who.distinguisher.clone(),
        who.arrived.rfc3339_micro(),
        ticket.seats.to_string(),
        "0".to_owned(),
        "0s".to_owned(),
        "0001-01-01T00:00:00Z".to_owned(),
    ];
    if details {
        let asked = &who.asked;
        let version = match asked.group.as_str() {
            "" => asked.version.to_string(),
            group => format!("{group}/{}", asked.version.as_str()),
        };
        row.push(who.caller.name().to_owned());
        row.extend([&asked.verb, &asked.path, &asked.namespace, &asked.name].map(|text| text.to_string()));
        row.push(version);
        row.extend([&asked.resource, &asked.subresource].map(|text| text.to_string()));
    }
    row
}

/// Columns of 8 characters at least, with a comma and a blank behind each but the last.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let texts = rows.iter().filter_map(|row| row.get(column));
        texts.map(|text| text.chars().count() + 2).max().unwrap_or_default().max(8)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        for (i, (text, width)) in row.iter().zip(&widths).enumerate() {
            if i + 1 == columns {
                out.push_str(text);
            } else {
                let _ = write!(out, "{:<width$}", format!("{text},"));
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_as_upstreams() {
        let rows =
            vec![vec!["Name".to_owned(), "Queues".to_owned()], vec!["catch-all".to_owned(), "0".to_owned()]];
        assert_eq!(table(&rows), "Name,      Queues\ncatch-all, 0\n");
    }
}
