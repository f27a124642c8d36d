//! Encryption at rest, from outside: the store's files hold no plain text of a secret, the server reads its secrets
//! again after a crash, with another key after a rotation, and says so when a key is missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conformance::{Server, Wire, binary};
use serde_json::{Value, json};

const PLAIN: &str = "the-plain-text-of-a-secret";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";

fn keys(names: &[(&str, u8)]) -> String {
    let key = |(name, byte): &(&str, u8)| json!({"name": name, "secret": STANDARD.encode([*byte; 32])});
    json!({"keys": names.iter().map(key).collect::<Vec<_>>()}).to_string()
}

fn configuration(path: &Path, providers: &str) {
    let text = format!(
        "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n- resources: [secrets]\n  providers: {providers}\n"
    );
    fs::write(path, text).expect("it writes");
}

fn start(path: &Path) -> Server {
    Server::start_with(&["--encryption-provider-config", &path.to_string_lossy()])
}

fn create(server: &Server, name: &str) {
    let body = json!({"metadata": {"name": name}, "stringData": {"password": PLAIN}}).to_string();
    let mut wire = Wire::open(server).expect("it serves");
    let answer = wire.request("POST", SECRETS, "application/json", body.as_bytes()).expect("it answers");
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn get(server: &Server, path: &str) -> (u16, Value) {
    let answer = Wire::open(server).and_then(|mut wire| wire.get(path)).expect("it answers");
    (answer.status, answer.json())
}

/// Whether a text occurs in any file of a folder.
fn occurs(folder: &Path, text: &str) -> bool {
    let files: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.iter().any(|path| match path.is_dir() {
        true => occurs(path, text),
        false => {
            let bytes = fs::read(path).expect("it reads");
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        }
    })
}

#[test]
fn secrets_rest_sealed_survive_a_crash_and_follow_their_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("encryption.yaml");
    configuration(&path, &format!("[{{aescbc: {}}}, {{identity: {{}}}}]", keys(&[("k1", 1)])));
    let server = start(&path);
    create(&server, "one");
    let store = server.data_dir().join("store");
    assert!(!occurs(&store, PLAIN) && occurs(&store, "k8s:enc:aescbc:v1:k1:"));
    let one = format!("{SECRETS}/one");
    let server = server.crash_and_restart();
    let (status, secret) = get(&server, &one);
    assert_eq!((status, &secret["data"]["password"]), (200, &json!(STANDARD.encode(PLAIN))));
    // Another provider first: what is written again, even unchanged, is sealed anew.
    configuration(
        &path,
        &format!("[{{aesgcm: {}}}, {{aescbc: {}}}]", keys(&[("k2", 2)]), keys(&[("k1", 1)])),
    );
    let server = server.crash_and_restart();
    let (_, secret) = get(&server, &one);
    let before = secret["metadata"]["resourceVersion"].clone();
    let mut wire = Wire::open(&server).expect("it serves");
    let answer =
        wire.request("PUT", &one, "application/json", secret.to_string().as_bytes()).expect("it answers");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_ne!(answer.json()["metadata"]["resourceVersion"], before);
    let again = wire.request("PUT", &one, "application/json", answer.json().to_string().as_bytes());
    let again = again.expect("it answers").json();
    assert_eq!(again["metadata"]["resourceVersion"], answer.json()["metadata"]["resourceVersion"]);
    assert!(occurs(&server.data_dir().join("store"), "k8s:enc:aesgcm:v1:k2:"));
    // Without the key the secret is there, but nobody can read it.
    configuration(&path, &format!("[{{aesgcm: {}}}]", keys(&[("k2", 9)])));
    let server = server.crash_and_restart();
    let (status, refused) = get(&server, &one);
    let message = refused["message"].as_str().unwrap_or_default();
    assert_eq!((status, message), (500, "Internal error occurred: cipher: message authentication failed"));
    let (status, refused) = get(&server, SECRETS);
    let message = refused["message"].as_str().unwrap_or_default();
    let wanted = "Internal error occurred: unable to transform key \"/registry/secrets/default/one\": cipher: message authentication failed";
    assert_eq!((status, message), (500, wanted));
    assert_eq!(get(&server, "/api/v1/namespaces/default/configmaps").0, 200);
}

#[test]
fn without_a_configuration_what_is_sealed_is_not_taken_for_an_object() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("encryption.yaml");
    configuration(&path, &format!("[{{secretbox: {}}}]", keys(&[("k", 1)])));
    let server = start(&path);
    create(&server, "one");
    configuration(&path, "[{identity: {}}]");
    let server = server.crash_and_restart();
    let (status, refused) = get(&server, &format!("{SECRETS}/one"));
    assert_eq!(
        (status, &refused["message"]),
        (500, &json!("Internal error occurred: no matching prefix found"))
    );
}

#[test]
fn a_bad_configuration_is_said_in_one_line_without_its_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("encryption.yaml");
    let head = "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:";
    let short = STANDARD.encode("short and secret");
    for (text, why) in [
        (String::new(), "is empty"),
        ("{".to_owned(), "error decoding encryption provider configuration file"),
        ("kind: Pod\napiVersion: v1".to_owned(), "no kind \"Pod\" is registered"),
        (format!("{head} []"), "resources: Required value: at least one resources is required"),
        (format!("{head} [{{resources: [secrets], providers: [{{strange: {{}}}}]}}]"), "unknown field"),
        (
            format!(
                "{head} [{{resources: [secrets], providers: [{{secretbox: {{keys: [{{name: a, secret: {short}}}]}}}}]}}]"
            ),
            "secret is not of the expected length, got 16, expected one of [32]",
        ),
    ] {
        fs::write(&path, &text).expect("it writes");
        let output = Command::new(binary::path())
            .args(["up", "--no-node", "--listen", "127.0.0.1:0", "--encryption-provider-config"])
            .arg(&path)
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .output()
            .expect("pintle runs");
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{complaint}");
        assert!(complaint.contains(why) && !complaint.contains("panicked"), "{text:?}: {complaint}");
        assert!(!complaint.contains(&short), "{complaint}");
        assert_eq!(complaint.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{complaint}");
    }
}
