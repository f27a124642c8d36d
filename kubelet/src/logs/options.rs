//! What a reader of a log asks for: upstream's `PodLogOptions`.

use stdx::Time;

/// As in a request: nothing set means everything that is there now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Go on with what comes, until the container ended.
    pub follow: bool,
    /// Begin with so many lines from the end.
    pub tail_lines: Option<u64>,
    /// Only lines from then on.
    pub since: Option<Time>,
    pub limit_bytes: Option<u64>,
    /// Each line begins with its time.
    pub timestamps: bool,
    /// Only one of the two streams: upstream keeps the gate shut by which it could be asked for, and so do we.
    pub stream: Option<Stream>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(dead_code, reason = "the gate is shut")]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub const fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}
