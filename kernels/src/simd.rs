//! One body of code for any processor, compiled again for those that have AVX2 and for those that have AVX-512.
//!
//! A body is written once over arrays of fixed length that the compiler turns into vector instructions. All
//! compilations do the same operations in the same order on the same lanes (never a fused multiply-add), so they give
//! the same bits. Start at [`widest`].

/// A computation to compile for several instruction sets: `run` must be `#[inline(always)]`.
pub trait Body {
    /// What it yields.
    type Output;

    /// Computes it.
    fn run(self) -> Self::Output;
}

/// Runs `body` with the widest vector instructions there are.
pub fn widest<B: Body>(body: B) -> B::Output {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx512f")
        && std::is_x86_feature_detected!("avx512vl")
        && std::is_x86_feature_detected!("avx512dq")
        && std::is_x86_feature_detected!("avx512bw")
    {
        // SAFETY: the features have just been detected.
        return unsafe { with_avx512(body) };
    }
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        // SAFETY: the features have just been detected.
        return unsafe { with_avx2(body) };
    }
    body.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2<B: Body>(body: B) -> B::Output {
    body.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
fn with_avx512<B: Body>(body: B) -> B::Output {
    body.run()
}
