//! The names a server certificate is for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// DNS names and addresses under which clients reach the API server. Sorted, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerNames {
    pub dns: Vec<String>,
    pub ips: Vec<IpAddr>,
}

/// The names by which pods know the API server.
const CLUSTER_NAMES: [&str; 4] =
    ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];

impl ServerNames {
    /// The names of a server that listens on `listen` on this machine; `service_ip` is the address of the
    /// `kubernetes` Service. Listening on every address adds the one that other machines would use.
    pub fn for_listener(listen: SocketAddr, service_ip: IpAddr) -> Self {
        let mut dns: Vec<String> = CLUSTER_NAMES.iter().map(ToString::to_string).collect();
        dns.push("localhost".to_owned());
        dns.extend(hostname());
        let mut ips = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into(), service_ip];
        if listen.ip().is_unspecified() {
            ips.extend(outward_address());
        } else {
            ips.push(listen.ip());
        }
        ServerNames::new(dns, ips)
    }

    /// Sorts and removes doubles.
    pub fn new(mut dns: Vec<String>, mut ips: Vec<IpAddr>) -> Self {
        dns.sort();
        dns.dedup();
        ips.sort();
        ips.dedup();
        ServerNames { dns, ips }
    }

    /// Whether a certificate for these names serves for `wanted` too.
    pub fn cover(&self, wanted: &ServerNames) -> bool {
        wanted.dns.iter().all(|name| self.dns.contains(name))
            && wanted.ips.iter().all(|ip| self.ips.contains(ip))
    }
}

/// This machine's name, if it is one that a certificate can carry.
fn hostname() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim().to_ascii_lowercase();
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    (plain && !name.is_empty() && name.len() <= 253).then_some(name)
}

/// The address this machine would use towards others. Connecting a datagram socket chooses it and sends nothing.
fn outward_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_has_the_cluster_names_and_its_address_once() {
        let names = ServerNames::for_listener(([127, 0, 0, 1], 6443).into(), IpAddr::from([10, 96, 0, 1]));
        for name in CLUSTER_NAMES.iter().chain(&["localhost"]) {
            assert!(names.dns.iter().any(|n| n == name), "{name}");
        }
        let loopback = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(names.ips.iter().filter(|ip| **ip == loopback).count(), 1);
        assert!(names.ips.contains(&IpAddr::from([10, 96, 0, 1])));
    }

    #[test]
    fn names_cover_their_parts_and_nothing_else() {
        let of = |dns: &[&str]| ServerNames::new(dns.iter().map(ToString::to_string).collect(), Vec::new());
        assert!(of(&["a", "b"]).cover(&of(&["b"])));
        assert!(!of(&["a"]).cover(&of(&["a", "b"])));
    }
}
