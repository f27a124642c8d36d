//! What a pod says of other pods: affinity terms and spread constraints.

use api::selector::{LabelSelector, Operator, Requirement};
use api::{Map, Str, Value};

/// One side of a pod's affinity (to others, or against them).
#[derive(Clone, Debug, Default)]
pub struct PodTerms {
    pub required: Vec<PodTerm>,
    pub preferred: Vec<(i64, PodTerm)>,
}

/// Which pods are meant, and what counts as the same place.
#[derive(Clone, Debug)]
pub struct PodTerm {
    pub topology_key: Str,
    selector: LabelSelector,
    namespaces: Vec<Str>,
    /// Namespaces by their labels, besides those named.
    namespace_selector: Option<LabelSelector>,
}

impl PodTerms {
    pub fn of(affinity: Option<&Value>, namespace: &Str) -> Self {
        let list = |field: &str| affinity.map(|a| a.list_at(&[field])).unwrap_or_default();
        let required = list("requiredDuringSchedulingIgnoredDuringExecution").iter();
        let preferred = list("preferredDuringSchedulingIgnoredDuringExecution").iter();
        let weighted = |term: &Value| {
            let weight = term.i64_at(&["weight"]).unwrap_or(0);
            Some((weight, PodTerm::of(term.get("podAffinityTerm")?, namespace)))
        };
        PodTerms {
            required: required.map(|term| PodTerm::of(term, namespace)).collect(),
            preferred: preferred.filter_map(weighted).collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.required.is_empty() && self.preferred.is_empty()
    }
}

impl PodTerm {
    /// `namespace` is that of the pod whose term it is.
    fn of(term: &Value, namespace: &Str) -> Self {
        let selector = |field: &str| {
            let given = term.get(field).filter(|selector| !selector.is_null());
            given.map(|s| LabelSelector::from_value(Some(s)).unwrap_or_else(|_| LabelSelector::nothing()))
        };
        let namespace_selector = selector("namespaceSelector");
        let mut namespaces: Vec<Str> =
            term.list_at(&["namespaces"]).iter().filter_map(Value::as_str).map(Into::into).collect();
        if namespaces.is_empty() && namespace_selector.is_none() {
            namespaces.push(namespace.clone());
        }
        PodTerm {
            topology_key: term.str_at(&["topologyKey"]).into(),
            selector: selector("labelSelector").unwrap_or_else(LabelSelector::nothing),
            namespaces,
            namespace_selector,
        }
    }

    /// Whether a pod with these labels in this namespace (with its labels) is meant.
    pub fn matches(&self, namespace: &Str, namespace_labels: Option<&Map>, labels: &Map) -> bool {
        let here = self.namespaces.contains(namespace)
            || self.namespace_selector.as_ref().is_some_and(|selector| selector.matches(namespace_labels));
        here && self.selector.matches(Some(labels))
    }

    /// The same without knowing the labels of namespaces: those may be as asked.
    pub fn may_match(&self, namespace: &Str, labels: &Map) -> bool {
        let here = self.namespaces.contains(namespace) || self.namespace_selector.is_some();
        here && self.selector.matches(Some(labels))
    }
}

/// How evenly pods are to be spread over places of one kind.
#[derive(Clone, Debug)]
pub struct SpreadConstraint {
    pub topology_key: Str,
    pub max_skew: i64,
    pub min_domains: i64,
    pub selector: LabelSelector,
    /// `DoNotSchedule` rather than `ScheduleAnyway`.
    pub is_hard: bool,
    /// Count only nodes that the pod's selectors allow.
    pub honors_affinity: bool,
    /// Count only nodes whose taints the pod tolerates.
    pub honors_taints: bool,
}

impl SpreadConstraint {
    pub fn all(pod: &Value) -> Vec<Self> {
        let labels = pod.map_at(&["metadata", "labels"]);
        let constraints = pod.list_at(&["spec", "topologySpreadConstraints"]);
        constraints.iter().map(|constraint| SpreadConstraint::of(constraint, labels)).collect()
    }

    /// `labels` are those of the pod, for `matchLabelKeys`.
    pub fn of(constraint: &Value, labels: Option<&Map>) -> Self {
        SpreadConstraint {
            topology_key: constraint.str_at(&["topologyKey"]).into(),
            max_skew: constraint.i64_at(&["maxSkew"]).unwrap_or(1),
            min_domains: constraint.i64_at(&["minDomains"]).unwrap_or(1),
            selector: spread_selector(constraint, labels),
            is_hard: constraint.str_at(&["whenUnsatisfiable"]) != "ScheduleAnyway",
            honors_affinity: constraint.str_at(&["nodeAffinityPolicy"]) != "Ignore",
            honors_taints: constraint.str_at(&["nodeTaintsPolicy"]) == "Honor",
        }
    }

    /// One of the cluster's own, for pods that say nothing.
    pub fn soft(topology_key: &str, max_skew: i64, selector: LabelSelector) -> Self {
        SpreadConstraint {
            topology_key: topology_key.into(),
            max_skew,
            min_domains: 1,
            selector,
            is_hard: false,
            honors_affinity: true,
            honors_taints: false,
        }
    }
}

/// The constraint's selector, and the pod's own values of `matchLabelKeys` where the server has not merged them in.
fn spread_selector(constraint: &Value, labels: Option<&Map>) -> LabelSelector {
    let given = constraint.get("labelSelector").filter(|selector| !selector.is_null());
    let Some(given) = given else { return LabelSelector::nothing() };
    let selector = LabelSelector::from_value(Some(given)).unwrap_or_else(|_| LabelSelector::nothing());
    let mut requirements = selector.requirements().to_vec();
    for key in constraint.list_at(&["matchLabelKeys"]).iter().filter_map(Value::as_str) {
        let value = labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        let named = requirements.iter().any(|r| r.key() == key);
        if let (Some(value), false) = (value, named) {
            requirements.extend(Requirement::new(key, Operator::In, vec![value.into()]).ok());
        }
    }
    if selector.is_nothing() { selector } else { LabelSelector::new(requirements) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_term_is_about_its_own_namespace_unless_it_says_otherwise() {
        let term = |value: Value| PodTerm::of(&value, &"a".into());
        let labels = tree!({"app": "web"});
        let labels = labels.as_map().unwrap();
        let team = tree!({"team": "x"});
        let own = term(tree!({"topologyKey": "t", "labelSelector": {"matchLabels": {"app": "web"}}}));
        assert!(own.matches(&"a".into(), None, labels) && !own.matches(&"b".into(), team.as_map(), labels));
        let named = term(tree!({"namespaces": ["b"], "labelSelector": {}}));
        assert!(named.matches(&"b".into(), None, labels) && !named.matches(&"a".into(), None, labels));
        let selected =
            term(tree!({"namespaceSelector": {"matchLabels": {"team": "x"}}, "labelSelector": {}}));
        assert!(selected.matches(&"b".into(), team.as_map(), labels));
        assert!(!selected.matches(&"a".into(), None, labels));
        assert!(!term(tree!({"topologyKey": "t"})).matches(&"a".into(), None, labels));
    }

    #[test]
    fn match_label_keys_narrow_the_selector() {
        let pod = tree!({"metadata": {"labels": {"app": "web", "hash": "1"}}, "spec": {"topologySpreadConstraints": [
            {"topologyKey": "z", "labelSelector": {"matchLabels": {"app": "web"}}, "matchLabelKeys": ["hash", "gone"]}]}});
        let constraint = &SpreadConstraint::all(&pod)[0];
        let matches = |labels: Value| constraint.selector.matches(labels.as_map());
        assert!(matches(tree!({"app": "web", "hash": "1"})) && !matches(tree!({"app": "web", "hash": "2"})));
        assert!(constraint.is_hard && constraint.honors_affinity && !constraint.honors_taints);
    }
}
