//! Capacities of devices, and the policies by which shares of them are given out.

use super::sized;
use api::quantity::Quantity;
use api::{Fault, Path, Value};

const MAX_VALID_VALUES: usize = 10;

fn quantity(v: Option<&Value>) -> Option<Quantity> {
    v.and_then(Value::as_str).and_then(|text| Quantity::parse(text).ok())
}

/// Faults of one capacity. Only devices that may be allocated several times have a policy.
pub fn faults(capacity: &Value, shared: bool, at: &Path) -> Vec<Fault> {
    let path = at.child("requestPolicy");
    let Some(policy) = capacity.get("requestPolicy").filter(|p| !p.is_null()) else { return Vec::new() };
    if !shared {
        return vec![Fault::forbidden(path, "allowMultipleAllocations must be true")];
    }
    let Some(max) = quantity(capacity.get("value")) else { return Vec::new() };
    let values = policy.list_at(&["validValues"]);
    let range = policy.get("validRange").filter(|r| !r.is_null());
    let default = quantity(policy.get("default"));
    let missing = |field: &str| {
        vec![Fault::required(path.child("default"), format!("required when {field} is defined"))]
    };
    match (values.is_empty(), range, default) {
        (false, Some(_), _) => {
            let text = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the \
                        same time";
            vec![Fault::forbidden(path, text)]
        }
        (false, None, Some(default)) => value_faults(values, &default, &max, &path.child("validValues")),
        (false, None, None) => missing("validValues"),
        (true, Some(range), Some(default)) => range_faults(range, &default, &max, &path.child("validRange")),
        (true, Some(_), None) => missing("validRange"),
        (true, None, _) => Vec::new(),
    }
}

fn value_faults(values: &[Value], default: &Quantity, max: &Quantity, at: &Path) -> Vec<Fault> {
    let numbers: Vec<Quantity> = values.iter().filter_map(|v| quantity(Some(v))).collect();
    let mut faults = Vec::new();
    for (i, pair) in numbers.windows(2).enumerate() {
        if let [a, b] = pair
            && a > b
        {
            let text = "values must be sorted in ascending order";
            faults.push(Fault::invalid(at.index(i + 1), b.to_string(), text));
        }
    }
    let key = |v: &Value| quantity(Some(v)).map(|q| q.value().to_string()).unwrap_or_default();
    faults.extend(sized::set(values, MAX_VALID_VALUES, at, key, |value, at| {
        let big = quantity(Some(value)).filter(|q| q > max);
        let text = format!("option is larger than capacity value: {max}");
        big.map(|q| Fault::invalid(at, q.to_string(), text)).into_iter().collect()
    }));
    let looked_into = values.len() <= MAX_VALID_VALUES;
    if !(looked_into && numbers.iter().any(|q| q == default)) {
        let text = "default value is not valid according to the requestPolicy";
        faults.push(Fault::invalid(at, default.to_string(), text));
    }
    faults
}

fn range_faults(range: &Value, default: &Quantity, max: &Quantity, at: &Path) -> Vec<Fault> {
    let Some(low) = quantity(range.get("min")) else {
        return vec![Fault::required(at.child("min"), "required when validRange is defined")];
    };
    let fault = |field: &str, shown: &Quantity, text: String| {
        Fault::invalid(at.child(field), shown.to_string(), text)
    };
    let mut faults = Vec::new();
    if low > *max {
        faults.push(fault("min", &low, format!("min is larger than capacity value: {max}")));
    }
    if *default < low {
        faults.push(fault("min", default, format!("default is less than min: {low}")));
    }
    let high = quantity(range.get("max"));
    if let Some(high) = &high {
        if low > *high {
            faults.push(fault("max", &low, format!("min is larger than max: {high}")));
        }
        if high > max {
            faults.push(fault("max", high, format!("max is larger than capacity value: {max}")));
        }
        if default > high {
            faults.push(fault("max", default, format!("default is more than max: {high}")));
        }
    }
    if let Some(step) = quantity(range.get("step")) {
        let mut added = low.clone();
        added.add(&step);
        if added > *max {
            let text = format!("one step {added} is larger than capacity value: {max}");
            faults.push(fault("step", &step, text));
        }
        for value in std::iter::once(default).chain(high.as_ref()) {
            let distance = value.value().saturating_sub(low.value());
            if distance.checked_rem(step.value()).is_some_and(|rest| rest != 0) {
                let text = format!("value is not a multiple of a given step ({step}) from ({low})");
                faults.push(fault("step", value, text));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn texts(policy: Value) -> Vec<String> {
        let capacity = tree!({"value": "10", "requestPolicy": policy});
        faults(&capacity, true, &Path::new("c")).iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn choices_are_sorted_and_contain_the_default() {
        assert!(texts(tree!({"default": "2", "validValues": ["1", "2"]})).is_empty());
        assert_eq!(
            texts(tree!({"default": "3", "validValues": ["2", "1"]})),
            [
                "c.requestPolicy.validValues[1]: Invalid value: \"1\": values must be sorted in ascending order",
                "c.requestPolicy.validValues: Invalid value: \"3\": default value is not valid according to the requestPolicy",
            ]
        );
    }

    #[test]
    fn ranges_are_walked_in_steps() {
        assert!(
            texts(tree!({"default": "4", "validRange": {"min": "2", "max": "8", "step": "2"}})).is_empty()
        );
        assert_eq!(
            texts(tree!({"default": "5", "validRange": {"min": "2", "step": "2"}})),
            [
                "c.requestPolicy.validRange.step: Invalid value: \"5\": value is not a multiple of a given step (2) from (2)"
            ]
        );
    }
}
