//! Gives back the pages of this program that only its start needed.
//!
//! The kernel maps files by neighbourhoods of 64 KiB and more, and a start runs a little of everything: in the end
//! nearly the whole program is counted as memory in use, most of it never touched again. Pages that nobody changed can
//! be dropped from our map at no loss: they stay in the page cache, and what is used again comes from there, in a
//! microsecond for each neighbourhood. Source: `madvise(2)`, `proc_pid_smaps(5)`.

use rustix::mm::{Advice, madvise};
use std::path::Path;
use std::time::Duration;

/// When the start is over: components have made their first lists, the node has reported.
const START_IS_OVER: Duration = Duration::from_secs(15);

/// Does it once, a while after the start.
pub fn give_back_after_start() {
    tokio::spawn(async {
        tokio::time::sleep(START_IS_OVER).await;
        give_back().inspect_err(|error| tracing::debug!(%error, "pages of the start stay in memory"))
    });
}

fn give_back() -> std::io::Result<()> {
    let program = std::env::current_exe()?;
    let smaps = std::fs::read_to_string("/proc/self/smaps")?;
    unchanged(&smaps, &program).into_iter().try_for_each(|(start, end)| drop_pages(start, end))
}

#[allow(unsafe_code)]
fn drop_pages(start: usize, end: usize) -> std::io::Result<()> {
    let start = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: a private mapping of a file that we cannot write to and that holds no page of its own (`unchanged`) reads
    // the same before and after: from the file of the running program, which the kernel keeps from being written.
    unsafe { madvise(start, end - start.addr(), Advice::LinuxDontNeed) }.map_err(Into::into)
}

/// The ranges of a process's map (`smaps`) that show `program`, cannot be written, and have no page that differs from it.
fn unchanged(smaps: &str, program: &Path) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut range = None;
    for line in smaps.lines() {
        if let Some((place, mode, path)) = mapping(line) {
            range = (matches!(mode, "r-xp" | "r--p") && Path::new(path) == program).then_some(place);
        } else if line.split_whitespace().eq(["Anonymous:", "0", "kB"]) {
            found.extend(range.take());
        }
    }
    found
}

/// The first line about a mapping: `start-end mode offset device inode   path`.
fn mapping(line: &str) -> Option<((usize, usize), &str, &str)> {
    let cells: Vec<&str> = line.splitn(6, ' ').collect();
    let [range, mode, _, _, _, path] = cells[..] else { return None };
    let (start, end) = range.split_once('-')?;
    let place = |text| usize::from_str_radix(text, 16).ok();
    Some(((place(start)?, place(end)?), mode, path.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55a0-55b0 r--p 00000000 fe:00 77                         /opt/a program
Size:                 64 kB
Anonymous:             0 kB
55b0-55c0 r-xp 00010000 fe:00 77                         /opt/a program
Anonymous:             0 kB
55c0-55d0 r--p 00020000 fe:00 77                         /opt/a program
Anonymous:             8 kB
55d0-55e0 rw-p 00030000 fe:00 77                         /opt/a program
Anonymous:             0 kB
7f00-7f10 r-xp 00000000 fe:00 78                         /lib/libc.so.6
Anonymous:             0 kB
7f10-7f20 r--p 00000000 00:00 0 
Anonymous:             0 kB
";

    #[test]
    fn only_pages_that_the_file_still_has_are_given_back() {
        assert_eq!(unchanged(SMAPS, Path::new("/opt/a program")), [(0x55a0, 0x55b0), (0x55b0, 0x55c0)]);
    }

    #[test]
    fn this_program_runs_on_without_them() {
        give_back().unwrap();
        give_back().unwrap();
    }
}
