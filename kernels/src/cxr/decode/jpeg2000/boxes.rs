//! JP2 files: boxes around a codestream (T.800 annex I).
//!
//! In: a file, or a codestream by itself. Out: the codestream. Start at [`codestream`].

use super::{invalid, truncated, unsupported};
use crate::cxr::decode::DecodeError;

/// The codestream in a file, or the bytes themselves (T.800 annex I).
pub(super) fn codestream(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    if !bytes.starts_with(b"\0\0\0\x0CjP  \r\n\x87\n") {
        return Ok(bytes);
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        let Box { kind, content, next } = first_box(rest)?;
        match &kind {
            b"jp2h" => check_jp2_header(content)?,
            b"jp2c" => return Ok(content),
            _ => {}
        }
        rest = next;
    }
    Err(truncated("before the codestream box"))
}

struct Box<'a> {
    kind: [u8; 4],
    content: &'a [u8],
    /// What follows it.
    next: &'a [u8],
}

/// The first box (T.800 I.4).
fn first_box(bytes: &[u8]) -> Result<Box<'_>, DecodeError> {
    let cut = || truncated("in a box");
    let (head, rest) = bytes.split_first_chunk::<8>().ok_or_else(cut)?;
    let [l0, l1, l2, l3, kind @ ..] = *head;
    let (content, next) = match u32::from_be_bytes([l0, l1, l2, l3]) {
        0 => (rest, &[][..]),
        1 => {
            let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
            let length = u64::from_be_bytes(*length)
                .checked_sub(16)
                .ok_or_else(|| invalid("a box shorter than its head"))?;
            let length = usize::try_from(length).map_err(|_| cut())?;
            rest.split_at_checked(length).ok_or_else(cut)?
        }
        length => {
            let length = length
                .checked_sub(8)
                .ok_or_else(|| invalid("a box shorter than its head"))?;
            rest.split_at_checked(length as usize).ok_or_else(cut)?
        }
    };
    Ok(Box { kind, content, next })
}

/// Refuses what would make samples mean something else than the codestream says.
fn check_jp2_header(mut boxes: &[u8]) -> Result<(), DecodeError> {
    while !boxes.is_empty() {
        let Box { kind, content, next } = first_box(boxes)?;
        match (&kind, content) {
            (b"pclr", _) => return Err(unsupported("a palette")),
            // Method 1 is an enumerated space, 18 is sYCC (T.800 table I.10).
            (b"colr", [1, _, _, 0, 0, 0, 18, ..]) => return Err(unsupported("the colour space sYCC")),
            _ => {}
        }
        boxes = next;
    }
    Ok(())
}
