//! The node's own object: registered, kept true, and alive by its lease.

mod disk;

pub use disk::Disk;

/// The architecture of this machine as Go names it: `amd64`, `arm64`.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}
