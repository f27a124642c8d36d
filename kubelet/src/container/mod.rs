//! What the runtime is told of a container: image, command, environment, mounts, security and what it may use.
//!
//! Made from the pod, from what the API server says of the objects it refers to, and from the volumes that are set up
//! already. Source of names and texts: upstream's `kubelet_pods.go` and `kuberuntime_container.go`.

mod env;
mod env_file;
mod expand;
pub mod fields;
mod hosts;
mod labels;
mod mounts;
mod profiles;
mod security;
mod services;
mod sub_path;

#[cfg(test)]
pub mod fixture;

pub use expand::expand;
pub use labels::hash;
pub use sub_path::clean as clean_sub_paths;

pub use crate::pod::Wait;

use crate::cgroups::Cgroups;
use crate::pod::spec::name_of;
use crate::volumes::Volumes;
use crate::{Settings, cri, sandbox};
use api::Value;
use client::{Client, Informer, Recorder};
use fields::NodeObject;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The reason of a container whose configuration cannot be made yet.
pub const CREATE_CONTAINER_CONFIG: &str = "CreateContainerConfigError";
/// Of one that the runtime refuses to make.
pub const CREATE_CONTAINER: &str = "CreateContainerError";

/// What the configurations of sandboxes and containers are made with. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub settings: Arc<Settings>,
    pub client: Client,
    pub recorder: Recorder,
    pub cgroups: Arc<Cgroups>,
    pub volumes: Volumes,
    /// All services; they become variables of containers.
    pub services: Informer,
    /// The node as it is.
    pub node: NodeObject,
}

/// What is known of a container when it is to be made.
#[derive(Clone, Debug, Default)]
pub struct ContainerFacts {
    /// How often the container was made before.
    pub attempt: u32,
    /// The image as the runtime knows it.
    pub image_ref: String,
    /// The user that the image asks for: a number, or else a name; neither is root.
    pub image_uid: Option<i64>,
    pub image_user: String,
    pub pod_ips: Vec<String>,
    /// The container whose processes an ephemeral container sees.
    pub target_id: Option<String>,
    /// True when the runtime can make mounts read-only with all that is mounted inside.
    pub recursive_read_only: bool,
}

fn not_yet(message: String) -> Wait {
    Wait::new(CREATE_CONTAINER_CONFIG, message)
}

/// Where a pod keeps what is its own: `ROOT/pods/UID`.
pub fn pod_dir(settings: &Settings, uid: &str) -> PathBuf {
    settings.root.join("pods").join(uid)
}

/// What the runtime is to make. Makes the files and folders that the container will see mounted.
///
/// # Errors
/// When the pod refers to what is not there, or asks for what cannot be; the messages are upstream's.
pub async fn config(
    ctx: &Context,
    pod: &Value,
    container: &Value,
    facts: &ContainerFacts,
) -> Result<cri::ContainerConfig, Wait> {
    let env = env::of(ctx, pod, container, facts).await.map_err(not_yet)?;
    let plan = mounts::Plan { ctx, pod, container, facts, env: &env };
    let devices = plan.devices().map_err(not_yet)?;
    let mounts = plan.mounts()?;
    security::check_non_root(pod, container, facts).map_err(not_yet)?;
    let log_dir = sandbox::log_directory(&ctx.settings.log_root, pod).join(name_of(container));
    std::fs::create_dir_all(log_dir)
        .map_err(|why| {
            format!("create container log directory for container {} failed: {why}", name_of(container))
        })
        .map_err(not_yet)?;
    let linux = cri::LinuxContainerConfig {
        resources: Some(ctx.cgroups.container_resources(pod, container)),
        security_context: Some(security::context(ctx, pod, container, facts).map_err(not_yet)?),
    };
    let text = |field| container.str_at(&[field]).to_owned();
    Ok(cri::ContainerConfig {
        metadata: Some(cri::ContainerMetadata { name: text("name"), attempt: facts.attempt }),
        image: Some(image_spec(container, facts)),
        command: expanded(container, "command", &env),
        args: expanded(container, "args", &env),
        working_dir: text("workingDir"),
        envs: env
            .iter()
            .map(|(key, value)| cri::KeyValue { key: key.clone(), value: value.clone() })
            .collect(),
        mounts,
        devices,
        labels: labels::labels(pod, container),
        annotations: labels::annotations(pod, container, facts.attempt),
        log_path: format!("{}/{}.log", name_of(container), facts.attempt),
        stdin: container.bool_at(&["stdin"]),
        stdin_once: container.bool_at(&["stdinOnce"]),
        tty: container.bool_at(&["tty"]),
        linux: Some(linux),
        ..Default::default()
    })
}

fn image_spec(container: &Value, facts: &ContainerFacts) -> cri::ImageSpec {
    cri::ImageSpec {
        image: facts.image_ref.clone(),
        user_specified_image: container.str_at(&["image"]).to_owned(),
        ..Default::default()
    }
}

fn expanded(container: &Value, field: &str, env: &[(String, String)]) -> Vec<String> {
    let known: BTreeMap<&str, &str> = env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let texts = container.list_at(&[field]).iter().filter_map(Value::as_str);
    texts.map(|text| expand(text, |name| known.get(name).map(|v| (*v).to_owned()))).collect()
}
