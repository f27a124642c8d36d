//! Lists that are sets or maps: no item, or no key, may occur twice.

use super::{Additional, Props};
use api::{Fault, Map, Path, Value, json};

/// The faults of all such lists in an object.
pub fn validate(object: &Value, props: &Props) -> Vec<Fault> {
    let mut faults = Vec::new();
    walk(object, props, &Path::default(), &mut faults);
    faults
}

fn walk(value: &Value, props: &Props, at: &Path, faults: &mut Vec<Fault>) {
    match value {
        Value::Map(map) => {
            for (key, value) in map.iter() {
                if let Additional::Of(inner) = &props.additional {
                    walk(value, inner, &at.key(key), faults);
                }
                if let Some(inner) = props.property(key) {
                    walk(value, inner, &at.child(key), faults);
                }
            }
        }
        Value::List(items) => {
            match props.list_type.as_str() {
                "set" => {
                    let twice = repeated(items.iter());
                    faults.extend(twice.into_iter().map(|i| Fault::duplicate(at.index(i), items[i].clone())));
                }
                "map" => faults.extend(map_faults(items, props, at)),
                _ => {}
            }
            if let Some(inner) = props.items.as_deref() {
                for (i, item) in items.iter().enumerate() {
                    walk(item, inner, &at.index(i), faults);
                }
            }
        }
        _ => {}
    }
}

fn map_faults(items: &[Value], props: &Props, at: &Path) -> Vec<Fault> {
    let misfit = items.iter().enumerate().find(|(_, item)| !matches!(item, Value::Map(_) | Value::Null));
    if let Some((i, item)) = misfit {
        let detail = "must be an object for an array of list-type map";
        return vec![Fault::invalid(at.index(i), item.clone(), detail)];
    }
    let keys: Vec<Value> = items.iter().map(|item| Value::Map(keys_of(item, props))).collect();
    repeated(keys.iter()).into_iter().map(|i| Fault::duplicate(at.index(i), keys[i].clone())).collect()
}

fn keys_of(item: &Value, props: &Props) -> Map {
    let mut keys: Map = props
        .list_map_keys
        .iter()
        .filter_map(|key| item.get(key).map(|v| (key.clone(), v.clone())))
        .collect();
    keys.sort();
    keys
}

/// The places of second occurrences (not of third ones).
fn repeated<'a>(items: impl Iterator<Item = &'a Value>) -> Vec<usize> {
    let mut seen = std::collections::HashMap::new();
    let mut twice = Vec::new();
    for (i, item) in items.enumerate() {
        let mut sorted = item.clone();
        super::sort(&mut sorted);
        let times = seen.entry(json::to_string(&sorted)).or_insert(0_usize);
        *times += 1;
        if *times == 2 {
            twice.push(i);
        }
    }
    twice
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts;
    use api::tree;

    fn faults(object: Value) -> Vec<String> {
        let props = Props::read(&tree!({"type": "object", "properties": {
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}},
            "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k", "p"],
                "items": {"type": "object"}}}}));
        texts(&validate(&object, &props))
    }

    #[test]
    fn second_occurrences_are_faults() {
        assert_eq!(faults(tree!({"set": [1, 2, 1, 1]})), ["set[2]: Duplicate value: 1"]);
        assert_eq!(
            faults(tree!({"map": [{"k": "a"}, {"p": "d", "k": "a", "v": 1}, {"k": "a", "p": "d"}]})),
            [r#"map[2]: Duplicate value: {"k":"a","p":"d"}"#]
        );
        assert_eq!(
            faults(tree!({"map": [1]})),
            ["map[0]: Invalid value: 1: must be an object for an array of list-type map"]
        );
    }
}
