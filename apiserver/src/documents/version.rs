//! `/version`: which Kubernetes this is, on the wire.

use api::{Value, tree};

/// The version of the API that is served.
const MINOR: &str = "36";
/// The Kubernetes release whose API is served.
pub const GIT_VERSION: &str = "v1.36.2";

/// Names the architecture as Go does.
fn platform() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{arch}", std::env::consts::OS)
}

/// The document of `/version`.
pub fn document() -> Value {
    tree!({
        "major": "1",
        "minor": MINOR,
        "emulationMajor": "1",
        "emulationMinor": MINOR,
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": GIT_VERSION,
        "gitCommit": option_env!("PINTLE_COMMIT").unwrap_or("unknown"),
        "gitTreeState": "clean",
        "buildDate": option_env!("PINTLE_BUILD_DATE").unwrap_or("1970-01-01T00:00:00Z"),
        "goVersion": "none",
        "compiler": "rustc",
        "platform": platform(),
    })
}
