//! Volumes against an API server of the test's own: a few objects, watches of single ones, and tokens.

use super::*;
use crate::container::fixture;
use api::{json, tree};
use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use stdx::Clock;
use tokio::sync::{mpsc, watch};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Objects by path, and who watches.
struct Api {
    objects: watch::Sender<HashMap<String, Value>>,
    tokens: AtomicU64,
    clock: Clock,
    watches: AtomicU64,
}

impl Api {
    fn new(clock: Clock) -> Arc<Self> {
        let (objects, _) = watch::channel(HashMap::new());
        Arc::new(Api { objects, tokens: AtomicU64::new(0), clock, watches: AtomicU64::new(0) })
    }

    fn client(self: &Arc<Self>) -> Client {
        let api = self.clone();
        let dial = move || {
            let (theirs, ours) = tokio::io::duplex(64 << 10);
            let api = api.clone();
            let service = service_fn(move |request| api.clone().answer(request));
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(ours), service));
            theirs
        };
        Client::new(Arc::new(dial), "test")
    }

    fn put(&self, plural: &str, name: &str, mut object: Value) {
        object.set(&["metadata", "name"], name);
        self.objects.send_modify(|objects| {
            let version = (objects.len() + 1).to_string() + &json::to_string(&object);
            object.set(&["metadata", "resourceVersion"], version);
            let place = if plural == "persistentvolumes" { "" } else { "namespaces/n/" };
            objects.insert(format!("/api/v1/{place}{plural}/{name}"), object);
        });
    }

    fn remove(&self, plural: &str, name: &str) {
        self.objects
            .send_modify(|objects| drop(objects.remove(&format!("/api/v1/namespaces/n/{plural}/{name}"))));
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or("").to_owned());
        if let Some(name) = query.split("metadata.name%3D").nth(1) {
            return Ok(Response::new(self.watch(format!("{path}/{name}"))));
        }
        let found = if path.ends_with("/token") {
            Some(self.token())
        } else {
            self.objects.borrow().get(&path).cloned()
        };
        let (code, body) = match found {
            Some(found) => (200, found),
            None => {
                (404, tree!({"kind": "Status", "code": 404, "reason": "NotFound", "message": "not found"}))
            }
        };
        let body = Full::new(Bytes::from(json::to_vec(&body))).boxed_unsync();
        Ok(Response::builder().status(code).body(body).unwrap())
    }

    fn token(&self) -> Value {
        let number = self.tokens.fetch_add(1, Ordering::SeqCst);
        let expires = self.clock.now().plus(Duration::from_secs(600)).rfc3339();
        tree!({"spec": {"expirationSeconds": 600}, "status": {
            "token": (format!("token-{number}")), "expirationTimestamp": (expires)}})
    }

    fn watch(&self, path: String) -> Body {
        self.watches.fetch_add(1, Ordering::SeqCst);
        let (sender, lines) = mpsc::unbounded_channel::<Bytes>();
        let mut objects = self.objects.subscribe();
        tokio::spawn(async move {
            let mut before = objects.borrow_and_update().get(&path).cloned();
            let event = |ty: &str, object: &Value| {
                Bytes::from(json::to_string(&tree!({"type": ty, "object": (object.clone())})) + "\n")
            };
            let end = tree!({"metadata": {"annotations": {"k8s.io/initial-events-end": "true"}}});
            before.iter().for_each(|there| drop(sender.send(event("ADDED", there))));
            drop(sender.send(event("BOOKMARK", &end)));
            loop {
                tokio::select! {
                    changed = objects.changed() => if changed.is_err() { return },
                    () = sender.closed() => return,
                }
                let now = objects.borrow_and_update().get(&path).cloned();
                match (&before, &now) {
                    (None, Some(now)) => drop(sender.send(event("ADDED", now))),
                    (Some(before), Some(now)) if before != now => drop(sender.send(event("MODIFIED", now))),
                    (Some(before), None) => drop(sender.send(event("DELETED", before))),
                    _ => {}
                }
                before = now;
            }
        });
        let lines = futures::stream::unfold(lines, |mut lines| async { Some((lines.recv().await?, lines)) });
        StreamBody::new(lines.map(|line| Ok(Frame::data(line)))).boxed_unsync()
    }
}

struct Machine {
    api: Arc<Api>,
    volumes: Volumes,
    root: tempfile::TempDir,
    woken: mpsc::UnboundedReceiver<String>,
}

fn machine() -> Machine {
    let start = tokio::time::Instant::now();
    let clock = Clock::following(move || Time::from_secs(1_795_000_000).plus(start.elapsed()));
    let (api, root) = (Api::new(clock.clone()), tempfile::tempdir().unwrap());
    let mut settings = fixture::settings(root.path());
    settings.clock = clock;
    let (sender, woken) = mpsc::unbounded_channel();
    let wake = move |uid: &str| drop(sender.send(uid.to_owned()));
    let volumes = Volumes::new(Arc::new(settings), api.client(), Arc::new(|| None), Arc::new(wake));
    Machine { api, volumes, root, woken }
}

/// Only root may mount.
fn may_mount() -> bool {
    rustix::process::geteuid().is_root()
}

fn pod(volume: Value) -> Arc<Value> {
    let mut volume = volume;
    volume.set(&["name"], "v");
    Arc::new(tree!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {
            "serviceAccountName": "a", "volumes": [(volume)],
            "containers": [{"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]
        }
    }))
}

impl Machine {
    fn read(&self, file: &str) -> Option<String> {
        let mounted = self.volumes.mounted("u");
        fs::read_to_string(mounted.get("v")?.path.as_deref()?.join(file)).ok()
    }

    /// Waits until a file holds a text, or nothing.
    async fn reads(&self, file: &str, wanted: Option<&str>) {
        for _ in 0..400 {
            if self.read(file).as_deref() == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{file} holds {:?} and not {wanted:?}", self.read(file));
    }
}

#[tokio::test]
async fn a_config_map_is_followed_while_its_pod_is_there() {
    let mut machine = machine();
    let pod = pod(tree!({"configMap": {"name": "m", "defaultMode": 0o640}}));
    machine.api.put("configmaps", "m", tree!({"data": {"a": "1"}}));
    machine.volumes.set_up(&pod).await.unwrap();
    let path = machine.root.path().join("pods/u/volumes/kubernetes.io~configmap/v");
    let mounted = machine.volumes.mounted("u").remove("v").unwrap();
    assert_eq!((mounted.path.as_deref(), mounted.read_only), (Some(path.as_path()), true));
    assert_eq!(fs::metadata(path.join("a")).unwrap().permissions().mode() & 0o777, 0o640);
    machine.api.put("configmaps", "m", tree!({"data": {"a": "2", "b": "3"}}));
    machine.reads("a", Some("2")).await;
    machine.reads("b", Some("3")).await;
    assert_eq!(machine.woken.recv().await.unwrap(), "u");
    // What is taken away stays in the volume: its containers may need it.
    machine.api.remove("configmaps", "m");
    assert_eq!(machine.woken.recv().await.unwrap(), "u");
    assert_eq!(machine.read("a").unwrap(), "2");
    assert!(!machine.volumes.set_up(&pod).await.unwrap_err().is_blocking);
    machine.volumes.tear_down("u").await.unwrap();
    assert!(!machine.root.path().join("pods/u").exists());
    machine.api.put("configmaps", "m", tree!({"data": {"a": "4"}}));
    assert!(tokio::time::timeout(Duration::from_millis(50), machine.woken.recv()).await.is_err());
}

#[tokio::test]
async fn files_of_an_earlier_process_serve_until_they_can_be_renewed() {
    let machine = machine();
    let pod = pod(tree!({"configMap": {"name": "m"}}));
    let folder = machine.root.path().join("pods/u/volumes/kubernetes.io~configmap/v");
    fs::create_dir_all(folder.join("..1")).unwrap();
    fs::write(folder.join("..1/a"), "old").unwrap();
    std::os::unix::fs::symlink("..1", folder.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/a", folder.join("a")).unwrap();
    assert!(!machine.volumes.set_up(&pod).await.unwrap_err().is_blocking);
    assert_eq!(machine.read("a").unwrap(), "old");
    machine.api.put("configmaps", "m", tree!({"data": {"a": "new"}}));
    machine.reads("a", Some("new")).await;
}

#[tokio::test]
async fn a_pod_is_woken_when_what_it_lacked_is_there() {
    if !may_mount() {
        return;
    }
    let mut machine = machine();
    let pod = pod(tree!({"secret": {"secretName": "s", "items": [{"key": "k", "path": "d/k"}]}}));
    let fault = machine.volumes.set_up(&pod).await.unwrap_err();
    assert_eq!(fault.messages, ["MountVolume.SetUp failed for volume \"v\" : secret \"s\" not found"]);
    assert!(fault.is_blocking);
    machine.api.put("secrets", "s", tree!({"data": {"other": ""}}));
    assert_eq!(machine.woken.recv().await.unwrap(), "u");
    let fault = machine.volumes.set_up(&pod).await.unwrap_err();
    let wanted = "MountVolume.SetUp failed for volume \"v\" : references non-existent secret key: k";
    assert_eq!(fault.to_string(), wanted);
    machine.api.put("secrets", "s", tree!({"data": {"k": "dg=="}}));
    assert_eq!(machine.woken.recv().await.unwrap(), "u");
    assert_eq!(machine.read("d/k").unwrap(), "v");
    machine.volumes.tear_down("u").await.unwrap();
}

#[tokio::test]
async fn what_may_be_missing_is_an_empty_volume_until_it_comes() {
    let machine = machine();
    let pod = pod(tree!({"configMap": {"name": "m", "optional": true}}));
    machine.volumes.set_up(&pod).await.unwrap();
    assert_eq!(machine.read("a"), None);
    machine.api.put("configmaps", "m", tree!({"data": {"a": "1"}}));
    machine.reads("a", Some("1")).await;
}

#[tokio::test]
async fn what_cannot_change_is_watched_no_longer() {
    let machine = machine();
    machine.api.put("configmaps", "m", tree!({"immutable": true, "data": {"a": "1"}}));
    let pod = pod(tree!({"configMap": {"name": "m"}}));
    machine.volumes.set_up(&pod).await.unwrap();
    machine.api.put("configmaps", "m", tree!({"immutable": true, "data": {"a": "2"}}));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((machine.read("a").as_deref(), machine.api.watches.load(Ordering::SeqCst)), (Some("1"), 1));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_before_it_ends() {
    if !may_mount() {
        return;
    }
    let machine = machine();
    let sources = tree!([{"serviceAccountToken": {"path": "t", "expirationSeconds": 600}}]);
    let pod = pod(tree!({"projected": {"sources": (sources)}}));
    machine.volumes.set_up(&pod).await.unwrap();
    machine.volumes.set_up(&pod).await.unwrap();
    assert_eq!(machine.read("t").unwrap(), "token-0");
    tokio::time::sleep(Duration::from_secs(460)).await;
    assert_eq!(machine.read("t").unwrap(), "token-0");
    tokio::time::sleep(Duration::from_secs(21)).await;
    machine.reads("t", Some("token-1")).await;
    tokio::time::sleep(Duration::from_secs(480)).await;
    machine.reads("t", Some("token-2")).await;
    machine.volumes.tear_down("u").await.unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(machine.api.tokens.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn sources_that_fail_are_told_together_and_volumes_nobody_uses_are_not_made() {
    let machine = machine();
    let sources = tree!([{"configMap": {"name": "a"}}, {"secret": {"name": "b"}}]);
    let fault = machine.volumes.set_up(&pod(tree!({"projected": {"sources": (sources)}}))).await.unwrap_err();
    let wanted =
        "MountVolume.SetUp failed for volume \"v\" : [configmap \"a\" not found, secret \"b\" not found]";
    assert_eq!(fault.messages, [wanted]);
    let mut unused = (*pod(tree!({"configMap": {"name": "a"}}))).clone();
    unused.set(&["spec", "containers"], Value::List(vec![tree!({"name": "c"})]));
    machine.volumes.set_up(&Arc::new(unused)).await.unwrap();
}

#[tokio::test]
async fn claims_and_drivers_that_cannot_be_had_are_told_as_upstream_tells_them() {
    let machine = machine();
    let claim = pod(tree!({"persistentVolumeClaim": {"claimName": "c"}}));
    machine.api.put("persistentvolumeclaims", "c", tree!({"status": {"phase": "Pending"}}));
    let fault = machine.volumes.set_up(&claim).await.unwrap_err();
    let wanted = "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], failed to \
                  process volumes=[v]: error processing PVC n/c: PVC is not bound";
    assert_eq!(fault.messages, [wanted]);
    let bound = tree!({"metadata": {"uid": "c"}, "spec": {"volumeName": "p"}, "status": {"phase": "Bound"}});
    machine.api.put("persistentvolumeclaims", "c", bound);
    for (source, wanted) in [
        (
            tree!({"hostPath": {"path": "/"}, "mountOptions": ["ro"]}),
            "MountOptionSupport check failed for volume \"p\" : mount options are not supported for this volume type",
        ),
        (
            tree!({"local": {"path": "/none"}}),
            "NewMounter initialization failed for volume \"p\" : path \"/none\" does not exist",
        ),
    ] {
        let mut spec = source;
        spec.set(&["claimRef", "uid"], "c");
        machine.api.put("persistentvolumes", "p", tree!({"metadata": {"name": "p"}, "spec": spec}));
        let fault = machine.volumes.set_up(&claim).await.unwrap_err();
        assert_eq!(fault.messages, [format!("MountVolume.{wanted}")]);
    }
    let fault = machine.volumes.set_up(&pod(tree!({"nfs": {"server": "s"}}))).await.unwrap_err();
    assert_eq!(fault.messages, ["MountVolume.SetUp failed for volume \"v\" : no volume plugin matched"]);
}

#[tokio::test]
async fn what_pods_left_behind_is_taken_away() {
    let machine = machine();
    let pod = pod(tree!({"emptyDir": {}}));
    machine.volumes.set_up(&pod).await.unwrap();
    fs::create_dir_all(machine.root.path().join("pods/old/volumes/kubernetes.io~empty-dir/x")).unwrap();
    machine.volumes.orphans(|uid| uid == "u").await;
    assert_eq!(machine.volumes.pods_on_disk(), ["u"]);
    assert!(machine.volumes.mounted("u").contains_key("v"));
}

#[tokio::test]
async fn links_in_what_containers_write_lead_nowhere() {
    let (machine, outside) = (machine(), tempfile::tempdir().unwrap());
    let folder = machine.root.path().join("pods/u/volumes/kubernetes.io~empty-dir/v");
    fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.join("link")).unwrap();
    let mut pod = (*pod(tree!({"emptyDir": {}}))).clone();
    let volumes = tree!([{"name": "v", "emptyDir": {}}, {"name": "w", "emptyDir": {}}]);
    let mounts = tree!([{"name": "v", "mountPath": "/v"}, {"name": "w", "mountPath": "/v/link/made"}]);
    pod.set(&["spec", "volumes"], volumes);
    pod.set(&["spec", "containers"], tree!([{"name": "c", "volumeMounts": (mounts)}]));
    machine.volumes.set_up(&Arc::new(pod)).await.unwrap();
    assert_eq!(machine.volumes.mounted("u").len(), 2);
    assert!(!outside.path().join("made").exists());
}

#[tokio::test]
async fn work_that_nobody_waits_for_leaves_nothing_behind() {
    if !may_mount() {
        return;
    }
    let machine = machine();
    for _ in 0..20 {
        let pod = pod(tree!({"emptyDir": {"medium": "Memory"}}));
        let volumes = machine.volumes.clone();
        let work = tokio::spawn(async move { volumes.set_up(&pod).await });
        tokio::task::yield_now().await;
        work.abort();
        machine.volumes.tear_down("u").await.unwrap();
        assert!(machine.volumes.pods_on_disk().is_empty());
    }
}
