//! Whether the node takes a pod: the scheduler is not asked by all, and can be too late. Source: upstream's
//! `lifecycle/predicate.go`.

use super::Wait;
use super::spec;
use crate::cgroups::qos_class;
use crate::pods::Pods;
use api::node_selection::{NodeTerm, Taint, Toleration, node_selector};
use api::resources::{self, Amounts, amounts, is_sidecar};
use api::{Map, Value};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The pods that the node has taken and that still use it.
#[derive(Default)]
pub struct Admitted {
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    by_uid: HashMap<String, Arc<Value>>,
    /// Uids of those that a kubelet before this one took, until their workers have looked at them.
    before: HashSet<String>,
    /// Those that wait for room for more, as they would be; who gets it first is first.
    cramped: Vec<Arc<Value>>,
}

impl Taken {
    /// The pods beside this one that count: those that `pods` still has.
    fn others(&self, pod: &Value, pods: &Pods) -> Vec<Arc<Value>> {
        let known = self.by_uid.values().filter(|other| pods.by_uid(spec::uid(other)).is_some()).cloned();
        let before = self.before.iter().filter(|uid| !self.by_uid.contains_key(*uid));
        let before = before.filter_map(|uid| pods.by_uid(uid));
        let before = before.filter(|other| !spec::is_terminal(other.str_at(&["status", "phase"])));
        known.chain(before).filter(|other| spec::uid(other) != spec::uid(pod)).collect()
    }

    /// Has those decide anew that wait for room.
    fn room_made(&self, pods: &Pods) {
        self.cramped.iter().for_each(|pod| pods.reconsider(spec::uid(pod)));
    }

    /// Those with a higher priority come first, then guaranteed ones, then those that have waited for longer.
    fn queue(&mut self, pod: &Arc<Value>) {
        match self.cramped.iter_mut().find(|known| spec::uid(known) == spec::uid(pod)) {
            Some(known) => *known = pod.clone(),
            None => self.cramped.push(pod.clone()),
        }
        let rank = |pod: &Arc<Value>| {
            let priority = pod.i64_at(&["spec", "priority"]).unwrap_or(0);
            (std::cmp::Reverse(priority), qos_class(pod) != "Guaranteed")
        };
        self.cramped.sort_by_key(rank);
    }

    /// True if it waited.
    fn leave_queue(&mut self, uid: &str) -> bool {
        let before = self.cramped.len();
        self.cramped.retain(|pod| spec::uid(pod) != uid);
        self.cramped.len() < before
    }

    /// Lets `others` have what those get first that have waited for room before this pod.
    fn give_way(&self, pod: &Value, node: &Value, others: &mut [Arc<Value>]) {
        let uid = spec::uid(pod);
        let Some(held) = self.by_uid.get(uid).filter(|held| !is_within(pod, held)) else { return };
        for first in self.cramped.iter().take_while(|first| spec::uid(first) != uid) {
            let is_it = |other: &&mut Arc<Value>| spec::uid(other) == spec::uid(first);
            let mut beside: Vec<&Value> = others.iter().map(|other| &**other).chain([&**held]).collect();
            beside.retain(|other| spec::uid(other) != spec::uid(first));
            if fits(first, node, &beside).is_ok()
                && let Some(other) = others.iter_mut().find(is_it)
            {
                *other = first.clone();
            }
        }
    }
}

impl Admitted {
    /// Of these pods something is here already.
    pub fn found(&self, uids: impl Iterator<Item = String>) {
        self.taken.lock().before.extend(uids);
    }

    /// Takes a pod, if the node has what it asks for. Of others those count that `pods` still has. A pod taken before,
    /// that now asks for more than there is, is told when that may have changed.
    ///
    /// # Errors
    /// Why it does not.
    pub fn admit(&self, pod: &Arc<Value>, node: &Value, is_static: bool, pods: &Pods) -> Result<(), Wait> {
        let mut taken = self.taken.lock();
        let uid = spec::uid(pod).to_owned();
        let mut others = taken.others(pod, pods);
        if taken.by_uid.contains_key(&uid) {
            taken.queue(pod);
            taken.give_way(pod, node, &mut others);
        }
        check(pod, node, &others.iter().map(|other| &**other).collect::<Vec<_>>(), is_static)?;
        taken.leave_queue(&uid);
        if taken.by_uid.insert(uid, pod.clone()).is_some() {
            taken.room_made(pods);
        }
        Ok(())
    }

    /// The pod does not want more than it has. Those that gave way to it may have room now.
    pub fn content(&self, uid: &str, pods: &Pods) {
        let mut taken = self.taken.lock();
        if taken.leave_queue(uid) {
            taken.room_made(pods);
        }
    }

    /// Takes a pod as it is: it was taken before.
    pub fn keep(&self, pod: &Arc<Value>) {
        self.taken.lock().by_uid.insert(spec::uid(pod).to_owned(), pod.clone());
    }

    /// The pod uses nothing any more.
    pub fn release(&self, uid: &str, pods: &Pods) {
        let mut taken = self.taken.lock();
        taken.leave_queue(uid);
        if taken.by_uid.remove(uid).is_some() | taken.before.remove(uid) {
            taken.room_made(pods);
        }
    }
}

fn check(pod: &Value, node: &Value, others: &[&Value], is_static: bool) -> Result<(), Wait> {
    let none = Map::new();
    let labels = node.map_at(&["metadata", "labels"]).unwrap_or(&none);
    let of_system = |system: &str| system.is_empty() || system == "linux";
    if !of_system(pod.str_at(&["metadata", "labels", "kubernetes.io/os"])) {
        let message = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label";
        return Err(Wait::new("PodOSSelectorNodeLabelDoesNotMatch", message));
    }
    if !of_system(pod.str_at(&["spec", "os", "name"])) {
        let message = "Failed to admit pod as the OS field doesn't match node OS";
        return Err(Wait::new("PodOSNotSupported", message));
    }
    crate::sandbox::check_sysctls(pod)?;
    fits(pod, node, others)?;
    let failed = |name: &str, why: &str| Wait::new(name, format!("Predicate {name} failed: {why}"));
    let name = node.str_at(&["metadata", "name"]);
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let is_selected = node_selector(spec).matches(Some(labels))
        && NodeTerm::required(spec).is_none_or(|terms| terms.iter().any(|term| term.matches(name, labels)));
    if !is_selected {
        return Err(failed("NodeAffinity", "node(s) didn't match Pod's node affinity/selector"));
    }
    let wanted = spec.str_at(&["nodeName"]);
    if !wanted.is_empty() && wanted != name {
        return Err(failed("NodeName", "node(s) didn't match the requested node name"));
    }
    if has_port_conflict(pod, others) {
        return Err(failed("NodePorts", "node(s) didn't have free ports for the requested pod ports"));
    }
    let tolerations = Toleration::all(spec);
    let mut taints = node.list_at(&["spec", "taints"]).iter();
    let repels = |taint: &Value| {
        let executes = taint.str_at(&["effect"]) == "NoExecute";
        executes && !tolerations.iter().any(|toleration| toleration.tolerates(&Taint::of(taint)))
    };
    if !is_static && taints.any(repels) {
        return Err(failed("TaintToleration", "node(s) had taints that the pod didn't tolerate"));
    }
    Ok(())
}

/// What a pod asks for, with its overhead.
pub fn asked(pod: &Value) -> Amounts {
    let mut asked = resources::requests(pod, false);
    resources::add(&mut asked, &amounts(pod.at(&["spec", "overhead"])));
    asked
}

/// Whether a pod asks for no more than it has already.
fn is_within(pod: &Value, held: &Value) -> bool {
    let (wanted, has) = (asked(pod), asked(held));
    wanted.keys().all(|name| units(name, &wanted) <= units(name, &has))
}

/// Amounts of processors count in thousandths.
fn units(name: &str, amounts: &Amounts) -> i64 {
    amounts.get(name).map_or(0, |amount| if name == "cpu" { amount.milli() } else { amount.value() })
}

/// Whether the node has room beside the others.
fn fits(pod: &Value, node: &Value, others: &[&Value]) -> Result<(), Wait> {
    let has = amounts(node.at(&["status", "allocatable"]));
    let count = i64::try_from(others.len()).unwrap_or(i64::MAX);
    let lacks = |name: &str, requested: i64, used: i64| {
        let capacity = units(name, &has);
        let message = format!(
            "Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
        );
        (requested > 0 && requested > capacity - used).then(|| Wait::new(&format!("OutOf{name}"), message))
    };
    if let Some(why) = lacks("pods", 1, count) {
        return Err(why);
    }
    let wanted = asked(pod);
    let mut used = Amounts::new();
    for other in others {
        resources::add(&mut used, &asked(other));
    }
    let first = ["cpu", "memory", "ephemeral-storage"];
    // What the node does not know belongs to somebody else.
    let more =
        wanted.keys().map(String::as_str).filter(|name| !first.contains(name) && has.contains_key(*name));
    let why =
        first.into_iter().chain(more).find_map(|name| lacks(name, units(name, &wanted), units(name, &used)));
    why.map_or(Ok(()), Err)
}

/// Protocol, address and port of the node that a pod takes.
fn host_ports(pod: &Value) -> impl Iterator<Item = (&str, &str, i64)> {
    let main = pod.list_at(&["spec", "containers"]).iter();
    let sidecars = pod.list_at(&["spec", "initContainers"]).iter().filter(|container| is_sidecar(container));
    main.chain(sidecars).flat_map(|container| container.list_at(&["ports"])).filter_map(|port| {
        let number = port.i64_at(&["hostPort"]).filter(|number| *number > 0)?;
        let protocol = if port.str_at(&["protocol"]).is_empty() { "TCP" } else { port.str_at(&["protocol"]) };
        let address = if port.str_at(&["hostIP"]).is_empty() { "0.0.0.0" } else { port.str_at(&["hostIP"]) };
        Some((protocol, address, number))
    })
}

fn has_port_conflict(pod: &Value, others: &[&Value]) -> bool {
    let collides = |a: &(&str, &str, i64), b: &(&str, &str, i64)| {
        let same_address = a.1 == b.1 || a.1 == "0.0.0.0" || b.1 == "0.0.0.0";
        a.0 == b.0 && a.2 == b.2 && same_address
    };
    host_ports(pod)
        .any(|wanted| others.iter().any(|other| host_ports(other).any(|taken| collides(&wanted, &taken))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::Source;
    use api::tree;

    fn node() -> Value {
        tree!({
            "metadata": {"name": "node", "labels": {"disk": "ssd"}},
            "spec": {"taints": [{"key": "old", "effect": "NoSchedule"}]},
            "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "2"}}
        })
    }

    fn pod(uid: &str, spec: Value) -> Arc<Value> {
        Arc::new(tree!({"metadata": {"uid": uid}, "spec": (spec)}))
    }

    fn asks(cpu: &str) -> Value {
        tree!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "example.com/x": "1"}}}]})
    }

    /// A node that has these pods.
    #[derive(Default)]
    struct Machine {
        admitted: Admitted,
        pods: Pods,
    }

    impl Machine {
        fn admit(&self, pod: &Arc<Value>, node: &Value) -> Result<(), Wait> {
            self.pods.put(Source::Api, pod.clone());
            self.admitted.admit(pod, node, false, &self.pods)
        }

        fn refusal(&self, pod: &Arc<Value>, node: &Value) -> String {
            let why = self.admit(pod, node).unwrap_err();
            format!("{}: {}", why.reason, why.message)
        }
    }

    #[test]
    fn a_pod_that_is_deleted_by_force_makes_room_at_once() {
        let (machine, node) = (Machine::default(), node());
        machine.admit(&pod("a", asks("2")), &node).unwrap();
        assert!(machine.refusal(&pod("b", asks("2")), &node).starts_with("OutOfcpu"));
        machine.pods.remove("a");
        machine.admit(&pod("b", asks("2")), &node).unwrap();
    }

    #[test]
    fn pods_are_taken_while_there_is_room() {
        let (machine, node) = (Machine::default(), node());
        machine.admit(&pod("a", asks("1500m")), &node).unwrap();
        let told = machine.refusal(&pod("b", asks("1")), &node);
        let wanted =
            "OutOfcpu: Node didn't have enough resource: cpu, requested: 1000, used: 1500, capacity: 2000";
        assert_eq!(told, wanted);
        // Again the same pod: it does not stand in its own way.
        machine.admit(&pod("a", asks("1500m")), &node).unwrap();
        machine.admit(&pod("b", asks("500m")), &node).unwrap();
        let told = machine.refusal(&pod("c", asks("0")), &node);
        assert_eq!(
            told,
            "OutOfpods: Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2"
        );
        machine.admitted.release("a", &machine.pods);
        machine.admit(&pod("c", asks("1")), &node).unwrap();
    }

    #[test]
    fn a_pod_that_wants_more_is_told_when_there_is_more_room() {
        let (machine, mut starts) = {
            let (pods, starts) = Pods::new();
            (Machine { pods, ..Machine::default() }, starts)
        };
        let node = node();
        for (uid, cpu) in [("a", "1"), ("b", "1")] {
            machine.admit(&pod(uid, asks(cpu)), &node).unwrap();
        }
        let mut a = starts.try_recv().unwrap().inbox;
        let resize =
            |uid: &str, cpu: &str| machine.admitted.admit(&pod(uid, asks(cpu)), &node, false, &machine.pods);
        assert!(a.try_recv().is_err());
        assert_eq!(resize("a", "1500m").unwrap_err().reason, "OutOfcpu");
        assert!(a.try_recv().is_err(), "nothing changed");
        resize("b", "700m").unwrap();
        assert!(a.try_recv().is_ok());
        assert!(resize("a", "1500m").is_err());
        machine.admitted.release("b", &machine.pods);
        assert!(a.try_recv().is_ok());
        resize("a", "1500m").unwrap();
        machine.admitted.release("b", &machine.pods);
        assert!(a.try_recv().is_err(), "it waits for nothing");
        machine.admit(&pod("c", asks("100m")), &node).unwrap();
        assert!(resize("a", "3").is_err() && resize("c", "3").is_err());
        for wakes in [true, false] {
            machine.admitted.content("c", &machine.pods);
            assert_eq!(a.try_recv().is_ok(), wakes, "only who waited is given way to");
        }
    }

    #[test]
    fn room_goes_to_the_highest_priority_and_then_to_guaranteed_pods_that_wait() {
        let (machine, mut node) = (Machine::default(), node());
        node.set(&["status", "allocatable", "pods"], "9");
        let of = |uid: &str, cpu: &str| {
            let mut spec = asks(cpu);
            match uid {
                "high" => spec.set(&["priority"], 1000),
                "sure" => {
                    let all = tree!({"cpu": cpu, "memory": "1Mi"});
                    spec.set(
                        &["containers"],
                        tree!([{"name": "c", "resources": {"requests": (all.clone()), "limits": (all)}}]),
                    );
                }
                _ => {}
            }
            pod(uid, spec)
        };
        for (uid, cpu) in [("big", "1500m"), ("low", "100m"), ("sure", "100m"), ("high", "100m")] {
            machine.admit(&of(uid, cpu), &node).unwrap();
        }
        let asked =
            |uid: &str| machine.admitted.admit(&of(uid, "1500m"), &node, false, &machine.pods).is_ok();
        assert_eq!(["low", "sure", "high"].map(asked), [false; 3]);
        machine.admitted.release("big", &machine.pods);
        assert_eq!(["low", "sure", "high", "low", "sure"].map(asked), [false, false, true, false, false]);
        machine.admitted.release("high", &machine.pods);
        machine.admitted.content("sure", &machine.pods);
        assert_eq!(["low", "sure"].map(asked), [true, false]);
    }

    #[test]
    fn what_was_here_before_a_kubelet_started_counts_until_it_is_over() {
        let (machine, node) = (Machine::default(), node());
        machine.admitted.found(["old", "done", "nobody's"].map(str::to_owned).into_iter());
        let mut done = Value::clone(&pod("done", asks("1")));
        done.set(&["status", "phase"], "Succeeded");
        for known in [pod("old", asks("1500m")), Arc::new(done)] {
            machine.pods.put(Source::Api, known);
        }
        let told = machine.refusal(&pod("new", asks("1")), &node);
        assert!(told.contains("requested: 1000, used: 1500"), "{told}");
        machine.admitted.release("old", &machine.pods);
        machine.admit(&pod("new", asks("1")), &node).unwrap();
    }

    #[test]
    fn labels_ports_taints_and_systems_are_looked_at() {
        let (machine, mut node) = (Machine::default(), node());
        let told = machine.refusal(&pod("a", tree!({"nodeSelector": {"disk": "hdd"}})), &node);
        let wanted =
            "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
        assert_eq!(told, wanted);
        let told = machine.refusal(&pod("a", tree!({"os": {"name": "windows"}})), &node);
        assert!(told.starts_with("PodOSNotSupported: "), "{told}");
        let ports = |port: Value| tree!({"containers": [{"name": "c", "ports": [(port)]}]});
        let first = pod("a", ports(tree!({"hostPort": 80, "hostIP": "10.0.0.1"})));
        machine.admit(&first, &node).unwrap();
        let told = machine.refusal(&pod("b", ports(tree!({"hostPort": 80}))), &node);
        assert!(told.starts_with("NodePorts: Predicate NodePorts failed: "), "{told}");
        machine.admit(&pod("b", ports(tree!({"hostPort": 80, "protocol": "UDP"}))), &node).unwrap();
        machine.admitted.release("b", &machine.pods);
        node.set(&["spec", "taints"], tree!([{"key": "k", "effect": "NoExecute"}]));
        let told = machine.refusal(&pod("c", tree!({})), &node);
        assert!(told.starts_with("TaintToleration: "), "{told}");
        machine.admitted.admit(&pod("c", tree!({})), &node, true, &machine.pods).unwrap();
    }
}
