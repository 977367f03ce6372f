//! Bits of a JPEG-LS scan: a byte after 0xFF has seven (T.87 9.1).
//!
//! In: the bytes between two markers. Out: bits and Golomb codes. Reading on after the end gives zeros, which
//! [`Bits::check`] reports: the hot loop stays without errors.

/// Where a scan's bits are read; small and copied, so that a loop keeps it in registers.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    /// The next bits, the first of them highest.
    cache: u64,
    /// How many of the cache's bits are true.
    have: u32,
    /// Whether the byte before `at` is 0xFF.
    stuffed: bool,
    /// Zeros that were added behind the end.
    lent: u32,
    /// Whether a code was longer than any may be.
    overlong: bool,
}

/// What is wrong with the bits read so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// There were not as many.
    End,
    /// A Golomb code had more zeros than its limit.
    Overlong,
}

/// How Golomb codes of a kind end early (T.87 A.5.3).
#[derive(Clone, Copy)]
pub(super) struct Escape {
    /// Zeros that announce a plain value.
    pub zeros: u32,
    /// Bits of that value.
    pub bits: u32,
}

impl<'a> Bits<'a> {
    /// At the start of a scan's bytes, which hold no marker.
    pub fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            at: 0,
            cache: 0,
            have: 0,
            stuffed: false,
            lent: 0,
            overlong: false,
        }
    }

    /// Whether all that was read was there.
    pub fn check(&self) -> Result<(), Fault> {
        if self.lent > self.have {
            Err(Fault::End)
        } else if self.overlong {
            Err(Fault::Overlong)
        } else {
            Ok(())
        }
    }

    /// Bits not read yet, stuffed ones counted.
    pub fn left(&self) -> usize {
        (self.have.saturating_sub(self.lent)) as usize + 8 * (self.data.len() - self.at)
    }

    /// Makes at least 56 bits of the cache true.
    #[inline(always)]
    fn fill(&mut self) {
        if self.have >= 56 {
            return;
        }
        if let Some(word) = self.data.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_be_bytes(*word);
            // The classic test for a byte of zeros, on the complement.
            let full = (!word).wrapping_sub(0x0101_0101_0101_0101) & word & 0x8080_8080_8080_8080;
            if full == 0 && !self.stuffed {
                // Bits beyond `have` are already those of the next bytes: setting them again changes nothing.
                self.cache |= word >> self.have;
                let bytes = (63 - self.have) >> 3;
                self.at += bytes as usize;
                self.have += 8 * bytes;
                return;
            }
        }
        *self = self.fill_slowly();
    }

    /// [`Bits::fill`] byte by byte. By value: a reference would keep the hot loop's reader out of registers.
    #[cold]
    #[inline(never)]
    fn fill_slowly(mut self) -> Self {
        self.cache &= !(u64::MAX >> self.have);
        while self.have <= 56 {
            let Some(byte) = self.data.get(self.at) else {
                self.have += 8;
                self.lent += 8;
                continue;
            };
            self.at += 1;
            // The highest bit after 0xFF is 0: the byte would be a marker's otherwise.
            let bits = 8 - u32::from(self.stuffed);
            self.cache |= u64::from(*byte) << (64 - bits - self.have);
            self.have += bits;
            self.stuffed = *byte == 0xFF;
        }
        self
    }

    /// The next bit.
    #[inline(always)]
    pub fn bit(&mut self) -> bool {
        self.bits(1) == 1
    }

    /// The next bits, at most 31, as a number.
    #[inline(always)]
    pub fn bits(&mut self, count: u32) -> u32 {
        self.fill();
        let value = (self.cache >> 1) >> (63 - count);
        self.cache <<= count;
        self.have -= count;
        value as u32
    }

    /// A Golomb code of limited length with parameter `k`, at most 31 (T.87 A.5.3).
    #[inline(always)]
    pub fn golomb(&mut self, k: u32, escape: Escape) -> u32 {
        self.fill();
        let zeros = self.cache.leading_zeros();
        let length = zeros + 1 + k;
        if zeros >= escape.zeros || length > self.have {
            let (reader, value) = self.golomb_slowly(k, escape);
            *self = reader;
            return value;
        }
        let rest = (self.cache << zeros) << 1;
        self.cache = rest << k;
        self.have -= length;
        (zeros << k) | ((rest >> 1) >> (63 - k)) as u32
    }

    #[cold]
    #[inline(never)]
    fn golomb_slowly(mut self, k: u32, escape: Escape) -> (Self, u32) {
        let mut zeros = 0;
        while zeros <= escape.zeros && !self.bit() {
            zeros += 1;
        }
        if zeros > escape.zeros {
            self.overlong = true;
            return (self, 0);
        }
        let value = if zeros == escape.zeros {
            self.bits(escape.bits) + 1
        } else {
            let low = self.bits(k);
            (zeros << k) | low
        };
        (self, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_after_ff_has_seven_bits() {
        let data = [0xFF, 0x7F, 0x80, 1, 2, 3, 4, 5, 6, 7, 0xFF, 0x00, 0xAA];
        let mut bits = Bits::new(&data);
        assert_eq!(bits.bits(15), 0x7FFF);
        assert_eq!(bits.bits(8), 0x80);
        for byte in 1..=7 {
            assert_eq!(bits.bits(8), byte);
        }
        assert_eq!(bits.bits(8), 0xFF);
        assert_eq!(bits.bits(7), 0);
        assert_eq!(bits.bits(8), 0xAA);
        assert_eq!((bits.check(), bits.left()), (Ok(()), 0));
        assert_eq!(bits.bits(1), 0);
        assert_eq!(bits.check(), Err(Fault::End));
    }

    #[test]
    fn golomb_codes_are_read_plain_escaped_and_refused() {
        let escape = Escape { zeros: 4, bits: 6 };
        // 001|10, 0001|, 00001|000011, then 0000 0
        let data = [0b0011_0000, 0b1000_0100, 0b0011_0000, 0b0000_0000];
        let mut bits = Bits::new(&data);
        assert_eq!(bits.golomb(2, escape), (2 << 2) | 0b10);
        assert_eq!(bits.golomb(0, escape), 3);
        assert_eq!(bits.golomb(0, escape), 4);
        assert_eq!(bits.check(), Ok(()));
        assert_eq!(bits.golomb(0, escape), 0);
        assert_eq!(bits.check(), Err(Fault::Overlong));
    }
}
