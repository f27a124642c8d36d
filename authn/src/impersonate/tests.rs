//! Acting as others, against a list of what is allowed.

use super::*;
use crate::AUTHENTICATED;

struct Sent(Vec<(&'static str, &'static str)>);

impl Headers for Sent {
    fn first(&self, name: &str) -> Option<&[u8]> {
        self.all(name).first().copied()
    }

    fn all(&self, name: &str) -> Vec<&[u8]> {
        self.0.iter().filter(|(n, _)| *n == name).map(|(_, v)| v.as_bytes()).collect()
    }

    fn starting_with<'a>(&'a self, prefix: &str) -> Vec<(&'a str, &'a [u8])> {
        self.0.iter().filter(|(n, _)| n.starts_with(prefix)).map(|(n, v)| (*n, v.as_bytes())).collect()
    }
}

/// Allows these questions, and keeps all that it was asked.
struct Rules {
    allowed: Vec<&'static str>,
    asked: Mutex<Vec<String>>,
}

fn words(asked: Asked<'_>) -> String {
    match asked {
        Asked::Request { prefix } => format!("{prefix}get"),
        Asked::Part { verb, group, resource, subresource, namespace, name } => {
            let group = if group.is_empty() { String::new() } else { format!(".{group}") };
            let subresource = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
            let namespace = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
            format!("{verb} {resource}{subresource}{group} {namespace}{name}")
        }
    }
}

impl Judge for Rules {
    fn may<'a>(&'a self, caller: &'a Caller, asked: Asked<'a>) -> Later<'a, Result<(), Status>> {
        let words = words(asked);
        let known = self.allowed.iter().any(|allowed| words == *allowed || *allowed == "*");
        self.asked.lock().push(words);
        let answer = if known { Ok(()) } else { Err(self.refusal(caller, asked, "")) };
        Box::pin(std::future::ready(answer))
    }

    fn refusal(&self, _: &Caller, asked: Asked<'_>, why: &str) -> Status {
        Status::forbidden("", "", "", &format!("{} {why}", words(asked)))
    }
}

fn rules(allowed: &[&'static str]) -> Rules {
    Rules { allowed: allowed.to_vec(), asked: Mutex::default() }
}

async fn act(
    caller: &Caller,
    headers: &[(&'static str, &'static str)],
    allowed: &[&'static str],
) -> Result<Option<Impersonated>, Status> {
    Impersonation::default().act(caller, &Sent(headers.to_vec()), &rules(allowed)).await
}

fn jane() -> Caller {
    Caller::new("jane", vec!["dev".to_owned()]).authenticated()
}

async fn became(headers: &[(&'static str, &'static str)], allowed: &[&'static str]) -> Impersonated {
    act(&jane(), headers, allowed).await.unwrap().unwrap()
}

#[tokio::test]
async fn without_the_headers_everybody_stays_who_they_are() {
    assert_eq!(act(&jane(), &[("x", "y")], &[]).await, Ok(None));
}

#[tokio::test]
async fn the_other_has_what_was_asked_for_and_nothing_of_the_caller() {
    let headers = [
        ("impersonate-user", "bob"),
        ("impersonate-group", "ops"),
        ("impersonate-uid", "7"),
        ("impersonate-extra-scopes", "a"),
        ("impersonate-extra-Example.com%2fKey", "v"),
    ];
    let bob = became(&headers, &["*"]).await.caller;
    assert_eq!((bob.name(), bob.uid()), ("bob", "7"));
    assert_eq!(bob.groups(), ["ops", AUTHENTICATED]);
    let extra: Vec<_> = bob.extra().iter().map(|(key, values)| (key.as_str(), values.join(","))).collect();
    assert_eq!(extra, [("scopes", "a".to_owned()), ("example.com/key", "v".to_owned())]);
    assert!(!bob.is_in_process() && !bob.is_hypothetical());
}

#[tokio::test]
async fn every_part_is_asked_for_on_its_own() {
    let headers = [
        ("impersonate-user", "bob"),
        ("impersonate-group", "ops"),
        ("impersonate-uid", "7"),
        ("impersonate-extra-scopes", "a"),
    ];
    let parts = [
        "impersonate users bob",
        "impersonate uids.authentication.k8s.io 7",
        "impersonate groups ops",
        "impersonate userextras/scopes.authentication.k8s.io a",
    ];
    assert_eq!(became(&headers, &parts).await.constraint, "");
    for left_out in 0..parts.len() {
        let mut allowed = parts.to_vec();
        allowed.remove(left_out);
        assert_eq!(act(&jane(), &headers, &allowed).await.unwrap_err().code, 403, "{left_out}");
    }
}

#[tokio::test]
async fn groups_go_with_the_kind_of_user() {
    for (name, groups) in [
        ("bob", &[AUTHENTICATED][..]),
        (ANONYMOUS, &[UNAUTHENTICATED]),
        ("system:serviceaccount:n:s", &["system:serviceaccounts", "system:serviceaccounts:n", AUTHENTICATED]),
    ] {
        let legacy = match service_account(name) {
            Some(_) => "impersonate serviceaccounts n/s",
            None if name == "bob" => "impersonate users bob",
            None => "impersonate users system:anonymous",
        };
        assert_eq!(became(&[("impersonate-user", name)], &[legacy]).await.caller.groups(), groups);
    }
    let nobody = [("impersonate-user", "bob"), ("impersonate-group", UNAUTHENTICATED)];
    assert_eq!(became(&nobody, &["*"]).await.caller.groups(), [UNAUTHENTICATED]);
}

#[tokio::test]
async fn parts_of_a_user_without_a_name_are_a_bad_request() {
    let status = act(&jane(), &[("impersonate-group", "devs")], &["*"]).await.unwrap_err();
    assert_eq!(
        (status.code, status.message.as_str()),
        (
            400,
            r#"requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"devs"}, Extra:map[string][]string(nil)} without impersonating a user name"#
        )
    );
    let headers = [("impersonate-extra-scopes", "ok"), ("impersonate-extra-a", "b")];
    let status = act(&jane(), &headers, &["*"]).await.unwrap_err();
    assert!(
        status.message.contains(r#"Extra:map[string][]string{"a":[]string{"b"}, "scopes":[]string{"ok"}}}"#),
        "{}",
        status.message
    );
}

#[tokio::test]
async fn a_constrained_mode_needs_the_request_and_the_user() {
    let on = "impersonate-on:user-info:get";
    let user = "impersonate:user-info users.authentication.k8s.io bob";
    assert_eq!(became(&[("impersonate-user", "bob")], &[on, user]).await.constraint, "impersonate:user-info");
    for one in [on, user] {
        assert!(act(&jane(), &[("impersonate-user", "bob")], &[one]).await.is_err(), "{one}");
    }
    let masters = [("impersonate-user", "bob"), ("impersonate-group", "system:masters")];
    let groups = "impersonate:user-info groups.authentication.k8s.io system:masters";
    let status = act(&jane(), &masters, &[on, user, groups]).await.unwrap_err();
    assert!(status.message.contains("impersonating the system:masters group is not allowed"));
}

#[tokio::test]
async fn a_service_account_acts_as_the_node_it_runs_on_and_no_other() {
    let agent = |node: &str| {
        Caller::new("system:serviceaccount:n:agent", Vec::new()).with_extra(NODE_NAME, vec![node.to_owned()])
    };
    let allowed =
        ["impersonate-on:associated-node:get", "impersonate:associated-node nodes.authentication.k8s.io *"];
    let headers = [("impersonate-user", "system:node:n1")];
    let node = act(&agent("n1"), &headers, &allowed).await.unwrap().unwrap();
    assert_eq!(node.constraint, "impersonate:associated-node");
    assert_eq!(node.caller.groups(), ["system:nodes", AUTHENTICATED]);
    assert!(act(&agent("n2"), &headers, &allowed).await.is_err());
    assert!(act(&jane(), &headers, &allowed).await.is_err());
}

#[tokio::test]
async fn the_refusal_is_that_of_the_mode_that_last_let_the_caller() {
    let impersonation = Impersonation::default();
    let bob = Sent(vec![("impersonate-user", "bob")]);
    let eve = Sent(vec![("impersonate-user", "eve")]);
    let rules = rules(&["impersonate users bob"]);
    let why = |status: Status| status.message;
    let first = impersonation.act(&jane(), &eve, &rules).await.map_err(why).unwrap_err();
    assert!(first.contains("impersonate-on:user-info:get"), "{first}");
    assert!(impersonation.act(&jane(), &bob, &rules).await.unwrap().is_some());
    let then = impersonation.act(&jane(), &eve, &rules).await.map_err(why).unwrap_err();
    assert!(then.contains("impersonate users eve"), "{then}");
    let asked = rules.asked.lock();
    assert_eq!(asked.iter().filter(|asked| asked.as_str() == "impersonate users bob").count(), 1);
}

#[test]
fn the_headers_go_no_further() {
    for name in ["impersonate-user", "impersonate-group", "impersonate-uid", "impersonate-extra-x"] {
        assert!(is_impersonation(name), "{name}");
    }
    assert!(!is_impersonation("impersonate-other") && !is_impersonation("accept"));
}
