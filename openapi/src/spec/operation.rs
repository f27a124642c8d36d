//! One operation of a path, and how either version of OpenAPI writes it.

use super::Flavor;
use super::parameter::{Parameter, Place, is_own, shared_name};
use api::{Map, Value, tree};
use std::collections::BTreeMap;

/// A body or an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// An object, by its definition.
    Object(String),
    Text,
}

/// What a method does at a path.
#[derive(Clone, Debug, Default)]
pub struct Operation {
    /// `get`, `put`, `post`, …
    pub method: &'static str,
    pub id: String,
    pub description: String,
    pub tag: String,
    /// `x-kubernetes-action`, "" when there is none.
    pub action: &'static str,
    /// Group, version and kind of what it works on.
    pub kind: Option<(String, String, String)>,
    pub consumes: Vec<&'static str>,
    pub produces: Vec<&'static str>,
    pub parameters: Vec<Parameter>,
    /// The definition of the body, and whether there must be one.
    pub body: Option<(String, bool)>,
    /// Status, text and content of answers beside 401.
    pub responses: Vec<(&'static str, &'static str, Payload)>,
}

/// A path with its operations. Parameters that all operations have stand here.
#[derive(Clone, Debug)]
pub struct Item {
    pub path: String,
    pub parameters: Vec<Parameter>,
    pub operations: Vec<Operation>,
}

/// Parameters of version 2 that paths share: name and what it says.
pub type Shared = BTreeMap<String, Value>;

impl Item {
    /// Sorts the operations' parameters and moves up what they have in common.
    pub fn new(path: String, mut operations: Vec<Operation>) -> Self {
        let mut parameters: Vec<Parameter> = Vec::new();
        if let Some(first) = operations.first() {
            let everywhere =
                |p: &&Parameter| operations.iter().all(|o| o.parameters.iter().any(|q| same(p, q)));
            parameters = first.parameters.iter().filter(everywhere).cloned().collect();
        }
        for operation in &mut operations {
            operation.parameters.retain(|p| !parameters.iter().any(|q| same(p, q)));
            sort(&mut operation.parameters);
        }
        sort(&mut parameters);
        Item { path, parameters, operations }
    }

    pub fn value(&self, flavor: Flavor, shared: &mut Shared) -> Value {
        let mut out = Map::new();
        for operation in &self.operations {
            out.insert(operation.method, operation.value(flavor, shared));
        }
        if !self.parameters.is_empty() {
            let parameters: Vec<Value> = self.parameters.iter().map(|p| write(p, flavor, shared)).collect();
            out.insert("parameters", parameters);
        }
        out.sort();
        out.into()
    }
}

fn same(a: &Parameter, b: &Parameter) -> bool {
    a.name == b.name && a.place == b.place
}

fn sort(parameters: &mut [Parameter]) {
    parameters.sort_by(|a, b| (&a.name, a.place).cmp(&(&b.name, b.place)));
}

/// A parameter, or in version 2 a reference to the shared one.
fn write(parameter: &Parameter, flavor: Flavor, shared: &mut Shared) -> Value {
    let value = parameter.value(flavor);
    if flavor == Flavor::V3 || is_own(&parameter.name) {
        return value;
    }
    share(&parameter.name, value, shared)
}

fn share(name: &str, value: Value, shared: &mut Shared) -> Value {
    let name = shared_name(name, &value);
    let reference = tree!({"$ref": format!("#/parameters/{name}")});
    shared.entry(name).or_insert(value);
    reference
}

impl Operation {
    fn value(&self, flavor: Flavor, shared: &mut Shared) -> Value {
        let mut out = Map::new();
        if flavor == Flavor::V2 && !self.consumes.is_empty() {
            out.insert("consumes", self.consumes.clone());
        }
        out.insert("description", self.description.as_str());
        out.insert("operationId", self.id.as_str());
        let parameters = self.own_parameters(flavor, shared);
        if !parameters.is_empty() {
            out.insert("parameters", parameters);
        }
        match flavor {
            Flavor::V2 if !self.produces.is_empty() => drop(out.insert("produces", self.produces.clone())),
            Flavor::V3 => self.add_request_body(&mut out),
            Flavor::V2 => {}
        }
        out.insert("responses", self.response_map(flavor));
        if flavor == Flavor::V2 {
            out.insert("schemes", vec!["https"]);
        }
        out.insert("tags", vec![self.tag.as_str()]);
        if !self.action.is_empty() {
            out.insert("x-kubernetes-action", self.action);
        }
        if let Some((group, version, kind)) = &self.kind {
            let gvk = tree!({"group": group.as_str(), "kind": kind.as_str(), "version": version.as_str()});
            out.insert("x-kubernetes-group-version-kind", gvk);
        }
        out.into()
    }

    /// Its own parameters; in version 2 the body is one of them.
    fn own_parameters(&self, flavor: Flavor, shared: &mut Shared) -> Vec<Value> {
        let mut list: Vec<(&str, Place, Value)> =
            self.parameters.iter().map(|p| (p.name.as_str(), p.place, write(p, flavor, shared))).collect();
        if let (Flavor::V2, Some((definition, required))) = (flavor, &self.body) {
            let mut body = tree!({"name": "body", "in": "body"});
            if *required {
                body.set(&["required"], true);
            }
            body.set(&["schema"], tree!({"$ref": flavor.reference(definition)}));
            let generic = definition.starts_with("io.k8s.apimachinery");
            let body = if generic { share("body", body, shared) } else { body };
            list.push(("body", Place::Path, body));
        }
        list.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        list.into_iter().map(|(.., value)| value).collect()
    }

    fn add_request_body(&self, out: &mut Map) {
        let Some((definition, required)) = &self.body else { return };
        let schema = tree!({"schema": {"$ref": Flavor::V3.reference(definition)}});
        let content: Map = self.consumes.iter().map(|ty| (*ty, schema.clone())).collect();
        let mut body = tree!({"content": content});
        if *required {
            body.set(&["required"], true);
        }
        out.insert("requestBody", body);
    }

    fn response_map(&self, flavor: Flavor) -> Map {
        let mut out = Map::new();
        for (status, text, payload) in &self.responses {
            let schema = match payload {
                Payload::Object(definition) => tree!({"$ref": flavor.reference(definition)}),
                Payload::Text => tree!({"type": "string"}),
            };
            let response = match flavor {
                Flavor::V2 => tree!({"description": *text, "schema": schema}),
                Flavor::V3 => {
                    let schema = tree!({"schema": schema});
                    let content: Map = self.produces.iter().map(|ty| (*ty, schema.clone())).collect();
                    tree!({"content": content, "description": *text})
                }
            };
            out.insert(*status, response);
        }
        out.insert("401", tree!({"description": "Unauthorized"}));
        out.sort();
        out
    }
}
