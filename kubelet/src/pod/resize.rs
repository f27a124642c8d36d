//! Resources that change while a pod runs: what the node has allotted to its containers, what they run with, and what
//! is said about the difference. Source: upstream's `allocation` and `events/resize.go`.

use super::Observed;
use super::observed::container_name;
use super::spec::{self, List, name_of};
use crate::cgroups::is_limited;
use api::resources::{self, Amounts, amounts};
use api::{Map, Value, json, tree};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use stdx::Time;

const PENDING: &str = "PodResizePending";
const IN_PROGRESS: &str = "PodResizeInProgress";
/// What can be changed.
const RESIZED: [&str; 2] = ["cpu", "memory"];
/// Under this name and id stands the pod itself.
pub const POD: &str = "";

/// How a container, or the group of its pod, is to be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The container must start anew for it.
    pub restart: bool,
    /// The limit of memory in bytes, when it becomes smaller.
    pub less_memory: Option<i64>,
}

/// What is known of a pod's resources.
#[derive(Default)]
pub struct Resources {
    /// By container: as the spec had them.
    allotted: Option<BTreeMap<String, Value>>,
    /// What containers run with, the pod's limits where they have none of their own: by id.
    actual: HashMap<String, Value>,
    pending: Option<Value>,
    in_progress: Option<Value>,
}

/// The resources of the pod and of its init and main containers as a spec has them.
fn wanted(pod: &Value) -> BTreeMap<String, Value> {
    let containers = [List::Init, List::Main].into_iter().flat_map(|list| list.of(pod));
    let all = pod.get("spec").into_iter().chain(containers);
    all.map(|c| (name_of(c).to_owned(), c.get("resources").cloned().unwrap_or_default())).collect()
}

/// What a container runs with when its spec and its pod's are carried out.
fn effective(pod: &Value, container: &Value) -> Value {
    let mut all = container.get("resources").cloned().unwrap_or_default();
    for resource in RESIZED {
        let of_pod = pod.at(&["spec", "resources", "limits", resource]);
        if let Some(limit) = of_pod.filter(|_| all.at(&["limits", resource]).is_none()) {
            all.set(&["limits", resource], limit.clone());
        }
    }
    all
}

/// `requests` and `limits` of the pod as a whole, with its overhead.
pub fn whole(pod: &Value) -> Value {
    let overhead = amounts(pod.at(&["spec", "overhead"]));
    let (mut requests, mut limits) = (resources::requests(pod, false), resources::limits(pod, false));
    resources::add(&mut requests, &overhead);
    for (name, amount) in &mut limits {
        if let Some(more) = overhead.get(name) {
            amount.add(more);
        }
    }
    let list = |amounts: &Amounts| -> Value {
        Value::Map(amounts.iter().map(|(name, amount)| (name.as_str(), amount.to_string())).collect())
    };
    let mut all = Value::map();
    for (field, amounts) in [("limits", &limits), ("requests", &requests)] {
        if !amounts.is_empty() {
            all.set(&[field], list(amounts));
        }
    }
    all
}

/// What of `all` a pod's group has: without the limits that do not hold for it.
pub fn of_group(pod: &Value, mut all: Value) -> Value {
    if let Some(limits) = all.get_mut("limits").and_then(Value::as_map_mut) {
        limits.retain(|name, _| is_limited(pod, name));
        if limits.is_empty() {
            all.unset(&["limits"]);
        }
    }
    all
}

/// The amounts that can be changed.
fn amounts_of(resources: &Value) -> Vec<(String, api::Quantity)> {
    let of = |part: &'static str| {
        let resized =
            amounts(resources.get(part)).into_iter().filter(|(name, _)| RESIZED.contains(&name.as_str()));
        resized.map(move |(name, amount)| (format!("{part}.{name}"), amount))
    };
    of("limits").chain(of("requests")).collect()
}

fn is_same(a: &Value, b: &Value) -> bool {
    amounts_of(a) == amounts_of(b)
}

impl Resources {
    /// The pod with what is allotted to its containers in place of what they want.
    pub fn apply(&mut self, pod: &Arc<Value>) -> Arc<Value> {
        let wanted = wanted(pod);
        let allotted = self.allotted.get_or_insert_with(|| wanted.clone());
        if *allotted == wanted {
            return pod.clone();
        }
        let mut pod = Value::clone(pod);
        match allotted.get(POD).filter(|resources| !resources.is_null()) {
            Some(resources) => pod.set(&["spec", "resources"], resources.clone()),
            None => drop(pod.unset(&["spec", "resources"])),
        }
        for list in [List::Init, List::Main] {
            let containers = pod.at_mut(&["spec", list.field()]).and_then(Value::as_list_mut);
            for container in containers.into_iter().flatten() {
                if let Some(resources) = allotted.get(name_of(container)).filter(|r| !r.is_null()) {
                    container.set(&["resources"], resources.clone());
                }
            }
        }
        Arc::new(pod)
    }

    /// What the API says that a kubelet before this one had allotted and done.
    pub fn restore(&mut self, pod: &Value) {
        let mut allotted = wanted(pod);
        let of_pod = self.restore_pod(pod);
        allotted.insert(POD.to_owned(), of_pod.clone());
        for list in [List::Init, List::Main] {
            for status in pod.list_at(&["status", list.statuses()]) {
                let Some(requests) = status.get("allocatedResources").filter(|r| !r.is_null()) else {
                    continue;
                };
                let Some(slot) = allotted.get_mut(name_of(status)) else { continue };
                let actual = status.get("resources").cloned().unwrap_or_default();
                if let Some(id) = status.str_at(&["containerID"]).strip_prefix("containerd://") {
                    let told = tree!({"spec": {"resources": (of_pod.clone())}});
                    self.actual.insert(id.to_owned(), effective(&told, status));
                }
                let mut known = slot.clone();
                known.set(&["requests"], requests.clone());
                if let Some(limits) = actual.get("limits") {
                    known.set(&["limits"], limits.clone());
                }
                if !is_same(&known, slot) {
                    *slot = known;
                }
            }
        }
        self.allotted = Some(allotted);
        let condition = |ty: &str| {
            let mut all = pod.list_at(&["status", "conditions"]).iter();
            all.find(|condition| condition.str_at(&["type"]) == ty).cloned()
        };
        (self.pending, self.in_progress) = (condition(PENDING), condition(IN_PROGRESS));
    }

    /// What the pod as a whole was allotted, in the form of its spec.
    fn restore_pod(&mut self, pod: &Value) -> Value {
        let mut known = pod.at(&["spec", "resources"]).cloned().unwrap_or_default();
        let Some(actual) = pod.at(&["status", "resources"]).filter(|actual| !actual.is_empty()) else {
            return known;
        };
        self.actual.insert(POD.to_owned(), of_group(pod, actual.clone()));
        let requests = pod.at(&["status", "allocatedResources"]).or_else(|| actual.get("requests"));
        for (field, told) in [("requests", requests), ("limits", actual.get("limits"))] {
            let (told, now) = (amounts(told), amounts(whole(pod).get(field)));
            for resource in RESIZED {
                let told = told.get(resource).filter(|told| now.get(resource) != Some(told));
                if let (Some(told), true) = (told, known.at(&[field, resource]).is_some()) {
                    known.set(&[field, resource], told.to_string());
                }
            }
        }
        known
    }

    /// Whether the pod wants something else than it is allotted.
    pub fn is_wanted(&mut self, pod: &Value) -> bool {
        let differs = self.allotted.as_ref().is_some_and(|allotted| *allotted != wanted(pod));
        if !differs {
            self.pending = None;
        }
        differs
    }

    /// Allots what the pod wants. Gives the message of the event `ResizeStarted`.
    pub fn allot(&mut self, pod: &Value, now: Time) -> String {
        self.allotted = Some(wanted(pod));
        self.pending = None;
        self.in_progress = Some(condition(IN_PROGRESS, pod, "", "", None, now));
        message("Pod resize started", pod, generation(pod), "")
    }

    /// There is no room. Gives the message of the event `ResizeDeferred`, unless that is known.
    pub fn defer(&mut self, pod: &Value, why: &str, now: Time) -> Option<String> {
        let known = self.pending.take();
        let is_news = known
            .as_ref()
            .is_none_or(|known| known.i64_at(&["observedGeneration"]).unwrap_or(0) != generation(pod));
        self.pending = Some(condition(PENDING, pod, "Deferred", why, known.as_ref(), now));
        is_news.then(|| message("Pod resize Deferred", pod, generation(pod), why))
    }

    /// The runtime could not do it. Gives the message of the event `ResizeError`, unless that is known.
    pub fn failed(&mut self, pod: &Value, why: &str, now: Time) -> Option<String> {
        let known = self.in_progress.take();
        let is_news = known.as_ref().is_none_or(|known| known.str_at(&["message"]) != why);
        self.in_progress = Some(condition(IN_PROGRESS, pod, "Error", why, known.as_ref(), now));
        is_news.then(|| message("Pod resize error", pod, generation(pod), why))
    }

    /// Takes note of containers that are new, and forgets those that are gone.
    pub fn see(&mut self, pod: &Arc<Value>, seen: &Observed) {
        if self.allotted.is_none() {
            return;
        }
        let pod = &*self.apply(pod);
        self.actual.retain(|id, _| id == POD || seen.by_id(id).is_some());
        if seen.sandbox().is_some() {
            self.actual.entry(POD.to_owned()).or_insert_with(|| of_group(pod, whole(pod)));
        }
        for container in seen.running() {
            if let Some((_, own)) = spec::container(pod, container_name(container)) {
                self.actual.entry(container.id.clone()).or_insert_with(|| effective(pod, own));
            }
        }
    }

    /// The container, or the pod's group, has what `pod` says now.
    pub fn done(&mut self, pod: &Value, id: &str, name: &str) {
        let now = match name {
            POD => Some(of_group(pod, whole(pod))),
            _ => spec::container(pod, name).map(|(_, container)| effective(pod, container)),
        };
        self.actual.extend(now.map(|now| (id.to_owned(), now)));
    }

    /// What containers run with: by id.
    pub fn actual(&self) -> &HashMap<String, Value> {
        &self.actual
    }

    /// How a running container is to be changed, or the pod's group where there is no `container`. `pod` has what is
    /// allotted to it.
    pub fn change(&self, pod: &Value, container: Option<&Value>, id: &str) -> Option<Change> {
        let wanted = container.map_or_else(|| of_group(pod, whole(pod)), |own| effective(pod, own));
        let actual = self.actual.get(id).filter(|actual| !is_same(actual, &wanted))?;
        let (before, after) = (amounts_of(actual), amounts_of(&wanted));
        let is_changed = |resource: &str| {
            let of = |all: &[(String, api::Quantity)]| -> Vec<(String, api::Quantity)> {
                all.iter().filter(|(name, _)| name.ends_with(resource)).cloned().collect()
            };
            of(&before) != of(&after)
        };
        let mut policies = container.into_iter().flat_map(|container| container.list_at(&["resizePolicy"]));
        let restart = policies.any(|policy| {
            policy.str_at(&["restartPolicy"]) == "RestartContainer"
                && is_changed(policy.str_at(&["resourceName"]))
        });
        let limit = |of: &Value| amounts(of.get("limits")).get("memory").map(api::Quantity::value);
        let less = limit(&wanted).filter(|less| limit(actual).is_none_or(|before| *less < before));
        Some(Change { restart, less_memory: less })
    }

    /// Whether all that runs has what is allotted to it; then the change is over, and the message of the event
    /// `ResizeCompleted` is given once.
    pub fn complete(&mut self, pod: &Value, seen: &Observed) -> Option<String> {
        let in_progress = self.in_progress.as_ref()?;
        let is_left = |container: &crate::cri::ContainerStatus| {
            let own = spec::container(pod, container_name(container));
            own.is_some_and(|(_, own)| self.change(pod, Some(own), &container.id).is_some())
        };
        if seen.running().any(is_left) || self.change(pod, None, POD).is_some() {
            return None;
        }
        let generation = in_progress.i64_at(&["observedGeneration"]).unwrap_or_else(|| generation(pod));
        self.in_progress = None;
        Some(message("Pod resize completed", pod, generation, ""))
    }

    /// What is said of it in the status.
    pub fn conditions(&self) -> Vec<Value> {
        self.pending.iter().chain(&self.in_progress).cloned().collect()
    }
}

fn generation(pod: &Value) -> i64 {
    pod.i64_at(&["metadata", "generation"]).unwrap_or(0)
}

fn condition(ty: &str, pod: &Value, reason: &str, message: &str, known: Option<&Value>, now: Time) -> Value {
    let says_so = |known: &&Value| {
        (known.str_at(&["reason"]), known.str_at(&["message"])) == (reason, message)
            && known.i64_at(&["observedGeneration"]) == pod.i64_at(&["metadata", "generation"])
    };
    // Said again it would be news to all who watch.
    if let Some(known) = known.filter(says_so) {
        return known.clone();
    }
    let mut condition = tree!({"type": ty});
    if let Some(generation) = pod.i64_at(&["metadata", "generation"]) {
        condition.set(&["observedGeneration"], generation);
    }
    condition.set(&["status"], "True");
    condition.set(&["lastProbeTime"], now.rfc3339());
    let same = known.filter(|known| known.str_at(&["reason"]) == reason);
    let since = same.map(|known| known.str_at(&["lastTransitionTime"]).to_owned());
    condition.set(&["lastTransitionTime"], since.unwrap_or_else(|| now.rfc3339()));
    for (field, text) in [("reason", reason), ("message", message)] {
        if !text.is_empty() {
            condition.set(&[field], text);
        }
    }
    condition
}

/// An event's message: what happened, and what the containers are to have.
fn message(what: &str, pod: &Value, generation: i64, why: &str) -> String {
    let mut summary = Map::new();
    for list in [List::Init, List::Main] {
        let own = |container: &Value| {
            let resources = container.get("resources").cloned().unwrap_or_else(Value::map);
            tree!({"name": (name_of(container)), "resources": (resources)})
        };
        let all: Vec<Value> = list.of(pod).iter().map(own).collect();
        if !all.is_empty() {
            summary.insert(list.field(), Value::List(all));
        }
    }
    summary.insert("generation", generation);
    if !why.is_empty() {
        summary.insert("error", why);
    }
    format!("{what}: {}", json::to_string(&Value::Map(summary)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::fixture::{RUNNING, pod, seen};

    fn asking(cpu: &str, policy: &str) -> Arc<Value> {
        let mut pod = pod("Always", &["a"]);
        pod.set(
            &["spec", "containers"],
            tree!([{
                "name": "a", "image": "i", "resources": {"requests": {"cpu": cpu}},
                "resizePolicy": [{"resourceName": "cpu", "restartPolicy": policy}]
            }]),
        );
        Arc::new(pod)
    }

    #[test]
    fn a_pod_keeps_what_it_has_until_more_is_allotted_and_done() {
        let (small, big) = (asking("1", "NotRequired"), asking("2", "NotRequired"));
        let seen = seen(&[("a", RUNNING)]);
        let now = Time::from_secs(10);
        let mut resources = Resources::default();
        assert_eq!(resources.apply(&small), small);
        resources.see(&small, &seen);
        assert!(!resources.is_wanted(&small) && resources.is_wanted(&big));
        assert_eq!(resources.apply(&big), small);
        assert!(resources.defer(&big, "no room", now).unwrap().starts_with("Pod resize Deferred: {"));
        let said = resources.conditions();
        assert_eq!(resources.defer(&big, "no room", Time::from_secs(20)), None);
        assert_eq!(resources.conditions(), said);
        resources.defer(&big, "less room", Time::from_secs(20));
        assert_eq!(resources.conditions()[0].str_at(&["lastProbeTime"]), "1970-01-01T00:00:20Z");
        let mut without = Value::clone(&big);
        without.unset(&["metadata", "generation"]);
        resources.defer(&without, "no room", now);
        assert_eq!(resources.conditions()[0].get("observedGeneration"), None);
        assert_eq!(resources.defer(&without, "no room", now), None);
        assert_eq!(resources.conditions()[0].str_at(&["reason"]), "Deferred");
        let told = resources.allot(&big, now);
        let wanted = r#"Pod resize started: {"containers":[{"name":"a","resources":{"requests":{"cpu":"2"}}}],"generation":1}"#;
        assert_eq!(told, wanted);
        assert_eq!(resources.apply(&big), big);
        let container = spec::container(&big, "a").unwrap().1;
        assert_eq!(resources.change(&big, Some(container), "a0"), Some(Change::default()));
        assert_eq!(resources.complete(&big, &seen), None);
        resources.done(&big, "a0", "a");
        resources.done(&big, POD, POD);
        assert_eq!(resources.change(&big, Some(container), "a0"), None);
        assert!(resources.complete(&big, &seen).unwrap().starts_with("Pod resize completed: "));
        assert!(resources.conditions().is_empty());
    }

    #[test]
    fn a_policy_can_ask_for_a_new_start_and_a_new_kubelet_knows_what_was_allotted() {
        let (mut small, big) = (asking("1", "RestartContainer"), asking("2", "RestartContainer"));
        Arc::make_mut(&mut small).set(
            &["status", "containerStatuses"],
            tree!([{
                "name": "a", "containerID": "containerd://a0", "allocatedResources": {"cpu": "1000m"},
                "resources": {"requests": {"cpu": "1"}}
            }]),
        );
        let mut resources = Resources::default();
        resources.restore(&small);
        assert!(!resources.is_wanted(&small));
        let mut changed = Value::clone(&big);
        changed.set(&["status"], small.get("status").cloned().unwrap());
        let mut resources = Resources::default();
        resources.restore(&changed);
        assert!(resources.is_wanted(&changed));
        resources.allot(&changed, Time::from_secs(10));
        let container = spec::container(&changed, "a").unwrap().1;
        let again = Change { restart: true, less_memory: None };
        assert_eq!(resources.change(&changed, Some(container), "a0"), Some(again));
    }

    fn pod_with(limit: &str, own: Option<&str>) -> Arc<Value> {
        let mut pod = pod("Always", &["a"]);
        pod.set(
            &["spec", "resources"],
            tree!({"requests": {"memory": (limit)}, "limits": {"memory": (limit)}}),
        );
        let own = own.map_or_else(Value::map, |own| tree!({"limits": {"memory": (own)}}));
        pod.set(&["spec", "containers"], tree!([{"name": "a", "image": "i", "resources": (own)}]));
        Arc::new(pod)
    }

    #[test]
    fn limits_of_the_pod_hold_for_its_group_and_for_containers_without_their_own() {
        let (big, small) = (pod_with("2Gi", None), pod_with("1Gi", None));
        let seen = seen(&[("a", RUNNING)]);
        let mut resources = Resources::default();
        resources.restore(&big);
        resources.see(&big, &seen);
        assert_eq!(resources.apply(&small), big);
        resources.allot(&small, Time::from_secs(10));
        assert_eq!(resources.apply(&small), small);
        let container = spec::container(&small, "a").unwrap().1;
        let less = Some(Change { restart: false, less_memory: Some(1 << 30) });
        assert_eq!(resources.change(&small, Some(container), "a0"), less);
        assert_eq!(resources.change(&small, None, POD), less);
        resources.done(&small, "a0", "a");
        assert_eq!(resources.complete(&small, &seen), None);
        resources.done(&small, POD, POD);
        assert!(resources.complete(&small, &seen).is_some());
        // A limit of its own stays the container's.
        let (before, after) = (pod_with("2Gi", Some("1Gi")), pod_with("3Gi", Some("1Gi")));
        let mut resources = Resources::default();
        resources.restore(&before);
        resources.see(&before, &seen);
        resources.allot(&after, Time::from_secs(10));
        let container = spec::container(&after, "a").unwrap().1;
        assert_eq!(resources.change(&after, Some(container), "a0"), None);
        assert_eq!(resources.change(&after, None, POD), Some(Change::default()));
    }

    #[test]
    fn a_limit_that_not_all_containers_have_is_none_of_the_group() {
        let with = |of_a: &str, of_b: Value| {
            let mut pod = pod("Always", &["a", "b"]);
            let a = tree!({"requests": {"cpu": "1"}, "limits": {"memory": of_a}});
            let both = tree!([{"name": "a", "resources": (a)}, {"name": "b", "resources": (of_b)}]);
            pod.set(&["spec", "containers"], both);
            pod.set(&["status", "resources"], tree!({"requests": {"cpu": "1"}}));
            Arc::new(pod)
        };
        let (big, small) = (with("2Gi", Value::map()), with("1Gi", Value::map()));
        let mut resources = Resources::default();
        resources.restore(&big);
        assert_eq!(resources.change(&big, None, POD), None);
        assert_eq!(resources.change(&small, None, POD), None);
        // It has one now.
        let full = with("1Gi", tree!({"limits": {"memory": "1Gi"}}));
        assert_eq!(resources.change(&full, None, POD).unwrap().less_memory, Some(2 << 30));
    }

    #[test]
    fn a_new_kubelet_knows_what_the_pod_as_a_whole_was_allotted() {
        let mut wants = Value::clone(&pod_with("2Gi", None));
        wants.set(
            &["status"],
            tree!({
                "allocatedResources": {"memory": "1Gi"},
                "resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}
            }),
        );
        let wants = Arc::new(wants);
        let mut resources = Resources::default();
        resources.restore(&wants);
        assert!(resources.is_wanted(&wants));
        let has = resources.apply(&wants);
        assert_eq!(has.get("spec"), pod_with("1Gi", None).get("spec"));
        assert_eq!(resources.change(&has, None, POD), None);
    }
}
