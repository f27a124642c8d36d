//! The log: standard error, one line an event. Levels are upstream's numbers.

use std::io::IsTerminal;
use tracing::Level;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The rooms, whose events are shown by `--v`; libraries speak up only when something is wrong.
const ROOMS: [&str; 12] = [
    "pintle",
    "apiserver",
    "store",
    "certs",
    "authn",
    "authz",
    "admission",
    "client",
    "controllers",
    "scheduler",
    "kubelet",
    "proxy",
];

/// Starts logging at upstream's verbosity: 0 is what an operator wants to know, 4 debugs, 6 traces, 8 traces
/// libraries too.
pub fn start(verbosity: u8) {
    let (rooms, libraries) = match verbosity {
        0..4 => (Level::INFO, Level::ERROR),
        4..6 => (Level::DEBUG, Level::WARN),
        6..8 => (Level::TRACE, Level::WARN),
        8.. => (Level::TRACE, Level::TRACE),
    };
    let shown = Targets::new().with_default(libraries).with_targets(ROOMS.map(|room| (room, rooms)));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // It can fail only when logging has been started before, and then it goes on as it was.
    let _ = tracing_subscriber::registry().with(lines.with_filter(shown)).try_init();
}
