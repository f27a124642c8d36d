//! A webhook's questions, its answers and how long they hold.

use super::*;
use crate::Configuration;
use api::{Later, Network, Question, Remote, RemoteError, Reply};
use authn::hypothetical;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// Answers every question in the same way; keeps what it was asked.
struct Fake {
    answer: Result<(u16, String), RemoteError>,
    asked: Mutex<Vec<Value>>,
}

impl Network for Fake {
    fn ask<'a>(
        &'a self,
        _: &'a Remote,
        question: Question,
        _: Duration,
    ) -> Later<'a, Result<Reply, RemoteError>> {
        self.asked.lock().push(json::parse(&question.body.unwrap()).unwrap());
        let reply =
            |(status, body): (u16, String)| Reply { status, body: body.into_bytes(), headers: Vec::new() };
        Box::pin(std::future::ready(self.answer.clone().map(reply)))
    }
}

fn fake(code: u16, body: &str) -> Arc<Fake> {
    Arc::new(Fake { answer: Ok((code, body.to_owned())), asked: Mutex::default() })
}

fn answer(status: &str) -> Arc<Fake> {
    fake(
        200,
        &format!(
            r#"{{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","status":{{{status}}}}}"#
        ),
    )
}

fn authority(fake: &Arc<Fake>, clock: &Clock, edit: impl FnOnce(&mut WebhookMode)) -> WebhookAuthority {
    let settings = Settings { network: fake.clone(), ..Settings::new(clock.clone()) };
    let mut mode = WebhookMode {
        name: "hook".to_owned(),
        remote: Remote::default(),
        timeout: Duration::from_secs(3),
        version: "v1".to_owned(),
        authorized_ttl: Duration::from_secs(300),
        unauthorized_ttl: Duration::from_secs(30),
        deny_on_error: false,
        match_conditions: Vec::new(),
    };
    edit(&mut mode);
    WebhookAuthority::new(mode, &settings).unwrap()
}

fn clock() -> Clock {
    Clock::manual(Time::from_secs(1_000))
}

fn conditions(expressions: &[&str]) -> Vec<MatchCondition> {
    let list: String = expressions.iter().map(|text| format!("    - {{expression: {text:?}}}\n")).collect();
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n- type: Webhook\n  \
         name: a\n  webhook:\n    timeout: 1s\n    subjectAccessReviewVersion: v1\n    failurePolicy: Deny\n    \
         matchConditionSubjectAccessReviewVersion: v1\n    connectionInfo: {{type: KubeConfigFile, kubeConfigFile: \
         /k}}\n    matchConditions:\n{list}"
    );
    let kubeconfig = "{current-context: a, contexts: [{name: a, context: {cluster: c}}], \
                      clusters: [{name: c, cluster: {server: 'https://a'}}]}";
    let read = |_: &str| Ok(kubeconfig.as_bytes().to_vec());
    let mut modes = Configuration::parse(text.as_bytes(), &read).unwrap().authorizers;
    match modes.remove(0) {
        crate::Mode::Webhook(mode) => mode.match_conditions,
        other => panic!("{other:?}"),
    }
}

async fn ask(authority: &WebhookAuthority, caller: &Caller, asked: &Attributes) -> Decision {
    match authority.decide(caller, asked) {
        Ruling::Now(decision) => decision,
        Ruling::Later(later) => later.await,
    }
}

fn jane() -> Caller {
    let extra = vec![("b".to_owned(), vec!["2".to_owned()]), ("a".to_owned(), vec!["1".to_owned()])];
    hypothetical("jane", "42", vec!["dev".to_owned()], extra)
}

fn list_pods() -> Attributes {
    let mut asked = Attributes::resource("list", "", "v1", "pods");
    asked.namespace = "default".into();
    asked
}

#[tokio::test]
async fn the_question_is_a_subject_access_review() {
    let hook = answer(r#""allowed":true,"reason":"why not""#);
    let mut asked = list_pods();
    asked.fields = api::selector::FieldSelector::parse("spec.nodeName=a,status.phase!=Failed").unwrap();
    asked.labels = api::selector::LabelSelector::parse("app in (x,y),!old").unwrap();
    let decision = ask(&authority(&hook, &clock(), |_| ()), &jane(), &asked).await;
    assert_eq!(decision, Decision::Allow("why not".into()));
    let sent = json::to_string(&hook.asked.lock()[0]);
    assert_eq!(
        sent,
        r#"{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","metadata":{},"spec":{"resourceAttributes":{"namespace":"default","verb":"list","version":"v1","resource":"pods","fieldSelector":{"requirements":[{"key":"spec.nodeName","operator":"In","values":["a"]},{"key":"status.phase","operator":"NotIn","values":["Failed"]}]},"labelSelector":{"requirements":[{"key":"app","operator":"In","values":["x","y"]},{"key":"old","operator":"DoesNotExist"}]}},"user":"jane","groups":["dev"],"extra":{"a":["1"],"b":["2"]},"uid":"42"},"status":{}}"#
    );
    ask(&authority(&hook, &clock(), |_| ()), &jane(), &Attributes::path("get", "/x")).await;
    let spec = hook.asked.lock()[1].get("spec").unwrap().clone();
    assert_eq!(spec.str_at(&["nonResourceAttributes", "path"]), "/x");
}

#[tokio::test]
async fn decisions_hold_as_long_as_they_are_said_to() {
    for (status, secs) in [(r#""allowed":true"#, 300), (r#""allowed":false"#, 30), (r#""denied":true"#, 30)] {
        let (hook, clock) = (answer(status), clock());
        let authority = authority(&hook, &clock, |_| ());
        for _ in 0..3 {
            ask(&authority, &jane(), &list_pods()).await;
        }
        clock.advance(Duration::from_secs(secs - 1));
        ask(&authority, &jane(), &list_pods()).await;
        assert_eq!(hook.asked.lock().len(), 1, "{status}");
        clock.advance(Duration::from_secs(1));
        ask(&authority, &jane(), &list_pods()).await;
        ask(&authority, &jane(), &Attributes::path("get", "/x")).await;
        assert_eq!(hook.asked.lock().len(), 3, "{status}");
    }
}

#[tokio::test]
async fn long_questions_are_not_remembered_and_zero_remembers_nothing() {
    let hook = answer(r#""allowed":true"#);
    let remembers = authority(&hook, &clock(), |_| ());
    let long = Attributes::path("get", &"x".repeat(MAX_REMEMBERED_BYTES));
    let forgets = authority(&hook, &clock(), |mode| mode.authorized_ttl = Duration::ZERO);
    let groups = vec!["g".repeat(MAX_REMEMBERED_QUESTION_BYTES)];
    let popular = hypothetical("joe", "", groups, Vec::new());
    for _ in 0..2 {
        ask(&remembers, &jane(), &long).await;
        ask(&remembers, &popular, &list_pods()).await;
        ask(&forgets, &jane(), &list_pods()).await;
    }
    assert_eq!(hook.asked.lock().len(), 6);
    let mut memory = Memory::default();
    for at in 0..(REMEMBERED + 10) {
        memory.set(
            Sha256::digest(at.to_be_bytes()).into(),
            Decision::NoOpinion(Reason::NONE),
            Time::from_secs(1),
        );
    }
    assert_eq!((memory.decisions.len(), memory.order.len()), (REMEMBERED, REMEMBERED));
}

#[tokio::test]
async fn what_is_not_answered_is_denied_or_left_to_the_next() {
    let hook = fake(404, "");
    let text = "the server could not find the requested resource";
    let next = ask(&authority(&hook, &clock(), |_| ()), &jane(), &list_pods()).await;
    assert_eq!(next, Decision::NoOpinion(Reason::NONE.with_error(text)));
    let denies = authority(&hook, &clock(), |mode| mode.deny_on_error = true);
    assert_eq!(ask(&denies, &jane(), &list_pods()).await, Decision::Deny(Reason::NONE.with_error(text)));
    let both = answer(r#""allowed":true,"denied":true"#);
    let Decision::Deny(reason) = ask(&authority(&both, &clock(), |_| ()), &jane(), &list_pods()).await else {
        panic!("allowed");
    };
    assert!(reason.error().unwrap().ends_with("both allow and deny response"));
}

#[tokio::test]
async fn conditions_say_when_it_is_asked() {
    let hook = answer(r#""denied":true"#);
    let decide = async |expressions: &[&str], deny: bool| {
        let authority = authority(&hook, &clock(), |mode| {
            mode.match_conditions = conditions(expressions);
            mode.deny_on_error = deny;
        });
        ask(&authority, &jane(), &list_pods()).await
    };
    let denied = Decision::Deny(Reason::NONE);
    let none = Decision::NoOpinion(Reason::NONE);
    assert_eq!(decide(&["request.user == 'jane'", "'dev' in request.groups"], false).await, denied);
    assert_eq!(
        decide(&["has(request.resourceAttributes) && request.resourceAttributes.name == ''"], false).await,
        denied
    );
    assert_eq!(decide(&["request.user == 'joe'"], true).await, none);
    let failing = "request.nonResourceAttributes.path == '/x'";
    assert_eq!(decide(&[failing, "request.user == 'joe'"], true).await, none);
    let Decision::Deny(reason) = decide(&[failing], true).await else { panic!("not denied") };
    let text = format!(
        "cel evaluation error: expression '{failing}' resulted in error: no such key: nonResourceAttributes"
    );
    assert_eq!(reason.error(), Some(text.as_str()));
    assert!(
        matches!(decide(&[failing], false).await, Decision::NoOpinion(reason) if reason.error().is_some())
    );
    assert_eq!(hook.asked.lock().len(), 2);
}

proptest! {
    #[test]
    fn no_answer_is_too_odd_to_be_judged(code in 100u16..600, body in "\\PC{0,30}", status in "[\\[{\":,a-c\\]}]{0,20}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            for hook in [fake(code, &body), answer(&status), fake(200, &format!(r#"{{"status":{status}}}"#))] {
                let decision = ask(&authority(&hook, &clock(), |_| ()), &jane(), &list_pods()).await;
                prop_assert!(!matches!(decision, Decision::Allow(_)), "{decision:?}");
            }
            Ok(())
        })?;
    }
}
