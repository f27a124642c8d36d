//! APIService: which server answers for a version of a group: this one, or another behind a service.

use crate::{Column, Cx, Info, Kind, NameRule, keep_field, lens, print, validation};
use api::{Fault, Path, Value, names, tree};

const GROUP: &str = "apiregistration.k8s.io";
const DEFAULT_PORT: i64 = 443;
const MAX_GROUP_PRIORITY: i64 = 20_000;
const MAX_VERSION_PRIORITY: i64 = 1000;

pub struct APIService(Info);

impl APIService {
    pub fn new() -> Self {
        let info =
            Info::new(GROUP, "v1", "APIService", "apiservices").prefix("apiregistration.k8s.io/apiservices");
        let info = info.cluster_scoped().categories(&["api-extensions"]).names(NameRule::Own);
        APIService(info.conditional_update().with_status())
    }
}

fn name_faults(obj: &Value) -> Vec<Fault> {
    let name = obj.str_at(&["metadata", "name"]);
    let at = Path::new("metadata").child("name");
    let wanted = format!("{}.{}", obj.str_at(&["spec", "version"]), obj.str_at(&["spec", "group"]));
    let faults = validation::texts(&at, name, names::is_path_segment_name(name));
    if faults.is_empty() && name != wanted {
        let text = format!("must be `spec.version+\".\"+spec.group`: {}", api::quote(&wanted));
        return vec![Fault::invalid(at, name, text)];
    }
    faults
}

fn spec_faults(obj: &Value) -> Vec<Fault> {
    let at = Path::new("spec");
    let (group, version) = (obj.str_at(&["spec", "group"]), obj.str_at(&["spec", "version"]));
    let mut faults = Vec::new();
    if group.is_empty() && version != "v1" {
        let text = "only v1 may have an empty group and it better be legacy kube";
        faults.push(Fault::required(at.child("group"), text));
    }
    if !group.is_empty() {
        faults.extend(validation::dns_subdomain(group, &at.child("group")));
    }
    faults.extend(validation::texts(&at.child("version"), version, names::is_dns1035_label(version)));
    let priorities =
        [("groupPriorityMinimum", MAX_GROUP_PRIORITY), ("versionPriority", MAX_VERSION_PRIORITY)];
    for (field, max) in priorities {
        let priority = obj.i64_at(&["spec", field]).unwrap_or_default();
        if priority <= 0 || priority > max {
            let text = format!("must be positive and less than {max}");
            faults.push(Fault::invalid(at.child(field), priority, text));
        }
    }
    faults.extend(backend_faults(obj, &at));
    faults
}

fn backend_faults(obj: &Value, at: &Path) -> Vec<Fault> {
    let bundle = obj.str_at(&["spec", "caBundle"]);
    let insecure = obj.bool_at(&["spec", "insecureSkipTLSVerify"]);
    let mut faults = Vec::new();
    let Some(service) = obj.at(&["spec", "service"]).filter(|s| !s.is_null()) else {
        if !bundle.is_empty() {
            let bytes = format!("{} bytes", bundle.trim_end_matches('=').len() * 3 / 4);
            let text = "local APIServices may not have a caBundle";
            faults.push(Fault::invalid(at.child("caBundle"), bytes, text));
        }
        if insecure {
            let text = "local APIServices may not have insecureSkipTLSVerify";
            faults.push(Fault::invalid(at.child("insecureSkipTLSVerify"), true, text));
        }
        return faults;
    };
    let path = at.child("service");
    for field in ["namespace", "name"] {
        faults.extend(validation::required(service.str_at(&[field]), &path.child(field)));
    }
    let port = service.i64_at(&["port"]).unwrap_or_default();
    let texts = names::is_port_number(port);
    if !texts.is_empty() {
        let text = format!("port is not valid: {}", texts.join(", "));
        faults.push(Fault::invalid(path.child("port"), port, text));
    }
    if insecure && !bundle.is_empty() {
        let text = "may not be true if caBundle is present";
        faults.push(Fault::invalid(at.child("insecureSkipTLSVerify"), true, text));
    }
    faults
}

impl Kind for APIService {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        if let Some(service) = obj.at_mut(&["spec", "service"]).and_then(Value::as_map_mut) {
            service.entry_or("port", || Value::Int(DEFAULT_PORT));
        }
    }

    /// What is served here is available at once.
    fn prepare_create(&self, obj: &mut Value, cx: &Cx<'_>) {
        obj.unset(&["status"]);
        if obj.at(&["spec", "service"]).is_none_or(Value::is_null) {
            let condition = tree!({
                "type": "Available", "status": "True", "lastTransitionTime": (cx.now), "reason": "Local",
                "message": "Local APIServices are always available"
            });
            obj.set(&["status", "conditions"], vec![condition]);
        }
    }

    fn prepare_lens(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        let status = new.get("status").cloned().unwrap_or_else(Value::map);
        lens::keep_labels_and_owners(new, old);
        keep_field(new, old, "spec");
        new.set(&["status"], status);
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        name_faults(obj).into_iter().chain(spec_faults(obj)).collect()
    }

    fn validate_lens(&self, new: &Value, _old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let at = Path::new("status").child("conditions");
        let conditions = new.list_at(&["status", "conditions"]).iter().enumerate();
        let statuses = conditions.map(|(i, c)| (c.str_at(&["status"]), at.index(i).child("status")));
        statuses.flat_map(|(s, at)| validation::one_of(s, &["True", "False", "Unknown"], &at)).collect()
    }

    fn reset_fields(&self, subresource: &str) -> Vec<Vec<&'static str>> {
        match subresource {
            "status" => vec![vec!["spec"], vec!["metadata"]],
            _ => vec![vec!["status"]],
        }
    }

    fn columns(&self) -> Vec<Column> {
        let service = "The reference to the service that hosts this API endpoint.";
        vec![
            Column::name(),
            Column::text("Service", "string", service),
            Column::text("Available", "string", "Whether this service is available."),
            Column::age(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let service = match obj.at(&["spec", "service"]).filter(|s| !s.is_null()) {
            None => "Local".to_owned(),
            Some(s) => format!("{}/{}", s.str_at(&["namespace"]), s.str_at(&["name"])),
        };
        let mut conditions = obj.list_at(&["status", "conditions"]).iter();
        let available = match conditions.find(|c| c.str_at(&["type"]) == "Available") {
            None => "Unknown".to_owned(),
            Some(c) => match (c.str_at(&["status"]), c.str_at(&["reason"])) {
                ("True", _) => "True".to_owned(),
                (status, "") => status.to_owned(),
                (status, reason) => format!("{status} ({reason})"),
            },
        };
        vec![print::name(obj), service.into(), available.into(), print::age(obj, now)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_version_and_group() {
        let obj = tree!({"metadata": {"name": "v1.wrong"}, "spec": {"group": "g.example", "version": "v1"}});
        assert_eq!(
            name_faults(&obj)[0].to_string(),
            "metadata.name: Invalid value: \"v1.wrong\": must be `spec.version+\".\"+spec.group`: \"v1.g.example\""
        );
    }

    #[test]
    fn a_bad_service_is_told_all_its_faults() {
        let obj = tree!({"spec": {"group": "g.example", "version": "v1", "groupPriorityMinimum": 0, "versionPriority": 5000,
            "caBundle": "eA==", "insecureSkipTLSVerify": true, "service": {"name": "", "namespace": "", "port": 443}}});
        let texts: Vec<String> = spec_faults(&obj).iter().map(|f| f.to_string()).collect();
        assert_eq!(
            texts,
            [
                "spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000",
                "spec.versionPriority: Invalid value: 5000: must be positive and less than 1000",
                "spec.service.namespace: Required value",
                "spec.service.name: Required value",
                "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
            ]
        );
    }
}
