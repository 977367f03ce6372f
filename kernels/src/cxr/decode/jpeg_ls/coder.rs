//! The decoder of samples: contexts, prediction, error codes, runs (T.87 annex A).
//!
//! In: parameters, the line above, bits. Out: the next line. Start at [`Coder::line`]; [`Coder::pixels`] is for components
//! interleaved by sample.

use super::{
    bits::{Bits, Escape},
    params::Params,
};

/// Orders of run lengths (T.87 A.2.1).
pub(super) const RUN_ORDER: [u32; 32] = [
    0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15,
];

/// A run that is longer than what is left of its line.
#[derive(Debug)]
pub(super) struct Overrun;

/// What is known of errors in one context (T.87 A.2.1), with what the next code needs worked out ahead.
#[derive(Clone, Copy)]
struct Context {
    a: u32,
    b: i32,
    n: u16,
    c: i16,
    /// The Golomb parameter.
    k: u8,
    /// All ones where codes of positive and negative errors are exchanged (T.87 A.5.2), else 0.
    flip: i8,
}

/// The same of samples that end a run.
#[derive(Clone, Copy)]
struct RunContext {
    a: u32,
    n: u32,
    negative: u32,
}

/// The state of a scan.
pub(super) struct Coder {
    params: Params,
    escape: Escape,
    /// The quantised gradient of each difference, from `-MAXVAL` on.
    gradients: Vec<i8>,
    /// By the quantised gradients, made positive: 365, filled up so that no index needs a check.
    contexts: [Context; 512],
    run_contexts: [RunContext; 2],
}

/// Smallest `k` with `n << k >= a` (T.87 A.5.1).
#[inline(always)]
fn golomb_parameter(a: u32, n: u32) -> u32 {
    let k = n.leading_zeros().saturating_sub(a.leading_zeros());
    (k + u32::from((n << k) < a)).min(31)
}

impl Context {
    /// T.87 A.6.1 and A.6.2; without branches where data decide.
    #[inline(always)]
    fn update<const LOSSLESS: bool>(&mut self, error: i32, params: &Params) {
        let mut a = self.a.wrapping_add(error.unsigned_abs());
        let step = if LOSSLESS { 1 } else { params.step };
        let mut b = self.b.wrapping_add(error.wrapping_mul(step));
        let mut n = i32::from(self.n);
        if n == params.reset {
            (a, b, n) = (a >> 1, b >> 1, n >> 1);
        }
        n += 1;
        let (low, high) = (b <= -n, b > 0);
        self.c = (self.c + i16::from(high) - i16::from(low)).clamp(-128, 127);
        let raised = b.wrapping_add(n).max(1 - n);
        let lowered = b.wrapping_sub(n).min(0);
        b = if low {
            raised
        } else if high {
            lowered
        } else {
            b
        };
        let k = golomb_parameter(a, n as u32);
        (self.a, self.b) = (a, b);
        // RESET is at most 65535, and N at most that.
        (self.n, self.k) = (n as u16, k as u8);
        self.flip = -i8::from((LOSSLESS || params.near == 0) && k == 0 && 2 * b <= -n);
    }
}

impl Coder {
    pub fn new(params: Params) -> Self {
        let a = params.first_sum();
        let context = Context {
            a,
            b: 0,
            n: 1,
            c: 0,
            k: golomb_parameter(a, 1) as u8,
            flip: 0,
        };
        let run_context = RunContext { a, n: 1, negative: 0 };
        Self {
            escape: Escape {
                zeros: params.limit - params.code_bits - 1,
                bits: params.code_bits,
            },
            gradients: (-params.max..=params.max).map(|d| params.gradient(d)).collect(),
            contexts: [context; 512],
            run_contexts: [run_context; 2],
            params,
        }
    }

    #[inline(always)]
    fn gradient(&self, first: i32, second: i32) -> i32 {
        // Samples are 0 to MAXVAL, so the index is in the table.
        i32::from(self.gradients[(first - second + self.params.max) as usize])
    }

    /// Prediction and a prediction error made a sample: T.87 A.4.4 and A.4.5.
    #[inline(always)]
    fn reconstruct<const LOSSLESS: bool>(&self, predicted: i32, error: i32) -> i32 {
        let Params {
            max,
            near,
            step,
            span,
            ..
        } = self.params;
        if LOSSLESS {
            // MAXVAL + 1 is a power of two here, and the modulus.
            return predicted.wrapping_add(error) & max;
        }
        let mut sample = predicted.wrapping_add(error.wrapping_mul(step));
        if sample < -near {
            sample = sample.wrapping_add(span);
        } else if sample > max + near {
            sample = sample.wrapping_sub(span);
        }
        sample.clamp(0, max)
    }

    /// A sample outside runs. `gradients` is their quantised sum of products, with its sign.
    #[inline(always)]
    fn regular<const LOSSLESS: bool>(
        &mut self,
        bits: &mut Bits<'_>,
        gradients: i32,
        [left, above, corner]: [i32; 3],
    ) -> i32 {
        let sign = gradients >> 31;
        let index = ((gradients ^ sign) - sign) as usize & 511;
        let context = &self.contexts[index];
        // The median edge detector, T.87 A.4.1.
        let predicted = (left + above - corner).clamp(left.min(above), left.max(above));
        let predicted = (predicted + ((i32::from(context.c) ^ sign) - sign)).clamp(0, self.params.max);
        let code = bits.golomb(u32::from(context.k), self.escape);
        let error = ((code >> 1) as i32 ^ -((code & 1) as i32)) ^ i32::from(context.flip);
        let signed = (error ^ sign).wrapping_sub(sign);
        let sample = self.reconstruct::<LOSSLESS>(predicted, signed);
        self.contexts[index].update::<LOSSLESS>(error, &self.params);
        sample
    }

    /// Length of a run, at most `room`; with it whether something ends it before the line ends (T.87 A.7.1.2).
    fn run_length(bits: &mut Bits<'_>, order: &mut usize, room: usize) -> Result<(usize, bool), Overrun> {
        let mut length = 0;
        while bits.bit() {
            let part = 1 << RUN_ORDER[*order];
            if length + part > room {
                return Ok((room, false));
            }
            length += part;
            *order = (*order + 1).min(31);
            if length == room {
                return Ok((room, false));
            }
        }
        length += bits.bits(RUN_ORDER[*order]) as usize;
        if length < room {
            Ok((length, true))
        } else {
            Err(Overrun)
        }
    }

    /// The sample that ends a run (T.87 A.7.2).
    fn run_end<const LOSSLESS: bool>(
        &mut self,
        bits: &mut Bits<'_>,
        order: usize,
        alike: bool,
        left: i32,
        above: i32,
    ) -> i32 {
        let kind = usize::from(alike);
        let context = self.run_contexts[kind];
        let sum = context.a.wrapping_add(if alike { context.n >> 1 } else { 0 });
        let k = golomb_parameter(sum, context.n);
        let escape = Escape {
            zeros: self.escape.zeros - RUN_ORDER[order] - 1,
            bits: self.escape.bits,
        };
        let code = bits.golomb(k, escape);
        let folded = code.wrapping_add(kind as u32);
        let odd = folded & 1 == 1;
        let size = (folded.wrapping_add(u32::from(odd)) >> 1) as i32;
        let negative = (k != 0 || 2 * context.negative >= context.n) == odd;
        let error = if negative { size.wrapping_neg() } else { size };

        let context = &mut self.run_contexts[kind];
        context.negative += u32::from(error < 0);
        context.a = context.a.wrapping_add(code.wrapping_add(1 - kind as u32) >> 1);
        if context.n as i32 == self.params.reset {
            context.a >>= 1;
            context.n >>= 1;
            context.negative >>= 1;
        }
        context.n += 1;
        if alike {
            self.reconstruct::<LOSSLESS>(left, error)
        } else {
            let signed = if left > above { error.wrapping_neg() } else { error };
            self.reconstruct::<LOSSLESS>(above, signed)
        }
    }

    /// Decodes a line of one component.
    ///
    /// Lines are as [`edges`] makes them: one sample more on both sides. `order` is the run index, kept from line to line.
    pub fn line<const LOSSLESS: bool>(
        &mut self,
        reader: &mut Bits<'_>,
        above: &[u16],
        line: &mut [u16],
        order: &mut usize,
    ) -> Result<(), Overrun> {
        let mut bits = *reader;
        let near = self.params.near;
        let width = line.len() - 2;
        let above = &above[..width + 2];
        let line = &mut line[..width + 2];
        let (mut left, mut corner, mut up) = (i32::from(line[0]), i32::from(above[0]), i32::from(above[1]));
        // D2 of a sample is D1 of the one before: only two gradients are new each time.
        let mut behind = self.gradient(up, corner);
        let mut x = 1;
        while x <= width {
            let right = i32::from(above[x + 1]);
            let ahead = self.gradient(right, up);
            let gradients = 81 * ahead + 9 * behind + self.gradient(corner, left);
            if gradients != 0 {
                left = self.regular::<LOSSLESS>(&mut bits, gradients, [left, up, corner]);
                line[x] = left as u16;
                (corner, up, behind) = (up, right, ahead);
                x += 1;
                continue;
            }
            let (length, ended) = Self::run_length(&mut bits, order, width + 1 - x)?;
            line[x..x + length].fill(left as u16);
            x += length;
            if !ended {
                break;
            }
            up = i32::from(above[x]);
            let alike = (left - up).abs() <= near;
            left = self.run_end::<LOSSLESS>(&mut bits, *order, alike, left, up);
            *order = order.saturating_sub(1);
            line[x] = left as u16;
            (corner, up) = (up, i32::from(above[x + 1]));
            behind = self.gradient(up, corner);
            x += 1;
        }
        *reader = bits;
        Ok(())
    }

    /// Decodes a line of pixels whose components take turns. `above` and `lines` have a line for each component.
    pub fn pixels<const LOSSLESS: bool>(
        &mut self,
        bits: &mut Bits<'_>,
        above: &[Vec<u16>; 3],
        lines: &mut [Vec<u16>; 3],
        order: &mut usize,
    ) -> Result<(), Overrun> {
        let width = lines[0].len() - 2;
        let mut x = 1;
        while x <= width {
            let around = [0, 1, 2]
                .map(|c| [lines[c][x - 1], above[c][x], above[c][x - 1], above[c][x + 1]].map(i32::from));
            let gradients = around.map(|[left, up, corner, right]| {
                81 * self.gradient(right, up) + 9 * self.gradient(up, corner) + self.gradient(corner, left)
            });
            if gradients != [0; 3] {
                for c in 0..3 {
                    let [left, up, corner, _] = around[c];
                    lines[c][x] = self.regular::<LOSSLESS>(bits, gradients[c], [left, up, corner]) as u16;
                }
                x += 1;
                continue;
            }
            let (length, ended) = Self::run_length(bits, order, width + 1 - x)?;
            for line in lines.iter_mut() {
                let left = line[x - 1];
                line[x..x + length].fill(left);
            }
            x += length;
            if !ended {
                break;
            }
            for (line, above) in lines.iter_mut().zip(above) {
                let (left, up) = (i32::from(line[x - 1]), i32::from(above[x]));
                line[x] = self.run_end::<LOSSLESS>(bits, *order, false, left, up) as u16;
            }
            *order = order.saturating_sub(1);
            x += 1;
        }
        Ok(())
    }
}

/// Sets what lies beside the line above and the next one (T.87 A.2.1).
///
/// The sample right of a line is its last; that left of the next line is the first of the line above.
pub(super) fn edges(above: &mut [u16], line: &mut [u16]) {
    let last = above.len() - 1;
    above[last] = above[last - 1];
    line[0] = above[1];
}
