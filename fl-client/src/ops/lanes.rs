//! Moves of values between sixteen lanes: what the compiler does not make of loops.
//!
//! In and out: [`Lanes`]. Every [`Shuffle`] moves the same values to the same places; they differ in instructions.
//! Start at [`Shuffled`].

use std::ops::{Add, Mul, Neg, Sub};

use kernels::simd::{Body, widest};

/// Values side by side.
pub(super) const LANES: usize = 16;

/// Sixteen values.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Lanes(pub(super) [f32; LANES]);

impl Lanes {
    pub(super) const ZERO: Self = Self([0.0; LANES]);

    /// # Safety
    /// Sixteen values at `from` are readable.
    #[inline(always)]
    pub(super) unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for sixteen readable values.
        Self(unsafe { from.cast::<[f32; LANES]>().read_unaligned() })
    }

    /// # Safety
    /// Sixteen values at `to` are writable.
    #[inline(always)]
    pub(super) unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for sixteen writable values.
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(self.0) }
    }
}

impl Lanes {
    /// The first eight values and the last eight.
    #[inline(always)]
    pub(super) fn halves(self) -> ([f32; LANES / 2], [f32; LANES / 2]) {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = self.0;
        ([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p])
    }
}

impl Add for Lanes {
    type Output = Self;
    #[inline(always)]
    fn add(mut self, other: Self) -> Self {
        for (value, other) in self.0.iter_mut().zip(other.0) {
            *value += other;
        }
        self
    }
}

impl Sub for Lanes {
    type Output = Self;
    #[inline(always)]
    fn sub(mut self, other: Self) -> Self {
        for (value, other) in self.0.iter_mut().zip(other.0) {
            *value -= other;
        }
        self
    }
}

impl Mul<f32> for Lanes {
    type Output = Self;
    #[inline(always)]
    fn mul(mut self, factor: f32) -> Self {
        for value in &mut self.0 {
            *value *= factor;
        }
        self
    }
}

impl Neg for Lanes {
    type Output = Self;
    #[inline(always)]
    fn neg(mut self) -> Self {
        for value in &mut self.0 {
            *value = -*value;
        }
        self
    }
}

/// Moves of values. Methods may only be called where the processor has the instructions.
pub(super) trait Shuffle {
    /// The values `first..end` of sixteen at `from`, zeros in the other lanes; only those are read.
    ///
    /// # Safety
    /// Those values are readable, `end` is at most 16.
    unsafe fn load_some(from: *const f32, first: usize, end: usize) -> Lanes;

    /// Writes the first `count` values.
    ///
    /// # Safety
    /// Those values are writable, `count` is at most 16.
    unsafe fn store_some(lanes: Lanes, to: *mut f32, count: usize);

    /// Of values 0..66 in five vectors: lane `i` of vector `j` has value `4·i + j`, for `j` below 6.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn apart(values: [Lanes; 5]) -> [Lanes; 6];

    /// Value `4·i + j` of four vectors in a row has lane `i` of vector `j`.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn together(values: [Lanes; 4]) -> [Lanes; 4];

    /// Rows become columns.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn transpose(values: &mut [Lanes; LANES]);
}

/// A computation that moves values with any [`Shuffle`]: `run` must be `#[inline(always)]`.
pub(super) trait Shuffled {
    /// Computes it.
    ///
    /// # Safety
    /// The processor has the instructions of `S`; what the computation itself asks for.
    unsafe fn run<S: Shuffle>(self);
}

/// Runs a computation with the best instructions there are.
///
/// # Safety
/// What the computation itself asks for.
pub(super) unsafe fn shuffled<W: Shuffled>(work: W) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx512f")
        && std::is_x86_feature_detected!("avx512vl")
        && std::is_x86_feature_detected!("avx512dq")
        && std::is_x86_feature_detected!("avx512bw")
    {
        // SAFETY: the features have just been detected; the caller vouches for the rest.
        return unsafe { x86::with_avx512(work) };
    }
    struct Usual<W>(W);
    impl<W: Shuffled> Body for Usual<W> {
        type Output = ();
        #[inline(always)]
        fn run(self) {
            // SAFETY: whoever made this vouches for the work; `Plain` has no instructions of its own.
            unsafe { self.0.run::<Plain>() }
        }
    }
    widest(Usual(work));
}

/// Element by element, on any processor.
struct Plain;

impl Shuffle for Plain {
    #[inline(always)]
    unsafe fn load_some(from: *const f32, first: usize, end: usize) -> Lanes {
        let mut lanes = Lanes::ZERO;
        for lane in first..end {
            // SAFETY: the caller vouches for these values.
            lanes.0[lane] = unsafe { from.wrapping_add(lane).read() };
        }
        lanes
    }

    #[inline(always)]
    unsafe fn store_some(lanes: Lanes, to: *mut f32, count: usize) {
        for (lane, value) in lanes.0.into_iter().enumerate().take(count) {
            // SAFETY: the caller vouches for these values.
            unsafe { to.wrapping_add(lane).write(value) };
        }
    }

    #[inline(always)]
    unsafe fn apart(values: [Lanes; 5]) -> [Lanes; 6] {
        std::array::from_fn(|vector| {
            Lanes(std::array::from_fn(|lane| {
                let at = 4 * lane + vector;
                values[at / LANES].0[at % LANES]
            }))
        })
    }

    #[inline(always)]
    unsafe fn together(values: [Lanes; 4]) -> [Lanes; 4] {
        std::array::from_fn(|vector| {
            Lanes(std::array::from_fn(|lane| {
                let at = vector * LANES + lane;
                values[at % 4].0[at / 4]
            }))
        })
    }

    #[inline(always)]
    unsafe fn transpose(values: &mut [Lanes; LANES]) {
        for row in 0..LANES {
            for column in 0..row {
                let kept = values[row].0[column];
                values[row].0[column] = values[column].0[row];
                values[column].0[row] = kept;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use std::arch::x86_64::*;

    use super::{LANES, Lanes, Shuffle, Shuffled};

    /// # Safety
    /// As [`super::shuffled`].
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
    pub(super) unsafe fn with_avx512<W: Shuffled>(work: W) {
        // SAFETY: the features are enabled here; the caller vouches for the rest.
        unsafe { work.run::<Avx512>() }
    }

    /// Vectors of sixteen values.
    struct Avx512;

    #[inline(always)]
    unsafe fn raw(lanes: Lanes) -> __m512 {
        // SAFETY: the caller runs where AVX-512 is; lanes are sixteen values.
        unsafe { _mm512_loadu_ps(lanes.0.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn lanes(raw: __m512) -> Lanes {
        let mut lanes = Lanes::ZERO;
        // SAFETY: the caller runs where AVX-512 is; lanes are sixteen values.
        unsafe { _mm512_storeu_ps(lanes.0.as_mut_ptr(), raw) };
        lanes
    }

    /// Exchanges rows and columns of 4×4 quarters of vectors.
    #[inline(always)]
    unsafe fn quarters([a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
        // SAFETY: the caller runs where AVX-512 is.
        unsafe {
            let (ab, ab_high) = (
                _mm512_shuffle_f32x4::<0x44>(a, b),
                _mm512_shuffle_f32x4::<0xee>(a, b),
            );
            let (cd, cd_high) = (
                _mm512_shuffle_f32x4::<0x44>(c, d),
                _mm512_shuffle_f32x4::<0xee>(c, d),
            );
            [
                _mm512_shuffle_f32x4::<0x88>(ab, cd),
                _mm512_shuffle_f32x4::<0xdd>(ab, cd),
                _mm512_shuffle_f32x4::<0x88>(ab_high, cd_high),
                _mm512_shuffle_f32x4::<0xdd>(ab_high, cd_high),
            ]
        }
    }

    /// Exchanges rows and columns of the 4×4 values in each quarter of four vectors.
    #[inline(always)]
    unsafe fn within([a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
        // SAFETY: the caller runs where AVX-512 is.
        unsafe {
            let (ab, ab_high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let (cd, cd_high) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            let (ab, ab_high) = (_mm512_castps_pd(ab), _mm512_castps_pd(ab_high));
            let (cd, cd_high) = (_mm512_castps_pd(cd), _mm512_castps_pd(cd_high));
            let (w, x) = (_mm512_unpacklo_pd(ab, cd), _mm512_unpackhi_pd(ab, cd));
            let (y, z) = (
                _mm512_unpacklo_pd(ab_high, cd_high),
                _mm512_unpackhi_pd(ab_high, cd_high),
            );
            [
                _mm512_castpd_ps(w),
                _mm512_castpd_ps(x),
                _mm512_castpd_ps(y),
                _mm512_castpd_ps(z),
            ]
        }
    }

    /// All lanes move down by one; the last becomes `last`.
    #[inline(always)]
    unsafe fn next(vector: __m512, last: f32) -> __m512 {
        // SAFETY: the caller runs where AVX-512 is.
        unsafe {
            let last = _mm512_castps_si512(_mm512_set1_ps(last));
            _mm512_castsi512_ps(_mm512_alignr_epi32::<1>(last, _mm512_castps_si512(vector)))
        }
    }

    /// Rows become columns.
    ///
    /// # Safety
    /// As [`super::shuffled`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
    pub(in super::super) unsafe fn transposed(mut values: [Lanes; LANES]) -> [Lanes; LANES] {
        // SAFETY: the features are enabled here.
        unsafe { Avx512::transpose(&mut values) };
        values
    }

    impl Shuffle for Avx512 {
        #[inline(always)]
        unsafe fn load_some(from: *const f32, first: usize, end: usize) -> Lanes {
            let mask = ((1u32 << end) - 1) & !((1u32 << first) - 1);
            // SAFETY: the caller runs where AVX-512 is and vouches for the values the mask names.
            unsafe { lanes(_mm512_maskz_loadu_ps(mask as __mmask16, from)) }
        }

        #[inline(always)]
        unsafe fn store_some(lanes: Lanes, to: *mut f32, count: usize) {
            let mask = (1u32 << count) - 1;
            // SAFETY: the caller runs where AVX-512 is and vouches for the values the mask names.
            unsafe { _mm512_mask_storeu_ps(to, mask as __mmask16, raw(lanes)) }
        }

        #[inline(always)]
        unsafe fn apart([a, b, c, d, e]: [Lanes; 5]) -> [Lanes; 6] {
            // SAFETY: the caller runs where AVX-512 is.
            unsafe {
                let [a, b, c, d] = quarters([raw(a), raw(b), raw(c), raw(d)]);
                let [w, x, y, z] = within([a, b, c, d]);
                let (fifth, sixth) = (next(w, e.0[0]), next(x, e.0[1]));
                [lanes(w), lanes(x), lanes(y), lanes(z), lanes(fifth), lanes(sixth)]
            }
        }

        #[inline(always)]
        unsafe fn together([a, b, c, d]: [Lanes; 4]) -> [Lanes; 4] {
            // SAFETY: the caller runs where AVX-512 is.
            unsafe {
                let [a, b, c, d] = quarters(within([raw(a), raw(b), raw(c), raw(d)]));
                [lanes(a), lanes(b), lanes(c), lanes(d)]
            }
        }

        #[inline(always)]
        unsafe fn transpose(values: &mut [Lanes; LANES]) {
            // SAFETY: the caller runs where AVX-512 is.
            unsafe {
                let mut blocks = [[_mm512_setzero_ps(); 4]; 4];
                for (block, rows) in blocks.iter_mut().zip(values.chunks_exact(4)) {
                    // Quarter q of vector r then has column 4·q + r of this block's rows.
                    *block = within([raw(rows[0]), raw(rows[1]), raw(rows[2]), raw(rows[3])]);
                }
                for r in 0..4 {
                    let column = quarters([blocks[0][r], blocks[1][r], blocks[2][r], blocks[3][r]]);
                    for (q, vector) in column.into_iter().enumerate() {
                        values[4 * q + r] = lanes(vector);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs every move on counted values and leaves what came of them.
    struct All<'a>(&'a mut Vec<f32>);

    impl Shuffled for All<'_> {
        #[inline(always)]
        unsafe fn run<S: Shuffle>(self) {
            let counted = |from: usize| Lanes(std::array::from_fn(|lane| (from + lane) as f32));
            let vector = |index: usize| counted(index * LANES);
            let numbers = counted(100);
            // SAFETY: the pointers are to sixteen values; `run` is called where the instructions are.
            unsafe {
                for (first, end) in [(0, 16), (0, 0), (3, 3), (2, 9), (15, 16)] {
                    self.0.extend(S::load_some(numbers.0.as_ptr(), first, end).0);
                    let mut out = [-1.0; LANES];
                    S::store_some(numbers, out.as_mut_ptr(), end);
                    self.0.extend(out);
                }
                let parts = S::apart(std::array::from_fn(vector));
                parts.iter().for_each(|lanes| self.0.extend(lanes.0));
                let four = S::together(std::array::from_fn(|index| parts[index]));
                four.iter().for_each(|lanes| self.0.extend(lanes.0));
                let mut square: [Lanes; LANES] = std::array::from_fn(vector);
                S::transpose(&mut square);
                square.iter().for_each(|lanes| self.0.extend(lanes.0));
            }
        }
    }

    #[test]
    fn values_go_to_the_same_places_with_any_instructions() {
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        // SAFETY: the work asks for nothing; `Plain` runs anywhere.
        unsafe {
            shuffled(All(&mut found));
            All(&mut expected).run::<Plain>();
        }
        assert_eq!(found, expected);
        let from = expected.len() - 26 * LANES;
        let value = |vector: usize, lane: usize| expected[from + vector * LANES + lane];
        assert_eq!((value(0, 3), value(5, 15), value(4, 0)), (12.0, 65.0, 4.0));
        assert_eq!(
            (value(6, 5), value(9, 15)),
            (5.0, 63.0),
            "apart and together again"
        );
        assert_eq!((value(10, 3), value(25, 0), value(17, 2)), (48.0, 15.0, 39.0));
    }
}
