//! A custom kind as one of its versions has it.

use super::definition::{Definition, Version};
use super::{check, defaults, embedded, is_served, list_type, prune, rules, scale_rules, sort};
use crate::{Column, Cx, Info, Kind, Read, keep_field};
use api::schema::TypeId;
use api::{Fault, Path, Schema, Str, Value, names};
use std::borrow::Cow;
use std::sync::Arc;

/// Finalizers of Kubernetes' own that have no domain.
const STANDARD_FINALIZERS: [&str; 3] = ["orphan", "foregroundDeletion", "kubernetes"];

/// A custom kind. The one in the registry is that of the storage version and knows the others.
pub struct CustomKind {
    definition: Arc<Definition>,
    version: Str,
    info: Info,
    /// The kind as other versions have it; none in those themselves.
    others: Vec<Arc<CustomKind>>,
}

impl CustomKind {
    /// The kind of a CustomResourceDefinition; nothing while its names are not accepted.
    pub fn of(crd: &Value) -> Option<Arc<CustomKind>> {
        if !is_served(crd) {
            return None;
        }
        let definition = Arc::new(Definition::read(crd)?);
        let kind = |version: &Version| CustomKind {
            definition: definition.clone(),
            version: version.name.clone(),
            info: definition.info(version),
            others: Vec::new(),
        };
        let stored = definition.storage_version()?;
        let others = definition.versions.iter().filter(|v| v.name != stored.name);
        let others = others.map(|version| Arc::new(kind(version))).collect();
        Some(Arc::new(CustomKind { others, ..kind(stored) }))
    }

    fn here(&self) -> Option<&Version> {
        self.definition.version(&self.version)
    }

    fn has_status(&self) -> bool {
        self.here().is_some_and(Version::has_status)
    }

    /// What an object may not be, whatever its schema. Nothing else is looked at when there is something.
    fn type_faults(&self, obj: &Value) -> Vec<Fault> {
        let mut faults = Vec::new();
        let wanted =
            [("kind", self.info.kind.to_string()), ("apiVersion", self.info.api_version(&self.version))];
        for (field, wanted) in wanted {
            let given = obj.str_at(&[field]);
            if given != wanted {
                faults.push(Fault::invalid(Path::new(field), given, format!("must be {wanted}")));
            }
        }
        faults
    }

    fn faults(&self, new: &Value, old: Option<&Value>) -> Vec<Fault> {
        let mut faults = self.type_faults(new);
        let Some(version) = self.here().filter(|_| faults.is_empty()) else { return faults };
        faults.extend(check::validate(new, old, &version.props, ""));
        if let Some(paths) = &version.scale {
            faults.extend(scale_rules::spec_faults(new, paths));
            faults.extend(scale_rules::status_faults(new, paths));
        }
        faults.extend(embedded::validate(new, &version.props));
        if old.is_none_or(|old| list_type::validate(old, &version.props).is_empty()) {
            faults.extend(list_type::validate(new, &version.props));
        }
        self.rules(version, new, old, &mut faults);
        faults
    }

    /// Rules in CEL are not asked about an object that is wrong in a way they could stumble over.
    fn rules(&self, version: &Version, new: &Value, old: Option<&Value>, faults: &mut Vec<Fault>) {
        use api::FaultKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
        const WHY: &str = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
        let blocks = |f: &Fault| matches!(f.kind, NotSupported | Required | TooLong | TooMany | TypeInvalid);
        if version.has_rules && faults.iter().any(blocks) {
            faults.push(Fault::invalid(Path::default(), Value::Null, WHY));
        } else if version.has_rules {
            faults.extend(rules::validate(new, old, &version.props));
        }
    }

    /// Makes a tree an object of a version: metadata read, unknown fields and nulls gone; names what was unknown.
    fn coerce(&self, obj: &mut Value, version: &str) -> Result<Vec<String>, String> {
        let mut unknown = embedded::read_metadata(obj, "")?;
        if let Some(version) = self.definition.version(version)
            && obj.str_at(&["kind"]) == self.info.kind.as_str()
        {
            unknown.extend(prune::prune_object(obj, &version.props));
            prune::drop_nulls(obj, Some(&version.props));
            unknown.extend(embedded::read_embedded(obj, &version.props)?);
        }
        sort(obj);
        Ok(unknown)
    }

    fn convert_and_prune(&self, obj: &mut Value, version: &str) {
        obj.set(&["apiVersion"], self.info.api_version(version));
        // What was an object before has metadata that can be read; embedded ones keep what they had.
        let _ = self.coerce(obj, version);
    }
}

impl Kind for CustomKind {
    fn info(&self) -> &Info {
        &self.info
    }

    fn at(&self, version: &str) -> Option<Arc<dyn Kind>> {
        let found = self.others.iter().find(|kind| kind.version == version)?;
        Some(found.clone() as Arc<dyn Kind>)
    }

    fn edition(&self) -> u64 {
        self.definition.edition
            ^ self.version.bytes().fold(1_u64, |sum, b| sum.wrapping_mul(31) ^ u64::from(b))
    }

    fn schema(&self, version: &str) -> Option<(&Schema, TypeId)> {
        self.definition.version(version).map(|v| (&v.schema, v.ty))
    }

    fn read(&self, version: &str, raw: Value) -> Result<Read, String> {
        let mut object = raw;
        let unknown = self.coerce(&mut object, version)?;
        let strict = unknown.into_iter().map(|path| format!("unknown field \"{path}\"")).collect();
        Ok(Read { object, strict })
    }

    fn fill(&self, obj: &mut Value, version: &str) {
        if let Some(version) = self.definition.version(version)
            && obj.str_at(&["kind"]) == self.info.kind.as_str()
        {
            defaults::fill(obj, &version.props);
            sort(obj);
        }
    }

    fn read_stored(&self, obj: &mut Value) {
        let stored = obj.str_at(&["apiVersion"]).rsplit('/').next().unwrap_or_default().to_owned();
        embedded::repair_metadata(obj);
        if self.coerce(obj, &stored).is_ok() {
            self.fill(obj, &stored);
        }
        if obj.i64_at(&["metadata", "generation"]).unwrap_or(0) == 0 {
            obj.set(&["metadata", "generation"], 1);
        }
        if stored != self.version.as_str() {
            self.convert_and_prune(obj, &self.version);
        }
    }

    fn make_stored(&self, obj: &mut Value) {
        if let Some(stored) = self.definition.storage_version().filter(|v| v.name != self.version) {
            self.convert_and_prune(obj, &stored.name);
        }
        sort(obj);
    }

    fn creation_refusal(&self) -> Option<&str> {
        const WHY: &str = "create not allowed while custom resource definition is terminating";
        self.definition.terminating.then_some(WHY)
    }

    fn generation_grows(&self, new: &Value, old: &Value) -> bool {
        let counts = |field: &str| {
            !(matches!(field, "metadata" | "kind" | "apiVersion") || field == "status" && self.has_status())
        };
        let differs = |a: &Value, b: &Value| {
            a.as_map().into_iter().flat_map(|m| m.iter()).any(|(k, v)| counts(k) && b.get(k) != Some(v))
        };
        differs(new, old) || differs(old, new)
    }

    fn prepare_lens(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        let managed = new.at(&["metadata", "managedFields"]).cloned();
        let wanted = std::mem::replace(new, old.clone());
        keep_field(new, &wanted, "status");
        match managed {
            Some(fields) => new.set(&["metadata", "managedFields"], fields),
            None => drop(new.unset(&["metadata", "managedFields"])),
        }
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        self.faults(obj, None)
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        self.faults(new, Some(old))
    }

    fn validate_lens(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = self.type_faults(new);
        let Some(version) = self.here().filter(|_| faults.is_empty()) else { return faults };
        if let (Some(status), Some(props)) = (new.get("status"), version.props.property("status")) {
            faults.extend(check::validate(status, old.get("status"), props, "status"));
        }
        if let Some(paths) = &version.scale {
            faults.extend(scale_rules::status_faults(new, paths));
        }
        if list_type::validate(old, &version.props).is_empty() {
            faults.extend(list_type::validate(new, &version.props));
        }
        self.rules(version, new, Some(old), &mut faults);
        faults
    }

    fn warn(&self, new: &Value, old: Option<&Value>, cx: &Cx<'_>) -> Vec<String> {
        if cx.subresource == "status" {
            return Vec::new();
        }
        let finalizers = |obj: &Value| -> Vec<String> {
            obj.list_at(&["metadata", "finalizers"])
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        };
        let before = old.map(finalizers).unwrap_or_default();
        let mut added: Vec<String> = finalizers(new).into_iter().filter(|f| !before.contains(f)).collect();
        added.sort();
        added.dedup();
        added.iter().flat_map(|name| finalizer_warnings(name)).collect()
    }

    fn deprecation(&self, version: &str) -> Option<&str> {
        self.definition.version(version)?.warning.as_deref()
    }

    fn columns(&self) -> Vec<Column> {
        let own = self.here().into_iter().flat_map(|v| &v.columns).map(|c| c.column.clone());
        std::iter::once(Column::name()).chain(own).collect()
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let own = self.here().into_iter().flat_map(|v| &v.columns).map(|c| c.cell(obj, now));
        std::iter::once(Value::from(obj.str_at(&["metadata", "name"]))).chain(own).collect()
    }

    fn selectable_fields(&self, obj: &Value) -> Vec<(Cow<'static, str>, String)> {
        let fields = self.here().into_iter().flat_map(|v| &v.selectable);
        let value = |found: Option<Value>| match found {
            None | Some(Value::Null) => String::new(),
            Some(Value::Str(text)) => text.to_string(),
            Some(other) => api::json::to_string(&other),
        };
        fields
            .map(|(label, path)| {
                let found = path.find(obj).ok().and_then(|values| values.into_iter().next());
                (Cow::Owned(label.to_string()), value(found))
            })
            .collect()
    }

    fn words_fields_itself(&self) -> bool {
        true
    }

    fn reset_fields(&self, subresource: &str) -> Vec<Vec<&'static str>> {
        match subresource {
            "" if self.has_status() => vec![vec!["status"]],
            "status" => vec![vec!["metadata"], vec!["spec"]],
            _ => Vec::new(),
        }
    }

    fn openapi_schema(&self, version: &str) -> Option<Value> {
        super::open_api::schema(&self.definition.version(version)?.raw_schema)
    }

    fn stored_as_json(&self) -> bool {
        true
    }
}

fn finalizer_warnings(name: &str) -> Vec<String> {
    let at = format!("metadata.finalizers: {}", api::quote(name));
    let mut warnings: Vec<String> =
        names::is_qualified_name(name).into_iter().map(|text| format!("{at}: {text}")).collect();
    if !name.contains('/') && !STANDARD_FINALIZERS.contains(&name) {
        let path = if name.contains('.') { " including a path (/)" } else { "" };
        warnings.push(format!(
            "{at}: prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cx, texts};
    use api::tree;

    fn kind() -> Arc<CustomKind> {
        let spec = |extra: Value| {
            let mut properties = tree!({"a": {"type": "string"}});
            for (name, schema) in extra.as_map().into_iter().flat_map(|m| m.iter()) {
                properties.set(&[name], schema.clone());
            }
            tree!({"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": (properties)},
                "status": {"type": "object", "properties": {"phase": {"type": "string"}}}}}})
        };
        let names =
            tree!({"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"});
        let crd = tree!({"metadata": {"uid": "u"}, "spec": {"group": "g.io", "scope": "Namespaced", "versions": [
            {"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": (spec(tree!({"d": {"type": "string", "default": "one"}}))),
                "selectableFields": [{"jsonPath": ".spec.a"}]},
            {"name": "v2", "served": true, "storage": false, "schema": (spec(tree!({"b": {"type": "string"}})))}]},
            "status": {"acceptedNames": (names), "conditions": [{"type": "NamesAccepted", "status": "True"}]}});
        CustomKind::of(&crd).unwrap()
    }

    fn widget(version: &str, spec: Value) -> Value {
        tree!({"apiVersion": (format!("g.io/{version}")), "kind": "Widget", "metadata": {"name": "w"}, "spec": (spec)})
    }

    #[test]
    fn bodies_are_pruned_and_say_what_was_unknown() {
        let read = kind().read("v1", widget("v1", tree!({"zap": 1, "a": "x"}))).unwrap();
        assert_eq!(read.strict, ["unknown field \"spec.zap\""]);
        assert_eq!(read.object.get("spec"), Some(&tree!({"a": "x"})));
        let mut bad = widget("v1", tree!({}));
        bad.set(&["metadata", "name"], true);
        let why = kind().read("v1", bad).unwrap_err();
        assert_eq!(why, "json: cannot unmarshal bool into Go struct field ObjectMeta.name of type string");
    }

    #[test]
    fn objects_rest_in_the_storage_version_and_come_back_with_defaults() {
        let base = kind();
        let v2 = base.at("v2").unwrap();
        let mut object = widget("v2", tree!({"a": "x", "b": "y"}));
        v2.make_stored(&mut object);
        assert_eq!(object.str_at(&["apiVersion"]), "g.io/v1");
        assert_eq!(object.get("spec"), Some(&tree!({"a": "x"})));
        let mut here = object.clone();
        base.read_stored(&mut here);
        assert_eq!(here.get("spec"), Some(&tree!({"a": "x", "d": "one"})));
        v2.read_stored(&mut object);
        assert_eq!(object.str_at(&["apiVersion"]), "g.io/v2");
        assert_eq!(object.get("spec"), Some(&tree!({"a": "x"})));
        assert_ne!(base.edition(), v2.edition());
        assert!(base.at("v1").is_none() && base.at("v3").is_none());
    }

    #[test]
    fn another_kind_is_its_only_fault() {
        let mut object = widget("v1", tree!({"a": 5}));
        assert_eq!(kind().validate(&object, &cx("")).len(), 1);
        object.set(&["kind"], "Gadget");
        assert_eq!(
            texts(&kind().validate(&object, &cx(""))),
            ["kind: Invalid value: \"Gadget\": must be Widget"]
        );
    }

    #[test]
    fn a_status_counts_as_content_only_without_a_lens() {
        let base = kind();
        let old = widget("v1", tree!({"a": "x"}));
        let mut new = old.clone();
        new.set(&["status", "phase"], "Ready");
        assert!(!base.generation_grows(&new, &old));
        assert!(base.at("v2").unwrap().generation_grows(&new, &old));
        new.set(&["spec", "a"], "y");
        new.set(&["metadata", "labels"], tree!({"l": "m"}));
        base.prepare_lens(&mut new, &old, &cx("status"));
        assert_eq!(new.get("spec"), old.get("spec"));
        assert_eq!(new.at(&["metadata", "labels"]), None);
        assert_eq!(new.str_at(&["status", "phase"]), "Ready");
    }

    #[test]
    fn selectable_fields_are_read_by_their_paths() {
        let fields = kind().selectable_fields(&widget("v1", tree!({"a": "red"})));
        assert_eq!(fields, [(Cow::Borrowed("spec.a"), "red".to_owned())]);
        assert_eq!(kind().selectable_fields(&Value::map()), [(Cow::Borrowed("spec.a"), String::new())]);
    }

    #[test]
    fn finalizers_want_a_domain_and_a_path() {
        assert_eq!(finalizer_warnings("example.com/f"), Vec::<String>::new());
        assert_eq!(finalizer_warnings("orphan"), Vec::<String>::new());
        assert!(finalizer_warnings("example.com")[0].contains("including a path (/)"));
        assert!(finalizer_warnings("f")[0].ends_with("conflicts with other finalizer writers"));
    }
}
