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
