//! The allocator of the binaries: mimalloc, which keeps freed blocks for a moment before it gives them back.
//!
//! In: nothing. Out: nothing. Start at [`keep_blocks`], before the first large block is freed.

use std::ffi::{c_int, c_long};

// Named so that its library is linked wherever this one is.
use mimalloc as _;

/// `mi_option_purge_delay` of mimalloc 2 and 3.
const PURGE_DELAY: c_int = 15;

/// How long, in milliseconds.
const MOMENT: c_long = 50;

unsafe extern "C" {
    fn mi_option_set(option: c_int, value: c_long);
    #[cfg(test)]
    fn mi_option_get(option: c_int) -> c_long;
}

/// Has mimalloc keep the memory of freed blocks for some steps of a small network, and less than one of a large one.
///
/// Memory that is given back comes again as new pages, which the system first fills with zeros: a small network's step
/// takes and frees the same blocks within a moment and never pays for that. A large network's step takes blocks of many
/// sizes, and what is kept of one size in vain is resident beside the next: up to a third of the largest resident size,
/// against an eighth of the step's time.
pub fn keep_blocks() {
    // SAFETY: the function is mimalloc's, which this crate links, and takes any option and value at any time.
    unsafe { mi_option_set(PURGE_DELAY, MOMENT) };
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
}
