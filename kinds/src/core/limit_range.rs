//! LimitRange: bounds and defaults of what containers, pods and claims in a namespace may ask for.

use super::pod_spec::requirements::{container_name, resource_name};
use super::pod_spec::resources::{self, quantity};
use crate::validation::qualified_name;
use crate::{Cx, Info, Kind};
use api::quantity::Quantity;
use api::{Fault, Map, Path, Value};
use std::collections::BTreeSet;

const TYPES: [&str; 3] = ["Pod", "Container", "PersistentVolumeClaim"];
/// Quantities from here on have no thousandths in 64 bits.
const MAX_MILLI: i64 = i64::MAX / 1000;

pub struct LimitRange(Info);

impl LimitRange {
    pub fn new() -> Self {
        LimitRange(Info::new("", "v1", "LimitRange", "limitranges").short(&["limits"]).creates_on_update())
    }
}

impl Kind for LimitRange {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        let limits = obj.at_mut(&["spec", "limits"]).and_then(Value::as_list_mut);
        for limit in limits.into_iter().flatten() {
            for list in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
                resources::round_list(limit.get_mut(list));
            }
            if limit.str_at(&["type"]) == "Container" {
                fill_container(limit);
            }
        }
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let at = Path::new("spec").child("limits");
        let (mut faults, mut seen) = (Vec::new(), BTreeSet::new());
        for (i, limit) in obj.list_at(&["spec", "limits"]).iter().enumerate() {
            let (at, ty) = (at.index(i), limit.str_at(&["type"]));
            faults.extend(type_faults(ty, &at.child("type")));
            if !seen.insert(ty) {
                faults.push(Fault::duplicate(at.child("type"), ty));
            }
            faults.extend(limit_faults(limit, ty, &at));
        }
        faults
    }
}

/// Limits default to the maximum, requests to limits and then to the minimum.
fn fill_container(limit: &mut Value) {
    for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
        let source = limit.map_at(&[from]).cloned().unwrap_or_default();
        if source.is_empty() {
            continue;
        }
        let target = limit.make_map(&[to]);
        for (name, value) in source {
            if !target.contains_key(&name) {
                target.insert(name, value);
            }
        }
        target.sort();
    }
}

fn type_faults(ty: &str, at: &Path) -> Vec<Fault> {
    let faults = qualified_name(ty, at);
    if faults.is_empty() && !ty.contains('/') && !TYPES.contains(&ty) {
        return vec![Fault::invalid(at, ty, "must be a standard limit type or fully qualified")];
    }
    faults
}

fn name_faults(ty: &str, name: &str, at: &Path) -> Vec<Fault> {
    match ty {
        "Pod" | "Container" => container_name(name, at),
        _ => resource_name(name, at),
    }
}

fn limit_faults(limit: &Value, ty: &str, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut keys: BTreeSet<&str> = BTreeSet::new();
    let mut check = |list: &'static str, faults: &mut Vec<Fault>| {
        for name in limit.map_at(&[list]).into_iter().flat_map(Map::keys) {
            faults.extend(name_faults(ty, name, &at.child(list).key(name)));
            keys.insert(name);
        }
    };
    check("max", &mut faults);
    check("min", &mut faults);
    for list in ["default", "defaultRequest"] {
        if ty != "Pod" {
            check(list, &mut faults);
        } else if limit.map_at(&[list]).is_some_and(|m| !m.is_empty()) {
            faults.push(Fault::forbidden(at.child(list), "may not be specified when `type` is 'Pod'"));
        }
    }
    let has_storage = |list| limit.at(&[list, "storage"]).is_some();
    if ty == "PersistentVolumeClaim" && !has_storage("min") && !has_storage("max") {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        faults.push(Fault::required(at.child("limits"), detail));
    }
    check("maxLimitRequestRatio", &mut faults);
    for key in keys {
        let bounds = Bounds::of(limit, ty, key);
        faults.extend(bounds.order_faults(at));
        faults.extend(bounds.ratio_faults(at));
        faults.extend(bounds.overcommit_fault(at));
    }
    faults
}

/// What a limit says of one resource.
struct Bounds<'a> {
    name: &'a str,
    min: Option<Quantity>,
    max: Option<Quantity>,
    default: Option<Quantity>,
    request: Option<Quantity>,
    ratio: Option<Quantity>,
}

impl<'a> Bounds<'a> {
    fn of(limit: &Value, ty: &str, name: &'a str) -> Self {
        let amount = |list: &str| limit.at(&[list, name]).and_then(quantity);
        let of_container = |list: &str| amount(list).filter(|_| ty != "Pod");
        Bounds {
            name,
            min: amount("min"),
            max: amount("max"),
            default: of_container("default"),
            request: of_container("defaultRequest"),
            ratio: amount("maxLimitRequestRatio"),
        }
    }

    fn order_faults(&self, at: &Path) -> Vec<Fault> {
        let (min, max) = (("min", &self.min), ("max", &self.max));
        let (default, request) = (("default", &self.default), ("default request", &self.request));
        let mut faults = Vec::new();
        // Each pair must not be out of order: lower, higher, the list at fault, the value it shows, the higher's name.
        let checks = [
            (min, max, "min", &self.min, "max value"),
            (min, request, "defaultRequest", &self.request, "default request value"),
            (request, max, "defaultRequest", &self.request, "max value"),
            (request, default, "defaultRequest", &self.request, "default limit value"),
            (min, default, "default", &self.min, "default value"),
            (default, max, "default", &self.max, "max value"),
        ];
        for ((low_name, low), (_, high), list, shown, high_name) in checks {
            if let (Some(low), Some(high), Some(shown)) = (low, high, shown)
                && low > high
            {
                let detail = format!("{low_name} value {low} is greater than {high_name} {high}");
                faults.push(Fault::invalid(at.child(list).key(self.name), shown.to_string(), detail));
            }
        }
        faults
    }

    fn ratio_faults(&self, at: &Path) -> Vec<Fault> {
        let Some(ratio) = &self.ratio else { return Vec::new() };
        let at = at.child("maxLimitRequestRatio").key(self.name);
        let mut faults = Vec::new();
        if ratio.milli() < 1000 {
            faults.push(Fault::invalid(&at, ratio.to_string(), format!("ratio {ratio} is less than 1")));
        }
        if let (Some(min), Some(max)) = (&self.min, &self.max) {
            let fine = [ratio, min, max].iter().all(|q| q.value() < MAX_MILLI);
            let number = |q: &Quantity| if fine { q.milli() } else { q.value() };
            // Both are rounded to whole numbers or thousandths first, as upstream does.
            #[allow(clippy::cast_precision_loss)]
            let (asked, limit) = {
                let asked = if fine { ratio.milli() as f64 / 1000.0 } else { ratio.value() as f64 };
                (asked, number(max) as f64 / number(min) as f64)
            };
            if asked > limit {
                let detail = format!("ratio {ratio} is greater than max/min = {limit:.6}");
                faults.push(Fault::invalid(&at, ratio.to_string(), detail));
            }
        }
        faults
    }

    /// Devices and huge pages cannot be promised twice.
    fn overcommit_fault(&self, at: &Path) -> Option<Fault> {
        let (default, request) = (self.default.as_ref()?, self.request.as_ref()?);
        if resources::may_overcommit(self.name) || default == request {
            return None;
        }
        let name = self.name;
        let detail =
            format!("default value {default} must equal to defaultRequest value {request} in {name}");
        Some(Fault::invalid(at.child("defaultRequest").key(name), request.to_string(), detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cx, texts};
    use api::tree;

    #[test]
    fn container_limits_fill_each_other() {
        let mut obj = tree!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "2", "memory": "1Gi"},
            "min": {"cpu": "100m"}, "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "250m"}}]}});
        LimitRange::new().fill(&mut obj, "v1");
        let limit = &obj.list_at(&["spec", "limits"])[0];
        assert_eq!(limit.at(&["default"]), Some(&tree!({"cpu": "500m", "memory": "1Gi"})));
        assert_eq!(limit.at(&["defaultRequest"]), Some(&tree!({"cpu": "250m", "memory": "1Gi"})));
    }

    #[test]
    fn bounds_must_be_in_order() {
        let obj = tree!({"spec": {"limits": [{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"},
            "maxLimitRequestRatio": {"cpu": "500m"}}, {"type": "Container"}, {"type": "Pod", "default": {"cpu": "1"}},
            {"type": "PersistentVolumeClaim"}, {"type": "Node"}]}});
        assert_eq!(
            texts(&LimitRange::new().validate(&obj, &cx(""))),
            [
                "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
                "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less than 1",
                "spec.limits[1].type: Duplicate value: \"Container\"",
                "spec.limits[2].default: Forbidden: may not be specified when `type` is 'Pod'",
                "spec.limits[3].limits: Required value: either minimum or maximum storage value is required, but \
                 neither was provided",
                "spec.limits[4].type: Invalid value: \"Node\": must be a standard limit type or fully qualified",
            ]
        );
    }
}
