//! The names of drivers (CSI, devices): a subdomain in any case, of at most 63 bytes.

use api::{Fault, Path, names};

const MAX_LENGTH: usize = 63;

/// Faults of the name of a driver.
pub fn name_faults(name: &str, at: &Path) -> Vec<Fault> {
    if name.is_empty() {
        return vec![Fault::required(at, "")];
    }
    let mut faults = Vec::new();
    if name.len() > MAX_LENGTH {
        faults.push(Fault::too_long(at, MAX_LENGTH));
    }
    let texts = names::is_dns1123_subdomain(&name.to_lowercase());
    faults.extend(texts.into_iter().map(|text| Fault::invalid(at, name, text)));
    faults
}
