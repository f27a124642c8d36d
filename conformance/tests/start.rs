//! Starting and stopping: the ready line, the files, the flags, and every way in which a start can fail.

use std::net::TcpListener;
use std::process::{Command, Output};

use conformance::{Kubectl, Server, Wire, binary};

fn pintle(arguments: &[&str]) -> Output {
    Command::new(binary::path()).args(arguments).output().expect("pintle runs")
}

/// A start that must fail: one line that says why, exit code 1 or 2, no panic. Answers the line.
fn refused(arguments: &[&str]) -> String {
    let output = pintle(arguments);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(1 | 2)), "{arguments:?}: {}: {complaint}", output.status);
    assert!(output.stdout.is_empty(), "{arguments:?} said that it is ready");
    assert!(!complaint.contains("panicked"), "{complaint}");
    complaint.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn the_ready_line_says_where_and_how_fast() {
    let mut server = Server::start();
    let words: Vec<&str> = server.ready_line().split(' ').collect();
    let [ready, url, kubeconfig, r#in, took, ms] = words[..] else { panic!("{words:?}") };
    assert_eq!((ready, r#in, ms), ("ready", "in", "ms"));
    assert!(url.starts_with("https://127.0.0.1:") && !url.ends_with(":0"), "{url}");
    assert_eq!(kubeconfig.strip_prefix("kubeconfig="), server.kubeconfig().to_str());
    assert!(took.parse::<u64>().is_ok(), "{took}");
    let answer = Wire::open(&server).and_then(|mut wire| wire.get("/readyz")).expect("it answers");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert_eq!(server.stop("TERM").and_then(|status| status.code()), Some(0), "SIGTERM ends it well");
}

#[test]
fn an_interrupt_ends_it_well_and_a_second_start_keeps_identity_and_objects() {
    let mut server = Server::start();
    let before = server.access();
    let Some(kubectl) = Kubectl::new(&server) else { return };
    kubectl.ok("create configmap kept --from-literal=a=b");
    assert_eq!(server.stop("INT").and_then(|status| status.code()), Some(0));
    let server = server.crash_and_restart();
    assert_eq!(server.access().authority, before.authority, "the authority is made once");
    let kubectl = Kubectl::new(&server).expect("it was there before");
    assert_eq!(kubectl.ok("get configmap kept -o jsonpath={.data.a}"), "b");
}

#[test]
fn a_port_in_use_is_said_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let line = refused(&["up", "--no-node", "--listen", &address, "--data-dir", &data.to_string_lossy()]);
    assert!(line.contains(&address), "{line}");
}

#[test]
fn a_data_folder_that_cannot_be_one_is_said_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").expect("a file");
    let line =
        refused(&["up", "--no-node", "--listen", "127.0.0.1:0", "--data-dir", &file.to_string_lossy()]);
    assert!(line.contains("file"), "{line}");
}

#[test]
fn a_data_folder_in_use_is_said_in_one_line() {
    let server = Server::start();
    let data = server.data_dir();
    refused(&["up", "--no-node", "--listen", "127.0.0.1:0", "--data-dir", &data.to_string_lossy()]);
}

#[test]
fn a_damaged_store_is_refused_and_left_alone() {
    let mut server = Server::start();
    server.stop("TERM").expect("it stops");
    let mut damaged = 0;
    for file in files(&server.data_dir()) {
        // LMDB's own file: both meta pages are overwritten, so that no state can be told.
        if file.file_name().is_some_and(|name| name == "data.mdb") {
            let mut bytes = std::fs::read(&file).expect("the store can be read");
            let end = bytes.len().min(8192);
            bytes[..end].fill(0x5a);
            std::fs::write(&file, bytes).expect("the store can be written");
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1, "the embedded store is one LMDB file");
    let data = server.data_dir();
    refused(&["up", "--no-node", "--listen", "127.0.0.1:0", "--data-dir", &data.to_string_lossy()]);
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").filter_map(Result::ok);
    let (folders, mut all): (Vec<_>, Vec<_>) =
        entries.map(|entry| entry.path()).partition(|path| path.is_dir());
    all.extend(folders.iter().flat_map(|inner| files(inner)));
    all
}

#[test]
fn bad_flags_are_refused() {
    for arguments in [
        &["up", "--listen", "nowhere"][..],
        &["up", "--store", "paper"],
        &["up", "--no-such-flag"],
        &["up", "--store", "etcd="],
        &["sideways"],
    ] {
        refused(arguments);
    }
}

#[test]
fn the_version_is_printed() {
    let output = pintle(&["version"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("1.36"), "{output:?}");
}
