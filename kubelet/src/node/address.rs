//! The address of the node: as told, or that from which it reaches the world.

use crate::Settings;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// Nobody answers there and nothing is sent: only the route to it is asked for.
const ELSEWHERE: [&str; 2] = ["203.0.113.1:9", "[2001:db8::1]:9"];

/// The address that the settings tell; else that of the default route; else any of the machine; else the loopback's.
pub fn address(settings: &Settings) -> IpAddr {
    settings
        .node_ip
        .or_else(|| ELSEWHERE.iter().find_map(|place| towards(place)))
        .or_else(|| first_local(&std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default()))
        .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn towards(place: &str) -> Option<IpAddr> {
    let any = if place.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(place).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// The first address of the kernel's table that is the machine's own and not the loopback's.
fn first_local(fib_trie: &str) -> Option<IpAddr> {
    let mut last = None;
    for line in fib_trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = last.filter(|address| !address.is_loopback())
        {
            return Some(address.into());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_address_is_found_without_a_default_route() {
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.1.0.0\n        /24 link UNICAST\n     |-- 127.0.0.1\n        \
                     /32 host LOCAL\n     |-- 10.1.0.7\n        /32 host LOCAL\n     |-- 10.1.0.255\n        /32 link BROADCAST\n";
        assert_eq!(first_local(table), Some("10.1.0.7".parse().unwrap()));
        assert_eq!(first_local(""), None);
    }
}
