//! Tokens of an issuer elsewhere, and a server elsewhere that decides: both in the test, both known to the real binary
//! by configuration files, which change while it runs.

#![allow(clippy::unwrap_used)] // what fails here fails the test

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use conformance::https_server::Asked;
use conformance::{HttpsServer, Kubectl, Outcome, Server, wait};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

/// A key of the issuer.
struct Key {
    id: String,
    pair: EcdsaKeyPair,
}

impl Key {
    fn new(id: &str) -> Arc<Self> {
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref(), &random).unwrap();
        Arc::new(Self { id: id.to_owned(), pair })
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        json!({"kty": "EC", "crv": "P-256", "kid": self.id, "use": "sig", "alg": "ES256", "x": x, "y": y})
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "kid": self.id}).to_string();
        let text =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The server elsewhere: an issuer, an authorization webhook, and a webhook that never answers.
struct Elsewhere {
    https: HttpsServer,
    keys: Arc<Mutex<Vec<Arc<Key>>>>,
}

impl Elsewhere {
    fn start(first: &Arc<Key>) -> Self {
        let keys = Arc::new(Mutex::new(vec![first.clone()]));
        let shown = keys.clone();
        let url = Arc::new(Mutex::new(String::new()));
        let known = url.clone();
        let https = HttpsServer::start(&[], move |asked: &Asked| {
            let url = known.lock().unwrap().clone();
            match asked.path.as_str() {
                "/.well-known/openid-configuration" => {
                    (200, json!({"issuer": url, "jwks_uri": format!("{url}/keys")}))
                }
                "/keys" => {
                    let keys: Vec<Value> = shown.lock().unwrap().iter().map(|key| key.jwk()).collect();
                    (200, json!({"keys": keys}))
                }
                "/decide" => (200, decide(&asked.body)),
                "/judge" => (200, judge(&asked.body)),
                "/hang" => {
                    std::thread::sleep(Duration::from_secs(20));
                    (200, json!({}))
                }
                _ => (404, json!({})),
            }
        })
        .unwrap();
        *url.lock().unwrap() = https.url();
        Self { https, keys }
    }

    fn asked(&self, path: &str) -> Vec<Value> {
        self.https.asked().into_iter().filter(|asked| asked.path == path).map(|asked| asked.body).collect()
    }

    fn token(&self, key: &Key, name: &str, lifetime_secs: i64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        key.sign(&json!({
            "iss": self.https.url(), "aud": ["pintle"], "exp": now + lifetime_secs, "sub": name, "jti": "one",
            "teams": ["dev", "ops"], "level": 3
        }))
    }

    /// A kubeconfig by which the server asks `path`.
    fn kubeconfig(&self, folder: &Path, path: &str) -> PathBuf {
        let (ca, url) = (STANDARD.encode(self.https.pem()), self.https.url());
        let text = json!({
            "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "c"}}],
            "clusters": [{"name": "c", "cluster": {"server": format!("{url}{path}"), "certificate-authority-data": ca}}]
        });
        let file = folder.join(format!("hook{}", path.replace('/', "-")));
        fs::write(&file, text.to_string()).unwrap();
        file
    }
}

/// One token is joe's; of all others nothing is known.
fn judge(review: &Value) -> Value {
    let known = review["spec"]["token"] == "joes";
    let user = if known { json!({"username": "oidc:joe", "uid": "7", "groups": ["a"]}) } else { json!({}) };
    json!({
        "apiVersion": review["apiVersion"], "kind": "TokenReview",
        "status": {"authenticated": known, "user": user}
    })
}

/// jane may read config maps, and nobody may read secrets.
fn decide(review: &Value) -> Value {
    let (spec, asked) = (&review["spec"], &review["spec"]["resourceAttributes"]);
    let allowed = spec["user"] == "oidc:jane" && asked["resource"] == "configmaps" && asked["verb"] == "list";
    let denied = asked["resource"] == "secrets";
    json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "status": {"allowed": allowed, "denied": denied, "reason": if denied { "secrets are secret" } else { "" }}
    })
}

fn authentication(elsewhere: &Elsewhere, prefix: &str) -> String {
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
        "jwt": [{
            "issuer": {
                "url": elsewhere.https.url(), "audiences": ["pintle"], "certificateAuthority": elsewhere.https.pem()
            },
            "claimMappings": {
                "username": {"expression": format!("'{prefix}' + claims.sub")},
                "groups": {"claim": "teams", "prefix": "team:"},
                "extra": [{"key": "example.org/level", "valueExpression": "string(int(claims.level))"}]
            },
            "claimValidationRules": [{"expression": "claims.level > 2", "message": "too low"}],
            "userValidationRules": [{"expression": "!user.username.contains('system:')"}]
        }]
    })
    .to_string()
}

fn authorization(hooks: &[(&str, &Path, &str, &str)]) -> String {
    let hook = |(name, file, policy, condition): &(&str, &Path, &str, &str)| {
        json!({"type": "Webhook", "name": name, "webhook": {
            "timeout": "1s", "subjectAccessReviewVersion": "v1", "failurePolicy": policy, "unauthorizedTTL": "1ms",
            "matchConditionSubjectAccessReviewVersion": "v1", "matchConditions": [{"expression": condition}],
            "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": file.display().to_string()}
        }})
    };
    let mut authorizers: Vec<Value> = hooks.iter().map(hook).collect();
    authorizers.push(json!({"type": "Node", "name": "node"}));
    authorizers.push(json!({"type": "RBAC", "name": "rbac"}));
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration", "authorizers": authorizers
    })
    .to_string()
}

/// kubectl as somebody who has a token and nothing else.
struct Bearer<'a> {
    kubectl: &'a Kubectl,
    kubeconfig: PathBuf,
}

impl<'a> Bearer<'a> {
    fn new(kubectl: &'a Kubectl, server: &Server) -> Self {
        let ca = STANDARD.encode(server.access().authority);
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "c", "user": ""}}],
            "clusters": [{"name": "c", "cluster": {"server": server.url(), "certificate-authority-data": ca}}]
        });
        let kubeconfig = server.folder().join("nobody.kubeconfig");
        fs::write(&kubeconfig, text.to_string()).unwrap();
        Self { kubectl, kubeconfig }
    }

    fn run(&self, token: &str, arguments: &str) -> Outcome {
        let mut command = self.kubectl.command(arguments);
        command.env("KUBECONFIG", &self.kubeconfig).arg(format!("--token={token}"));
        self.kubectl.finish(command, None)
    }

    fn name(&self, token: &str) -> Option<String> {
        let outcome = self.run(token, "auth whoami -o jsonpath={.status.userInfo.username}");
        (outcome.code == 0).then_some(outcome.out)
    }
}

/// The files of a server, and the server that both name.
struct Scene {
    elsewhere: Elsewhere,
    key: Arc<Key>,
    who: PathBuf,
    may: PathBuf,
    server: Server,
    _folder: tempfile::TempDir,
}

const MINE: &str = "request.user.startsWith('oidc:')";

impl Scene {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (who, may) =
            (folder.path().join("authentication.yaml"), folder.path().join("authorization.yaml"));
        let key = Key::new("first");
        let elsewhere = Elsewhere::start(&key);
        let hook = elsewhere.kubeconfig(folder.path(), "/decide");
        fs::write(&who, authentication(&elsewhere, "oidc:")).unwrap();
        fs::write(&may, authorization(&[("hook", &hook, "Deny", MINE)])).unwrap();
        let server = Server::start_with(&[
            "--store=memory",
            &format!("--authentication-config={}", who.display()),
            &format!("--authorization-config={}", may.display()),
        ]);
        Self { elsewhere, key, who, may, server, _folder: folder }
    }
}

#[test]
fn claims_make_the_user_and_the_webhook_decides_where_its_condition_says_so() {
    let Scene { elsewhere, key, server, .. } = &Scene::start();
    let Some(kubectl) = Kubectl::new(server) else { return };
    let bearer = Bearer::new(&kubectl, server);
    let jane = elsewhere.token(key, "jane", 600);
    let user: Value = serde_json::from_str(&bearer.run(&jane, "auth whoami -o json").out).unwrap();
    let user = &user["status"]["userInfo"];
    assert_eq!(user["username"], "oidc:jane", "{user}\n{}", server.log());
    assert_eq!(user["groups"], json!(["team:dev", "team:ops", "system:authenticated"]));
    assert_eq!(user["extra"]["example.org/level"], json!(["3"]));
    assert_eq!(user["extra"]["authentication.kubernetes.io/credential-id"], json!(["JTI=one"]));
    let listed = bearer.run(&jane, "get configmaps -n default");
    assert_eq!(listed.code, 0, "{listed:?}\n{}", server.log());
    let denied = bearer.run(&jane, "get secrets -n default");
    let why =
        "cannot list resource \"secrets\" in API group \"\" in the namespace \"default\": secrets are secret";
    assert!(denied.err.contains(why), "{denied:?}");
    let refused = bearer.run(&jane, "get pods -n default");
    assert!(refused.err.contains("pods is forbidden: User \"oidc:jane\" cannot list"), "{refused:?}");
    kubectl.ok("get secrets -A");
    let asked = elsewhere.asked("/decide");
    let of_issuer =
        |review: &Value| review["spec"]["user"].as_str().is_some_and(|user| user.starts_with("oidc:"));
    assert!(asked.iter().all(of_issuer));
    let about = |review: &&Value| review["spec"]["resourceAttributes"]["resource"] == "configmaps";
    let spec = &asked.iter().find(about).unwrap()["spec"];
    assert_eq!(spec["extra"]["example.org/level"], json!(["3"]));
    let expected = json!({"namespace": "default", "verb": "list", "version": "v1", "resource": "configmaps"});
    assert_eq!(spec["resourceAttributes"], expected);
}

#[test]
fn tokens_that_are_wrong_are_nobodys_and_keys_rotate() {
    let Scene { elsewhere, key, server, .. } = &Scene::start();
    let Some(kubectl) = Kubectl::new(server) else { return };
    let bearer = Bearer::new(&kubectl, server);
    let jane = elsewhere.token(key, "jane", 600);
    assert_eq!(bearer.name(&jane).as_deref(), Some("oidc:jane"), "{}", server.log());
    for wrong in [
        elsewhere.token(key, "jane", -5),
        elsewhere.token(&Key::new("first"), "jane", 600),
        elsewhere.token(key, "system:admin", 600),
        format!("{jane}x"),
    ] {
        let outcome = bearer.run(&wrong, "get configmaps -n default");
        assert!(outcome.err.contains("You must be logged in to the server"), "{outcome:?}");
    }
    let second = Key::new("second");
    *elsewhere.keys.lock().unwrap() = vec![second.clone()];
    let next = elsewhere.token(&second, "jane", 600);
    assert_eq!(bearer.name(&next).as_deref(), Some("oidc:jane"), "{}", server.log());
}

#[test]
fn files_that_change_take_effect_unless_they_are_wrong() {
    let Scene { elsewhere, key, who, may, server, .. } = &Scene::start();
    let Some(kubectl) = Kubectl::new(server) else { return };
    let bearer = Bearer::new(&kubectl, server);
    let jane = elsewhere.token(key, "jane", 600);
    assert_eq!(bearer.run(&jane, "get configmaps -n default").code, 0, "{}", server.log());
    fs::write(may, authorization(&[])).unwrap();
    let forbidden = || (bearer.run(&jane, "get configmaps -n default").code != 0).then_some(());
    assert!(wait::until(20, forbidden).is_some(), "{}", server.log());
    fs::write(who, authentication(elsewhere, "other:")).unwrap();
    // What is known of a token holds for some seconds: another one is asked with each time.
    let mut lifetime = 600;
    let renamed = || {
        lifetime += 1;
        bearer.name(&elsewhere.token(key, "jane", lifetime)).filter(|name| name == "other:jane")
    };
    assert!(wait::until(20, renamed).is_some(), "{}", server.log());
    fs::write(who, "{}").unwrap();
    fs::write(may, authorization(&[("hook", Path::new("/no/such"), "Deny", MINE)])).unwrap();
    let told = || (server.log().matches("stays as it was").count() == 2).then_some(());
    assert!(wait::until(20, told).is_some(), "{}", server.log());
    assert_eq!(bearer.name(&elsewhere.token(key, "jane", 900)).as_deref(), Some("other:jane"));
}

#[test]
fn a_webhook_that_hangs_costs_its_timeout_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let may = folder.path().join("authorization.yaml");
    let key = Key::new("first");
    let elsewhere = Elsewhere::start(&key);
    let hang = elsewhere.kubeconfig(folder.path(), "/hang");
    fs::write(&may, authorization(&[("hang", &hang, "NoOpinion", "'slow' in request.groups")])).unwrap();
    let flag = format!("--authorization-config={}", may.display());
    let server = Server::start_with(&["--store=memory", &flag]);
    let Some(kubectl) = Kubectl::new(&server) else { return };
    let slow = kubectl.command("get configmaps -n default --as=x --as-group=slow");
    let begin = Instant::now();
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let outcome = kubectl.finish(slow, None);
            (outcome, begin.elapsed())
        });
        for _ in 0..5 {
            let begin = Instant::now();
            kubectl.ok("get configmaps -n default");
            assert!(begin.elapsed() < Duration::from_secs(5));
        }
        waiting.join().unwrap()
    });
    let (outcome, took) = waiting;
    assert!(outcome.err.contains("context deadline exceeded"), "{outcome:?}");
    // One second for each of the questions that kubectl's discovery and its request lead to.
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(15), "{took:?}");
    assert!(
        elsewhere.asked("/hang").iter().all(|review| review["spec"]["groups"].to_string().contains("slow"))
    );
}

#[test]
fn a_webhook_judges_tokens_and_another_decides_by_flags_alone() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = Elsewhere::start(&Key::new("first"));
    let (judge, decide) =
        (elsewhere.kubeconfig(folder.path(), "/judge"), elsewhere.kubeconfig(folder.path(), "/decide"));
    let server = Server::start_with(&[
        "--store=memory",
        &format!("--authentication-token-webhook-config-file={}", judge.display()),
        "--authorization-mode=Node,RBAC,Webhook",
        &format!("--authorization-webhook-config-file={}", decide.display()),
        "--authorization-webhook-version=v1",
    ]);
    let Some(kubectl) = Kubectl::new(&server) else { return };
    let bearer = Bearer::new(&kubectl, &server);
    for _ in 0..3 {
        assert_eq!(bearer.name("joes").as_deref(), Some("oidc:joe"), "{}", server.log());
    }
    let asked = elsewhere.asked("/judge");
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0]["apiVersion"], "authentication.k8s.io/v1beta1");
    assert_eq!(asked[0]["spec"]["audiences"], json!(["https://kubernetes.default.svc"]));
    let denied = bearer.run("joes", "get secrets -n default");
    assert!(denied.err.contains(": secrets are secret"), "{denied:?}");
    let outcome = bearer.run("janes", "get configmaps -n default");
    assert!(outcome.err.contains("You must be logged in to the server"), "{outcome:?}");
    // Reviews of tokens ask it as well.
    let review =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "joes"}});
    let answer = kubectl.ok_with("create -o json -f -", &review.to_string());
    let status = serde_json::from_str::<Value>(&answer).unwrap()["status"].clone();
    assert_eq!((&status["authenticated"], &status["user"]["uid"]), (&json!(true), &json!("7")), "{status}");
}
