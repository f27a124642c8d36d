//! What each volume of a pod is to be, and how it comes to be so.

use super::atomic_writer::{self, Payload};
use super::empty_dir::{self, Medium};
use super::local::Local;
use super::nested::{self, Used};
use super::objects::Kind;
use super::ownership::Group;
use super::payload::{Collected, Collector};
use super::{Inner, Mounted, claims, host_path};
use api::{Value, quote};
use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use stdx::Time;

/// A volume of a pod as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Its name in the pod.
    pub name: String,
    /// Its name in messages: that of the PersistentVolume, of volumes behind claims.
    pub label: String,
    pub what: What,
    /// A group that the pod's processes should be in to use it.
    pub gid: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum What {
    EmptyDir(Medium),
    HostPath { path: String, ty: String, read_only: bool },
    Local(Local),
    Files { plugin: &'static str, medium: Medium, files: Payload },
}

/// Volumes that are made of files: the field of the volume, and the name of their folder.
pub const FILES: [(&str, &str); 4] = [
    ("configMap", "configmap"),
    ("secret", "secret"),
    ("downwardAPI", "downward-api"),
    ("projected", "projected"),
];

/// A volume's name, and what it should be or what is wrong.
pub type Planned = (String, Result<Wanted, String>);

/// The volumes that the containers of a pod use, and when to look at them again.
pub async fn plan(inner: &Inner, pod: &Value) -> (Vec<Planned>, Option<Time>) {
    let used = nested::used(pod);
    let volumes = pod.list_at(&["spec", "volumes"]).iter();
    let volumes = volumes.filter(|v| used.mounts.contains(name(v)) || used.devices.contains(name(v)));
    // Images come when containers start.
    let volumes = volumes.filter(|v| v.get("image").is_none_or(Value::is_null));
    let planned = volumes.map(async |volume| (name(volume).to_owned(), one(inner, pod, volume, &used).await));
    let all = futures::future::join_all(planned).await;
    let again = all.iter().filter_map(|(_, found)| found.as_ref().ok()?.1).min();
    (all.into_iter().map(|(name, found)| (name, found.map(|(wanted, _)| wanted))).collect(), again)
}

fn name(volume: &Value) -> &str {
    volume.str_at(&["name"])
}

async fn one(
    inner: &Inner,
    pod: &Value,
    volume: &Value,
    used: &Used<'_>,
) -> Result<(Wanted, Option<Time>), String> {
    let label = name(volume);
    if let Some(claim) = claims::claim_name(pod, volume) {
        let as_device = used.devices.contains(label);
        return Ok((claims::find(inner, pod, volume, &claim, as_device).await?, None));
    }
    let failed = |why: String| format!("MountVolume.SetUp failed for volume {} : {why}", quote(label));
    let given = |field| volume.get(field).filter(|source| !source.is_null());
    let (what, again) = if let Some(source) = given("emptyDir") {
        (What::EmptyDir(empty_dir::medium(pod, source, (inner.node)().as_deref()).map_err(failed)?), None)
    } else if let Some(source) = given("hostPath") {
        let text = |field| source.str_at(&[field]).to_owned();
        (What::HostPath { path: text("path"), ty: text("type"), read_only: false }, None)
    } else {
        match files(inner, pod, volume).await {
            Some(found) => found.map_err(failed)?,
            None => return Err(claims::foreign(label, volume)),
        }
    };
    Ok((Wanted { name: label.to_owned(), label: label.to_owned(), what, gid: None }, again))
}

/// Nothing for volumes that are not made of files.
async fn files(inner: &Inner, pod: &Value, volume: &Value) -> Option<Result<(What, Option<Time>), String>> {
    let given = |(field, plugin)| Some((field, plugin, volume.get(field).filter(|s: &&Value| !s.is_null())?));
    let (field, plugin, source): (&str, &'static str, &Value) = FILES.into_iter().find_map(given)?;
    let default_mode =
        source.i64_at(&["defaultMode"]).and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o644);
    let collector = Collector { volumes: inner, pod, default_mode };
    let collected = match field {
        "configMap" => {
            collector.object(Kind::ConfigMap, source.str_at(&["name"]), source).await.map(Collected::of)
        }
        "secret" => {
            collector.object(Kind::Secret, source.str_at(&["secretName"]), source).await.map(Collected::of)
        }
        "downwardAPI" => collector.downward(source.list_at(&["items"])).map(Collected::of),
        _ => collector.projected(source.list_at(&["sources"])).await,
    };
    // What is secret never reaches a disk.
    let medium = match field {
        "configMap" => Medium::Disk,
        _ => empty_dir::in_memory(pod, None, (inner.node)().as_deref()),
    };
    Some(collected.map(|Collected { files, again }| (What::Files { plugin, medium, files }, again)))
}

/// Where the volumes of one pod are made.
pub struct Place<'a> {
    pub inner: &'a Inner,
    pub pod: &'a Value,
    /// `ROOT/pods/UID`.
    pub dir: &'a Path,
}

/// Equal for volumes that are to be the same.
pub fn fingerprint(wanted: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    wanted.hash(&mut hasher);
    hasher.finish()
}

impl Place<'_> {
    pub fn path(&self, plugin: &str, name: &str) -> PathBuf {
        self.dir.join("volumes").join(format!("kubernetes.io~{plugin}")).join(name)
    }

    pub fn group(&self, read_only: bool) -> Option<Group> {
        let security = |field| self.pod.at(&["spec", "securityContext", field]);
        let gid = security("fsGroup")?.as_i64().and_then(|gid| u32::try_from(gid).ok())?;
        let policy = security("fsGroupChangePolicy").and_then(Value::as_str);
        Some(Group { gid, read_only, on_root_mismatch: policy == Some("OnRootMismatch") })
    }

    /// Makes a volume what it should be.
    ///
    /// # Errors
    /// The whole text of an event.
    pub fn set_up(&self, wanted: &Wanted) -> Result<Mounted, String> {
        let failed =
            |why: String| format!("MountVolume.SetUp failed for volume {} : {why}", quote(&wanted.label));
        let of_disk = |why: io::Error| failed(why.to_string());
        let mounted = match &wanted.what {
            What::EmptyDir(medium) => self.empty_dir(&wanted.name, medium).map_err(of_disk)?,
            What::HostPath { path, ty, read_only } => {
                host_path::check(path, ty).map_err(failed)?;
                Mounted { path: Some(path.into()), read_only: *read_only, ..Mounted::default() }
            }
            What::Local(local) => self.local(&wanted.label, local)?,
            What::Files { plugin, medium, files } => {
                self.files(plugin, &wanted.name, medium, files).map_err(of_disk)?
            }
        };
        Ok(Mounted { gid: wanted.gid, ..mounted })
    }

    fn empty_dir(&self, name: &str, medium: &Medium) -> io::Result<Mounted> {
        let path = self.path("empty-dir", name);
        let marker = self.dir.join("plugins/kubernetes.io~empty-dir").join(name).join("ready");
        let group = self.group(false).map(|group| Group { on_root_mismatch: false, ..group });
        empty_dir::set_up_once(&path, &marker, medium, group)?;
        Ok(Mounted { path: Some(path), ..Mounted::default() })
    }

    fn files(&self, plugin: &str, name: &str, medium: &Medium, files: &Payload) -> io::Result<Mounted> {
        let path = self.path(plugin, name);
        empty_dir::set_up(&path, medium)?;
        self.make_mount_points(name, &path)?;
        let settings = &self.inner.settings;
        let group = self.group(true).map(|group| Group { on_root_mismatch: false, ..group });
        let own = || group.map_or(Ok(()), |group| group.own(&path));
        atomic_writer::write(&path, files, (settings.clock.now(), &settings.ids), own)?;
        Ok(Mounted { path: Some(path), read_only: true, ..Mounted::default() })
    }

    /// Only in volumes that no container writes: in others, a link may lead anywhere.
    fn make_mount_points(&self, name: &str, path: &Path) -> io::Result<()> {
        let points: BTreeSet<PathBuf> = nested::mount_points(self.pod, name);
        points.iter().try_for_each(|point| fs::create_dir_all(path.join(point)))
    }
}
