//! The number formats of tensor files, as little-endian bytes.

/// What one value of a tensor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// A floating-point number: averaged.
    Float(Float),
    /// An integer or a boolean: kept exact.
    Integer(Integer),
}

impl Element {
    /// Bytes of one value.
    pub const fn width(self) -> usize {
        match self {
            Element::Float(Float::F16 | Float::Bf16) => 2,
            Element::Float(Float::F32) => 4,
            Element::Float(Float::F64) => 8,
            Element::Integer(Integer::Bool | Integer::U8 | Integer::I8) => 1,
            Element::Integer(Integer::U16 | Integer::I16) => 2,
            Element::Integer(Integer::U32 | Integer::I32) => 4,
            Element::Integer(Integer::U64 | Integer::I64) => 8,
        }
    }
}

/// A floating-point format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Float {
    /// IEEE 754 half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 double precision.
    F64,
}

/// An integer format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integer {
    /// A byte of 0 or 1.
    Bool,
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 16 bits.
    U16,
    /// Signed, 16 bits.
    I16,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 32 bits.
    I32,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 64 bits.
    I64,
}

/// A floating-point format of `N` bytes that can be read to `f64` exactly and written from it with one rounding.
pub(super) trait Format<const N: usize> {
    fn read(bytes: [u8; N]) -> f64;
    /// To the nearest, ties to even.
    fn write(value: f64) -> [u8; N];
}

pub(super) struct F16;
pub(super) struct Bf16;
pub(super) struct F32;
pub(super) struct F64;

impl Format<4> for F32 {
    fn read(bytes: [u8; 4]) -> f64 {
        f64::from(f32::from_le_bytes(bytes))
    }
    fn write(value: f64) -> [u8; 4] {
        (value as f32).to_le_bytes()
    }
}

impl Format<8> for F64 {
    fn read(bytes: [u8; 8]) -> f64 {
        f64::from_le_bytes(bytes)
    }
    fn write(value: f64) -> [u8; 8] {
        value.to_le_bytes()
    }
}

impl Format<2> for F16 {
    fn read(bytes: [u8; 2]) -> f64 {
        Layout::HALF.widen(u16::from_le_bytes(bytes))
    }
    fn write(value: f64) -> [u8; 2] {
        Layout::HALF.narrow(value).to_le_bytes()
    }
}

impl Format<2> for Bf16 {
    fn read(bytes: [u8; 2]) -> f64 {
        f64::from(f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16))
    }
    fn write(value: f64) -> [u8; 2] {
        // Not by way of f32, which would round twice.
        Layout::BRAIN.narrow(value).to_le_bytes()
    }
}

/// How 16 bits are divided: a sign, an exponent with a bias, a fraction.
struct Layout {
    fraction_bits: i32,
    bias: i32,
}

impl Layout {
    const HALF: Layout = Layout {
        fraction_bits: 10,
        bias: 15,
    };
    const BRAIN: Layout = Layout {
        fraction_bits: 7,
        bias: 127,
    };

    /// The code of infinity; larger codes are NaN.
    const fn infinity(&self) -> u16 {
        ((2 * self.bias + 1) as u16) << self.fraction_bits
    }

    fn widen(&self, code: u16) -> f64 {
        let sign = if code >> 15 == 1 { -1.0 } else { 1.0 };
        let code = code & 0x7fff;
        if code >= self.infinity() {
            return if code == self.infinity() {
                sign * f64::INFINITY
            } else {
                f64::NAN
            };
        }
        let exponent = i32::from(code >> self.fraction_bits);
        let fraction = code & ((1 << self.fraction_bits) - 1);
        // Exponent 0 has no hidden bit and the scale of exponent 1.
        let hidden = if exponent > 0 {
            1_u16 << self.fraction_bits
        } else {
            0
        };
        sign * f64::from(hidden + fraction) * power_of_two(exponent.max(1) - self.bias - self.fraction_bits)
    }

    fn narrow(&self, value: f64) -> u16 {
        let sign = ((value.to_bits() >> 63) as u16) << 15;
        if value.is_nan() {
            return sign | self.infinity() | 1 << (self.fraction_bits - 1);
        }
        let magnitude = value.abs();
        let exponent = (magnitude.to_bits() >> 52) as i32 - 1023;
        if exponent > self.bias {
            return sign | self.infinity();
        }
        // In units of the last place, which below the smallest normal number no longer shrinks.
        let scale = exponent.max(1 - self.bias);
        let units = (magnitude * power_of_two(self.fraction_bits - scale)).round_ties_even() as u16;
        // A normal number's hidden bit, or a rounding that carries, adds 1 to the exponent by itself; infinity included.
        sign | ((((scale + self.bias - 1) as u16) << self.fraction_bits) + units)
    }
}

/// 2^`exponent` for exponents of normal `f64`.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_half_and_brain_float_reads_back() {
        for code in 0..=u16::MAX {
            let bytes = code.to_le_bytes();
            for (wide, back) in [
                (F16::read(bytes), F16::write(F16::read(bytes))),
                (Bf16::read(bytes), Bf16::write(Bf16::read(bytes))),
            ] {
                assert!(wide.is_nan() || back == bytes, "{code:#06x}");
            }
        }
    }

    #[test]
    fn known_half_floats() {
        for (value, code) in [
            (1.0, 0x3c00_u16),
            (-2.0, 0xc000),
            (65504.0, 0x7bff),
            (65519.99, 0x7bff),
            (65520.0, 0x7c00),
            (6.103_515_625e-5, 0x0400),
            (5.960_464_477_539_063e-8, 0x0001),
            (2.980_232_238_769_531_3e-8, 0x0000),
            (1.0 + 1.0 / 2048.0, 0x3c00),
            (1.0 + 3.0 / 2048.0, 0x3c02),
        ] {
            assert_eq!(Layout::HALF.narrow(value), code, "{value}");
        }
        assert_eq!(Layout::HALF.widen(0x3555), 0.333_251_953_125);
        assert!(Layout::HALF.widen(Layout::HALF.narrow(f64::NAN)).is_nan());
    }

    #[test]
    fn a_brain_float_is_rounded_once() {
        // Just above the middle of two brain floats, but exactly on it as an f32.
        let value = 1.0 + 1.0 / 256.0 + 1e-12;
        assert_eq!(f64::from(value as f32), 1.0 + 1.0 / 256.0);
        assert_eq!(Layout::BRAIN.narrow(value), 0x3f81);
    }

    proptest! {
        #[test]
        fn a_narrowed_value_is_one_of_the_nearest(value in -70000.0..70000.0_f64) {
            let code = Layout::HALF.narrow(value);
            let error = |code: u16| (Layout::HALF.widen(code) - value).abs();
            prop_assume!(error(code).is_finite());
            let (sign, magnitude) = (code & 0x8000, code & 0x7fff);
            for neighbour in [magnitude.saturating_sub(1), magnitude + 1] {
                prop_assert!(error(code) <= error(sign | neighbour));
            }
        }
    }
}
