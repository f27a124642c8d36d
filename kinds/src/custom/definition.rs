//! A CustomResourceDefinition, read: names, scope, versions.

use super::columns::{self, PrinterColumn};
use super::{JsonPath, Props, apply_schema, compare_versions};
use crate::{Info, ScalePaths};
use api::schema::TypeId;
use api::{Schema, Str, Value, json};
use std::hash::{DefaultHasher, Hash, Hasher};

/// What a definition says, in the form that serving it needs.
#[derive(Debug)]
pub struct Definition {
    pub group: Str,
    pub plural: Str,
    pub singular: Str,
    pub kind: Str,
    pub list_kind: Str,
    short_names: Vec<Str>,
    categories: Vec<Str>,
    namespaced: bool,
    /// All versions, preferred first, whether served or not.
    pub versions: Vec<Version>,
    storage_version: Str,
    /// It is on its way out: no new objects.
    pub terminating: bool,
    /// Differs between definitions that treat stored objects differently.
    pub edition: u64,
}

/// One version of a custom kind.
#[derive(Debug)]
pub struct Version {
    pub name: Str,
    served: bool,
    /// What users of a deprecated version are told.
    pub warning: Option<String>,
    /// `openAPIV3Schema`, as it came.
    pub raw_schema: Value,
    pub props: Props,
    pub schema: Schema,
    pub ty: TypeId,
    pub has_rules: bool,
    has_status: bool,
    pub scale: Option<ScalePaths>,
    pub columns: Vec<PrinterColumn>,
    /// Labels of field selectors, and where their values are.
    pub selectable: Vec<(Str, JsonPath)>,
}

/// Whether a definition's kind is served: its names were accepted, now or before.
pub fn is_served(crd: &Value) -> bool {
    let names = ["plural", "singular", "kind", "listKind"];
    let named = names.iter().all(|name| !crd.str_at(&["status", "acceptedNames", name]).is_empty());
    let served = crd.list_at(&["spec", "versions"]).iter().any(|v| v.bool_at(&["served"]));
    named && served && (has_condition(crd, "NamesAccepted") || has_condition(crd, "Established"))
}

fn has_condition(crd: &Value, ty: &str) -> bool {
    let conditions = crd.list_at(&["status", "conditions"]);
    conditions.iter().any(|c| c.str_at(&["type"]) == ty && c.str_at(&["status"]) == "True")
}

impl Definition {
    /// Reads a stored definition. Nothing when it has no storage version, which no accepted one lacks.
    pub fn read(crd: &Value) -> Option<Definition> {
        let name = |field: &str| Str::from(crd.str_at(&["status", "acceptedNames", field]));
        let names = |field: &str| strings(crd.list_at(&["status", "acceptedNames", field]));
        let raw = crd.list_at(&["spec", "versions"]);
        let stored = raw.iter().find(|v| v.bool_at(&["storage"]))?;
        let mut versions: Vec<Version> = raw.iter().map(|v| Version::read(v, crd)).collect();
        versions.sort_by(|a, b| compare_versions(&a.name, &b.name));
        let mut hasher = DefaultHasher::new();
        crd.str_at(&["metadata", "uid"]).hash(&mut hasher);
        for part in [crd.get("spec"), crd.at(&["status", "acceptedNames"])] {
            json::to_string(part.unwrap_or(&Value::Null)).hash(&mut hasher);
        }
        Some(Definition {
            group: crd.str_at(&["spec", "group"]).into(),
            plural: name("plural"),
            singular: name("singular"),
            kind: name("kind"),
            list_kind: name("listKind"),
            short_names: names("shortNames"),
            categories: names("categories"),
            namespaced: crd.str_at(&["spec", "scope"]) == "Namespaced",
            versions,
            storage_version: stored.str_at(&["name"]).into(),
            terminating: has_condition(crd, "Terminating"),
            edition: hasher.finish(),
        })
    }

    pub fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|v| v.name == name)
    }

    pub fn storage_version(&self) -> Option<&Version> {
        self.version(&self.storage_version)
    }

    /// The facts of the kind as one version has it.
    pub fn info(&self, version: &Version) -> Info {
        let mut info = Info::new(&self.group, &version.name, &self.kind, &self.plural)
            .prefix(&format!("{}/{}", self.group, self.plural))
            .with_generation()
            .conditional_update();
        info.singular = self.singular.clone();
        info.list_kind = self.list_kind.clone();
        info.short_names = self.short_names.clone();
        info.categories = self.categories.clone();
        info.namespaced = self.namespaced;
        info.versions = self.versions.iter().filter(|v| v.served).map(|v| v.name.clone()).collect();
        if version.has_status {
            info = info.with_status();
        }
        if let Some(paths) = &version.scale {
            let dotted = |path: &[Str]| path.iter().map(|p| p.as_str()).collect::<Vec<_>>().join(".");
            let (spec, status) = (dotted(&paths.spec_replicas), dotted(&paths.status_replicas));
            info = info.with_scale(&spec, &status, &dotted(&paths.selector));
        }
        info
    }
}

impl Version {
    fn read(raw: &Value, crd: &Value) -> Version {
        let raw_schema = raw.at(&["schema", "openAPIV3Schema"]).cloned().unwrap_or_else(Value::map);
        let mut props = Props::read(&raw_schema);
        props.preserves_unknown |= crd.bool_at(&["spec", "preserveUnknownFields"]);
        let (schema, ty) = apply_schema::build(&props);
        Version {
            name: raw.str_at(&["name"]).into(),
            served: raw.bool_at(&["served"]),
            warning: raw.bool_at(&["deprecated"]).then(|| deprecation(raw, crd)),
            has_rules: props.has_rules,
            raw_schema,
            props,
            schema,
            ty,
            has_status: raw.at(&["subresources", "status"]).is_some(),
            scale: raw.at(&["subresources", "scale"]).map(scale_paths),
            columns: columns::read(raw),
            selectable: raw.list_at(&["selectableFields"]).iter().filter_map(selectable).collect(),
        }
    }

    pub fn has_status(&self) -> bool {
        self.has_status
    }
}

/// The warning of a deprecated version: its own, or one that names the version to use instead.
fn deprecation(raw: &Value, crd: &Value) -> String {
    let own = raw.str_at(&["deprecationWarning"]);
    if !own.is_empty() {
        return own.to_owned();
    }
    let (group, kind) = (crd.str_at(&["spec", "group"]), crd.str_at(&["spec", "names", "kind"]));
    let name = raw.str_at(&["name"]);
    let mut newer: Vec<&str> = crd
        .list_at(&["spec", "versions"])
        .iter()
        .filter(|v| v.bool_at(&["served"]) && !v.bool_at(&["deprecated"]))
        .map(|v| v.str_at(&["name"]))
        .filter(|other| compare_versions(other, name).is_lt())
        .collect();
    newer.sort_by(|a, b| compare_versions(a, b));
    let instead = newer.first().map(|v| format!("; use {group}/{v} {kind}")).unwrap_or_default();
    format!("{group}/{name} {kind} is deprecated{instead}")
}

fn scale_paths(scale: &Value) -> ScalePaths {
    let path = |field: &str| {
        scale.str_at(&[field]).split('.').filter(|part| !part.is_empty()).map(Str::from).collect::<Vec<Str>>()
    };
    ScalePaths {
        spec_replicas: path("specReplicasPath"),
        status_replicas: path("statusReplicasPath"),
        selector: path("labelSelectorPath"),
    }
}

fn selectable(raw: &Value) -> Option<(Str, JsonPath)> {
    let path = raw.str_at(&["jsonPath"]);
    Some((path.trim_start_matches('.').into(), JsonPath::parse(path).ok()?))
}

fn strings(list: &[Value]) -> Vec<Str> {
    list.iter().filter_map(Value::as_str).map(Str::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn deprecated_versions_name_their_successor() {
        let version = |name: &str, deprecated: bool| tree!({"name": (name), "served": true, "storage": (name == "v1"), "deprecated": (deprecated)});
        let crd = tree!({"spec": {"group": "g.io", "names": {"kind": "W"},
            "versions": [(version("v1", false)), (version("v1beta1", true)), (version("v2", true))]}});
        let definition = Definition::read(&crd).unwrap();
        let warning = |name: &str| definition.version(name).unwrap().warning.clone();
        assert_eq!(warning("v1beta1").as_deref(), Some("g.io/v1beta1 W is deprecated; use g.io/v1 W"));
        assert_eq!(warning("v2").as_deref(), Some("g.io/v2 W is deprecated"));
        assert_eq!(warning("v1"), None);
        let order: Vec<&str> = definition.versions.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(order, ["v2", "v1", "v1beta1"]);
    }

    #[test]
    fn names_that_were_not_accepted_are_not_served() {
        let crd = |status: &str| {
            tree!({"spec": {"versions": [{"served": true}]}, "status": {
                "acceptedNames": {"plural": "ws", "singular": "w", "kind": "W", "listKind": "WList"},
                "conditions": [{"type": "NamesAccepted", "status": (status)}]}})
        };
        assert!(is_served(&crd("True")));
        assert!(!is_served(&crd("False")));
    }
}
