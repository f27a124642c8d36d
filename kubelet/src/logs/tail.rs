//! Where the last lines of a log begin.

use std::io::{self, Read, Seek, SeekFrom};

const BLOCK: u64 = 16 * 1024;

/// Where the last `lines` whole lines begin; one that is not yet whole does not count.
pub fn start(file: &mut (impl Read + Seek), lines: u64) -> io::Result<u64> {
    let mut right = file.seek(SeekFrom::End(0))?;
    let mut block = Vec::new();
    // The newline before the line that is wanted is the one after `lines` others.
    let mut newer = 0;
    while right > 0 {
        let left = right.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(left))?;
        block.clear();
        file.by_ref().take(right - left).read_to_end(&mut block)?;
        for at in (0..block.len()).rev().filter(|at| block.get(*at) == Some(&b'\n')) {
            if newer == lines {
                return Ok(left + at as u64 + 1);
            }
            newer += 1;
        }
        right = left;
    }
    Ok(0)
}
