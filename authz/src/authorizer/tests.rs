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

#[tokio::test]
async fn nobody_may_see_version_and_health_and_nothing_else() {
    let nobody = anonymous().await;
    for path in ["/version", "/version/", "/healthz", "/livez", "/readyz"] {
        assert!(may(&nobody, Attributes::path("get", path)).await, "{path}");
        assert!(!may(&nobody, Attributes::path("post", path)).await, "{path}");
    }
    for path in ["/", "/api", "/apis", "/openapi/v2", "/metrics", "/livez/ping", "/versions", ""] {
        assert!(!may(&nobody, Attributes::path("get", path)).await, "{path}");
    }
    let status = authorizer().authorize(nobody, list_pods()).await.unwrap_err();
    assert_eq!(
        status.message,
        r#"pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope"#
    );
}

#[tokio::test]
async fn the_recognized_may_discover_and_ask_about_themselves() {
    let jane = in_process("jane", &[]);
    for path in ["/api", "/api/v1", "/apis", "/apis/apps/v1", "/openapi/v3", "/version"] {
        assert!(may(&jane, Attributes::path("get", path)).await, "{path}");
    }
    assert!(!may(&jane, Attributes::path("get", "/apix")).await);
    assert!(!may(&jane, Attributes::path("get", "/metrics")).await);
    let review = Attributes::resource("create", "authorization.k8s.io", "v1", "selfsubjectaccessreviews");
    assert!(may(&jane, review.clone()).await);
    assert!(!may(&jane, Attributes { verb: "list".into(), ..review.clone() }).await);
    assert!(!may(&anonymous().await, review).await);
    assert!(!may(&jane, list_pods()).await);
}

#[tokio::test]
async fn a_resource_with_the_path_of_a_public_place_is_not_public() {
    let asked = Attributes { path: "/version".into(), ..Attributes::resource("get", "", "v1", "secrets") };
    assert!(!may(&anonymous().await, asked).await);
}

#[tokio::test]
async fn components_may_act_under_their_own_names() {
    for name in ["system:kube-controller-manager", "system:controller:namespace-controller"] {
        assert!(may(&in_process(name, &[]), list_pods()).await, "{name}");
    }
    assert!(!may(&in_process("system:other", &[]), list_pods()).await);
}
