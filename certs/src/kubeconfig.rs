//! Kubeconfig files: where the server is, whom to trust, and who the user is, all in one file.

use crate::{Credential, PkiError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The cluster's name in the file.
const CLUSTER: &str = "pintle";

/// A kubeconfig in YAML for `user` at `server` (`https://HOST:PORT`), with certificates embedded.
pub fn render(server: &str, ca_pem: &str, user: &str, credential: &Credential) -> String {
    let context = quoted(&format!("{user}@{CLUSTER}"));
    let user = quoted(user);
    let encode = |pem: &str| STANDARD.encode(pem);
    let mut text = String::new();
    let lines = [
        "apiVersion: v1".to_owned(),
        "kind: Config".to_owned(),
        "clusters:".to_owned(),
        format!("- name: {CLUSTER}"),
        "  cluster:".to_owned(),
        format!("    certificate-authority-data: {}", encode(ca_pem)),
        format!("    server: {}", quoted(server)),
        "users:".to_owned(),
        format!("- name: {user}"),
        "  user:".to_owned(),
        format!("    client-certificate-data: {}", encode(&credential.certificate_pem)),
        format!("    client-key-data: {}", encode(&credential.key_pem)),
        "contexts:".to_owned(),
        format!("- name: {context}"),
        "  context:".to_owned(),
        format!("    cluster: {CLUSTER}"),
        format!("    user: {user}"),
        format!("current-context: {context}"),
    ];
    for line in lines {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

/// Writes a kubeconfig so that only its owner may read it, replacing an older one at once.
pub fn write(path: &Path, text: &str) -> Result<(), PkiError> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&unfinished).map_err(PkiError::io("write", path))?;
    file.write_all(text.as_bytes()).map_err(PkiError::io("write", path))?;
    fs::rename(&unfinished, path).map_err(PkiError::io("write", path))
}

/// A YAML double-quoted scalar.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                // Writing into a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_their_scalar() {
        assert_eq!(quoted("a\"b\\c\nd"), "\"a\\\"b\\\\c\\u000ad\"");
    }

    #[test]
    fn the_file_embeds_all_parts_and_belongs_to_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let credential = Credential {
            certificate_pem: "CERT".into(),
            certificate_der: Vec::new(),
            key_pem: "KEY".into(),
            key_der: Vec::new(),
        };
        let text = render("https://127.0.0.1:6443", "CA", "jane", &credential);
        for part in ["data: Q0E=\n", "data: Q0VSVA==\n", "data: S0VZ\n", "current-context: \"jane@pintle\"\n"]
        {
            assert!(text.contains(part), "{text}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kubeconfig");
        fs::write(&path, "old").unwrap();
        write(&path, &text).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
