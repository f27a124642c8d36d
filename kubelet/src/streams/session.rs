//! A session of exec or attach, whatever protocol it came by: standard streams, sizes of the terminal, and a status at
//! the end.

use super::pipe::{Inlet, Outlet};
use api::{Value, json, tree};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

/// The longest text of sizes that waits to be whole.
const LONGEST_SIZES: usize = 4 << 10;

/// What the client and a process say to each other.
pub struct Session {
    pub stdin: Option<Inlet>,
    pub stdout: Option<Outlet>,
    pub stderr: Option<Outlet>,
    /// Of a terminal.
    pub sizes: Option<Sizes>,
    pub status: StatusStream,
    /// The client is not there any more.
    pub gone: CancellationToken,
}

/// How a process ended, or why there was none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// Not 0; with the command.
    Exit {
        code: u32,
        command: Vec<String>,
    },
    Failure(String),
}

/// How a protocol words a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// Nothing, or why it failed: all before version 4.
    Text,
    /// A Status in JSON.
    Status,
    /// A Status in JSON from the API server, which reads that of the node and says it in its own words: version 5.
    Retold,
}

/// Where the status goes at the end.
pub struct StatusStream {
    pub outlet: Outlet,
    pub wording: Wording,
}

impl StatusStream {
    /// Says how it ended, and that nothing more comes.
    pub async fn end(self, outcome: &Outcome) {
        let text = self.wording.of(outcome);
        let _ = self.outlet.send(Bytes::from(text)).await;
        self.outlet.finish().await;
    }
}

impl Wording {
    fn of(self, outcome: &Outcome) -> String {
        let status = match outcome {
            Outcome::Success => tree!({"metadata": {}, "status": "Success"}),
            Outcome::Exit { code, command } => exit(*code, &self.exit_words(*code, command)),
            Outcome::Failure(why) if self == Wording::Retold => failure(&internal_error(why)),
            Outcome::Failure(why) => failure(why),
        };
        match self {
            Wording::Text => status.str_at(&["message"]).to_owned(),
            Wording::Status | Wording::Retold => json::to_string(&status),
        }
    }

    fn exit_words(self, code: u32, command: &[String]) -> String {
        match self {
            Wording::Retold => format!("command terminated with exit code {code}"),
            _ => format!("error executing command [{}], exit code {code}", command.join(" ")),
        }
    }
}

fn internal_error(why: &str) -> String {
    format!("Internal error occurred: {why}")
}

fn exit(code: u32, why: &str) -> Value {
    tree!({
        "metadata": {},
        "status": "Failure",
        "message": (format!("command terminated with non-zero exit code: {why}")),
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": (code.to_string())}]},
    })
}

fn failure(why: &str) -> Value {
    tree!({
        "metadata": {},
        "status": "Failure",
        "message": (internal_error(why)),
        "reason": "InternalError",
        "details": {"causes": [{"message": why}]},
        "code": 500,
    })
}

/// Width and height of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub width: u16,
    pub height: u16,
}

/// The sizes that a client's terminal takes: JSON documents one after another.
pub struct Sizes {
    inlet: Inlet,
    text: Vec<u8>,
}

impl Sizes {
    pub fn new(inlet: Inlet) -> Self {
        Sizes { inlet, text: Vec::new() }
    }

    /// None: no more come.
    pub async fn next(&mut self) -> Option<Size> {
        loop {
            if let Some(size) = self.take()? {
                return Some(size);
            }
            self.text.extend_from_slice(&self.inlet.next().await?);
            if self.text.len() > LONGEST_SIZES {
                return None;
            }
        }
    }

    /// The first whole document; None where there is something else.
    fn take(&mut self) -> Option<Option<Size>> {
        let Some(end) = self.text.iter().position(|byte| *byte == b'}') else { return Some(None) };
        let document: Vec<u8> = self.text.drain(..=end).collect();
        let size = json::parse(&document).ok()?;
        let number = |name: &str| size.i64_at(&[name]).and_then(|n| u16::try_from(n).ok()).unwrap_or(0);
        Some(Some(Size { width: number("Width"), height: number("Height") }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_is_told_as_each_version_tells_it() {
        let outcome =
            Outcome::Exit { code: 3, command: vec!["sh".to_owned(), "-c".to_owned(), "exit 3".to_owned()] };
        assert_eq!(
            Wording::Status.of(&outcome),
            r#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: error executing command [sh -c exit 3], exit code 3","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#
        );
        let why = "command terminated with non-zero exit code: command terminated with exit code 3";
        assert_eq!(json::parse(Wording::Retold.of(&outcome).as_bytes()).unwrap().str_at(&["message"]), why);
        let why =
            "command terminated with non-zero exit code: error executing command [sh -c exit 3], exit code 3";
        assert_eq!(Wording::Text.of(&outcome), why);
    }

    #[test]
    fn success_says_nothing_before_version_4() {
        assert_eq!(Wording::Text.of(&Outcome::Success), "");
        assert_eq!(Wording::Status.of(&Outcome::Success), r#"{"metadata":{},"status":"Success"}"#);
    }

    #[test]
    fn a_failure_is_an_internal_error_and_version_5_says_so_twice() {
        let outcome = Outcome::Failure("no such container".to_owned());
        assert_eq!(Wording::Text.of(&outcome), "Internal error occurred: no such container");
        let retold = json::parse(Wording::Retold.of(&outcome).as_bytes()).unwrap();
        assert_eq!(
            (retold.str_at(&["message"]), retold.i64_at(&["code"])),
            ("Internal error occurred: Internal error occurred: no such container", Some(500))
        );
    }

    #[tokio::test]
    async fn sizes_come_however_they_are_cut() {
        let (sender, inlet) = Inlet::new();
        for piece in ["{\"Width\":80,\"Hei", "ght\":24}\n{\"Width\":100,", "\"Height\":70000}{oops}"] {
            sender.send(Bytes::from_static(piece.as_bytes())).await.unwrap();
        }
        let mut sizes = Sizes::new(inlet);
        assert_eq!(sizes.next().await, Some(Size { width: 80, height: 24 }));
        assert_eq!(sizes.next().await, Some(Size { width: 100, height: 0 }));
        assert_eq!(sizes.next().await, None);
    }
}
