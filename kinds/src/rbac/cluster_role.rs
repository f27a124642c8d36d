//! ClusterRole: what may be done to resources anywhere and to paths, written out or gathered from other cluster roles.

use super::{GROUP, policy_rule};
use crate::{Cx, Info, Kind, NameRule};
use api::selector::{LabelSelector, label_selector_faults};
use api::{Fault, Path, Value};

pub struct ClusterRole(Info);

impl ClusterRole {
    pub fn new() -> Self {
        let info = Info::new(GROUP, "v1", "ClusterRole", "clusterroles");
        ClusterRole(info.cluster_scoped().names(NameRule::PathSegment).creates_on_update())
    }
}

/// Bad label values that are stored already stay allowed.
fn faults(obj: &Value, allow_invalid_values: bool) -> Vec<Fault> {
    let mut faults = policy_rule::faults(obj, false);
    let Some(rule) = obj.get("aggregationRule").filter(|r| !r.is_null()) else { return faults };
    let at = Path::new("aggregationRule").child("clusterRoleSelectors");
    let selectors = rule.list_at(&["clusterRoleSelectors"]);
    if selectors.is_empty() {
        let text = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        faults.push(Fault::required(&at, text));
    }
    for (i, selector) in selectors.iter().enumerate() {
        faults.extend(label_selector_faults(selector, allow_invalid_values, &at.index(i)));
        if LabelSelector::from_value(Some(selector)).is_err() {
            faults.push(Fault::invalid(at.index(i), Value::Null, "invalid label selector."));
        }
    }
    faults
}

impl Kind for ClusterRole {
    fn info(&self) -> &Info {
        &self.0
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        faults(obj, false)
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let selectors = old.list_at(&["aggregationRule", "clusterRoleSelectors"]);
        let had_bad = selectors.iter().any(|s| !label_selector_faults(s, false, &Path::default()).is_empty());
        faults(new, had_bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn an_aggregation_rule_needs_a_selector() {
        let texts: Vec<String> =
            faults(&tree!({"aggregationRule": {}}), false).iter().map(Fault::to_string).collect();
        assert_eq!(
            texts,
            [
                "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if \
              aggregationRule is non-nil"
            ]
        );
    }
}
