//! What groups have used: CPU time, memory, processes.

use super::hierarchy::Hierarchy;
use std::path::Path;

/// What cannot be read is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time since the group was made, in nanoseconds.
    pub cpu_nanos: Option<u64>,
    pub memory: Option<Memory>,
    /// Processes and threads.
    pub processes: Option<u64>,
}

/// Bytes, and page faults since the group was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub usage: u64,
    /// Usage without what of files could be dropped at once.
    pub working_set: u64,
    pub rss: u64,
    pub page_faults: u64,
    pub major_page_faults: u64,
    /// Nothing when there is no limit.
    pub limit: Option<u64>,
    pub swap: u64,
}

/// From here on a limit of the first version is none: the highest page boundary is its "unlimited".
const UNLIMITED: u64 = 1 << 62;

pub fn read(hierarchy: &Hierarchy, group: &str) -> Usage {
    let of_machine = group.trim_matches('/').is_empty();
    let folder = |controller: &str| hierarchy.folder(controller, group);
    let (cpu, memory) = match hierarchy.version() {
        2 => (folder("cpu").and_then(|f| cpu_unified(&f)), folder("memory").and_then(|f| memory_unified(&f))),
        _ => (
            folder("cpuacct").and_then(|f| number(&f, "cpuacct.usage")),
            folder("memory").and_then(|f| memory(&f)),
        ),
    };
    Usage {
        cpu_nanos: cpu,
        // The root of the second version has no such files, and that of the first does not know all.
        memory: if of_machine { memory_of_machine(&meminfo(), memory.as_ref()) } else { memory },
        processes: if of_machine {
            processes_of_machine()
        } else {
            folder("pids").and_then(|f| number(&f, "pids.current"))
        },
    }
}

/// The memory of this machine in bytes.
pub fn memory_capacity() -> i64 {
    i64::try_from(field(&meminfo(), "MemTotal:").unwrap_or(0)).unwrap_or(i64::MAX)
}

fn meminfo() -> String {
    std::fs::read_to_string("/proc/meminfo").unwrap_or_default()
}

/// A line of `/proc/meminfo` in bytes.
fn field(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilo| kilo << 10)
}

fn memory_of_machine(meminfo: &str, of_root: Option<&Memory>) -> Option<Memory> {
    let usage = field(meminfo, "MemTotal:")?.saturating_sub(field(meminfo, "MemFree:")?);
    let inactive = field(meminfo, "Inactive(file):").unwrap_or(0);
    let swap =
        field(meminfo, "SwapTotal:").unwrap_or(0).saturating_sub(field(meminfo, "SwapFree:").unwrap_or(0));
    Some(Memory {
        usage,
        working_set: usage.saturating_sub(inactive),
        rss: field(meminfo, "AnonPages:").unwrap_or(0),
        page_faults: of_root.map_or(0, |root| root.page_faults),
        major_page_faults: of_root.map_or(0, |root| root.major_page_faults),
        limit: None,
        swap,
    })
}

/// Tasks of the machine, out of `/proc/loadavg`: `0.1 0.2 0.3 1/234 5678`.
fn processes_of_machine() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().nth(3)?.split('/').nth(1)?.parse().ok()
}

fn text(folder: &Path, file: &str) -> Option<String> {
    std::fs::read_to_string(folder.join(file)).ok()
}

fn number(folder: &Path, file: &str) -> Option<u64> {
    text(folder, file)?.trim().parse().ok()
}

/// A line `name 123` of a file of many.
fn line(stat: &str, name: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

fn cpu_unified(folder: &Path) -> Option<u64> {
    line(&text(folder, "cpu.stat")?, "usage_usec").map(|micros| micros * 1000)
}

fn memory_unified(folder: &Path) -> Option<Memory> {
    let stat = text(folder, "memory.stat")?;
    let usage = number(folder, "memory.current").unwrap_or(0);
    Some(from_stat(&stat, ["inactive_file", "anon", "pgfault", "pgmajfault"], usage)).map(|memory| Memory {
        limit: number(folder, "memory.max"),
        swap: number(folder, "memory.swap.current").unwrap_or(0),
        ..memory
    })
}

fn memory(folder: &Path) -> Option<Memory> {
    let stat = text(folder, "memory.stat")?;
    let usage = number(folder, "memory.usage_in_bytes")?;
    let names = ["total_inactive_file", "total_rss", "total_pgfault", "total_pgmajfault"];
    Some(Memory {
        limit: number(folder, "memory.limit_in_bytes").filter(|limit| *limit < UNLIMITED),
        swap: line(&stat, "total_swap").unwrap_or(0),
        ..from_stat(&stat, names, usage)
    })
}

fn from_stat(stat: &str, [inactive, rss, faults, major]: [&str; 4], usage: u64) -> Memory {
    let value = |name| line(stat, name).unwrap_or(0);
    Memory {
        usage,
        working_set: usage.saturating_sub(value(inactive)),
        rss: value(rss),
        page_faults: value(faults),
        major_page_faults: value(major),
        ..Memory::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_working_set_leaves_out_what_of_files_can_be_dropped() {
        let stat = "cache 9\ntotal_rss 100\ntotal_inactive_file 30\ntotal_pgfault 7\ntotal_pgmajfault 2\n";
        let names = ["total_inactive_file", "total_rss", "total_pgfault", "total_pgmajfault"];
        let memory = from_stat(stat, names, 150);
        assert_eq!((memory.usage, memory.working_set, memory.rss), (150, 120, 100));
        assert_eq!((memory.page_faults, memory.major_page_faults), (7, 2));
    }

    #[test]
    fn the_machines_memory_is_what_is_not_free() {
        let meminfo = "MemTotal: 1000 kB\nMemFree: 300 kB\nInactive(file): 200 kB\nAnonPages: 50 kB\n";
        let memory = memory_of_machine(meminfo, None).unwrap();
        assert_eq!((memory.usage, memory.working_set, memory.rss), (700 << 10, 500 << 10, 50 << 10));
    }

    #[test]
    fn this_machine_has_memory_and_processes() {
        assert!(memory_capacity() > 0);
        assert!(processes_of_machine().is_some_and(|count| count > 0));
    }
}
