//! Nobody gets in where nobody let them: every verb of every resource and subresource that the server says it has, and
//! every path, is refused to strangers and to a user without rights, before a byte of the body is waited for.
//!
//! What they are allowed all the same stands in `access_exceptions.txt`, which only shrinks: a right that is not listed
//! fails the test, and so does a line that nobody needs.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use conformance::kubeconfig::Access;
use conformance::{Answer, Server, Wire, binary, wire};
use serde_json::Value;

const VERBS: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
/// A refusal does not take so long: who says nothing for this time waits for the rest of the body.
const PATIENCE: Duration = Duration::from_secs(5);
/// A kind that is not built in.
const CUSTOM: &str = r#"{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
    "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
    "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}"#;

/// A resource or subresource, as discovery has it.
#[derive(Debug)]
struct Resource {
    group: String,
    version: String,
    plural: String,
    subresource: String,
    namespaced: bool,
}

impl Resource {
    /// `pods/log`, `deployments.apps/scale`.
    fn name(&self) -> String {
        let dot = if self.group.is_empty() { "" } else { "." };
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        format!("{}{dot}{}{slash}{}", self.plural, self.group, self.subresource)
    }

    /// Method and path of a verb; nothing where there is no such request.
    fn request(&self, verb: &str) -> Option<(&'static str, String)> {
        let root = match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        let space = if self.namespaced { "/namespaces/default" } else { "" };
        let collection = format!("{root}{space}/{}", self.plural);
        if !self.subresource.is_empty() {
            let path = format!("{collection}/x/{}", self.subresource);
            let method = match verb {
                "get" => "GET",
                "create" => "POST",
                "update" => "PUT",
                "patch" => "PATCH",
                "delete" => "DELETE",
                _ => return None,
            };
            return Some((method, path));
        }
        let object = format!("{collection}/x");
        Some(match verb {
            "get" => ("GET", object),
            "list" => ("GET", collection),
            "watch" => ("GET", format!("{collection}?watch=true")),
            "create" => ("POST", collection),
            "update" => ("PUT", object),
            "patch" => ("PATCH", object),
            "delete" => ("DELETE", object),
            _ => ("DELETE", collection),
        })
    }

    /// What the refusal must say.
    fn refusal(&self, user: &str, verb: &str) -> String {
        let named = !matches!(verb, "list" | "watch" | "deletecollection")
            && (verb != "create" || !self.subresource.is_empty());
        let name = if named { " \"x\"" } else { "" };
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        let place = if self.namespaced { "in the namespace \"default\"" } else { self.cluster_place(named) };
        let dot = if self.group.is_empty() { "" } else { "." };
        format!(
            "{}{dot}{}{name} is forbidden: User \"{user}\" cannot {verb} resource \"{}{slash}{}\" in API group \"{}\" {place}",
            self.plural, self.group, self.plural, self.subresource, self.group
        )
    }

    /// A namespace is in itself.
    fn cluster_place(&self, named: bool) -> &'static str {
        let namespace = self.group.is_empty() && self.plural == "namespaces" && named;
        if namespace { "in the namespace \"x\"" } else { "at the cluster scope" }
    }
}

/// Somebody without rights.
struct Stranger {
    /// As the exceptions call them.
    title: &'static str,
    user: &'static str,
    access: Option<Access>,
}

impl Stranger {
    fn open(&self, server: &Server) -> Wire {
        let opened = match &self.access {
            Some(access) => Wire::with(access),
            None => Wire::anonymous(server),
        };
        opened.unwrap_or_else(|error| panic!("{error:#}\n{}", server.log()))
    }

    /// Sends a request whose body never ends, and reads the refusal. Nothing when there is none: the server answers
    /// otherwise, or waits for the body.
    fn refusal(&self, server: &Server, method: &str, path: &str) -> Option<Answer> {
        let mut wire = self.open(server);
        let head = if matches!(method, "GET" | "HEAD") {
            wire::head(method, path, &[])
        } else {
            let length = ("content-length", "3000000");
            wire::head(method, path, &[("content-type", "application/json"), length]) + "{\"broken"
        };
        wire.send(head.as_bytes()).unwrap_or_else(|error| panic!("{method} {path}: {error:#}"));
        let answer =
            wire.answer_within(PATIENCE).unwrap_or_else(|error| panic!("{method} {path}: {error:#}"));
        answer.filter(|answer| matches!(answer.status, 401 | 403))
    }
}

fn admin(server: &Server, path: &str) -> Value {
    let answer = Wire::open(server).and_then(|mut wire| wire.get(path)).expect("the administrator gets in");
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// What discovery says there is.
fn resources(server: &Server) -> Vec<Resource> {
    let mut versions = vec![(String::new(), "v1".to_owned(), "/api/v1".to_owned())];
    for group in admin(server, "/apis")["groups"].as_array().expect("groups") {
        let name = group["name"].as_str().expect("a name");
        for version in group["versions"].as_array().expect("versions") {
            let version = version["version"].as_str().expect("a version");
            versions.push((name.to_owned(), version.to_owned(), format!("/apis/{name}/{version}")));
        }
    }
    let mut all = Vec::new();
    for (group, version, path) in versions {
        for found in admin(server, &path)["resources"].as_array().expect("resources") {
            let name = found["name"].as_str().expect("a name");
            let (plural, subresource) = name.split_once('/').unwrap_or((name, ""));
            all.push(Resource {
                group: group.clone(),
                version: version.clone(),
                plural: plural.to_owned(),
                subresource: subresource.to_owned(),
                namespaced: found["namespaced"].as_bool() == Some(true),
            });
        }
    }
    all
}

fn strangers(server: &Server) -> [Stranger; 2] {
    let made = Command::new(binary::path())
        .args(["kubeconfig", "--user", "nobody", "--data-dir"])
        .arg(server.data_dir())
        .output()
        .expect("pintle runs");
    let path = server.folder().join("nobody.kubeconfig");
    std::fs::write(&path, &made.stdout).expect("a file");
    let access = Access::read(&path).expect("a kubeconfig");
    [
        Stranger { title: "anonymous", user: "system:anonymous", access: None },
        Stranger { title: "authenticated", user: "nobody", access: Some(access) },
    ]
}

/// Paths without resources: those that the server lists, and some that it does not.
fn paths(server: &Server) -> BTreeSet<String> {
    let listed = admin(server, "/");
    let listed = listed["paths"].as_array().expect("paths").iter().filter_map(Value::as_str);
    let mut paths: BTreeSet<String> = listed.map(str::to_owned).collect();
    let dumps = ["dump_priority_levels", "dump_queues", "dump_requests"];
    paths.extend(dumps.map(|dump| format!("/debug/api_priority_and_fairness/{dump}")));
    paths.extend(
        ["/", "/api", "/apis", "/logs/", "/nowhere", "/openapi", "/version", "/version/"].map(str::to_owned),
    );
    paths
}

fn check_resources(server: &Server, who: &Stranger, allowed: &mut BTreeSet<String>) -> usize {
    let mut asked = 0;
    for resource in resources(server) {
        for verb in VERBS {
            let Some((method, path)) = resource.request(verb) else { continue };
            asked += 1;
            let Some(answer) = who.refusal(server, method, &path) else {
                allowed.insert(format!("{} {verb} {}", who.title, resource.name()));
                continue;
            };
            let (body, wanted) = (answer.json(), resource.refusal(who.user, verb));
            let message = body["message"].as_str().unwrap_or_default();
            assert!(message.starts_with(&wanted), "{method} {path}:\n{message}\n{wanted}");
            let seen = (answer.status, body["kind"].as_str(), body["reason"].as_str(), body["code"].as_i64());
            assert_eq!(seen, (403, Some("Status"), Some("Forbidden"), Some(403)), "{method} {path}");
        }
    }
    asked
}

fn check_paths(server: &Server, who: &Stranger, allowed: &mut BTreeSet<String>) {
    for path in paths(server) {
        for method in ["GET", "POST"] {
            let verb = method.to_ascii_lowercase();
            let Some(answer) = who.refusal(server, method, &path) else {
                allowed.insert(format!("{} {verb} {path}", who.title));
                continue;
            };
            let message = answer.json()["message"].as_str().unwrap_or_default().to_owned();
            let wanted = format!("forbidden: User \"{}\" cannot {verb} path \"{path}\"", who.user);
            assert!(message.starts_with(&wanted), "{method} {path}:\n{message}\n{wanted}");
        }
    }
}

fn exceptions() -> BTreeSet<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("access_exceptions.txt");
    let text = std::fs::read_to_string(file).expect("the exceptions");
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// Whether a line of the exceptions speaks of a right.
fn covers(line: &str, right: &str) -> bool {
    line.strip_suffix('*').map_or(line == right, |start| right.starts_with(start))
}

#[test]
fn strangers_are_refused_everything_but_the_exceptions_before_the_body_is_read() {
    let server = Server::start_with(&["--store", "memory"]);
    let made = Wire::open(&server).and_then(|mut wire| {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        wire.request("POST", path, "application/json", CUSTOM.as_bytes())
    });
    assert_eq!(made.expect("an answer").status, 201);
    let served = || resources(&server).iter().any(|resource| resource.name() == "widgets.example.com/status");
    conformance::wait::until(20, || served().then_some(())).expect("the custom kind is served");
    let mut allowed = BTreeSet::new();
    for who in strangers(&server) {
        let asked = check_resources(&server, &who, &mut allowed);
        assert!(asked > 600, "only {asked} requests: discovery is not what it was");
        check_paths(&server, &who, &mut allowed);
    }
    let listed = exceptions();
    let unlisted: Vec<_> = allowed.iter().filter(|right| !listed.iter().any(|l| covers(l, right))).collect();
    assert!(unlisted.is_empty(), "allowed though not listed: {unlisted:#?}");
    let needless: Vec<_> = listed.iter().filter(|line| !allowed.iter().any(|r| covers(line, r))).collect();
    assert!(needless.is_empty(), "listed though nobody needs it, to be removed: {needless:#?}");
}
