//! Node ports: each allocated port is a key of its own in a space that only this server uses, written together with
//! the Service. Its value says whose it is.
//!
//! Ports that nobody chose come from the upper part of the range. Source: upstream's
//! `pkg/registry/core/service/portallocator` and `storage/alloc.go`.

use super::Claims;
use crate::call::Call;
use api::{Fault, Path, Status, Value};
use std::ops::RangeInclusive;
use store::{Key, Space};

const RANGE: RangeInclusive<i64> = 30000..=32767;
/// How many ports at the start are left for those that somebody chooses: a 32nd of the range.
const RESERVED: i64 = 86;
const SPACE: &str = "/registry/pintle/nodeports/";
/// A dry run hands out numbers from here on, which no node port has.
const DRY_RUN_START: i64 = 32769;

/// A Service all of whose ports have node ports.
pub fn wants_all(service: &Value) -> bool {
    match service.str_at(&["spec", "type"]) {
        "NodePort" => true,
        "LoadBalancer" => {
            service.at(&["spec", "allocateLoadBalancerNodePorts"]).and_then(Value::as_bool).unwrap_or(true)
        }
        _ => false,
    }
}

/// A Service that may have node ports.
fn has_ports(service: &Value) -> bool {
    matches!(service.str_at(&["spec", "type"]), "NodePort" | "LoadBalancer")
}

/// A Service whose nodes answer health checks on a port.
pub fn wants_health_check(service: &Value) -> bool {
    service.str_at(&["spec", "type"]) == "LoadBalancer"
        && service.str_at(&["spec", "externalTrafficPolicy"]) == "Local"
}

fn node_port(port: &Value) -> i64 {
    port.i64_at(&["nodePort"]).unwrap_or(0)
}

/// The node ports of a Service, without those that are not set.
fn node_ports(service: &Value) -> Vec<i64> {
    service.list_at(&["spec", "ports"]).iter().map(node_port).filter(|p| *p != 0).collect()
}

fn health_check(service: &Value) -> i64 {
    service.i64_at(&["spec", "healthCheckNodePort"]).unwrap_or(0)
}

fn set_node_port(service: &mut Value, at: usize, number: i64) {
    let port =
        service.at_mut(&["spec", "ports"]).and_then(Value::as_list_mut).and_then(|ports| ports.get_mut(at));
    if let Some(port) = port {
        port.set(&["nodePort"], number);
    }
}

/// Ports of an update that name no node port keep the one that the port of the same name had.
pub fn keep(new: &mut Value, old: &Value) {
    let (before, after) = (node_ports(old), node_ports(new));
    let used: Vec<i64> = before.into_iter().filter(|p| after.contains(p)).collect();
    for i in 0..new.list_at(&["spec", "ports"]).len() {
        let port = &new.list_at(&["spec", "ports"])[i];
        let name = port.str_at(&["name"]);
        let same_name = old.list_at(&["spec", "ports"]).iter().rfind(|p| p.str_at(&["name"]) == name);
        let known = same_name.map_or(0, node_port);
        if node_port(port) == 0 && known != 0 && !used.contains(&known) {
            set_node_port(new, i, known);
        }
    }
}

/// Why a port cannot be had.
enum Refusal {
    OutOfRange,
    Allocated,
    Full,
    Store(Status),
}

impl Refusal {
    fn text(self) -> Result<String, Status> {
        Ok(match self {
            Refusal::OutOfRange => {
                let (first, last) = (RANGE.start(), RANGE.end());
                format!("provided port is not in the valid range. The range of valid ports is {first}-{last}")
            }
            Refusal::Allocated => "provided port is already allocated".to_owned(),
            Refusal::Full => "range is full".to_owned(),
            Refusal::Store(status) => return Err(status),
        })
    }
}

/// The ports that one change of a Service takes and gives back.
pub struct Ports<'a> {
    call: &'a Call,
    dry_run: bool,
    taken: Vec<i64>,
    given_back: Vec<i64>,
}

impl<'a> Ports<'a> {
    pub fn new(call: &'a Call, dry_run: bool) -> Self {
        Ports { call, dry_run, taken: Vec::new(), given_back: Vec::new() }
    }

    /// Adds what was taken and given back to a transaction.
    pub fn join(self, service: &Value, claims: &mut Claims) {
        if self.dry_run {
            return;
        }
        let owner = format!("{}/{}", service.str_at(&["metadata", "namespace"]), Call::name_of(service));
        for port in &self.taken {
            claims.take(key(*port), owner.clone().into());
        }
        for port in &self.given_back {
            claims.give_back(key(*port));
        }
    }

    /// The ports of a new Service. Ports of one number (for several protocols) share their node port.
    pub async fn claim(&mut self, service: &mut Value) -> Result<(), Status> {
        if has_ports(service) {
            self.claim_all(service).await?;
        }
        if wants_health_check(service) {
            self.claim_health_check(service).await?;
        }
        Ok(())
    }

    async fn claim_all(&mut self, service: &mut Value) -> Result<(), Status> {
        let mut shared: Vec<(i64, i64)> = Vec::new();
        let ports = service.list_at(&["spec", "ports"]).to_vec();
        for (i, port) in ports.iter().enumerate() {
            let (number, asked) = (port.i64_at(&["port"]).unwrap_or(0), node_port(port));
            if asked == 0 && !wants_all(service) {
                continue;
            }
            match shared.iter().find(|(n, _)| *n == number).map(|(_, node)| *node) {
                None => {
                    let same = ports.iter().filter(|p| p.i64_at(&["port"]).unwrap_or(0) == number);
                    let requested = same.map(node_port).find(|p| *p != 0);
                    let node = self.one(service, i, requested.unwrap_or(0)).await?;
                    set_node_port(service, i, node);
                    shared.push((number, node));
                }
                Some(node) if asked == 0 => set_node_port(service, i, node),
                Some(node) if asked != node => {
                    self.one(service, i, asked).await?;
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The port asked for, or any when it is 0.
    async fn one(&mut self, service: &Value, at: usize, asked: i64) -> Result<i64, Status> {
        if asked == 0 {
            return match self.any().await {
                Ok(port) => Ok(port),
                Err(refusal) => {
                    Err(Status::internal(format!("failed to allocate a nodePort: {}", refusal.text()?)))
                }
            };
        }
        match self.take(asked).await {
            Ok(()) => Ok(asked),
            Err(refusal) => {
                let at = Path::new("spec").child("ports").index(at).child("nodePort");
                Err(super::service::invalid(service, &[Fault::invalid(at, asked, refusal.text()?)]))
            }
        }
    }

    async fn claim_health_check(&mut self, service: &mut Value) -> Result<(), Status> {
        let asked = health_check(service);
        if asked == 0 {
            let port = match self.any().await {
                Ok(port) => port,
                Err(refusal) => {
                    let why = refusal.text()?;
                    return Err(Status::internal(format!(
                        "failed to allocate a HealthCheck NodePort 0: {why}"
                    )));
                }
            };
            service.set(&["spec", "healthCheckNodePort"], port);
            return Ok(());
        }
        match self.take(asked).await {
            Ok(()) => Ok(()),
            Err(refusal) => {
                let why = refusal.text()?;
                Err(Status::internal(format!(
                    "failed to allocate requested HealthCheck NodePort {asked}: {why}"
                )))
            }
        }
    }

    /// What a change of a Service does to its ports.
    pub async fn change(&mut self, new: &mut Value, old: &Value) -> Result<(), Status> {
        if has_ports(new) {
            self.change_all(new, old).await?;
        } else if has_ports(old) {
            self.given_back.extend(node_ports(old));
        }
        match (wants_health_check(old), wants_health_check(new)) {
            (false, true) => self.claim_health_check(new).await,
            (true, false) => {
                self.given_back.extend(Some(health_check(old)).filter(|p| *p != 0));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn change_all(&mut self, new: &mut Value, old: &Value) -> Result<(), Status> {
        let before = node_ports(old);
        let mut seen: Vec<(String, i64)> = Vec::new();
        for i in 0..new.list_at(&["spec", "ports"]).len() {
            let port = &new.list_at(&["spec", "ports"])[i];
            let (asked, protocol) = (node_port(port), port.str_at(&["protocol"]).to_owned());
            if asked == 0 && !wants_all(new) {
                continue;
            }
            let mut node = asked;
            if asked == 0 || (!before.contains(&asked) && !self.taken.contains(&asked)) {
                node = self.one(new, i, asked).await?;
                set_node_port(new, i, node);
            }
            if seen.contains(&(protocol.clone(), node)) {
                return Err(Status::unclassified(format!("duplicate nodePort: {{{protocol} {node}}}")));
            }
            seen.push((protocol, node));
        }
        let after = node_ports(new);
        self.given_back.extend(before.into_iter().filter(|p| !after.contains(p)));
        Ok(())
    }

    /// All ports of a Service that goes.
    pub fn release(&mut self, service: &Value) {
        self.given_back.extend(node_ports(service));
        if wants_health_check(service) {
            self.given_back.extend(Some(health_check(service)).filter(|p| *p != 0));
        }
    }

    async fn take(&mut self, port: i64) -> Result<(), Refusal> {
        if !self.dry_run && !RANGE.contains(&port) {
            return Err(Refusal::OutOfRange);
        }
        if self.taken.contains(&port) || (RANGE.contains(&port) && self.is_allocated(port).await?) {
            return Err(Refusal::Allocated);
        }
        self.taken.push(port);
        Ok(())
    }

    async fn any(&mut self) -> Result<i64, Refusal> {
        if self.dry_run {
            let port = self.taken.iter().max().map_or(DRY_RUN_START, |last| last + 1);
            self.taken.push(port);
            return Ok(port);
        }
        let middle = RANGE.start() + RESERVED;
        for (start, end) in [(middle, *RANGE.end()), (*RANGE.start(), middle - 1)] {
            let len = end - start + 1;
            let turn = i64::try_from(self.call.server.ids.below(len.unsigned_abs())).unwrap_or(0);
            for port in (start + turn..=end).chain(start..start + turn) {
                if !self.taken.contains(&port) && !self.is_allocated(port).await? {
                    self.taken.push(port);
                    return Ok(port);
                }
            }
        }
        Err(Refusal::Full)
    }

    async fn is_allocated(&self, port: i64) -> Result<bool, Refusal> {
        let found = self.call.server.store.get(&key(port)).await;
        found.map(|found| found.is_some()).map_err(|e| Refusal::Store(crate::edit::store_failure(&e)))
    }
}

fn key(port: i64) -> Key {
    Key::new(&Space::new(SPACE), port.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn ports_keep_their_node_port_by_name() {
        let old =
            tree!({"spec": {"ports": [{"name": "a", "nodePort": 30100}, {"name": "b", "nodePort": 30200}]}});
        let mut new =
            tree!({"spec": {"ports": [{"name": "b"}, {"name": "a"}, {"name": "c", "nodePort": 30100}]}});
        keep(&mut new, &old);
        let ports: Vec<i64> = new.list_at(&["spec", "ports"]).iter().map(node_port).collect();
        assert_eq!(ports, [30200, 0, 30100]);
    }

    #[test]
    fn only_local_load_balancers_check_health() {
        let local = tree!({"spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}});
        assert!(wants_health_check(&local) && wants_all(&local));
        assert!(!wants_health_check(
            &tree!({"spec": {"type": "NodePort", "externalTrafficPolicy": "Local"}})
        ));
        let spared = tree!({"spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false}});
        assert!(!wants_all(&spared) && has_ports(&spared));
    }
}
