//! A machine of one's own to run containers on: a process tree, a network and mounts that no other process shares, with
//! an empty `/run` and the folders of containers and kubelets empty.
//!
//! Everything on it is below one process, which the kernel kills with the test: then all its containers, mounts and
//! interfaces are gone too, however the test ended (a watchdog sees to it, as for servers). Only cgroups outlive their processes; `Machine` removes its own,
//! and those that an earlier test left behind.
//!
//! The image of the tests is Debian's static busybox, packed here.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;

use crate::{server, tools, wait};

/// Folders that begin empty.
const EMPTY: [&str; 8] = [
    "/run",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/log/pods",
    "/var/log/containers",
    "/etc/cni",
    "/opt/cni",
];
/// What the first process does: it sets the machine up, says so, and waits for its end as the parent of orphans.
const FIRST: &str = "set -e; mount --make-rprivate /; for folder in \"$@\"; do mkdir -p \"$folder\"; \
     mount -t tmpfs tmpfs \"$folder\"; done; mount --make-rshared /; ip link set lo up; echo up; sleep infinity & wait";
/// The image that tests run, under both names that users give.
pub const IMAGE: &str = "docker.io/library/busybox:1";
const PROGRAMS: [&str; 6] = ["containerd", "runc", "ctr", "busybox", "unshare", "nsenter"];
const CGROUPS: &str = "/sys/fs/cgroup";
const CGROUP_PREFIX: &str = "pintle-test-";

/// See the head of the file.
pub struct Machine {
    outer: Child,
    watchdog: Child,
    first: u32,
    folder: TempDir,
    cgroup: String,
}

impl Machine {
    /// A machine with nothing running; `None`, with a note, where this one cannot give that (see `tools::find`).
    ///
    /// # Panics
    /// When the machine does not come up.
    pub fn new() -> Option<Arc<Self>> {
        if !is_root() {
            eprintln!("left out: containers need root");
            return None;
        }
        for program in PROGRAMS {
            tools::find(program)?;
        }
        sweep();
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let said = folder.path().join("said");
        let outer = first(&said);
        let watchdog = server::watchdog(outer.id());
        let mut machine = Self { outer, watchdog, first: 0, folder, cgroup: String::new() };
        let up = wait::until(20, || {
            let is_up = std::fs::read_to_string(&said).is_ok_and(|said| said.starts_with("up"));
            (is_up || machine.outer.try_wait().ok().flatten().is_some()).then_some(is_up)
        });
        if up != Some(true) {
            eprintln!("left out: no namespaces of one's own can be made here");
            return None;
        }
        machine.first =
            child_of(machine.outer.id()).unwrap_or_else(|| panic!("the machine's first process is gone"));
        machine.cgroup = format!("{CGROUP_PREFIX}{}-{}", std::process::id(), machine.first);
        Some(Arc::new(machine))
    }

    /// A command that runs on the machine.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &self.first.to_string(),
            "--net",
            "--pid",
            "--mount",
            "--wd=/",
            "--",
            program,
        ]);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a shell script on the machine; what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn sh(&self, script: &str) -> String {
        let output = self.command("sh").args(["-c", script]).output();
        let output = output.unwrap_or_else(|error| panic!("cannot run nsenter: {error}"));
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{script}: {out}{err}");
        out.into_owned()
    }

    /// Files of the test, gone with the machine. Seen from within under the same path.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The cgroup for all that this machine runs, `/NAME`.
    pub fn cgroup(&self) -> String {
        format!("/{}", self.cgroup)
    }

    /// Gives the containerd that `pintle up` started here the image of the tests: `busybox:1`, and `busybox` for those
    /// who say no tag.
    ///
    /// # Panics
    /// When it does not take it.
    pub fn import_busybox(&self) {
        let archive = busybox_archive(self.folder());
        let ctr = "ctr --namespace k8s.io images";
        let answers = wait::until(60, || {
            self.sh(&format!("{ctr} ls -q 2>&1 && echo fine || true")).ends_with("fine\n").then_some(())
        });
        assert!(answers.is_some(), "no containerd was started");
        self.sh(&format!("{ctr} import {}", archive.display()));
        self.sh(&format!("{ctr} tag {IMAGE} docker.io/library/busybox:latest"));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.outer.kill();
        let _ = self.outer.wait();
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
        if !self.cgroup.is_empty() {
            wait::until(10, || remove_cgroups(&self.cgroup).then_some(()));
        }
    }
}

/// Starts the first process of a machine; it writes `up` into a file.
fn first(said: &Path) -> Child {
    let out = std::fs::File::create(said).unwrap_or_else(|error| panic!("cannot write: {error}"));
    Command::new("unshare")
        .args(["--net", "--pid", "--mount", "--fork", "--kill-child=KILL", "--mount-proc"])
        .args(["sh", "-c", FIRST, "sh"])
        .args(EMPTY)
        .stdin(Stdio::null())
        .stdout(out)
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run unshare: {error}"))
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

fn child_of(parent: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// The hierarchies of cgroups: one with version 2, one for each controller with version 1.
fn hierarchies() -> Vec<PathBuf> {
    let root = PathBuf::from(CGROUPS);
    let below = std::fs::read_dir(&root).into_iter().flatten().flatten().map(|entry| entry.path());
    std::iter::once(root.clone()).chain(below.filter(|path| path.is_dir())).collect()
}

/// Whether none of a name is left.
fn remove_cgroups(name: &str) -> bool {
    let all: Vec<PathBuf> = hierarchies().into_iter().map(|hierarchy| hierarchy.join(name)).collect();
    all.iter().for_each(|path| remove_tree(path));
    !all.iter().any(|path| path.exists())
}

/// Cgroups are removed from the leaves up; the files in them cannot be, and need not.
fn remove_tree(path: &Path) {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(path);
}

/// Removes the cgroups of machines whose test is gone.
fn sweep() {
    for hierarchy in hierarchies() {
        for entry in std::fs::read_dir(hierarchy).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let test = name.strip_prefix(CGROUP_PREFIX).and_then(|rest| rest.split('-').next());
            if test.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                remove_tree(&entry.path());
            }
        }
    }
}

/// Debian's static busybox as an archive in docker's form: one layer with all of its applets.
fn busybox_archive(folder: &Path) -> PathBuf {
    let archive = folder.join("busybox.tar");
    if archive.exists() {
        return archive;
    }
    let (root, image) = (folder.join("rootfs"), folder.join("image"));
    let script = "set -e; mkdir -p \"$0/bin\" \"$0/tmp\" \"$0/etc\" \"$0/root\" \"$1\"; chmod 1777 \"$0/tmp\"; \
         cp \"$(command -v busybox)\" \"$0/bin/busybox\"; \
         for applet in $(busybox --list); do [ $applet = busybox ] || ln -s busybox \"$0/bin/$applet\"; done; \
         echo root:x:0:0:root:/root:/bin/sh >\"$0/etc/passwd\"; echo root:x:0: >\"$0/etc/group\"; \
         tar -C \"$0\" --owner=0 --group=0 --numeric-owner -cf \"$1/layer.tar\" .";
    shell(script, &[&root, &image]);
    let layer = std::fs::read(image.join("layer.tar")).unwrap_or_else(|error| panic!("no layer: {error}"));
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, "os": "linux",
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer))]}
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]);
    for (name, content) in [("config.json", config), ("manifest.json", manifest)] {
        std::fs::write(image.join(name), content.to_string()).unwrap_or_else(|error| panic!("{error}"));
    }
    shell("tar -C \"$0\" -cf \"$1\" manifest.json config.json layer.tar", &[&image, &archive]);
    archive
}

fn shell(script: &str, arguments: &[&Path]) {
    let status = Command::new("sh").args(["-c", script]).args(arguments).status();
    assert!(status.is_ok_and(|status| status.success()), "{script}");
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
