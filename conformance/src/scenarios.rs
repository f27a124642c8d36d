//! Replays what a real server was recorded to answer, and holds the number of scenarios that pass: it may only rise.
//!
//! The recordings and the tool that replays them lie beside the repository (`../shared/oracle`), not in it; without
//! them there is nothing to replay. `scenarios.ratchet` holds one line a file, `NAME PASSED`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{Server, binary, tools};

/// The recordings of one file, replayed.
#[derive(Debug, PartialEq, Eq)]
pub struct Score {
    /// Scenarios without a difference.
    pub passed: usize,
    /// The names of the others.
    pub failed: Vec<String>,
}

/// The folder of the recordings, when it is there.
pub fn folder() -> Option<PathBuf> {
    let folder = binary::root().join("../shared/oracle");
    folder.join("oracle.py").is_file().then_some(folder)
}

/// Replays one file of scenarios, by its name without `.yaml`.
///
/// # Errors
/// When the tool cannot be run or says nothing.
pub fn replay(server: &Server, folder: &Path, name: &str) -> Result<Score> {
    let report = server.folder().join(format!("{name}.report.json"));
    let mut command = Command::new("python3");
    command.arg(folder.join("oracle.py")).args(["replay", "--kubeconfig"]).arg(server.kubeconfig());
    if let Some(kubectl) = tools::find("kubectl") {
        command.arg("--kubectl").arg(kubectl);
    }
    let scenarios = folder.join("scenarios").join(format!("{name}.yaml"));
    command.arg("--json").arg(&report).arg(scenarios);
    command.env("PYTHONPATH", tools::dir().join("python")).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output().context("cannot run python3")?;
    let text = std::fs::read_to_string(&report)
        .with_context(|| format!("no report on {name}: {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok(score(&serde_json::from_str(&text)?))
}

/// A report maps each scenario to its differences; none is a pass.
fn score(report: &Value) -> Score {
    let mut score = Score { passed: 0, failed: Vec::new() };
    for (name, differences) in report.as_object().into_iter().flatten() {
        match differences.as_array() {
            Some(list) if list.is_empty() => score.passed += 1,
            _ => score.failed.push(name.clone()),
        }
    }
    score
}

/// The committed numbers: file to the scenarios that must pass.
pub type Ratchet = BTreeMap<String, usize>;

/// Where the committed numbers are.
pub fn ratchet_file() -> PathBuf {
    binary::root().join("conformance/scenarios.ratchet")
}

/// Reads lines of `NAME PASSED`; `#` begins a comment.
///
/// # Errors
/// Names the line that is neither.
pub fn parse_ratchet(text: &str) -> Result<Ratchet> {
    let lines =
        text.lines().map(|line| line.split('#').next().unwrap_or("").trim()).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (name, passed) = line.split_once(' ').with_context(|| format!("no number: {line:?}"))?;
            Ok((name.to_owned(), passed.trim().parse().with_context(|| format!("no number: {line:?}"))?))
        })
        .collect()
}

/// The numbers as `parse_ratchet` reads them.
pub fn render_ratchet(ratchet: &Ratchet) -> String {
    let head = "# Recorded scenarios that pass, by file. Only rises: PINTLE_RATCHET=1 cargo test -p conformance --test scenarios\n";
    let lines = ratchet.iter().map(|(name, passed)| format!("{name} {passed}\n"));
    std::iter::once(head.to_owned()).chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_passes_when_nothing_differs() {
        let report = serde_json::json!({"a/one": [], "a/two": ["status: want 200, got 404"], "a/three": []});
        assert_eq!(score(&report), Score { passed: 2, failed: vec!["a/two".into()] });
    }

    #[test]
    fn a_ratchet_is_read_as_it_is_written() {
        let ratchet = Ratchet::from([("apply-basic".into(), 7), ("patch-json".into(), 0)]);
        assert_eq!(parse_ratchet(&render_ratchet(&ratchet)).unwrap(), ratchet);
        assert!(parse_ratchet("apply-basic many").is_err());
    }
}
