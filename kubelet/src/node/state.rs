//! What the container runtime says of itself: ready or not, its version, its network, where it looks for plugins.

use crate::{Runtime, cri, runtime};
use api::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use stdx::Time;

/// A runtime that takes longer is down.
const PATIENCE: Duration = Duration::from_secs(5);
/// One that does not answer may be on its way back: that long the node stays ready.
const GRACE: Duration = Duration::from_secs(5);

/// What was last heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeState {
    /// `containerd://1.6.20`.
    pub version: String,
    /// When it last said that it is ready.
    pub(super) ready_at: Option<Time>,
    /// Why it is not, when it says so.
    pub(super) not_ready: Option<String>,
    pub(super) network_not_ready: Option<String>,
    /// Name, recursive read-only mounts, user namespaces; by name.
    pub handlers: Vec<(String, bool, bool)>,
    /// Whether it knows policies for supplemental groups; nothing when it does not say.
    pub supplemental_groups_policy: Option<bool>,
    pub layout: Layout,
    /// Since when it has not answered.
    down_since: Option<Time>,
}

/// Where the runtime has what its networks and sandboxes are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    pub plugins: Vec<PathBuf>,
    pub networks: Option<PathBuf>,
    pub sandbox_image: Option<String>,
    /// Where images are, as asked for last.
    pub images: Option<PathBuf>,
    /// It takes names of systemd's for control groups, which we have none of.
    pub wants_systemd: bool,
}

impl RuntimeState {
    /// Asks the runtime; what does not change is asked only after it was down.
    pub async fn look(&mut self, runtime: &Runtime, now: Time) {
        let verbose = self.is_down() || self.version.is_empty();
        let asked = tokio::time::timeout(PATIENCE, async {
            let mut client = runtime.containers();
            if verbose {
                let version =
                    client.version(cri::VersionRequest { version: "0.1.0".to_owned() }).await?.into_inner();
                self.version =
                    format!("{}://{}", version.runtime_name, version.runtime_version.trim_start_matches('v'));
            }
            client.status(cri::StatusRequest { verbose }).await
        });
        match asked.await {
            Ok(Ok(answer)) => self.take(answer.into_inner(), verbose, now),
            Ok(Err(status)) => {
                tracing::debug!(why = runtime::words(&status), "the container runtime does not answer");
                self.lost(now);
            }
            Err(_) => self.lost(now),
        }
    }

    fn lost(&mut self, now: Time) {
        self.down_since.get_or_insert(now);
    }

    fn take(&mut self, answer: cri::StatusResponse, verbose: bool, now: Time) {
        self.down_since = None;
        let conditions = answer.status.unwrap_or_default().conditions;
        let of_type = |ty: &str| conditions.iter().find(|condition| condition.r#type == ty);
        self.network_not_ready = not_ready("container runtime network not ready", of_type("NetworkReady"));
        self.not_ready = not_ready("container runtime not ready", of_type("RuntimeReady"));
        if self.not_ready.is_some() {
            return;
        }
        self.ready_at = Some(now);
        self.supplemental_groups_policy = answer.features.map(|features| features.supplemental_groups_policy);
        let handler = |handler: cri::RuntimeHandler| {
            let features = handler.features.unwrap_or_default();
            (handler.name, features.recursive_read_only_mounts, features.user_namespaces)
        };
        self.handlers = answer.runtime_handlers.into_iter().map(handler).collect();
        self.handlers.sort();
        if verbose && let Some(layout) = answer.info.get("config").and_then(|text| layout(text)) {
            self.layout = layout;
        }
    }

    /// Why the node is not ready, as far as the runtime and its network are concerned.
    pub fn errors(&self, now: Time) -> Vec<String> {
        let mut errors = Vec::new();
        match self.ready_at {
            None => errors.push("container runtime status check may not have completed yet".to_owned()),
            Some(_) if self.down_since.is_some_and(|since| now.since(since) >= GRACE) => {
                errors.push("container runtime is down".to_owned());
            }
            Some(_) => {}
        }
        errors.extend(self.not_ready.clone());
        if self.layout.wants_systemd {
            let remedy = "set SystemdCgroup = false in its configuration";
            errors.push(format!("container runtime not ready: it makes control groups by systemd: {remedy}"));
        }
        let unknown = || self.ready_at.is_none().then(|| "network state unknown".to_owned());
        errors.extend(self.network_not_ready.clone().or_else(unknown));
        errors
    }

    /// It did not answer the last time.
    pub fn is_down(&self) -> bool {
        self.down_since.is_some()
    }

    pub fn network_is_ready(&self) -> bool {
        self.ready_at.is_some() && self.network_not_ready.is_none()
    }
}

/// `NetworkReady=false reason:NetworkPluginNotReady message:…`.
fn not_ready(what: &str, condition: Option<&cri::RuntimeCondition>) -> Option<String> {
    match condition {
        Some(condition) if condition.status => None,
        Some(cri::RuntimeCondition { r#type, reason, message, .. }) => {
            Some(format!("{what}: {type}=false reason:{reason} message:{message}"))
        }
        None => Some(format!("{what}: <nil>")),
    }
}

/// Out of the configuration that containerd shows.
fn layout(text: &str) -> Option<Layout> {
    let config = json::parse(text.as_bytes()).ok()?;
    let cni = |field| config.str_at(&["cni", field]);
    let many = config.list_at(&["cni", "binDirs"]).iter().filter_map(Value::as_str);
    let plugins = many.chain([cni("binDir")]).filter(|dir| !dir.is_empty()).map(PathBuf::from).collect();
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let default = match config.str_at(&["containerd", "defaultRuntimeName"]) {
        "" => "runc",
        name => name,
    };
    let systemd = ["containerd", "runtimes", default, "options", "SystemdCgroup"];
    Some(Layout {
        images: None,
        wants_systemd: config.bool_at(&systemd),
        plugins,
        networks: some(cni("confDir")).map(PathBuf::from),
        sandbox_image: some(config.str_at(&["sandboxImage"])),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(network: bool) -> cri::StatusResponse {
        let condition = |ty: &str, status| cri::RuntimeCondition {
            r#type: ty.into(),
            status,
            reason: if status { String::new() } else { "NetworkPluginNotReady".into() },
            message: if status { String::new() } else { "cni plugin not initialized".into() },
        };
        let conditions = vec![condition("RuntimeReady", true), condition("NetworkReady", network)];
        let config = r#"{"cni": {"binDir": "/bin", "confDir": "/net.d"}, "sandboxImage": "a/pause:1"}"#;
        cri::StatusResponse {
            status: Some(cri::RuntimeStatus { conditions }),
            info: [("config".to_owned(), config.to_owned())].into(),
            ..Default::default()
        }
    }

    #[test]
    fn errors_read_as_upstreams() {
        let mut state = RuntimeState::default();
        let start = Time::from_secs(100);
        assert_eq!(
            state.errors(start),
            ["container runtime status check may not have completed yet", "network state unknown"]
        );
        state.take(answer(false), true, start);
        let said = "NetworkReady=false reason:NetworkPluginNotReady message:cni plugin not initialized";
        assert_eq!(state.errors(start), [format!("container runtime network not ready: {said}")]);
        state.take(answer(true), true, start);
        assert!(state.errors(start).is_empty() && state.network_is_ready());
        assert_eq!(state.layout.sandbox_image.as_deref(), Some("a/pause:1"));
        assert_eq!(state.layout.plugins, [PathBuf::from("/bin")]);
    }

    #[test]
    fn a_runtime_with_another_cgroup_driver_is_not_ready() {
        let mut state = RuntimeState::default();
        let mut answer = answer(true);
        let config = r#"{"containerd": {"defaultRuntimeName": "r", "runtimes": {"r": {"options": {"SystemdCgroup": true}}}}}"#;
        answer.info.insert("config".to_owned(), config.to_owned());
        state.take(answer, true, Time::from_secs(1));
        assert!(state.errors(Time::from_secs(1))[0].contains("SystemdCgroup = false"));
    }

    #[test]
    fn a_runtime_that_comes_back_soon_was_not_down() {
        let mut state = RuntimeState::default();
        state.take(answer(true), true, Time::from_secs(100));
        state.lost(Time::from_secs(200));
        state.lost(Time::from_secs(203));
        assert!(state.errors(Time::from_secs(203)).is_empty());
        assert_eq!(state.errors(Time::from_secs(206)), ["container runtime is down"]);
        state.take(answer(true), true, Time::from_secs(207));
        assert!(state.errors(Time::from_secs(207)).is_empty());
    }
}
