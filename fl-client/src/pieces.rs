//! Tensor files of mixed types: encoded updates and residuals.
//!
//! In: metadata and [`Piece`]s. Out: a safetensors file, whole or none; the same pieces always give the same bytes. Wider
//! values lie before narrower ones, so that each tensor is aligned for readers that map the file. Start at
//! [`write_pieces`].

use std::{cmp::Reverse, collections::BTreeMap, io::Write, path::Path};

use contract::{
    job::{JobError, write_whole},
    tensors::{TensorInfo, encode_header},
};

/// Writes a file of these tensors: wider types first, else in the given order; the same pieces give the same bytes.
///
/// # Errors
/// `Io` naming the file; nothing is left then.
pub fn write_pieces(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    mut pieces: Vec<Piece>,
) -> Result<(), JobError> {
    pieces.sort_by_key(|piece| Reverse(piece.kind.width()));
    let tensors: Vec<_> = pieces
        .iter()
        .map(|piece| TensorInfo {
            name: &piece.name,
            dtype: piece.kind.as_str(),
            shape: &piece.shape,
            bytes: piece.bytes.len(),
        })
        .collect();
    write_whole(path, |out| {
        out.write_all(&encode_header(metadata, &tensors))?;
        pieces.iter().try_for_each(|piece| out.write_all(&piece.bytes))
    })
}

/// A tensor as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: PieceKind,
    /// Its shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// Its values, little-endian, row-major.
    pub bytes: Vec<u8>,
}

/// The types of tensors in updates, the widest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceKind {
    /// 64-bit integers.
    I64,
    /// 64-bit integers without a sign.
    U64,
    /// Single precision.
    F32,
    /// 32-bit integers without a sign.
    U32,
    /// Half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
    /// 8-bit integers.
    I8,
}

impl PieceKind {
    /// The word in the file's header.
    pub const fn as_str(self) -> &'static str {
        match self {
            PieceKind::I64 => "I64",
            PieceKind::U64 => "U64",
            PieceKind::F32 => "F32",
            PieceKind::U32 => "U32",
            PieceKind::F16 => "F16",
            PieceKind::Bf16 => "BF16",
            PieceKind::I8 => "I8",
        }
    }

    /// Bytes of one value.
    pub const fn width(self) -> usize {
        match self {
            PieceKind::I64 | PieceKind::U64 => 8,
            PieceKind::F32 | PieceKind::U32 => 4,
            PieceKind::F16 | PieceKind::Bf16 => 2,
            PieceKind::I8 => 1,
        }
    }
}

impl Piece {
    /// Single-precision values.
    pub fn floats(name: String, shape: &[usize], values: &[f32]) -> Self {
        Self {
            name,
            kind: PieceKind::F32,
            shape: shape.to_vec(),
            bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }
}
