//! Pruning: fields that the schema does not know go, and so do nulls where there may be none.

use super::{Additional, Props};
use api::Value;
use std::fmt::Write;

/// What an embedded resource, and the root, has without saying so.
const META_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Prunes a part of an object.
pub fn prune(value: &mut Value, props: &Props) {
    let mut walk = Walk::default();
    walk.value(value, Some(props), props.embedded_resource);
}

/// Prunes a whole object and names, in sorted order, what it dropped.
pub fn prune_object(value: &mut Value, props: &Props) -> Vec<String> {
    let mut walk = Walk { tracks: true, ..Walk::default() };
    walk.value(value, Some(props), true);
    walk.unknown.sort();
    walk.unknown
}

#[derive(Default)]
struct Walk {
    tracks: bool,
    path: String,
    unknown: Vec<String>,
}

impl Walk {
    fn value(&mut self, value: &mut Value, props: Option<&Props>, embedded: bool) {
        let preserves = props.is_some_and(|p| p.preserves_unknown);
        match value {
            Value::Map(map) => {
                map.retain(|key, value| {
                    if embedded && META_FIELDS.contains(&key) {
                        return true;
                    }
                    self.entry(key, value, props, preserves)
                });
            }
            Value::List(items) => {
                let item_props = props.and_then(|p| p.items.as_deref());
                for (at, item) in items.iter_mut().enumerate() {
                    let end = self.path.len();
                    let _ = write!(self.path, "[{at}]");
                    match (preserves, item_props) {
                        (true, None) => {}
                        // What is preserved reaches through lists.
                        (true, Some(inner)) => self.preserved(item, inner),
                        (false, inner) => self.value(item, inner, inner.is_some_and(|p| p.embedded_resource)),
                    }
                    self.path.truncate(end);
                }
            }
            _ => {}
        }
    }

    /// False when the entry goes.
    fn entry(&mut self, key: &str, value: &mut Value, props: Option<&Props>, preserves: bool) -> bool {
        let end = self.path.len();
        if end > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        let stays = match props.map(|p| (p.property(key), &p.additional)) {
            Some((Some(inner), _)) => {
                self.value(value, Some(inner), inner.embedded_resource);
                true
            }
            Some((None, Additional::Of(inner))) => {
                self.value(value, Some(inner), inner.embedded_resource);
                true
            }
            Some((None, Additional::Allowed)) => {
                self.value(value, None, false);
                true
            }
            _ if preserves => true,
            _ => {
                let implicit = end == 0 && META_FIELDS.contains(&key);
                if self.tracks && !implicit {
                    self.unknown.push(self.path.clone());
                }
                false
            }
        };
        self.path.truncate(end);
        stays
    }

    /// Items of a preserved list: their schema counts as preserving too.
    fn preserved(&mut self, value: &mut Value, props: &Props) {
        match value {
            Value::Map(map) => map.iter_mut().for_each(|(key, value)| {
                if !(props.embedded_resource && META_FIELDS.contains(&key.as_str())) {
                    self.entry(key, value, Some(props), true);
                }
            }),
            Value::List(items) => {
                if let Some(inner) = props.items.as_deref() {
                    items.iter_mut().for_each(|item| self.preserved(item, inner));
                }
            }
            _ => {}
        }
    }
}

/// Removes nulls of maps where the schema does not allow them and has no default in their place.
pub fn drop_nulls(value: &mut Value, props: Option<&Props>) {
    match value {
        Value::Map(map) => map.retain(|key, value| {
            let inner = props.and_then(|p| p.value_of(key));
            if value.is_null() && inner.is_some_and(|p| !p.nullable && p.default.is_none()) {
                return false;
            }
            drop_nulls(value, inner);
            true
        }),
        Value::List(items) => {
            let inner = props.and_then(|p| p.items.as_deref());
            items.iter_mut().for_each(|item| drop_nulls(item, inner));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn unknown_fields_go_and_are_named() {
        let props = Props::read(
            &tree!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "a": {"type": "string"}, "bare": {"type": "object"},
            "keep": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
                "in": {"type": "object", "properties": {"k": {"type": "string"}}}}},
            "list": {"type": "array", "items": {"type": "object", "properties": {"i": {"type": "string"}}}}}}}}),
        );
        let mut object = tree!({"kind": "W", "metadata": {"name": "w"}, "spec": {"a": "x", "zap": 1, "bare": {"zap": 1},
            "keep": {"free": {"deep": [1]}, "in": {"k": "v", "zap": 1}}, "list": [{"i": "1"}, {"j": 1}]}, "top": 1});
        let unknown = prune_object(&mut object, &props);
        assert_eq!(unknown, ["spec.bare.zap", "spec.keep.in.zap", "spec.list[1].j", "spec.zap", "top"]);
        let wanted = tree!({"kind": "W", "metadata": {"name": "w"}, "spec": {"a": "x", "bare": {},
            "keep": {"free": {"deep": [1]}, "in": {"k": "v"}}, "list": [{"i": "1"}, {}]}});
        assert_eq!(object, wanted);
    }

    #[test]
    fn nulls_stay_where_they_may() {
        let props = Props::read(&tree!({"type": "object", "properties": {
            "n": {"type": "string", "nullable": true}, "s": {"type": "string"},
            "d": {"type": "string", "default": "x"}}}));
        let mut object = tree!({"n": null, "s": null, "d": null, "free": null});
        drop_nulls(&mut object, Some(&props));
        assert_eq!(object, tree!({"n": null, "d": null, "free": null}));
    }
}
