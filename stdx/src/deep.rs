//! A deep stack for work that recurses far, as parsers do.

/// Runs `work` on a stack of this many bytes, of which memory is taken only as they are used. `None` when there is no
/// such stack to be had, or the work panics.
pub fn deep<T: Send>(stack_bytes: usize, work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(stack_bytes).spawn_scoped(scope, work);
        thread.ok()?.join().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(left: usize) -> usize {
        let frame = std::hint::black_box([left; 64]);
        if left == 0 { 0 } else { 1 + depth(frame[0] - 1) }
    }

    #[test]
    fn work_that_would_overflow_elsewhere_is_done() {
        assert_eq!(deep(256 << 20, || depth(100_000)), Some(100_000));
    }
}
