//! What is claimed: requests for devices, constraints between them, configuration for their drivers.

use super::{device_config, device_taint, sized};
use crate::validation;
use api::{Fault, Path, Value};
use std::collections::{HashMap, HashSet};

const MAX_REQUESTS: usize = 32;
const MAX_CONSTRAINTS: usize = 32;
const MAX_CONFIGS: usize = 32;
const MAX_ALTERNATIVES: usize = 8;
const NOT_A_REQUEST: &str =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

/// The requests of a claim by name, each with the names of its alternatives.
pub struct RequestNames(HashMap<String, HashSet<String>>);

impl RequestNames {
    /// Of a claim's spec.
    pub fn of(spec: Option<&Value>) -> Self {
        let name = |v: &Value| v.str_at(&["name"]).to_owned();
        let requests = spec.map(|s| s.list_at(&["devices", "requests"])).unwrap_or_default().iter();
        let alternatives = |r: &Value| r.list_at(&["firstAvailable"]).iter().map(name).collect();
        RequestNames(requests.map(|r| (name(r), alternatives(r))).collect())
    }

    fn has(&self, request: &str, alternative: Option<&str>) -> bool {
        let found = self.0.get(request);
        found.is_some_and(|names| alternative.is_none_or(|a| names.contains(a)))
    }

    /// Faults of a reference to a request: `name` or `name/alternative`.
    pub fn reference_faults(&self, reference: &str, at: &Path) -> Vec<Fault> {
        let unknown = || Fault::invalid(at, reference, NOT_A_REQUEST);
        let parts: Vec<&str> = reference.split('/').collect();
        let (request, alternative) = match parts[..] {
            [request] => (request, None),
            [request, alternative] => (request, Some(alternative)),
            _ => return vec![unknown()],
        };
        let mut faults: Vec<Fault> = parts.iter().flat_map(|p| validation::dns_label(p, at)).collect();
        if !self.has(request, alternative) {
            faults.push(unknown());
        }
        faults
    }

    /// Faults of a list of references.
    pub fn list_faults(&self, list: &[Value], at: &Path) -> Vec<Fault> {
        sized::set(list, MAX_REQUESTS, at, sized::text, |name, at| {
            self.reference_faults(name.as_str().unwrap_or_default(), at)
        })
    }
}

/// Fills mode and count into all requests of a claim's spec.
pub fn fill(spec: Option<&mut Value>) {
    let requests = spec.and_then(|s| s.at_mut(&["devices", "requests"])).and_then(Value::as_list_mut);
    for request in requests.into_iter().flatten() {
        if let Some(exactly) = request.get_mut("exactly").filter(|e| !e.is_null()) {
            fill_request(exactly);
        }
        let alternatives = request.get_mut("firstAvailable").and_then(Value::as_list_mut);
        alternatives.into_iter().flatten().for_each(fill_request);
    }
}

fn fill_request(request: &mut Value) {
    if request.str_at(&["allocationMode"]).is_empty() {
        request.set(&["allocationMode"], "ExactCount");
    }
    let counted = request.str_at(&["allocationMode"]) == "ExactCount";
    if counted && request.i64_at(&["count"]).unwrap_or_default() == 0 {
        request.set(&["count"], 1);
    }
}

/// Faults of a claim's spec.
pub fn faults(spec: Option<&Value>, at: &Path) -> Vec<Fault> {
    let at = at.child("devices");
    let names = RequestNames::of(spec);
    let list = |field: &str| spec.map(|s| s.list_at(&["devices", field])).unwrap_or_default();
    let mut faults =
        sized::set(list("requests"), MAX_REQUESTS, &at.child("requests"), sized::by("name"), request_faults);
    let path = at.child("constraints");
    faults.extend(sized::list(list("constraints"), MAX_CONSTRAINTS, &path, |constraint, at| {
        constraint_faults(constraint, &names, at)
    }));
    faults.extend(sized::list(list("config"), MAX_CONFIGS, &at.child("config"), |config, at| {
        let mut faults = names.list_faults(config.list_at(&["requests"]), &at.child("requests"));
        faults.extend(device_config::config_faults(config, false, at));
        faults
    }));
    faults
}

fn request_faults(request: &Value, at: &Path) -> Vec<Fault> {
    const ONE: &str = "exactly one of `exactly` or `firstAvailable` is required";
    let mut faults = validation::dns_label(request.str_at(&["name"]), &at.child("name"));
    let alternatives = request.list_at(&["firstAvailable"]);
    let exactly = request.get("exactly").filter(|e| !e.is_null());
    match (exactly, alternatives.is_empty()) {
        (None, true) => faults.push(Fault::required(at, ONE)),
        (Some(_), false) => {
            let text = format!("{ONE}, but multiple fields are set");
            faults.push(Fault::invalid(at, Value::Null, text));
        }
        (Some(exactly), true) => faults.extend(device_faults(exactly, &at.child("exactly"))),
        (None, false) => {
            let path = at.child("firstAvailable");
            faults.extend(sized::set(alternatives, MAX_ALTERNATIVES, &path, sized::by("name"), |one, at| {
                let mut faults = validation::dns_label(one.str_at(&["name"]), &at.child("name"));
                faults.extend(device_faults(one, at));
                faults
            }));
        }
    }
    faults
}

/// Faults of what one request, or one alternative, asks for.
fn device_faults(request: &Value, at: &Path) -> Vec<Fault> {
    let class = request.str_at(&["deviceClassName"]);
    let mut faults = match class {
        "" => vec![Fault::required(at.child("deviceClassName"), "")],
        _ => validation::dns_subdomain(class, &at.child("deviceClassName")),
    };
    faults.extend(device_config::selector_faults(request.list_at(&["selectors"]), &at.child("selectors")));
    let count = request.i64_at(&["count"]).unwrap_or_default();
    match request.str_at(&["allocationMode"]) {
        "All" if count != 0 => {
            let text = "must not be specified when allocationMode is 'All'";
            faults.push(Fault::invalid(at.child("count"), count, text));
        }
        "ExactCount" if count <= 0 => {
            faults.push(Fault::invalid(at.child("count"), count, "must be greater than zero"));
        }
        mode => faults.extend(validation::one_of(mode, &["All", "ExactCount"], &at.child("allocationMode"))),
    }
    for (i, toleration) in request.list_at(&["tolerations"]).iter().enumerate() {
        faults.extend(device_taint::toleration_faults(toleration, &at.child("tolerations").index(i)));
    }
    faults
}

fn constraint_faults(constraint: &Value, names: &RequestNames, at: &Path) -> Vec<Fault> {
    let mut faults = names.list_faults(constraint.list_at(&["requests"]), &at.child("requests"));
    let mut fields = ["matchAttribute", "distinctAttribute"].into_iter();
    let attribute = fields.find_map(|field| Some((field, constraint.get(field)?.as_str()?)));
    faults.extend(match attribute {
        Some((field, name)) => device_config::full_name_faults(name, &at.child(field)),
        None => {
            let text = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
            vec![Fault::required(at, text)]
        }
    });
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn texts(requests: Value, constraints: Value) -> Vec<String> {
        let mut spec = tree!({"devices": {"requests": requests, "constraints": constraints}});
        fill(Some(&mut spec));
        faults(Some(&spec), &Path::new("spec")).iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn requests_ask_for_one_thing_each() {
        let requests = tree!([{"name": "r", "exactly": {"deviceClassName": ""}},
                              {"name": "r", "exactly": {"deviceClassName": "a", "count": (-1)}}, {"name": "bad"}]);
        assert_eq!(
            texts(requests, tree!([])),
            [
                "spec.devices.requests[0].exactly.deviceClassName: Required value",
                "spec.devices.requests[1].exactly.count: Invalid value: -1: must be greater than zero",
                "spec.devices.requests[2]: Required value: exactly one of `exactly` or `firstAvailable` is required",
                "spec.devices.requests[1]: Duplicate value: \"r\"",
            ]
        );
    }

    #[test]
    fn constraints_speak_of_requests_of_the_claim() {
        let requests = tree!([{"name": "r", "firstAvailable": [{"name": "a", "deviceClassName": "c"}]}]);
        let constraints = tree!([{"requests": ["r/a", "zzz"], "matchAttribute": "nodomain"}]);
        assert_eq!(
            texts(requests, constraints),
            [
                format!("spec.devices.constraints[0].requests[1]: Invalid value: \"zzz\": {NOT_A_REQUEST}"),
                "spec.devices.constraints[0].matchAttribute: Invalid value: \"nodomain\": a fully qualified name must be a \
                 domain and a name separated by a slash"
                    .to_owned(),
            ]
        );
    }
}
