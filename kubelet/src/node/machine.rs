//! What the machine is: its ids, its system and what it has. Read once; none of it changes while we run.

use std::collections::BTreeMap;
use std::path::Path;

/// As `nodeInfo` and `capacity` of the node say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    pub machine_id: String,
    pub system_uuid: String,
    pub boot_id: String,
    pub kernel_version: String,
    pub os_image: String,
    pub cpus: i64,
    /// Bytes.
    pub memory: i64,
    pub swap: i64,
    /// Bytes of huge pages by the size of a page in bytes.
    pub huge_pages: BTreeMap<i64, i64>,
}

impl Machine {
    pub fn read() -> Self {
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Machine {
            machine_id: first_of(&["/etc/machine-id", "/var/lib/dbus/machine-id"]),
            system_uuid: first_of(&[
                "/sys/class/dmi/id/product_uuid",
                "/proc/device-tree/system-id",
                "/proc/device-tree/vm,uuid",
                "/etc/machine-id",
            ]),
            boot_id: first_of(&["/proc/sys/kernel/random/boot_id"]),
            kernel_version: rustix::system::uname().release().to_string_lossy().into_owned(),
            os_image: os_image(&first_text(&["/etc/os-release", "/usr/lib/os-release"])),
            cpus: i64::try_from(std::thread::available_parallelism().map_or(1, usize::from)).unwrap_or(1),
            memory: kilobytes(&meminfo, "MemTotal:"),
            swap: kilobytes(&meminfo, "SwapTotal:"),
            huge_pages: huge_pages(Path::new("/sys/kernel/mm/hugepages")),
        }
    }
}

/// The architecture of this machine as Go names it: `amd64`, `arm64`.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

fn first_text(files: &[&str]) -> String {
    files.iter().find_map(|file| std::fs::read_to_string(file).ok()).unwrap_or_default()
}

/// The first of some files that says something.
fn first_of(files: &[&str]) -> String {
    let texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
    texts
        .map(|text| text.trim_matches(['\0', '\n', ' ']).to_owned())
        .find(|text| !text.is_empty())
        .unwrap_or_default()
}

/// `PRETTY_NAME` of `os-release`.
fn os_image(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or("Linux", |name| name.trim().trim_matches(['"', '\''])).to_owned()
}

/// A line of `/proc/meminfo` in bytes.
fn kilobytes(meminfo: &str, name: &str) -> i64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<i64>().ok());
    number.map_or(0, |kilo| kilo << 10)
}

fn huge_pages(folder: &Path) -> BTreeMap<i64, i64> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let read = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        let kilo = name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<i64>().ok()?;
        let count = std::fs::read_to_string(entry.path().join("nr_hugepages")).ok()?;
        Some((kilo << 10, (kilo << 10) * count.trim().parse::<i64>().ok()?))
    };
    entries.filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known() {
        let machine = Machine::read();
        assert!(machine.cpus > 0 && machine.memory > 0);
        assert!(!machine.boot_id.is_empty() && !machine.kernel_version.is_empty());
    }

    #[test]
    fn the_systems_name_is_read_without_quotes() {
        assert_eq!(os_image("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"), "Debian GNU/Linux 12");
        assert_eq!(os_image(""), "Linux");
    }
}
