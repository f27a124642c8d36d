//! What a daemon set needs next, from its pods and the nodes that should have one. Pure.

use crate::{owner, pods};
use api::{Value, int_or_string};
use std::collections::BTreeMap;
use std::sync::Arc;
use stdx::Time;

pub const HASH: &str = "controller-revision-hash";

/// A node, as far as the set is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub name: String,
    /// A pod is to be there.
    pub should_run: bool,
    /// A pod that is there may stay.
    pub may_stay: bool,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Nodes that lack a pod.
    pub create: Vec<String>,
    pub delete: Vec<String>,
    /// Pods that ended, which should not: node and pod. They are replaced.
    pub ended: Vec<(String, Arc<Value>)>,
}

/// The new pod on a node, and the old one.
type Pair<'a> = (Option<&'a Arc<Value>>, Option<&'a Arc<Value>>);

/// A set at one revision of its template.
pub struct View<'a> {
    pub set: &'a Value,
    pub places: &'a [Place],
    /// By node, those on their way out with them.
    pub pods: BTreeMap<&'a str, Vec<&'a Arc<Value>>>,
    pub hash: &'a str,
    pub now: Time,
}

fn name(pod: &Value) -> String {
    pod.str_at(&["metadata", "name"]).to_owned()
}

impl<'a> View<'a> {
    pub fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        for place in self.places {
            match self.pods.get(place.name.as_str()) {
                None if place.should_run => plan.create.push(place.name.clone()),
                None => {}
                Some(here) if place.may_stay => self.keep_one(place, here, &mut plan),
                Some(here) => plan.delete.extend(staying(here).map(|pod| name(pod))),
            }
        }
        let known = |node: &str| self.places.iter().any(|place| place.name == node);
        let lost = self.pods.iter().filter(|(node, _)| !known(node)).flat_map(|(_, pods)| staying(pods));
        // Those that were on a node that is gone are somebody else's to clean up.
        let lost = lost.filter(|pod| pod.str_at(&["spec", "nodeName"]).is_empty());
        plan.delete.extend(lost.map(|pod| name(pod)));
        if plan.create.is_empty() && plan.delete.is_empty() && !self.is_on_delete() {
            match self.scaled("maxSurge", 0) {
                0 => plan.delete = self.outdated(),
                most => self.surge(most, &mut plan),
            }
        }
        plan
    }

    fn is_on_delete(&self) -> bool {
        self.set.str_at(&["spec", "updateStrategy", "type"]) == "OnDelete"
    }

    fn scaled(&self, field: &str, otherwise: i64) -> usize {
        let wanted = self.places.iter().filter(|place| place.should_run).count();
        let total = i64::try_from(wanted).unwrap_or(i64::MAX);
        let given = self.set.at(&["spec", "updateStrategy", "rollingUpdate", field]);
        let scaled = given.and_then(|value| int_or_string::scaled(value, total, true).ok());
        usize::try_from(scaled.unwrap_or(otherwise)).unwrap_or(0)
    }

    fn is_new(&self, pod: &Value) -> bool {
        pod.str_at(&["metadata", "labels", HASH]) == self.hash
    }

    fn is_up(&self, pod: &Value) -> bool {
        let min_ready = self.set.i64_at(&["spec", "minReadySeconds"]).unwrap_or(0);
        pods::is_available(pod, min_ready, self.now)
    }

    /// One pod stays on a node; with surge an old one beside a new one, until that is up.
    fn keep_one(&self, place: &Place, here: &[&'a Arc<Value>], plan: &mut Plan) {
        let (ended, mut live): (Vec<&Arc<Value>>, Vec<&Arc<Value>>) =
            staying(here).partition(|pod| pods::is_finished(pod));
        plan.ended.extend(ended.into_iter().map(|pod| (place.name.clone(), pod.clone())));
        live.sort_by_key(|pod| pod.str_at(&["metadata", "creationTimestamp"]).to_owned());
        if live.len() < 2 {
            return;
        }
        if self.scaled("maxSurge", 0) == 0 {
            return plan.delete.extend(live.into_iter().skip(1).map(|pod| name(pod)));
        }
        let (new, old): (Vec<_>, Vec<_>) = live.into_iter().partition(|pod| self.is_new(pod));
        plan.delete.extend(new.iter().skip(1).chain(old.iter().skip(1)).map(|pod| name(pod)));
        if let (Some(new), Some(old)) = (new.first(), old.first())
            && (!pods::is_ready(old) || self.is_up(new))
        {
            plan.delete.push(name(old));
        }
    }

    /// The pods on a node; nothing when there are too many.
    fn pair(&self, here: &[&'a Arc<Value>]) -> Option<Pair<'a>> {
        let (new, old): (Vec<_>, Vec<_>) = staying(here).partition(|pod| self.is_new(pod));
        (new.len() < 2 && old.len() < 2).then(|| (new.first().copied(), old.first().copied()))
    }

    /// The pods to replace now: unavailable ones, and as many others as may be missing.
    fn outdated(&self) -> Vec<String> {
        let most = self.scaled("maxUnavailable", 1);
        let (mut missing, mut gone, mut more) = (0, Vec::new(), Vec::new());
        for here in self.pods.values() {
            match self.pair(here) {
                Some((Some(new), None)) => missing += usize::from(!self.is_up(new)),
                Some((None, Some(old))) if self.is_up(old) => more.push(name(old)),
                Some((None, Some(old))) => {
                    missing += 1;
                    gone.push(name(old));
                }
                _ => missing += 1,
            }
        }
        more.truncate(most.saturating_sub(missing));
        gone.extend(more);
        gone
    }

    /// New pods beside old ones: where the old one is down, and on so many other nodes at once. Where none is to run,
    /// the old one goes, as soon as enough others are up.
    fn surge(&self, most: usize, plan: &mut Plan) {
        let runs: BTreeMap<&str, bool> =
            self.places.iter().map(|p| (p.name.as_str(), p.should_run)).collect();
        let (mut under_way, mut up, mut more, mut surplus) = (0, 0, Vec::new(), Vec::new());
        for (node, here) in &self.pods {
            let Some(&should_run) = runs.get(node) else { continue };
            let Some(pair) = self.pair(here) else {
                under_way += 1;
                continue;
            };
            let is_up = pair.1.or(pair.0).is_some_and(|pod| self.is_up(pod));
            up += usize::from(is_up);
            match pair {
                (_, None) => {}
                (Some(new), Some(old)) if self.is_up(new) => plan.delete.push(name(old)),
                (Some(_), Some(_)) => under_way += 1,
                (None, Some(old)) if !should_run && is_up => surplus.push(name(old)),
                (None, Some(old)) if !should_run => plan.delete.push(name(old)),
                (None, Some(_)) if is_up => more.push((*node).to_owned()),
                (None, Some(_)) => plan.create.push((*node).to_owned()),
            }
        }
        surplus.truncate(up.saturating_sub(runs.values().filter(|runs| **runs).count()));
        plan.delete.extend(surplus);
        more.truncate(most.saturating_sub(under_way));
        plan.create.extend(more);
    }
}

fn staying<'a, 'b>(pods: &'b [&'a Arc<Value>]) -> impl Iterator<Item = &'a Arc<Value>> + use<'a, 'b> {
    pods.iter().copied().filter(|pod| !owner::is_leaving(pod))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn pod(name: &str, hash: &str, ready: &str) -> Arc<Value> {
        Arc::new(tree!({"metadata": {"name": name, "labels": {(HASH): hash}},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}}))
    }

    fn leaving(pod: &Arc<Value>) -> Arc<Value> {
        let mut pod = (**pod).clone();
        pod.set(&["metadata", "deletionTimestamp"], "t");
        Arc::new(pod)
    }

    /// The plan for the nodes a and b, with pods by node.
    fn planned(set: &Value, places: &[Place], pods: &[(&str, &Arc<Value>)]) -> Plan {
        let mut by_node: BTreeMap<&str, Vec<&Arc<Value>>> = BTreeMap::new();
        pods.iter().for_each(|(node, pod)| by_node.entry(node).or_default().push(pod));
        View { set, places, pods: by_node, hash: "new", now: Time::from_secs(0) }.plan()
    }

    fn places() -> Vec<Place> {
        ["a", "b"].map(|name| Place { name: name.into(), should_run: true, may_stay: true }).into()
    }

    #[test]
    fn each_node_has_one_pod_and_one_that_leaves_is_waited_for() {
        let set = Value::map();
        let (one, two) = (pod("p1", "new", "True"), pod("p2", "new", "True"));
        let plan = planned(&set, &places(), &[("a", &one), ("a", &two)]);
        assert_eq!((plan.create, plan.delete), (vec!["b".to_owned()], vec!["p2".to_owned()]));
        let plan = planned(&set, &places(), &[("a", &one), ("b", &leaving(&two))]);
        assert_eq!(plan, Plan::default());
    }

    #[test]
    fn a_pod_may_stay_where_none_is_started() {
        let mut places = places();
        places[1].should_run = false;
        let (one, two) = (pod("p1", "new", "True"), pod("p2", "new", "True"));
        assert_eq!(planned(&Value::map(), &places, &[("a", &one), ("b", &two)]), Plan::default());
        places[1].may_stay = false;
        assert_eq!(planned(&Value::map(), &places, &[("a", &one), ("b", &two)]).delete, ["p2"]);
    }

    #[test]
    fn an_update_replaces_as_many_as_may_be_missing_and_those_that_are_down() {
        let set = Value::map();
        let (one, two) = (pod("p1", "old", "True"), pod("p2", "old", "True"));
        assert_eq!(planned(&set, &places(), &[("a", &one), ("b", &two)]).delete, ["p1"]);
        let unready = pod("p1", "new", "False");
        assert!(planned(&set, &places(), &[("a", &unready), ("b", &two)]).delete.is_empty());
        let down = pod("p2", "old", "False");
        assert_eq!(planned(&set, &places(), &[("a", &unready), ("b", &down)]).delete, ["p2"]);
    }

    #[test]
    fn with_surge_the_new_pod_comes_before_the_old_one_goes() {
        let set =
            tree!({"spec": {"updateStrategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}});
        let (one, two) = (pod("p1", "old", "True"), pod("p2", "old", "True"));
        assert_eq!(planned(&set, &places(), &[("a", &one), ("b", &two)]).create, ["a"]);
        let starting = pod("n1", "new", "False");
        let plan = planned(&set, &places(), &[("a", &one), ("a", &starting), ("b", &two)]);
        assert_eq!(plan, Plan::default());
        let up = pod("n1", "new", "True");
        assert_eq!(planned(&set, &places(), &[("a", &one), ("a", &up), ("b", &two)]).delete, ["p1"]);
    }

    #[test]
    fn with_surge_no_pod_is_made_where_none_is_to_run() {
        let set = tree!({"spec": {"updateStrategy": {"rollingUpdate": {"maxSurge": 2}}}});
        let mut places = places();
        places[1].should_run = false;
        let (one, two) = (pod("p1", "new", "True"), pod("p2", "old", "True"));
        let plan = planned(&set, &places, &[("a", &one), ("b", &two)]);
        assert_eq!((plan.create.len(), plan.delete), (0, vec!["p2".to_owned()]));
        let starting = pod("p1", "new", "False");
        let plan = planned(&set, &places, &[("a", &starting), ("b", &two)]);
        assert_eq!(plan, Plan::default(), "it stays until the other is up");
        let down = pod("p2", "old", "False");
        let plan = planned(&set, &places, &[("a", &starting), ("b", &down)]);
        assert_eq!((plan.create.len(), plan.delete), (0, vec!["p2".to_owned()]));
        let mut lost = (*pod("p3", "old", "True")).clone();
        lost.set(&["spec", "nodeName"], "gone");
        let plan = planned(&set, &places[..1], &[("a", &one), ("gone", &Arc::new(lost))]);
        assert_eq!(plan, Plan::default(), "a node that is gone gets nothing");
    }
}
