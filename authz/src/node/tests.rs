//! What a node is allowed in a small cluster, and what it is told else.

use super::*;
use api::selector::FieldSelector;
use api::{Follow, Followed, Later, Value, tree};
use authn::in_process;
use parking_lot::Mutex;
use stdx::Clock;

/// A cluster that keeps its followers, so that tests can go on telling them.
#[derive(Default)]
struct Cluster {
    objects: Vec<(&'static str, Value)>,
    followers: Mutex<Vec<(&'static str, Follow)>>,
}

impl Cluster {
    fn tell(&self, resource: &str, step: &Followed) {
        let mut followers = self.followers.lock();
        followers.iter_mut().filter(|(r, _)| *r == resource).for_each(|(_, follow)| follow(step.clone()));
    }
}

impl Reader for Cluster {
    fn get<'a>(&'a self, _: &'a str, _: &'a str, _: &'a str, _: &'a str) -> Later<'a, Option<Value>> {
        Box::pin(std::future::ready(None))
    }

    fn get_latest<'a>(&'a self, _: &'a str, _: &'a str, _: &'a str, _: &'a str) -> Later<'a, Option<Value>> {
        Box::pin(std::future::ready(None))
    }

    fn list<'a>(&'a self, _: &'a str, _: &'a str, _: &'a str) -> Later<'a, Vec<Value>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn follow<'a>(&'a self, _: &'static str, resource: &'static str, mut follow: Follow) -> Later<'a, ()> {
        let all = self.objects.iter().filter(|(r, _)| *r == resource).map(|(_, o)| o.clone()).collect();
        follow(Followed::All(all));
        self.followers.lock().push((resource, follow));
        Box::pin(tokio::task::yield_now())
    }
}

fn cluster() -> Arc<Cluster> {
    let pod = tree!({"metadata": {"namespace": "a", "name": "p"},
        "spec": {"nodeName": "n", "serviceAccountName": "sa", "imagePullSecrets": [{"name": "s"}],
                 "volumes": [{"name": "x", "ephemeral": {}}]}});
    let volume = tree!({"metadata": {"name": "v"}, "spec": {"claimRef": {"namespace": "a", "name": "p-x"},
        "csi": {"nodeStageSecretRef": {"name": "t", "namespace": "b"}}}});
    let on_node = |name: &str| tree!({"metadata": {"name": name}, "spec": {"nodeName": "n"}});
    let objects = vec![
        ("pods", pod),
        ("persistentvolumes", volume),
        ("volumeattachments", on_node("va")),
        ("resourceslices", on_node("rs")),
    ];
    Arc::new(Cluster { objects, ..Cluster::default() })
}

fn authority(cluster: &Arc<Cluster>) -> Box<dyn Authority> {
    let settings = Settings { reader: cluster.clone(), ..Settings::new(Clock::system()) };
    make(&settings).unwrap()
}

/// `Ok` when `user` in `system:nodes` may, else what it is told.
async fn ask(authority: &dyn Authority, user: &str, asked: &Attributes) -> Result<(), String> {
    let caller = in_process(user, &["system:nodes"]);
    let decision = match authority.decide(&caller, asked) {
        Ruling::Now(decision) => decision,
        Ruling::Later(decision) => decision.await,
    };
    match decision {
        Decision::Allow(_) => Ok(()),
        Decision::NoOpinion(why) => Err(why.to_string()),
        Decision::Deny(why) => panic!("a node is never denied: {why}"),
    }
}

/// `VERB RESOURCE[.GROUP][/SUB] [NAMESPACE/]NAME`.
fn asked(verb: &str, resource: &str, place: &str) -> Attributes {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let (namespace, name) = place.split_once('/').unwrap_or(("", place));
    let (subresource, namespace, name) = (subresource.into(), namespace.into(), name.into());
    Attributes { subresource, namespace, name, ..Attributes::resource(verb, group, "v1", resource) }
}

const UNRELATED: &str = "no relationship found between node 'n' and this object";

#[tokio::test]
async fn a_node_reads_what_its_pods_and_their_volumes_refer_to() {
    let authority = authority(&cluster());
    for (verb, resource, place) in [
        ("get", "secrets", "a/s"),
        ("watch", "secrets", "a/s"),
        ("get", "secrets", "b/t"),
        ("get", "pods", "a/p"),
        ("list", "pods", "a/p"),
        ("get", "serviceaccounts", "a/sa"),
        ("create", "serviceaccounts/token", "a/sa"),
        ("get", "persistentvolumeclaims", "a/p-x"),
        ("patch", "persistentvolumeclaims/status", "a/p-x"),
        ("get", "persistentvolumes", "v"),
        ("get", "volumeattachments.storage.k8s.io", "va"),
        ("update", "resourceslices.resource.k8s.io", "rs"),
    ] {
        let asked = asked(verb, resource, place);
        assert_eq!(ask(&*authority, "system:node:n", &asked).await, Ok(()), "{verb} {resource} {place}");
        let told = ask(&*authority, "system:node:m", &asked).await.unwrap_err();
        assert_eq!(told, UNRELATED.replace("'n'", "'m'"), "{verb} {resource} {place}");
    }
}

#[tokio::test]
async fn a_refusal_tells_what_a_node_is_restricted_to() {
    let authority = authority(&cluster());
    for (verb, resource, place, told) in [
        ("get", "secrets", "a/other", UNRELATED),
        ("list", "secrets", "a/", "No Object name found"),
        ("list", "secrets", "", "can only read namespaced object of this type"),
        ("update", "secrets", "a/s", "can only read resources of this type"),
        ("get", "configmaps/x", "a/s", "cannot read subresource"),
        ("list", "persistentvolumes", "", "can only get individual resources of this type"),
        ("get", "persistentvolumeclaims/status", "a/p-x", "can only get/update/patch this type"),
        ("create", "serviceaccounts/token", "a/", "can only create tokens for individual service accounts"),
        ("create", "serviceaccounts", "a/sa", "can only create token subresource of serviceaccount"),
        (
            "get",
            "leases.coordination.k8s.io",
            "a/n",
            "can only access leases in the \"kube-node-lease\" system namespace",
        ),
        (
            "get",
            "leases.coordination.k8s.io",
            "kube-node-lease/m",
            "can only access node lease with the same name as the requesting node",
        ),
        (
            "list",
            "leases.coordination.k8s.io",
            "kube-node-lease/",
            "can only get, create, update, patch, or delete a node lease",
        ),
        (
            "get",
            "csinodes.storage.k8s.io",
            "m",
            "can only access CSINode with the same name as the requesting node",
        ),
        (
            "list",
            "resourceslices.resource.k8s.io",
            "",
            "can only list/watch/deletecollection resourceslices with nodeName field selector",
        ),
        ("get", "nodes", "m", "node 'n' cannot read 'm', only its own Node object"),
        ("watch", "nodes", "", "node 'n' cannot read all nodes, only its own Node object"),
        ("delete", "nodes", "n", ""),
        ("list", "pods", "", "can only list/watch pods with spec.nodeName field selector"),
        ("patch", "pods", "a/p", ""),
        ("get", "podcertificaterequests.certificates.k8s.io", "a/p", ""),
        ("get", "services/status", "a/b", ""),
    ] {
        let asked = asked(verb, resource, place);
        let heard = ask(&*authority, "system:node:n", &asked).await;
        assert_eq!(heard.unwrap_err(), told, "{verb} {resource} {place}");
    }
}

#[tokio::test]
async fn a_node_does_what_all_nodes_do_and_lists_what_is_on_it() {
    let authority = authority(&cluster());
    let limited = |verb, resource, node: &str| Attributes {
        fields: FieldSelector::equals("spec.nodeName", node),
        ..asked(verb, resource, "")
    };
    for asked in [
        asked("get", "nodes", "n"),
        asked("patch", "nodes/status", "n"),
        asked("create", "pods/eviction", "a/p"),
        asked("list", "services", ""),
        asked("create", "events.events.k8s.io", "a/"),
        asked("create", "leases.coordination.k8s.io", "kube-node-lease/"),
        asked("create", "subjectaccessreviews.authorization.k8s.io", ""),
        limited("watch", "pods", "n"),
        limited("deletecollection", "resourceslices.resource.k8s.io", "n"),
    ] {
        assert_eq!(ask(&*authority, "system:node:n", &asked).await, Ok(()), "{asked:?}");
    }
    assert!(ask(&*authority, "system:node:n", &limited("list", "pods", "m")).await.is_err());
    let nameless = ask(&*authority, "system:node:", &asked("get", "nodes", "n")).await;
    assert_eq!(nameless.unwrap_err(), "unknown node for user \"system:node:\"");
    assert_eq!(ask(&*authority, "n", &asked("get", "nodes", "n")).await.unwrap_err(), "");
}

#[tokio::test]
async fn what_a_node_may_read_changes_with_the_cluster() {
    let cluster = cluster();
    let authority = authority(&cluster);
    let secret = asked("get", "secrets", "a/late");
    assert!(ask(&*authority, "system:node:n", &secret).await.is_err());
    let pod = tree!({"metadata": {"namespace": "a", "name": "q"},
        "spec": {"nodeName": "n", "imagePullSecrets": [{"name": "late"}]}});
    cluster.tell("pods", &Followed::Set(pod));
    assert_eq!(ask(&*authority, "system:node:n", &secret).await, Ok(()));
    cluster.tell("pods", &Followed::Gone { namespace: "a".into(), name: "q".into() });
    assert!(ask(&*authority, "system:node:n", &secret).await.is_err());
    cluster.tell("persistentvolumes", &Followed::All(Vec::new()));
    assert!(ask(&*authority, "system:node:n", &asked("get", "persistentvolumes", "v")).await.is_err());
}

#[tokio::test]
async fn who_goes_away_while_the_cluster_is_read_leaves_one_that_reads_it() {
    let cluster = cluster();
    let authority = authority(&cluster);
    let secret = asked("get", "secrets", "a/s");
    tokio::select! {
        biased;
        _ = ask(&*authority, "system:node:n", &secret) => panic!("decided before the cluster was read"),
        () = tokio::task::yield_now() => {}
    }
    assert_eq!(ask(&*authority, "system:node:n", &secret).await, Ok(()));
    assert_eq!(cluster.followers.lock().len(), 4, "each kind once");
}
