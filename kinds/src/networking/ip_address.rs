//! IPAddress: one address of a service network and the service that has it; the address is the name.

use super::{GROUP, reference};
use crate::internal_form::internal_form;
use crate::{Column, Cx, Info, Kind, NameRule, print, validation};
use api::{Fault, Path, Value};

pub struct IPAddress(Info);

impl IPAddress {
    pub fn new() -> Self {
        let info = Info::new(GROUP, "v1", "IPAddress", "ipaddresses").cluster_scoped();
        IPAddress(info.short(&["ip"]).names(NameRule::Own))
    }
}

impl Kind for IPAddress {
    fn info(&self) -> &Info {
        &self.0
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let name = obj.str_at(&["metadata", "name"]);
        let mut faults = validation::ip(name, &Path::new("metadata").child("name"));
        let at = Path::new("spec").child("parentRef");
        let Some(parent) = obj.at(&["spec", "parentRef"]).filter(|p| !p.is_null()) else {
            faults.push(Fault::required(at, ""));
            return faults;
        };
        let text = |field: &str| Some(parent.str_at(&[field])).filter(|v| !v.is_empty());
        if let Some(group) = text("group") {
            faults.extend(validation::dns_subdomain(group, &at.child("group")));
        }
        faults.extend(reference::segment(parent, "resource", &at));
        faults.extend(reference::segment(parent, "name", &at));
        if let Some(namespace) = text("namespace") {
            faults.extend(reference::optional_segment(namespace, &at.child("namespace")));
        }
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        let path = ["spec", "parentRef"];
        let mut faults = self.validate(new, cx);
        if !validation::same(new.at(&path), old.at(&path)) {
            let shown = internal_form(new.at(&path), "io.k8s.api.networking.v1.ParentReference");
            faults.push(Fault::invalid("spec.parentRef", shown, validation::IMMUTABLE));
        }
        faults
    }

    fn columns(&self) -> Vec<Column> {
        let definition = "io.k8s.api.networking.v1.IPAddressSpec";
        vec![Column::name(), Column::field("ParentRef", "string", definition, "parentRef"), Column::age()]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let parent = match obj.at(&["spec", "parentRef"]).filter(|p| !p.is_null()) {
            None => "<none>".to_owned(),
            Some(p) => {
                let (resource, group) = (p.str_at(&["resource"]), p.str_at(&["group"]));
                let resource =
                    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
                let mut text = resource.to_lowercase();
                if !p.str_at(&["namespace"]).is_empty() {
                    text = format!("{text}/{}", p.str_at(&["namespace"]));
                }
                format!("{text}/{}", p.str_at(&["name"]))
            }
        };
        vec![print::name(obj), parent.into(), print::age(obj, now)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn the_parent_is_shown_with_group_namespace_and_name() {
        let obj = tree!({"metadata": {"name": "10.0.0.1"},
            "spec": {"parentRef": {"resource": "Gateways", "group": "g.example", "namespace": "n", "name": "x"}}});
        assert_eq!(IPAddress::new().cells(&obj, 0)[1], "gateways.g.example/n/x".into());
    }
}
