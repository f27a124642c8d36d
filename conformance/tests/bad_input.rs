//! Input that nobody should send: each gets the exact `Status`, costs bounded memory, and leaves the server alive.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use conformance::{Answer, Server, Wire, wire};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

fn send(method: &str, path: &str, content_type: &str, body: &[u8]) -> Answer {
    let mut wire = Wire::open(server()).expect("it serves");
    wire.request(method, path, content_type, body)
        .unwrap_or_else(|error| panic!("{error:#}\n{}", server().log()))
}

/// A failure `Status` with these parts.
fn assert_status(answer: &Answer, code: u16, reason: &str, message: &str) {
    let body = answer.json();
    let seen = (answer.status, body["kind"].as_str(), body["reason"].as_str(), body["message"].as_str());
    assert_eq!(seen, (code, Some("Status"), Some(reason), Some(message)), "{}", answer.text());
    assert_eq!(body["code"], code);
}

fn assert_alive() {
    let ready = Wire::open(server()).and_then(|mut wire| wire.get("/readyz")).expect("it still serves");
    assert_eq!(ready.status, 200);
    assert!(!server().log().contains("panicked"), "{}", server().log());
}

fn unrecognised(body: &[u8], content_type: &str, message: &str) {
    let answer = send("POST", MAPS, content_type, body);
    let message = format!("the object provided is unrecognized (must be of type ConfigMap): {message}");
    assert_status(&answer, 400, "BadRequest", &message);
}

#[test]
fn malformed_json_is_answered_as_go_words_it() {
    let parse = "couldn't get version/kind; json parse error";
    for (body, message) in [
        ("", format!("{parse}: unexpected end of JSON input (<empty>)")),
        ("{\"a\"", format!("{parse}: unexpected end of JSON input ({{\"a\")")),
        ("{\"a\" 1}", format!("{parse}: invalid character '1' after object key ({{\"a\" 1}})")),
        (
            "{\"a\":tru}",
            format!("{parse}: invalid character '}}' in literal true (expecting 'e') ({{\"a\":tru}})"),
        ),
        (
            "{\"a\":\"\\x\"}",
            format!("{parse}: invalid character 'x' in string escape code ({{\"a\":\"\\x\"}})"),
        ),
        ("{\"a\":01}", format!("{parse}: invalid character '1' after object key:value pair ({{\"a\":01}})")),
        ("<a/>", format!("{parse}: invalid character '<' looking for beginning of value (3c612f3e)")),
    ] {
        unrecognised(body.as_bytes(), JSON, &message);
    }
    assert_alive();
}

#[test]
fn deep_nesting_stops_at_ten_thousand() {
    for (open, sign) in [("{\"a\":", '{'), ("[", '[')] {
        let body = format!("{{\"data\":{}", open.repeat(200_000));
        let shown = format!("{} ...", &body[..30]);
        let parse = "couldn't get version/kind; json parse error";
        let message = format!("{parse}: invalid character '{sign}' exceeded max depth ({shown})");
        unrecognised(body.as_bytes(), JSON, &message);
    }
    let legal =
        format!("{{\"metadata\":{{\"name\":\"deep\"}},\"other\":{}{}}}", "[".repeat(9000), "]".repeat(9000));
    assert_eq!(
        send("POST", MAPS, JSON, legal.as_bytes()).status,
        201,
        "an unknown field is dropped, however deep"
    );
    let flow = format!("data: {}", "[".repeat(100_000));
    assert_eq!(send("POST", MAPS, "application/yaml", flow.as_bytes()).status, 400);
    assert_alive();
}

#[test]
fn bodies_over_three_megabytes_are_refused() {
    let body = format!("{{\"data\":{{\"a\":\"{}\"}}}}", "x".repeat(3 * 1024 * 1024));
    let message = "Request entity too large: limit is 3145728";
    for (method, path, content_type) in [
        ("POST", MAPS.to_owned(), JSON),
        ("POST", MAPS.to_owned(), PROTOBUF),
        ("PUT", format!("{MAPS}/kube-root-ca.crt"), JSON),
        ("PATCH", format!("{MAPS}/kube-root-ca.crt"), "application/merge-patch+json"),
        ("DELETE", format!("{MAPS}/kube-root-ca.crt"), JSON),
    ] {
        let answer = send(method, &path, content_type, body.as_bytes());
        assert_status(&answer, 413, "RequestEntityTooLarge", message);
    }
    assert_alive();
}

#[test]
fn invalid_utf_8_becomes_the_replacement_character() {
    let body = b"{\"metadata\":{\"name\":\"utf\"},\"data\":{\"a\":\"x\xff\xc3(\xed\xa0\x80\"}}";
    let answer = send("POST", MAPS, JSON, body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.json()["data"]["a"], "x\u{fffd}\u{fffd}(\u{fffd}\u{fffd}\u{fffd}");
    assert_alive();
}

#[test]
fn protobuf_garbage_is_answered_as_go_words_it() {
    let prefix = "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]";
    for (body, message) in [
        (&b""[..], "empty data (<empty>)".to_owned()),
        (b"k8s", format!("{prefix} (6b3873)")),
        (b"k8s\0", "empty body (6b387300)".to_owned()),
        (b"k8s\0\x0a\x7f", "unexpected EOF (6b3873000a7f)".to_owned()),
        (b"k8s\0\x00\x00", "proto: Unknown: illegal tag 0 (wire type 0) (6b3873000000)".to_owned()),
        (b"k8s\0\x08\x01", "proto: wrong wireType = 0 for field TypeMeta (6b3873000801)".to_owned()),
        (
            b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            "proto: integer overflow (6b387300ffffffffffffffffffffffff)".to_owned(),
        ),
    ] {
        unrecognised(body, PROTOBUF, &message);
    }
    let mut inner = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x03".to_vec();
    inner.extend(b"\x0a\x7f\x0a");
    let message = "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: unexpected EOF";
    assert_status(&send("POST", MAPS, PROTOBUF, &inner), 400, "BadRequest", message);
    assert_alive();
}

#[test]
fn any_cut_and_any_flipped_byte_of_a_protobuf_body_is_survived() {
    let mut whole = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12".to_vec();
    let inner = b"\x0a\x06\x0a\x04name\x12\x08\x0a\x01a\x12\x03bcd";
    whole.push(u8::try_from(inner.len()).expect("a short body"));
    whole.extend_from_slice(inner);
    whole.extend(b"\x1a\x00\x22\x00");
    let path = format!("{MAPS}?dryRun=All");
    assert_eq!(send("POST", &path, PROTOBUF, &whole).status, 201);
    let mut wire = Wire::open(server()).expect("it serves");
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0xff;
        for body in [&whole[..at], &flipped[..]] {
            let answer = wire.request("POST", &path, PROTOBUF, body).expect("it answers each");
            assert!(matches!(answer.status, 201 | 400 | 422), "{at}: {} {}", answer.status, answer.text());
        }
    }
    assert_alive();
}

#[test]
fn an_alias_bomb_is_refused_quickly() {
    let mut bomb = String::from("metadata: {name: bomb}\na0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", [below.as_str(); 9].join(",")));
    }
    let begin = Instant::now();
    let answer = send("POST", MAPS, "application/yaml", bomb.as_bytes());
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("yaml: document contains excessive aliasing"), "{}", answer.text());
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert_alive();
}

#[test]
fn a_json_patch_of_too_many_operations_is_refused() {
    let one = r#"{"op":"test","path":"/kind","value":"ConfigMap"}"#;
    let body = format!("[{}]", vec![one; 10_001].join(","));
    assert_eq!(send("POST", MAPS, JSON, br#"{"metadata":{"name":"many"}}"#).status, 201);
    let answer = send("PATCH", &format!("{MAPS}/many"), "application/json-patch+json", body.as_bytes());
    assert_eq!(
        (answer.status, answer.json()["reason"].as_str()),
        (413, Some("RequestEntityTooLarge")),
        "{}",
        answer.text()
    );
    assert!(answer.text().contains("The allowed maximum operations in a JSON patch is 10000, got 10001"));
    assert_alive();
}

#[test]
fn slow_bodies_hold_up_nobody_and_are_served_in_the_end() {
    let body = br#"{"metadata":{"name":"slow","generateName":""}}"#;
    let length = body.len().to_string();
    let head = wire::head(
        "POST",
        &format!("{MAPS}?dryRun=All"),
        &[("content-type", JSON), ("content-length", &length)],
    );
    let mut slow: Vec<Wire> = (0..40).map(|_| Wire::open(server()).expect("it serves")).collect();
    for wire in &mut slow {
        wire.send(head.as_bytes()).and_then(|()| wire.send(&body[..10])).expect("it reads");
    }
    let begin = Instant::now();
    assert_alive();
    assert!(begin.elapsed() < Duration::from_secs(5), "others wait for slow ones");
    for byte in &body[10..] {
        for wire in &mut slow {
            wire.send(&[*byte]).expect("it reads");
        }
    }
    for wire in &mut slow {
        assert_eq!(wire.answer().expect("it answers").status, 201);
    }
}

#[test]
fn bodies_that_never_end_or_break_off_are_survived() {
    let head = wire::head("POST", MAPS, &[("content-type", JSON), ("content-length", "1000")]);
    for _ in 0..20 {
        let mut wire = Wire::open(server()).expect("it serves");
        wire.send(head.as_bytes()).and_then(|()| wire.send(b"{\"metadata\":")).expect("it reads");
    }
    let chunked = wire::head("POST", MAPS, &[("content-type", JSON), ("transfer-encoding", "chunked")]);
    let mut wire = Wire::open(server()).expect("it serves");
    wire.send(chunked.as_bytes()).and_then(|()| wire.send(b"zz\r\n{}\r\n0\r\n\r\n")).expect("it reads");
    assert!(wire.answer().map_or(400, |answer| answer.status) >= 400, "a bad chunk is no body");
    let mut wire = Wire::open(server()).expect("it serves");
    let endless = format!("{:x}\r\n{}\r\n", 1 << 16, "x".repeat(1 << 16));
    wire.send(chunked.as_bytes()).expect("it reads");
    let cut = (0..200).any(|_| wire.send(endless.as_bytes()).is_err());
    assert!(cut || wire.answer().map_or(413, |answer| answer.status) == 413, "it stops reading at its limit");
    assert_alive();
}

#[test]
fn what_is_not_http_is_survived() {
    let address = server().access().address;
    for noise in
        [&b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..], b"\x16\x03\x01\xff\xff\x01", b"\0\0\0\0\0\0\0\0", b""]
    {
        let mut tcp = TcpStream::connect(&address).expect("it accepts");
        tcp.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        let _ = tcp.write_all(noise);
        let _ = tcp.read(&mut [0; 512]);
    }
    for head in [
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(200_000)),
        format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "b".repeat(2_000_000)),
        format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(20_000)),
        "GET /api/v1/%zz%00?%zz=%f0 HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
    ] {
        let mut wire = Wire::open(server()).expect("it serves");
        let _ = wire.send(head.as_bytes());
        let status = wire.answer().map_or(400, |answer| answer.status);
        assert!((400..500).contains(&status), "{status} for {}", &head[..40.min(head.len())]);
    }
    assert_alive();
}

#[test]
fn a_flood_of_large_bodies_costs_bounded_memory() {
    let body =
        format!("{{\"metadata\":{{\"name\":\"flood\"}},\"other\":[{}1]}}", "{\"a\":1},".repeat(350_000));
    let path = format!("{MAPS}?dryRun=All&fieldValidation=Ignore");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..3 {
                    let answer = send("POST", &path, JSON, body.as_bytes());
                    assert_eq!(answer.status, 201, "{}", answer.text());
                }
            });
        }
    });
    let status = std::fs::read_to_string(format!("/proc/{}/status", server().pid())).expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(peak_kib < 600 * 1024, "{peak_kib} KiB at the peak");
    assert_alive();
}
