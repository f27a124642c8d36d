//! A definition's spec as upstream's server holds it in memory: what is alike in all versions stands at the top
//! (`spec.validation`, `spec.subresources`, …) and no longer in the versions. Faults name fields by that form.

use super::schema_walk::set;
use crate::validation::same;
use api::{Map, Value};

/// The parts that every version has, and that stand at the top when they are alike everywhere.
#[derive(Clone, Copy, Default)]
pub struct Parts<'v> {
    /// `{openAPIV3Schema}`.
    pub validation: Option<&'v Value>,
    pub subresources: Option<&'v Value>,
    pub columns: &'v [Value],
    pub selectable: &'v [Value],
}

pub struct Version<'v> {
    pub value: &'v Value,
    pub parts: Parts<'v>,
}

pub struct InternalSpec<'v> {
    pub spec: &'v Value,
    pub top: Parts<'v>,
    pub versions: Vec<Version<'v>>,
}

/// Fields of JSON schemas in memory: Go's name, the name on the wire, and what stands for nothing (`s` text, `b` bool,
/// `n` null) or how it is nested (`P` a schema, `L` a list of them, `M` by name, `O` one or a list, `B` one or a bool,
/// `V` rules, `E` a link).
const SCHEMA: [(&str, &str, char); 44] = [
    ("ID", "id", 's'),
    ("Schema", "$schema", 's'),
    ("Ref", "$ref", 'n'),
    ("Description", "description", 's'),
    ("Type", "type", 's'),
    ("Nullable", "nullable", 'b'),
    ("Format", "format", 's'),
    ("Title", "title", 's'),
    ("Default", "default", 'n'),
    ("Maximum", "maximum", 'n'),
    ("ExclusiveMaximum", "exclusiveMaximum", 'b'),
    ("Minimum", "minimum", 'n'),
    ("ExclusiveMinimum", "exclusiveMinimum", 'b'),
    ("MaxLength", "maxLength", 'n'),
    ("MinLength", "minLength", 'n'),
    ("Pattern", "pattern", 's'),
    ("MaxItems", "maxItems", 'n'),
    ("MinItems", "minItems", 'n'),
    ("UniqueItems", "uniqueItems", 'b'),
    ("MultipleOf", "multipleOf", 'n'),
    ("Enum", "enum", 'n'),
    ("MaxProperties", "maxProperties", 'n'),
    ("MinProperties", "minProperties", 'n'),
    ("Required", "required", 'n'),
    ("Items", "items", 'O'),
    ("AllOf", "allOf", 'L'),
    ("OneOf", "oneOf", 'L'),
    ("AnyOf", "anyOf", 'L'),
    ("Not", "not", 'P'),
    ("Properties", "properties", 'M'),
    ("AdditionalProperties", "additionalProperties", 'B'),
    ("PatternProperties", "patternProperties", 'M'),
    ("Dependencies", "dependencies", 'n'),
    ("AdditionalItems", "additionalItems", 'B'),
    ("Definitions", "definitions", 'M'),
    ("ExternalDocs", "externalDocs", 'E'),
    ("Example", "example", 'n'),
    ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields", 'n'),
    ("XEmbeddedResource", "x-kubernetes-embedded-resource", 'b'),
    ("XIntOrString", "x-kubernetes-int-or-string", 'b'),
    ("XListMapKeys", "x-kubernetes-list-map-keys", 'n'),
    ("XListType", "x-kubernetes-list-type", 'n'),
    ("XMapType", "x-kubernetes-map-type", 'n'),
    ("XValidations", "x-kubernetes-validations", 'V'),
];
const RULE: [(&str, &str, char); 6] = [
    ("Rule", "rule", 's'),
    ("Message", "message", 's'),
    ("MessageExpression", "messageExpression", 's'),
    ("Reason", "reason", 'n'),
    ("FieldPath", "fieldPath", 's'),
    ("OptionalOldSelf", "optionalOldSelf", 'n'),
];
const LINK: [(&str, &str, char); 2] = [("Description", "description", 's'), ("URL", "url", 's')];
const SCALE: [(&str, &str, char); 3] = [
    ("SpecReplicasPath", "specReplicasPath", 's'),
    ("StatusReplicasPath", "statusReplicasPath", 's'),
    ("LabelSelectorPath", "labelSelectorPath", 'n'),
];
const COLUMN: [(&str, &str, char); 6] = [
    ("Name", "name", 's'),
    ("Type", "type", 's'),
    ("Format", "format", 's'),
    ("Description", "description", 's'),
    ("Priority", "priority", 'i'),
    ("JSONPath", "jsonPath", 's'),
];
const SELECTABLE: [(&str, &str, char); 1] = [("JSONPath", "jsonPath", 's')];
const VERSION: [(&str, &str, char); 5] = [
    ("Name", "name", 's'),
    ("Served", "served", 'b'),
    ("Storage", "storage", 'b'),
    ("Deprecated", "deprecated", 'b'),
    ("DeprecationWarning", "deprecationWarning", 'n'),
];

impl<'v> Parts<'v> {
    fn of(version: &'v Value) -> Self {
        Parts {
            validation: set(version, "schema"),
            subresources: set(version, "subresources"),
            columns: version.list_at(&["additionalPrinterColumns"]),
            selectable: version.list_at(&["selectableFields"]),
        }
    }

    /// The schema itself.
    pub fn schema(&self) -> Option<&'v Value> {
        self.validation.and_then(|v| set(v, "openAPIV3Schema"))
    }

    pub fn has_status(&self) -> bool {
        self.subresources.is_some_and(|s| set(s, "status").is_some())
    }
}

impl<'v> InternalSpec<'v> {
    pub fn of(spec: &'v Value) -> Self {
        let mut versions: Vec<Version<'v>> =
            spec.list_at(&["versions"]).iter().map(|v| Version { value: v, parts: Parts::of(v) }).collect();
        let mut top = Parts::default();
        if let Some(first) = versions.first().map(|v| v.parts) {
            let alike = |pick: &dyn Fn(&Value) -> Option<&Value>| {
                versions.iter().all(|v| same(pick(v.value), versions.first().and_then(|f| pick(f.value))))
            };
            let [validation, subresources, columns, selectable] =
                ["schema", "subresources", "additionalPrinterColumns", "selectableFields"]
                    .map(|field| alike(&|v: &Value| v.get(field)));
            let none = Parts::default();
            for version in &mut versions {
                let own = &mut version.parts;
                own.validation = if validation { none.validation } else { own.validation };
                own.subresources = if subresources { none.subresources } else { own.subresources };
                own.columns = if columns { none.columns } else { own.columns };
                own.selectable = if selectable { none.selectable } else { own.selectable };
            }
            top.validation = first.validation.filter(|_| validation);
            top.subresources = first.subresources.filter(|_| subresources);
            top.columns = if columns { first.columns } else { none.columns };
            top.selectable = if selectable { first.selectable } else { none.selectable };
        }
        InternalSpec { spec, top, versions }
    }

    /// The subresources that a version has, wherever they stand.
    pub fn has_status(&self, version: &Version<'_>) -> bool {
        let own = self.versions.iter().any(|v| v.parts.subresources.is_some());
        if own { version.parts.has_status() } else { self.top.has_status() }
    }

    pub fn any_status(&self) -> bool {
        self.top.has_status() || self.versions.iter().any(|v| v.parts.has_status())
    }

    /// All schemas of the definition.
    pub fn schemas(&self) -> impl Iterator<Item = &'v Value> + '_ {
        std::iter::once(&self.top).chain(self.versions.iter().map(|v| &v.parts)).filter_map(Parts::schema)
    }

    /// `versions` as faults show them.
    pub fn shown_versions(&self) -> Value {
        if self.versions.is_empty() {
            return self.spec.get("versions").cloned().unwrap_or_default();
        }
        Value::List(self.versions.iter().map(shown_version).collect())
    }
}

fn shown_version(version: &Version<'_>) -> Value {
    let parts = &version.parts;
    let mut out = table(version.value, &VERSION);
    let list = |items: &[Value], fields: &[(&'static str, &'static str, char)]| match items {
        [] => Value::Null,
        _ => Value::List(items.iter().map(|i| Value::Map(table(i, fields))).collect()),
    };
    let validation = parts.validation.map(|_| {
        let schema = parts.schema().map_or(Value::Null, shown_schema);
        Value::Map([("OpenAPIV3Schema", schema)].into_iter().collect())
    });
    let subresources = parts.subresources.map(|s| {
        let status = set(s, "status").map_or(Value::Null, |_| Value::map());
        let scale = set(s, "scale").map_or(Value::Null, |s| Value::Map(table(s, &SCALE)));
        Value::Map([("Status", status), ("Scale", scale)].into_iter().collect())
    });
    out.insert("Schema", validation);
    out.insert("Subresources", subresources);
    out.insert("AdditionalPrinterColumns", list(parts.columns, &COLUMN));
    out.insert("SelectableFields", list(parts.selectable, &SELECTABLE));
    Value::Map(out)
}

/// A schema as faults show it.
pub fn shown_schema(schema: &Value) -> Value {
    Value::Map(table(schema, &SCHEMA))
}

/// A rule in CEL as faults show it.
pub fn shown_rule(rule: &Value) -> Value {
    Value::Map(table(rule, &RULE))
}

/// The fields of a schema that are set, by Go's names, in upstream's order.
pub fn set_fields(schema: &Value) -> impl Iterator<Item = &'static str> + '_ {
    SCHEMA
        .iter()
        .filter(|(_, json, code)| {
            let value = schema.get(json);
            let pointer = matches!(code, 'n' | 'P' | 'B' | 'O' | 'E');
            value.is_some_and(|v| if pointer { !v.is_null() } else { !v.is_empty() })
        })
        .map(|(go, _, _)| *go)
}

fn table(value: &Value, fields: &[(&'static str, &'static str, char)]) -> Map {
    fields.iter().map(|(go, json, code)| (*go, shown(set(value, json), *code))).collect()
}

fn shown(value: Option<&Value>, code: char) -> Value {
    let Some(value) = value else {
        return match code {
            's' => "".into(),
            'b' => false.into(),
            'i' => Value::Int(0),
            _ => Value::Null,
        };
    };
    let one_of = |first: &'static str, a: Value, second: &'static str, b: Value| {
        Value::Map([(first, a), (second, b)].into_iter().collect())
    };
    match (code, value) {
        ('P', schema) => shown_schema(schema),
        ('L', Value::List(list)) => Value::List(list.iter().map(shown_schema).collect()),
        ('M', Value::Map(map)) => Value::Map(map.iter().map(|(k, v)| (k.clone(), shown_schema(v))).collect()),
        ('O', Value::List(list)) => {
            let list = Value::List(list.iter().map(shown_schema).collect());
            one_of("Schema", Value::Null, "JSONSchemas", list)
        }
        ('O', schema) => one_of("Schema", shown_schema(schema), "JSONSchemas", Value::Null),
        ('B', Value::Bool(allows)) => one_of("Allows", (*allows).into(), "Schema", Value::Null),
        ('B', schema) => one_of("Allows", true.into(), "Schema", shown_schema(schema)),
        ('V', Value::List(rules)) => Value::List(rules.iter().map(|r| Value::Map(table(r, &RULE))).collect()),
        ('E', link) => Value::Map(table(link, &LINK)),
        (_, other) => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn what_is_alike_in_all_versions_stands_at_the_top() {
        let schema = tree!({"openAPIV3Schema": {"type": "object"}});
        let spec = tree!({"versions": [
            {"name": "v1", "schema": (schema.clone()), "subresources": {"status": {}}}, {"name": "v2", "schema": schema}]});
        let internal = InternalSpec::of(&spec);
        assert!(internal.top.schema().is_some() && internal.versions[0].parts.validation.is_none());
        assert!(internal.top.subresources.is_none() && internal.versions[0].parts.has_status());
        assert!(internal.has_status(&internal.versions[0]) && !internal.has_status(&internal.versions[1]));
    }

    #[test]
    fn versions_show_all_their_fields() {
        let spec = tree!({"versions": [{"name": "v1", "served": true, "storage": false, "schema": {}}]});
        assert_eq!(
            api::json::to_string(&InternalSpec::of(&spec).shown_versions()),
            "[{\"Name\":\"v1\",\"Served\":true,\"Storage\":false,\"Deprecated\":false,\"DeprecationWarning\":null,\
             \"Schema\":null,\"Subresources\":null,\"AdditionalPrinterColumns\":null,\"SelectableFields\":null}]"
        );
    }
}
