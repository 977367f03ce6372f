//! Tables of values: modality and VOI tables (PS3.3 C.11.1, C.11.2) and palettes (C.7.6.3.1.5, C.7.9).

use super::{
    DicomError,
    element::Encoding,
    error::{bad_value, malformed},
    tags::*,
    values::Set,
};
use crate::cxr::{Colour, Lut};

/// What a descriptor says: number of entries, first input, bits of an entry.
#[derive(Debug, Clone, Copy)]
struct Descriptor {
    entries: usize,
    first: i32,
    bits: u32,
}

fn descriptor(set: &Set<'_>, tag: Tag, signed: bool) -> Result<Descriptor, DicomError> {
    let words = set.words(tag)?;
    let &[entries, first, bits] = words.as_slice() else {
        if words.is_empty() {
            return Err(DicomError::Missing {
                keyword: keyword(tag),
            });
        }
        return Err(bad_value(tag, format!("{} numbers", words.len()), "3 numbers"));
    };
    if !(8..=16).contains(&bits) {
        return Err(bad_value(
            tag,
            format!("{bits} bits an entry"),
            "8 to 16 bits an entry",
        ));
    }
    Ok(Descriptor {
        // 65536 does not fit a word: it is written 0.
        entries: if entries == 0 {
            65_536
        } else {
            usize::from(entries)
        },
        first: match signed {
            true => i32::from(first.cast_signed()),
            false => i32::from(first),
        },
        bits: u32::from(bits),
    })
}

/// Entries of a table: words, or bytes where there is only room for those.
fn entries(set: &Set<'_>, tag: Tag, descriptor: &Descriptor) -> Result<Vec<u16>, DicomError> {
    let (Some(value), Some(element)) = (set.value(tag), set.element(tag)) else {
        return Err(DicomError::Missing {
            keyword: keyword(tag),
        });
    };
    let count = descriptor.entries;
    let values: Vec<u16> = if value.len() >= 2 * count {
        let words = value[..2 * count].as_chunks().0.iter();
        words.map(|word| element.encoding.u16(*word)).collect()
    } else if descriptor.bits == 8 && value.len() >= count {
        bytes(value, element.encoding, element.vr)[..count].to_vec()
    } else {
        let found = format!("{} bytes long", value.len());
        return Err(bad_value(
            tag,
            found,
            format!("{count} entries of {} bits", descriptor.bits),
        ));
    };
    let most = (1_u32 << descriptor.bits) - 1;
    if let Some(value) = values.iter().find(|value| u32::from(**value) > most) {
        return Err(bad_value(tag, value, format!("at most {most} in each entry")));
    }
    Ok(values)
}

/// Bytes of a table, each two of which may have been written as a word.
fn bytes(value: &[u8], encoding: Encoding, vr: Option<[u8; 2]>) -> Vec<u16> {
    let swap = usize::from(encoding.big && vr != Some(*b"OB"));
    (0..value.len())
        .map(|at| u16::from(*value.get(at ^ swap).unwrap_or(&value[at])))
        .collect()
}

/// The table of an item of the modality or VOI LUT sequence. `signed`: whether its inputs may be below 0.
pub(super) fn lut(item: &Set<'_>, signed: bool) -> Result<Lut, DicomError> {
    let descriptor = descriptor(item, LUT_DESCRIPTOR, signed)?;
    Ok(Lut {
        first: descriptor.first,
        values: entries(item, LUT_DATA, &descriptor)?,
        bits: descriptor.bits,
    })
}

/// The luma of a palette's entries.
pub(super) fn palette(set: &Set<'_>, signed: bool) -> Result<Colour, DicomError> {
    let [red, green, blue] = [
        (RED_DESCRIPTOR, RED_DATA, RED_SEGMENTED),
        (GREEN_DESCRIPTOR, GREEN_DATA, GREEN_SEGMENTED),
        (BLUE_DESCRIPTOR, BLUE_DATA, BLUE_SEGMENTED),
    ]
    .map(|(describes, data, segmented)| {
        let descriptor = descriptor(set, describes, signed)?;
        let values = match set.value(data) {
            Some(_) => entries(set, data, &descriptor)?,
            None => segments(set, segmented, &descriptor)?,
        };
        Ok::<_, DicomError>((descriptor, values))
    });
    let ((described, red), (_, green), (_, blue)) = (red?, green?, blue?);
    if red.len() != green.len() || red.len() != blue.len() {
        return malformed("palettes of different lengths");
    }
    // Entries of fewer bits are spread over all 16.
    let most = (1_u32 << described.bits) - 1;
    let wide = |value: u16| (u32::from(value).min(most) * 65_535 + most / 2) / most;
    let luma = red.iter().zip(&green).zip(&blue).map(|((red, green), blue)| {
        // Weights of ITU-R BT.601 that sum to 65536, as in the conversion of pictures to grey.
        let sum = wide(*red) * 19_595 + wide(*green) * 38_470 + wide(*blue) * 7_471;
        (u64::from(sum) + 0x8000) >> 16
    });
    Ok(Colour::Palette {
        first: described.first,
        // At most 65535: the weights sum to 65536.
        luma: luma.map(|luma| luma as u16).collect(),
    })
}

/// Entries of a segmented palette (PS3.3 C.7.9.2): runs of values, straight lines, and repetitions of earlier segments.
fn segments(set: &Set<'_>, tag: Tag, descriptor: &Descriptor) -> Result<Vec<u16>, DicomError> {
    let (Some(value), Some(element)) = (set.value(tag), set.element(tag)) else {
        return Err(DicomError::Missing {
            keyword: keyword(tag),
        });
    };
    let words: Vec<u16> = match descriptor.bits {
        8 => bytes(value, element.encoding, element.vr),
        _ => set.words(tag)?,
    };
    let mut segments = Segments {
        words: &words,
        most: descriptor.entries,
        narrow: descriptor.bits == 8,
        out: Vec::new(),
    };
    let mut at = 0;
    // A byte of padding may follow.
    while segments.out.len() < descriptor.entries && at < words.len() {
        at = segments.expand(at, true)?;
    }
    if segments.out.len() != descriptor.entries {
        let found = format!("{} entries long", segments.out.len());
        return Err(bad_value(tag, found, format!("{} entries", descriptor.entries)));
    }
    Ok(segments.out)
}

struct Segments<'w> {
    words: &'w [u16],
    most: usize,
    narrow: bool,
    out: Vec<u16>,
}

impl Segments<'_> {
    fn word(&self, at: usize) -> Result<u16, DicomError> {
        match self.words.get(at) {
            Some(word) => Ok(*word),
            None => malformed("a segmented palette that ends within a segment"),
        }
    }

    /// Expands the segment at `at`: returns where the next one is.
    fn expand(&mut self, at: usize, may_repeat: bool) -> Result<usize, DicomError> {
        let length = usize::from(self.word(at + 1)?);
        if length == 0 {
            // Each segment makes entries, so that none can be repeated without end.
            return malformed("a segmented palette with an empty segment");
        }
        match self.word(at)? {
            0 => {
                for place in 0..length {
                    let value = self.word(at + 2 + place)?;
                    self.push(value)?;
                }
                Ok(at + 2 + length)
            }
            1 => {
                let (Some(from), to) = (self.out.last().copied(), self.word(at + 2)?) else {
                    return malformed("a segmented palette that begins with a straight line");
                };
                let (from, to, length) = (i64::from(from), i64::from(to), length as i64);
                for step in 1..=length {
                    // Rounded to the nearest, halves up; between two words.
                    let value = from + (2 * (to - from) * step + length).div_euclid(2 * length);
                    self.push(value as u16)?;
                }
                Ok(at + 3)
            }
            2 if may_repeat => {
                // The place of the first segment in bytes, the lower half first.
                let (start, next) = if self.narrow {
                    let byte = |place| Ok::<_, DicomError>(usize::from(self.word(at + 2 + place)? & 0xFF));
                    (byte(0)? | byte(1)? << 8 | byte(2)? << 16 | byte(3)? << 24, at + 6)
                } else {
                    let (low, high) = (usize::from(self.word(at + 2)?), usize::from(self.word(at + 3)?));
                    ((low | high << 16) / 2, at + 4)
                };
                let mut place = start;
                for _ in 0..length {
                    if place >= at {
                        return malformed("a segmented palette that repeats what comes later");
                    }
                    place = self.expand(place, false)?;
                }
                Ok(next)
            }
            2 => malformed("a segmented palette that repeats a repetition"),
            kind => malformed(format!("a segmented palette with a segment of kind {kind}")),
        }
    }

    fn push(&mut self, value: u16) -> Result<(), DicomError> {
        if self.out.len() == self.most {
            return malformed(format!("a segmented palette of more than {} entries", self.most));
        }
        self.out.push(value);
        Ok(())
    }
}
