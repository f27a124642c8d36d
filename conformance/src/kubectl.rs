//! A stock kubectl of some version against a server, with a home folder of its own so that no cache or plugin of the
//! machine takes part.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use crate::{Machine, Server, tools};

/// What a command did.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// A kubectl with the administrator's kubeconfig.
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
    machine: Option<Arc<Machine>>,
}

impl Kubectl {
    /// The newest kubectl; `None` when it is not installed (see `tools::find`).
    pub fn new(server: &Server) -> Option<Self> {
        Self::named(server, "kubectl")
    }

    /// An older kubectl by its minor version: `1.31`.
    pub fn older(server: &Server, version: &str) -> Option<Self> {
        Self::named(server, &format!("kubectl-{version}"))
    }

    fn named(server: &Server, program: &str) -> Option<Self> {
        let home = server.folder().join(format!("home-{program}"));
        let _ = std::fs::create_dir_all(&home);
        let machine = server.machine().cloned();
        Some(Self { program: tools::find(program)?, kubeconfig: server.kubeconfig(), home, machine })
    }

    /// The command with these arguments, not yet started. Arguments are split at spaces.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = match &self.machine {
            Some(machine) => machine.command(&self.program.to_string_lossy()),
            None => Command::new(&self.program),
        };
        command.args(arguments.split_whitespace());
        command.env("KUBECONFIG", &self.kubeconfig).env("HOME", &self.home).current_dir(&self.home);
        command.env("KUBECACHEDIR", self.home.join("cache")).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// When kubectl cannot be run.
    pub fn run(&self, arguments: &str) -> Outcome {
        self.finish(self.command(arguments), None)
    }

    /// Runs a command that must succeed and answers its output.
    ///
    /// # Panics
    /// When it fails.
    pub fn ok(&self, arguments: &str) -> String {
        let outcome = self.run(arguments);
        assert_eq!(outcome.code, 0, "kubectl {arguments}: {outcome:#?}");
        outcome.out
    }

    /// Runs a command that reads a manifest from stdin (`-f -`) and must succeed.
    ///
    /// # Panics
    /// When it fails.
    pub fn ok_with(&self, arguments: &str, manifest: &str) -> String {
        let outcome = self.run_with(arguments, manifest);
        assert_eq!(outcome.code, 0, "kubectl {arguments}: {outcome:#?}");
        outcome.out
    }

    /// Runs a command that reads a manifest from stdin.
    ///
    /// # Panics
    /// When kubectl cannot be run.
    pub fn run_with(&self, arguments: &str, manifest: &str) -> Outcome {
        self.finish(self.command(arguments), Some(manifest))
    }

    /// Runs a prepared command to its end.
    ///
    /// # Panics
    /// When kubectl cannot be run.
    pub fn finish(&self, mut command: Command, stdin: Option<&str>) -> Outcome {
        if stdin.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child: Child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", self.program.display()));
        if let (Some(mut pipe), Some(text)) = (child.stdin.take(), stdin) {
            let _ = pipe.write_all(text.as_bytes());
        }
        let output = child.wait_with_output().unwrap_or_else(|error| panic!("kubectl is lost: {error}"));
        Outcome {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
