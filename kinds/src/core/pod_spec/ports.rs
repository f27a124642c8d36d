//! Checks of containers' ports. Source: `validateContainerPorts`, `AccumulateUniqueHostPorts`.

use crate::validation::{one_of, port_number, texts};
use api::{Fault, Path, Value, names};
use std::collections::BTreeSet;

/// `ports` of a container.
pub fn container(ports: &[Value], path: &Path) -> Vec<Fault> {
    let (mut faults, mut seen) = (Vec::new(), BTreeSet::new());
    for (i, port) in ports.iter().enumerate() {
        let at = path.index(i);
        let (name, protocol) = (port.str_at(&["name"]), port.str_at(&["protocol"]));
        let number = |field: &str| port.i64_at(&[field]).unwrap_or_default();
        if !name.is_empty() {
            let wrong = texts(&at.child("name"), name, names::is_port_name(name));
            if wrong.is_empty() && !seen.insert(name) {
                faults.push(Fault::duplicate(at.child("name"), name));
            }
            faults.extend(wrong);
        }
        if number("containerPort") == 0 {
            faults.push(Fault::required(at.child("containerPort"), ""));
        } else {
            faults.extend(port_number(number("containerPort"), &at.child("containerPort")));
        }
        if number("hostPort") != 0 {
            faults.extend(port_number(number("hostPort"), &at.child("hostPort")));
        }
        if protocol.is_empty() {
            faults.push(Fault::required(at.child("protocol"), ""));
        } else {
            faults.extend(one_of(protocol, &["SCTP", "TCP", "UDP"], &at.child("protocol")));
        }
    }
    faults
}

/// Two ports of the host that are the same. `containers`: places in the list at `path` and what stands there.
pub fn host_conflicts<'v>(containers: impl Iterator<Item = (usize, &'v Value)>, path: &Path) -> Vec<Fault> {
    let (mut faults, mut taken) = (Vec::new(), BTreeSet::new());
    for (i, container) in containers {
        for (j, port) in container.list_at(&["ports"]).iter().enumerate() {
            let number = port.i64_at(&["hostPort"]).unwrap_or_default();
            let claim = format!("{}/{}/{number}", port.str_at(&["protocol"]), port.str_at(&["hostIP"]));
            if number != 0 && !taken.insert(claim.clone()) {
                let at = path.index(i).child("ports").index(j);
                faults.push(Fault::duplicate(at.child("hostPort"), claim));
            }
        }
    }
    faults
}

/// With the host's network, ports of the host are the containers' own. Templates may leave them out (`in_pod` false).
pub fn host_network(spec: &Value, in_pod: bool, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !spec.bool_at(&["hostNetwork"]) {
        return faults;
    }
    for (i, container) in spec.list_at(&["containers"]).iter().enumerate() {
        for (j, port) in container.list_at(&["ports"]).iter().enumerate() {
            let number = |field: &str| port.i64_at(&[field]).unwrap_or_default();
            let host = number("hostPort");
            if (in_pod || host != 0) && host != number("containerPort") {
                let at = path.child("containers").index(i).child("ports").index(j).child("hostPort");
                let detail = "must match `containerPort` when `hostNetwork` is true";
                faults.push(Fault::invalid(at, host, detail));
            }
        }
    }
    faults
}
