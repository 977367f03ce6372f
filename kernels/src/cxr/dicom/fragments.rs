//! Where the frames of encapsulated pixel data lie (PS3.5 A.4).
//!
//! In: the value of the pixel data. Out: each frame's fragments. Start at [`Fragments::new`].

use std::{borrow::Cow, ops::Range};

use super::{
    DicomError,
    element::{Encoding, head},
    error::malformed,
    syntax::Coding,
    tags::{EXTENDED_OFFSET_TABLE, EXTENDED_OFFSET_TABLE_LENGTHS, ITEM, PIXEL_DATA, SEQUENCE_END},
    values::Set,
};

/// The fragments of a file, and which of them make a frame.
#[derive(Debug)]
pub(super) struct Fragments {
    places: Vec<Range<usize>>,
    /// The first fragment of each frame, and one past the last of all.
    first: Vec<usize>,
    /// Length of each frame where the extended offset table says it; what follows is padding.
    lengths: Vec<usize>,
}

impl Fragments {
    /// Finds the fragments in `data[place]`, and by them `frames` frames.
    ///
    /// A single frame has all fragments. Else the extended offset table is believed first, then the basic one; without them
    /// there is a fragment a frame, or a frame begins where a fragment begins like a compressed image.
    pub fn new(set: &Set<'_>, place: Range<usize>, frames: u32, coding: Coding) -> Result<Self, DicomError> {
        let data = &set.bytes[..place.end];
        let (table, places) = fragments(data, place.start)?;
        if places.len() < frames as usize {
            return malformed(format!(
                "{} fragments of pixel data cannot be {frames} frames",
                places.len()
            ));
        }
        let (starts, lengths) = extended(set)?;
        let basic = || {
            let table = data[table.clone()].as_chunks().0.iter();
            table
                .map(|offset| u64::from(u32::from_le_bytes(*offset)))
                .collect()
        };
        let starts: Vec<u64> = if starts.is_empty() { basic() } else { starts };
        let frames = frames as usize;
        let mut first = if frames == 1 {
            vec![0]
        } else if starts.len() == frames {
            by_table(&starts, &places)?
        } else if !starts.is_empty() {
            return malformed(format!("an offset table of {} for {frames} frames", starts.len()));
        } else if places.len() == frames {
            (0..frames).collect()
        } else {
            by_marks(data, &places, frames, coding)?
        };
        first.push(places.len());
        let lengths = if lengths.len() == frames {
            lengths
        } else {
            Vec::new()
        };
        Ok(Self {
            places,
            first,
            lengths,
        })
    }

    /// The bytes of a frame; copied where they are in several fragments. `number` is below the number of frames.
    pub fn frame<'d>(&self, data: &'d [u8], number: usize) -> Cow<'d, [u8]> {
        let mut bytes = match &self.places[self.first[number]..self.first[number + 1]] {
            [one] => Cow::Borrowed(&data[one.clone()]),
            several => {
                let pieces: Vec<&[u8]> = several.iter().map(|place| &data[place.clone()]).collect();
                Cow::Owned(pieces.concat())
            }
        };
        if let Some(length) = self.lengths.get(number).filter(|length| **length < bytes.len()) {
            match &mut bytes {
                Cow::Borrowed(bytes) => *bytes = &bytes[..*length],
                Cow::Owned(bytes) => bytes.truncate(*length),
            }
        }
        bytes
    }
}

/// The place of the basic offset table, and those of the fragments.
fn fragments(data: &[u8], mut at: usize) -> Result<(Range<usize>, Vec<Range<usize>>), DicomError> {
    let mut table = None;
    let mut places = Vec::new();
    // The mark of the end may be missing at the end of a file.
    while data.len() - at >= 8 {
        let item = head(data, at, Encoding::EXPLICIT)?;
        if item.tag == SEQUENCE_END {
            break;
        }
        let Some(length) = item.length().filter(|_| item.tag == ITEM) else {
            return malformed(format!(
                "{} where a fragment of pixel data was expected",
                item.tag
            ));
        };
        let there = data.len() - item.value;
        if length > there {
            return Err(DicomError::Truncated {
                tag: PIXEL_DATA,
                needed: length as u64,
                there: there as u64,
            });
        }
        at = item.value + length;
        match table {
            None => table = Some(item.value..at),
            Some(_) => places.push(item.value..at),
        }
    }
    match table {
        Some(table) => Ok((table, places)),
        None => malformed("encapsulated pixel data without a basic offset table"),
    }
}

/// The extended offset table and its lengths (PS3.3 C.7.6.3.1.8).
fn extended(set: &Set<'_>) -> Result<(Vec<u64>, Vec<usize>), DicomError> {
    let longs = |tag| -> Vec<u64> {
        let bytes = set.value(tag).unwrap_or_default();
        let longs = bytes.as_chunks().0.iter();
        longs.map(|long| u64::from_le_bytes(*long)).collect()
    };
    let starts = longs(EXTENDED_OFFSET_TABLE);
    let lengths = longs(EXTENDED_OFFSET_TABLE_LENGTHS);
    if !starts.is_empty() && !lengths.is_empty() && lengths.len() != starts.len() {
        return malformed("extended offset tables of different lengths");
    }
    let lengths = lengths
        .into_iter()
        .map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    Ok((starts, lengths.collect()))
}

/// Offsets count from the mark of the first fragment, and point at marks of others.
fn by_table(starts: &[u64], places: &[Range<usize>]) -> Result<Vec<usize>, DicomError> {
    let Some(origin) = places.first().map(|place| place.start) else {
        return malformed("an offset table without fragments");
    };
    let mut first: Vec<usize> = Vec::with_capacity(starts.len() + 1);
    for start in starts {
        let at = usize::try_from(*start)
            .ok()
            .and_then(|start| start.checked_add(origin));
        let found = at.and_then(|at| places.binary_search_by_key(&at, |place| place.start).ok());
        match found {
            Some(fragment) if first.last().map_or(fragment == 0, |last| fragment > *last) => {
                first.push(fragment);
            }
            _ => {
                return malformed(format!(
                    "offset {start} of the offset table is not the next frame's"
                ));
            }
        }
    }
    Ok(first)
}

/// A frame begins where a fragment begins with a mark of its codec.
fn by_marks(
    data: &[u8],
    places: &[Range<usize>],
    frames: usize,
    coding: Coding,
) -> Result<Vec<usize>, DicomError> {
    let mark: &[u8] = match coding {
        Coding::Jpeg | Coding::JpegLs => &[0xFF, 0xD8, 0xFF],
        Coding::Jpeg2000 => &[0xFF, 0x4F, 0xFF, 0x51],
        Coding::Native | Coding::Encapsulated | Coding::Rle | Coding::Unsupported => &[],
    };
    let begins = |fragment: &usize| !mark.is_empty() && data[places[*fragment].clone()].starts_with(mark);
    let first: Vec<usize> = (0..places.len()).filter(begins).collect();
    if first.len() != frames || first.first() != Some(&0) {
        return malformed(format!(
            "{} fragments of pixel data without an offset table, {frames} frames: where each begins cannot be told",
            places.len()
        ));
    }
    Ok(first)
}
