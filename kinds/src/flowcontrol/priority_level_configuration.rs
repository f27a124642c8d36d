//! PriorityLevelConfiguration: how many requests of a level run at once, and whether others wait.

use super::{GROUP, reset_fields, status_faults};
use crate::internal_form::internal_form;
use crate::{Column, Cx, Info, Kind, keep_field, lens, print, validation};
use api::{Fault, Path, Value, tree};

const SPEC: &str = "io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationSpec";
const LIMITED: &str = "io.k8s.api.flowcontrol.v1.LimitedPriorityLevelConfiguration";
const QUEUING: &str = "io.k8s.api.flowcontrol.v1.QueuingConfiguration";
const FORBIDDEN_ANNOTATION: &str = "flowcontrol.k8s.io/preserve-zero-concurrency-shares";
const MAX_QUEUES: i64 = 10_000_000;
const MAX_HASH_BITS: f64 = 60.0;

pub struct PriorityLevelConfiguration(Info);

impl PriorityLevelConfiguration {
    pub fn new() -> Self {
        let info = Info::new(GROUP, "v1", "PriorityLevelConfiguration", "prioritylevelconfigurations");
        PriorityLevelConfiguration(info.cluster_scoped().with_status().with_generation())
    }
}

fn present<'v>(obj: &'v Value, path: &[&str]) -> Option<&'v Value> {
    obj.at(path).filter(|v| !v.is_null())
}

fn not_negative_shares(value: Option<i64>, at: &Path) -> Option<Fault> {
    let shares = value.filter(|v| *v < 0)?;
    Some(Fault::invalid(at.child("nominalConcurrencyShares"), shares, "must be a non-negative integer"))
}

fn lendable_fault(level: &Value, at: &Path) -> Option<Fault> {
    let percent = level.i64_at(&["lendablePercent"]).filter(|p| !(0..=100).contains(p))?;
    Some(Fault::invalid(at.child("lendablePercent"), percent, "must be between 0 and 100, inclusive"))
}

fn spec_faults(obj: &Value) -> Vec<Fault> {
    let at = Path::new("spec");
    let ty = obj.str_at(&["spec", "type"]);
    let (limited, exempt) = (present(obj, &["spec", "limited"]), present(obj, &["spec", "exempt"]));
    let mut faults = Vec::new();
    if (obj.str_at(&["metadata", "name"]) == "exempt") != (ty == "Exempt") {
        let text = "must be 'Exempt' if and only if `name` is 'exempt'";
        faults.push(Fault::invalid(at.child("type"), ty, text));
    }
    match (ty, limited, exempt) {
        ("Exempt", limited, exempt) => {
            if limited.is_some() {
                let text = "must be nil if the type is not Limited";
                faults.push(Fault::forbidden(at.child("limited"), text));
            }
            if let Some(exempt) = exempt {
                let path = at.child("exempt");
                faults.extend(not_negative_shares(exempt.i64_at(&["nominalConcurrencyShares"]), &path));
                faults.extend(lendable_fault(exempt, &path));
            }
        }
        ("Limited", limited, exempt) => {
            if exempt.is_some() {
                faults.push(Fault::forbidden(at.child("exempt"), "must be nil if the type is Limited"));
            }
            match limited {
                Some(limited) => faults.extend(limited_faults(limited, &at.child("limited"))),
                None => {
                    let text = "must not be empty when type is Limited";
                    faults.push(Fault::required(at.child("limited"), text));
                }
            }
        }
        _ => faults.extend(validation::one_of(ty, &["Exempt", "Limited"], &at.child("type"))),
    }
    faults
}

fn limited_faults(limited: &Value, at: &Path) -> Vec<Fault> {
    let mut faults: Vec<Fault> =
        not_negative_shares(limited.i64_at(&["nominalConcurrencyShares"]), at).into_iter().collect();
    let path = at.child("limitResponse");
    let ty = limited.str_at(&["limitResponse", "type"]);
    match (ty, present(limited, &["limitResponse", "queuing"])) {
        ("Reject", Some(_)) => {
            let text = "must be nil if limited.limitResponse.type is not Limited";
            faults.push(Fault::forbidden(path.child("queuing"), text));
        }
        ("Reject", None) => {}
        ("Queue", Some(queuing)) => faults.extend(queuing_faults(queuing, &path.child("queuing"))),
        ("Queue", None) => {
            let text = "must not be empty if limited.limitResponse.type is Limited";
            faults.push(Fault::required(path.child("queuing"), text));
        }
        _ => faults.extend(validation::one_of(ty, &["Queue", "Reject"], &path.child("type"))),
    }
    faults.extend(lendable_fault(limited, at));
    if let Some(percent) = limited.i64_at(&["borrowingLimitPercent"]).filter(|p| *p < 0) {
        let text = "if specified, must be a non-negative integer";
        faults.push(Fault::invalid(at.child("borrowingLimitPercent"), percent, text));
    }
    faults
}

fn queuing_faults(queuing: &Value, at: &Path) -> Vec<Fault> {
    let number = |field: &str| queuing.i64_at(&[field]).unwrap_or_default();
    let (queues, hand) = (number("queues"), number("handSize"));
    let fault = |field: &str, text: String| Fault::invalid(at.child(field), number(field), text);
    let positive = || "must be positive".to_owned();
    let mut faults = Vec::new();
    if number("queueLengthLimit") <= 0 {
        faults.push(fault("queueLengthLimit", positive()));
    }
    if queues <= 0 {
        faults.push(fault("queues", positive()));
    } else if queues > MAX_QUEUES {
        faults.push(fault("queues", format!("must not be greater than {MAX_QUEUES}")));
    }
    if hand <= 0 {
        faults.push(fault("handSize", positive()));
    } else if hand > queues {
        faults.push(fault("handSize", format!("should not be greater than queues ({queues})")));
    } else if ((queues as f64).log2() * hand as f64).ceil() > MAX_HASH_BITS {
        let text = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {MAX_HASH_BITS}"
        );
        faults.push(fault("handSize", text));
    }
    faults
}

/// The fault of a level that must have a certain spec and has another.
fn fixed_fault(obj: &Value) -> Option<Fault> {
    let name = obj.str_at(&["metadata", "name"]);
    let mut have = obj.get("spec").cloned().unwrap_or_default();
    let (fixed, but) = match name {
        "exempt" => {
            have.unset(&["exempt"]);
            (tree!({"type": "Exempt"}), " except the 'spec.exempt' field")
        }
        "catch-all" => {
            let limited = tree!({"nominalConcurrencyShares": 5, "lendablePercent": 0,
                                 "limitResponse": {"type": "Reject"}});
            (tree!({"type": "Limited", "limited": limited}), "")
        }
        _ => return None,
    };
    (!validation::same(Some(&have), Some(&fixed))).then(|| {
        let text = format!("spec of '{name}'{but} must equal the fixed value");
        Fault::invalid("spec", internal_form(obj.get("spec"), SPEC), text)
    })
}

impl Kind for PriorityLevelConfiguration {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        for (field, shares) in [("exempt", 0), ("limited", 30)] {
            if let Some(level) = obj.at_mut(&["spec", field]).and_then(Value::as_map_mut) {
                level.entry_or("nominalConcurrencyShares", || Value::Int(shares));
                level.entry_or("lendablePercent", || Value::Int(0));
            }
        }
        let queuing = obj.at_mut(&["spec", "limited", "limitResponse", "queuing"]);
        if let Some(queuing) = queuing.filter(|q| !q.is_null()) {
            for (field, number) in [("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)] {
                if queuing.i64_at(&[field]).unwrap_or_default() == 0 {
                    queuing.set(&[field], Value::Int(number));
                }
            }
        }
    }

    fn prepare_lens(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        lens::keep_meta(new, old);
        keep_field(new, old, "spec");
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = Vec::new();
        if obj.at(&["metadata", "annotations", FORBIDDEN_ANNOTATION]).is_some() {
            let text = format!("annotation '{FORBIDDEN_ANNOTATION}' is forbidden");
            faults.push(Fault::forbidden("metadata.annotations", text));
        }
        faults.extend(spec_faults(obj));
        faults.extend(fixed_fault(obj));
        faults.extend(status_faults(obj));
        faults
    }

    fn validate_lens(&self, new: &Value, _old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        status_faults(new)
    }

    fn reset_fields(&self, subresource: &str) -> Vec<Vec<&'static str>> {
        reset_fields(subresource)
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name(),
            Column::field("Type", "string", SPEC, "type"),
            Column::field("NominalConcurrencyShares", "string", LIMITED, "nominalConcurrencyShares"),
            Column::field("Queues", "string", QUEUING, "queues"),
            Column::field("HandSize", "string", QUEUING, "handSize"),
            Column::field("QueueLengthLimit", "string", QUEUING, "queueLengthLimit"),
            Column::age(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let limited = present(obj, &["spec", "limited"]);
        let queuing = present(obj, &["spec", "limited", "limitResponse", "queuing"]);
        let number = |of: Option<&Value>, field: &str| -> Value {
            match of {
                Some(of) => of.i64_at(&[field]).unwrap_or_default().into(),
                None => "<none>".into(),
            }
        };
        vec![
            print::name(obj),
            obj.str_at(&["spec", "type"]).into(),
            number(limited, "nominalConcurrencyShares"),
            number(queuing, "queues"),
            number(queuing, "handSize"),
            number(queuing, "queueLengthLimit"),
            print::age(obj, now),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(obj: &Value) -> Vec<String> {
        spec_faults(obj).iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn a_rejecting_level_has_no_queues() {
        let limited = tree!({"nominalConcurrencyShares": (-1), "limitResponse": {"type": "Reject", "queuing": {"queues": 1}}});
        assert_eq!(
            texts(&tree!({"spec": {"type": "Limited", "limited": limited}})),
            [
                "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
                "spec.limited.limitResponse.queuing: Forbidden: must be nil if limited.limitResponse.type is not Limited",
            ]
        );
        assert_eq!(
            texts(&tree!({"spec": {"type": "Exempt", "limited": {}}})),
            [
                "spec.type: Invalid value: \"Exempt\": must be 'Exempt' if and only if `name` is 'exempt'",
                "spec.limited: Forbidden: must be nil if the type is not Limited",
            ]
        );
    }

    #[test]
    fn hands_fit_into_the_hash() {
        let queuing = tree!({"queues": 64, "handSize": 20, "queueLengthLimit": 50});
        assert_eq!(
            queuing_faults(&queuing, &Path::new("q"))[0].to_string(),
            "q.handSize: Invalid value: 20: required entropy bits of deckSize 64 and handSize 20 should not be greater than 60"
        );
    }
}
