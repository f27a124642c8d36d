//! The variables that tell a container where services are: `NAME_SERVICE_HOST`, `NAME_SERVICE_PORT` and those of
//! links.

use api::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The services that a pod is told of: those of its namespace where it wants them, and always the API server.
pub fn of(services: &[Arc<Value>], namespace: &str, links: bool) -> BTreeMap<String, String> {
    let mut chosen: BTreeMap<&str, &Value> = BTreeMap::new();
    for service in services {
        let (name, ns) = (service.str_at(&["metadata", "name"]), service.str_at(&["metadata", "namespace"]));
        let ip = service.str_at(&["spec", "clusterIP"]);
        if ip.is_empty() || ip == "None" {
            continue;
        }
        if ns == "default" && name == "kubernetes" {
            chosen.entry(name).or_insert(service);
        } else if ns == namespace && links {
            chosen.insert(name, service);
        }
    }
    chosen.into_values().flat_map(variables).collect()
}

fn variables(service: &Value) -> Vec<(String, String)> {
    let prefix = upper(service.str_at(&["metadata", "name"]));
    let ip = service.str_at(&["spec", "clusterIP"]);
    let mut all = vec![(format!("{prefix}_SERVICE_HOST"), ip.to_owned())];
    for (index, port) in service.list_at(&["spec", "ports"]).iter().enumerate() {
        let number = port.i64_at(&["port"]).unwrap_or(0).to_string();
        if index == 0 {
            all.push((format!("{prefix}_SERVICE_PORT"), number.clone()));
        }
        let name = port.str_at(&["name"]);
        if !name.is_empty() {
            all.push((format!("{prefix}_SERVICE_PORT_{}", upper(name)), number));
        }
    }
    all.extend(links(service, &prefix, ip));
    all
}

fn links(service: &Value, prefix: &str, ip: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (index, port) in service.list_at(&["spec", "ports"]).iter().enumerate() {
        let number = port.i64_at(&["port"]).unwrap_or(0);
        let protocol = match port.str_at(&["protocol"]) {
            "" => "TCP",
            protocol => protocol,
        };
        let lower = protocol.to_lowercase();
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
        let url = format!("{lower}://{host}:{number}");
        if index == 0 {
            all.push((format!("{prefix}_PORT"), url.clone()));
        }
        let own = format!("{prefix}_PORT_{number}_{}", protocol.to_uppercase());
        all.push((format!("{own}_PROTO"), lower));
        all.push((format!("{own}_PORT"), number.to_string()));
        all.push((format!("{own}_ADDR"), ip.to_owned()));
        all.push((own, url));
    }
    all
}

fn upper(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn service(namespace: &str, name: &str, ip: &str) -> Arc<Value> {
        Arc::new(
            tree!({"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": ip, "ports": [
            {"name": "web-a", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]}}),
        )
    }

    #[test]
    fn a_service_has_its_address_its_ports_and_its_links() {
        let env = of(&[service("n", "my-db", "10.0.0.1")], "n", true);
        for (name, value) in [
            ("MY_DB_SERVICE_HOST", "10.0.0.1"),
            ("MY_DB_SERVICE_PORT", "80"),
            ("MY_DB_SERVICE_PORT_WEB_A", "80"),
            ("MY_DB_SERVICE_PORT_DNS", "53"),
            ("MY_DB_PORT", "tcp://10.0.0.1:80"),
            ("MY_DB_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("MY_DB_PORT_80_TCP_PROTO", "tcp"),
            ("MY_DB_PORT_80_TCP_PORT", "80"),
            ("MY_DB_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("MY_DB_PORT_53_UDP", "udp://10.0.0.1:53"),
            ("MY_DB_PORT_53_UDP_PROTO", "udp"),
        ] {
            assert_eq!(env.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert_eq!(env.len(), 13);
    }

    #[test]
    fn the_api_server_is_always_told_and_others_only_in_their_namespace_and_with_links() {
        let all = [
            service("default", "kubernetes", "10.96.0.1"),
            service("n", "a", "10.0.0.1"),
            service("m", "b", "10.0.0.2"),
            service("n", "headless", "None"),
        ];
        let hosts = |links| {
            of(&all, "n", links).into_keys().filter(|k| k.ends_with("_SERVICE_HOST")).collect::<Vec<_>>()
        };
        assert_eq!(hosts(true), ["A_SERVICE_HOST", "KUBERNETES_SERVICE_HOST"]);
        assert_eq!(hosts(false), ["KUBERNETES_SERVICE_HOST"]);
    }
}
