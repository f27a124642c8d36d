//! The project's own chores as `cargo xtask NAME`: one subcommand, one module.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod ci;
mod deny;
mod generate;
mod tidy;
mod tools;
mod up;
mod workspace;

/// Chores of the repository.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Pass every check and every test, installing what they need.
    Ci(ci::Args),
    /// Make this machine a cluster: install what a node needs, build, and run `pintle up`.
    Up(up::Args),
    /// Check the invariants of the house: rooms, sizes, words.
    Tidy,
    /// Install the tools that the tests drive (kubectl, helm, etcd, clients) into target/tools.
    Tools,
    /// Write the schema table of the built-in kinds from upstream's facts.
    Generate(generate::Args),
    /// Check licences and sources of all dependencies with cargo-deny.
    Deny,
}

fn main() -> ExitCode {
    let result = match Cli::parse().chore {
        Chore::Ci(args) => ci::run(&args),
        Chore::Up(args) => up::run(&args),
        Chore::Tidy => tidy::run(),
        Chore::Tools => tools::run(),
        Chore::Generate(args) => generate::run(&args),
        Chore::Deny => deny::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
