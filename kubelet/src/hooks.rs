//! Hooks of a container's life: what it asks for after its start and before its end. Source: upstream's
//! `kubernetes/pkg/kubelet/lifecycle`.

use crate::Runtime;
use crate::pod::spec;
use crate::probes::Get;
use crate::runtime::ExecFailure;
use api::Value;
use client::Recorder;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Runs hooks. Cheap to clone.
#[derive(Clone)]
pub struct Hooks {
    pub runtime: Runtime,
    pub recorder: Recorder,
}

/// A container of which a hook runs.
#[derive(Clone, Copy)]
pub struct Hooked<'a> {
    pub pod: &'a Value,
    /// Its spec.
    pub container: &'a Value,
    /// Without `containerd://`.
    pub id: &'a str,
    /// The address of the pod; that of the node with the host's network.
    pub pod_ip: &'a str,
}

impl Hooks {
    /// Runs the hook after the start, if there is one.
    ///
    /// # Errors
    /// The message of a container that waits with the reason `PostStartHookError`, when the hook failed; that is
    /// recorded. The container is then to be killed, with the message `FailedPostStartHook`.
    pub async fn post_start(&self, what: Hooked<'_>) -> Result<(), String> {
        let Some(hook) = hook(what.container, "postStart") else { return Ok(()) };
        self.run(hook, what).await.inspect_err(|why| self.failed(what, "PostStart", why))
    }

    /// Runs the hook before the end, if there is one and time for it, for `grace` at most. Gives the whole seconds that
    /// it took, which are to be taken off the grace. A failure is recorded and changes nothing else.
    pub async fn pre_stop(&self, what: Hooked<'_>, grace: Duration) -> Duration {
        let Some(hook) = hook(what.container, "preStop").filter(|_| !grace.is_zero()) else {
            return Duration::ZERO;
        };
        let start = Instant::now();
        if let Ok(Err(why)) = timeout(grace, self.run(hook, what)).await {
            self.failed(what, "PreStop", &why);
        }
        Duration::from_secs(start.elapsed().as_secs())
    }

    /// The message may hold secrets: it does not go into the event.
    fn failed(&self, what: Hooked<'_>, hook: &str, why: &str) {
        let name = spec::name_of(what.container);
        tracing::debug!(container = name, hook, why, "a hook failed");
        let (reason, message) = (format!("Failed{hook}Hook"), format!("{hook}Hook failed"));
        self.recorder.part_event(what.pod, &field_path(what.pod, name), "Warning", &reason, &message);
    }

    async fn run(&self, hook: &Value, what: Hooked<'_>) -> Result<(), String> {
        let handler = |name| hook.get(name).filter(|handler| !handler.is_null());
        if let Some(exec) = handler("exec") {
            let command: Vec<String> =
                exec.list_at(&["command"]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
            let ran = self.runtime.exec_sync(what.id, &command, None).await;
            return ran.map(drop).map_err(|why| exec_failure(&command, what, &why));
        }
        if let Some(action) = handler("httpGet") {
            return self.get(action, what).await.map_err(|why| {
                let whose = whose(what);
                format!(
                    "HTTP lifecycle hook ({}) for {whose} failed - error: {why}",
                    action.str_at(&["path"])
                )
            });
        }
        if let Some(action) = handler("sleep") {
            let seconds = action.i64_at(&["seconds"]).and_then(|s| u64::try_from(s).ok()).unwrap_or(0);
            sleep(Duration::from_secs(seconds)).await;
            return Ok(());
        }
        Err(format!("Cannot run handler: invalid handler: {}", printed(hook)))
    }

    async fn get(&self, action: &Value, what: Hooked<'_>) -> Result<(), String> {
        let get = Get::new(action, what.container, what.pod_ip, "lifecycle")?;
        let host = get.authority().to_owned();
        if get.hook().await? {
            let message = format!(
                "request to HTTPS lifecycle hook {host} got HTTP response, retry with HTTP succeeded"
            );
            self.recorder.event(what.pod, "Warning", "LifecycleHTTPFallback", &message);
        }
        Ok(())
    }
}

fn hook<'a>(container: &'a Value, name: &str) -> Option<&'a Value> {
    container.at(&["lifecycle", name]).filter(|hook| !hook.is_null())
}

fn whose(what: Hooked<'_>) -> String {
    let (container, pod) = (spec::name_of(what.container), spec::full_name(what.pod));
    format!("Container {} in Pod {}", api::quote(container), api::quote(&pod))
}

fn exec_failure(command: &[String], what: Hooked<'_>, why: &ExecFailure) -> String {
    let output = match why {
        ExecFailure::Exit { output, .. } => String::from_utf8_lossy(output).into_owned(),
        _ => String::new(),
    };
    let (command, whose, output) = (command.join(" "), whose(what), api::quote(&output));
    format!("Exec lifecycle hook ([{command}]) for {whose} failed - error: {why}, message: {output}")
}

/// A handler that nobody runs (`tcpSocket`, or none), as Go prints it.
fn printed(hook: &Value) -> String {
    let socket = hook.get("tcpSocket").filter(|socket| !socket.is_null()).map_or_else(
        || "nil".to_owned(),
        |socket| {
            let port = match socket.get("port") {
                Some(Value::Str(name)) => format!("{{1 0 {name}}}"),
                other => format!("{{0 {} }}", other.and_then(Value::as_i64).unwrap_or(0)),
            };
            format!("&TCPSocketAction{{Port:{port},Host:{},}}", socket.str_at(&["host"]))
        },
    );
    format!("&LifecycleHandler{{Exec:nil,HTTPGet:nil,TCPSocket:{socket},Sleep:nil,}}")
}

/// A container as events name it: `spec.containers{NAME}`.
pub fn field_path(pod: &Value, container: &str) -> String {
    let list = spec::container(pod, container).map_or("containers", |(list, _)| list.field());
    format!("spec.{list}{{{container}}}")
}
