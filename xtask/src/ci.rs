//! Every check and every test in one run, cheapest first; a failing phase does not hide the later ones. Closes with the
//! time of each phase and one line in the form of cargo's own test summary.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args as ClapArgs;

use crate::{deny, tidy, tools, workspace};

/// What to leave out.
#[derive(ClapArgs)]
pub struct Args {
    /// Leave out a phase: tools, format, tidy, lint, deny, build or test (may be repeated).
    #[arg(long)]
    skip: Vec<String>,
}

/// Counts of test results, summed over all test binaries.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

struct Phase {
    name: &'static str,
    took: Duration,
    error: Option<String>,
}

/// Runs all phases.
///
/// # Errors
/// When a phase failed; the summary that is printed names it.
pub fn run(args: &Args) -> Result<()> {
    let mut tally = Tally::default();
    let mut phases = Vec::new();
    let begin = Instant::now();
    type Work<'a> = Box<dyn FnOnce(&mut Tally) -> Result<()> + 'a>;
    let plan: [(&'static str, Work<'_>); 7] = [
        ("tools", Box::new(|_| tools::run())),
        ("format", Box::new(|_| cargo(&["fmt", "--all", "--check"]))),
        ("tidy", Box::new(|_| tidy::run())),
        (
            "lint",
            Box::new(|_| {
                cargo(&["clippy", "--workspace", "--all-targets", "--keep-going", "--", "-D", "warnings"])
            }),
        ),
        ("build", Box::new(|_| cargo(&["build", "--workspace", "--all-targets"]))),
        ("test", Box::new(test)),
        ("deny", Box::new(|_| deny::run())),
    ];
    for (name, work) in plan {
        if args.skip.iter().any(|skipped| skipped == name) {
            continue;
        }
        eprintln!("ci: {name}");
        let start = Instant::now();
        let error = work(&mut tally).err().map(|error| format!("{error:#}"));
        phases.push(Phase { name, took: start.elapsed(), error });
    }
    report(&phases, &tally, begin.elapsed())
}

/// Runs all tests of the workspace with the tools on PATH, passing their output on and counting their results.
fn test(tally: &mut Tally) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(tools::dir().join("bin")).chain(std::env::split_paths(&path));
    let mut child = Command::new("cargo")
        .args(["test", "--workspace", "--no-fail-fast"])
        .env("PATH", std::env::join_paths(folders)?)
        .env("PINTLE_REQUIRE_TOOLS", "1")
        .env("PINTLE_BIN", workspace::target_dir().join("debug/pintle"))
        .current_dir(workspace::root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo test")?;
    let output = child.stdout.take().context("cargo test has no output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        tally.add(&line);
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}")?;
    }
    ensure!(child.wait()?.success(), "tests failed");
    Ok(())
}

impl Tally {
    /// Adds up lines like `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else { return };
        for part in rest.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(count), Some(what)) =
                (words.next().and_then(|word| word.parse::<u64>().ok()), words.next())
            else {
                continue;
            };
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }
}

fn cargo(args: &[&str]) -> Result<()> {
    let status = Command::new("cargo")
        .args(args)
        .current_dir(workspace::root())
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "cargo {} failed", args.join(" "));
    Ok(())
}

fn report(phases: &[Phase], tally: &Tally, total: Duration) -> Result<()> {
    println!("\nci: phases");
    for phase in phases {
        let verdict = phase.error.as_deref().unwrap_or("ok");
        println!("  {:<7} {:>7.1}s  {verdict}", phase.name, phase.took.as_secs_f64());
    }
    let failed_phases = phases.iter().filter(|phase| phase.error.is_some()).count();
    let verdict = if failed_phases == 0 { "ok" } else { "FAILED" };
    let Tally { passed, failed, ignored } = tally;
    let seconds = total.as_secs_f64();
    println!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; \
         0 filtered out; finished in {seconds:.2}s"
    );
    ensure!(failed_phases == 0, "{failed_phases} of {} phases failed", phases.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_test_binaries_add_up() {
        let mut tally = Tally::default();
        tally.add(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        );
        tally.add("test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 9 filtered out; finished in 1.20s");
        tally.add("test tests::result: ok");
        assert_eq!((tally.passed, tally.failed, tally.ignored), (5, 4, 1));
    }
}
