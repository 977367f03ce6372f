//! DICOM files: attributes, frames and what their values mean.
//!
//! In: the bytes of a file. Out: [`Attributes`], and an [`Object`] with [`Frame`]s and their [`Meaning`].
//! Start at [`open`]; [`attributes`] for the attributes alone. Only the attributes of [`Attributes::READ`] and those asked
//! for are ever looked at.
//!
//! The reader is our own, and small: it notes where values lie, copies none but those kept, and believes no length. Names,
//! tags and value representations come from the dictionary of dicom-rs.

mod attributes;
mod compressed;
mod element;
mod error;
mod file;
mod fragments;
mod image;
mod lut;
mod meaning;
mod native;
mod syntax;
mod tags;
#[cfg(test)]
mod tests;
mod text;
mod values;

use std::{borrow::Cow, ops::Range};

pub use self::{
    attributes::{Attributes, TransferSyntax},
    error::DicomError,
    syntax::{Coding, SYNTAXES, Syntax},
    tags::Tag,
};
use self::{
    attributes::{asked, sop_class_name},
    element::{Element, items},
    error::{malformed, unsupported},
    file::{Pixels, Read, Until},
    fragments::Fragments,
    image::Image,
    meaning::Sources,
    tags::{DOUBLE_FLOAT_PIXEL_DATA, FLOAT_PIXEL_DATA, PER_FRAME_GROUPS, SHARED_GROUPS, SOP_CLASS_UID},
    values::Set,
};
use super::{Frame, Meaning, Wanted, decode::jpeg};

/// A file with an image: its attributes, and where its frames lie.
#[derive(Debug)]
pub struct Object<'a> {
    read: Read<'a>,
    attributes: Attributes,
    image: Image,
    coding: Coding,
    pixels: Pixels,
    /// Of encapsulated pixel data.
    fragments: Option<Fragments>,
    /// Items of the functional groups, one a frame.
    per_frame: Vec<Range<usize>>,
}

/// Reads the attributes of a file and finds its frames; pixels are neither decoded nor copied.
///
/// Files without a preamble or meta information are read as pydicom guesses: explicit where the first element looks so,
/// else implicit, little endian. A deflated file is inflated up to the end of its pixels.
///
/// # Shapes
/// - `bytes`: a whole file
/// # Errors
/// [`DicomError::NotDicom`]; [`DicomError::Truncated`] within an attribute or a fragment; [`DicomError::NoImage`] where there
/// are no pixels; [`DicomError::TransferSyntax`] where they are encoded as not supported; `Missing`, `Value` and
/// `Unsupported` for attributes of the pixels; `Malformed` and `TooLarge`. Memory is taken for what is there, not for what a
/// length says: at most 1032 times the file's size, and 512 MiB, for a deflated file; little for others.
/// # Source
/// DICOM PS3.5 chapters 7, 8 and annex A, PS3.10 chapter 7. Parity with pydicom: `tests/parity/dicom/`
pub fn open(bytes: &[u8]) -> Result<Object<'_>, DicomError> {
    let read = file::read(bytes, &[], Until::End)?;
    let attributes = attributes::attributes(&read, &[])?;
    let set = read.set();
    let Some(pixels) = read.pixels.clone() else {
        let float = [FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA];
        if float.iter().any(|tag| set.element(*tag).is_some()) {
            return unsupported("an image of floating-point numbers");
        }
        let sop_class = set.code(SOP_CLASS_UID).map(|uid| sop_class_name(&uid));
        return Err(DicomError::NoImage {
            sop_class: sop_class.unwrap_or_else(|| "not said".to_owned()),
        });
    };
    let Some(syntax) = syntax::of(&read.syntax).filter(|syntax| syntax.coding != Coding::Unsupported) else {
        let TransferSyntax { uid, name } = attributes.transfer_syntax;
        return Err(DicomError::TransferSyntax { uid, name });
    };
    let image = Image::new(&set, syntax)?;
    let fragments = match (syntax.coding, pixels.length) {
        (Coding::Native, Some(_)) => None,
        (Coding::Native, None) => {
            return malformed(format!(
                "pixel data in fragments with transfer syntax {}",
                syntax.name
            ));
        }
        (_, None) => Some(Fragments::new(
            &set,
            pixels.place.clone(),
            image.frames,
            syntax.coding,
        )?),
        (_, Some(_)) => {
            return malformed(format!(
                "pixel data not in fragments with transfer syntax {}",
                syntax.name
            ));
        }
    };
    let mut per_frame = Vec::new();
    if let Some(groups) = set.element(PER_FRAME_GROUPS) {
        items(set.bytes, groups, |place| per_frame.push(place))?;
    }
    Ok(Object {
        read,
        attributes,
        image,
        coding: syntax.coding,
        pixels,
        fragments,
        per_frame,
    })
}

/// Reads the attributes of a file up to its pixels, which need not be there.
///
/// `also`: keywords (PS3.6) of attributes whose text is wanted as well, see [`Attributes::asked`].
///
/// # Errors
/// As [`open`], without those about pixels; [`DicomError::Keyword`] for a keyword that no attribute has,
/// [`DicomError::NotText`] where an attribute asked for is a sequence or bytes
/// # Source
/// DICOM PS3.5 chapter 7, PS3.6 chapter 6
pub fn attributes(bytes: &[u8], also: &[&str]) -> Result<Attributes, DicomError> {
    let asked = asked(also)?;
    let tags: Vec<Tag> = asked.iter().map(|asked| asked.tag).collect();
    let read = file::read(bytes, &tags, Until::Pixels)?;
    attributes::attributes(&read, &asked)
}

impl Object<'_> {
    /// What is kept of the file's attributes.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Number of frames, at least 1, as the file says; a frame that is not there is refused when it is asked for.
    pub fn frames(&self) -> u32 {
        self.image.frames
    }

    /// The stored values of a frame; the first is 0.
    ///
    /// # Shapes
    /// - returns rows × columns × 1 or 3, channels of a pixel side by side, words as they were allocated: the value's place in
    ///   them is [`Meaning::stored`]. Full resolution, or with [`Wanted::AtLeast`] what the decoder takes.
    /// - values that already lie so in the file are borrowed
    /// # Errors
    /// [`DicomError::NoSuchFrame`]; [`DicomError::PixelsCutShort`] where pixels of any frame are missing;
    /// [`DicomError::Decode`] as the decoder; [`DicomError::Mismatch`] where the frame is not what the attributes say
    /// # Source
    /// DICOM PS3.5 8.1, 8.2, annexes A and G
    pub fn frame(&self, number: u32, wanted: Wanted) -> Result<Frame<'_>, DicomError> {
        self.check_number(number)?;
        let image = &self.image;
        let Some(fragments) = &self.fragments else {
            let place = self.native_place(number)?;
            if image.allocated == 8 && self.read.encoding.big && self.pixels.vr == Some(*b"OW") {
                let value = &self.read.data[self.pixels.place.clone()];
                let start = place.start - self.pixels.place.start;
                let bytes = native::swapped(value, start..start + place.len());
                return Ok(self.native(&bytes)?.into_owned());
            }
            return self.native(&self.read.data[place]);
        };
        let bytes = fragments.frame(&self.read.data, number as usize);
        if self.coding != Coding::Encapsulated {
            return compressed::decode(&bytes, image, self.coding, wanted);
        }
        let needed = image.native_length();
        if bytes.len() < needed {
            return Err(DicomError::PixelsCutShort {
                frames: 1,
                needed: needed as u64,
                there: bytes.len() as u64,
            });
        }
        match bytes {
            Cow::Borrowed(bytes) => self.native(&bytes[..needed]),
            Cow::Owned(bytes) => Ok(self.native(&bytes[..needed])?.into_owned()),
        }
    }

    /// What the values of a frame mean, with the first window or table the file has.
    ///
    /// A VOI table comes before a window, as with pydicom; PS3.3 C.11.2 leaves the choice. Without either, grey values are
    /// shown from percentile 0.5 to 99.5.
    ///
    /// # Errors
    /// [`DicomError::NoSuchFrame`]; `Value` and `Missing` for attributes that cannot be followed, such as a window below 1 wide
    /// or a slope of 0; `Unsupported` for an unknown VOI LUT function
    /// # Source
    /// DICOM PS3.3 C.7.6.3, C.7.6.16, C.11.1, C.11.2
    pub fn meaning(&self, number: u32) -> Result<Meaning, DicomError> {
        self.meaning_with(number, 0)
    }

    /// What the values of a frame mean, with one of the windows or tables the file has; the first is 0.
    ///
    /// # Errors
    /// As [`Object::meaning`]; [`DicomError::NoSuchWindow`]
    pub fn meaning_with(&self, number: u32, window: usize) -> Result<Meaning, DicomError> {
        self.check_number(number)?;
        let set = self.read.set();
        let mut groups: Vec<Vec<Element>> = Vec::new();
        if let (Some(place), Some(sequence)) =
            (self.per_frame.get(number as usize), set.element(PER_FRAME_GROUPS))
        {
            groups.push(set.item(sequence, place.clone())?);
        }
        groups.extend(set.items(SHARED_GROUPS, 1)?);
        let ybr = match &self.fragments {
            Some(fragments) if self.coding == Coding::Jpeg && self.image.channels == 3 => {
                match jpeg::transform(&fragments.frame(&self.read.data, number as usize))? {
                    jpeg::Transform::Unsaid => None,
                    jpeg::Transform::None => Some(false),
                    jpeg::Transform::Ybr => Some(true),
                }
            }
            _ => None,
        };
        meaning::meaning(&Sources { set, groups }, &self.image, ybr, window)
    }

    /// A frame of words as they are.
    fn native<'b>(&self, bytes: &'b [u8]) -> Result<Frame<'b>, DicomError> {
        let image = &self.image;
        let samples = native::samples(bytes, image, self.read.encoding.big)?;
        let size = (image.columns, image.rows);
        Ok(Frame::new(size, image.channels, image.stored, samples)?)
    }

    fn check_number(&self, number: u32) -> Result<(), DicomError> {
        let frames = self.image.frames;
        if number < frames {
            Ok(())
        } else {
            Err(DicomError::NoSuchFrame { number, frames })
        }
    }

    /// Where a frame that is not compressed lies: all frames must be there.
    fn native_place(&self, number: u32) -> Result<Range<usize>, DicomError> {
        let length = self.image.native_length();
        let Range { start, end } = self.pixels.place;
        let (needed, there) = (length as u64 * u64::from(self.image.frames), (end - start) as u64);
        if there < needed {
            return Err(DicomError::PixelsCutShort {
                frames: self.image.frames,
                needed,
                there,
            });
        }
        let first = start + number as usize * length;
        Ok(first..first + length)
    }
}

impl Read<'_> {
    fn set(&self) -> Set<'_> {
        Set {
            bytes: &self.data,
            elements: &self.elements,
        }
    }
}
