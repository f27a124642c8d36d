//! Checks of tolerations, spread constraints, gates. Source: `ValidateTolerations`,
//! `validateTopologySpreadConstraints`, `validateSchedulingGates`.

use super::{affinity, set};
use crate::validation::{above_zero, label_selector, one_of, qualified_name};
use api::{Fault, Path, Value, names};
use std::collections::BTreeSet;

/// Effects of taints, in upstream's order.
pub const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// `tolerations`.
pub fn tolerations(list: &[Value], path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (i, toleration) in list.iter().enumerate() {
        let at = path.index(i);
        let text = |field: &str| toleration.str_at(&[field]);
        let (key, operator, value, effect) = (text("key"), text("operator"), text("value"), text("effect"));
        if !key.is_empty() {
            faults.extend(qualified_name(key, &at.child("key")));
        } else if operator != "Exists" {
            let detail =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            faults.push(Fault::invalid(at.child("operator"), operator, detail));
        }
        if set(toleration, "tolerationSeconds").is_some() && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            faults.push(Fault::invalid(at.child("effect"), effect, detail));
        }
        match operator {
            "Equal" | "" => {
                let wrong = names::is_label_value(value);
                if !wrong.is_empty() {
                    faults.push(Fault::invalid(at.child("operator"), value, wrong.join(";")));
                }
            }
            "Exists" if !value.is_empty() => {
                let detail = "value must be empty when `operator` is 'Exists'";
                faults.push(Fault::invalid(at.child("operator"), value, detail));
            }
            "Exists" => {}
            "Lt" | "Gt" => {
                let known = ["Equal", "Exists", "Lt", "Gt"];
                faults.push(Fault::not_supported(at.child("operator"), operator, &known));
            }
            _ => faults.push(Fault::not_supported(at.child("operator"), operator, &["Equal", "Exists"])),
        }
        if !effect.is_empty() {
            faults.extend(one_of(effect, &EFFECTS, &at.child("effect")));
        }
    }
    faults
}

/// True when a selector of the constraints is wrong.
pub fn has_wrong_selectors(list: &Value) -> bool {
    let wrong = |c: &Value| !label_selector(set(c, "labelSelector"), &Path::default()).is_empty();
    list.as_list().is_some_and(|list| list.iter().any(wrong))
}

/// `topologySpreadConstraints`. `lenient`: selectors may be wrong.
pub fn spread_constraints(list: &[Value], lenient: bool, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (i, constraint) in list.iter().enumerate() {
        let at = path.index(i);
        let pair =
            |c: &Value| (c.str_at(&["topologyKey"]).to_owned(), c.str_at(&["whenUnsatisfiable"]).to_owned());
        let (key, action) = pair(constraint);
        faults.extend(above_zero(
            Some(constraint.i64_at(&["maxSkew"]).unwrap_or_default()),
            &at.child("maxSkew"),
        ));
        if key.is_empty() {
            faults.push(Fault::required(at.child("topologyKey"), "can not be empty"));
        }
        let actions = ["DoNotSchedule", "ScheduleAnyway"];
        faults.extend(one_of(&action, &actions, &at.child("whenUnsatisfiable")));
        if list.iter().skip(i + 1).any(|other| pair(other) == (key.clone(), action.clone())) {
            let at = at.child("{topologyKey, whenUnsatisfiable}");
            faults.push(Fault::duplicate(at, format!("{{{key}, {action}}}")));
        }
        faults.extend(min_domains(constraint, &action, &at.child("minDomains")));
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            if let Some(policy) = set(constraint, field).and_then(Value::as_str) {
                faults.extend(one_of(policy, &["Honor", "Ignore"], &at.child(field)));
            }
        }
        faults.extend(affinity::label_keys(constraint, &at));
        if !lenient {
            faults.extend(label_selector(set(constraint, "labelSelector"), &at.child("labelSelector")));
        }
    }
    faults
}

fn min_domains(constraint: &Value, action: &str, path: &Path) -> Vec<Fault> {
    let Some(domains) = constraint.i64_at(&["minDomains"]) else { return Vec::new() };
    let mut faults = above_zero(Some(domains), path);
    if action != "DoNotSchedule" {
        let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
        faults.push(Fault::invalid(path, domains, detail));
    }
    faults
}

/// `schedulingGates`.
pub fn gates(list: &[Value], path: &Path) -> Vec<Fault> {
    let (mut faults, mut seen) = (Vec::new(), BTreeSet::new());
    for (i, gate) in list.iter().enumerate() {
        let name = gate.str_at(&["name"]);
        faults.extend(qualified_name(name, &path.index(i)));
        if !seen.insert(name) {
            faults.push(Fault::duplicate(path.index(i), name));
        }
    }
    faults
}
