//! Code compiled again for processors that shift by registers freely and work on eight numbers at once.
//!
//! Everything here is integer arithmetic: the bits are the same.

/// A computation; `run` must be `#[inline(always)]`.
pub(super) trait Body {
    type Output;

    fn run(self) -> Self::Output;
}

/// Runs `body` with what this processor has.
pub(super) fn widest<B: Body>(body: B) -> B::Output {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2")
        && std::is_x86_feature_detected!("bmi1")
        && std::is_x86_feature_detected!("bmi2")
    {
        // SAFETY: the features have just been detected.
        return unsafe { with_avx2(body) };
    }
    body.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn with_avx2<B: Body>(body: B) -> B::Output {
    body.run()
}
