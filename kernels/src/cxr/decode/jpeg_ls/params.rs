//! Parameters of a scan, given or by default (T.87 C.2.4.1.1).

/// As an LSE segment gives them; 0 means the default.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Preset {
    pub max: u16,
    pub thresholds: [u16; 3],
    pub reset: u16,
}

/// What a scan is decoded with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Params {
    /// The largest sample: MAXVAL.
    pub max: i32,
    /// The largest error of a sample: NEAR.
    pub near: i32,
    /// Distance of values that errors tell apart: 2 · NEAR + 1.
    pub step: i32,
    /// How far apart samples are that one code stands for: RANGE · step.
    pub span: i32,
    /// T1, T2, T3.
    thresholds: [i32; 3],
    /// When sums are halved: RESET.
    pub reset: i32,
    /// The longest code: LIMIT.
    pub limit: u32,
    /// Bits of an escaped code: qbpp.
    pub code_bits: u32,
}

impl Params {
    /// Of a scan of `bits` bits a sample.
    ///
    /// # Errors
    /// What was found and expected, of the first parameter that is out of range
    pub fn new(bits: u32, near: u8, preset: Preset) -> Result<Self, String> {
        let near = i32::from(near);
        let most = (1_i32 << bits) - 1;
        let max = if preset.max == 0 {
            most
        } else {
            i32::from(preset.max)
        };
        if max > most {
            return Err(format!("MAXVAL {max}; at most {most} at {bits} bits"));
        }
        if near > max / 2 {
            return Err(format!("NEAR {near}; at most {} of MAXVAL {max}", max / 2));
        }
        let defaults = default_thresholds(max, near);
        let mut thresholds = [0; 3];
        let mut least = near + 1;
        for (i, (given, default)) in preset.thresholds.into_iter().zip(defaults).enumerate() {
            let value = if given == 0 { default } else { i32::from(given) };
            if !(least..=max).contains(&value) {
                return Err(format!("T{} {value}; from {least} to {max}", i + 1));
            }
            (thresholds[i], least) = (value, value);
        }
        let reset = if preset.reset == 0 {
            64
        } else {
            i32::from(preset.reset)
        };
        let most = max.max(255);
        if !(3..=most).contains(&reset) {
            return Err(format!("RESET {reset}; from 3 to {most}"));
        }
        let step = 2 * near + 1;
        let range = (max + 2 * near) / step + 1;
        let bpp = ceil_log2(max + 1).max(2);
        Ok(Self {
            max,
            near,
            step,
            span: range * step,
            thresholds,
            reset,
            limit: 2 * (bpp + bpp.max(8)),
            code_bits: ceil_log2(range),
        })
    }

    /// Whether errors are exact and the modulus is a power of two: what the fast path is for.
    pub fn is_simple(&self) -> bool {
        self.near == 0 && (self.max + 1).count_ones() == 1
    }

    /// A of a context that has seen nothing (T.87 A.2.1).
    pub fn first_sum(&self) -> u32 {
        let range = self.span / self.step;
        ((range + 32) / 64).max(2) as u32
    }

    /// A difference of neighbours as one of nine (T.87 A.3.3).
    pub fn gradient(&self, difference: i32) -> i8 {
        let size = difference.abs();
        let level = if size <= self.near {
            0
        } else {
            1 + self
                .thresholds
                .iter()
                .filter(|threshold| size >= **threshold)
                .count() as i8
        };
        if difference < 0 { -level } else { level }
    }
}

/// Smallest `n` with `2^n >= value`.
fn ceil_log2(value: i32) -> u32 {
    (value as u32).next_power_of_two().trailing_zeros()
}

/// T.87 C.2.4.1.1.1.
fn default_thresholds(max: i32, near: i32) -> [i32; 3] {
    let basic = if max >= 128 {
        let factor = (max.min(4095) + 128) >> 8;
        [factor + 2, 4 * factor + 3, 17 * factor + 4]
    } else {
        let factor = 256 / (max + 1);
        [3 / factor, 7 / factor, 21 / factor]
    };
    let mut least = near + 1;
    let mut out = [0; 3];
    for (i, (basic, floor)) in basic.into_iter().zip([2, 3, 4]).enumerate() {
        let mut value = basic + (2 * i as i32 + 3) * near;
        if max < 128 {
            value = value.max(floor);
        }
        if value > max || value < least {
            value = least;
        }
        (out[i], least) = (value, value);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_standard() {
        // T.87 table C.3: 8 bits, lossless and NEAR 3; and 12 bits and more, where the factor no longer grows.
        assert_eq!(default_thresholds(255, 0), [3, 7, 21]);
        assert_eq!(default_thresholds(255, 3), [12, 22, 42]);
        assert_eq!(default_thresholds(4095, 0), [18, 67, 276]);
        assert_eq!(default_thresholds(65535, 0), [18, 67, 276]);
        assert_eq!(default_thresholds(3, 0), [2, 3, 3]);
    }

    #[test]
    fn gradients_are_odd_and_nine() {
        let params = Params::new(8, 2, Preset::default()).unwrap();
        assert_eq!([0, 2, 3, 8, 9].map(|d| params.gradient(d)), [0, 0, 1, 1, 2]);
        for d in -255..=255 {
            assert_eq!(params.gradient(d), -params.gradient(-d));
        }
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        let preset = |max, thresholds, reset| Preset {
            max,
            thresholds,
            reset,
        };
        let error = |bits, near, preset| Params::new(bits, near, preset).unwrap_err();
        assert_eq!(
            error(8, 0, preset(256, [0; 3], 0)),
            "MAXVAL 256; at most 255 at 8 bits"
        );
        assert_eq!(
            error(8, 128, preset(0, [0; 3], 0)),
            "NEAR 128; at most 127 of MAXVAL 255"
        );
        assert_eq!(error(8, 0, preset(0, [9, 8, 0], 0)), "T2 8; from 9 to 255");
        assert_eq!(error(8, 0, preset(0, [0; 3], 2)), "RESET 2; from 3 to 255");
        assert!(Params::new(8, 0, preset(0, [0; 3], 3)).is_ok());
    }
}
