//! The kernel's files: where groups are, how they are made, set and removed, in both versions of the hierarchy.

use super::limits::{Limits, QUOTA_PERIOD, page_size_name, shares_to_weight};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const MOUNT: &str = "/sys/fs/cgroup";
/// What the second version may hand down, if the kernel has it.
const CONTROLLERS: [&str; 6] = ["cpu", "cpuset", "memory", "hugetlb", "pids", "io"];

/// Where the groups of this machine are.
pub enum Hierarchy {
    /// Each mount has some controllers: `/sys/fs/cgroup/cpu` has `cpu`.
    Split(Vec<(Vec<String>, PathBuf)>),
    /// One mount for all.
    Unified(PathBuf),
}

/// True when the second version is mounted alone.
pub fn is_unified() -> bool {
    Path::new(MOUNT).join("cgroup.controllers").exists()
}

impl Hierarchy {
    pub fn find() -> io::Result<Self> {
        if is_unified() {
            return Ok(Hierarchy::Unified(MOUNT.into()));
        }
        let mounts = split_mounts(&std::fs::read_to_string("/proc/self/mountinfo")?);
        if mounts.is_empty() {
            return Err(io::Error::other("failed to find cgroup mounts"));
        }
        Ok(Hierarchy::Split(mounts))
    }

    pub fn version(&self) -> u32 {
        if matches!(self, Hierarchy::Unified(_)) { 2 } else { 1 }
    }

    /// The folder in which a group has the files of a controller.
    pub fn folder(&self, controller: &str, group: &str) -> Option<PathBuf> {
        let group = group.trim_matches('/');
        match self {
            Hierarchy::Unified(mount) => Some(mount.join(group)),
            Hierarchy::Split(mounts) => {
                let (_, mount) = mounts.iter().find(|(has, _)| has.iter().any(|c| c == controller))?;
                Some(mount.join(group))
            }
        }
    }

    fn mounts(&self) -> Vec<&Path> {
        match self {
            Hierarchy::Unified(mount) => vec![mount],
            Hierarchy::Split(mounts) => mounts.iter().map(|(_, mount)| mount.as_path()).collect(),
        }
    }

    /// Makes a group and those above it where they are missing, and sets its limits.
    pub fn create(&self, group: &str, limits: &Limits) -> io::Result<()> {
        match self {
            Hierarchy::Unified(mount) => create_unified(mount, group)?,
            Hierarchy::Split(mounts) => {
                for (controllers, mount) in mounts {
                    std::fs::create_dir_all(mount.join(group.trim_matches('/')))?;
                    if controllers.iter().any(|c| c == "cpuset") {
                        hand_down_cpuset(mount, group)?;
                    }
                }
            }
        }
        self.set(group, limits)
    }

    /// Whether a group is there, everywhere.
    pub fn has(&self, group: &str) -> bool {
        self.mounts().iter().all(|mount| mount.join(group.trim_matches('/')).is_dir())
    }

    pub fn set(&self, group: &str, limits: &Limits) -> io::Result<()> {
        self.set_where(group, limits, |_, _| true)
    }

    /// Sets the limits that become larger, before those of groups inside do.
    pub fn raise(&self, group: &str, limits: &Limits) -> io::Result<()> {
        let limits = Limits { cpu_quota: limits.cpu_quota, memory: limits.memory, ..Limits::default() };
        self.set_where(group, &limits, |file, value| {
            let now = std::fs::read_to_string(file).unwrap_or_default();
            most(value) > most(&now)
        })
    }

    fn set_where(
        &self,
        group: &str,
        limits: &Limits,
        is_to_be: impl Fn(&Path, &str) -> bool,
    ) -> io::Result<()> {
        for (controller, file, value) in self.settings(limits) {
            let Some(folder) = self.folder(controller, group) else { continue };
            if !is_to_be(&folder.join(&file), &value) {
                continue;
            }
            match write(&folder.join(&file), &value) {
                // Huge pages are optional, as the controller for them is.
                Err(error) if controller == "hugetlb" && error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io::Error::new(error.kind(), format!("{group}: {file}: {error}"))),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Controller, file and value of each limit.
    fn settings(&self, limits: &Limits) -> Vec<(&'static str, String, String)> {
        let unified = self.version() == 2;
        let mut settings = Vec::new();
        if let Some(shares) = limits.cpu_shares {
            settings.push(match unified {
                true => ("cpu", "cpu.weight".to_owned(), shares_to_weight(shares).to_string()),
                false => ("cpu", "cpu.shares".to_owned(), shares.to_string()),
            });
        }
        if let Some(quota) = limits.cpu_quota {
            let unlimited = quota <= 0;
            if unified {
                let most = if unlimited { "max".to_owned() } else { quota.to_string() };
                settings.push(("cpu", "cpu.max".to_owned(), format!("{most} {QUOTA_PERIOD}")));
            } else {
                let most = if unlimited { -1 } else { quota };
                settings.push(("cpu", "cpu.cfs_period_us".to_owned(), QUOTA_PERIOD.to_string()));
                settings.push(("cpu", "cpu.cfs_quota_us".to_owned(), most.to_string()));
            }
        }
        if let Some(memory) = limits.memory {
            let file = if unified { "memory.max" } else { "memory.limit_in_bytes" };
            let unlimited = if unified { "max" } else { "-1" };
            let value = if memory <= 0 { unlimited.to_owned() } else { memory.to_string() };
            settings.push(("memory", file.to_owned(), value));
        }
        for (size, bytes) in &limits.huge_pages {
            let file = if unified { "max" } else { "limit_in_bytes" };
            settings.push((
                "hugetlb",
                format!("hugetlb.{}.{file}", page_size_name(*size)),
                bytes.to_string(),
            ));
        }
        settings
    }

    /// Whether what a group below `kubepods` swaps can be limited.
    pub fn limits_swap(&self, kubepods: &str) -> bool {
        let file = if self.version() == 2 { "memory.swap.max" } else { "memory.memsw.limit_in_bytes" };
        self.folder("memory", kubepods).is_some_and(|folder| folder.join(file).exists())
    }

    /// Kills what runs in a group and in those inside.
    pub fn kill(&self, group: &str) {
        for mount in self.mounts() {
            kill_in(&mount.join(group.trim_matches('/')));
        }
    }

    /// Removes a group and those inside, everywhere. One that is missing is removed.
    pub fn remove(&self, group: &str) -> io::Result<()> {
        let folders: Vec<_> =
            self.mounts().into_iter().map(|mount| mount.join(group.trim_matches('/'))).collect();
        folders.iter().map(|folder| remove_tree(folder)).fold(Ok(()), Result::and)
    }
}

/// What a limit in the kernel's words lets through: without one all; nothing when it cannot be read.
fn most(limit: &str) -> u64 {
    match limit.split_whitespace().next() {
        Some("max" | "-1") => u64::MAX,
        limit => limit.and_then(|limit| limit.parse().ok()).unwrap_or(0),
    }
}

/// Writes one of the kernel's files: they are there or not, and are never made.
fn write(file: &Path, value: &str) -> io::Result<()> {
    std::fs::OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
}

/// Controllers and mount points out of `/proc/self/mountinfo`.
fn split_mounts(mountinfo: &str) -> Vec<(Vec<String>, PathBuf)> {
    let mut mounts: Vec<(Vec<String>, PathBuf)> = Vec::new();
    for line in mountinfo.lines() {
        let Some((place, kind)) = line.split_once(" - ") else { continue };
        let (mut kind, Some(point)) = (kind.split(' '), place.split(' ').nth(4)) else { continue };
        let controllers: Vec<String> = match (kind.next(), kind.nth(1)) {
            (Some("cgroup"), Some(options)) => options
                .split(',')
                .filter(|option| !matches!(*option, "rw" | "ro"))
                .map(str::to_owned)
                .collect(),
            // The second version beside the first has no controllers, but the runtime makes groups there as well.
            (Some("cgroup2"), _) => Vec::new(),
            _ => continue,
        };
        match mounts.iter_mut().find(|(has, _)| *has == controllers) {
            // Mounted twice: the shorter path is the usual one.
            Some((_, other)) if other.as_os_str().len() > point.len() => *other = point.into(),
            Some(_) => {}
            None => mounts.push((controllers, point.into())),
        }
    }
    mounts
}

/// A new group of the second version gets the controllers that those above hand down.
fn create_unified(mount: &Path, group: &str) -> io::Result<()> {
    let mut folder = mount.to_owned();
    for part in group.split('/').filter(|part| !part.is_empty()) {
        let available = std::fs::read_to_string(folder.join("cgroup.controllers"))?;
        let on = std::fs::read_to_string(folder.join("cgroup.subtree_control"))?;
        let has = |list: &str, name: &str| list.split_whitespace().any(|c| c == name);
        for name in CONTROLLERS.iter().filter(|name| has(&available, name) && !has(&on, name)) {
            write(&folder.join("cgroup.subtree_control"), &format!("+{name}"))?;
        }
        folder.push(part);
        if !folder.exists() {
            std::fs::create_dir(&folder)?;
        }
    }
    Ok(())
}

/// A new cpuset is empty, and nothing can run in it until it has CPUs and memory nodes.
fn hand_down_cpuset(mount: &Path, group: &str) -> io::Result<()> {
    let mut folder = mount.to_owned();
    for part in group.split('/').filter(|part| !part.is_empty()) {
        let parent = folder.clone();
        folder.push(part);
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if std::fs::read_to_string(folder.join(file))?.trim().is_empty() {
                write(&folder.join(file), std::fs::read_to_string(parent.join(file))?.trim())?;
            }
        }
    }
    Ok(())
}

fn inner(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn kill_in(folder: &Path) {
    inner(folder).iter().for_each(|inside| kill_in(inside));
    let processes = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    for pid in processes.lines().filter_map(|line| rustix::process::Pid::from_raw(line.trim().parse().ok()?))
    {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

fn remove_tree(folder: &Path) -> io::Result<()> {
    for inside in inner(folder) {
        remove_tree(&inside)?;
    }
    match std::fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_the_first_version_are_found_by_controller() {
        let mountinfo = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
            32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
            33 31 0:29 / /var/lib/elsewhere/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
            40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let hierarchy = Hierarchy::Split(split_mounts(mountinfo));
        let folder = hierarchy.folder("cpuacct", "/kubepods/pod1");
        assert_eq!(folder, Some("/sys/fs/cgroup/cpu,cpuacct/kubepods/pod1".into()));
        assert_eq!(hierarchy.folder("memory", "/"), None);
        assert_eq!(hierarchy.mounts().len(), 3);
    }

    #[test]
    fn both_versions_are_told_the_same_in_their_own_words() {
        let limits = Limits {
            cpu_shares: Some(1024),
            cpu_quota: Some(50_000),
            memory: Some(0),
            huge_pages: [(2 << 20, 4 << 20)].into(),
        };
        let told = |hierarchy: Hierarchy| {
            let settings = hierarchy.settings(&limits).into_iter();
            settings.map(|(_, file, value)| format!("{file}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(
            told(Hierarchy::Unified("/".into())),
            ["cpu.weight=39", "cpu.max=50000 100000", "memory.max=max", "hugetlb.2MB.max=4194304"]
        );
        let first = [
            "cpu.shares=1024",
            "cpu.cfs_period_us=100000",
            "cpu.cfs_quota_us=50000",
            "memory.limit_in_bytes=-1",
            "hugetlb.2MB.limit_in_bytes=4194304",
        ];
        assert_eq!(told(Hierarchy::Split(Vec::new())), first);
    }

    #[test]
    fn limits_are_raised_and_not_lowered() {
        let mount = tempfile::tempdir().unwrap();
        let hierarchy = Hierarchy::Unified(mount.path().to_owned());
        let group = mount.path().join("pod1");
        assert!(!hierarchy.has("/pod1"));
        std::fs::create_dir(&group).unwrap();
        assert!(hierarchy.has("/pod1"));
        let raised = |before: [&str; 2], cpu_quota: Option<i64>, memory: Option<i64>| {
            let files = ["cpu.max", "memory.max"].map(|file| group.join(file));
            files.iter().zip(before).for_each(|(file, before)| std::fs::write(file, before).unwrap());
            std::fs::write(group.join("cpu.weight"), "39").unwrap();
            let limits = Limits { cpu_quota, memory, cpu_shares: Some(2), ..Limits::default() };
            hierarchy.raise("/pod1", &limits).unwrap();
            assert_eq!(std::fs::read_to_string(group.join("cpu.weight")).unwrap(), "39");
            files.map(|file| std::fs::read_to_string(file).unwrap())
        };
        assert_eq!(raised(["50000 100000", "4096"], Some(20_000), Some(8192)), ["50000 100000", "8192"]);
        assert_eq!(raised(["50000 100000", "4096"], Some(60_000), Some(2048)), ["60000 100000", "4096"]);
        assert_eq!(raised(["max 100000", "1"], Some(60_000), Some(0)), ["max 100000", "max"]);
        assert_eq!(raised(["5000 100000", "max"], None, Some(1)), ["5000 100000", "max"]);
    }

    #[test]
    fn a_group_of_the_second_version_is_handed_the_controllers_it_lacks() {
        let mount = std::env::temp_dir().join(format!("cgroup-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&mount);
        std::fs::create_dir_all(mount.join("kubepods")).unwrap();
        for folder in [mount.clone(), mount.join("kubepods")] {
            std::fs::write(folder.join("cgroup.controllers"), "cpu io misc\n").unwrap();
            std::fs::write(folder.join("cgroup.subtree_control"), "cpu\n").unwrap();
        }
        let hierarchy = Hierarchy::Unified(mount.clone());
        hierarchy.create("/kubepods/pod1", &Limits::default()).unwrap();
        assert!(mount.join("kubepods/pod1").is_dir());
        let given = std::fs::read_to_string(mount.join("kubepods/cgroup.subtree_control")).unwrap();
        assert_eq!(given, "+io\n");
        assert!(
            hierarchy.set("/kubepods/pod1", &Limits { cpu_shares: Some(2), ..Limits::default() }).is_err()
        );
        let pages = Limits { huge_pages: [(2 << 20, 0)].into(), ..Limits::default() };
        hierarchy.set("/kubepods/pod1", &pages).unwrap();
        hierarchy.remove("/kubepods/pod1").unwrap();
        hierarchy.remove("/kubepods/pod1").unwrap();
        assert!(hierarchy.mounts().iter().all(|mount| inner(&mount.join("kubepods")).is_empty()));
        std::fs::remove_dir_all(mount).unwrap();
    }
}
