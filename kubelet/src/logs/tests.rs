//! Reading logs as containerd writes them.

use super::options::Stream;
use super::{Options, read, read_now};
use api::tree;
use futures::StreamExt;
use std::fs::{self, OpenOptions};
use std::future::{pending, ready};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stdx::Time;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::timeout;

const LINES: &str = "\
2026-11-21T10:00:00.5Z stdout F one
2026-11-21T10:00:01.123456789Z stderr F two
2026-11-21T10:00:02.000000001+02:00 stdout P thr
2026-11-21T10:00:02.1+02:00 stdout F ee
2026-11-21T10:00:03Z stdout F
2026-11-21T10:00:04Z stdout F four
";

fn log(text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0.log");
    // An empty line has a blank after its tag, which editors would strip.
    fs::write(&path, text.replace("stdout F\n", "stdout F \n")).unwrap();
    (dir, path)
}

fn now(options: &Options) -> String {
    let (_dir, path) = log(LINES);
    String::from_utf8(read_now(&path, options).unwrap()).unwrap()
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_log_is_where_upstream_puts_it() {
    let pod = tree!({"metadata": {"namespace": "ns", "name": "p", "uid": "u-1"}});
    let path = super::path(Path::new("/var/log/pods"), &pod, "c", 2);
    assert_eq!(path, Path::new("/var/log/pods/ns_p_u-1/c/2.log"));
    assert_eq!(super::pod_uid("ns_p_u-1"), Some("u-1"));
    assert_eq!(super::pod_uid("other"), None);
}

#[test]
fn all_lines_are_read_and_parts_are_joined() {
    assert_eq!(now(&Options::default()), "one\ntwo\nthree\n\nfour\n");
}

#[test]
fn the_last_lines_are_those_of_the_file() {
    for (lines, wanted) in [(0, ""), (1, "four\n"), (3, "ee\n\nfour\n"), (9, "one\ntwo\nthree\n\nfour\n")] {
        let options = Options { tail_lines: Some(lines), ..Options::default() };
        assert_eq!(now(&options), wanted, "{lines}");
    }
}

#[test]
fn the_last_lines_are_found_over_many_blocks() {
    let lines: String = (0..5000)
        .map(|i| format!("2026-11-21T10:00:00Z stdout F line {i} {}\n", "x".repeat(i % 50)))
        .collect();
    let (_dir, path) = log(&lines);
    let options = Options { tail_lines: Some(2000), ..Options::default() };
    let text = String::from_utf8(read_now(&path, &options).unwrap()).unwrap();
    assert_eq!(text.lines().count(), 2000);
    assert!(text.starts_with("line 3000 "), "{}", &text[..20]);
}

#[test]
fn times_have_nine_digits_and_stand_at_line_starts_only() {
    let options = Options { timestamps: true, ..Options::default() };
    let wanted = "\
2026-11-21T10:00:00.500000000Z one
2026-11-21T10:00:01.123456789Z two
2026-11-21T10:00:02.000000001+02:00 three
2026-11-21T10:00:03.000000000Z \n2026-11-21T10:00:04.000000000Z four
";
    assert_eq!(now(&options), wanted);
}

#[test]
fn older_lines_other_streams_and_what_exceeds_the_limit_are_left_out() {
    // 10:00:02 in a zone of +02:00 is 08:00:02.
    let since = Some(api::time::parse("2026-11-21T10:00:01.123456789Z").unwrap());
    assert_eq!(now(&Options { since, ..Options::default() }), "two\n\nfour\n");
    let stream = Some(Stream::Stderr);
    assert_eq!(now(&Options { stream, ..Options::default() }), "two\n");
    let limit_bytes = Some(6);
    assert_eq!(now(&Options { limit_bytes, ..Options::default() }), "one\ntw");
    assert_eq!(now(&Options { limit_bytes, stream, ..Options::default() }), "two\n");
}

#[test]
fn what_is_no_log_is_refused_and_a_bad_line_among_good_ones_is_passed_over() {
    let (_dir, path) = log("hello\n");
    let why = read_now(&path, &Options::default()).unwrap_err().to_string();
    assert_eq!(why, "failed to get parse function: unsupported log format: \"hello\\n\"");
    append(&path, "x");
    let (_dir, path) = log("2026-11-21T10:00:00Z stdout F a\nhello\n2026-11-21T10:00:00Z stdout F b");
    assert_eq!(read_now(&path, &Options::default()).unwrap(), b"a\nb");
    let why = read_now(&path.join("none"), &Options::default()).unwrap_err().to_string();
    assert!(why.starts_with("failed to open log file"), "{why}");
    let none = path.with_file_name("none");
    let why = read_now(&none, &Options::default()).unwrap_err().to_string();
    assert!(why.ends_with("/none: no such file or directory"), "{why}");
}

/// Collects what a stream gives until it says `until`.
async fn up_to(
    stream: &mut (impl futures::Stream<Item = std::io::Result<bytes::Bytes>> + Unpin),
    until: &str,
) {
    let mut said = String::new();
    while said != until {
        let text = timeout(Duration::from_secs(10), stream.next()).await;
        let text = text.unwrap_or_else(|_| panic!("only {said:?} of {until:?}"));
        said.push_str(std::str::from_utf8(&text.unwrap().unwrap()).unwrap());
        assert!(until.starts_with(&said), "{said:?}");
    }
}

#[tokio::test]
async fn without_follow_the_stream_ends_with_what_is_there() {
    let (_dir, path) = log(LINES);
    let stream = read(path, Options::default(), pending());
    let all: Vec<_> = stream.map(|text| text.unwrap().to_vec()).collect().await;
    assert_eq!(all.concat(), b"one\ntwo\nthree\n\nfour\n");
}

#[tokio::test]
async fn a_follower_sees_what_is_written_until_the_container_ended() {
    let (_dir, path) = log(LINES);
    let (end, ended) = oneshot::channel::<()>();
    let options = Options { follow: true, tail_lines: Some(1), ..Options::default() };
    let ended = async move { drop(ended.await) };
    let mut stream = Box::pin(read(path.clone(), options, ended));
    up_to(&mut stream, "four\n").await;
    append(&path, "2026-11-21T10:00:05Z stdout F fi");
    assert!(timeout(Duration::from_millis(100), stream.next()).await.is_err(), "half a line is none");
    append(&path, "ve\n2026-11-21T10:00:06Z stdout F six\n");
    up_to(&mut stream, "five\nsix\n").await;
    append(&path, "2026-11-21T10:00:07Z stdout F last");
    end.send(()).unwrap();
    up_to(&mut stream, "last").await;
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_follower_goes_with_the_log_over_rotations() {
    let (dir, path) = log("2026-11-21T10:00:00Z stdout F a\n");
    let options = Options { follow: true, ..Options::default() };
    let mut stream = Box::pin(read(path.clone(), options, pending()));
    up_to(&mut stream, "a\n").await;
    for (old, new) in [("b", "c"), ("d", "e")] {
        let renamed = dir.path().join(format!("0.log.{old}"));
        fs::rename(&path, &renamed).unwrap();
        append(&renamed, &format!("2026-11-21T10:00:00Z stdout F {old}\n"));
        append(&path, &format!("2026-11-21T10:00:00Z stdout F {new}\n"));
        up_to(&mut stream, &format!("{old}\n{new}\n")).await;
    }
}

#[tokio::test]
async fn following_a_container_that_has_ended_reads_all_of_it() {
    let (_dir, path) = log(LINES);
    let options = Options { follow: true, ..Options::default() };
    let stream = read(path, options, ready(()));
    let all: Vec<_> = timeout(Duration::from_secs(5), stream.collect::<Vec<_>>()).await.unwrap();
    assert_eq!(all.into_iter().map(|text| text.unwrap().to_vec()).collect::<Vec<_>>().concat().len(), 20);
}

#[tokio::test]
async fn a_log_that_is_not_there_is_the_streams_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut stream = Box::pin(read(dir.path().join("0.log"), Options::default(), pending()));
    assert_eq!(stream.next().await.unwrap().unwrap_err().kind(), std::io::ErrorKind::NotFound);
    let zero = Options { since: Some(Time::default()), ..Options::default() };
    assert!(!now(&zero).is_empty());
}
