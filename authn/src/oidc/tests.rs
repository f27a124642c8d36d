//! Issuers that answer, rotate keys, hang and lie; tokens good and bad.

use super::*;
use crate::configuration::{Anonymous, Configuration};
use crate::{PublicKey, Settings};
use api::{Question, Remote, RemoteError, Reply, Value, json, tree};
use base64::Engine;
use certs::{Pki, ServerNames, TokenSigner};
use parking_lot::Mutex;
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::Duration;

const URL: &str = "https://issuer.example.org";
const NOW: i64 = 1_800_000_000;

/// Documents by URL; what is not there is a 404. Counts what was asked.
#[derive(Default)]
struct Web {
    documents: Mutex<HashMap<String, Value>>,
    asked: Mutex<Vec<String>>,
    cache_control: Mutex<String>,
}

impl Network for Web {
    fn ask<'a>(
        &'a self,
        remote: &'a Remote,
        _: Question,
        _: Duration,
    ) -> Later<'a, Result<Reply, RemoteError>> {
        self.asked.lock().push(remote.url.clone());
        let headers = vec![("cache-control".to_owned(), self.cache_control.lock().clone())];
        let reply = match self.documents.lock().get(&remote.url) {
            Some(Value::Str(text)) => Reply { status: 200, body: text.as_bytes().to_vec(), headers },
            Some(document) => Reply { status: 200, body: json::to_vec(document), headers },
            None => Reply { status: 404, ..Reply::default() },
        };
        Box::pin(async move {
            tokio::task::yield_now().await;
            Ok(reply)
        })
    }
}

impl Web {
    fn show(&self, url: &str, document: Value) {
        self.documents.lock().insert(format!("{URL}{url}"), document);
    }

    fn show_keys(&self, signers: &[&TokenSigner]) {
        let keys: Vec<Value> =
            signers.iter().map(|s| PublicKey::from_der(s.public_key_der()).unwrap().to_jwk()).collect();
        self.show("/keys", tree!({"keys": keys}));
    }

    fn asked_for(&self, url: &str) -> usize {
        self.asked.lock().iter().filter(|asked| asked.ends_with(url)).count()
    }
}

fn signer() -> TokenSigner {
    let names = ServerNames::new(Vec::new(), Vec::new());
    let pki = Pki::ephemeral(&names, Time::from_secs(NOW)).unwrap();
    TokenSigner::from_pem(&pki.service_account.private_pem).unwrap()
}

struct Scene {
    web: Arc<Web>,
    clock: Clock,
    signer: TokenSigner,
    kind: Box<dyn TokenKind>,
    issuers: Issuers,
}

fn configuration(rest: &str) -> Configuration {
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n- issuer: {{url: '{URL}', \
         audiences: [me, you], audienceMatchPolicy: MatchAny}}\n{rest}"
    );
    Configuration::parse(text.as_bytes(), &[]).unwrap()
}

const MAPPINGS: &str =
    "  claimMappings: {username: {claim: sub, prefix: 'x:'}, groups: {claim: groups, prefix: 'g:'}}\n";

fn scene(rest: &str) -> Scene {
    let (web, clock) = (Arc::new(Web::default()), Clock::manual(Time::from_secs(NOW)));
    let signer = signer();
    web.show("/.well-known/openid-configuration", provider::document(URL));
    web.show_keys(&[&signer]);
    let mut settings = Settings::new(clock.clone());
    settings.network = web.clone();
    settings.configuration = configuration(rest);
    let kind = make(&settings).unwrap().unwrap();
    Scene { web, clock, signer, kind, issuers: settings.issuers }
}

fn claims() -> Value {
    tree!({"iss": URL, "aud": "me", "sub": "jane", "exp": (NOW + 600), "groups": ["a", "b"], "jti": "7"})
}

impl Scene {
    async fn judge(&self, claims: &Value) -> TokenVerdict {
        let token = self.signer.sign(&json::to_vec(claims)).unwrap();
        self.kind.judge(&token, &[]).await
    }

    async fn caller(&self, claims: &Value) -> Caller {
        match self.judge(claims).await {
            TokenVerdict::Known { caller, .. } => caller,
            other => panic!("{other:?}"),
        }
    }

    async fn refused(&self, path: &str, value: Value) -> String {
        let mut claims = claims();
        claims.set(&[path], value);
        match self.judge(&claims).await {
            TokenVerdict::Refused(why) => why.join(", "),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn claims_make_a_user() {
    let scene = scene(MAPPINGS);
    let caller = scene.caller(&claims()).await;
    assert_eq!((caller.name(), caller.uid()), ("x:jane", ""));
    assert_eq!(caller.groups(), ["g:a", "g:b", "system:authenticated"]);
    let id = ("authentication.kubernetes.io/credential-id".to_owned(), vec!["JTI=7".to_owned()]);
    assert_eq!(caller.extra(), [id]);
    let mut one = claims();
    one.set(&["groups"], "c");
    assert_eq!(scene.caller(&one).await.groups(), ["g:c", "system:authenticated"]);
    one.unset(&["groups"]);
    assert_eq!(scene.caller(&one).await.groups(), ["system:authenticated"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_told_in_upstreams_words() {
    let scene = scene(MAPPINGS);
    let start = "oidc: verify token: oidc: ";
    let refused = async |path: &str, value: Value| scene.refused(path, value).await;
    assert_eq!(
        refused("aud", "z".into()).await,
        format!("{start}expected audience in [\"me\" \"you\"] got [\"z\"]")
    );
    assert_eq!(
        refused("exp", (NOW - 1).into()).await,
        format!("{start}token is expired (Token Expiry: 2027-01-15 07:59:59 +0000 UTC)")
    );
    assert_eq!(
        refused("exp", Value::Null).await,
        format!("{start}token is expired (Token Expiry: 0001-01-01 00:00:00 +0000 UTC)")
    );
    assert!(
        refused("nbf", (NOW + 61).into())
            .await
            .contains("before the nbf (not before) time: 2027-01-15 08:01:01")
    );
    let sub =
        "oidc: parse username claims \"sub\": json: cannot unmarshal number into Go value of type string";
    assert_eq!(refused("sub", 7.into()).await, sub);
    assert!(
        refused("groups", 7.into()).await.starts_with("oidc: parse groups claim \"groups\": json: cannot")
    );
    let mut other = claims();
    other.set(&["iss"], "https://other.example.org");
    assert_eq!(scene.judge(&other).await, TokenVerdict::NotMine);
    assert_eq!(scene.kind.judge("abc", &[]).await, TokenVerdict::NotMine);
}

#[tokio::test]
async fn keys_that_rotate_are_found() {
    let mut scene = scene(MAPPINGS);
    let asks = async |scene: &Scene| matches!(scene.judge(&claims()).await, TokenVerdict::Known { .. });
    for _ in 0..3 {
        assert!(asks(&scene).await);
    }
    assert_eq!((scene.web.asked_for("configuration"), scene.web.asked_for("/keys")), (1, 1));
    let old = std::mem::replace(&mut scene.signer, signer());
    let why = scene.refused("a", Value::Null).await;
    assert_eq!(why, "oidc: verify token: failed to verify signature: failed to verify id token signature");
    scene.web.show_keys(&[&old, &scene.signer]);
    assert!(asks(&scene).await);
    assert_eq!(scene.web.asked_for("/keys"), 3);
    // Keys that may be kept are not fetched for each token that nobody signed, but a new name is looked for.
    *scene.web.cache_control.lock() = "public, max-age=3600".to_owned();
    scene.signer = signer();
    for _ in 0..3 {
        assert!(!asks(&scene).await);
    }
    assert_eq!(scene.web.asked_for("/keys"), 4);
    scene.web.show_keys(&[&scene.signer]);
    scene.clock.advance(Duration::from_secs(11));
    assert!(asks(&scene).await);
    assert_eq!(scene.web.asked_for("/keys"), 5);
}

#[tokio::test]
async fn who_comes_at_once_waits_for_one_answer() {
    let scene = scene(MAPPINGS);
    let claims = claims();
    let all = tokio::join!(scene.judge(&claims), scene.judge(&claims), scene.judge(&claims));
    for verdict in [all.0, all.1, all.2] {
        assert!(matches!(verdict, TokenVerdict::Known { .. }), "{verdict:?}");
    }
    assert_eq!((scene.web.asked_for("configuration"), scene.web.asked_for("/keys")), (1, 1));
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_asked_again_later() {
    let scene = scene(MAPPINGS);
    scene.web.documents.lock().clear();
    for _ in 0..3 {
        assert_eq!(scene.refused("a", Value::Null).await, "oidc: authenticator not initialized");
    }
    assert_eq!(scene.web.asked_for("configuration"), 1);
    scene.web.show("/.well-known/openid-configuration", provider::document("https://liar"));
    scene.clock.advance(Duration::from_secs(10));
    assert_eq!(scene.refused("a", Value::Null).await, "oidc: authenticator not initialized");
    scene.web.show("/.well-known/openid-configuration", provider::document(URL));
    scene.clock.advance(Duration::from_secs(10));
    let why = scene.refused("a", Value::Null).await;
    let fetching =
        "oidc: verify token: failed to verify signature: fetching keys oidc: get keys failed: 404 ";
    assert_eq!(why, fetching);
}

#[tokio::test]
async fn expressions_map_and_rules_judge() {
    let scene = scene(
        "  claimMappings:\n    username: {expression: \"claims.sub + '@' + claims.realm\"}\n    \
         groups: {expression: 'claims.roles.map(r, \"r:\" + r)'}\n    uid: {expression: claims.id}\n    \
         extra: [{key: example.org/team, valueExpression: claims.team}]\n  \
         claimValidationRules: [{claim: kind, requiredValue: user}, {expression: 'claims.level > 2', message: too low}]\n  \
         userValidationRules: [{expression: \"!user.username.startsWith('system:')\", message: reserved}]\n",
    );
    let mut claims = tree!({
        "iss": URL, "aud": ["me"], "exp": (NOW + 5), "sub": "jane", "realm": "x", "roles": ["a", ""], "id": "1",
        "team": "blue", "kind": "user", "level": 3
    });
    let caller = scene.caller(&claims).await;
    assert_eq!((caller.name(), caller.uid()), ("jane@x", "1"));
    assert_eq!(caller.groups(), ["r:a", "r:", "system:authenticated"]);
    assert_eq!(caller.extra(), [("example.org/team".to_owned(), vec!["blue".to_owned()])]);
    let mut wrong = async |path: &str, value: Value, why: &str| {
        let before = claims.get(path).cloned().unwrap_or_default();
        claims.set(&[path], value);
        assert_eq!(scene.judge(&claims).await, TokenVerdict::refused(why));
        claims.set(&[path], before);
    };
    wrong(
        "level",
        1.into(),
        "oidc: error evaluating claim validation expression: validation expression 'claims.level > 2' failed: too low",
    )
    .await;
    wrong("kind", "x".into(), "oidc: required claim kind value does not match. Got = x, want = user").await;
    wrong(
        "sub",
        "system:x".into(),
        "oidc: error evaluating user info validation rule: validation expression \
         '!user.username.startsWith('system:')' failed: reserved",
    )
    .await;
    wrong(
        "id",
        7.into(),
        "oidc: error evaluating uid claim expression: uid claim expression must return a string",
    )
    .await;
}

#[tokio::test]
async fn an_email_must_be_verified_where_the_issuer_says_whether_it_is() {
    let scene = scene("  claimMappings: {username: {claim: email, prefix: ''}}\n");
    let mut claims = claims();
    claims.set(&["email"], "j@example.org");
    assert_eq!(scene.caller(&claims).await.name(), "j@example.org");
    claims.set(&["email_verified"], false);
    assert_eq!(scene.judge(&claims).await, TokenVerdict::refused("oidc: email not verified"));
    claims.set(&["email_verified"], true);
    assert_eq!(scene.caller(&claims).await.name(), "j@example.org");
}

#[tokio::test]
async fn a_configuration_takes_effect_once_its_issuers_answer() {
    let scene = scene(MAPPINGS);
    let other = configuration("  claimMappings: {username: {claim: sub, prefix: 'y:'}}\n");
    scene.issuers.replace(&other).await.unwrap();
    assert_eq!(scene.caller(&claims()).await.name(), "y:jane");
    scene.web.documents.lock().clear();
    let why = scene.issuers.replace(&configuration(MAPPINGS)).await.unwrap_err();
    assert!(
        why.starts_with(&format!("oidc: authenticator for issuer \"{URL}\" is not healthy: 404")),
        "{why}"
    );
    assert_eq!(scene.issuers.current()[0].config, other.jwt[0]);
    let anonymous = Some(Anonymous { enabled: true, ..Anonymous::default() });
    let why = scene.issuers.replace(&Configuration { anonymous, ..other }).await.unwrap_err();
    assert_eq!(why, "anonymous: Forbidden: changed from initial configuration file");
}

#[tokio::test]
async fn groups_may_be_elsewhere() {
    let scene = scene(MAPPINGS);
    let mut claims = claims();
    claims.unset(&["groups"]);
    claims.set(&["_claim_names"], tree!({"groups": "there"}));
    assert!(
        matches!(scene.judge(&claims).await, TokenVerdict::Refused(why) if why[0].ends_with("oidc: no claim sources"))
    );
    claims.set(
        &["_claim_sources"],
        tree!({"there": {"endpoint": format!("{URL}/groups"), "access_token": "x"}}),
    );
    let why = scene.judge(&claims).await;
    let text = "oidc: could not expand distributed claims: while getting distributed claim \"groups\": error while \
                getting distributed claim JWT: 404";
    assert_eq!(why, TokenVerdict::refused(text));
    let show = |claims: &Value| {
        let token = scene.signer.sign(&json::to_vec(claims)).unwrap();
        scene.web.show("/groups", Value::from(token));
    };
    show(&tree!({"iss": URL, "aud": "you", "exp": (NOW + 9), "groups": ["far"]}));
    assert_eq!(scene.caller(&claims).await.groups(), ["g:far", "system:authenticated"]);
    show(&tree!({"iss": URL, "aud": "you", "exp": (NOW - 9), "groups": ["far"]}));
    let TokenVerdict::Refused(why) = scene.judge(&claims).await else { panic!("believed") };
    assert!(why[0].contains("verify distributed claim token: oidc: token is expired"), "{why:?}");
    show(&tree!({"iss": "https://nobody", "aud": "you", "exp": (NOW + 9), "groups": ["far"]}));
    let TokenVerdict::Refused(why) = scene.judge(&claims).await else { panic!("believed") };
    assert!(why[0].contains("verifier not initialized for issuer: \"https://nobody\""), "{why:?}");
}

proptest! {
    #[test]
    fn no_token_is_too_odd_to_be_judged(text in "\\PC{0,60}", header in "[{}\":,a-z0-9]{0,30}", nested in "[\\[{\":,1a\\]}]{0,30}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let scene = scene(MAPPINGS);
        let encode = |text: &str| crate::jwt::BASE64.encode(text);
        let odd = format!(r#"{{"iss":"{URL}","aud":{nested},"exp":{nested},"sub":{nested}}}"#);
        for token in [
            text.clone(),
            format!("{}.{}.{}", encode(&header), encode(&odd), encode(&text)),
            format!("{}.{}.{}", encode(r#"{"alg":"ES256"}"#), encode(&odd), text),
        ] {
            let verdict = runtime.block_on(scene.kind.judge(&token, &[]));
            prop_assert!(!matches!(verdict, TokenVerdict::Known { .. }), "{token}");
        }
        let mut signed = claims();
        signed.set(&["aud"], json::parse(nested.as_bytes()).unwrap_or_default());
        runtime.block_on(scene.judge(&signed));
    }
}
