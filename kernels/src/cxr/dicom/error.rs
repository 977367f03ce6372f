//! Why a DICOM file cannot be read.

use super::tags::Tag;
use crate::cxr::{ImageError, decode::DecodeError};

/// Why a DICOM file, or a frame of it, cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DicomError {
    /// Bytes that are no DICOM file.
    #[error("not a DICOM file: it begins with {found}, neither a preamble and `DICM` nor a data set")]
    NotDicom {
        /// Its first bytes.
        found: String,
    },
    /// The file ends within an attribute.
    #[error("cut short in {tag}: it needs {needed} bytes, {there} are there")]
    Truncated {
        /// The attribute.
        tag: Tag,
        /// Bytes its value or header needs.
        needed: u64,
        /// Bytes left.
        there: u64,
    },
    /// The file ends within the pixels.
    #[error(
        "the pixel data is cut short: {needed} bytes are needed for all frames ({frames}), {there} are there"
    )]
    PixelsCutShort {
        /// Frames the file says it has.
        frames: u32,
        /// Bytes they need.
        needed: u64,
        /// Bytes there are.
        there: u64,
    },
    /// A data set or its pixels break the rules of PS3.5.
    #[error("malformed: {what}")]
    Malformed {
        /// What was found and what was expected.
        what: String,
    },
    /// More than may be taken memory for.
    #[error("{what}; at most {most}")]
    TooLarge {
        /// What there is.
        what: String,
        /// The limit.
        most: u64,
    },
    /// An attribute that an image must have.
    #[error("`{keyword}` is missing")]
    Missing {
        /// Its keyword.
        keyword: &'static str,
    },
    /// A value that its attribute cannot have.
    #[error("`{keyword}` is {found}; it must be {expected}")]
    Value {
        /// The attribute's keyword.
        keyword: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// A file about something else than an image.
    #[error("holds no image: SOP class {sop_class}")]
    NoImage {
        /// Name of the SOP class, its UID where it has no name.
        sop_class: String,
    },
    /// Pixels encoded in a way that is not decoded.
    #[error("transfer syntax {name} ({uid}) is not supported")]
    TransferSyntax {
        /// Its UID.
        uid: String,
        /// Its name.
        name: String,
    },
    /// A kind of image that is not read.
    #[error("{what} is not supported")]
    Unsupported {
        /// The kind.
        what: String,
    },
    /// A compressed frame that is not what the attributes say.
    #[error("the compressed frame has {what} {found}, the attributes say {expected}")]
    Mismatch {
        /// What differs.
        what: &'static str,
        /// In the frame.
        found: String,
        /// In the attributes.
        expected: String,
    },
    /// A frame that the file does not have.
    #[error("frame {number} was asked for, the first is 0 and there are {frames}")]
    NoSuchFrame {
        /// The frame.
        number: u32,
        /// Frames there are.
        frames: u32,
    },
    /// A window or table that the file does not have.
    #[error("window {window} was asked for, the first is 0 and there are {windows}")]
    NoSuchWindow {
        /// The window.
        window: usize,
        /// Windows there are.
        windows: usize,
    },
    /// A keyword that no attribute has.
    #[error("`{keyword}` is no keyword of an attribute (PS3.6)")]
    Keyword {
        /// The keyword.
        keyword: String,
    },
    /// An attribute asked for that is not made of text or numbers.
    #[error("`{keyword}` has neither text nor numbers")]
    NotText {
        /// Its keyword.
        keyword: String,
    },
    /// The decoder's refusal.
    #[error("a frame cannot be decoded")]
    Decode(#[from] DecodeError),
    /// A size that no frame may have.
    #[error("a frame is out of range")]
    Frame(#[from] ImageError),
}

/// A value that its attribute cannot have.
pub(super) fn bad_value(tag: Tag, found: impl ToString, expected: impl Into<String>) -> DicomError {
    DicomError::Value {
        keyword: super::tags::keyword(tag),
        found: found.to_string(),
        expected: expected.into(),
    }
}

/// A break of the rules of PS3.5.
pub(super) fn malformed<T>(what: impl Into<String>) -> Result<T, DicomError> {
    Err(DicomError::Malformed { what: what.into() })
}

/// A kind of image that is not read.
pub(super) fn unsupported<T>(what: impl Into<String>) -> Result<T, DicomError> {
    Err(DicomError::Unsupported { what: what.into() })
}
