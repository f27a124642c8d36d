//! MutatingAdmissionPolicy: CEL expressions that change objects before they are stored.

use super::{REINVOCATION_POLICIES, policy};
use crate::{Column, Cx, Info, Kind, print, validation};
use api::{Fault, Path, Value};

/// The types of patches and the fields they are in.
const PATCHES: [(&str, &str); 2] = [("ApplyConfiguration", "applyConfiguration"), ("JSONPatch", "jsonPatch")];

pub struct MutatingAdmissionPolicy(Info);

impl MutatingAdmissionPolicy {
    pub fn new() -> Self {
        MutatingAdmissionPolicy(super::info("MutatingAdmissionPolicy", "mutatingadmissionpolicies"))
    }
}

fn faults(obj: &Value, old: Option<&Value>) -> Vec<Fault> {
    let at = Path::new("spec");
    let mutations = obj.list_at(&["spec", "mutations"]);
    let mut faults = policy::faults(obj, old, true);
    if mutations.is_empty() {
        faults.push(Fault::required(at.child("mutations"), "mutations must contain at least one item"));
    }
    for (i, mutation) in mutations.iter().enumerate() {
        faults.extend(mutation_faults(mutation, &at.child("mutations").index(i)));
    }
    let path = at.child("reinvocationPolicy");
    faults.extend(match obj.str_at(&["spec", "reinvocationPolicy"]) {
        "" => vec![Fault::required(path, "")],
        policy => validation::one_of(policy, &REINVOCATION_POLICIES, &path),
    });
    faults
}

fn mutation_faults(mutation: &Value, at: &Path) -> Vec<Fault> {
    let ty = mutation.str_at(&["patchType"]);
    if ty.is_empty() {
        return vec![Fault::required(at.child("patchType"), "")];
    }
    if !PATCHES.iter().any(|(name, _)| *name == ty) {
        return validation::one_of(ty, &PATCHES.map(|(name, _)| name), &at.child("patchType"));
    }
    let mut own = Vec::new();
    let mut others = Vec::new();
    for (name, field) in PATCHES {
        let patch = mutation.get(field).filter(|p| !p.is_null());
        match (name == ty, patch) {
            (true, None) => {
                let text = format!("must be specified when patchType is {ty}");
                own.push(Fault::required(at.child(field), text));
            }
            (true, Some(patch)) => {
                let expression = patch.str_at(&["expression"]).trim();
                own.extend(validation::required(expression, &at.child(field).child("expression")));
            }
            (false, Some(_)) => {
                let text = format!("must not be specified when patchType is {ty}");
                others.push(Fault::invalid(at.child(field), format!("{{{field}}}"), text));
            }
            (false, None) => {}
        }
    }
    own.into_iter().chain(others).collect()
}

impl Kind for MutatingAdmissionPolicy {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        policy::fill(obj);
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        faults(obj, None)
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        faults(new, Some(old))
    }

    fn columns(&self) -> Vec<Column> {
        let mutations = "Mutation indicates the number of mutations rules defined in this configuration";
        let param = "ParamKind specifies the kind of resources used to parameterize this policy";
        vec![
            Column::name(),
            Column::text("Mutations", "integer", mutations),
            Column::text("ParamKind", "string", param),
            Column::age(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let count = i64::try_from(obj.list_at(&["spec", "mutations"]).len()).unwrap_or(i64::MAX);
        vec![print::name(obj), count.into(), policy::param_kind_cell(obj), print::age(obj, now)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_mutation_has_the_patch_of_its_type() {
        let texts =
            |v: Value| mutation_faults(&v, &Path::new("m")).iter().map(|f| f.to_string()).collect::<Vec<_>>();
        assert_eq!(
            texts(tree!({"patchType": "ApplyConfiguration", "jsonPatch": {"expression": "x"}})),
            [
                "m.applyConfiguration: Required value: must be specified when patchType is ApplyConfiguration",
                "m.jsonPatch: Invalid value: \"{jsonPatch}\": must not be specified when patchType is ApplyConfiguration",
            ]
        );
        assert_eq!(
            texts(tree!({"patchType": "Other"})),
            [
                "m.patchType: Unsupported value: \"Other\": supported values: \"ApplyConfiguration\", \"JSONPatch\""
            ]
        );
    }
}
