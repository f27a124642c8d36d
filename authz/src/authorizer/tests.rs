//! Who may do what today. Callers from elsewhere are made by the authenticator, as in service.

use super::*;
use authn::{Authenticator, Peer, in_process};
use stdx::Clock;

async fn anonymous() -> Caller {
    let settings = authn::Settings::new(Clock::system());
    let peer = Peer::default();
    Authenticator::new(&settings).unwrap().authenticate(&peer, &(), "/").await.unwrap()
}

fn authorizer() -> Authorizer {
    Authorizer::new(&super::Settings::new(Clock::system())).unwrap()
}

fn list_pods() -> Attributes {
    Attributes::resource("list", "", "v1", "pods")
}

async fn may(caller: &Caller, asked: Attributes) -> bool {
    authorizer().authorize(caller.clone(), asked).await.is_ok()
}

#[tokio::test]
async fn the_privileged_group_may_do_all() {
    let admin = in_process("root", &["system:masters"]);
    for asked in [list_pods(), Attributes::path("post", "/x"), Attributes::resource("delete", "x", "v1", "y")]
    {
        let permit = authorizer().authorize(admin.clone(), asked.clone()).await.unwrap();
        assert_eq!((permit.caller(), permit.attributes()), (&admin, &asked));
    }
}

/// An authority that says what it is made with.
struct Says(Decision);

impl Authority for Says {
    fn name(&self) -> &'static str {
        "says"
    }

    fn decide<'a>(&'a self, _: &'a Caller, _: &'a Attributes) -> Ruling<'a> {
        let decision = self.0.clone();
        Ruling::Later(Box::pin(async move { decision }))
    }
}

fn of(decisions: Vec<Decision>) -> Authorizer {
    let says = |decision| -> Arc<dyn Authority> { Arc::new(Says(decision)) };
    let authorizer = authorizer();
    authorizer.authorities.store(Arc::new(decisions.into_iter().map(says).collect()));
    authorizer
}

#[tokio::test]
async fn without_roles_nobody_else_may_do_anything() {
    let status = authorizer().authorize(anonymous().await, list_pods()).await.unwrap_err();
    assert_eq!(
        status.message,
        r#"pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope"#
    );
    assert!(!may(&in_process("jane", &[]), Attributes::path("get", "/version")).await);
}

#[tokio::test]
async fn the_first_with_an_opinion_decides() {
    let jane = in_process("jane", &[]);
    let (allow, deny) = (Decision::Allow("a".into()), Decision::Deny("d".into()));
    let none = |why: &str| Decision::NoOpinion(why.into());
    let decided = of(vec![none("x"), allow.clone(), deny.clone()]).decide(&jane, &list_pods()).await;
    assert_eq!(decided, allow);
    assert_eq!(of(vec![none(""), deny.clone(), allow]).decide(&jane, &list_pods()).await, deny);
    let refused = of(vec![none("x"), none(""), none("y")]).authorize(jane, list_pods()).await.unwrap_err();
    assert!(refused.message.ends_with("at the cluster scope: x\ny"), "{refused}");
}

#[tokio::test]
async fn a_failure_is_told_unless_another_allows() {
    let jane = in_process("jane", &[]);
    let failed = || Decision::NoOpinion(Reason::NONE.with_error("broken"));
    let status = of(vec![failed(), failed()]).authorize(jane.clone(), list_pods()).await.unwrap_err();
    assert_eq!((status.code, status.message.as_str()), (500, "Internal error occurred: broken"));
    let allowed = of(vec![failed(), Decision::Allow("a".into())]);
    let permit = allowed.authorize(jane, list_pods()).await.unwrap();
    assert_eq!(permit.reason(), &Reason::from("a"));
}

#[tokio::test]
async fn a_configuration_can_take_the_place_of_another() {
    let authorizer = authorizer();
    let nobody = anonymous().await;
    let and = |mode| Configuration { authorizers: vec![Mode::Rbac, Mode::Node, mode] };
    assert_eq!(authorizer.reload(and(Mode::AlwaysAllow)), Ok(true));
    assert_eq!(authorizer.reload(and(Mode::AlwaysAllow)), Ok(false));
    assert!(authorizer.authorize(nobody.clone(), list_pods()).await.is_ok());
    let less = Configuration { authorizers: vec![Mode::AlwaysAllow] };
    assert_eq!(authorizer.reload(less), Err("missing required types: [Node RBAC]".to_owned()));
    assert!(authorizer.authorize(nobody.clone(), list_pods()).await.is_ok());
    assert_eq!(authorizer.reload(and(Mode::AlwaysDeny)), Ok(true));
    let refused = authorizer.authorize(nobody, list_pods()).await.unwrap_err();
    assert!(refused.message.ends_with(": Everything is forbidden."), "{}", refused.message);
}
