//! The FlowSchemas and PriorityLevelConfigurations that every cluster has: upstream's v1.36, mandatory and suggested.

use api::{Value, tree};

/// Tells that the server keeps the spec as it is here.
pub const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

/// Name, shares, lendable percent, and queues with hand size.
type Level = (&'static str, i64, i64, Option<(i64, i64)>);

const LENGTH_LIMIT: i64 = 50;
const LEVELS: [Level; 7] = [
    ("system", 30, 33, Some((64, 6))),
    ("node-high", 40, 25, Some((64, 6))),
    ("leader-election", 10, 0, Some((16, 4))),
    ("workload-high", 40, 50, Some((128, 6))),
    ("workload-low", 100, 90, Some((128, 6))),
    ("global-default", 20, 50, Some((128, 6))),
    ("catch-all", 5, 0, None),
];

const EVERYBODY: &[&str] = &["system:unauthenticated", "system:authenticated"];

/// Whom a schema is about.
enum Who {
    Groups(&'static [&'static str]),
    User(&'static str),
    /// The accounts of kube-system, and these users.
    System(&'static [&'static str]),
}

/// What a schema is about.
enum What {
    Everything,
    Probes,
    LeaderElection,
    Heartbeats,
}

/// Name, level, precedence, distinguisher, whom and what.
type Schema = (&'static str, &'static str, i64, &'static str, Who, What);

const SCHEMAS: [Schema; 11] = [
    ("system-nodes", "system", 500, "ByUser", Who::Groups(&["system:nodes"]), What::Everything),
    ("system-node-high", "node-high", 400, "ByUser", Who::Groups(&["system:nodes"]), What::Heartbeats),
    ("probes", "exempt", 2, "", Who::Groups(EVERYBODY), What::Probes),
    (
        "system-leader-election",
        "leader-election",
        100,
        "ByUser",
        Who::System(&["system:kube-controller-manager", "system:kube-scheduler"]),
        What::LeaderElection,
    ),
    (
        "kube-controller-manager",
        "workload-high",
        800,
        "ByNamespace",
        Who::User("system:kube-controller-manager"),
        What::Everything,
    ),
    (
        "kube-scheduler",
        "workload-high",
        800,
        "ByNamespace",
        Who::User("system:kube-scheduler"),
        What::Everything,
    ),
    ("kube-system-service-accounts", "workload-high", 900, "ByNamespace", Who::System(&[]), What::Everything),
    (
        "service-accounts",
        "workload-low",
        9_000,
        "ByUser",
        Who::Groups(&["system:serviceaccounts"]),
        What::Everything,
    ),
    ("global-default", "global-default", 9_900, "ByUser", Who::Groups(EVERYBODY), What::Everything),
    ("exempt", "exempt", 1, "", Who::Groups(&["system:masters"]), What::Everything),
    ("catch-all", "catch-all", 10_000, "ByUser", Who::Groups(EVERYBODY), What::Everything),
];

/// Whether the spec of an object of that name is never anybody else's.
pub fn is_mandatory(name: &str) -> bool {
    matches!(name, "exempt" | "catch-all")
}

/// PriorityLevelConfigurations.
pub fn levels() -> Vec<Value> {
    let exempt = tree!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}});
    let limited = LEVELS.iter().map(|(name, shares, lendable, queues)| {
        let response = match queues {
            None => tree!({"type": "Reject"}),
            Some((queues, hand)) => tree!({"type": "Queue", "queuing": {
                "queues": (*queues), "handSize": (*hand), "queueLengthLimit": LENGTH_LIMIT}}),
        };
        let limited = tree!({"nominalConcurrencyShares": (*shares), "lendablePercent": (*lendable),
            "limitResponse": response});
        object(name, tree!({"type": "Limited", "limited": limited}))
    });
    limited.chain([object("exempt", exempt)]).collect()
}

/// FlowSchemas.
pub fn schemas() -> Vec<Value> {
    let schemas = SCHEMAS.iter().map(|(name, level, precedence, method, who, what)| {
        let mut rule = tree!({"subjects": subjects(who)});
        let (resources, paths) = rules(what);
        for (field, rules) in [("resourceRules", resources), ("nonResourceRules", paths)] {
            if !rules.is_empty() {
                rule.set(&[field], Value::List(rules));
            }
        }
        let mut spec = tree!({"priorityLevelConfiguration": {"name": (*level)},
            "matchingPrecedence": (*precedence), "rules": [rule]});
        if !method.is_empty() {
            spec.set(&["distinguisherMethod", "type"], *method);
        }
        object(name, spec)
    });
    schemas.collect()
}

fn object(name: &str, spec: Value) -> Value {
    tree!({"metadata": {"name": name, "annotations": {AUTO_UPDATE: "true"}}, "spec": spec})
}

fn subjects(who: &Who) -> Value {
    let user = |name: &&str| tree!({"kind": "User", "user": {"name": (*name)}});
    Value::List(match who {
        Who::Groups(groups) => {
            groups.iter().map(|name| tree!({"kind": "Group", "group": {"name": (*name)}})).collect()
        }
        Who::User(name) => vec![user(name)],
        Who::System(users) => {
            let accounts = tree!({"kind": "ServiceAccount",
                "serviceAccount": {"name": "*", "namespace": "kube-system"}});
            users.iter().map(user).chain([accounts]).collect()
        }
    })
}

/// Rules about resources and about paths.
fn rules(what: &What) -> (Vec<Value>, Vec<Value>) {
    let rule = |verbs: &[&str], group: &str, resources: &[&str], cluster: bool| {
        let mut rule = tree!({"verbs": verbs.to_vec(), "apiGroups": [group], "resources": resources.to_vec(),
            "namespaces": ["*"]});
        if cluster {
            rule.set(&["clusterScope"], true);
        }
        rule
    };
    let paths = |verb: &str, urls: &[&str]| tree!({"verbs": [verb], "nonResourceURLs": urls.to_vec()});
    let leases = |verbs: &[&str]| rule(verbs, "coordination.k8s.io", &["leases"], false);
    match what {
        What::Everything => (vec![rule(&["*"], "*", &["*"], true)], vec![paths("*", &["*"])]),
        What::Probes => (Vec::new(), vec![paths("get", &["/healthz", "/readyz", "/livez"])]),
        What::LeaderElection => (vec![leases(&["get", "create", "update"])], Vec::new()),
        What::Heartbeats => {
            (vec![rule(&["*"], "", &["nodes", "nodes/status"], true), leases(&["*"])], Vec::new())
        }
    }
}
