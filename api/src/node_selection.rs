//! Which nodes a pod may run on, as its spec says it: node selectors, taints and tolerations. Scheduler, DaemonSet
//! controller and kubelet all judge by this.

use crate::selector::{LabelSelector, Operator, Requirement};
use crate::{Map, Str, Value};

/// Where a pod's required node affinity stands.
pub const REQUIRED_TERMS: [&str; 4] =
    ["affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"];

/// One term of a `NodeSelector`: all its expressions hold. An empty term matches no node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeTerm {
    labels: Vec<Expression>,
    fields: Vec<Expression>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Expression {
    key: Str,
    operator: Str,
    values: Vec<Str>,
}

impl Expression {
    fn of(value: &Value) -> Self {
        Expression {
            key: value.str_at(&["key"]).into(),
            operator: value.str_at(&["operator"]).into(),
            values: value.list_at(&["values"]).iter().filter_map(Value::as_str).map(Into::into).collect(),
        }
    }

    fn holds(&self, value: Option<&str>) -> bool {
        let listed = || value.is_some_and(|value| self.values.iter().any(|v| v == value));
        let number = |text: Option<&str>| text.and_then(|t| t.parse::<i64>().ok());
        let bound = || number(self.values.first().map(Str::as_str));
        match self.operator.as_str() {
            "In" => listed(),
            "NotIn" => !listed(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "Gt" => number(value).zip(bound()).is_some_and(|(value, bound)| value > bound),
            "Lt" => number(value).zip(bound()).is_some_and(|(value, bound)| value < bound),
            _ => false,
        }
    }
}

impl NodeTerm {
    pub fn of(term: &Value) -> Self {
        let all = |field: &str| term.list_at(&[field]).iter().map(Expression::of).collect();
        NodeTerm { labels: all("matchExpressions"), fields: all("matchFields") }
    }

    /// The required terms of a pod's spec; `None` when it has none and any node will do.
    pub fn required(spec: &Value) -> Option<Vec<NodeTerm>> {
        let terms = spec.at(&REQUIRED_TERMS)?.as_list()?;
        Some(terms.iter().map(NodeTerm::of).collect())
    }

    pub fn matches(&self, name: &str, labels: &Map) -> bool {
        let label = |key: &Str| labels.get(key).and_then(Value::as_str);
        (!self.labels.is_empty() || !self.fields.is_empty())
            && self.labels.iter().all(|e| e.holds(label(&e.key)))
            && self.fields.iter().all(|e| e.holds((e.key == *"metadata.name").then_some(name)))
    }

    /// The names that the term is bound to, when it is bound to some.
    pub fn names(&self) -> Option<&[Str]> {
        let bound = self.fields.iter().find(|e| e.key == *"metadata.name" && e.operator == *"In");
        bound.map(|e| e.values.as_slice())
    }
}

/// A pod's `nodeSelector` as a selector; everything when it has none.
pub fn node_selector(spec: &Value) -> LabelSelector {
    let pairs = spec.map_at(&["nodeSelector"]).into_iter().flat_map(Map::iter);
    let is = |(key, value): (&Str, &Value)| {
        Requirement::new(key, Operator::In, vec![value.as_str().unwrap_or_default().into()]).ok()
    };
    LabelSelector::new(pairs.filter_map(is).collect())
}

/// What keeps pods away from a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    pub key: Str,
    pub value: Str,
    pub effect: Str,
}

impl Taint {
    pub fn of(taint: &Value) -> Self {
        let text = |field: &str| taint.str_at(&[field]).into();
        Taint { key: text("key"), value: text("value"), effect: text("effect") }
    }

    /// Whether it keeps pods from starting (`NoSchedule`, `NoExecute`).
    pub fn is_hard(&self) -> bool {
        self.effect == *"NoSchedule" || self.effect == *"NoExecute"
    }
}

/// What lets a pod run in spite of a taint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toleration {
    key: Str,
    /// Any value.
    exists: bool,
    value: Str,
    effect: Str,
    secs: Option<i64>,
}

impl Toleration {
    pub fn of(toleration: &Value) -> Self {
        let text = |field: &str| toleration.str_at(&[field]).into();
        let exists = toleration.str_at(&["operator"]) == "Exists";
        let secs = toleration.i64_at(&["tolerationSeconds"]);
        Toleration { key: text("key"), exists, value: text("value"), effect: text("effect"), secs }
    }

    /// For how many seconds a `NoExecute` taint is borne; for ever when `None`.
    pub fn secs(&self) -> Option<i64> {
        self.secs
    }

    /// Those of a pod's spec.
    pub fn all(spec: &Value) -> Vec<Toleration> {
        spec.list_at(&["tolerations"]).iter().map(Toleration::of).collect()
    }

    /// The effect that it is for; empty for all.
    pub fn effect(&self) -> &str {
        &self.effect
    }

    pub fn tolerates(&self, taint: &Taint) -> bool {
        let key = if self.key.is_empty() { self.exists } else { self.key == taint.key };
        let effect = self.effect.is_empty() || self.effect == taint.effect;
        key && effect && (self.exists || self.value == taint.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn terms_match_by_labels_and_by_name() {
        let labels = tree!({"disk": "ssd", "cpus": "8"});
        let labels = labels.as_map().unwrap();
        let holds = |key: &str, operator: &str, values: Value| {
            let expression = tree!({"key": key, "operator": operator, "values": (values)});
            NodeTerm::of(&tree!({"matchExpressions": [(expression)]})).matches("n", labels)
        };
        assert!(holds("disk", "In", tree!(["hdd", "ssd"])) && !holds("disk", "NotIn", tree!(["ssd"])));
        assert!(holds("cpus", "Gt", tree!(["7"])) && !holds("cpus", "Lt", tree!(["8"])));
        assert!(holds("gpu", "DoesNotExist", tree!([])) && !holds("gpu", "Exists", tree!([])));
        let named = NodeTerm::of(
            &tree!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}),
        );
        assert!(named.matches("n", labels) && !named.matches("m", labels));
        assert_eq!(named.names().unwrap(), [Str::from("n")]);
        assert!(!NodeTerm::of(&tree!({})).matches("n", labels));
    }

    #[test]
    fn tolerations_are_for_a_key_a_value_and_an_effect_or_for_all() {
        let taint = Taint::of(&tree!({"key": "k", "value": "v", "effect": "NoSchedule"}));
        let tolerates = |toleration: Value| Toleration::of(&toleration).tolerates(&taint);
        assert!(tolerates(tree!({"operator": "Exists"})));
        assert!(tolerates(tree!({"key": "k", "value": "v"})));
        assert!(tolerates(tree!({"key": "k", "operator": "Exists", "effect": "NoSchedule"})));
        assert!(!tolerates(tree!({"key": "k", "value": "w"})));
        assert!(!tolerates(tree!({"key": "k", "operator": "Exists", "effect": "NoExecute"})));
        assert!(!tolerates(tree!({"value": "v"})));
    }
}
