//! Runs a command in a container and waits for what it says: exec probes and exec hooks.

use super::{Runtime, cri};
use std::time::Duration;
use tonic::{Code, Status};

/// How much longer than the command's own time containerd may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(120);

/// Why a command did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecFailure {
    /// It ended with this code, not 0, and said this: stdout, then stderr.
    Exit { code: i32, output: Vec<u8>, error: String },
    /// It took longer than it may.
    TimedOut(String),
    /// It did not run; containerd says why.
    NotRun(String),
}

impl std::fmt::Display for ExecFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExecFailure::Exit { error, .. } => f.write_str(error),
            ExecFailure::TimedOut(why) | ExecFailure::NotRun(why) => f.write_str(why),
        }
    }
}

impl Runtime {
    /// Runs `command` in a running container; gives stdout and after it stderr. No `timeout`: as long as it takes.
    ///
    /// # Errors
    /// When it does not end with 0 in time, or cannot run.
    pub async fn exec_sync(
        &self,
        container_id: &str,
        command: &[String],
        timeout: Option<Duration>,
    ) -> Result<Vec<u8>, ExecFailure> {
        let message = cri::ExecSyncRequest {
            container_id: container_id.to_owned(),
            cmd: command.to_vec(),
            timeout: timeout.map_or(0, |timeout| i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX)),
        };
        let mut containers = self.containers();
        let call = containers.exec_sync(message);
        let answer = match timeout {
            Some(timeout) => match tokio::time::timeout(timeout + ANSWER_TIME, call).await {
                Ok(answer) => answer,
                Err(_) => Err(Status::deadline_exceeded("context deadline exceeded")),
            },
            None => call.await,
        };
        let answer = answer.map_err(|status| failure(&status, command, timeout))?.into_inner();
        let mut output = answer.stdout;
        output.extend_from_slice(&answer.stderr);
        if answer.exit_code == 0 {
            return Ok(output);
        }
        let (command, said) = (command.join(" "), String::from_utf8_lossy(&answer.stderr));
        let error = format!("command '{command}' exited with {}: {said}", answer.exit_code);
        Err(ExecFailure::Exit { code: answer.exit_code, output, error })
    }
}

fn failure(status: &Status, command: &[String], timeout: Option<Duration>) -> ExecFailure {
    if status.code() != Code::DeadlineExceeded {
        return ExecFailure::NotRun(words(status));
    }
    let (command, seconds) = (api::quote(&command.join(" ")), timeout.unwrap_or_default());
    let seconds = api::time::format_duration(i64::try_from(seconds.as_nanos()).unwrap_or(i64::MAX));
    ExecFailure::TimedOut(format!("command timed out: {command} timed out after {seconds}"))
}

/// A status as Go prints it: `rpc error: code = NotFound desc = no such container`.
pub fn words(status: &Status) -> String {
    let code = match status.code() {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        code => return format!("rpc error: code = {code:?} desc = {}", status.message()),
    };
    format!("rpc error: code = {code} desc = {}", status.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_takes_too_long_is_told_in_upstreams_words() {
        let command = ["sh".to_owned(), "-c".to_owned(), "sleep 9".to_owned()];
        let status = Status::deadline_exceeded("timeout 1s exceeded");
        let ExecFailure::TimedOut(why) = failure(&status, &command, Some(Duration::from_secs(1))) else {
            panic!("no timeout")
        };
        assert_eq!(why, "command timed out: \"sh -c sleep 9\" timed out after 1s");
    }

    #[test]
    fn what_containerd_refuses_reads_as_go_prints_it() {
        let status = Status::not_found("no such container");
        let why = failure(&status, &[], None).to_string();
        assert_eq!(why, "rpc error: code = NotFound desc = no such container");
        assert_eq!(words(&Status::cancelled("x")), "rpc error: code = Canceled desc = x");
    }
}
