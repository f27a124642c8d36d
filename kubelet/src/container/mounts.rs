//! What a container has mounted: its volumes or parts of them, `/etc/hosts`, and the file of its last words.

use super::{CREATE_CONTAINER, ContainerFacts, Context, Wait, expand, hosts, not_yet, pod_dir, sub_path};
use crate::cri::{Device, Mount, MountPropagation};
use crate::pod::spec::{name_of, uses_host_network};
use crate::sandbox;
use crate::volumes::{IMAGE_FAILED, Mounted};
use api::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// A container whose mounts are wanted.
pub struct Plan<'a> {
    pub ctx: &'a Context,
    pub pod: &'a Value,
    pub container: &'a Value,
    pub facts: &'a ContainerFacts,
    /// The container's variables, for `subPathExpr`.
    pub env: &'a [(String, String)],
}

impl Plan<'_> {
    fn uid(&self) -> &str {
        self.pod.str_at(&["metadata", "uid"])
    }

    fn pod_dir(&self) -> PathBuf {
        pod_dir(&self.ctx.settings, self.uid())
    }

    /// Block devices of volumes.
    ///
    /// # Errors
    /// When a volume is missing or is no device.
    pub fn devices(&self) -> Result<Vec<Device>, String> {
        let mounted = self.ctx.volumes.mounted(self.uid());
        let device = |device: &Value| {
            let (volume, path) = (device.str_at(&["name"]), device.str_at(&["devicePath"]));
            if !path.starts_with('/') {
                return Err(format!("error DevicePath `{path}` must be an absolute path"));
            }
            let found = mounted.get(volume).and_then(|m| Some((m.device.as_deref()?, m.read_only)));
            let (host, read_only) = found.ok_or_else(|| {
                format!("cannot find volume {volume:?} to pass into container {:?}", name_of(self.container))
            })?;
            let permissions = if read_only { "r" } else { "mrw" };
            Ok(Device { container_path: path.into(), host_path: text(host), permissions: permissions.into() })
        };
        self.container.list_at(&["volumeDevices"]).iter().map(device).collect()
    }

    /// All mounts.
    ///
    /// # Errors
    /// Upstream's texts, when a volume is missing or a part of it cannot be had.
    pub fn mounts(&self) -> Result<Vec<Mount>, Wait> {
        let mounted = self.ctx.volumes.mounted(self.uid());
        let wanted = self.container.list_at(&["volumeMounts"]);
        let mut mounts = Vec::with_capacity(wanted.len() + 2);
        for (index, mount) in wanted.iter().enumerate() {
            mounts.push(self.mount(index, mount, &mounted)?);
        }
        let own_hosts = wanted.iter().any(|m| m.str_at(&["mountPath"]) == hosts::ETC_HOSTS);
        let known = !self.facts.pod_ips.is_empty() || uses_host_network(self.pod);
        if known && !own_hosts {
            mounts.push(self.hosts().map_err(not_yet)?);
        }
        mounts.extend(self.termination_log());
        Ok(mounts)
    }

    fn mount(&self, index: usize, mount: &Value, mounted: &HashMap<String, Mounted>) -> Result<Mount, Wait> {
        let volume = mount.str_at(&["name"]);
        let container = name_of(self.container);
        let missing =
            || not_yet(format!("cannot find volume {volume:?} to mount into container {container:?}"));
        let found = mounted.get(volume).ok_or_else(missing)?;
        let root = found.path.as_deref().ok_or_else(missing)?;
        let sub_path = self.sub_path(mount).map_err(not_yet)?;
        let host_path = match sub_path.as_str() {
            "" => root.to_owned(),
            sub_path if found.is_image => self.part_of_image(index, volume, root, sub_path)?,
            sub_path => self.part(index, volume, root, sub_path).map_err(not_yet)?,
        };
        let path = mount.str_at(&["mountPath"]);
        let recursive = recursive_read_only(mount, self.facts.recursive_read_only)
            .map_err(|why| not_yet(format!("failed to resolve recursive read-only mode: {why}")))?;
        Ok(Mount {
            container_path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
            host_path: text(&host_path),
            readonly: mount.bool_at(&["readOnly"]) || found.read_only,
            propagation: propagation(mount.str_at(&["mountPropagation"])).map_err(not_yet)?.into(),
            recursive_read_only: recursive,
            ..Default::default()
        })
    }

    fn sub_path(&self, mount: &Value) -> Result<String, String> {
        let sub_path = match mount.str_at(&["subPathExpr"]) {
            "" => mount.str_at(&["subPath"]).to_owned(),
            expression => self.expand_all(expression)?,
        };
        if sub_path.starts_with('/') {
            return Err(format!("error SubPath `{sub_path}` must not be an absolute path"));
        }
        if Path::new(&sub_path).components().any(|part| part == Component::ParentDir) {
            return Err(format!("unable to provision SubPath `{sub_path}`: must not contain '..'"));
        }
        Ok(sub_path)
    }

    /// Every variable of the expression must be there and not be empty.
    fn expand_all(&self, expression: &str) -> Result<String, String> {
        let known: BTreeMap<&str, &str> = self.env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let mut missing = BTreeSet::new();
        let expanded = expand::expand(expression, |name| {
            let value = known.get(name).copied().unwrap_or_default();
            if value.is_empty() {
                missing.insert(name.to_owned());
            }
            Some(value.to_owned())
        });
        match missing.is_empty() {
            true => Ok(expanded),
            false => Err(format!("missing value for {}", missing.into_iter().collect::<Vec<_>>().join(", "))),
        }
    }

    /// A part of a volume. Why it cannot be had is not told: that would tell of the machine's files.
    fn part(&self, index: usize, volume: &str, root: &Path, sub_path: &str) -> Result<PathBuf, String> {
        let of = |what: &str, why: std::io::Error| {
            tracing::warn!(%why, volume, sub_path, "a part of a volume cannot be mounted");
            format!("failed to {what} for volumeMount {volume:?} of container {:?}", name_of(self.container))
        };
        if !root.join(sub_path).exists() {
            sub_path::make(root, sub_path).map_err(|why| of("create subPath directory", why))?;
        }
        let place = (volume, name_of(self.container), index);
        sub_path::bind(&self.pod_dir(), place, root, sub_path).map_err(|why| of("prepare subPath", why))
    }

    /// A folder of an image, which must be there. It is the runtime that says so, where it mounts images.
    fn part_of_image(&self, index: usize, volume: &str, root: &Path, part: &str) -> Result<PathBuf, Wait> {
        let refused = |why: String| {
            let message =
                format!("{IMAGE_FAILED}: failed to ensure image subpath {part:?} in {root:?}: {why}");
            Wait::new(CREATE_CONTAINER, message)
        };
        let found = sub_path::bind(&self.pod_dir(), (volume, name_of(self.container), index), root, part);
        let found = found.map_err(|why| match why.kind() {
            ErrorKind::NotFound => refused(format!("openat {part}: no such file or directory")),
            ErrorKind::CrossesDevices => refused(format!("openat {part}: path escapes from parent")),
            _ => refused(format!("openat {part}: {why}")),
        })?;
        match found.is_dir() {
            true => Ok(found),
            false => Err(refused(format!("only directory subpath is supported, subpath: {part:?}"))),
        }
    }

    fn hosts(&self) -> Result<Mount, String> {
        let hostname = sandbox::hostname(self.pod, &self.ctx.settings.cluster_domain)?;
        let path = hosts::write(&self.pod_dir(), self.pod, &self.facts.pod_ips, &hostname);
        let path = path.map_err(|why| why.to_string())?;
        Ok(Mount {
            container_path: hosts::ETC_HOSTS.to_owned(),
            host_path: text(&path),
            ..Default::default()
        })
    }

    /// A file of this container alone, which outlives it. Without it the container runs all the same.
    fn termination_log(&self) -> Option<Mount> {
        let path = self.container.str_at(&["terminationMessagePath"]);
        if path.is_empty() {
            return None;
        }
        let folder = self.pod_dir().join("containers").join(name_of(self.container));
        let file = folder.join(format!("{:08x}", self.ctx.settings.ids.below(1 << 32)));
        let made = std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::File::create(&file))
            .and_then(|_| crate::volumes::set_mode(&file, 0o666));
        if let Err(why) = made {
            tracing::warn!(%why, ?file, "a container runs without a file for its last words");
            return None;
        }
        let container_path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Some(Mount { container_path, host_path: text(&file), ..Default::default() })
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn propagation(mode: &str) -> Result<MountPropagation, String> {
    match mode {
        "" | "None" => Ok(MountPropagation::PropagationPrivate),
        "HostToContainer" => Ok(MountPropagation::PropagationHostToContainer),
        "Bidirectional" => Ok(MountPropagation::PropagationBidirectional),
        other => Err(format!("invalid MountPropagation mode: {other:?}")),
    }
}

fn recursive_read_only(mount: &Value, supported: bool) -> Result<bool, String> {
    let (volume, mode) = (mount.str_at(&["name"]), mount.str_at(&["recursiveReadOnly"]));
    if matches!(mode, "" | "Disabled") {
        return Ok(false);
    }
    let requested = format!("volume {volume:?} requested recursive read-only mode, but it is not");
    let propagation = mount.str_at(&["mountPropagation"]);
    if !mount.bool_at(&["readOnly"]) {
        return Err(format!("{requested} read-only"));
    }
    if !matches!(propagation, "" | "None") {
        return Err(format!("{requested} compatible with propagation {propagation:?}"));
    }
    match mode {
        "IfPossible" => Ok(supported),
        "Enabled" if supported => Ok(true),
        "Enabled" => Err(format!("{requested} supported by the runtime")),
        other => Err(format!("unknown recursive read-only mode {other:?}")),
    }
}
