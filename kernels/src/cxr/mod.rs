//! Makes decoded radiographs alike: 8-bit grey, one size.
//!
//! In: an image as a decoder gives it (grey, colour, with alpha, 8 or 16 bits). Out: 8-bit grey pixels.
//! Start at [`to_grey`], then [`resize`].

mod grey;
mod resize;

pub use grey::to_grey;
pub use resize::resize;

/// Why an image cannot be prepared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// A kind of pixel that no radiograph format stores.
    #[error("pixels of type {kind} are not supported; use 8 or 16 bits a channel")]
    PixelType {
        /// The pixel type.
        kind: String,
    },
    /// An image or a target without pixels.
    #[error("an image of {width} x {height} pixels cannot be made {size} x {size}")]
    NoPixels {
        /// Width of the image.
        width: u32,
        /// Height of the image.
        height: u32,
        /// Width and height asked for.
        size: u32,
    },
}
