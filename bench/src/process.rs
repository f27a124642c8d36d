//! What a server's processes cost, read from `/proc`.

use anyhow::{Context, Result};

/// Clock ticks a second in `/proc/PID/stat`: the same on every Linux.
const TICKS: u64 = 100;

/// The processes that make up one server.
#[derive(Clone)]
pub struct Processes(Vec<u32>);

impl Processes {
    /// Reads a comma-separated list of process ids; an empty one measures nothing.
    ///
    /// # Errors
    /// When a part is not a number.
    pub fn parse(list: &str) -> Result<Self> {
        let pids = list.split(',').map(str::trim).filter(|pid| !pid.is_empty());
        let pids = pids.map(|pid| pid.parse().with_context(|| format!("no process id: {pid}")));
        Ok(Self(pids.collect::<Result<_>>()?))
    }

    /// CPU time of all threads so far, in microseconds; none without process ids.
    ///
    /// # Errors
    /// When a process is gone.
    pub fn cpu_us(&self) -> Result<Option<u64>> {
        let mut ticks = 0;
        for pid in &self.0 {
            let path = format!("/proc/{pid}/stat");
            let stat = std::fs::read_to_string(&path).with_context(|| format!("process {pid} is gone"))?;
            ticks += ticks_of(&stat).with_context(|| format!("{path} has no CPU time"))?;
        }
        Ok((!self.0.is_empty()).then_some(ticks * 1_000_000 / TICKS))
    }

    /// Resident memory, in KiB; none without process ids.
    ///
    /// # Errors
    /// When a process is gone.
    pub fn rss_kib(&self) -> Result<Option<u64>> {
        let mut total = 0;
        for pid in &self.0 {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
            let status = status.with_context(|| format!("process {pid} is gone"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
            total += kib.with_context(|| format!("process {pid} has no VmRSS"))?;
        }
        Ok((!self.0.is_empty()).then_some(total))
    }
}

/// utime + stime: the 14th and 15th field, counted behind the name, which may hold spaces and parentheses.
fn ticks_of(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 17 5 0 0 20 0 4 0 12345 0 0";
        assert_eq!(ticks_of(stat), Some(22));
    }

    #[test]
    fn no_process_ids_measure_nothing() {
        assert_eq!(Processes::parse("").unwrap().cpu_us().unwrap(), None);
        assert!(Processes::parse("1,x").is_err());
    }

    #[test]
    fn this_process_has_a_size() {
        let own = Processes::parse(&std::process::id().to_string()).unwrap();
        assert!(own.rss_kib().unwrap().unwrap() > 100);
        assert!(own.cpu_us().unwrap().is_some());
    }
}
