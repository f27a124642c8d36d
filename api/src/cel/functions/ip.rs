//! IP addresses: without zones, and never IPv4 in the clothes of IPv6.

use super::Library;
use crate::cel::eval::Outcome;
use crate::cel::{Cel, CelError};
use std::net::IpAddr;

pub const LIBRARY: Library = Library {
    functions: &["ip", "isIP", "ip.isCanonical"],
    methods: &[
        "family",
        "isUnspecified",
        "isLoopback",
        "isLinkLocalMulticast",
        "isLinkLocalUnicast",
        "isGlobalUnicast",
    ],
    call,
};

/// An address, or why not in upstream's words.
pub fn parse(text: &str) -> Result<IpAddr, CelError> {
    let quoted = crate::quote(text);
    if let Some((_, zone)) = text.split_once('%')
        && !zone.is_empty()
    {
        return Err(CelError::new(format!("IP address {quoted} with zone value is not allowed")));
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => {
            Err(CelError::new(format!("IPv4-mapped IPv6 address {quoted} is not allowed")))
        }
        Ok(ip) => Ok(ip),
        Err(_) => Err(CelError::new(format!(
            "IP Address {quoted} parse error during conversion from string: ParseAddr({quoted}): unable to parse IP"
        ))),
    }
}

fn call<'a>(name: &str, args: &[Cel<'a>]) -> Option<Outcome<'a>> {
    let [of] = args else { return None };
    Some(match (name, of) {
        ("ip", Cel::Str(text)) => parse(text).map(Cel::Ip),
        ("isIP", Cel::Str(text)) => Ok(Cel::Bool(parse(text).is_ok())),
        ("ip.isCanonical", Cel::Str(text)) => {
            parse(text).map(|ip| Cel::Bool(ip.to_string() == text.as_str()))
        }
        ("family", Cel::Ip(ip)) => Ok(Cel::Int(if ip.is_ipv4() { 4 } else { 6 })),
        ("isUnspecified", Cel::Ip(ip)) => Ok(Cel::Bool(ip.is_unspecified())),
        ("isLoopback", Cel::Ip(ip)) => Ok(Cel::Bool(ip.is_loopback())),
        ("isLinkLocalMulticast", Cel::Ip(ip)) => Ok(Cel::Bool(link_local_multicast(ip))),
        ("isLinkLocalUnicast", Cel::Ip(ip)) => Ok(Cel::Bool(link_local_unicast(ip))),
        ("isGlobalUnicast", Cel::Ip(ip)) => Ok(Cel::Bool(global_unicast(ip))),
        _ => return None,
    })
}

fn link_local_multicast(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(v6) => v6.segments().first().is_some_and(|s| s & 0xff0f == 0xff02),
    }
}

fn link_local_unicast(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.segments().first().is_some_and(|s| s & 0xffc0 == 0xfe80),
    }
}

fn global_unicast(ip: &IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !broadcast && !ip.is_unspecified() && !ip.is_loopback() && !ip.is_multicast() && !link_local_unicast(ip)
}
