//! Runs a loop compiled for wide vectors where the processor has them.
//!
//! One body serves both: [`Loop::run`] is inlined into a function that may use AVX2 and into one that may not. Rust
//! never fuses a multiplication with an addition by itself, so both give the same bits.

/// A loop over slices that the compiler turns into vector instructions.
pub(super) trait Loop {
    /// What it returns.
    type Output;

    /// The loop; marked `#[inline(always)]` by every implementation.
    fn run(self) -> Self::Output;
}

/// Runs `work` with the widest vectors there are.
pub(super) fn widest<L: Loop>(work: L) -> L::Output {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has AVX2 and FMA.
        return unsafe { with_avx2(work) };
    }
    work.run()
}

/// # Safety
/// The processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2<L: Loop>(work: L) -> L::Output {
    work.run()
}
