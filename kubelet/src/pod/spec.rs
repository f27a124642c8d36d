//! What a pod's spec says of its containers: which there are, and when one that ended is started again.
//! Source: upstream's `pkg/api/v1/pod`, with the restart rules of single containers.

use api::Value;
use api::resources::is_sidecar;

/// The three lists of containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum List {
    Init,
    Main,
    Ephemeral,
}

impl List {
    /// The field of the spec.
    pub fn field(self) -> &'static str {
        match self {
            List::Init => "initContainers",
            List::Main => "containers",
            List::Ephemeral => "ephemeralContainers",
        }
    }

    /// The field of the status.
    pub fn statuses(self) -> &'static str {
        match self {
            List::Init => "initContainerStatuses",
            List::Main => "containerStatuses",
            List::Ephemeral => "ephemeralContainerStatuses",
        }
    }

    pub fn of(self, pod: &Value) -> &[Value] {
        pod.list_at(&["spec", self.field()])
    }
}

pub const LISTS: [List; 3] = [List::Init, List::Main, List::Ephemeral];

/// All containers of a pod with their lists.
pub fn containers(pod: &Value) -> impl Iterator<Item = (List, &Value)> {
    LISTS.into_iter().flat_map(move |list| list.of(pod).iter().map(move |container| (list, container)))
}

pub fn container<'a>(pod: &'a Value, name: &str) -> Option<(List, &'a Value)> {
    containers(pod).find(|(_, container)| name_of(container) == name)
}

pub fn name_of(container: &Value) -> &str {
    container.str_at(&["name"])
}

pub fn sidecars(pod: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    List::Init.of(pod).iter().filter(|container| is_sidecar(container))
}

pub fn uid(pod: &Value) -> &str {
    pod.str_at(&["metadata", "uid"])
}

pub fn is_leaving(pod: &Value) -> bool {
    !pod.str_at(&["metadata", "deletionTimestamp"]).is_empty()
}

pub fn uses_host_network(pod: &Value) -> bool {
    pod.bool_at(&["spec", "hostNetwork"])
}

pub fn is_terminal(phase: &str) -> bool {
    matches!(phase, "Succeeded" | "Failed")
}

/// `NAME_NAMESPACE(UID)`, as messages name pods.
pub fn full_name(pod: &Value) -> String {
    let meta = |field: &str| pod.str_at(&["metadata", field]);
    format!("{}_{}({})", meta("name"), meta("namespace"), meta("uid"))
}

fn policy<'a>(pod: &'a Value, container: &'a Value) -> &'a str {
    match container.str_at(&["restartPolicy"]) {
        "" => pod.str_at(&["spec", "restartPolicy"]),
        own => own,
    }
}

/// Whether a container that failed a probe, or is lost, is started again.
pub fn restarts_on_failure(pod: &Value, container: &Value) -> bool {
    policy(pod, container) != "Never"
}

/// Whether success ends the container for good while failure does not.
pub fn runs_once(pod: &Value, container: &Value) -> bool {
    policy(pod, container) == "OnFailure"
}

/// What the first rule says that goes for the exit code: `Restart`, `RestartAllContainers`.
fn rule(container: &Value, exit_code: i32) -> Option<&str> {
    let goes = |rule: &&Value| {
        let codes = rule.list_at(&["exitCodes", "values"]);
        let listed = codes.iter().any(|code| code.as_i64() == Some(i64::from(exit_code)));
        match rule.str_at(&["exitCodes", "operator"]) {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        }
    };
    container.list_at(&["restartPolicyRules"]).iter().find(goes).map(|rule| rule.str_at(&["action"]))
}

/// Whether a container that ended with this code is started again.
pub fn restarts(pod: &Value, container: &Value, exit_code: i32) -> bool {
    if !container.str_at(&["restartPolicy"]).is_empty() && rule(container, exit_code).is_some() {
        return true;
    }
    match policy(pod, container) {
        "OnFailure" => exit_code != 0,
        "Never" => false,
        _ => true,
    }
}

/// Whether a container that ended with this code has all containers of its pod start anew.
pub fn restarts_all(container: &Value, exit_code: i32) -> bool {
    rule(container, exit_code) == Some("RestartAllContainers")
}

/// Whether any container could ever have all containers start anew.
pub fn may_restart_all(pod: &Value) -> bool {
    let asks = |rule: &Value| rule.str_at(&["action"]) == "RestartAllContainers";
    containers(pod).any(|(_, container)| container.list_at(&["restartPolicyRules"]).iter().any(asks))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_containers_own_policy_and_rules_go_before_the_pods() {
        let pod = tree!({"spec": {"restartPolicy": "Never"}});
        let plain = tree!({"name": "c"});
        assert!(!restarts(&pod, &plain, 1) && !restarts_on_failure(&pod, &plain));
        let own = tree!({"name": "c", "restartPolicy": "OnFailure"});
        assert!(restarts(&pod, &own, 1) && !restarts(&pod, &own, 0));
        let ruled = tree!({"name": "c", "restartPolicy": "Never", "restartPolicyRules": [
            {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}},
            {"action": "RestartAllContainers", "exitCodes": {"operator": "NotIn", "values": [0, 1]}}
        ]});
        let told: Vec<bool> = [0, 1, 2, 42].iter().map(|code| restarts(&pod, &ruled, *code)).collect();
        assert_eq!(told, [false, false, true, true]);
        assert!(restarts_all(&ruled, 2) && !restarts_all(&ruled, 42));
    }
}
