//! Service: one address and name for a set of pods.
//!
//! Its fields hang together: `clusterIP` is the first of `clusterIPs`, families follow from addresses, and what a type
//! does not have goes when the type changes. Addresses and ports themselves are claimed by the server.
//! Source: `pkg/registry/core/service`.

use super::{
    PROXY_VERBS,
    pod_spec::{default_nil, default_zero, each, set},
    service_families, service_validation,
};
use crate::networking::address::ip_warnings;
use crate::validation::same;
use crate::{Claim, Column, Cx, Form, Info, Kind, NameRule, keep_field, print};
use api::{Fault, Path, Value, tree};
use std::collections::BTreeSet;

const SPEC: &str = "io.k8s.api.core.v1.ServiceSpec";
pub(super) const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
pub(super) const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";
/// How long a client stays with an address by default.
const STICKY_SECS: i64 = 10_800;

pub struct Service(Info);

impl Service {
    pub fn new() -> Self {
        let info = Info::new("", "v1", "Service", "services").short(&["svc"]).categories(&["all"]);
        let info =
            info.prefix("services/specs").names(NameRule::Dns1123Label).returns_deleted().creates_on_update();
        let info = info.subresource("proxy", "", "", "ServiceProxyOptions", PROXY_VERBS, Form::Stream);
        Service(info.with_status())
    }
}

pub(super) fn type_of(service: &Value) -> &str {
    service.str_at(&["spec", "type"])
}

/// Reached from outside the cluster: by node ports, a load balancer or addresses of its own.
pub(super) fn externally_accessible(service: &Value) -> bool {
    match type_of(service) {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !service.list_at(&["spec", "externalIPs"]).is_empty(),
        _ => false,
    }
}

/// Has a port for health checks of nodes.
pub(super) fn needs_health_check(service: &Value) -> bool {
    type_of(service) == "LoadBalancer" && service.str_at(&["spec", "externalTrafficPolicy"]) == "Local"
}

fn has_node_ports(service: &Value) -> bool {
    matches!(type_of(service), "NodePort" | "LoadBalancer")
}

fn node_ports(service: &Value) -> BTreeSet<i64> {
    let ports = service.list_at(&["spec", "ports"]).iter();
    ports.filter_map(|p| p.i64_at(&["nodePort"])).filter(|p| *p != 0).collect()
}

/// Fills in what the server gave before and the client left out.
fn patch_allocated(new: &mut Value, old: &Value) {
    let cluster = |s: &Value| type_of(s) != "ExternalName";
    if cluster(old) && cluster(new) {
        if new.str_at(&["spec", "clusterIP"]).is_empty() {
            new.set(&["spec", "clusterIP"], old.str_at(&["spec", "clusterIP"]));
        }
        let ips = old.list_at(&["spec", "clusterIPs"]);
        if new.list_at(&["spec", "clusterIPs"]).is_empty() && !ips.is_empty() {
            new.set(&["spec", "clusterIPs"], ips.to_vec());
        }
    }
    let allocates = |s: &Value| {
        let wanted =
            s.at(&["spec", "allocateLoadBalancerNodePorts"]).and_then(Value::as_bool).unwrap_or(true);
        type_of(s) == "NodePort" || (type_of(s) == "LoadBalancer" && wanted)
    };
    if allocates(old) && allocates(new) {
        let used: BTreeSet<i64> = node_ports(old).intersection(&node_ports(new)).copied().collect();
        let Some(spec) = new.get_mut("spec") else { return };
        each(spec, "ports", |port| {
            let known =
                old.list_at(&["spec", "ports"]).iter().rev().find(|p| p.get("name") == port.get("name"));
            let number = known.and_then(|p| p.i64_at(&["nodePort"])).filter(|n| *n != 0 && !used.contains(n));
            if let Some(number) = number {
                default_zero(port, "nodePort", number);
            }
        });
    }
    if needs_health_check(old)
        && needs_health_check(new)
        && let Some(port) = old.i64_at(&["spec", "healthCheckNodePort"])
        && let Some(spec) = new.get_mut("spec")
    {
        default_zero(spec, "healthCheckNodePort", port);
    }
}

/// Keeps `clusterIP` and `clusterIPs` together when an old client changed only the first.
fn sync_cluster_ips(new: &mut Value, old: Option<&Value>) {
    let one = |s: &Value| s.str_at(&["spec", "clusterIP"]).to_owned();
    let many = |s: &Value| s.list_at(&["spec", "clusterIPs"]).to_vec();
    let ip = one(new);
    let Some(old) = old else {
        if !ip.is_empty() && many(new).is_empty() {
            new.set(&["spec", "clusterIPs"], vec![ip]);
        }
        return;
    };
    if !many(old).is_empty() && many(new).is_empty() && ip == one(old) {
        new.set(&["spec", "clusterIPs"], many(old));
    }
    if ip != one(old) && many(new) == many(old) {
        if !one(old).is_empty() && ip.is_empty() {
            new.unset(&["spec", "clusterIPs"]);
        } else {
            new.set(&["spec", "clusterIPs"], vec![ip]);
        }
    }
}

/// Takes away what the new type does not have, where the client did not change it as well.
fn drop_type_dependent(new: &mut Value, old: &Value) {
    let unchanged = |new: &Value, field: &str| same(new.at(&["spec", field]), old.at(&["spec", field]));
    let drop_same = |new: &mut Value, fields: &[&str]| {
        for field in fields {
            if unchanged(new, field) {
                new.unset(&["spec", field]);
            }
        }
    };
    if type_of(old) != "ExternalName" && type_of(new) == "ExternalName" {
        if unchanged(new, "clusterIP") && unchanged(new, "clusterIPs") {
            new.unset(&["spec", "clusterIP"]);
            new.unset(&["spec", "clusterIPs"]);
        }
        drop_same(new, &["ipFamilies", "ipFamilyPolicy"]);
    }
    if has_node_ports(old)
        && !has_node_ports(new)
        && node_ports(old).is_superset(&node_ports(new))
        && let Some(spec) = new.get_mut("spec")
    {
        each(spec, "ports", |port| drop(port.unset(&["nodePort"])));
    }
    if needs_health_check(old) && !needs_health_check(new) {
        drop_same(new, &["healthCheckNodePort"]);
    }
    if type_of(old) == "LoadBalancer" && type_of(new) != "LoadBalancer" {
        drop_same(new, &["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    if externally_accessible(old) && !externally_accessible(new) {
        drop_same(new, &["externalTrafficPolicy"]);
    }
    if type_of(new) == "ExternalName" {
        new.unset(&["spec", "internalTrafficPolicy"]);
    }
    if type_of(new) != "LoadBalancer" {
        new.set(&["status"], tree!({"loadBalancer": {}}));
    }
}

fn fill_affinity(spec: &mut Value) {
    default_zero(spec, "sessionAffinity", "None");
    match spec.str_at(&["sessionAffinity"]) {
        "None" => drop(spec.unset(&["sessionAffinityConfig"])),
        "ClientIP" if spec.i64_at(&["sessionAffinityConfig", "clientIP", "timeoutSeconds"]).is_none() => {
            spec.set(&["sessionAffinityConfig"], tree!({"clientIP": {"timeoutSeconds": STICKY_SECS}}));
        }
        _ => {}
    }
}

impl Kind for Service {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        obj.make_map(&["spec"]);
        let accessible = {
            let Some(spec) = obj.get_mut("spec") else { return };
            fill_affinity(spec);
            default_zero(spec, "type", "ClusterIP");
            each(spec, "ports", |port| {
                default_zero(port, "protocol", "TCP");
                let number = port.i64_at(&["port"]).unwrap_or_default();
                default_zero(port, "targetPort", number);
            });
            externally_accessible(obj)
        };
        let kind = type_of(obj).to_owned();
        let Some(spec) = obj.get_mut("spec") else { return };
        if accessible {
            default_zero(spec, "externalTrafficPolicy", "Cluster");
        }
        if matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
            default_nil(spec, "internalTrafficPolicy", "Cluster");
        }
        if kind != "LoadBalancer" {
            return;
        }
        default_nil(spec, "allocateLoadBalancerNodePorts", true);
        if let Some(balancer) = obj.at_mut(&["status", "loadBalancer"]) {
            each(balancer, "ingress", |ingress| {
                if !ingress.str_at(&["ip"]).is_empty() {
                    default_nil(ingress, "ipMode", "VIP");
                }
            });
        }
    }

    fn prepare_create(&self, obj: &mut Value, _cx: &Cx<'_>) {
        obj.set(&["status"], tree!({"loadBalancer": {}}));
        sync_cluster_ips(obj, None);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_field(new, old, "status");
        patch_allocated(new, old);
        sync_cluster_ips(new, Some(old));
        drop_type_dependent(new, old);
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        service_validation::validate(obj, None)
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = service_validation::validate_change(new, old);
        faults.extend(service_validation::validate(new, Some(old)));
        faults
    }

    fn validate_lens(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        service_validation::validate_status(new, old)
    }

    fn warn(&self, new: &Value, _old: Option<&Value>, cx: &Cx<'_>) -> Vec<String> {
        let spec = Path::new("spec");
        let mut out = Vec::new();
        if cx.subresource == "status" {
            let path = Path::new("status").child("loadBalancer").child("ingress");
            let ingress = new.list_at(&["status", "loadBalancer", "ingress"]).iter().enumerate();
            return ingress.flat_map(|(i, v)| ip_warnings(v.str_at(&["ip"]), &path.index(i))).collect();
        }
        if new.at(&["metadata", "annotations", HINTS]).is_some() {
            out.push(format!("annotation {HINTS} is deprecated, please use {TOPOLOGY_MODE} instead"));
        }
        let text = |field: &str| new.str_at(&["spec", field]);
        let texts = |field: &str| new.list_at(&["spec", field]).iter().filter_map(Value::as_str).enumerate();
        let headless = type_of(new) == "ClusterIP" && text("clusterIP") == "None";
        out.extend(
            texts("clusterIPs").flat_map(|(i, ip)| ip_warnings(ip, &spec.child("clusterIPs").index(i))),
        );
        let external = texts("externalIPs").count() > 0;
        let ignored = [
            (!text("loadBalancerIP").is_empty(), "spec.loadBalancerIP is ignored for headless services"),
            (external, "spec.externalIPs is ignored for headless services"),
            (text("sessionAffinity") != "None", "spec.SessionAffinity is ignored for headless services"),
        ];
        out.extend(
            ignored.iter().filter(|(given, _)| headless && *given).map(|(_, text)| (*text).to_owned()),
        );
        out.extend(
            texts("externalIPs").flat_map(|(i, ip)| ip_warnings(ip, &spec.child("externalIPs").index(i))),
        );
        if external && !headless && type_of(new) != "ExternalName" {
            out.push(
                "spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned(),
            );
        }
        out.extend(ip_warnings(text("loadBalancerIP"), &spec.child("loadBalancerIP")));
        if type_of(new) == "ExternalName" && external {
            out.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
        }
        if type_of(new) != "ExternalName" && !text("externalName").is_empty() {
            out.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
        }
        if text("trafficDistribution") == "PreferClose" {
            out.push(
                "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".to_owned(),
            );
        }
        out
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name(),
            Column::field("Type", "string", SPEC, "type"),
            Column::field("Cluster-IP", "string", SPEC, "clusterIP"),
            Column::field("External-IP", "string", SPEC, "externalIPs"),
            Column::field("Port(s)", "string", SPEC, "ports"),
            Column::age(),
            Column::field("Selector", "string", SPEC, "selector").wide(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let first = obj.list_at(&["spec", "clusterIPs"]).first().and_then(Value::as_str).unwrap_or_default();
        vec![
            print::name(obj),
            type_of(obj).into(),
            print::or_else(first, "<none>").into(),
            external_ip(obj).into(),
            print::or_else(&ports_text(obj), "<none>").into(),
            print::age(obj, now),
            print::labels(obj.map_at(&["spec", "selector"])).into(),
        ]
    }

    fn fields(&self, obj: &Value) -> Vec<(&'static str, String)> {
        vec![
            ("spec.clusterIP", obj.str_at(&["spec", "clusterIP"]).to_owned()),
            ("spec.type", type_of(obj).to_owned()),
        ]
    }

    fn claims(&self, _new: &Value, _old: Option<&Value>) -> Vec<Claim> {
        vec![Claim::Service]
    }
}

fn external_ip(service: &Value) -> String {
    let texts = |field: &str| -> Vec<&str> {
        service.list_at(&["spec", field]).iter().filter_map(Value::as_str).collect()
    };
    match type_of(service) {
        "ClusterIP" | "NodePort" => print::or_else(&texts("externalIPs").join(","), "<none>"),
        "LoadBalancer" => {
            let ingress = service.list_at(&["status", "loadBalancer", "ingress"]).iter();
            let shown = ingress.map(|i| match i.str_at(&["ip"]) {
                "" => i.str_at(&["hostname"]),
                ip => ip,
            });
            let balanced: BTreeSet<&str> = shown.filter(|s| !s.is_empty()).collect();
            let all: Vec<&str> = balanced.into_iter().chain(texts("externalIPs")).collect();
            print::or_else(&all.join(","), "<pending>")
        }
        "ExternalName" => service.str_at(&["spec", "externalName"]).to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

fn ports_text(service: &Value) -> String {
    let text = |port: &Value| {
        let (number, protocol) = (port.i64_at(&["port"]).unwrap_or_default(), port.str_at(&["protocol"]));
        match set(port, "nodePort").and_then(Value::as_i64).filter(|n| *n > 0) {
            Some(node_port) => format!("{number}:{node_port}/{protocol}"),
            None => format!("{number}/{protocol}"),
        }
    };
    service.list_at(&["spec", "ports"]).iter().map(text).collect::<Vec<String>>().join(",")
}

/// Fills `ipFamilyPolicy` and `ipFamilies` in, as for a cluster with IPv4 alone, before addresses are claimed.
/// Faults end the request at once, before all other checks.
pub fn init_families(new: &mut Value, old: Option<&Value>) -> Vec<Fault> {
    service_families::init(new, old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cx, texts};

    fn made(spec: Value) -> (Value, Vec<String>) {
        let mut service = tree!({"metadata": {"name": "s"}, "spec": spec});
        let kind = Service::new();
        kind.fill(&mut service, "v1");
        kind.prepare_create(&mut service, &cx(""));
        let mut faults = init_families(&mut service, None);
        if faults.is_empty() {
            faults = kind.validate(&service, &cx(""));
        }
        (service, texts(&faults))
    }

    #[test]
    fn a_plain_service_gets_its_defaults() {
        let (service, faults) = made(tree!({"ports": [{"port": 80}]}));
        assert_eq!(faults, Vec::<String>::new());
        let want = tree!({
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}], "sessionAffinity": "None",
            "type": "ClusterIP", "internalTrafficPolicy": "Cluster", "ipFamilyPolicy": "SingleStack",
            "ipFamilies": ["IPv4"],
        });
        assert_eq!(service.get("spec"), Some(&want));
    }

    #[test]
    fn headless_services_without_selector_have_both_families() {
        let (service, faults) =
            made(tree!({"clusterIP": "None", "ipFamilies": ["IPv6"], "ports": [{"port": 80}]}));
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(service.at(&["spec", "ipFamilies"]), Some(&tree!(["IPv6", "IPv4"])));
        assert_eq!(service.str_at(&["spec", "ipFamilyPolicy"]), "RequireDualStack");
        let (selecting, _) = made(tree!({"clusterIP": "None", "selector": {"a": "b"}}));
        assert_eq!(selecting.at(&["spec", "ipFamilies"]), Some(&tree!(["IPv4"])));
    }

    #[test]
    fn addresses_and_families_are_judged_first() {
        let (_, faults) = made(tree!({"clusterIPs": ["10.96.99.98", "10.96.99.97"], "ports": []}));
        let shown = "[\"10.96.99.98\",\"10.96.99.97\"]";
        assert_eq!(
            faults,
            [
                format!(
                    "spec.clusterIPs: Invalid value: {shown}: must be empty when `clusterIP` is not specified"
                ),
                format!(
                    "spec.clusterIPs: Invalid value: {shown}: may specify no more than one IP for each IP family"
                ),
            ]
        );
    }

    #[test]
    fn ports_are_named_and_unique() {
        let (_, faults) = made(tree!({"ports": [{"port": 80}, {"port": 80}]}));
        assert_eq!(
            faults,
            [
                "spec.ports[0].name: Required value",
                "spec.ports[1].name: Required value",
                "spec.ports[1]: Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\
                 \"Port\":80,\"TargetPort\":0,\"NodePort\":0}",
            ]
        );
    }

    #[test]
    fn what_the_server_gave_stays_and_goes_with_the_type() {
        let kind = Service::new();
        let old = tree!({"spec": {"type": "NodePort", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"],
            "externalTrafficPolicy": "Cluster", "ports": [{"port": 80, "nodePort": 30001}]}});
        let mut same_type = tree!({"spec": {"type": "NodePort", "ports": [{"port": 80}]}});
        kind.prepare_update(&mut same_type, &old, &cx(""));
        assert_eq!(same_type.list_at(&["spec", "ports"])[0].i64_at(&["nodePort"]), Some(30001));
        assert_eq!(same_type.str_at(&["spec", "clusterIP"]), "10.96.0.9");
        let mut cluster_ip = old.clone();
        cluster_ip.set(&["spec", "type"], "ClusterIP");
        kind.prepare_update(&mut cluster_ip, &old, &cx(""));
        assert_eq!(cluster_ip.list_at(&["spec", "ports"])[0], tree!({"port": 80}));
        assert_eq!(cluster_ip.at(&["spec", "externalTrafficPolicy"]), None);
    }
}
