//! Entropy-coded bytes as bits.
//!
//! In: what follows a scan's header. Out: bits, most significant first. Start at [`Segments`]: it cuts the bytes at
//! restart markers and takes out the stuffed zeros once, so that reading bits need not look for either.

use super::{FORMAT, cut_short};
use crate::cxr::decode::DecodeError;

/// Bytes looked at together for one of 0xFF.
const CHUNK: usize = 32;

/// Zeros behind the last byte, so that eight can be read at any.
const PADDING: usize = 8;

/// The entropy-coded segments of a scan (T.81 B.1.1.5), one at a time.
pub(super) struct Segments<'a> {
    rest: &'a [u8],
    clean: Vec<u8>,
    restarts: u8,
}

impl<'a> Segments<'a> {
    /// Those at the start of `rest`.
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self {
            rest,
            clean: Vec::with_capacity(rest.len() + PADDING),
            restarts: 0,
        }
    }

    /// The first segment, or the one after the last.
    pub(super) fn open(&mut self) -> Bits<'_> {
        self.clean.clear();
        let mut chunks = self.rest;
        'bytes: while let Some((&first, after)) = chunks.split_first() {
            if let Some(chunk) = chunks.first_chunk::<CHUNK>()
                && !chunk.iter().fold(false, |any, byte| any | (*byte == 0xFF))
            {
                self.clean.extend_from_slice(chunk);
                chunks = &chunks[CHUNK..];
                continue;
            }
            // To the end of this chunk, or past it where a marker's first byte ends it.
            let end = chunks.len().saturating_sub(CHUNK);
            let (mut byte, mut after) = (first, after);
            loop {
                if byte == 0xFF {
                    // Any number of fill bytes may stand before a marker (T.81 B.1.1.2).
                    let fill = after.iter().take_while(|byte| **byte == 0xFF).count();
                    match after.get(fill) {
                        Some(0) => after = &after[fill + 1..],
                        _ => break 'bytes,
                    }
                }
                self.clean.push(byte);
                chunks = after;
                if after.len() <= end {
                    break;
                }
                match after.split_first() {
                    Some((&next, rest)) => (byte, after) = (next, rest),
                    None => break,
                }
            }
        }
        self.rest = chunks;
        let length = self.clean.len();
        self.clean.extend_from_slice(&[0; PADDING]);
        Bits::new(&self.clean, length)
    }

    /// Goes past the restart marker that must stand here (T.81 B.2.1).
    pub(super) fn restart(&mut self) -> Result<(), DecodeError> {
        let fill = self.rest.iter().take_while(|byte| **byte == 0xFF).count();
        let expected = 0xD0 + self.restarts % 8;
        match self.rest.get(fill) {
            Some(&marker) if fill > 0 && marker == expected => {
                self.rest = &self.rest[fill + 1..];
                self.restarts = self.restarts.wrapping_add(1);
                Ok(())
            }
            // The image ends, but its rows have not.
            None | Some(0xD9) => Err(cut_short("at a restart marker".to_owned())),
            Some(marker) => Err(DecodeError::Invalid {
                format: FORMAT,
                what: format!("marker FF{marker:02X} where restart marker FF{expected:02X} belongs"),
            }),
        }
    }

    /// What follows the segments opened so far, a marker first.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

/// Bits of one segment. Behind its end there are zeros; [`Bits::overrun`] says when those were read.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    /// The bytes, and [`PADDING`].
    bytes: &'a [u8],
    /// Bytes that are not padding.
    length: usize,
    /// The next byte to load.
    position: usize,
    /// The next bits, from the highest down; below `count` there may be more, the same that will be loaded again.
    buffer: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8], length: usize) -> Self {
        Self {
            bytes,
            length,
            position: 0,
            buffer: 0,
            count: 0,
        }
    }

    /// Makes at least 56 bits ready.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        let rest = self.bytes.get(self.position..);
        if let Some(next) = rest.and_then(|rest| rest.first_chunk::<8>()) {
            self.buffer |= u64::from_be_bytes(*next) >> self.count;
        }
        self.position += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    /// The bits that come next, the first one highest.
    #[inline(always)]
    pub(super) fn peek(&self) -> u64 {
        self.buffer
    }

    /// Goes on by `bits`, no more than are ready.
    #[inline(always)]
    pub(super) fn skip(&mut self, bits: u32) {
        self.skip_word(bits);
    }

    /// The same, where the number is the lowest byte of a word: a processor looks at no more of it than this needs.
    #[inline(always)]
    pub(super) fn skip_word(&mut self, word: u32) {
        self.buffer = self.buffer.wrapping_shl(word);
        self.count -= word & 0xFF;
    }

    /// Whether more bits were taken than the segment has.
    pub(super) fn overrun(&self) -> bool {
        8 * self.position as u64 - u64::from(self.count) > 8 * self.length as u64
    }
}
