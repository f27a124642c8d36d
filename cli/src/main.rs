//! The one binary: reads configuration, wires the rooms, starts and stops.
//!
//! Standard output carries answers (the ready line, a kubeconfig, the version), standard error the log. A start
//! that fails says why in one line; exit code 1 is a failure, 2 a misuse.

mod containerd;
mod data_dir;
mod explain;
mod flags;
mod follow_file;
mod kubeconfig;
mod legacy_uses;
mod logs;
mod node;
mod own_writes;
mod pod_rules;
mod remote;
mod serve;
mod token;
mod up;
mod version;

use clap::Parser;
use controllers::Parts;
use flags::{Command, Flags};
use std::process::ExitCode;
use std::time::Instant;

/// Gives memory back after a burst, and is faster with small trees than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let started = Instant::now();
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => return misuse(&error),
    };
    let done = match flags.command {
        Command::Up(command) => up::run(&command.cluster(), Parts::All, started),
        Command::Apiserver(cluster) => up::run(&cluster, Parts::ApiServer, started),
        Command::Kubelet(command) => node::run(&command),
        Command::Kubeconfig(command) => kubeconfig::run(&command),
        Command::Explain(command) => match explain::run(&command) {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::FAILURE,
            Err(error) => Err(error),
        },
        Command::Token(command) => token::run(&command),
        Command::Version => version::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", one_line(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// Help goes to standard output; a wrong flag is one line and exit code 2.
fn misuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Nobody is left to tell when standard output is gone.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    eprintln!("{}", one_line(first));
    ExitCode::from(2)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
