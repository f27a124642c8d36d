//! CSIDriver: what a CSI driver needs of the cluster and what it can do.

use super::GROUP;
use crate::{Column, Cx, Info, Kind, print, validation};
use api::{Fault, Path, Value};
use std::collections::HashSet;

const SPEC: &str = "io.k8s.api.storage.v1.CSIDriverSpec";
const MIN_TOKEN_SECS: i64 = 600;
const MAX_TOKEN_SECS: i64 = 1 << 32;
const MIN_UPDATE_PERIOD_SECS: i64 = 10;
const TOKENS_IN_SECRETS: &str = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to \
                                 true to prevent possible logging of tokens in volume attributes";

pub struct CSIDriver(Info);

impl CSIDriver {
    pub fn new() -> Self {
        let info = Info::new(GROUP, "v1", "CSIDriver", "csidrivers");
        CSIDriver(info.cluster_scoped().conditional_update().returns_deleted())
    }
}

fn token_faults(requests: &[Value], at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut audiences = HashSet::new();
    for (i, request) in requests.iter().enumerate() {
        let audience = request.str_at(&["audience"]);
        if !audiences.insert(audience) {
            faults.push(Fault::duplicate(at.index(i).child("audience"), audience));
            continue;
        }
        let Some(secs) = request.i64_at(&["expirationSeconds"]) else { continue };
        let path = at.index(i).child("expirationSeconds");
        if secs < MIN_TOKEN_SECS {
            faults.push(Fault::invalid(&path, secs, "may not specify a duration less than 10 minutes"));
        }
        if secs > MAX_TOKEN_SECS {
            faults.push(Fault::invalid(&path, secs, "may not specify a duration larger than 2^32 seconds"));
        }
    }
    faults
}

impl Kind for CSIDriver {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        let spec = obj.make_map(&["spec"]);
        spec.entry_or("attachRequired", || true.into());
        spec.entry_or("fsGroupPolicy", || "ReadWriteOnceWithFSType".into());
        for field in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
            spec.entry_or(field, || false.into());
        }
        if spec.get("volumeLifecycleModes").is_none_or(Value::is_empty) {
            spec.insert("volumeLifecycleModes", vec!["Persistent"]);
        }
    }

    /// Scheduling by the number of volumes is off by default.
    fn prepare_create(&self, obj: &mut Value, _cx: &Cx<'_>) {
        obj.unset(&["spec", "preventPodSchedulingIfMissing"]);
    }

    /// The generation counts changes, though it does not start with 1.
    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        if old.at(&["spec", "preventPodSchedulingIfMissing"]).is_none() {
            new.unset(&["spec", "preventPodSchedulingIfMissing"]);
        }
        if !validation::same(new.get("spec"), old.get("spec")) {
            let generation = old.i64_at(&["metadata", "generation"]).unwrap_or_default();
            new.set(&["metadata", "generation"], generation + 1);
        }
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let at = Path::new("spec");
        let has = |field: &str| obj.at(&["spec", field]).filter(|v| !v.is_null());
        let mut faults = Vec::new();
        let policies = ["File", "None", "ReadWriteOnceWithFSType"];
        if let Some(policy) = has("fsGroupPolicy").and_then(Value::as_str) {
            faults.extend(validation::one_of(policy, &policies, &at.child("fsGroupPolicy")));
        }
        let requests = obj.list_at(&["spec", "tokenRequests"]);
        faults.extend(token_faults(requests, &at.child("tokenRequests")));
        for mode in obj.list_at(&["spec", "volumeLifecycleModes"]).iter().filter_map(Value::as_str) {
            let modes = ["Persistent", "Ephemeral"];
            faults.extend(validation::one_of(mode, &modes, &at.child("volumeLifecycleModes")));
        }
        let period = "nodeAllocatableUpdatePeriodSeconds";
        if let Some(secs) = obj.i64_at(&["spec", period]).filter(|s| *s < MIN_UPDATE_PERIOD_SECS) {
            faults.push(Fault::invalid(
                at.child(period),
                secs,
                "must be greater than or equal to 10 seconds",
            ));
        }
        if let Some(set) = has("serviceAccountTokenInSecrets").filter(|_| requests.is_empty()) {
            let text = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
            faults.push(Fault::invalid(at.child("serviceAccountTokenInSecrets"), set.clone(), text));
        }
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = self.validate(new, cx);
        // Upstream names the first field so.
        let fields =
            [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")];
        for (field, shown) in fields {
            let path = ["spec", field];
            let at = Path::new("spec").child(shown);
            faults.extend(validation::immutable(new.at(&path), old.at(&path), &at));
        }
        faults
    }

    fn warn(&self, new: &Value, old: Option<&Value>, _cx: &Cx<'_>) -> Vec<String> {
        let path = ["spec", "tokenRequests"];
        let asks = !new.list_at(&path).is_empty();
        let unset = new.at(&["spec", "serviceAccountTokenInSecrets"]).is_none_or(Value::is_null);
        let changed = old.is_none_or(|old| !validation::same(new.at(&path), old.at(&path)));
        if asks && unset && changed { vec![TOKENS_IN_SECRETS.to_owned()] } else { Vec::new() }
    }

    fn columns(&self) -> Vec<Column> {
        let field = |name: &str, ty: &str, field| Column::field(name, ty, SPEC, field);
        vec![
            Column::name(),
            field("AttachRequired", "boolean", "attachRequired"),
            field("PodInfoOnMount", "boolean", "podInfoOnMount"),
            field("StorageCapacity", "boolean", "storageCapacity"),
            field("TokenRequests", "string", "tokenRequests"),
            field("RequiresRepublish", "boolean", "requiresRepublish"),
            field("Modes", "string", "volumeLifecycleModes"),
            Column::age(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let flag = |field: &str| Value::from(obj.bool_at(&["spec", field]));
        let attach = obj.at(&["spec", "attachRequired"]).and_then(Value::as_bool).unwrap_or(true);
        let tokens = match obj.at(&["spec", "tokenRequests"]).and_then(Value::as_list) {
            None => "<unset>".to_owned(),
            Some(list) => list.iter().map(|t| t.str_at(&["audience"])).collect::<Vec<_>>().join(","),
        };
        let modes = obj.list_at(&["spec", "volumeLifecycleModes"]).iter().filter_map(Value::as_str);
        let modes = modes.collect::<Vec<_>>().join(",");
        vec![
            print::name(obj),
            attach.into(),
            flag("podInfoOnMount"),
            flag("storageCapacity"),
            tokens.into(),
            flag("requiresRepublish"),
            print::or_else(&modes, "<none>").into(),
            print::age(obj, now),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn an_empty_driver_gets_all_defaults() {
        let mut obj = tree!({});
        CSIDriver::new().fill(&mut obj, "v1");
        assert_eq!(
            obj,
            tree!({"spec": {"attachRequired": true, "fsGroupPolicy": "ReadWriteOnceWithFSType", "podInfoOnMount": false,
                            "requiresRepublish": false, "seLinuxMount": false, "storageCapacity": false,
                            "volumeLifecycleModes": ["Persistent"]}})
        );
    }

    #[test]
    fn audiences_are_asked_for_once() {
        let requests = tree!([{"audience": "a"}, {"audience": "a", "expirationSeconds": 5},
                              {"audience": "b", "expirationSeconds": 5}]);
        let texts: Vec<String> = token_faults(requests.as_list().unwrap(), &Path::new("t"))
            .iter()
            .map(|f| f.to_string())
            .collect();
        assert_eq!(texts[0], "t[1].audience: Duplicate value: \"a\"");
        assert_eq!(
            texts[1],
            "t[2].expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes"
        );
    }
}
