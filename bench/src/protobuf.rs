//! The few protobuf bytes that the lease workload writes and reads, as a kubelet's client does: field numbers are those
//! of the published API.

/// A lease of 300 bytes or so as a protobuf body with its envelope.
pub fn lease(name: &str, namespace: &str, resource_version: &str, renewed: (u64, u32)) -> Vec<u8> {
    let mut meta = Vec::new();
    bytes(&mut meta, 1, name.as_bytes());
    bytes(&mut meta, 3, namespace.as_bytes());
    if !resource_version.is_empty() {
        bytes(&mut meta, 6, resource_version.as_bytes());
    }
    let mut time = Vec::new();
    varint(&mut time, 1 << 3);
    varint(&mut time, renewed.0);
    varint(&mut time, 2 << 3);
    varint(&mut time, u64::from(renewed.1));
    let mut spec = Vec::new();
    bytes(&mut spec, 1, name.as_bytes());
    varint(&mut spec, 2 << 3);
    varint(&mut spec, 40);
    bytes(&mut spec, 4, &time);
    let mut lease = Vec::new();
    bytes(&mut lease, 1, &meta);
    bytes(&mut lease, 2, &spec);
    let mut kind = Vec::new();
    bytes(&mut kind, 1, b"coordination.k8s.io/v1");
    bytes(&mut kind, 2, b"Lease");
    let mut body = b"k8s\0".to_vec();
    bytes(&mut body, 1, &kind);
    bytes(&mut body, 2, &lease);
    body
}

/// The resource version of any object in its envelope.
pub fn resource_version(body: &[u8]) -> Option<&str> {
    let object = field(body.strip_prefix(b"k8s\0")?, 2)?;
    std::str::from_utf8(field(field(object, 1)?, 6)?).ok()
}

fn varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

fn bytes(into: &mut Vec<u8>, number: u64, value: &[u8]) {
    varint(into, number << 3 | 2);
    varint(into, value.len() as u64);
    into.extend_from_slice(value);
}

/// The first length-delimited field of a number.
fn field(mut message: &[u8], wanted: u64) -> Option<&[u8]> {
    loop {
        let tag = read(&mut message)?;
        let length = match tag & 7 {
            0 => {
                read(&mut message)?;
                continue;
            }
            2 => usize::try_from(read(&mut message)?).ok()?,
            1 => 8,
            5 => 4,
            _ => return None,
        };
        let (value, rest) = message.split_at_checked(length)?;
        if tag == wanted << 3 | 2 {
            return Some(value);
        }
        message = rest;
    }
}

fn read(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_version_is_found_where_it_was_put() {
        let body = lease("node-7", "bench", "123456", (1_800_000_000, 42_000));
        assert_eq!(resource_version(&body), Some("123456"));
        assert_eq!(resource_version(&lease("a", "b", "", (0, 0))), None);
        assert_eq!(resource_version(b"k8s\0\x12\x7f"), None);
    }
}
