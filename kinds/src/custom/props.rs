//! `JSONSchemaProps`, read from a CustomResourceDefinition into a form that is quick to walk. One type serves both of
//! upstream's views of it, the structural schema (pruning, defaults, list types) and the validating schema.

use super::rules::Rule;
use super::{Pattern, typed};
use crate::apiextensions::formats;
use api::{Str, Value};

/// A schema of one place. Numbers are as JSON has them; what is absent does not constrain.
#[derive(Debug, Default)]
pub struct Props {
    /// `type`, or both of an int-or-string; empty for any.
    pub types: Vec<Str>,
    /// Of those that are enforced; "" for others.
    pub format: Str,
    pub nullable: bool,
    pub maximum: Option<f64>,
    pub exclusive_maximum: bool,
    pub minimum: Option<f64>,
    pub exclusive_minimum: bool,
    pub multiple_of: Option<f64>,
    pub max_length: Option<i64>,
    pub min_length: Option<i64>,
    pub pattern: Option<Pattern>,
    pub max_items: Option<i64>,
    pub min_items: Option<i64>,
    pub unique_items: bool,
    pub max_properties: Option<i64>,
    pub min_properties: Option<i64>,
    pub required: Vec<Str>,
    pub enum_values: Vec<Value>,
    pub all_of: Vec<Props>,
    pub any_of: Vec<Props>,
    pub one_of: Vec<Props>,
    pub not: Option<Box<Props>>,
    /// Sorted by name.
    pub properties: Vec<(Str, Props)>,
    pub additional: Additional,
    pub items: Option<Box<Props>>,
    pub default: Option<Value>,
    pub preserves_unknown: bool,
    pub embedded_resource: bool,
    pub int_or_string: bool,
    /// `x-kubernetes-list-type`: "", `atomic`, `set`, `map`.
    pub list_type: Str,
    pub list_map_keys: Vec<Str>,
    /// `x-kubernetes-map-type: atomic`.
    pub atomic_map: bool,
    /// `x-kubernetes-validations`.
    pub rules: Vec<Rule>,
    /// Whether this schema or one inside it has rules in CEL.
    pub has_rules: bool,
    /// Whether CEL sees values of this schema otherwise than JSON has them.
    pub is_retyped: bool,
}

/// `additionalProperties`.
#[derive(Debug, Default)]
pub enum Additional {
    #[default]
    Unsaid,
    Allowed,
    Forbidden,
    Of(Box<Props>),
}

impl Props {
    /// Reads a schema; parts of a wrong type, which no accepted definition has, are taken as absent.
    pub fn read(raw: &Value) -> Props {
        let int_or_string = raw.bool_at(&["x-kubernetes-int-or-string"]);
        let types = match raw.str_at(&["type"]) {
            _ if int_or_string => vec!["integer".into(), "string".into()],
            "" => Vec::new(),
            name => vec![name.into()],
        };
        let mut props = Props {
            format: enforced_format(&types, raw.str_at(&["format"])),
            types,
            int_or_string,
            nullable: raw.bool_at(&["nullable"]),
            default: raw.get("default").filter(|v| !v.is_null()).cloned(),
            preserves_unknown: raw.bool_at(&["x-kubernetes-preserve-unknown-fields"]),
            embedded_resource: raw.bool_at(&["x-kubernetes-embedded-resource"]),
            list_type: raw.str_at(&["x-kubernetes-list-type"]).into(),
            list_map_keys: strings(raw, "x-kubernetes-list-map-keys"),
            atomic_map: raw.str_at(&["x-kubernetes-map-type"]) == "atomic",
            rules: raw.list_at(&["x-kubernetes-validations"]).iter().map(|r| Rule::read(r, raw)).collect(),
            ..Props::default()
        };
        props.read_limits(raw);
        props.read_parts(raw);
        props.has_rules = !props.rules.is_empty() || props.parts().any(|inner| inner.has_rules);
        props.is_retyped = typed::is_retyped(&props) || props.parts().any(|inner| inner.is_retyped);
        if let Some(mut default) = props.default.take() {
            super::prune::prune(&mut default, &props);
            props.default = Some(default);
        }
        props
    }

    fn read_limits(&mut self, raw: &Value) {
        let number = |field: &str| match raw.get(field) {
            Some(Value::Float(f)) => Some(*f),
            #[expect(clippy::cast_precision_loss, reason = "JSON numbers of schemas are floats upstream")]
            Some(Value::Int(i)) => Some(*i as f64),
            _ => None,
        };
        let count = |field: &str| raw.i64_at(&[field]);
        (self.maximum, self.minimum, self.multiple_of) =
            (number("maximum"), number("minimum"), number("multipleOf"));
        self.exclusive_maximum = raw.bool_at(&["exclusiveMaximum"]);
        self.exclusive_minimum = raw.bool_at(&["exclusiveMinimum"]);
        (self.max_length, self.min_length) = (count("maxLength"), count("minLength"));
        (self.max_items, self.min_items) = (count("maxItems"), count("minItems"));
        (self.max_properties, self.min_properties) = (count("maxProperties"), count("minProperties"));
        self.unique_items = raw.bool_at(&["uniqueItems"]);
        self.pattern = Some(raw.str_at(&["pattern"])).filter(|p| !p.is_empty()).map(Pattern::new);
        self.required = strings(raw, "required");
        self.enum_values = raw.list_at(&["enum"]).to_vec();
    }

    fn read_parts(&mut self, raw: &Value) {
        let list = |field: &str| raw.list_at(&[field]).iter().map(Props::read).collect();
        (self.all_of, self.any_of, self.one_of) = (list("allOf"), list("anyOf"), list("oneOf"));
        let nested =
            |field: &str| raw.get(field).filter(|v| v.as_map().is_some()).map(|v| Box::new(Props::read(v)));
        (self.not, self.items) = (nested("not"), nested("items"));
        self.properties = raw
            .map_at(&["properties"])
            .into_iter()
            .flat_map(|map| map.iter())
            .map(|(name, schema)| (name.clone(), Props::read(schema)))
            .collect();
        self.properties.sort_by(|a, b| a.0.cmp(&b.0));
        self.additional = match raw.get("additionalProperties") {
            Some(Value::Bool(true)) => Additional::Allowed,
            Some(Value::Bool(false)) => Additional::Forbidden,
            Some(schema @ Value::Map(_)) => Additional::Of(Box::new(Props::read(schema))),
            _ => Additional::Unsaid,
        };
    }

    /// The schema of a declared property.
    pub fn property(&self, name: &str) -> Option<&Props> {
        let at = self.properties.binary_search_by(|(k, _)| k.as_str().cmp(name)).ok()?;
        self.properties.get(at).map(|(_, props)| props)
    }

    /// The schema of a key, declared or not.
    pub fn value_of(&self, key: &str) -> Option<&Props> {
        self.property(key).or(match &self.additional {
            Additional::Of(props) => Some(props),
            _ => None,
        })
    }

    /// The schemas of what is inside.
    fn parts(&self) -> impl Iterator<Item = &Props> {
        let additional = match &self.additional {
            Additional::Of(props) => Some(props),
            _ => None,
        };
        let properties = self.properties.iter().map(|(_, props)| props);
        properties.chain(additional.into_iter().chain(&self.items).map(|props| &**props))
    }
}

fn strings(raw: &Value, field: &str) -> Vec<Str> {
    raw.list_at(&[field]).iter().filter_map(Value::as_str).map(Str::from).collect()
}

/// Formats that mean nothing for the type are not enforced.
fn enforced_format(types: &[Str], format: &str) -> Str {
    let ty = match types {
        [one] => one.as_str(),
        _ => "",
    };
    if formats::is_known(ty, format) { format.into() } else { Str::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn formats_count_where_they_mean_something() {
        let format = |ty: &str, format: &str| Props::read(&tree!({"type": ty, "format": format})).format;
        assert_eq!(format("string", "date-time"), "date-time");
        assert_eq!(format("string", "k8s-long-name"), "k8s-long-name");
        assert_eq!(format("string", "int32"), "");
        assert_eq!(format("integer", "int32"), "int32");
        assert_eq!(format("number", "int32"), "");
        assert_eq!(format("object", "date"), "");
    }

    #[test]
    fn rules_are_found_wherever_they_are() {
        let schema = tree!({"type": "object", "properties": {"l": {"type": "array", "items": {
            "type": "object", "x-kubernetes-validations": [{"rule": "true"}]}}}});
        assert!(Props::read(&schema).has_rules);
        assert!(!Props::read(&tree!({"type": "object"})).has_rules);
    }

    #[test]
    fn defaults_are_pruned_by_their_schema() {
        let schema =
            tree!({"type": "object", "default": {"a": 1, "x": 2}, "properties": {"a": {"type": "integer"}}});
        assert_eq!(Props::read(&schema).default, Some(tree!({"a": 1})));
    }
}
