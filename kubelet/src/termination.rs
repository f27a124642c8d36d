//! What a container said when it ended: the file that it may write, or the end of its log.

use crate::logs::{self, Options};
use crate::pod::{Observed, has_exited};
use crate::runtime::{cri, labels};
use api::Value;
use rustix::fs::OFlags;
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The longest message of a container in bytes, from its file.
const LONGEST: u64 = 4096;
/// From its log.
const LONGEST_OF_LOG: usize = 2048;
const LINES_OF_LOG: u64 = 80;
/// Of all containers of a pod together.
const LONGEST_OF_POD: usize = 12 * 1024;

/// The message of a container that has ended, "" when it left none. It follows what containerd itself says of the end
/// (`status.message`), parted by `: `. Reads files.
pub fn message(status: &cri::ContainerStatus) -> String {
    let said = own_message(status);
    match (status.message.as_str(), said.as_str()) {
        ("", _) => said,
        (ours, "") => ours.to_owned(),
        (ours, said) => format!("{ours}: {said}"),
    }
}

/// How many bytes of its message each container of the pod may keep in the pod's status.
pub fn longest(pod: &Value) -> usize {
    let kinds = ["containers", "initContainers", "ephemeralContainers"];
    let count: usize = kinds.iter().map(|kind| pod.list_at(&["spec", kind]).len()).sum();
    LONGEST_OF_POD / count.max(1)
}

/// The message cut to so many bytes, at a letter's end.
pub fn shorten(message: &mut String, longest: usize) {
    let end = (0..=longest.min(message.len())).rev().find(|at| message.is_char_boundary(*at));
    message.truncate(end.unwrap_or(0));
}

/// What the container itself left.
fn own_message(status: &cri::ContainerStatus) -> String {
    let policy = written(&status.annotations, labels::MESSAGE_POLICY);
    let may_ask_log =
        policy == "FallbackToLogsOnError" && status.exit_code != 0 && status.reason != "ContainerCannotRun";
    let path = written(&status.annotations, labels::MESSAGE_PATH);
    let said = match status.mounts.iter().find(|mount| !path.is_empty() && same(&mount.container_path, path))
    {
        Some(mount) => match end_of_file(Path::new(&mount.host_path)) {
            Ok(said) => said,
            Err(why) if why.kind() == ErrorKind::NotFound => String::new(),
            Err(why) => {
                let why = why.to_string();
                let why = why.split(" (os error").next().unwrap_or(&why).to_lowercase();
                return format!("Error on reading termination log {}: {why}", mount.host_path);
            }
        },
        None => String::new(),
    };
    if said.is_empty() && may_ask_log { end_of_log(Path::new(&status.log_path)) } else { said }
}

fn written<'a>(annotations: &'a HashMap<String, String>, name: &str) -> &'a str {
    annotations.get(name).map_or("", String::as_str)
}

/// A path that does not begin at the root is taken from there.
fn same(mounted: &str, asked: &str) -> bool {
    mounted == asked || !asked.starts_with('/') && mounted.strip_prefix('/') == Some(asked)
}

fn end_of_file(path: &Path) -> io::Result<String> {
    // A container may have put something there that never ends, or a way to a file that is not its own.
    let careful = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(careful).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() && !about.is_dir() {
        return Ok(String::new());
    }
    file.seek(SeekFrom::Start(about.len().saturating_sub(LONGEST)))?;
    let mut said = Vec::new();
    file.take(LONGEST).read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn end_of_log(path: &Path) -> String {
    let options = Options { tail_lines: Some(LINES_OF_LOG), ..Options::default() };
    match logs::read_now(path, &options) {
        Ok(said) => {
            let end = said.get(said.len().saturating_sub(LONGEST_OF_LOG)..).unwrap_or_default();
            String::from_utf8_lossy(end).into_owned()
        }
        Err(why) => format!("Error on reading termination message from logs: {why}"),
    }
}

/// The messages of all ended containers of a pod by container id, cut to what the pod's status may hold; those that are
/// `known` are not read again. Reads files.
pub fn messages(pod: &Value, seen: &Observed, mut known: HashMap<String, String>) -> HashMap<String, String> {
    let longest = longest(pod);
    let ended = seen.containers.iter().filter(|container| has_exited(container));
    let said = ended.map(|container| {
        let said = known.remove(&container.id).unwrap_or_else(|| {
            let mut said = message(container);
            shorten(&mut said, longest);
            said
        });
        (container.id.clone(), said)
    });
    said.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn ended(file: &str, policy: &str, exit_code: i32, log: &Path) -> cri::ContainerStatus {
        let annotations = [(labels::MESSAGE_PATH, "/dev/termination-log"), (labels::MESSAGE_POLICY, policy)];
        cri::ContainerStatus {
            exit_code,
            annotations: annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            mounts: vec![cri::Mount {
                container_path: "/dev/termination-log".to_owned(),
                host_path: file.to_owned(),
                ..Default::default()
            }],
            log_path: log.display().to_string(),
            ..Default::default()
        }
    }

    #[test]
    fn the_end_of_the_file_is_the_message() {
        let dir = tempfile::tempdir().unwrap();
        let (file, log) = (dir.path().join("m"), dir.path().join("none"));
        std::fs::write(&file, format!("{}END", "x".repeat(5000))).unwrap();
        let said = message(&ended(file.to_str().unwrap(), "File", 1, &log));
        assert_eq!((said.len(), &said[said.len() - 4..]), (4096, "xEND"));
    }

    #[test]
    fn what_is_no_file_says_nothing_at_once() {
        use rustix::fs::{CWD, FileType, Mode};
        let dir = tempfile::tempdir().unwrap();
        let (pipe, link) = (dir.path().join("pipe"), dir.path().join("link"));
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret"), &link).unwrap();
        let said = |path: &Path| message(&ended(path.to_str().unwrap(), "File", 1, dir.path()));
        assert_eq!(said(&pipe), "");
        let refused = said(&link);
        assert!(refused.starts_with("Error on reading termination log "), "{refused}");
    }

    #[test]
    fn messages_are_read_once_and_kept_while_their_containers_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("m");
        std::fs::write(&file, "one").unwrap();
        let container = |id: &str, state: cri::ContainerState| cri::ContainerStatus {
            id: id.to_owned(),
            state: state.into(),
            ..ended(file.to_str().unwrap(), "File", 1, dir.path())
        };
        let exited = |id: &str| container(id, cri::ContainerState::ContainerExited);
        let of = |containers| Observed { containers, ..Observed::default() };
        let said = |all: &[(&str, &str)]| -> HashMap<String, String> {
            all.iter().map(|(id, said)| ((*id).to_owned(), (*said).to_owned())).collect()
        };
        let running = container("b", cri::ContainerState::ContainerRunning);
        let first = messages(&Value::Null, &of(vec![exited("a"), running]), HashMap::new());
        assert_eq!(first, said(&[("a", "one")]));
        std::fs::write(&file, "two").unwrap();
        let second = messages(&Value::Null, &of(vec![exited("a"), exited("b")]), first);
        assert_eq!(second, said(&[("a", "one"), ("b", "two")]));
        assert_eq!(messages(&Value::Null, &of(vec![exited("b")]), second), said(&[("b", "two")]));
    }

    #[test]
    fn the_log_speaks_only_when_asked_and_after_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let (file, log) = (dir.path().join("m"), dir.path().join("0.log"));
        let lines: Vec<String> =
            (0..100).map(|i| format!("2026-11-21T10:00:00.1Z stdout F line {i}\n")).collect();
        std::fs::write(&log, lines.concat()).unwrap();
        std::fs::write(&file, "").unwrap();
        let file = file.to_str().unwrap();
        assert_eq!(message(&ended(file, "File", 1, &log)), "");
        assert_eq!(message(&ended(file, "FallbackToLogsOnError", 0, &log)), "");
        let said = message(&ended(file, "FallbackToLogsOnError", 1, &log));
        assert!(said.starts_with("line 20\n") && said.ends_with("line 99\n"), "{said}");
        std::fs::write(file, "mine").unwrap();
        assert_eq!(message(&ended(file, "FallbackToLogsOnError", 1, &log)), "mine");
    }

    #[test]
    fn what_containerd_says_stands_before_what_the_container_says() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("m"), "bye").unwrap();
        let mut status = ended(dir.path().join("m").to_str().unwrap(), "File", 1, dir.path());
        "failed".clone_into(&mut status.message);
        assert_eq!(message(&status), "failed: bye");
    }

    #[test]
    fn containers_share_what_a_pod_may_say_and_letters_stay_whole() {
        let pod = tree!({"spec": {"containers": [{}, {}], "initContainers": [{}]}});
        assert_eq!(longest(&pod), 4096);
        let mut text = "aé".to_owned();
        shorten(&mut text, 2);
        assert_eq!(text, "a");
    }
}
