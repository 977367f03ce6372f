//! From the bytes of a file to the places of its attributes and pixels (PS3.10 chapter 7).
//!
//! In: a file's bytes. Out: [`Read`]. Start at [`read`].

use std::{borrow::Cow, ops::Range};

use flate2::{Decompress, FlushDecompress, Status};

use super::{
    DicomError,
    element::{Element, Encoding, Head, head, is_vr, walk},
    error::malformed,
    syntax,
    tags::{READ, TRANSFER_SYNTAX_UID, Tag},
    values::trimmed,
};

/// Most bytes a deflated file may inflate to.
pub(super) const MAX_INFLATED: usize = 512 << 20;

/// Bytes inflated at first, where they are enough for the attributes.
const FIRST_INFLATED: usize = 64 << 10;

/// Bytes before the mark `DICM`.
const PREAMBLE: usize = 128;

/// A file whose attributes have been found.
#[derive(Debug)]
pub(super) struct Read<'a> {
    /// The bytes that places are in: those of the file, or inflated ones.
    pub data: Cow<'a, [u8]>,
    /// The attributes kept, in the order of their tags.
    pub elements: Vec<Element>,
    /// The pixel data, if there are any.
    pub pixels: Option<Pixels>,
    /// How the data set is written.
    pub encoding: Encoding,
    /// UID of the transfer syntax; as guessed, where the file says none.
    pub syntax: String,
}

/// Pixel data as they lie in the file.
#[derive(Debug, Clone)]
pub(super) struct Pixels {
    pub vr: Option<[u8; 2]>,
    /// Their place, as far as the file reaches.
    pub place: Range<usize>,
    /// The length they are said to have; nothing where they are in fragments.
    pub length: Option<usize>,
}

/// How far a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Up to the pixel data.
    Pixels,
    /// The pixel data as well.
    End,
}

/// Finds the attributes of [`READ`] and those of `also`.
pub(super) fn read<'a>(bytes: &'a [u8], also: &[Tag], until: Until) -> Result<Read<'a>, DicomError> {
    let (start, uid) = meta(bytes)?;
    let keep = |tag: &Tag| READ.binary_search_by_key(tag, |(tag, _)| *tag).is_ok() || also.contains(tag);
    if uid.as_deref() == Some(syntax::DEFLATED) {
        return inflated(&bytes[start..], keep, until);
    }
    let (encoding, syntax) = written(&bytes[start..], uid)?;
    let (elements, head) = elements(bytes, start..bytes.len(), encoding, keep)?;
    Ok(Read {
        pixels: head.map(|head| pixels(&head, bytes.len())),
        data: Cow::Borrowed(bytes),
        elements,
        encoding,
        syntax,
    })
}

/// Where the data set begins, and the transfer syntax that the file's meta information names.
fn meta(bytes: &[u8]) -> Result<(usize, Option<String>), DicomError> {
    let mut at = PREAMBLE + 4;
    if bytes.get(PREAMBLE..at) != Some(b"DICM") {
        // Files without a preamble: meta information, or a data set that begins with the identifying group.
        let begins = |tag: &[u8]| bytes.len() >= 8 && bytes.starts_with(tag);
        if !begins(&[2, 0]) && !begins(&[8, 0]) && !begins(&[0, 8, 0]) {
            let first: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02X}")).collect();
            let found = match first.is_empty() {
                true => "nothing".to_owned(),
                false => first.join(" "),
            };
            return Err(DicomError::NotDicom { found });
        }
        at = 0;
    }
    // Read by its group, not by its group length, which may be wrong. It is explicit and little endian always.
    let mut uid = None;
    while bytes.len() - at >= 8 {
        let head = head(bytes, at, Encoding::EXPLICIT)?;
        if head.tag.group() != 2 {
            break;
        }
        let Some(length) = head.length() else {
            return malformed(format!("{} has no length", head.tag));
        };
        let Some(value) = bytes[head.value..].get(..length) else {
            return Err(DicomError::Truncated {
                tag: head.tag,
                needed: length as u64,
                there: (bytes.len() - head.value) as u64,
            });
        };
        if head.tag == TRANSFER_SYNTAX_UID {
            uid = Some(String::from_utf8_lossy(trimmed(value)).into_owned());
        }
        at = head.value + length;
    }
    Ok((at, uid.filter(|uid| !uid.is_empty())))
}

/// How a data set is written: as its transfer syntax says, unless its first element shows that it is not so.
fn written(set: &[u8], uid: Option<String>) -> Result<(Encoding, String), DicomError> {
    let first = set.first_chunk::<6>();
    let explicit = first.map(|[.., a, b]| is_vr([*a, *b]));
    let Some(uid) = uid else {
        // As pydicom guesses: big endian groups look like large ones.
        let uid = match (first, explicit) {
            (Some([_, high, ..]), Some(true)) if *high >= 4 => syntax::BIG,
            (_, Some(true)) => syntax::EXPLICIT,
            _ => syntax::IMPLICIT,
        };
        return Ok((syntax::encoding(uid), uid.to_owned()));
    };
    let mut encoding = syntax::encoding(&uid);
    if let Some(explicit) = explicit {
        encoding.explicit = explicit;
    }
    Ok((encoding, uid))
}

/// The elements that `keep` wants, in the order of their tags, the last of each.
pub(super) fn elements(
    bytes: &[u8],
    within: Range<usize>,
    encoding: Encoding,
    keep: impl Fn(&Tag) -> bool,
) -> Result<(Vec<Element>, Option<Head>), DicomError> {
    let mut elements: Vec<Element> = Vec::new();
    let pixels = walk(bytes, within, encoding, |element| {
        if keep(&element.tag) {
            match elements.binary_search_by_key(&element.tag, |element| element.tag) {
                Ok(at) => elements[at] = element,
                Err(at) => elements.insert(at, element),
            }
        }
    })?;
    Ok((elements, pixels))
}

fn pixels(head: &Head, end: usize) -> Pixels {
    let length = head.length();
    let last = length.map_or(end, |length| end.min(head.value.saturating_add(length)));
    Pixels {
        vr: head.vr,
        place: head.value..last,
        length,
    }
}

/// Reads a data set that is deflated (PS3.5 A.5): no more is inflated than is needed.
fn inflated<'a>(bytes: &[u8], keep: impl Fn(&Tag) -> bool, until: Until) -> Result<Read<'a>, DicomError> {
    let mut stream = Inflate::new(bytes);
    let mut wanted = FIRST_INFLATED;
    loop {
        stream.inflate(wanted)?;
        let (encoding, _) = written(&stream.out, Some(syntax::DEFLATED.to_owned()))?;
        let found = elements(&stream.out, 0..stream.out.len(), encoding, &keep);
        let needed = match &found {
            Ok((_, Some(head))) => match until {
                Until::Pixels => 0,
                Until::End => head.value.saturating_add(head.length().unwrap_or(MAX_INFLATED)),
            },
            // The attributes may go on.
            Ok((_, None)) | Err(DicomError::Truncated { .. }) => usize::MAX,
            Err(_) => 0,
        };
        if !stream.done && stream.out.len() < needed {
            wanted = match needed {
                usize::MAX => wanted.saturating_mul(4),
                needed => needed,
            };
            continue;
        }
        let (elements, head) = found?;
        return Ok(Read {
            pixels: head.map(|head| pixels(&head, stream.out.len())),
            data: Cow::Owned(stream.out),
            elements,
            encoding,
            syntax: syntax::DEFLATED.to_owned(),
        });
    }
}

/// A deflated stream, inflated as far as was asked for.
struct Inflate<'a> {
    state: Decompress,
    rest: &'a [u8],
    out: Vec<u8>,
    done: bool,
}

impl<'a> Inflate<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            state: Decompress::new(false),
            rest: bytes,
            out: Vec::new(),
            done: false,
        }
    }

    /// Inflates until there are `wanted` bytes, or no more.
    fn inflate(&mut self, wanted: usize) -> Result<(), DicomError> {
        while !self.done && self.out.len() < wanted {
            if self.out.len() >= MAX_INFLATED {
                return Err(DicomError::TooLarge {
                    what: "a deflated data set of more bytes than that".to_owned(),
                    most: MAX_INFLATED as u64,
                });
            }
            // Memory for what deflating can have left out at most: 1032 bytes for each one.
            let most = self.rest.len().saturating_mul(1032).saturating_add(1024);
            let more = (wanted.min(MAX_INFLATED) - self.out.len()).min(most).max(1024);
            if self.out.capacity() - self.out.len() < more {
                self.out.reserve_exact(more);
            }
            let (read, written) = (self.state.total_in(), self.out.len());
            let status = self
                .state
                .decompress_vec(self.rest, &mut self.out, FlushDecompress::None);
            let Ok(status) = status else {
                return malformed("the deflated data set breaks the format of RFC 1951");
            };
            let read = (self.state.total_in() - read) as usize;
            self.rest = &self.rest[read..];
            // Without an end mark and without progress the stream is cut short: what is missing shows.
            self.done = status == Status::StreamEnd || (read == 0 && self.out.len() == written);
        }
        Ok(())
    }
}
