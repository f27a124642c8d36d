//! IngressClass: which controller implements the ingresses that name the class.

use super::{GROUP, reference};
use crate::{Column, Cx, Info, Kind, print, validation};
use api::{Fault, Path, Value, names};

const DEFAULT_ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";
const MAX_CONTROLLER: usize = 250;

pub struct IngressClass(Info);

impl IngressClass {
    pub fn new() -> Self {
        let info = Info::new(GROUP, "v1", "IngressClass", "ingressclasses");
        IngressClass(info.cluster_scoped().with_generation())
    }
}

fn parameters_faults(parameters: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = reference::faults(parameters, at);
    let namespace = parameters.get("namespace").and_then(Value::as_str);
    let path = at.child("namespace");
    match (parameters.str_at(&["scope"]), namespace) {
        ("Namespace", None) => {
            faults.push(Fault::required(path, "`parameters.scope` is set to 'Namespace'"));
        }
        ("Namespace", Some(namespace)) => faults.extend(validation::dns_label(namespace, &path)),
        ("Cluster", Some(_)) => {
            faults.push(Fault::forbidden(path, "`parameters.scope` is set to 'Cluster'"));
        }
        ("Cluster", None) => {}
        (scope, _) => {
            faults.extend(validation::one_of(scope, &["Cluster", "Namespace"], &at.child("scope")));
        }
    }
    faults
}

impl Kind for IngressClass {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        if let Some(parameters) = obj.at_mut(&["spec", "parameters"]).and_then(Value::as_map_mut) {
            parameters.entry_or("scope", || "Cluster".into());
        }
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let at = Path::new("spec");
        let controller = obj.str_at(&["spec", "controller"]);
        let mut faults = Vec::new();
        if controller.len() > MAX_CONTROLLER {
            faults.push(Fault::too_long(at.child("controller"), MAX_CONTROLLER));
        }
        faults.extend(names::domain_prefixed_path_faults(controller, at.child("controller")));
        if let Some(parameters) = obj.at(&["spec", "parameters"]).filter(|p| !p.is_null()) {
            faults.extend(parameters_faults(parameters, &at.child("parameters")));
        }
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        let path = ["spec", "controller"];
        let mut faults =
            validation::immutable(new.at(&path), old.at(&path), &Path::new("spec").child("controller"));
        faults.extend(self.validate(new, cx));
        faults
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name(),
            Column::text("Controller", "string", "Controller that is responsible for handling this class"),
            Column::text("Parameters", "string", "A reference to a resource with additional parameters"),
            Column::age(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let is_default = obj.str_at(&["metadata", "annotations", DEFAULT_ANNOTATION]) == "true";
        let name = obj.str_at(&["metadata", "name"]);
        let parameters = match obj.at(&["spec", "parameters"]).filter(|p| !p.is_null()) {
            None => "<none>".to_owned(),
            Some(p) => {
                let group =
                    p.get("apiGroup").and_then(Value::as_str).map(|g| format!(".{g}")).unwrap_or_default();
                format!("{}{group}/{}", p.str_at(&["kind"]), p.str_at(&["name"]))
            }
        };
        vec![
            if is_default { format!("{name} (default)").into() } else { name.into() },
            obj.str_at(&["spec", "controller"]).into(),
            parameters.into(),
            print::age(obj, now),
        ]
    }
}
