//! Addresses that nobody has any more. The plugin `host-local` keeps a file for each address it gave, until the sandbox
//! is taken down in order. A machine that lost its power, or a runtime whose state is gone, never does that; some day no
//! address would be left.
//!
//! What became of a sandbox is told by the runtime's record of its network (`results`, see CNI's libcni), which names
//! the network namespace: while that is there, the address is in use, whosever it is.

use api::json;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Where `host-local` keeps addresses, a folder for each network; and libcni its records. All nodes of a machine share
/// them, as they share its bridges.
const LEASES: &str = "/var/lib/cni/networks";
const RECORDS: &str = "/var/lib/cni/results";
/// An address without a record is that of a sandbox that is just being made, but not for longer.
const UNRECORDED: Duration = Duration::from_secs(600);

/// Frees the addresses of lost sandboxes in networks whose names have a prefix.
pub fn sweep(prefix: &str) {
    for network in fs::read_dir(LEASES).into_iter().flatten().flatten() {
        let name = network.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(prefix)) else { continue };
        match free(&network.path(), name, Path::new(RECORDS)) {
            Ok(0) => {}
            Ok(freed) => tracing::info!(freed, name, "addresses of lost sandboxes are free again"),
            Err(why) => tracing::warn!(%why, name, "addresses of lost sandboxes are not freed"),
        }
    }
}

/// How many were freed.
fn free(network: &Path, name: &str, records: &Path) -> io::Result<usize> {
    let mut freed = 0;
    for entry in fs::read_dir(network)?.flatten() {
        // Beside addresses there are a lock and the address given last.
        if entry.file_name().to_str().is_none_or(|name| name.parse::<std::net::IpAddr>().is_err()) {
            continue;
        }
        let Ok(text) = fs::read_to_string(entry.path()) else { continue };
        let mut lines = text.lines().map(str::trim);
        let (id, interface) = (lines.next().unwrap_or_default(), lines.next().unwrap_or("eth0"));
        let record = records.join(format!("{name}-{id}-{interface}"));
        let is_lost = match fs::read(record) {
            Ok(record) => !has_namespace(&record),
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                let since = entry.metadata().and_then(|metadata| metadata.modified());
                since.ok().and_then(|since| since.elapsed().ok()).is_some_and(|age| age > UNRECORDED)
            }
            Err(why) => return Err(why),
        };
        if is_lost {
            fs::remove_file(entry.path())?;
            freed += 1;
        }
    }
    Ok(freed)
}

/// True when a recorded network namespace is there, or the record cannot be read.
fn has_namespace(record: &[u8]) -> bool {
    let Ok(record) = json::parse(record) else { return true };
    let interfaces = record.list_at(&["result", "interfaces"]).iter();
    let mut sandboxes =
        interfaces.map(|interface| interface.str_at(&["sandbox"])).filter(|path| !path.is_empty());
    sandboxes.clone().next().is_none() || sandboxes.any(|path| Path::new(path).exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn addresses_are_free_again_when_their_namespace_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let (network, records) = (dir.path().join("net"), dir.path().join("results"));
        fs::create_dir_all(&network).unwrap();
        fs::create_dir_all(&records).unwrap();
        let lease =
            |address: &str, id: &str| fs::write(network.join(address), format!("{id}\r\neth0")).unwrap();
        let record = |id: &str, sandbox: &Path| {
            let text = format!(
                r#"{{"result": {{"interfaces": [{{"name": "br"}}, {{"name": "eth0", "sandbox": "{}"}}]}}}}"#,
                sandbox.display()
            );
            fs::write(records.join(format!("net-{id}-eth0")), text).unwrap();
        };
        lease("10.0.0.2", "live");
        record("live", dir.path());
        lease("10.0.0.3", "lost");
        record("lost", &dir.path().join("none"));
        lease("10.0.0.4", "new");
        lease("10.0.0.5", "old");
        let old = fs::File::options().write(true).open(network.join("10.0.0.5")).unwrap();
        old.set_modified(SystemTime::now() - UNRECORDED * 2).unwrap();
        fs::write(network.join("lock"), "").unwrap();
        fs::write(network.join("last_reserved_ip.0"), "10.0.0.5").unwrap();
        assert_eq!(free(&network, "net", &records).unwrap(), 2);
        let mut left: Vec<_> =
            fs::read_dir(&network).unwrap().flatten().map(|e| e.file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["10.0.0.2", "10.0.0.4", "last_reserved_ip.0", "lock"]);
    }
}
