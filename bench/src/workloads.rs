//! The workloads, each a name and a way to make requests; what they need on the server is made before time is taken.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::Args;
use crate::connection::Call;
use crate::figures::Figures;
use crate::load::{self, Load, Turn};
use crate::server::{LISTS, Server};
use crate::{flood, objects, pods, protobuf, report, scheduling, watchers};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json";
/// Deployments that the apply workload takes in turn.
const DEPLOYMENTS: usize = 200;

/// RoleBindings of other users.
const ROLE_BINDINGS: usize = 1_000;

/// What must be on the server before a workload runs.
#[derive(Clone, Copy)]
enum Needs {
    Nothing,
    ConfigMaps,
    Pods,
    ManyPods,
    /// Which stay, while pods on nodes that are not there go.
    ManyConfigMaps,
    Deployments,
    /// A ConfigMap for each request, to be deleted by it.
    Victims,
    /// Pods, and many RoleBindings in their namespace, one of which lets a plain user read them.
    RoleBindings,
}

/// What a workload knows about its round.
#[derive(Clone)]
struct Round {
    namespace: String,
    round: usize,
    objects: usize,
}

struct Workload {
    name: &'static str,
    needs: Needs,
    /// Lists are few and long: a hundredth of the requests, four at a time.
    list: bool,
    keep_answers: bool,
    /// As a service account instead of as the kubeconfig's user.
    plain_user: bool,
    call: fn(&Round, &Turn<'_>) -> Call,
}

const fn single(name: &'static str, needs: Needs, call: fn(&Round, &Turn<'_>) -> Call) -> Workload {
    Workload { name, needs, list: false, keep_answers: false, plain_user: false, call }
}

const fn list(name: &'static str, call: fn(&Round, &Turn<'_>) -> Call) -> Workload {
    Workload { list: true, ..single(name, Needs::ManyPods, call) }
}

const WORKLOADS: [Workload; 22] = [
    single("get-pod", Needs::Pods, |round, turn| Call::get(round.pick("pods", "pod", turn))),
    single("get-pod-protobuf", Needs::Pods, |round, turn| {
        accepting(PROTOBUF, round.pick("pods", "pod", turn))
    }),
    single("get-configmap", Needs::ConfigMaps, |round, turn| {
        Call::get(round.pick("configmaps", "map", turn))
    }),
    Workload {
        plain_user: true,
        ..single("get-pod-rbac", Needs::RoleBindings, |round, turn| {
            Call::get(round.pick("pods", "pod", turn))
        })
    },
    single("create-configmap", Needs::Nothing, |round, turn| {
        round.create("configmaps", objects::config_map(&round.fresh("made", turn), 0))
    }),
    single("create-pod", Needs::Nothing, |round, turn| {
        round.create("pods", objects::pod(&round.fresh("made", turn), turn.index))
    }),
    single("update-configmap", Needs::ConfigMaps, |round, turn| {
        let name = round.picked("map", turn);
        let body = objects::config_map(&name, round.unique(turn));
        Call::with_body("PUT", round.path("configmaps", &name), JSON, body.to_string())
    }),
    single("patch-merge", Needs::ConfigMaps, |round, turn| {
        let body = json!({"metadata": {"labels": {"turn": round.unique(turn).to_string()}}});
        round.patch("configmaps", "map", turn, "application/merge-patch+json", &body)
    }),
    single("patch-json", Needs::ConfigMaps, |round, turn| {
        let body = json!([{"op": "add", "path": "/data/turn", "value": round.unique(turn).to_string()}]);
        round.patch("configmaps", "map", turn, "application/json-patch+json", &body)
    }),
    single("patch-strategic", Needs::Pods, |round, turn| {
        let body = json!({"metadata": {"labels": {"turn": round.unique(turn).to_string()}}});
        round.patch("pods", "pod", turn, "application/strategic-merge-patch+json", &body)
    }),
    single("patch-status", Needs::Pods, |round, turn| {
        let condition =
            json!({"type": "Ready", "status": "False", "message": round.unique(turn).to_string()});
        let body = json!({"status": {"conditions": [condition]}}).to_string();
        let path = format!("{}/status", round.pick("pods", "pod", turn));
        Call::with_body("PATCH", path, "application/strategic-merge-patch+json", body)
    }),
    single("apply-deployment", Needs::Deployments, |round, turn| {
        round.apply(turn.index % DEPLOYMENTS, turn.index / DEPLOYMENTS)
    }),
    single("delete-configmap", Needs::Victims, |round, turn| {
        let path = round.path("configmaps", &round.fresh("victim", turn));
        Call { method: "DELETE", ..Call::get(path) }
    }),
    Workload {
        keep_answers: true,
        // A worker is a node: it makes its lease once and renews it from then on.
        ..single("renew-lease", Needs::Nothing, |round, turn| match protobuf::resource_version(turn.last) {
            Some(version) => round.lease("PUT", turn.worker, version),
            None => round.lease("POST", turn.worker, ""),
        })
    },
    list("list-json", |round, _| Call::get(round.many(""))),
    list("list-gzip", |round, _| Call { gzip: true, ..Call::get(round.many("")) }),
    list("list-protobuf", |round, _| accepting(PROTOBUF, round.many(""))),
    list("list-table", |round, _| accepting(TABLE, round.many(""))),
    list("list-metadata", |round, _| accepting(METADATA, round.many(""))),
    Workload {
        keep_answers: true,
        ..list("list-page-500", |round, turn| {
            Call::get(round.many(&format!("?limit=500{}", next_page(turn.last))))
        })
    },
    list("list-by-label", |round, turn| {
        Call::get(round.many(&format!("?labelSelector=bucket%3D{}", objects::bucket(turn.index))))
    }),
    list("list-by-node", |round, turn| {
        Call::get(round.many(&format!("?fieldSelector=spec.nodeName%3D{}", objects::node(turn.index))))
    }),
];

impl Round {
    fn path(&self, resource: &str, name: &str) -> String {
        format!("/api/v1/namespaces/{}/{resource}/{name}", self.namespace)
    }

    /// The namespace of what is listed.
    fn lists(&self) -> String {
        format!("/api/v1/namespaces/{}{LISTS}", self.namespace)
    }

    fn many(&self, query: &str) -> String {
        format!("{}/pods{query}", self.lists())
    }

    /// The name of an object that is there: the same sequence on every server, spread over all of them.
    fn picked(&self, prefix: &str, turn: &Turn<'_>) -> String {
        format!("{prefix}-{}", turn.index * 7_919 % self.objects.max(1))
    }

    fn pick(&self, resource: &str, prefix: &str, turn: &Turn<'_>) -> String {
        self.path(resource, &self.picked(prefix, turn))
    }

    /// A name of this round's own.
    fn fresh(&self, prefix: &str, turn: &Turn<'_>) -> String {
        format!("{prefix}-{}-{}", self.round, turn.index)
    }

    /// A number that no other request of the run has, so that no write is without effect.
    fn unique(&self, turn: &Turn<'_>) -> usize {
        self.round * 10_000_000 + turn.index
    }

    fn create(&self, resource: &str, body: Value) -> Call {
        let path = format!("/api/v1/namespaces/{}/{resource}", self.namespace);
        Call::with_body("POST", path, JSON, body.to_string())
    }

    fn patch(&self, resource: &str, prefix: &str, turn: &Turn<'_>, kind: &'static str, body: &Value) -> Call {
        Call::with_body("PATCH", self.pick(resource, prefix, turn), kind, body.to_string())
    }

    /// Three managers in turn, each applying the same twice.
    fn apply(&self, deployment: usize, turn: usize) -> Call {
        let name = format!("applied-{deployment}");
        let path = format!(
            "/apis/apps/v1/namespaces/{}/deployments/{name}?fieldManager=m{}&force=true",
            self.namespace,
            turn / 2 % 3
        );
        let body = objects::applied_deployment(&name, turn).to_string();
        Call::with_body("PATCH", path, "application/apply-patch+yaml", body)
    }

    fn lease(&self, method: &'static str, worker: usize, version: &str) -> Call {
        let name = format!("node-{}-{worker}", self.round);
        let collection = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.namespace);
        let path = if method == "POST" { collection } else { format!("{collection}/{name}") };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let body =
            protobuf::lease(&name, &self.namespace, version, (now.as_secs(), now.subsec_micros() * 1_000));
        Call { accept: PROTOBUF, ..Call::with_body(method, path, PROTOBUF, body) }
    }
}

fn accepting(accept: &'static str, path: String) -> Call {
    Call { accept, ..Call::get(path) }
}

/// The query for the page after this answer; empty for the first. The token stands in the first bytes of a list.
fn next_page(last: &[u8]) -> String {
    let head = String::from_utf8_lossy(&last[..last.len().min(4_096)]).into_owned();
    let token = head.split_once("\"continue\":\"").and_then(|(_, rest)| rest.split('"').next());
    token.map(|token| format!("&continue={token}")).unwrap_or_default()
}

/// Runs all chosen workloads: each round on each server in turn.
///
/// # Errors
/// Names the workload that failed.
pub async fn run_all(args: &Args, servers: &mut [Server]) -> Result<report::Report> {
    let wanted =
        |name: &str| args.only.is_empty() || args.only.iter().any(|word| name.contains(word.as_str()));
    let mut report = report::Report::default();
    for workload in WORKLOADS.iter().filter(|workload| wanted(workload.name)) {
        let mut rounds = vec![Vec::new(); servers.len()];
        for round in 0..args.rounds {
            for (server, rounds) in servers.iter_mut().zip(&mut rounds) {
                let figures = one_round(args, server, workload, round).await;
                rounds.push(figures.with_context(|| workload.name)?);
            }
        }
        eprintln!("bench: {}", workload.name);
        report.add(workload.name, &rounds);
    }
    if wanted("watch-fan-out") {
        let mut rounds: Vec<Vec<Figures>> = vec![Vec::new(); servers.len()];
        for _ in 0..args.rounds {
            for (server, rounds) in servers.iter_mut().zip(&mut rounds) {
                rounds.push(watchers::run(args, server).await.context("watch-fan-out")?);
            }
        }
        report.add("watch-fan-out", &rounds);
    }
    if args.only.iter().any(|word| "scheduling".contains(word.as_str())) {
        let mut rounds: Vec<Vec<Figures>> = vec![Vec::new(); servers.len()];
        for round in 0..args.rounds {
            for (server, rounds) in servers.iter_mut().zip(&mut rounds) {
                let figures = scheduling::run(args, server, round).await.context("scheduling")?;
                eprintln!("bench: scheduling, round {round}: {:.0} pods/s", figures.per_second);
                rounds.push(figures);
            }
        }
        report.add("scheduling", &rounds);
    }
    if args.only.iter().any(|word| word == "pods") {
        lives(args, servers, &mut report).await.context("pods")?;
    }
    if wanted("flood") {
        floods(args, servers, &mut report).await.context("flood")?;
    }
    Ok(report)
}

/// How long pods take to come and to go.
async fn lives(args: &Args, servers: &[Server], report: &mut report::Report) -> Result<()> {
    let mut rounds = [vec![Vec::new(); servers.len()], vec![Vec::new(); servers.len()]];
    for round in 0..args.rounds {
        for (index, server) in servers.iter().enumerate() {
            let [ready, gone] = pods::run(args, server, round).await?;
            rounds[0][index].push(ready);
            rounds[1][index].push(gone);
        }
    }
    let [ready, gone] = rounds;
    report.add("pod-ready", &ready);
    report.add("pod-gone", &gone);
    Ok(())
}

/// What one user waits while it is quiet, and while another floods the server.
async fn floods(args: &Args, servers: &mut [Server], report: &mut report::Report) -> Result<()> {
    let mut rounds = [vec![Vec::new(); servers.len()], vec![Vec::new(); servers.len()]];
    for round in 0..args.rounds {
        for (index, server) in servers.iter_mut().enumerate() {
            let context = Round { namespace: server.namespace.clone(), round, objects: args.objects };
            for needs in [Needs::ConfigMaps, Needs::ManyConfigMaps] {
                prepare(args, server, needs, &context).await.context("cannot prepare")?;
            }
            let flood::Round { quiet, flooded, lists, refused } = flood::run(args, server).await?;
            eprintln!("bench: flood: {lists} lists answered, {refused} refused");
            rounds[0][index].push(quiet);
            rounds[1][index].push(flooded);
        }
    }
    let [quiet, flooded] = rounds;
    report.add("flood-quiet-get", &quiet);
    report.add("flood-get", &flooded);
    Ok(())
}

async fn one_round(args: &Args, server: &mut Server, workload: &Workload, round: usize) -> Result<Figures> {
    let context = Round { namespace: server.namespace.clone(), round, objects: args.objects };
    prepare(args, server, workload.needs, &context).await.context("cannot prepare")?;
    let (requests, workers) = match workload.list {
        true => ((args.requests / 100).max(1), args.concurrency.min(4)),
        false => (args.requests, args.concurrency),
    };
    let call = workload.call;
    let calls = Arc::new(move |turn: &Turn<'_>| call(&context, turn));
    let load = Load { requests, workers, keep_answers: workload.keep_answers, calls };
    if !workload.plain_user {
        return load::run(server, load).await;
    }
    server.change_user(args).await?;
    let figures = load::run(server, load).await;
    server.change_user(args).await?;
    figures
}

async fn prepare(args: &Args, server: &mut Server, needs: Needs, context: &Round) -> Result<()> {
    let (name, requests): (String, usize) = match needs {
        Needs::Nothing => return Ok(()),
        Needs::ConfigMaps => ("configmaps".into(), args.objects),
        Needs::Pods => ("pods".into(), args.objects),
        Needs::ManyPods => ("many".into(), args.list_objects),
        Needs::ManyConfigMaps => ("many-configmaps".into(), args.list_objects),
        Needs::Deployments => ("deployments".into(), DEPLOYMENTS),
        Needs::Victims => (format!("victims-{}", context.round), args.requests),
        Needs::RoleBindings => {
            Box::pin(prepare(args, server, Needs::Pods, context)).await?;
            server.allow_default_account().await?;
            ("rolebindings".into(), ROLE_BINDINGS)
        }
    };
    if !server.made.insert(name) {
        return Ok(());
    }
    let context = context.clone();
    let calls = Arc::new(move |turn: &Turn<'_>| match needs {
        Needs::ConfigMaps => {
            context.create("configmaps", objects::config_map(&format!("map-{}", turn.index), 0))
        }
        Needs::ManyConfigMaps => {
            let body = objects::config_map(&format!("map-{}", turn.index), 0).to_string();
            Call::with_body("POST", format!("{}/configmaps", context.lists()), JSON, body)
        }
        Needs::Pods => context.create("pods", objects::pod(&format!("pod-{}", turn.index), turn.index)),
        Needs::Deployments => context.apply(turn.index, 0),
        Needs::RoleBindings => {
            let body = objects::role_binding(&format!("binding-{}", turn.index), turn.index);
            Call::with_body(
                "POST",
                objects::rbac_path(&context.namespace, "rolebindings"),
                JSON,
                body.to_string(),
            )
        }
        Needs::Victims => {
            context.create("configmaps", objects::config_map(&context.fresh("victim", turn), 0))
        }
        _ => {
            let body = objects::pod(&format!("pod-{}", turn.index), turn.index).to_string();
            Call::with_body("POST", context.many(""), JSON, body)
        }
    });
    load::run(server, Load { requests, workers: args.concurrency, keep_answers: false, calls }).await?;
    Ok(())
}
