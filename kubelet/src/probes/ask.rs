//! Asks a container by the handler of its probe, and tells of bad answers.

use super::judge::{Kind, Pace};
use super::turn::Seen;
use super::{grpc, http, tcp};
use crate::Runtime;
use crate::container::expand;
use crate::pod::spec;
use crate::runtime::ExecFailure;
use api::Value;
use std::sync::Arc;
use std::time::Duration;

/// The longest text of an answer in bytes.
pub const LONGEST: usize = 10 * 1024;
/// How often a probe is tried that could not ask.
const TRIES: usize = 3;

/// Records a warning about a container: pod, container, reason, message.
pub type Tell = Arc<dyn Fn(&Value, &str, &str, &str) + Send + Sync>;

/// What was answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Good,
    /// Good, but somebody should know.
    Odd(String),
    Bad(String),
}

/// Why nothing was asked: the state that comes of it, and the cause.
#[derive(Debug, PartialEq, Eq)]
pub struct Unasked(pub &'static str, pub String);

impl Unasked {
    pub fn unknown(why: impl Into<String>) -> Self {
        Unasked("unknown", why.into())
    }
}

/// Who asks containers.
pub trait Ask: Send + Sync + 'static {
    /// Whether the answer of the container of that name and id was good; nothing when it could not be asked.
    fn ask(&self, kind: Kind, seen: &Seen, name: &str, id: &str)
    -> impl Future<Output = Option<bool>> + Send;
}

pub struct Asker {
    pub runtime: Runtime,
    pub tell: Tell,
}

impl Ask for Asker {
    async fn ask(&self, kind: Kind, seen: &Seen, name: &str, id: &str) -> Option<bool> {
        let (_, container) = spec::container(&seen.pod, name)?;
        let probe = kind.of(container)?;
        let mut answer = self.ask_once(probe, seen, container, id).await;
        for _ in 1..TRIES {
            if answer.is_ok() {
                break;
            }
            answer = self.ask_once(probe, seen, container, id).await;
        }
        let tell = |reason, message: String| (self.tell)(&seen.pod, name, reason, &message);
        let kind = kind.name();
        match answer {
            Ok(Answer::Good) => Some(true),
            Ok(Answer::Odd(text)) => {
                tell("ProbeWarning", format!("{kind} probe warning: {text}"));
                Some(true)
            }
            Ok(Answer::Bad(text)) => {
                tell("Unhealthy", format!("{kind} probe failed: {text}"));
                Some(false)
            }
            Err(Unasked(state, why)) => {
                tell("Unhealthy", format!("{kind} probe errored and resulted in {state} state: {why}"));
                None
            }
        }
    }
}

impl Asker {
    async fn ask_once(
        &self,
        probe: &Value,
        seen: &Seen,
        container: &Value,
        id: &str,
    ) -> Result<Answer, Unasked> {
        let timeout = Pace::of(probe).timeout;
        let pod_ip = seen.status.str_at(&["podIP"]);
        let handler = |name| probe.get(name).filter(|handler| !handler.is_null());
        if let Some(exec) = handler("exec") {
            let answer = self.runtime.exec_sync(id, &command(exec, container), Some(timeout)).await;
            return exec_answer(answer);
        }
        if let Some(get) = handler("httpGet") {
            let get = http::Get::new(get, container, pod_ip, "probe").map_err(Unasked::unknown)?;
            return get.probe(timeout).await;
        }
        if let Some(socket) = handler("tcpSocket") {
            let port = socket.get("port").unwrap_or(&Value::Null);
            let port = http::port(port, container).map_err(Unasked::unknown)?;
            let host = Some(socket.str_at(&["host"])).filter(|host| !host.is_empty()).unwrap_or(pod_ip);
            return Ok(tcp::probe(host, port, timeout).await);
        }
        if let Some(grpc) = handler("grpc") {
            let port = grpc.i64_at(&["port"]).and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
            return Ok(grpc::probe(pod_ip, port, grpc.str_at(&["service"]), timeout).await);
        }
        let pod = spec::full_name(&seen.pod);
        Err(Unasked::unknown(format!("missing probe handler for {pod}:{}", container.str_at(&["name"]))))
    }
}

/// With the variables that the container's spec gives plainly.
fn command(exec: &Value, container: &Value) -> Vec<String> {
    let value = |name: &str| {
        let mut env = container.list_at(&["env"]).iter().rev();
        env.find(|var| var.str_at(&["name"]) == name).map(|var| var.str_at(&["value"]).to_owned())
    };
    let words = exec.list_at(&["command"]).iter().filter_map(Value::as_str);
    words.map(|word| expand(word, value)).collect()
}

fn exec_answer(answer: Result<Vec<u8>, ExecFailure>) -> Result<Answer, Unasked> {
    match answer {
        Ok(_) => Ok(Answer::Good),
        Err(ExecFailure::Exit { mut output, .. }) => {
            output.truncate(LONGEST);
            Ok(Answer::Bad(String::from_utf8_lossy(&output).into_owned()))
        }
        Err(ExecFailure::TimedOut(why)) => Ok(Answer::Bad(why)),
        Err(ExecFailure::NotRun(why)) => Err(Unasked::unknown(why)),
    }
}

/// A duration as Go prints it: `1s`.
pub fn seconds(duration: Duration) -> String {
    api::time::format_duration(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn commands_know_the_plain_variables_of_the_container() {
        let container = tree!({"env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {}}]});
        let exec = tree!({"command": ["x$(A)", "$(B)", "$(C)"]});
        assert_eq!(command(&exec, &container), ["x1", "", "$(C)"]);
    }

    #[test]
    fn a_commands_answer_is_what_it_ended_with() {
        let exit = ExecFailure::Exit { code: 1, output: vec![b'x'; LONGEST + 1], error: String::new() };
        assert_eq!(exec_answer(Err(exit)), Ok(Answer::Bad("x".repeat(LONGEST))));
        let late = ExecFailure::TimedOut("command timed out".to_owned());
        assert_eq!(exec_answer(Err(late)), Ok(Answer::Bad("command timed out".to_owned())));
        let gone = ExecFailure::NotRun("rpc error".to_owned());
        assert_eq!(exec_answer(Err(gone)), Err(Unasked("unknown", "rpc error".to_owned())));
        assert_eq!(exec_answer(Ok(Vec::new())), Ok(Answer::Good));
    }
}
