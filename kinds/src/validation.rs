//! Generic validators: rules that many kinds share, with upstream's exact texts.
//! Each answers with faults, none when all is well. Source: apimachinery `api/validation`, `util/validation`.

use api::{Fault, Path, Value, names, selector};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const IMMUTABLE: &str = "field is immutable";
pub const NOT_NEGATIVE: &str = "must be greater than or equal to 0";
pub const POSITIVE: &str = "must be greater than 0";
/// As the core group words it.
pub const ABOVE_ZERO: &str = "must be greater than zero";

/// One fault for each text about a value.
pub fn texts(path: &Path, value: &str, texts: Vec<String>) -> Vec<Fault> {
    texts.into_iter().map(|text| Fault::invalid(path, value, text)).collect()
}

/// The value must be a DNS label.
pub fn dns_label(value: &str, path: &Path) -> Vec<Fault> {
    texts(path, value, names::is_dns1123_label(value))
}

/// The value must be a DNS subdomain.
pub fn dns_subdomain(value: &str, path: &Path) -> Vec<Fault> {
    texts(path, value, names::is_dns1123_subdomain(value))
}

/// The value must be a key as labels have them.
pub fn qualified_name(value: &str, path: &Path) -> Vec<Fault> {
    texts(path, value, names::is_qualified_name(value))
}

/// A field that must not change: both values, as they stand in new and old (`None`: missing).
pub fn immutable(new: Option<&Value>, old: Option<&Value>, path: &Path) -> Vec<Fault> {
    if same(new, old) {
        return Vec::new();
    }
    vec![Fault::invalid(path, new.cloned().unwrap_or_default(), IMMUTABLE)]
}

/// Equality as upstream's semantic equality has it: missing, null and empty lists and maps are the same.
pub fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    fn present(v: Option<&Value>) -> Option<&Value> {
        v.filter(|v| match v {
            Value::Null => false,
            Value::List(l) => !l.is_empty(),
            Value::Map(m) => !m.is_empty(),
            _ => true,
        })
    }
    match (present(a), present(b)) {
        (None, None) => true,
        (Some(Value::Map(x)), Some(Value::Map(y))) => {
            // Each entry once: twice would be as many times as 2 to the power of the depth.
            x.iter().all(|(k, v)| same(Some(v), y.get(k)))
                && y.iter().all(|(k, v)| x.contains_key(k) || same(None, Some(v)))
        }
        (Some(Value::List(x)), Some(Value::List(y))) => {
            x.len() == y.len() && x.iter().zip(y).all(|(i, j)| same(Some(i), Some(j)))
        }
        (Some(x), Some(y)) => x == y,
        _ => false,
    }
}

/// A number that must be 0 or more; missing is fine.
pub fn not_negative(value: Option<i64>, path: &Path) -> Vec<Fault> {
    value.filter(|v| *v < 0).map(|v| Fault::invalid(path, v, NOT_NEGATIVE)).into_iter().collect()
}

/// A number that must be 1 or more; missing is fine.
pub fn positive(value: Option<i64>, path: &Path) -> Vec<Fault> {
    value.filter(|v| *v <= 0).map(|v| Fault::invalid(path, v, POSITIVE)).into_iter().collect()
}

/// As [`positive`], in the words of the core group.
pub fn above_zero(value: Option<i64>, path: &Path) -> Vec<Fault> {
    value.filter(|v| *v <= 0).map(|v| Fault::invalid(path, v, ABOVE_ZERO)).into_iter().collect()
}

/// One of a set of texts; `allowed` is printed in the order given.
pub fn one_of(value: &str, allowed: &[&str], path: &Path) -> Vec<Fault> {
    if allowed.contains(&value) { Vec::new() } else { vec![Fault::not_supported(path, value, allowed)] }
}

/// A text that must not be empty.
pub fn required(value: &str, path: &Path) -> Vec<Fault> {
    if value.is_empty() { vec![Fault::required(path, "")] } else { Vec::new() }
}

/// A `meta/v1 LabelSelector`; missing is fine.
pub fn label_selector(value: Option<&Value>, path: &Path) -> Vec<Fault> {
    value.map(|v| selector::label_selector_faults(v, false, path)).unwrap_or_default()
}

/// True when a `meta/v1 LabelSelector` has no requirement.
pub fn label_selector_is_empty(value: Option<&Value>) -> bool {
    value.is_none_or(|v| {
        v.map_at(&["matchLabels"]).is_none_or(|m| m.is_empty()) && v.list_at(&["matchExpressions"]).is_empty()
    })
}

/// A port's number, 1 to 65535.
pub fn port_number(port: i64, path: &Path) -> Vec<Fault> {
    names::is_port_number(port).into_iter().map(|text| Fault::invalid(path, port, text)).collect()
}

/// A port's number or name (IntOrString).
pub fn port_number_or_name(port: &Value, path: &Path) -> Vec<Fault> {
    match port {
        Value::Str(name) => texts(path, name, names::is_port_name(name)),
        other => port_number(other.as_i64().unwrap_or_default(), path),
    }
}

/// An IntOrString that is a number of at least 0 or a percentage.
pub fn not_negative_int_or_percent(value: &Value, path: &Path) -> Vec<Fault> {
    match value {
        Value::Str(text) => texts(path, text, names::is_percent(text)),
        other => not_negative(other.as_i64(), path),
    }
}

/// An IntOrString that is a percentage must not be more than 100.
pub fn at_most_100_percent(value: &Value, path: &Path) -> Vec<Fault> {
    match percent(value) {
        Some(percent) if percent > 100 => {
            vec![Fault::invalid(path, value.clone(), "must not be greater than 100%")]
        }
        _ => Vec::new(),
    }
}

/// The number of a well-formed percentage.
pub fn percent(value: &Value) -> Option<i64> {
    let digits = value.as_str()?.strip_suffix('%')?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// An address as older fields take it: IPv6 need not be canonical, leading zeros and IPv4-mapped are refused.
pub fn ip_legacy(value: &str, path: &Path) -> Vec<Fault> {
    match parse_ip_sloppy(value) {
        None => {
            let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            vec![Fault::invalid(path, value, detail)]
        }
        Some(_) if value.parse::<IpAddr>().is_err() => {
            vec![Fault::invalid(path, value, "must not have leading 0s")]
        }
        Some(_) if is_mapped(value) => {
            vec![Fault::invalid(path, value, "must not be an IPv4-mapped IPv6 address")]
        }
        Some(_) => Vec::new(),
    }
}

/// An address in canonical form.
pub fn ip(value: &str, path: &Path) -> Vec<Fault> {
    let faults = ip_legacy(value, path);
    match parse_ip_sloppy(value) {
        Some(ip) if faults.is_empty() && ip.to_string() != value => {
            let detail = format!("must be in canonical form ({})", api::quote(&ip.to_string()));
            vec![Fault::invalid(path, value, detail)]
        }
        _ => faults,
    }
}

/// A network as older fields take it: `10.0.0.0/8` without bits beyond the prefix, IPv6 need not be canonical.
pub fn cidr_legacy(value: &str, path: &Path) -> Vec<Fault> {
    let Some((ip, bits)) = parse_cidr_sloppy(value) else {
        let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
        return vec![Fault::invalid(path, value, detail)];
    };
    let (address, length) = value.split_once('/').unwrap_or_default();
    let zeros = address.parse::<IpAddr>().is_err() || (length.len() > 1 && length.starts_with('0'));
    let detail = if zeros {
        "must not have leading 0s in IP or prefix length"
    } else if is_mapped(address) {
        "must not have an IPv4-mapped IPv6 address"
    } else if masked(ip, bits) != ip {
        "must not have bits set beyond the prefix length"
    } else {
        return Vec::new();
    };
    vec![Fault::invalid(path, value, detail)]
}

/// A network in canonical form.
pub fn cidr(value: &str, path: &Path) -> Vec<Fault> {
    let faults = cidr_legacy(value, path);
    match parse_cidr_sloppy(value) {
        Some((ip, bits)) if faults.is_empty() && format!("{ip}/{bits}") != value => {
            let detail = format!("must be in canonical form ({})", api::quote(&format!("{ip}/{bits}")));
            vec![Fault::invalid(path, value, detail)]
        }
        _ => faults,
    }
}

/// Parses an address as Go's older parser: leading zeros are accepted in IPv4, IPv4-mapped becomes IPv4.
pub fn parse_ip_sloppy(value: &str) -> Option<IpAddr> {
    if value.contains(':') {
        let ip: Ipv6Addr = value.parse().ok()?;
        return Some(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4));
    }
    let octets: Vec<u8> = value.split('.').map(decimal_octet).collect::<Option<_>>()?;
    let octets: [u8; 4] = octets.try_into().ok()?;
    Some(IpAddr::V4(Ipv4Addr::from(octets)))
}

fn decimal_octet(text: &str) -> Option<u8> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse::<u8>().ok())?
}

/// Parses `ADDRESS/BITS` as Go's older parser.
pub fn parse_cidr_sloppy(value: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = value.split_once('/')?;
    let ip = parse_ip_sloppy(address)?;
    let bits = decimal_octet(length)?;
    let max = if address.contains(':') { 128 } else { 32 };
    (bits <= max).then_some((ip, bits))
}

fn is_mapped(value: &str) -> bool {
    value.parse::<Ipv6Addr>().is_ok_and(|ip| ip.to_ipv4_mapped().is_some())
}

/// The network's address: bits beyond the prefix cleared.
fn masked(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits.into())).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(ip) & mask))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits.into())).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(ip) & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn first(faults: Vec<Fault>) -> String {
        faults.first().map(Fault::body).unwrap_or_default()
    }

    #[test]
    fn addresses_are_refused_in_upstreams_words() {
        let at = Path::new("ip");
        assert_eq!(
            first(ip_legacy("x", &at)),
            "Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        );
        assert_eq!(
            first(ip_legacy("010.0.0.1", &at)),
            "Invalid value: \"010.0.0.1\": must not have leading 0s"
        );
        assert!(ip_legacy("FE80::1", &at).is_empty());
        assert_eq!(
            first(ip("FE80::1", &at)),
            "Invalid value: \"FE80::1\": must be in canonical form (\"fe80::1\")"
        );
        assert!(first(ip("::ffff:1.2.3.4", &at)).ends_with("must not be an IPv4-mapped IPv6 address"));
    }

    #[test]
    fn networks_may_not_have_bits_beyond_their_prefix() {
        let at = Path::new("cidr");
        assert!(cidr("10.0.0.0/8", &at).is_empty());
        assert!(cidr("0.0.0.0/0", &at).is_empty());
        assert!(first(cidr("10.0.0.1/8", &at)).ends_with("must not have bits set beyond the prefix length"));
        assert!(first(cidr("10.0.0.0", &at)).contains("must be a valid CIDR value"));
    }

    #[test]
    fn empty_and_missing_are_the_same_to_immutable_fields() {
        let at = Path::new("spec.x");
        assert!(immutable(Some(&tree!({})), None, &at).is_empty());
        assert!(immutable(Some(&tree!({"a": {}})), Some(&tree!({"a": null})), &at).is_empty());
        assert_eq!(
            first(immutable(Some(&1.into()), Some(&2.into()), &at)),
            "Invalid value: 1: field is immutable"
        );
    }

    #[test]
    fn int_or_percent_takes_both() {
        let at = Path::new("p");
        assert!(not_negative_int_or_percent(&"10%".into(), &at).is_empty());
        assert!(!not_negative_int_or_percent(&"10".into(), &at).is_empty());
        assert!(!not_negative_int_or_percent(&(-1).into(), &at).is_empty());
        assert_eq!(
            first(at_most_100_percent(&"101%".into(), &at)),
            "Invalid value: \"101%\": must not be greater than 100%"
        );
    }

    #[test]
    fn what_is_deep_is_compared_in_one_go() {
        let deep = |leaf: Value| (0..200).fold(leaf, |inner, _| tree!({"a": inner, "b": {}}));
        assert!(same(Some(&deep(tree!({"x": 1, "y": []}))), Some(&deep(tree!({"x": 1})))));
        assert!(!same(Some(&deep(tree!({"x": 1}))), Some(&deep(tree!({"x": 1, "z": 2})))));
    }
}
