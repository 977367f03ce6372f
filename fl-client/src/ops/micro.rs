//! Matrix products over packed operands: the innermost loop of convolutions, for one thread.
//!
//! In: panels of eight rows and blocks of sixteen columns, as whoever produces them lays them out. Out: the product.
//! Start at [`multiply_panels`].
//!
//! # Numerics
//! Every element is one chain of multiply-adds in the order of the inner dimension, fused where the processor fuses
//! them: neither blocks nor threads change a bit.

/// Rows of a panel of the left operand.
pub(super) const ROWS: usize = 8;

/// Columns of a block of the right operand.
pub(super) const COLUMNS: usize = 16;

/// `out = a·b` or `out += a·b`. All distances are in values.
#[derive(Clone, Copy)]
pub(super) struct Panels {
    /// Length of the inner dimension.
    pub(super) inner: usize,
    /// Panels of [`ROWS`] rows.
    pub(super) panels: usize,
    /// Blocks of [`COLUMNS`] columns.
    pub(super) blocks: usize,
    /// Left operand: element (panel, row, k) is at `panel * a_panel + k * ROWS + row`.
    pub(super) a: *const f32,
    /// Distance between panels.
    pub(super) a_panel: usize,
    /// Right operand: element (k, block, column) is at `block * b_block + k * b_step + column`.
    pub(super) b: *const f32,
    /// Distance between blocks.
    pub(super) b_block: usize,
    /// Distance between steps along the inner dimension.
    pub(super) b_step: usize,
    /// Destination: element (row, column) is at `row * row_stride + column`, columns one after another.
    pub(super) out: *mut f32,
    /// Distance between rows.
    pub(super) row_stride: usize,
    /// Whether the product is added to what is there.
    pub(super) accumulate: bool,
}

/// Computes the product with the widest instructions there are.
///
/// # Safety
/// All elements named in [`Panels`] must be readable, those of `out` writable by the caller alone, and initialised if
/// the product is added to them.
pub(super) unsafe fn multiply_panels(product: Panels) {
    #[cfg(target_arch = "x86_64")]
    {
        if std::is_x86_feature_detected!("avx512f") {
            // SAFETY: the feature has just been detected; the caller vouches for the memory.
            return unsafe { x86::with_avx512(product) };
        }
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            // SAFETY: the features have just been detected; the caller vouches for the memory.
            return unsafe { x86::with_avx2(product) };
        }
    }
    // SAFETY: the caller vouches for the memory.
    unsafe { portable(product) }
}

/// A computation with vectors of any kind: `run` must be `#[inline(always)]`.
pub(super) trait Vectored {
    /// What it yields.
    type Output;

    /// Computes it.
    ///
    /// # Safety
    /// The processor has the instructions of `V`; what the computation itself asks for.
    unsafe fn run<V: Vector>(self) -> Self::Output;
}

/// Runs a computation with the widest vectors there are.
///
/// # Safety
/// What the computation itself asks for.
pub(super) unsafe fn vectored<W: Vectored>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if std::is_x86_feature_detected!("avx512f") {
            // SAFETY: the feature has just been detected; the caller vouches for the rest.
            return unsafe { x86::run_with_avx512(work) };
        }
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            // SAFETY: the features have just been detected; the caller vouches for the rest.
            return unsafe { x86::run_with_avx2(work) };
        }
    }
    // SAFETY: every processor has these instructions; the caller vouches for the rest.
    unsafe { work.run::<Four>() }
}

/// A few values side by side. Methods may only be called where the processor has the instructions.
pub(super) trait Vector: Copy {
    /// How many.
    const LANES: usize;

    unsafe fn zero() -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn spread(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn plus(self, other: Self) -> Self;
    /// `self + a·b`.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
}

/// `R` rows of `N` vectors: `a` has the rows of a panel from some row on, the vectors of `b` are `vector` apart.
///
/// # Safety
/// As [`multiply_panels`], and the processor has the instructions of `V`.
#[inline(always)]
unsafe fn kernel<V: Vector, const R: usize, const N: usize>(
    product: &Panels,
    a: *const f32,
    b: *const f32,
    vector: usize,
    out: *mut f32,
    out_vector: usize,
) {
    // SAFETY: the caller vouches for instructions and memory.
    unsafe {
        let mut sums = [[V::zero(); N]; R];
        let mut a = a;
        let mut vectors = [b; N];
        for (n, b) in vectors.iter_mut().enumerate() {
            *b = b.wrapping_add(n * vector);
        }
        let step = product.b_step;
        for _ in 0..product.inner {
            let mut values = [V::zero(); N];
            for (value, b) in values.iter_mut().zip(&mut vectors) {
                *value = V::load(*b);
                *b = b.wrapping_add(step);
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let factor = V::spread(a.wrapping_add(row));
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum = sum.add_product(factor, value);
                }
            }
            a = a.wrapping_add(ROWS);
        }
        for (row, sums) in sums.into_iter().enumerate() {
            for (n, sum) in sums.into_iter().enumerate() {
                let to = out.wrapping_add(row * product.row_stride + n * out_vector);
                let sum = if product.accumulate {
                    V::load(to).plus(sum)
                } else {
                    sum
                };
                sum.store(to);
            }
        }
    }
}

/// Panels by blocks, with vectors of `LANES` values and `R` rows at a time.
///
/// # Safety
/// As [`kernel`].
#[inline(always)]
unsafe fn narrow<V: Vector, const LANES: usize, const R: usize, const N: usize>(product: Panels) {
    const { assert!(LANES * N == COLUMNS && ROWS.is_multiple_of(R)) };
    for block in 0..product.blocks {
        for panel in 0..product.panels {
            for row in (0..ROWS).step_by(R) {
                let a = product.a.wrapping_add(panel * product.a_panel + row);
                let b = product.b.wrapping_add(block * product.b_block);
                let out = product
                    .out
                    .wrapping_add((panel * ROWS + row) * product.row_stride + block * COLUMNS);
                // SAFETY: the caller vouches for instructions and memory.
                unsafe { kernel::<V, R, N>(&product, a, b, LANES, out, LANES) };
            }
        }
    }
}

/// Vectors any processor has.
#[derive(Clone, Copy)]
struct Four([f32; 4]);

impl Vector for Four {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0.0; 4])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for four readable values.
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn spread(from: *const f32) -> Self {
        // SAFETY: the caller vouches for a readable value.
        Self([unsafe { from.read() }; 4])
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for four writable values.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] + other.0[lane]))
    }
    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|lane| {
            if cfg!(target_arch = "aarch64") {
                a.0[lane].mul_add(b.0[lane], self.0[lane])
            } else {
                self.0[lane] + a.0[lane] * b.0[lane]
            }
        }))
    }
}

/// # Safety
/// As [`multiply_panels`].
unsafe fn portable(product: Panels) {
    // SAFETY: the caller vouches for the memory; every processor has these instructions.
    unsafe { narrow::<Four, 4, 2, 4>(product) }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{COLUMNS, Panels, ROWS, Vector, Vectored, kernel, narrow};

    impl Vector for __m512 {
        const LANES: usize = 16;

        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: called where the processor has AVX-512.
            unsafe { _mm512_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: called where the processor has AVX-512, on readable values.
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn spread(from: *const f32) -> Self {
            // SAFETY: called where the processor has AVX-512, on a readable value.
            unsafe { _mm512_set1_ps(*from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: called where the processor has AVX-512, on writable values.
            unsafe { _mm512_storeu_ps(to, self) }
        }
        #[inline(always)]
        unsafe fn plus(self, other: Self) -> Self {
            // SAFETY: called where the processor has AVX-512.
            unsafe { _mm512_add_ps(self, other) }
        }
        #[inline(always)]
        unsafe fn add_product(self, a: Self, b: Self) -> Self {
            // SAFETY: called where the processor has AVX-512.
            unsafe { _mm512_fmadd_ps(a, b, self) }
        }
    }

    impl Vector for __m256 {
        const LANES: usize = 8;

        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: called where the processor has AVX.
            unsafe { _mm256_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: called where the processor has AVX, on readable values.
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn spread(from: *const f32) -> Self {
            // SAFETY: called where the processor has AVX, on a readable value.
            unsafe { _mm256_set1_ps(*from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: called where the processor has AVX, on writable values.
            unsafe { _mm256_storeu_ps(to, self) }
        }
        #[inline(always)]
        unsafe fn plus(self, other: Self) -> Self {
            // SAFETY: called where the processor has AVX.
            unsafe { _mm256_add_ps(self, other) }
        }
        #[inline(always)]
        unsafe fn add_product(self, a: Self, b: Self) -> Self {
            // SAFETY: called where the processor has FMA.
            unsafe { _mm256_fmadd_ps(a, b, self) }
        }
    }

    /// # Safety
    /// As [`super::vectored`].
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn run_with_avx512<W: Vectored>(work: W) -> W::Output {
        // SAFETY: the feature is enabled here; the caller vouches for the rest.
        unsafe { work.run::<__m512>() }
    }

    /// # Safety
    /// As [`super::vectored`].
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn run_with_avx2<W: Vectored>(work: W) -> W::Output {
        // SAFETY: the features are enabled here; the caller vouches for the rest.
        unsafe { work.run::<__m256>() }
    }

    /// # Safety
    /// As [`super::multiply_panels`].
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn with_avx512(product: Panels) {
        // SAFETY: the caller vouches for the memory; the feature is enabled here.
        unsafe {
            let mut block = 0;
            while block < product.blocks {
                let b = product.b.wrapping_add(block * product.b_block);
                let count = (product.blocks - block).min(3);
                for panel in 0..product.panels {
                    let a = product.a.wrapping_add(panel * product.a_panel);
                    let out = product
                        .out
                        .wrapping_add(panel * ROWS * product.row_stride + block * COLUMNS);
                    match count {
                        1 => kernel::<__m512, ROWS, 1>(&product, a, b, product.b_block, out, COLUMNS),
                        2 => kernel::<__m512, ROWS, 2>(&product, a, b, product.b_block, out, COLUMNS),
                        _ => kernel::<__m512, ROWS, 3>(&product, a, b, product.b_block, out, COLUMNS),
                    }
                }
                block += count;
            }
        }
    }

    /// # Safety
    /// As [`super::multiply_panels`].
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn with_avx2(product: Panels) {
        // SAFETY: the caller vouches for the memory; the features are enabled here.
        unsafe { narrow::<__m256, 8, 4, 2>(product) }
    }

    #[cfg(test)]
    pub(super) fn avx2() -> Option<unsafe fn(Panels)> {
        let there = std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma");
        there.then_some(with_avx2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows × columns of a product of small whole numbers, which every order of sums gets right to the bit.
    fn check(run: unsafe fn(Panels), panels: usize, blocks: usize, inner: usize) {
        let number = |at: usize| (at * 7 % 13) as f32 - 6.0;
        let a: Vec<f32> = (0..panels * inner * ROWS).map(number).collect();
        let b: Vec<f32> = (0..blocks * inner * COLUMNS).map(number).collect();
        let (rows, columns) = (panels * ROWS, blocks * COLUMNS);
        for accumulate in [false, true] {
            let mut out = vec![1.0; rows * columns];
            let product = Panels {
                inner,
                panels,
                blocks,
                a: a.as_ptr(),
                a_panel: inner * ROWS,
                b: b.as_ptr(),
                b_block: inner * COLUMNS,
                b_step: COLUMNS,
                out: out.as_mut_ptr(),
                row_stride: columns,
                accumulate,
            };
            // SAFETY: the operands have the sizes named, and the destination is ours.
            unsafe { run(product) };
            for (at, found) in out.iter().enumerate() {
                let (row, column) = (at / columns, at % columns);
                let term = |k: usize| {
                    a[(row / ROWS * inner + k) * ROWS + row % ROWS]
                        * b[(column / COLUMNS * inner + k) * COLUMNS + column % COLUMNS]
                };
                let expected = (0..inner).map(term).sum::<f32>() + if accumulate { 1.0 } else { 0.0 };
                assert_eq!(*found, expected, "{row}, {column} of {panels}, {blocks}, {inner}");
            }
        }
    }

    #[test]
    fn every_instruction_set_computes_the_product() {
        let mut sets: Vec<unsafe fn(Panels)> = vec![multiply_panels, portable];
        #[cfg(target_arch = "x86_64")]
        sets.extend(x86::avx2());
        for run in sets {
            for (panels, blocks, inner) in [(1, 1, 1), (2, 2, 5), (3, 4, 17), (1, 7, 8), (2, 3, 0)] {
                check(run, panels, blocks, inner);
            }
        }
    }
}
