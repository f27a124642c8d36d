//! What classes of storage and of volume attributes share: the driver's name and its parameters.

use crate::validation;
use api::{Fault, Path, Value};

const MAX_ENTRIES: usize = 512;
const MAX_BYTES: usize = 256 * 1024;

/// Faults of the name of a provisioner or driver.
pub fn provisioner_faults(name: &str, at: &Path) -> Vec<Fault> {
    if name.is_empty() {
        return vec![Fault::required(at, "")];
    }
    validation::qualified_name(&name.to_lowercase(), at)
}

/// Faults of `parameters`.
pub fn faults(obj: &Value, may_be_empty: bool) -> Vec<Fault> {
    let at = Path::new("parameters");
    let entries = obj.map_at(&["parameters"]);
    let len = entries.map_or(0, |m| m.len());
    if len > MAX_ENTRIES {
        return vec![Fault::too_long(at, MAX_ENTRIES)];
    }
    let mut faults = Vec::new();
    let mut bytes = 0;
    for (key, value) in entries.into_iter().flat_map(|m| m.iter()) {
        if key.is_empty() {
            faults.push(Fault::invalid(&at, "", "field can not be empty."));
        }
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > MAX_BYTES {
        faults.push(Fault::too_long(&at, MAX_BYTES));
    }
    if len == 0 && !may_be_empty {
        faults.push(Fault::required(at, "must contain at least one key/value pair"));
    }
    faults
}
