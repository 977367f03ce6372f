//! Data elements, items and sequences: where they begin and end (PS3.5 chapter 7).
//!
//! In: the bytes of a data set. Out: places in them; nothing is copied, and no length is believed that the bytes do not
//! bear out. Start at [`walk`].

use std::ops::Range;

use super::{
    DicomError,
    error::malformed,
    tags::{ITEM, ITEM_END, PIXEL_DATA, SEQUENCE_END, Tag},
};

/// Sequences within sequences that are followed.
const MAX_DEPTH: u32 = 32;

/// The length that says: up to a mark.
const UNDEFINED: u32 = u32::MAX;

/// How the elements of a data set are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Encoding {
    /// Whether each element names its value representation.
    pub explicit: bool,
    /// Whether numbers begin with their highest byte.
    pub big: bool,
}

impl Encoding {
    pub const IMPLICIT: Self = Self {
        explicit: false,
        big: false,
    };
    pub const EXPLICIT: Self = Self {
        explicit: true,
        big: false,
    };
    pub const BIG: Self = Self {
        explicit: true,
        big: true,
    };

    pub fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.big {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        }
    }

    pub fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    }
}

/// A data element: where its value lies.
#[derive(Debug, Clone)]
pub(super) struct Element {
    pub tag: Tag,
    /// The value representation, where it is written.
    pub vr: Option<[u8; 2]>,
    /// How the value is written, and what is in it.
    pub encoding: Encoding,
    pub value: Range<usize>,
}

/// What precedes a value.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub tag: Tag,
    pub vr: Option<[u8; 2]>,
    length: u32,
    /// Where the value begins.
    pub value: usize,
}

impl Head {
    /// The value's length, if it is said.
    pub fn length(&self) -> Option<usize> {
        (self.length != UNDEFINED).then_some(self.length as usize)
    }

    /// How what is in the value is written: unknown values are implicit, little endian (PS3.5 6.2.2, note 5).
    fn inner(&self, encoding: Encoding) -> Encoding {
        if self.vr == Some(*b"UN") {
            Encoding::IMPLICIT
        } else {
            encoding
        }
    }
}

/// Reads what precedes the value at `at`; `bytes` is a whole item or data set.
pub(super) fn head(bytes: &[u8], at: usize, encoding: Encoding) -> Result<Head, DicomError> {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some(&[a, b, c, d, e, f, g, h]) = rest.first_chunk() else {
        return Err(DicomError::Truncated {
            tag: Tag(0),
            needed: 8,
            there: rest.len() as u64,
        });
    };
    let tag = Tag(u32::from(encoding.u16([a, b])) << 16 | u32::from(encoding.u16([c, d])));
    let implicit = || Head {
        tag,
        vr: None,
        length: encoding.u32([e, f, g, h]),
        value: at + 8,
    };
    // Items have no value representation; some writers leave it out of single elements too.
    if !encoding.explicit || tag.group() == 0xFFFE || ![e, f].iter().all(u8::is_ascii_uppercase) {
        return Ok(implicit());
    }
    let vr = [e, f];
    if !is_long(vr) {
        return Ok(Head {
            tag,
            vr: Some(vr),
            length: u32::from(encoding.u16([g, h])),
            value: at + 8,
        });
    }
    let Some(&length) = rest.get(8..).and_then(|rest| rest.first_chunk()) else {
        return Err(DicomError::Truncated {
            tag,
            needed: 12,
            there: rest.len() as u64,
        });
    };
    Ok(Head {
        tag,
        vr: Some(vr),
        length: encoding.u32(length),
        value: at + 12,
    })
}

/// Whether the length has 32 bits (PS3.5 7.1.2).
fn is_long(vr: [u8; 2]) -> bool {
    matches!(
        &vr,
        b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN" | b"UR" | b"UT" | b"UV"
    )
}

/// Whether it is a value representation of PS3.5 6.2.
pub(super) fn is_vr(vr: [u8; 2]) -> bool {
    is_long(vr)
        || matches!(
            &vr,
            b"AE"
                | b"AS"
                | b"AT"
                | b"CS"
                | b"DA"
                | b"DS"
                | b"DT"
                | b"FL"
                | b"FD"
                | b"IS"
                | b"LO"
                | b"LT"
                | b"PN"
                | b"SH"
                | b"SL"
                | b"SS"
                | b"ST"
                | b"TM"
                | b"UI"
                | b"UL"
                | b"US"
        )
}

/// Where the value of `head` ends, marks left out, and where the next element begins.
fn end(bytes: &[u8], head: &Head, encoding: Encoding, depth: u32) -> Result<(usize, usize), DicomError> {
    let Some(length) = head.length() else {
        return end_of_sequence(bytes, head.value, head.inner(encoding), depth);
    };
    let there = bytes.len() - head.value;
    if length > there {
        return Err(DicomError::Truncated {
            tag: head.tag,
            needed: length as u64,
            there: there as u64,
        });
    }
    Ok((head.value + length, head.value + length))
}

/// Where a sequence of undefined length ends.
fn end_of_sequence(
    bytes: &[u8],
    mut at: usize,
    encoding: Encoding,
    depth: u32,
) -> Result<(usize, usize), DicomError> {
    if depth > MAX_DEPTH {
        return Err(DicomError::TooLarge {
            what: "a sequence within a sequence, again and again".to_owned(),
            most: u64::from(MAX_DEPTH),
        });
    }
    loop {
        let head = head(bytes, at, encoding)?;
        if head.tag == SEQUENCE_END {
            return Ok((at, head.value));
        }
        at = end_of_item(bytes, &head, encoding, depth)?.1;
    }
}

/// Where an item ends, and where the next one begins.
fn end_of_item(
    bytes: &[u8],
    item: &Head,
    encoding: Encoding,
    depth: u32,
) -> Result<(usize, usize), DicomError> {
    if item.tag != ITEM {
        return malformed(format!("{} where an item was expected", item.tag));
    }
    if item.length().is_some() {
        return end(bytes, item, encoding, depth);
    }
    let mut at = item.value;
    loop {
        let head = head(bytes, at, encoding)?;
        if head.tag == ITEM_END {
            return Ok((at, head.value));
        }
        if head.tag.group() == 0xFFFE {
            return malformed(format!("{} where an element was expected", head.tag));
        }
        at = end(bytes, &head, encoding, depth + 1)?.1;
    }
}

/// Calls `keep` with each element of a data set or item, up to the pixel data: returns what precedes them, if there are any.
///
/// Fewer bytes than an element takes may follow the last one.
pub(super) fn walk(
    bytes: &[u8],
    within: Range<usize>,
    encoding: Encoding,
    mut keep: impl FnMut(Element),
) -> Result<Option<Head>, DicomError> {
    let bytes = &bytes[..within.end];
    let mut at = within.start;
    while bytes.len() - at >= 8 {
        let head = head(bytes, at, encoding)?;
        if head.tag == PIXEL_DATA {
            return Ok(Some(head));
        }
        let (last, next) = end(bytes, &head, encoding, 1)?;
        keep(Element {
            tag: head.tag,
            vr: head.vr,
            encoding: head.inner(encoding),
            value: head.value..last,
        });
        at = next;
    }
    Ok(None)
}

/// Calls `keep` with the place of each item in the value of a sequence.
pub(super) fn items(
    bytes: &[u8],
    sequence: &Element,
    mut keep: impl FnMut(Range<usize>),
) -> Result<(), DicomError> {
    let bytes = &bytes[..sequence.value.end];
    let mut at = sequence.value.start;
    while bytes.len() - at >= 8 {
        let head = head(bytes, at, sequence.encoding)?;
        if head.tag == SEQUENCE_END {
            break;
        }
        let (last, next) = end_of_item(bytes, &head, sequence.encoding, 1)?;
        keep(head.value..last);
        at = next;
    }
    Ok(())
}
