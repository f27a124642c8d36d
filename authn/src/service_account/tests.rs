//! Tokens of service accounts, bound and from secrets, in a cluster of a few objects.

use super::*;
use crate::{Authenticator, Credentials, Headers, LegacyUse, Peer, Refusal};
use api::{Follow, json, tree};
use certs::TokenSigner;
use parking_lot::Mutex;
use std::time::Duration;

const NOW: i64 = 1_800_000_000;

/// A cluster: objects by resource, namespace and name.
#[derive(Default)]
struct Cluster(Mutex<Vec<(String, Value)>>);

fn place(resource: &str, namespace: &str, name: &str) -> String {
    format!("{resource}/{namespace}/{name}")
}

impl Cluster {
    fn put(&self, resource: &str, object: Value) {
        let (namespace, name) =
            (object.str_at(&["metadata", "namespace"]), object.str_at(&["metadata", "name"]));
        let place = place(resource, namespace, name);
        self.0.lock().retain(|(key, _)| *key != place);
        self.0.lock().push((place, object));
    }
}

impl Reader for Cluster {
    fn get<'a>(
        &'a self,
        _: &'a str,
        resource: &'a str,
        ns: &'a str,
        name: &'a str,
    ) -> Later<'a, Option<Value>> {
        let place = place(resource, ns, name);
        let found = self.0.lock().iter().find(|(key, _)| *key == place).map(|(_, object)| object.clone());
        Box::pin(std::future::ready(found))
    }

    fn get_latest<'a>(
        &'a self,
        g: &'a str,
        r: &'a str,
        ns: &'a str,
        name: &'a str,
    ) -> Later<'a, Option<Value>> {
        self.get(g, r, ns, name)
    }

    fn list<'a>(&'a self, _: &'a str, _: &'a str, _: &'a str) -> Later<'a, Vec<Value>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn follow<'a>(&'a self, _: &'static str, _: &'static str, _: Follow) -> Later<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

struct World {
    cluster: Arc<Cluster>,
    signer: TokenSigner,
    authenticator: Authenticator,
    clock: Clock,
    used: Arc<Mutex<Vec<LegacyUse>>>,
}

struct Bearer(String);

impl Headers for Bearer {
    fn first(&self, name: &str) -> Option<&[u8]> {
        (name == "authorization").then_some(self.0.as_bytes())
    }

    fn all(&self, name: &str) -> Vec<&[u8]> {
        self.first(name).into_iter().collect()
    }
}

fn world() -> World {
    let clock = Clock::manual(Time::from_secs(NOW));
    let names = certs::ServerNames::new(Vec::new(), Vec::new());
    let pki = certs::Pki::ephemeral(&names, clock.now()).unwrap();
    let signer = TokenSigner::from_pem(&pki.service_account.private_pem).unwrap();
    let (cluster, used) = (Arc::new(Cluster::default()), Arc::new(Mutex::new(Vec::new())));
    let mut settings = Settings { reader: cluster.clone(), ..Settings::new(clock.clone()) };
    settings.api_audiences = vec!["api".to_owned()];
    let told = used.clone();
    settings.service_accounts = ServiceAccounts {
        issuers: vec!["https://us".to_owned(), "https://before".to_owned()],
        keys: vec![PublicKey::from_der(signer.public_key_der()).unwrap()],
        lookup: true,
        used: Some(Arc::new(move |used| told.lock().push(used))),
    };
    cluster.put("serviceaccounts", named("n", "s", "u"));
    World { cluster, signer, authenticator: Authenticator::new(&settings).unwrap(), clock, used }
}

fn named(namespace: &str, name: &str, uid: &str) -> Value {
    tree!({"metadata": {"namespace": namespace, "name": name, "uid": uid}})
}

/// The claims of a token for `n/s`, which lives for ten minutes.
fn claims(bound: &str, object: Option<Value>) -> Value {
    let mut claims = tree!({
        "iss": "https://us", "aud": ["api", "other"], "jti": "j", "sub": "system:serviceaccount:n:s",
        "exp": NOW + 600, "iat": NOW, "nbf": NOW,
        "kubernetes.io": {"namespace": "n", "serviceaccount": {"name": "s", "uid": "u"}}
    });
    if let Some(object) = object {
        claims.set(&["kubernetes.io", bound], object.get("metadata").cloned().unwrap());
    }
    claims
}

impl World {
    fn sign(&self, claims: &Value) -> String {
        self.signer.sign(&json::to_vec(claims)).unwrap()
    }

    async fn ask(&self, token: &str) -> Result<Caller, Refusal> {
        let header = Bearer(format!("Bearer {token}"));
        self.authenticator.authenticate(&Peer::default(), &header, "/").await
    }

    async fn why(&self, claims: &Value) -> String {
        self.ask(&self.sign(claims)).await.unwrap_err().to_string()
    }
}

fn refusal(why: &str) -> String {
    format!("[invalid bearer token, {why}]")
}

#[tokio::test]
async fn a_service_account_is_a_user_with_groups_and_details() {
    let world = world();
    world.cluster.put("pods", named("n", "p", "q"));
    let mut claims = claims("pod", Some(named("n", "p", "q")));
    claims.set(&["kubernetes.io", "node"], tree!({"name": "gone", "uid": "x"}));
    let caller = world.ask(&world.sign(&claims)).await.unwrap();
    assert_eq!((caller.name(), caller.uid()), ("system:serviceaccount:n:s", "u"));
    assert_eq!(
        caller.groups(),
        ["system:serviceaccounts", "system:serviceaccounts:n", "system:authenticated"]
    );
    let details: Vec<String> = caller.extra().iter().map(|(k, v)| format!("{k}={}", v.join(","))).collect();
    let expected = ["credential-id=JTI=j", "node-name=gone", "node-uid=x", "pod-name=p", "pod-uid=q"];
    assert_eq!(details, expected.map(|text| format!("authentication.kubernetes.io/{text}")));
    assert_eq!(caller.recognized_by(), "service-account");
}

#[tokio::test]
async fn tokens_are_for_their_audiences_and_from_our_issuers() {
    let world = world();
    let mut claims = claims("", None);
    claims.set(&["iss"], "https://before");
    assert!(world.ask(&world.sign(&claims)).await.is_ok());
    claims.set(&["aud"], "elsewhere");
    let why = r#"token audiences ["elsewhere"] is invalid for the target audiences ["api"]"#;
    assert_eq!(world.why(&claims).await, refusal(why));
    let header = Bearer(format!("Bearer {}", world.sign(&claims)));
    let wanted = ["x".to_owned(), "elsewhere".to_owned()];
    let credentials = Credentials { peer: &Peer::default(), headers: &header, path: "", audiences: &wanted };
    let found = world.authenticator.recognize(&credentials).await.unwrap();
    assert_eq!(found.audiences, ["elsewhere"]);
    claims.set(&["iss"], "https://stranger");
    assert_eq!(world.why(&claims).await, "invalid bearer token");
}

#[tokio::test]
async fn a_token_ends_with_its_time() {
    let world = world();
    let token = world.sign(&claims("", None));
    assert!(world.ask(&token).await.is_ok());
    world.clock.advance(Duration::from_secs(660));
    assert!(world.ask(&token).await.is_ok(), "clocks may be a minute apart");
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(
        world.ask(&token).await.unwrap_err().to_string(),
        refusal("service account token has expired")
    );
}

#[tokio::test]
async fn a_token_ends_with_its_account() {
    let world = world();
    let mut claims = claims("", None);
    claims.set(&["kubernetes.io", "serviceaccount"], tree!({"name": "none", "uid": "u"}));
    assert_eq!(world.why(&claims).await, refusal(r#"serviceaccounts "none" not found"#));
    claims.set(&["kubernetes.io", "serviceaccount"], tree!({"name": "s", "uid": "v"}));
    assert_eq!(world.why(&claims).await, refusal("service account UID (u) does not match claim (v)"));
}

#[tokio::test]
async fn a_token_ends_a_minute_after_what_it_is_bound_to() {
    for (field, resource, namespace) in
        [("pod", "pods", "n"), ("secret", "secrets", "n"), ("node", "nodes", "")]
    {
        let world = world();
        let object = named(namespace, "b", "1");
        let token = world.sign(&claims(field, Some(object.clone())));
        let why = |found: Result<Caller, Refusal>| found.unwrap_err().to_string();
        assert_eq!(why(world.ask(&token).await), refusal(INVALIDATED));
        world.cluster.put(resource, named(namespace, "b", "2"));
        let text = format!("{field} UID (2) does not match service account {field} ref claim (1)");
        assert_eq!(why(world.ask(&token).await), refusal(&text));
        let mut leaving = object;
        leaving.set(&["metadata", "deletionTimestamp"], world.clock.now().rfc3339());
        world.cluster.put(resource, leaving);
        assert!(world.ask(&token).await.is_ok());
        world.clock.advance(Duration::from_secs(61));
        assert_eq!(why(world.ask(&token).await), refusal(INVALIDATED));
    }
}

#[tokio::test]
async fn a_token_that_is_changed_or_signed_by_another_is_refused() {
    let (world, other) = (world(), self::world());
    let claims = claims("", None);
    let by_other = other.sign(&claims);
    assert_eq!(
        world.ask(&by_other).await.unwrap_err().to_string(),
        refusal("invalid signature, no keys found")
    );
    let token = world.sign(&claims);
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts[2] = by_other.split('.').next_back().unwrap().to_owned();
    let why = "go-jose/go-jose: error in cryptographic primitive";
    assert_eq!(world.ask(&parts.join(".")).await.unwrap_err().to_string(), refusal(why));
    for at in 0..token.len() - 1 {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(world.ask(&changed).await.is_err(), "{at}");
        assert!(world.ask(&token[..=at]).await.is_err(), "{at}");
    }
}

fn legacy() -> Value {
    tree!({
        "iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:n:s",
        "kubernetes.io/serviceaccount/namespace": "n",
        "kubernetes.io/serviceaccount/secret.name": "t",
        "kubernetes.io/serviceaccount/service-account.name": "s",
        "kubernetes.io/serviceaccount/service-account.uid": "u"
    })
}

fn secret(token: &str) -> Value {
    use base64::Engine;
    let mut secret = named("n", "t", "1");
    secret.set(&["data", "token"], base64::engine::general_purpose::STANDARD.encode(token));
    secret
}

#[tokio::test]
async fn a_token_from_a_secret_lives_as_long_as_the_secret_and_its_use_is_noted() {
    let world = world();
    let token = world.sign(&legacy());
    let why = world.ask(&token).await.unwrap_err().to_string();
    assert_eq!(why, refusal("Token has been invalidated"));
    world.cluster.put("secrets", secret("another"));
    let why = world.ask(&token).await.unwrap_err().to_string();
    assert_eq!(why, refusal("Token does not match server's copy"));
    world.cluster.put("secrets", secret(&token));
    let caller = world.ask(&token).await.unwrap();
    assert_eq!((caller.name(), caller.extra().len()), ("system:serviceaccount:n:s", 0));
    let text = |text: &str| text.to_owned();
    let used = LegacyUse { namespace: text("n"), name: text("t"), uid: text("1"), day: text("2027-01-15") };
    assert_eq!(*world.used.lock(), [used]);
    assert!(caller.warnings().is_empty());
    let keys: Vec<&str> = caller.annotations().iter().map(|(key, _)| *key).collect();
    let wanted = ["legacy-token-manual-secret", "legacy-token"].map(|k| format!("authentication.k8s.io/{k}"));
    assert_eq!(keys, wanted);
}

#[tokio::test]
async fn a_token_that_was_made_unasked_is_warned_of() {
    let world = world();
    let token = world.sign(&legacy());
    world.cluster.put("secrets", secret(&token));
    let mut account = named("n", "s", "u");
    account.set(&["secrets"], vec![tree!({"name": "t"})]);
    world.cluster.put("serviceaccounts", account);
    let caller = world.ask(&token).await.unwrap();
    assert!(caller.warnings()[0].starts_with("Use tokens from the TokenRequest API"), "{caller:?}");
}

#[tokio::test]
async fn a_token_that_lives_on_is_told_to_the_audit_log() {
    let world = world();
    let mut claims = claims("", None);
    claims.set(&["kubernetes.io", "warnafter"], NOW - 5);
    let caller = world.ask(&world.sign(&claims)).await.unwrap();
    let late = "subject: system:serviceaccount:n:s, seconds after warning threshold: 5";
    assert_eq!(caller.annotations(), [(STALE, late.to_owned())]);
}

#[tokio::test]
async fn a_token_behind_two_blanks_is_not_looked_at_but_warned_of() {
    let world = world();
    let header = Bearer("Bearer  abc".to_owned());
    let caller = world.authenticator.authenticate(&Peer::default(), &header, "/").await.unwrap();
    assert!(caller.is_anonymous());
    assert!(caller.warnings()[0].contains("extra space"), "{caller:?}");
}

#[tokio::test]
async fn a_token_from_a_secret_that_is_marked_is_refused_and_one_noted_today_is_not_noted_again() {
    let world = world();
    let token = world.sign(&legacy());
    let mut marked = secret(&token);
    marked.set(
        &["metadata", "labels"],
        tree!({
            "kubernetes.io/legacy-token-last-used": "2027-01-15",
            "kubernetes.io/legacy-token-invalid-since": "2027-01-01"
        }),
    );
    world.cluster.put("secrets", marked);
    let why = world.ask(&token).await.unwrap_err().to_string();
    assert!(
        why.contains("the token in secret n/t for service account n/s has been marked invalid."),
        "{why}"
    );
    assert!(world.used.lock().is_empty());
}

#[tokio::test]
async fn a_token_from_a_secret_must_say_all_it_has_to() {
    let world = world();
    for (field, called) in [
        ("sub", "sub"),
        ("kubernetes.io/serviceaccount/namespace", "namespace"),
        ("kubernetes.io/serviceaccount/secret.name", "secretName"),
        ("kubernetes.io/serviceaccount/service-account.name", "serviceAccountName"),
        ("kubernetes.io/serviceaccount/service-account.uid", "serviceAccountUID"),
    ] {
        let mut claims = legacy();
        claims.unset(&[field]);
        assert_eq!(world.why(&claims).await, refusal(&format!("{called} claim is missing")));
    }
    let mut claims = legacy();
    claims.set(&["sub"], "system:serviceaccount:n:other");
    assert_eq!(world.why(&claims).await, refusal("sub claim is invalid"));
}
