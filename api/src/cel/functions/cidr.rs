//! Networks: `10.0.0.0/8`.

use super::{Library, ip};
use crate::cel::eval::Outcome;
use crate::cel::{Cel, CelError};
use std::fmt;
use std::net::IpAddr;

pub const LIBRARY: Library = Library {
    functions: &["cidr", "isCIDR"],
    methods: &["containsIP", "containsCIDR", "ip", "prefixLength", "masked"],
    call,
};

/// An address and the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    ip: IpAddr,
    bits: u32,
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.bits)
    }
}

/// An address as 128 bits, the highest first.
fn bits_of(ip: &IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn mask(bits: u32) -> u128 {
    u128::MAX.checked_shl(128u32.saturating_sub(bits)).unwrap_or(0)
}

impl Cidr {
    fn contains(&self, ip: &IpAddr) -> bool {
        self.ip.is_ipv4() == ip.is_ipv4() && (bits_of(&self.ip) ^ bits_of(ip)) & mask(self.bits) == 0
    }

    fn masked(&self) -> Cidr {
        let bits = bits_of(&self.ip) & mask(self.bits);
        let ip = match self.ip {
            IpAddr::V4(_) => {
                IpAddr::V4(std::net::Ipv4Addr::from_bits(u32::try_from(bits >> 96).unwrap_or(0)))
            }
            IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::from_bits(bits)),
        };
        Cidr { ip, bits: self.bits }
    }
}

fn parse(text: &str) -> Result<Cidr, CelError> {
    let quoted = crate::quote(text);
    let wrong = |why: &str| {
        let twice = "network address parse error during conversion from string: ".repeat(2);
        CelError::new(format!("{twice}netip.ParsePrefix({quoted}): {why}"))
    };
    let (address, length) = text.rsplit_once('/').ok_or_else(|| wrong("no '/'"))?;
    let Ok(ip) = address.parse::<IpAddr>() else {
        return Err(wrong(&format!("ParseAddr({}): unable to parse IP", crate::quote(address))));
    };
    if matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        return Err(CelError::new(format!(
            "network address parse error during conversion from string: IPv4-mapped IPv6 address {quoted} is not allowed"
        )));
    }
    let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
    let plain = digits && (length == "0" || !length.starts_with('0'));
    let most = if ip.is_ipv4() { 32 } else { 128 };
    match length.parse::<u32>().ok().filter(|_| plain) {
        Some(bits) if bits <= most => Ok(Cidr { ip, bits }),
        Some(_) => Err(wrong("prefix length out of range")),
        None => Err(wrong(&format!("bad bits after slash: {}", crate::quote(length)))),
    }
}

fn call<'a>(name: &str, args: &[Cel<'a>]) -> Option<Outcome<'a>> {
    Some(match (name, args) {
        ("cidr", [Cel::Str(text)]) => parse(text).map(Cel::Cidr),
        ("isCIDR", [Cel::Str(text)]) => Ok(Cel::Bool(parse(text).is_ok())),
        ("containsIP", [Cel::Cidr(net), Cel::Ip(ip)]) => Ok(Cel::Bool(net.contains(ip))),
        ("containsIP", [Cel::Cidr(net), Cel::Str(text)]) => {
            // Upstream does not say what is wrong with the address.
            ip::parse(text).map(|ip| Cel::Bool(net.contains(&ip))).map_err(|_| CelError::overload())
        }
        ("containsCIDR", [Cel::Cidr(net), Cel::Cidr(part)]) => {
            Ok(Cel::Bool(net.bits <= part.bits && net.contains(&part.ip)))
        }
        ("containsCIDR", [Cel::Cidr(net), Cel::Str(text)]) => {
            parse(text).map(|part| Cel::Bool(net.bits <= part.bits && net.contains(&part.ip)))
        }
        ("ip", [Cel::Cidr(net)]) => Ok(Cel::Ip(net.ip)),
        ("prefixLength", [Cel::Cidr(net)]) => Ok(Cel::Int(net.bits.into())),
        ("masked", [Cel::Cidr(net)]) => Ok(Cel::Cidr(net.masked())),
        _ => return None,
    })
}
