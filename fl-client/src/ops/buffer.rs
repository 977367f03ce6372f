//! Memory of the kernels: new buffers that are written once, planes of one channel, scratch that is reused.

use std::{cell::RefCell, mem::MaybeUninit};

/// A new vector of `len` values, all of them written by `fill`.
///
/// Leaving the memory as it comes saves a pass over it, which counts for activations of hundreds of megabytes.
///
/// # Safety
/// `fill` must initialise every element of the slice it is given.
pub(super) unsafe fn written<R>(
    len: usize,
    fill: impl FnOnce(&mut [MaybeUninit<f32>]) -> R,
) -> (Vec<f32>, R) {
    let mut values = Vec::with_capacity(len);
    let result = fill(&mut values.spare_capacity_mut()[..len]);
    // SAFETY: the capacity is at least `len`, and the caller vouches that `fill` initialised all of it.
    unsafe { values.set_len(len) };
    (values, result)
}

/// Groups the planes of an N×C×H×W buffer by channel, so that one task can own a channel of the whole batch.
///
/// Returns C lists of N planes of `plane` elements, in the order of the batch.
pub(super) fn planes_by_channel<T>(buffer: &mut [T], channels: usize, plane: usize) -> Vec<Vec<&mut [T]>> {
    let batch = buffer.len() / (channels * plane).max(1);
    let mut groups: Vec<Vec<&mut [T]>> = (0..channels).map(|_| Vec::with_capacity(batch)).collect();
    for (index, part) in buffer.chunks_exact_mut(plane.max(1)).enumerate() {
        groups[index % channels].push(part);
    }
    groups
}

thread_local! {
    static SCRATCH: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with `len` values of scratch memory that holds anything.
///
/// The memory belongs to the thread and is kept for the next call; a call from within `work` gets memory of its own.
pub(super) fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let kept = SCRATCH.with_borrow_mut(Vec::pop);
    let mut scratch = kept.unwrap_or_default();
    if scratch.len() < len {
        // A fresh block: the old values would only be copied.
        scratch = vec![0.0; len];
    }
    let result = work(&mut scratch[..len]);
    SCRATCH.with_borrow_mut(|kept| kept.push(scratch));
    result
}

/// A destination that tasks write disjoint parts of.
#[derive(Clone, Copy)]
pub(super) struct Shared(*mut f32);
// SAFETY: whoever makes one promises that its tasks write elements no other task touches.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// A destination at `start`, whose tasks write elements no other task touches.
    pub(super) fn new(start: *mut f32) -> Self {
        Self(start)
    }

    /// The address of element `index`; a method, so that closures capture the whole wrapper.
    pub(super) fn at(&self, index: usize) -> *mut f32 {
        self.0.wrapping_add(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_are_grouped_by_channel_in_batch_order() {
        let mut buffer: Vec<u32> = (0..12).collect();
        let groups = planes_by_channel(&mut buffer, 3, 2);
        assert_eq!(groups[1], [[2, 3], [8, 9]]);
        assert_eq!(groups.len(), 3);
    }

    #[test]
    fn scratch_within_scratch_is_memory_of_its_own() {
        with_scratch(4, |outer| {
            outer.fill(1.0);
            with_scratch(8, |inner| inner.fill(2.0));
            assert!(outer.iter().all(|value| *value == 1.0));
        });
    }
}
