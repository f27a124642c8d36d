//! The network of pods: where the runtime has no configuration of one, ours is written, with the addresses that the
//! node got. A bridge, addresses handed out on the node, and ports of the host, by the reference plugins.
//!
//! A bridge and the addresses given on it belong to the machine, not to a cluster: both are named by the ranges of
//! addresses, and kept where the plugins keep them for all. So nodes of the same addresses, also one after another,
//! never give one twice, and a node that gets other addresses gets another bridge.

use super::state::Layout;
use api::{Value, json, tree};
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};

const FILE: &str = "10-pintle.conflist";
/// What names of networks and their bridges begin with.
pub const PREFIX: &str = "pintle-";
/// For nodes that get no addresses of their own.
const FALLBACK: &str = "10.244.0.0/24";
/// `loopback` is asked for by the runtime itself.
const PLUGINS: [&str; 4] = ["bridge", "host-local", "portmap", "loopback"];
/// Where distributions have plugins.
const USUAL: [&str; 3] = ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"];

/// Writes our configuration where there is none, or where ours is an old one. True when something was written.
/// `addresses` are the node's `podCIDRs`.
///
/// # Errors
/// When the folder cannot be written.
pub fn configure(layout: &Layout, addresses: &[String]) -> io::Result<bool> {
    let Some(folder) = &layout.networks else { return Ok(false) };
    if !is_ours(folder) {
        return Ok(false);
    }
    let text = json::to_pretty(&configuration(addresses));
    let file = folder.join(FILE);
    if std::fs::read(&file).is_ok_and(|old| old == text) {
        return Ok(false);
    }
    std::fs::create_dir_all(folder)?;
    let whole = folder.join(".10-pintle.new");
    std::fs::write(&whole, text)?;
    std::fs::rename(whole, file)?;
    Ok(true)
}

/// True when the folder has no configuration but, perhaps, ours.
pub fn is_ours(folder: &Path) -> bool {
    let is_configuration = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("conf" | "conflist" | "json"))
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(is_configuration).all(|path| path.ends_with(FILE))
}

/// What stands in the way of our network: plugins that the runtime will not find, and where they are instead.
pub fn missing(layout: &Layout) -> Option<String> {
    let folder = layout.networks.as_ref()?;
    if !is_ours(folder) || layout.plugins.is_empty() {
        return None;
    }
    let has = |folder: &Path| PLUGINS.iter().all(|plugin| folder.join(plugin).is_file());
    let lacks = |plugin: &&&str| !layout.plugins.iter().any(|folder| folder.join(plugin).is_file());
    let missing: Vec<&str> = PLUGINS.iter().filter(lacks).copied().collect();
    if missing.is_empty() {
        return None;
    }
    let looked: Vec<String> = layout.plugins.iter().map(|folder| folder.display().to_string()).collect();
    let found = USUAL.iter().find(|usual| has(Path::new(usual)));
    let hint = found.map_or(String::new(), |usual| format!(" (they are in {usual})"));
    let missing = missing.join(", ");
    Some(format!(
        "container runtime network not ready: no CNI plugin {missing} in {}{hint}",
        looked.join(", ")
    ))
}

/// `pintle-` and eight digits: no name of an interface may be longer.
fn name(addresses: &[String]) -> String {
    let digest = Sha256::digest(addresses.join(","));
    digest.iter().take(4).fold(PREFIX.to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

fn configuration(addresses: &[String]) -> Value {
    let fallback = [FALLBACK.to_owned()];
    let addresses = if addresses.is_empty() { &fallback } else { addresses };
    let ranges = addresses.iter().map(|subnet| tree!([{"subnet": (subnet.clone())}])).collect();
    let route = |subnet: &String| {
        let everywhere = if subnet.contains(':') { "::/0" } else { "0.0.0.0/0" };
        tree!({"dst": everywhere})
    };
    let routes = addresses.iter().map(route).collect();
    let name = name(addresses);
    tree!({
        "cniVersion": "1.0.0", "name": (name.clone()),
        "plugins": [
            {
                "type": "bridge", "bridge": name, "isGateway": true, "ipMasq": true, "hairpinMode": true,
                "ipam": {
                    "type": "host-local", "ranges": (Value::List(ranges)), "routes": (Value::List(routes))
                }
            },
            {"type": "portmap", "capabilities": {"portMappings": true}}
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("network-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn our_configuration_follows_the_nodes_addresses() {
        let folder = folder("own");
        let layout = Layout { networks: Some(folder.clone()), ..Layout::default() };
        let subnet = |text: &str| vec![text.to_owned()];
        assert!(configure(&layout, &subnet("10.244.3.0/24")).unwrap());
        assert!(!configure(&layout, &subnet("10.244.3.0/24")).unwrap());
        assert!(configure(&layout, &subnet("10.244.4.0/24")).unwrap());
        let text = std::fs::read(folder.join(FILE)).unwrap();
        let written = json::parse(&text).unwrap();
        let ipam = written.list_at(&["plugins"])[0].get("ipam").unwrap();
        let range = ipam.list_at(&["ranges"])[0].as_list().unwrap();
        assert_eq!(range[0].str_at(&["subnet"]), "10.244.4.0/24");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn each_range_of_addresses_has_a_bridge_of_its_own() {
        let of = |ranges: &[&str]| {
            configuration(&ranges.iter().map(|range| (*range).to_owned()).collect::<Vec<_>>())
        };
        let bridge =
            |configuration: &Value| configuration.list_at(&["plugins"])[0].str_at(&["bridge"]).to_owned();
        let (one, two) = (of(&["10.244.3.0/24"]), of(&["10.244.3.0/24", "fd00:3::/64"]));
        assert_eq!(bridge(&one), bridge(&of(&["10.244.3.0/24"])));
        assert_ne!(bridge(&one), bridge(&of(&["10.244.4.0/24"])));
        assert_ne!(bridge(&one), bridge(&two));
        assert_eq!(bridge(&of(&[])), bridge(&of(&[FALLBACK])));
        assert!(bridge(&two).starts_with(PREFIX) && bridge(&two).len() == 15);
        // Addresses are shared by whoever has the bridge.
        assert_eq!(one.str_at(&["name"]), bridge(&one));
        assert!(one.list_at(&["plugins"])[0].at(&["ipam", "dataDir"]).is_none());
    }

    #[test]
    fn what_others_configured_is_left_alone() {
        let folder = folder("others");
        std::fs::write(folder.join("05-calico.conflist"), "{}").unwrap();
        let layout =
            Layout { networks: Some(folder.clone()), plugins: vec![folder.clone()], ..Layout::default() };
        assert!(!configure(&layout, &[]).unwrap());
        assert_eq!(missing(&layout), None);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn missing_plugins_are_named() {
        let folder = folder("plugins");
        for plugin in ["bridge", "portmap", "loopback"] {
            std::fs::write(folder.join(plugin), "").unwrap();
        }
        let layout =
            Layout { networks: Some(folder.clone()), plugins: vec![folder.clone()], ..Layout::default() };
        let said = missing(&layout).unwrap();
        let start =
            format!("container runtime network not ready: no CNI plugin host-local in {}", folder.display());
        assert!(said.starts_with(&start), "{said}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
