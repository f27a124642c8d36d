//! Limits with their reasons. What a client can make the server hold, or wait for, is bounded by one of these.

use std::time::Duration;

/// Largest request body (`limit is 3145728` in the 413): upstream's, sized for an object of etcd's 1.5 MiB
/// request limit plus room for JSON's overhead.
pub const REQUEST_BODY_BYTES: usize = 3 * 1024 * 1024;

/// Largest head of a request. The original takes 1 MiB; no client sends near that, and this much may be held
/// for each connection before we know who is there.
pub const REQUEST_HEAD_BYTES: usize = 400 * 1024;

/// Time for a request that is not a watch or a stream, upstream's `--request-timeout`.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Time between two pieces of a request body. Half of `REQUEST_TIMEOUT`: a client that sends nothing for so
/// long is gone or holds us up on purpose.
pub const BODY_STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Time after which a connection without a request is closed, upstream's `IdleTimeout`; clients keep theirs
/// for the same time. A request counts once its head is complete, so this bounds slow heads too.
pub const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(90);

/// Time that a connection gets to finish after it was told to.
pub const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

/// Silence after which the kernel asks whether the other end of a connection is there, and how often it asks;
/// watches to machines that vanished end after about a minute.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Time for a TLS handshake, the default of Go's servers and clients.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Concurrent streams of one HTTP/2 connection: what Go's servers and clients assume. The original lowers it
/// to 100 because its streams are costly to open and reset; ours are not, and informers of one client share
/// a connection.
pub const STREAMS_PER_CONNECTION: u32 = 250;

/// Bytes of one HTTP/2 stream that may wait unread: 99 % of objects are smaller, so they come in one piece.
pub const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// Bytes of one HTTP/2 connection that may wait unread, over all its streams: what a silent attacker costs.
pub const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Bytes of answers that wait in one HTTP/2 stream before the producer is held back.
pub const STREAM_SEND_BUFFER_BYTES: usize = 256 * 1024;

/// Connections at once. Each costs some 20 KiB when idle, so this is about 200 MiB; a cluster of 5,000 nodes
/// holds two or three for each.
pub const CONNECTIONS: usize = 16_384;

/// Time that a stopping server gives to the requests it has accepted.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
