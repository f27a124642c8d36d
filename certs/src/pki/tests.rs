//! The directory over several starts: kept, completed, renewed, refused.

use super::*;
use std::os::unix::fs::PermissionsExt;

const NOW: Time = Time::from_secs(1_800_000_000);

fn names(dns: &[&str]) -> ServerNames {
    ServerNames::new(dns.iter().map(ToString::to_string).collect(), vec![[127, 0, 0, 1].into()])
}

#[test]
fn a_second_start_finds_everything_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/pki");
    let first = Pki::open(&path, &names(&["localhost"]), NOW).unwrap();
    let second = Pki::open(&path, &names(&["localhost"]), NOW).unwrap();
    assert_eq!(first.ca.certificate_pem(), second.ca.certificate_pem());
    assert_eq!(first.server.certificate_pem, second.server.certificate_pem);
    assert_eq!(first.admin.key_pem, second.admin.key_pem);
    assert_eq!(first.service_account.private_pem, second.service_account.private_pem);
    for entry in fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn new_names_and_a_near_end_renew_what_is_issued_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let first = Pki::open(dir.path(), &names(&["localhost"]), NOW).unwrap();
    let renamed = Pki::open(dir.path(), &names(&["localhost", "example.org"]), NOW).unwrap();
    assert_ne!(first.server.certificate_pem, renamed.server.certificate_pem);
    assert_eq!(first.admin.certificate_pem, renamed.admin.certificate_pem);
    let later = Pki::open(dir.path(), &names(&["localhost"]), NOW.plus(DAY * 330)).unwrap();
    assert_ne!(renamed.server.certificate_pem, later.server.certificate_pem);
    assert_ne!(first.admin.certificate_pem, later.admin.certificate_pem);
    assert_ne!(first.kubelet_client.certificate_pem, later.kubelet_client.certificate_pem);
    assert_eq!(first.ca.certificate_pem(), later.ca.certificate_pem());
}

#[test]
fn damaged_issues_are_made_again_and_damaged_authorities_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Pki::open(dir.path(), &names(&["localhost"]), NOW);
    let first = open().unwrap();
    fs::write(dir.path().join("apiserver.crt"), "torn").unwrap();
    fs::write(dir.path().join("admin.key"), [0xff, 0xfe]).unwrap();
    let second = open().unwrap();
    assert_ne!(first.server.certificate_pem, second.server.certificate_pem);
    assert_ne!(first.admin.certificate_pem, second.admin.certificate_pem);
    for (file, content) in
        [("ca.crt", "torn"), ("ca.key", "torn"), ("sa.key", "torn"), ("front-proxy-ca.crt", "x")]
    {
        let path = dir.path().join(file);
        let kept = fs::read(&path).unwrap();
        fs::write(&path, content).unwrap();
        let error = open().unwrap_err().to_string();
        assert!(error.starts_with("damaged ") && !error.contains('\n'), "{error}");
        fs::write(&path, kept).unwrap();
    }
    open().unwrap();
}

#[test]
fn a_crash_between_key_and_certificate_is_completed_with_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Pki::open(dir.path(), &names(&["localhost"]), NOW);
    let first = open().unwrap();
    fs::write(dir.path().join("ca.crt"), "").unwrap();
    fs::remove_file(dir.path().join("front-proxy-ca.crt")).unwrap();
    let second = open().unwrap();
    assert_eq!(first.ca.key_pem(), second.ca.key_pem());
    assert_eq!(first.admin.certificate_pem, second.admin.certificate_pem, "still ours: same key");
    fs::remove_file(dir.path().join("ca.key")).unwrap();
    assert!(open().unwrap_err().to_string().contains("ca.key"));
}

#[test]
fn a_directory_that_cannot_be_is_one_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Pki::open(&file.join("pki"), &names(&[]), NOW).unwrap_err().to_string();
    assert!(error.starts_with("cannot create ") && !error.contains('\n'), "{error}");
}

#[test]
fn ephemeral_keys_leave_no_file() {
    let before = fs::read_dir(".").unwrap().count();
    let pki = Pki::ephemeral(&names(&["localhost"]), NOW).unwrap();
    assert!(pki.ca.issued(&pki.server).is_some());
    assert_eq!(fs::read_dir(".").unwrap().count(), before);
}

#[test]
fn the_authority_can_be_read_without_making_anything() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Pki::read_ca(&dir.path().join("none")).unwrap().is_none());
    let pki = Pki::open(dir.path(), &names(&["localhost"]), NOW).unwrap();
    let ca = Pki::read_ca(dir.path()).unwrap().unwrap();
    let jane = ca.issue_user("jane", &["dev".into()], NOW).unwrap();
    assert!(pki.ca.issued(&jane).is_some());
}
