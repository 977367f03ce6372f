//! Compresses a client's change of a tensor and makes the tensor of it again, in blocks cut anywhere.
//!
//! In: differences `d` of a trained tensor from the global one. Out: little-endian bytes as they lie in an update, and
//! back: bytes and a piece of the global tensor become the same piece of the client's. Start at [`encode`] and
//! [`decode_block`]. `f32` tensors only: other formats travel as they are.
//!
//! | encoding | what is written for `d`, P values | what it stands for, `δ` |
//! |---|---|---|
//! | [`Encoding::Delta`] | P x `f32` | `d` |
//! | [`Encoding::Fp16`] | P x IEEE 754 half precision | `d` to the nearest, ties to even |
//! | [`Encoding::Bf16`] | P x the upper half of `f32` | `d` to the nearest, ties to even |
//! | [`Encoding::Int8`] | P x `i8`, one `f32` scale | `q·scale`, `q = round(d/scale)`, `scale = max abs(d) / 127` |
//! | [`Encoding::TopK`] | k places `u32`, k x `f32` | `d` at the k largest by magnitude, 0 elsewhere |
//!
//! What encoding leaves out, `d - δ`, is what a client keeps and adds to its next difference (error feedback: Seide et al.
//! 2014, 1-bit SGD; Karimireddy et al. 2019, arXiv:1901.09847).

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{EncodedTensor, Form, FormError, decode_block};
pub use encode::{EncodeError, Encoded, Encoding, difference, encode, kept};
