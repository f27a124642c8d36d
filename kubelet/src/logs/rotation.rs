//! Keeps logs small. A log that grew too big is renamed to `NAME.YYYYMMDD-HHMMSS`, containerd opens a new one, and the
//! renamed one is compressed (`.gz`) when the next follows it; the oldest are removed.

use crate::runtime::{Runtime, cri, labels};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stdx::Clock;

/// How big a log may grow in bytes, and how many files of it there may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_size: u64,
    pub max_files: usize,
}

/// As upstream's kubelet unless told otherwise.
pub const LIMITS: Limits = Limits { max_size: 10 << 20, max_files: 5 };

/// How often sizes are looked at while there are logs, and while there are none.
const BUSY: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(60);

/// Looks after the logs under `root` for as long as it is polled.
pub async fn rotate(runtime: Runtime, root: PathBuf, limits: Limits, clock: Clock) {
    loop {
        let folder = root.clone();
        let sizes = tokio::task::spawn_blocking(move || sizes(&folder)).await.unwrap_or_default();
        tokio::time::sleep(if sizes.is_empty() { IDLE } else { BUSY }).await;
        let big: Vec<PathBuf> =
            sizes.into_iter().filter(|(_, size)| *size >= limits.max_size).map(|(path, _)| path).collect();
        if big.is_empty() {
            continue;
        }
        if let Err(why) = rotate_big(&runtime, &root, &big, limits, &clock).await {
            tracing::warn!(%why, "logs are not rotated");
        }
    }
}

/// The logs and their sizes.
fn sizes(root: &Path) -> Vec<(PathBuf, u64)> {
    let below = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    let containers = below(root.to_owned()).flat_map(|pod| below(pod.path()));
    let files = containers.flat_map(|container| below(container.path()));
    let logs = files.filter(|file| file.path().extension().is_some_and(|ending| ending == "log"));
    logs.filter_map(|log| Some((log.path(), log.metadata().ok()?.len()))).collect()
}

/// Logs of containers that have ended stay as they are: nobody writes to them.
async fn rotate_big(
    runtime: &Runtime,
    root: &Path,
    big: &[PathBuf],
    limits: Limits,
    clock: &Clock,
) -> io::Result<()> {
    let state = cri::ContainerStateValue { state: cri::ContainerState::ContainerRunning.into() };
    let filter = cri::ContainerFilter { state: Some(state), ..Default::default() };
    let message = cri::ListContainersRequest { filter: Some(filter) };
    let running = runtime.containers().list_containers(message).await.map_err(io::Error::other)?;
    for container in running.into_inner().containers {
        let Some(path) = path_of(root, &container).filter(|path| big.contains(path)) else { continue };
        let made_room = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || make_room(&path, limits)).await.map_err(io::Error::other)?
        };
        if let Err(why) = made_room {
            tracing::debug!(path = %path.display(), %why, "old logs are not cleared");
            continue;
        }
        rename(runtime, &container.id, &path, clock).await?;
    }
    Ok(())
}

fn path_of(root: &Path, container: &cri::Container) -> Option<PathBuf> {
    let label = |name| container.labels.get(name).map(String::as_str);
    let (namespace, name) = (label(labels::POD_NAMESPACE)?, label(labels::POD_NAME)?);
    let folder = format!("{namespace}_{name}_{}", label(labels::POD_UID)?);
    let attempt = container.metadata.as_ref()?.attempt;
    Some(root.join(folder).join(label(labels::CONTAINER_NAME)?).join(format!("{attempt}.log")))
}

/// The files that the log was renamed to, the oldest first; what a rotation left behind unfinished is removed.
pub fn rotated(log: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(folder), Some(name)) = (log.parent(), log.file_name()) else { return Ok(Vec::new()) };
    let prefix = format!("{}.", name.to_string_lossy());
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .flatten()
        .filter(|file| file.file_name().to_string_lossy().starts_with(&prefix))
        .map(|file| file.path())
        .collect();
    files.sort();
    let with = |path: &Path, ending: &str| PathBuf::from(format!("{}{ending}", path.display()));
    let all = files.clone();
    let is = |path: &Path, ending: &str| path.extension().is_some_and(|found| found == ending);
    let (kept, useless): (Vec<_>, Vec<_>) = files
        .into_iter()
        .partition(|file| !is(file, "tmp") && (is(file, "gz") || !all.contains(&with(file, ".gz"))));
    useless.iter().try_for_each(fs::remove_file)?;
    Ok(kept)
}

/// Removes the oldest, compresses the others: room for the log itself and the one that follows it.
fn make_room(log: &Path, limits: Limits) -> io::Result<()> {
    let files = rotated(log)?;
    let excess = files.len().saturating_sub(limits.max_files.saturating_sub(2));
    let (old, kept) = files.split_at(excess);
    old.iter().try_for_each(fs::remove_file)?;
    kept.iter().filter(|file| file.extension().is_none_or(|ending| ending != "gz")).try_for_each(compress)
}

fn compress(path: &PathBuf) -> io::Result<()> {
    let unfinished = PathBuf::from(format!("{}.tmp", path.display()));
    let mut from = File::open(path)?;
    let to = File::create(&unfinished)?;
    to.set_permissions(from.metadata()?.permissions())?;
    let mut to = GzEncoder::new(to, Compression::default());
    io::copy(&mut from, &mut to)?;
    to.finish()?;
    fs::rename(&unfinished, format!("{}.gz", path.display()))?;
    fs::remove_file(path)
}

async fn rename(runtime: &Runtime, id: &str, log: &Path, clock: &Clock) -> io::Result<()> {
    let now: String = clock.now().rfc3339().chars().filter(char::is_ascii_alphanumeric).collect();
    let now = now.trim_end_matches('Z').replace('T', "-");
    let old = PathBuf::from(format!("{}.{now}", log.display()));
    fs::rename(log, &old)?;
    let message = cri::ReopenContainerLogRequest { container_id: id.to_owned() };
    if let Err(why) = runtime.containers().reopen_container_log(message).await {
        // Tried again next time.
        fs::rename(&old, log)?;
        return Err(io::Error::other(format!("failed to reopen container log {id:?}: {why}")));
    }
    Ok(())
}
