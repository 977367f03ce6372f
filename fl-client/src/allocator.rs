//! The allocator of the binaries: mimalloc, which keeps freed blocks for a moment before it gives them back.
//!
//! In: nothing. Out: nothing. Start at [`keep_blocks`], before the first large block is freed.
//!
//! Memory that is given back comes again as new pages, which the system first fills with zeros: up to a fifth of a large
//! network's step. But such a step takes blocks of many sizes, and what is kept of one size in vain is resident beside the
//! next: up to a third of the largest resident size. So blocks are kept for good only where that third is small.

use std::{
    ffi::{c_int, c_long},
    sync::atomic::{AtomicU32, Ordering},
};

// Named so that its library is linked wherever this one is.
use mimalloc as _;

/// `mi_option_purge_delay` of mimalloc 2 and 3.
const PURGE_DELAY: c_int = 15;

/// Milliseconds that outlast some steps of a small network, and few operations of a large one.
const MOMENT: c_long = 50;

/// Blocks are never given back.
const FOR_GOOD: c_long = -1;

/// Steps after which a process has seen all its sizes of blocks.
const STEPS: u32 = 2;

/// Largest resident bytes so far with which blocks are kept for good: with a third more it stays below 1 GiB.
const SMALL: usize = 720 << 20;

static TAKEN: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" {
    fn mi_option_set(option: c_int, value: c_long);
    #[cfg(test)]
    fn mi_option_get(option: c_int) -> c_long;
    fn mi_process_info(
        elapsed_ms: *mut usize,
        user_ms: *mut usize,
        system_ms: *mut usize,
        current_rss: *mut usize,
        peak_rss: *mut usize,
        current_commit: *mut usize,
        peak_commit: *mut usize,
        page_faults: *mut usize,
    );
}

/// Has mimalloc keep the memory of freed blocks for a moment.
pub fn keep_blocks() {
    set_delay(MOMENT);
}

/// Says that a training step is over. After some the process has shown what memory it takes; if that is little, its blocks
/// are kept from then on.
pub fn step_over() {
    if TAKEN.fetch_add(1, Ordering::Relaxed) + 1 == STEPS && peak() <= SMALL {
        set_delay(FOR_GOOD);
    }
}

fn set_delay(milliseconds: c_long) {
    // SAFETY: the function is mimalloc's, which this crate links, and takes any option and value at any time.
    unsafe { mi_option_set(PURGE_DELAY, milliseconds) };
}

/// Largest resident size of this process so far, in bytes.
fn peak() -> usize {
    let mut info = [0usize; 8];
    let [elapsed, user, system, rss, peak, commit, peak_commit, faults] = &mut info;
    // SAFETY: the function is mimalloc's; it writes one value to each of these.
    unsafe { mi_process_info(elapsed, user, system, rss, peak, commit, peak_commit, faults) };
    info[4]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_delay_of_a_second_that_mimalloc_starts_with() {
        // SAFETY: as in `keep_blocks`.
        let delay = || unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(delay(), 1000);
        keep_blocks();
        assert_eq!(delay(), MOMENT);
    }

    #[test]
    fn the_largest_resident_size_is_that_of_this_process() {
        assert!((1 << 20..1 << 40).contains(&peak()), "{}", peak());
    }
}
