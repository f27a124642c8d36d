//! Addresses and networks that are legal but should be written otherwise, and addresses that endpoints may not have.
//! Source: apimachinery `util/validation/ip.go`.

use crate::validation::{parse_cidr_sloppy, parse_ip_sloppy};
use api::{Fault, Path, quote};
use std::net::{IpAddr, Ipv6Addr};

/// Warnings about an address that validation let pass.
pub fn ip_warnings(text: &str, at: &Path) -> Vec<String> {
    let Some(ip) = parse_ip_sloppy(text) else { return Vec::new() };
    let (quoted, canonical) = (quote(text), quote(&ip.to_string()));
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => Vec::new(),
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() && v6.to_string() == text => Vec::new(),
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => {
            vec![format!("{at}: IPv6 address {quoted} should be in RFC 5952 canonical format ({canonical})")]
        }
        _ => vec![format!("{at}: non-standard IP address {quoted} is invalid: use {canonical}")],
    }
}

/// Warnings about a network that validation let pass.
pub fn cidr_warnings(text: &str, at: &Path) -> Vec<String> {
    let Some((ip, bits)) = parse_cidr_sloppy(text) else { return Vec::new() };
    let network = format!("{}/{bits}", network_address(ip, bits));
    let mut warnings = Vec::new();
    let quoted = quote(text);
    if network_address(ip, bits) != ip {
        let single = format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 });
        warnings.push(format!(
            "{at}: CIDR value {quoted} is ambiguous in this context (should be {} or {}?)",
            quote(&network),
            quote(&single)
        ));
    }
    let address = text.split('/').next().unwrap_or_default();
    let strict = address.parse::<IpAddr>().ok();
    match strict {
        Some(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => {
            if warnings.is_empty() && network != text {
                let canonical = quote(&network);
                warnings.push(format!(
                    "{at}: IPv6 CIDR value {quoted} should be in RFC 5952 canonical format ({canonical})"
                ));
            }
        }
        Some(IpAddr::V4(_)) if !text.split('/').nth(1).unwrap_or_default().starts_with('0') || bits == 0 => {}
        _ => warnings
            .push(format!("{at}: non-standard CIDR value {quoted} is invalid: use {}", quote(&network))),
    }
    warnings
}

/// The address with the bits beyond the prefix cleared.
pub fn network_address(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits.into())).unwrap_or_default();
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits.into())).unwrap_or_default();
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

/// Addresses that no endpoint may have: loopback, link-local and the like.
pub fn endpoint_faults(ip: IpAddr, text: &str, at: &Path) -> Vec<Fault> {
    let link_local_v6 = |v6: Ipv6Addr| v6.segments()[0] & 0xffc0 == 0xfe80;
    let link_local_multicast_v6 = |v6: Ipv6Addr| v6.segments()[0] & 0xff0f == 0xff02;
    let (link_local, multicast) = match ip {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (link_local_v6(v6), link_local_multicast_v6(v6)),
    };
    let mut faults = Vec::new();
    if ip.is_unspecified() {
        faults.push(Fault::invalid(at, text, format!("may not be unspecified ({text})")));
    }
    if ip.is_loopback() {
        let detail = "may not be in the loopback range (127.0.0.0/8, ::1/128)";
        faults.push(Fault::invalid(at, text, detail));
    }
    if link_local {
        let detail = "may not be in the link-local range (169.254.0.0/16, fe80::/10)";
        faults.push(Fault::invalid(at, text, detail));
    }
    if multicast {
        let detail = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
        faults.push(Fault::invalid(at, text, detail));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_are_warned_about() {
        let at = Path::new("ip");
        assert!(ip_warnings("fe80::1", &at).is_empty());
        assert_eq!(
            ip_warnings("FE80::1", &at),
            ["ip: IPv6 address \"FE80::1\" should be in RFC 5952 canonical format (\"fe80::1\")"]
        );
        assert_eq!(
            ip_warnings("010.0.0.1", &at),
            ["ip: non-standard IP address \"010.0.0.1\" is invalid: use \"10.0.0.1\""]
        );
        assert_eq!(
            cidr_warnings("10.0.0.1/8", &at),
            [
                "ip: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \"10.0.0.0/8\" or \"10.0.0.1/32\"?)"
            ]
        );
        assert!(cidr_warnings("10.0.0.0/8", &at).is_empty());
    }

    #[test]
    fn endpoints_may_not_be_local() {
        let ip: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(
            endpoint_faults(ip, "127.0.0.1", &Path::new("a"))[0].to_string(),
            "a: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)"
        );
    }
}
